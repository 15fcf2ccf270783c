"""What several commands take: scenarios, profiles and plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from megdt_opt.scenario.scenario import Scenario
    from megdt_opt.timing.profile import TimingProfile

STANDS_IN = "twin-cpu"
"""Bundled profile that stands for the machine at hand where it was not measured and the scenario is a bundled one."""

ScenarioName = Annotated[str, typer.Argument(help="Scenario file (YAML), or a bundled scenario such as 'demo'.")]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        help="NAME=FILE: use this timing profile, or bundled or published one, where the scenario says NAME.",
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", help="Module, or .py file, that registers mechanisms, precisions, stages or models."),
]


Adapters = Annotated[
    list[str] | None,
    typer.Option("--adapter", help="USER=NAME or USER=FILE: this user's adapter on the device; can be repeated."),
]


def load(plugins: list[str] | None) -> None:
    """Load the plugins that an operator names."""
    if plugins:
        from megdt_opt.program.registry import load_plugins

        load_plugins(plugins)


def profiles_of(pairs: list[str] | None) -> dict[str, TimingProfile]:
    """Profiles of "NAME=FILE", a file, a bundled or a published one."""
    from megdt_opt.timing.finding import named_or_read

    found = {}
    for pair in pairs or ():
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise typer.BadParameter(f"{pair!r}: expected NAME=FILE, for example here=profile.json")
        if name in found:
            raise typer.BadParameter(f"{pair!r}: expected each name once")
        found[name] = named_or_read(path)
    return found


def with_adapters(scenario: Scenario, pairs: list[str] | None) -> Scenario:
    """The scenario whose users have the adapters of "USER=NAME", in place of those that it states."""
    asked: dict[str, str] = {}
    for pair in pairs or ():
        user, equals, source = pair.partition("=")
        if not (user and equals and source) or user in asked:
            raise typer.BadParameter(f"{pair!r}: expected USER=NAME or USER=FILE, each user once")
        if user not in [each.name for each in scenario.users]:
            raise typer.BadParameter(f"{pair!r}: expected one of the users {[each.name for each in scenario.users]}")
        asked[user] = source
    users = (u.model_copy(update={"adapter": asked[u.name]}) if u.name in asked else u for u in scenario.users)
    return scenario.model_copy(update={"users": tuple(users)})


def inputs(scenario: str, pairs: list[str] | None, console: Console) -> tuple[Scenario, dict[str, TimingProfile]]:
    """The scenario and its profiles; a bundled one stands in for a machine that a bundled scenario leaves open."""
    from megdt_opt.scenario.scenario import Scenario
    from megdt_opt.timing.finding import HERE
    from megdt_opt.timing.profile import TimingProfile

    asked, profiles = Scenario.named(scenario), profiles_of(pairs)
    if scenario in Scenario.bundled_names() and HERE in set(asked.profile_names) - set(profiles):
        profiles[HERE] = TimingProfile.bundled(STANDS_IN)
        console.print(
            f"No profile {HERE!r} was given, so the bundled {STANDS_IN!r} stands in. For this machine: "
            f"megdt-opt calibrate {HERE}.json, then --profile {HERE}={HERE}.json",
            soft_wrap=True,
        )
    return asked, profiles
