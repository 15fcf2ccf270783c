"""Shares of users by mechanism over a parameter, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.plot.mechanism_map import LIGHT_TEXT, colours_of
from megdt_opt.plot.series import figure_of, lay_out, need, numbers, places, rows_at, sheet

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROOM, _SPAN = 9.0, 0.22
"""An area is named inside where it is at least so high [%] over such a part of the axis [1], else in a legend."""


def shares_figure(
    frame: pd.DataFrame,
    x: str,
    mechanisms: Sequence[str],
    *,
    axes: Axes | None = None,
    width_in: float | None = None,
) -> Figure:
    """Draw which share of the users runs which mechanism as stacked areas, each named where it is widest.

    Parameters
    ----------
    frame : pandas.DataFrame
        Any table with these columns, such as a sweep; rows of one value are added up.
    x : str
        Column with the parameter, of numbers.
    mechanisms : sequence of str
        Columns with numbers of users, from bottom to top; "users_" before a name is left out of its label.
    axes : matplotlib.axes.Axes, optional
        Where to draw, in the fonts that hold there; default a figure of its own.
    width_in : float, optional
        Width of that figure [inch], such as `COLUMN_IN`; default that of a page on a screen.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InvalidInput
        Where a column is missing, or a value has no users.
    """
    need(frame, [x, *mechanisms])
    where = places(frame, x)
    counts = np.array([[np.nansum(numbers(rows_at(frame, x, v), m)) for v in where.values] for m in mechanisms])
    total = counts.sum(axis=0)
    if not (total > 0).all():
        empty = [v for v, count in zip(where.values, total, strict=True) if not count > 0]
        raise InvalidInput(x, empty, "values at which somebody has a plan", "Leave the rows out.")
    shares = 100 * counts / total
    names = [name.removeprefix("users_") for name in mechanisms]
    colours = colours_of(names)
    from matplotlib.patches import Patch

    with sheet(axes, width_in, (5.6, 3.4)) as on:
        on.stackplot(where.at, shares, colors=[colours[name] for name in names], lw=0.6, edgecolor="white")
        lay_out(on, where)
        top = np.cumsum(shares, axis=0)
        last, apart = len(where.at) - 1, []
        scaled = np.log(where.at) if where.log else where.at
        for name, share, upper in zip(names, shares, top, strict=True):
            widest = int(np.argmax(share))
            wide = share >= _ROOM
            if not wide.any() or np.ptp(scaled[wide]) < _SPAN * np.ptp(scaled):
                apart.append(Patch(facecolor=colours[name], label=name))
                continue
            on.annotate(
                name, (where.at[widest], upper[widest] - share[widest] / 2), ha={0: "left", last: "right"}.get(
                    widest, "center"), xytext=({0: 3, last: -3}.get(widest, 0), 0), textcoords="offset points",
                va="center", fontsize="small", color="white" if name in LIGHT_TEXT else "black",
            )  # fmt: skip
        if apart:
            on.legend(handles=apart, frameon=False, fontsize="small", loc="lower right", bbox_to_anchor=(1.0, 1.0))
        on.grid(visible=False)
        on.set_ylim(0, 100)
        on.set_xlim(float(where.at[0]), float(where.at[-1]))
        on.set_ylabel("share of the users [%]")
    return figure_of(on)
