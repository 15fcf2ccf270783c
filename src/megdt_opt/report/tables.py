"""Tables for the terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.table import Table
from rich.text import Text

from megdt_opt.errors import visible
from megdt_opt.execution.record import Execution
from megdt_opt.planning.plan import Plan
from megdt_opt.report.cost_grids import cost_grid, measured_cost_grid
from megdt_opt.report.grids import Grid
from megdt_opt.report.plan_grids import baseline_grid, batch_grid, option_grid, plan_grid, ruled_out_grid
from megdt_opt.report.profile_grids import profile_grid, published_grid
from megdt_opt.report.run_grids import execution_grid, input_grid, stage_grid, verification_grid
from megdt_opt.scenario.options import OptionTable
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.published import PublishedTimings
from megdt_opt.trials.verification import Verification
from megdt_opt.verdict.verdict import Verdict

_BETWEEN = 2
"""Characters between columns."""


@dataclass(frozen=True)
class GridView:
    """A grid that rich prints: title, table, notes; columns share the width of the console."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        grid = self.grid
        room = options.max_width - _BETWEEN * (len(grid.headers) - 1)
        yield Text(visible(grid.title), style="bold")
        yield self._table(room) if sum(column_widths(grid, 0)) <= room else self._records()
        for note in grid.notes:
            yield Text(visible(note), style="dim")

    def _table(self, room: int) -> Table:
        grid = self.grid
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        rooms = column_widths(grid, room)
        for index, (header, room) in enumerate(zip(grid.headers, rooms, strict=True)):
            side: JustifyMethod = "left" if index in grid.text else "right"
            table.add_column(Text(visible(header)), justify=side, width=room, overflow="fold", vertical="top")
        for row in grid.rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        return table

    def _records(self) -> Table:
        """Row after row, a line for each column, where the columns do not fit beside each other."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for row in self.grid.rows:
            for header, cell in zip(self.grid.headers, row, strict=True):
                table.add_row(Text(visible(header)), Text(visible(cell)))
            table.add_row("", "")
        return table


def column_widths(grid: Grid, room: int) -> list[int]:
    """Widths of the columns: every word whole, then whole cells, then headers on one line, as far as there is room.

    Parameters
    ----------
    grid : Grid
    room : int
        Characters for all columns together, spaces between them excluded [1].
    """
    columns = list(zip(grid.headers, *grid.rows, strict=True))
    widths = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    whole = [max([len(cell) for cell in column[1:]], default=0) for column in columns]
    for wishes in (whole, [len(column[0]) for column in columns]):
        # the column that needs least more is served first, so that as many as possible get what they need
        for index in sorted(range(len(columns)), key=lambda i: wishes[i] - widths[i]):
            more = min(wishes[index] - widths[index], room - sum(widths))
            widths[index] += max(more, 0)
    return widths


def plan_table(plan: Plan) -> GridView:
    """What each user runs."""
    return GridView(plan_grid(plan))


def baseline_table(plan: Plan) -> GridView:
    """The plan beside its baselines."""
    return GridView(baseline_grid(plan))


def ruled_out_table(table: OptionTable) -> GridView:
    """The limits that closed options."""
    return GridView(ruled_out_grid(table))


def option_table(table: OptionTable, user: int) -> GridView:
    """All options of one user."""
    return GridView(option_grid(table, user))


def execution_table(execution: Execution) -> GridView:
    """Predicted and measured, per user."""
    return GridView(execution_grid(execution))


def stage_table(execution: Execution) -> GridView:
    """Predicted and measured, per stage."""
    return GridView(stage_grid(execution))


def verification_table(verification: Verification) -> GridView:
    """The plan and its rivals, predicted and measured."""
    return GridView(verification_grid(verification))


def profile_table(profile: TimingProfile) -> GridView:
    """A timing profile."""
    return GridView(profile_grid(profile))


def published_table(timings: PublishedTimings) -> GridView:
    """Published figures."""
    return GridView(published_grid(timings))


def print_restated(plan: Plan, console: Console) -> None:
    """Print what a plan's file states otherwise than it is; nothing where the file is right."""
    if plan.restated:
        console.print(
            f"The file states other {' and '.join(plan.restated)} than its plan has: they were worked out anew.", ""
        )


def print_plan(plan: Plan, console: Console) -> None:
    """Print a plan beside its baselines."""
    print_restated(plan, console)
    console.print(plan_table(plan), "")
    if plan.batches:
        console.print(GridView(batch_grid(plan)), "")
    console.print(GridView(cost_grid(plan)), "")
    if plan.baselines:
        console.print(baseline_table(plan), "")


def print_execution(plan: Plan, execution: Execution, console: Console, *, stages: bool = False) -> None:
    """Print predicted and measured per user, what the run cost and, if asked for, every stage."""
    console.print(execution_table(execution), "")
    console.print(GridView(measured_cost_grid(plan, execution)), "")
    if stages:
        console.print(stage_table(execution), "")


def print_verification(verification: Verification, console: Console) -> None:
    """Print the plan and its rivals as executed."""
    console.print(verification_table(verification), "")


def print_verdict(verdict: Verdict, console: Console) -> None:
    """Print whether the plan's inputs hold: in words first, then every comparison."""
    for sentence in verdict.words:
        console.print(Text(visible(sentence), style="" if verdict.ok else "bold"), soft_wrap=True)
    console.print("")
    console.print(GridView(replace(input_grid(verdict), notes=())), "")
