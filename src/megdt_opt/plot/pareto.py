"""Two objectives against each other, and the points that no other point beats in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from megdt_opt.plot.quantity import objective_quantity
from megdt_opt.plot.series import STYLES, legend_above, need, numbers, places, plain, rows_at
from megdt_opt.report.canvas import new_figure, settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def on_front(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points are on the front when less is better in both.

    A point is on the front where no other is at most as large in both and smaller in one. Of equal points all are on
    it; a point with a NaN never is.

    Parameters
    ----------
    x, y : array, (n,)
        Any units.

    Returns
    -------
    array of bool, (n,)
    """
    found = np.zeros(len(x), dtype=bool)
    fine = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    best = np.inf  # least y among the points with a smaller x
    for value in np.unique(x[fine]):
        here = fine[x[fine] == value]
        least = y[here].min()
        if least < best:
            found[here[y[here] == least]] = True
            best = least
    return found


def pareto_figure(frame: pd.DataFrame, x: str, y: str, *, by: str | None = None, curve: bool = False) -> Figure:
    """Draw two columns against each other, less being better in both, with the front.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any table with these columns, for example a sweep over an energy limit.
    x, y : str
        Columns, for example "device_compute_j" and "objective_s".
    by : str, optional
        Another column: one front for each of its values.
    curve : bool
        True joins the points by straight lines, for samples of a continuous front; default is the staircase that the
        points alone prove.

    Returns
    -------
    matplotlib.figure.Figure
        Filled points are on the front, hollow ones are beaten by another.

    Raises
    ------
    InvalidInput
        Where a column is missing.
    """
    need(frame, [x, y, *([by] if by else [])])
    across, up = (objective_quantity(frame, name, numbers(frame, name)) for name in (x, y))
    groups = [("front", frame)]
    if by is not None:
        lines = places(frame, by)
        groups = [(name, rows_at(frame, by, v)) for name, v in zip(lines.names, lines.values, strict=True)]
    with settings():
        figure = new_figure(5.6, 3.9)
        axes = figure.add_subplot()
        beaten = False
        for i, (name, rows) in enumerate(groups):
            style = STYLES[i % len(STYLES)]
            colour, marker = style["color"], style["marker"]
            a, b = numbers(rows, x) / across.factor, numbers(rows, y) / up.factor
            front = on_front(a, b)
            order = np.flatnonzero(front)[np.argsort(a[front], kind="stable")]
            axes.plot(
                a[order], b[order], color=colour, marker=marker, ms=5, lw=1.4, label=name,
                drawstyle="default" if curve else "steps-post",
            )  # fmt: skip
            rest = ~front & np.isfinite(a) & np.isfinite(b)
            beaten |= bool(rest.any())
            axes.plot(a[rest], b[rest], ls="none", marker=marker, ms=4.5, mfc="white", mec=colour, alpha=0.8)
        axes.set_xlabel(across.label)
        axes.set_ylabel(up.label)
        axes.margins(0.06)
        plain(axes)
        _legend(figure, axes, beaten)
    return figure


def _legend(figure: Figure, axes: Axes, beaten: bool) -> None:
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    if beaten:
        handles.append(Line2D([], [], ls="none", marker="o", ms=4.5, mfc="white", mec="#666666"))
        labels.append("beaten in both")
    if len(handles) > 1:
        legend_above(figure, handles, labels)
