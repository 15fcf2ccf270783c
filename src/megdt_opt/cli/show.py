"""What `megdt-opt show` prints, by what its argument names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from megdt_opt.errors import InvalidInput
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
from megdt_opt.timing.finding import find_profile
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.published import PublishedTimings


def show_anything(what: str, user: str | None, profiles: Mapping[str, TimingProfile] | None, console: Console) -> None:
    """Print a scenario's options, a plan, a profile, or the published devices.

    Raises
    ------
    InvalidInput
        Where `what` names none of them.
    """
    if what == "published":
        console.print(published_table(PublishedTimings.load()))
    elif what.endswith((".yaml", ".yml")):
        _show_scenario(Scenario.load(what), user, profiles, console)
    elif what.endswith(".json"):
        if _format(Path(what)) == FORMAT:
            print_plan(Plan.load(what), console)
        else:
            console.print(profile_table(TimingProfile.load(what)))
    elif what in Scenario.bundled_names():
        _show_scenario(Scenario.bundled(what), user, profiles, console)
    else:
        console.print(profile_table(find_profile(what, profiles)))


def _format(path: Path) -> str | None:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInput("file", str(path), "a plan or profile in JSON", f"{error}.") from None
    return data.get("format") if isinstance(data, dict) else None


def _show_scenario(
    scenario: Scenario, user: str | None, profiles: Mapping[str, TimingProfile] | None, console: Console
) -> None:
    names = [u.name for u in scenario.users]
    if user is not None and user not in names:
        raise InvalidInput("user", user, f"one of {names}", "Name a user of the scenario.")
    table = OptionTable.build(scenario, profiles)
    console.print(ruled_out_table(table))
    if user is not None:
        console.print(option_table(table, names.index(user)))
