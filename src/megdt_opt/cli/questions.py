"""Commands that ask of a scenario or a plan: explain, shadow-prices, regret, replan, report."""

# annotations are values here: as strings, typer would compile each of them twice whenever a command starts

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megdt_opt.cli.clear_errors import clear_errors
from megdt_opt.cli.exit_codes import INFEASIBLE
from megdt_opt.cli.inputs import Plugins, Profiles, inputs, load
from megdt_opt.cli.terminal import console_of

if TYPE_CHECKING:
    from rich.console import Console

Asked = Annotated[str, typer.Argument(help="Scenario (file or bundled), or a plan's JSON file.")]
PlanFile = Annotated[Path, typer.Argument(help="Plan file, as `plan --output` writes it.")]
TimeLimit = Annotated[float | None, typer.Option(help="Seconds for each solution.")]


def _asked(what: str, pairs: list[str] | None, console: "Console") -> tuple[Any, dict[str, Any]]:
    """A plan, or a scenario with its profiles."""
    from megdt_opt.errors import InvalidInput
    from megdt_opt.files import JSON, is_path
    from megdt_opt.planning.plan import Plan

    if not is_path(what, JSON, folders=False):
        scenario, profiles = inputs(what, pairs, console)
        return scenario, {"profiles": profiles}
    if pairs:
        raise InvalidInput("--profile", pairs, "nothing beside a plan, which holds its own profiles", "Leave it out.")
    return Plan.load(what), {}


@clear_errors
def explain(
    what: Asked,
    profile: Profiles = None,
    time_limit: Annotated[float, typer.Option(min=0.001, help="Seconds for the changes that are tried.")] = 60.0,
    plugin: Plugins = None,
) -> None:
    """Say whether the limits can be kept; if not, who conflicts over what, and what would help. Exit code 1 if not."""
    from megdt_opt.planning.questions import explain as ask

    load(plugin)
    console = console_of()
    asked, how = _asked(what, profile, console)
    found = ask(asked, time_limit_s=time_limit, **how)
    console.print(str(found), soft_wrap=True)
    if not found.feasible:
        raise typer.Exit(INFEASIBLE)


@clear_errors
def shadow_prices(
    what: Asked,
    step: Annotated[float, typer.Option(help="Step of the re-solves, as a part of each budget.")] = 0.01,
    profile: Profiles = None,
    time_limit: TimeLimit = None,
    plugin: Plugins = None,
) -> None:
    """Say what a little more and a little less of each band and of the edge is worth."""
    from megdt_opt.planning.questions import shadow_prices as ask

    load(plugin)
    console = console_of()
    asked, how = _asked(what, profile, console)
    console.print(str(ask(asked, step=step, time_limit_s=time_limit, **how)), soft_wrap=True)


@clear_errors
def regret(
    what: Asked,
    percent: Annotated[float, typer.Option(min=0.0, help="Largest error of a timing, either way [%].")] = 10.0,
    samples: Annotated[int, typer.Option(min=1, help="Draws of the true timings.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    profile: Profiles = None,
    time_limit: TimeLimit = None,
    plugin: Plugins = None,
) -> None:
    """Say what the plan loses where the timings are off, against having known them."""
    from megdt_opt.planning.questions import regret as ask

    load(plugin)
    console = console_of()
    asked, how = _asked(what, profile, console)
    found = ask(asked, percent=percent, samples=samples, seed=seed, time_limit_s=time_limit, **how)
    console.print(str(found), soft_wrap=True)


@clear_errors
def replan(
    scenario: Annotated[str, typer.Argument(help="Scenario to plan for now (file or bundled).")],
    previous: Annotated[Path, typer.Option("--from", help="Plan file of what holds so far.")],
    switch_cost: Annotated[str, typer.Option(help="What a switch adds to a user's next picture: '0.5 s'.")] = "0 s",
    profile: Profiles = None,
    time_limit: TimeLimit = None,
    plugin: Plugins = None,
) -> None:
    """Plan again from a plan, where switching costs time; print who switches to what, and what that gains."""
    from megdt_opt.planning.plan import Plan
    from megdt_opt.planning.questions import replan as ask
    from megdt_opt.units import parse

    load(plugin)
    console = console_of()
    cost_s = parse(switch_cost, "time", "--switch-cost")
    asked, profiles = inputs(scenario, profile, console)
    found = ask(asked, Plan.load(previous), cost_s, profiles=profiles, time_limit_s=time_limit)
    console.print(str(found), soft_wrap=True)


@clear_errors
def report(
    plan: PlanFile,
    output: Annotated[Path, typer.Option(help="Folder for the page and its figures.")] = Path("report-output"),
    plugin: Plugins = None,
) -> None:
    """Write a plan as a page with figures, without executing it."""
    from megdt_opt.files import try_folder
    from megdt_opt.planning.plan import Plan
    from megdt_opt.report import write_report

    load(plugin)
    made = Plan.load(plan)
    try_folder(output)
    for path in write_report(output, made).values():
        console_of().print(f"written: {path}", soft_wrap=True)


COMMANDS = (explain, shadow_prices, regret, replan, report)
"""In the order in which the help lists them."""
