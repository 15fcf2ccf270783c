"""Latency against a parameter, with a band over the seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.plot.direct_labels import label_ends
from megdt_opt.plot.quantity import objective_quantity, quantity
from megdt_opt.plot.series import (
    STYLES,
    Places,
    alone,
    band_name,
    figure_of,
    lay_out,
    legend_above,
    line,
    logarithmic,
    need,
    numbers,
    places,
    rows_at,
    sheet,
)
from megdt_opt.report.canvas import FAINT, INK

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BASELINES = {
    "best_single_s": "best single mechanism",
    "equal_shares_s": "plan's options, equal shares",
    "all_centralised_s": "all centralised",
    "all_local_s": "all local",
}
"""Baselines of a sweep, in the order in which they are drawn."""

CUT = 2.5
"""The vertical axis ends at this multiple of the plan's largest value; baselines may leave it [1]."""

_Drawn = tuple[str, str, Any]
"""Legend text, column, and the rows."""


def latency_figure(
    frame: pd.DataFrame,
    parameter: str,
    *,
    by: str | None = None,
    value: str = "objective_s",
    baselines: bool = True,
    band: tuple[float, float] = (0.0, 1.0),
    direct: bool = False,
    axes: Axes | None = None,
    width_in: float | None = None,
) -> Figure:
    """Draw a latency against a swept parameter.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `sweep` returns it (or `sweep_users`, with value="latency_s").
    parameter : str
        Column on the horizontal axis, for example "channel.downlink_hz".
    by : str, optional
        Another column: one line for each of its values.
    value : str
        Column on the vertical axis.
    baselines : bool
        Whether to draw the sweep's baselines too; only without `by`.
    band : tuple of float
        Quantiles over the seeds between which the band lies [1]; the line is the median.
    direct : bool
        Whether lines are named at their ends; default in a legend.
    axes : matplotlib.axes.Axes, optional
        Where to draw, in the fonts that hold there; default a figure of its own.
    width_in : float, optional
        Width of that figure [inch], such as `COLUMN_IN`; default that of a page on a screen.

    Returns
    -------
    matplotlib.figure.Figure
        Crosses at the bottom mark values of the parameter at which some or all cells are infeasible.

    Raises
    ------
    InvalidInput
        Where a column is missing, or another parameter varies that the figure would not show.
    """
    need(frame, [parameter, value, *([by] if by else [])])
    alone(frame, [parameter, *([by] if by else [])])
    where = places(frame, parameter)
    drawn = _drawn(frame, by, value, baselines)
    main = numbers(frame, value)
    # one unit for all lines, chosen by the plan's values, because a baseline may be out of all proportion
    named = objective_quantity(frame, value, main)
    with sheet(axes, width_in, (6.4, 3.9)) as on:
        infeasible, banded = 0, False
        for i, (name, column, rows) in enumerate(drawn):
            found = line(rows, where, column, band)
            style: dict[str, Any] = dict(STYLES[i % len(STYLES)])
            on.plot(where.at, found.middle / named.factor, label=name, ms=4.5, lw=1.8 if i == 0 else 1.3, **style)
            if len(rows) > len(where.values):
                banded = True
                low, high = found.low / named.factor, found.high / named.factor
                on.fill_between(where.at, low, high, color=style["color"], alpha=0.2 if column == value else 0.1, lw=0)
            if column == value:
                colour = INK if by is None else style["color"]
                infeasible += _crosses(on, rows, where, value, height=0.03 + 0.04 * infeasible, colour=colour)
        lay_out(on, where)
        on.set_ylabel(named.label)
        _vertical(on, main[np.isfinite(main)] / named.factor)
        _legend(on, frame, band if banded else None, infeasible, direct=direct, own=axes is None)
    return figure_of(on)


def _drawn(frame: pd.DataFrame, by: str | None, value: str, baselines: bool) -> list[_Drawn]:
    if by is not None:
        lines = places(frame, by)
        return [(name, value, rows_at(frame, by, v)) for name, v in zip(lines.names, lines.values, strict=True)]
    drawn: list[_Drawn] = [("plan" if value == "objective_s" else quantity(value).name, value, frame)]
    if baselines and value == "objective_s":
        drawn += [(n, c, frame) for c, n in BASELINES.items() if c in frame and bool(frame[c].notna().any())]
    return drawn


def _vertical(axes: Axes, values: NDArray[np.float64]) -> None:
    """From 0 to a little above the plan's values; logarithmic where they span much."""
    if len(values) == 0:
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no cell has a plan", transform=axes.transAxes, ha="center", color=FAINT)
        return
    low, high = float(values.min()), float(values.max())
    if low > 0 and high > 20 * low:
        axes.set_yscale("log")
        axes.set_ylim(0.6 * low, CUT * high)
        logarithmic(axes.yaxis)
        return
    drawn = [np.asarray(ln.get_ydata(), dtype=np.float64) for ln in axes.lines if ln.get_label() != "_none"]
    shown = [float(np.nanmax(y)) for y in drawn if np.isfinite(y).any()]
    axes.set_ylim(0, min(1.08 * max(shown), CUT * high) or 1.0)


def _crosses(axes: Axes, rows: pd.DataFrame, where: Places, value: str, *, height: float, colour: str) -> bool:
    """Mark the places at which some of the rows have no plan; `height` in parts of the axis."""
    none = [
        at
        for at, v in zip(where.at, where.values, strict=True)
        if bool(rows_at(rows, where.column, v)[value].isna().any())
    ]
    if none:
        where_to = axes.get_xaxis_transform()
        axes.plot(none, [height] * len(none), "x", color=colour, ms=6, transform=where_to, label="_none")
    return bool(none)


def _legend(
    axes: Axes, frame: pd.DataFrame, band: tuple[float, float] | None, infeasible: int, *, direct: bool, own: bool
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = list(axes.get_legend_handles_labels()[0])
    labels = [str(handle.get_label()) for handle in handles]
    top = axes.get_ylim()[1]
    if direct:
        label_ends(axes)
        handles, labels = [], []
    for i, handle in enumerate(handles):
        drawn: NDArray[np.float64] = np.asarray(handle.get_ydata(), dtype=np.float64)
        if np.isfinite(drawn).any() and np.nanmin(drawn) > top:
            labels[i] += " (above the axis)"
    seeds = frame["seed"].nunique() if "seed" in frame else 0
    if band is not None:
        handles.append(Patch(facecolor=FAINT, alpha=0.3))
        noun = "of all users" if "user" in frame else f"of {seeds} seeds" if seeds > 1 else ""
        labels.append(band_name(band, noun))
    if infeasible:
        handles.append(Line2D([], [], color=INK, marker="x", ls="none", ms=6))
        labels.append("infeasible for some seeds or all" if seeds > 1 else "infeasible")
    if len(handles) > (0 if direct else 1):
        legend_above(axes, handles, labels, own=own)
