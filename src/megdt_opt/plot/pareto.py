"""Two objectives against each other, and the points that no other point beats in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from megdt_opt.plot.quantity import objective_quantity
from megdt_opt.plot.series import STYLES, figure_of, legend_above, need, numbers, places, plain, rows_at, sheet
from megdt_opt.tolerances import EXACT

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_TINIEST = 1e-300
"""A difference that is none beside zero."""


def on_front(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points are on the front when less is better in both.

    A point is on the front where no other is at most as large in both and smaller in one by more than rounding. Of
    equal points all are on it; a point with a NaN never is.

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
    if len(fine):
        across, up = np.asarray(x, dtype=float)[fine], np.asarray(y, dtype=float)[fine]
        order = np.argsort(across, kind="stable")
        # least y among the first points
        least: NDArray[np.float64] = np.concatenate([[np.inf], np.minimum.accumulate(up[order])])

        def least_until(limit: NDArray[np.float64]) -> NDArray[np.float64]:
            value: NDArray[np.float64] = least[np.searchsorted(across[order], limit, side="right")]
            return value

        left = least_until(across - EXACT * np.abs(across) - _TINIEST) <= up
        below = least_until(across) < up - EXACT * np.abs(up)
        found[fine] = ~(left | below)
    return found


def pareto_figure(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    by: str | None = None,
    curve: bool = False,
    axes: Axes | None = None,
    width_in: float | None = None,
) -> Figure:
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
    axes : matplotlib.axes.Axes, optional
        Where to draw, in the fonts that hold there; default a figure of its own.
    width_in : float, optional
        Width of that figure [inch], such as `COLUMN_IN`; default that of a page on a screen.

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
    with sheet(axes, width_in, (5.6, 3.9)) as on:
        beaten = False
        for i, (name, rows) in enumerate(groups):
            style = STYLES[i % len(STYLES)]
            colour, marker = style["color"], style["marker"]
            a, b = numbers(rows, x) / across.factor, numbers(rows, y) / up.factor
            front = on_front(a, b)
            order = np.flatnonzero(front)[np.argsort(a[front], kind="stable")]
            on.plot(
                a[order], b[order], color=colour, marker=marker, ms=5, lw=1.4, label=name,
                drawstyle="default" if curve else "steps-post",
            )  # fmt: skip
            rest = ~front & np.isfinite(a) & np.isfinite(b)
            beaten |= bool(rest.any())
            on.plot(a[rest], b[rest], ls="none", marker=marker, ms=4.5, mfc="white", mec=colour, alpha=0.8)
        on.set_xlabel(across.label)
        on.set_ylabel(up.label)
        on.margins(0.06)
        plain(on)
        _legend(on, beaten, own=axes is None)
    return figure_of(on)


def _legend(axes: Axes, beaten: bool, *, own: bool) -> None:
    from matplotlib.lines import Line2D

    handles, labels = axes.get_legend_handles_labels()
    if beaten:
        handles.append(Line2D([], [], ls="none", marker="o", ms=4.5, mfc="white", mec="#666666"))
        labels.append("beaten in both")
    if len(handles) > 1:
        legend_above(axes, handles, labels, own=own)
