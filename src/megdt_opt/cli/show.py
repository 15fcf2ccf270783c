"""What `megdt-opt show` prints, by what its argument names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from rich.console import Console

from megdt_opt.errors import InvalidInput
from megdt_opt.files import JSON, SCENARIO, is_path, read_json
from megdt_opt.planning.plan import FORMAT, Plan
from megdt_opt.report.tables import (
    option_table,
    print_plan,
    profile_table,
    published_table,
    ruled_out_table,
)
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.finding import PUBLISHED, find_profile
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.profile_file import bundled_names
from megdt_opt.timing.published import PublishedTimings


def is_scenario(what: str) -> bool:
    """Whether this names a scenario: a bundled one, or a YAML file."""
    return what in Scenario.bundled_names() or is_path(what, SCENARIO, folders=False)


def show_anything(
    what: str, profiles: Mapping[str, TimingProfile] | None, console: Console, match: Sequence[str] = ()
) -> None:
    """Print a plan, a profile, or the published devices, of these the rows that hold every text of `match`.

    Raises
    ------
    InvalidInput, ProfileError
        Where `what` names none of them; lists what can be shown.
    """
    named = sorted({*(profiles or ()), *bundled_names()})
    if what == "published":
        console.print(published_table(PublishedTimings.load().matching(match)))
    elif is_path(what, JSON, folders=False) and read_json(what, "file").get("format") == FORMAT:
        print_plan(Plan.load(what), console)
    elif what in named or what.startswith(PUBLISHED) or is_path(what, JSON):
        console.print(profile_table(find_profile(what, profiles)))
    else:
        scenarios = Scenario.bundled_names()
        near = get_close_matches(what, ["published", *scenarios, *named])
        expected = (
            f"a scenario (a YAML file or one of {scenarios}), a plan's JSON file, a timing profile (a JSON file or one "
            f"of {named}), 'published' or '{PUBLISHED} DEVICE / MODEL'"
        )
        remedy = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Name one of them."
        raise InvalidInput("what to show", what, expected, remedy)


def show_scenario(
    scenario: Scenario, profiles: Mapping[str, TimingProfile], user: str | None, console: Console
) -> None:
    """Print how many options each user has and what closed the others; all options of one user, if one is named.

    Raises
    ------
    InvalidInput
        Where there is no such user.
    """
    names = [u.name for u in scenario.users]
    if user is not None and user not in names:
        raise InvalidInput("user", user, f"one of {names}", "Name a user of the scenario.")
    table = OptionTable.build(scenario, profiles)
    console.print(ruled_out_table(table))
    if user is not None:
        console.print(option_table(table, names.index(user)))
