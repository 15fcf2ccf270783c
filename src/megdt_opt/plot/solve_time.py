"""Solution time against the number of users, both logarithmic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.plot.direct_labels import label_ends
from megdt_opt.plot.quantity import quantity
from megdt_opt.plot.series import (
    MOST_TICKS,
    STYLES,
    Places,
    band_name,
    figure_of,
    legend_above,
    line,
    logarithmic,
    need,
    numbers,
    places,
    plain,
    rows_at,
    sheet,
    ticks_at,
)
from megdt_opt.report.canvas import FAINT

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def solve_time_figure(
    frame: pd.DataFrame,
    *,
    x: str = "users",
    y: str = "solve_s",
    by: str | None = None,
    band: tuple[float, float] = (0.0, 0.99),
    direct: bool = False,
    axes: Axes | None = None,
    width_in: float | None = None,
) -> Figure:
    """Draw a time against a size.

    Parameters
    ----------
    frame : pandas.DataFrame
        One row per solution: a sweep over "users", or a benchmark's rows.
    x, y : str
        Columns with the size and with the time [s].
    by : str, optional
        Another column, for example "method": one line for each of its values.
    band : tuple of float
        Quantiles between which the band lies [1]; the line is the median.
    direct : bool
        Whether lines are named at their ends; default in a legend.
    axes : matplotlib.axes.Axes, optional
        Where to draw, in the fonts that hold there; default a figure of its own.
    width_in : float, optional
        Width of that figure [inch], such as `COLUMN_IN`; default that of a page on a screen.

    Returns
    -------
    matplotlib.figure.Figure
        Hollow markers: some solutions of that size were not closed (where the table has a "status").

    Raises
    ------
    InvalidInput
        Where a column is missing, or no size and time are above 0.
    """
    need(frame, [x, y, *([by] if by else [])])
    sizes, times = numbers(frame, x), numbers(frame, y)
    kept = frame[(sizes > 0) & (times > 0)]
    if len(kept) == 0:
        raise InvalidInput(y, times.tolist(), "at least one time above 0 [s]", "Solve first.")
    groups: list[tuple[str, Any]] = [("median", kept)]
    if by is not None:
        lines = places(kept, by)
        groups = [(name, rows_at(kept, by, v)) for name, v in zip(lines.names, lines.values, strict=True)]
    with sheet(axes, width_in, (6.4, 4.2)) as on:
        on.set_xscale("log")
        on.set_yscale("log")
        many = hollow = False
        for i, (name, rows) in enumerate(groups):
            style: dict[str, Any] = dict(STYLES[i % len(STYLES)])
            where = places(rows, x)
            at = np.array(where.values, dtype=float)
            found = line(rows, where, y, band)
            on.plot(at, found.middle, lw=1.6, ms=5, label=name, **style)
            opened = _not_closed(rows, where)
            on.plot(
                at[opened],
                found.middle[opened],
                ls="none",
                marker=style["marker"],
                ms=5,
                mfc="white",
                mec=style["color"],
            )
            hollow |= bool(opened.any())
            if len(rows) > len(where.values):
                many = True
                on.fill_between(at, found.low, found.high, color=style["color"], alpha=0.18, lw=0)
        reference = _reference(on, groups[0][1], x, y)
        whole = places(kept, x)
        if len(whole.values) <= MOST_TICKS and max(whole.values) < 1000:
            ticks_at(on, whole)
        on.set_xlabel(quantity(x, prefix=False).label)
        on.set_ylabel(quantity(y, prefix=False).label)
        logarithmic(on.yaxis)
        plain(on)
        if direct:
            label_ends(on)
        _legend(on, band if many else None, hollow, reference, direct=direct, own=axes is None)
    return figure_of(on)


def _not_closed(rows: Any, where: Places) -> Any:
    if "status" not in rows:
        return np.zeros(len(where.values), dtype=bool)
    return np.array([bool((rows_at(rows, where.column, v)["status"] != "optimal").any()) for v in where.values])


def _reference(axes: Any, rows: Any, x: str, y: str) -> bool:
    """A thin line of slope 1 below the first line's start."""
    sizes = numbers(rows, x)
    first, last = sizes.min(), sizes.max()
    if last < 2 * first:
        return False
    start = 0.5 * float(np.median(numbers(rows, y)[sizes == first]))
    axes.plot([first, last], [start, start * last / first], color=FAINT, lw=0.9, ls=(0, (1, 2)), zorder=1)
    return True


def _legend(
    axes: Any, band: tuple[float, float] | None, hollow: bool, reference: bool, *, direct: bool, own: bool
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles, labels = ([], []) if direct else axes.get_legend_handles_labels()
    if band is not None:
        handles.append(Patch(facecolor=FAINT, alpha=0.3))
        labels.append(band_name(band, ""))
    if hollow:
        handles.append(Line2D([], [], ls="none", marker="o", ms=5, mfc="white", mec=FAINT))
        labels.append("not all closed")
    if reference:
        handles.append(Line2D([], [], color=FAINT, lw=0.9, ls=(0, (1, 2))))
        labels.append("proportional")
    if handles:
        legend_above(axes, handles, labels, own=own)
