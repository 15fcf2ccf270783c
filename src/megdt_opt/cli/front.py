"""The command `megdt-opt front`: the objective against one or two costs, as a table and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from megdt_opt.cli.terminal import console_of
from megdt_opt.planning.fronts import cost_column, front_of
from megdt_opt.report.canvas import figure_files
from megdt_opt.report.folder import write_folder
from megdt_opt.report.numbers import count
from megdt_opt.scenario.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd

    from megdt_opt.timing.profile import TimingProfile


def run_command(
    scenario: Scenario,
    costs: Sequence[str],
    points: int,
    out: Path,
    *,
    profiles: Mapping[str, TimingProfile] | None = None,
    gap: float = 1e-6,
    time_limit_s: float | None = None,
    console: Console | None = None,
    figures: Sequence[str] = ("png",),
) -> pd.DataFrame:
    """Solve a front and write front.csv and its figure, or neither.

    Parameters
    ----------
    scenario, costs, points, profiles, gap, time_limit_s
        As `front_of` takes them.
    out : Path
        Folder for the files; made if it is not there.
    console : Console, optional
        Where to print.
    figures : sequence of str
        Kinds of files of the figure: "png", "pdf", "svg".
    """
    from megdt_opt import plot

    console = console or console_of()
    front, frame = front_of(scenario, costs, points, profiles, gap=gap, time_limit_s=time_limit_s)
    proven = sum(point.allocation.status == "optimal" for point in front.points)
    console.print(f"{count(len(front.points), 'point')}, {proven} of them proven to the gap")
    for limit in front.beyond:
        shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(costs, limit, strict=True))
        console.print(f"no plan keeps {shown}")
    # with two costs the second has few values: one staircase for each of its limits
    by = f"limit_{cost_column(costs[1])}" if len(costs) > 1 else None
    figure = plot.pareto_figure(frame, cost_column(costs[0]), "objective_s", by=by)
    contents = {"front.csv": frame.to_csv(index=False).encode("utf-8"), **figure_files("front", figure, figures)}
    write_folder(out, contents, [])
    for name in contents:
        console.print(f"written: {out / name}")
    return frame
