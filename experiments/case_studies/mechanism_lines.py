"""A line for each mechanism, named at its end: what the studies of the twin's mechanisms draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from case_studies.twin_cells import MECHANISMS
from megdt_opt.plot.mechanism_map import COLOURS
from megdt_opt.plot.series import plain
from megdt_opt.report.canvas import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

YELLOW_TEXT = "#8A7D00"
"""The yellow of a line, dark enough for a text."""
TICKS = ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
"""Ticks of a decade: the finer ones where the axis is short [1]."""
ROOM = 0.083
"""Of a text [heights of the axes]."""


def mechanism_lines(axes: Axes, table: pd.DataFrame, whole: str) -> None:
    """Draw lines over logarithmic axes.

    The line of the plan lies beneath the others, so that a mechanism that is as good as the plan is seen on it.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    table : pandas.DataFrame
        The parameter on the rows, mechanisms and the plan on the columns.
    whole : str
        Column of the plan that may mix mechanisms.
    """
    from matplotlib.patheffects import Normal, Stroke

    axes.plot(table.index, table[whole], color=INK, lw=3.2, zorder=1.9, solid_capstyle="round")
    for name, marker in zip(MECHANISMS, "os^vDPX", strict=True):
        edge = [Stroke(linewidth=1.7, foreground=INK), Normal()] if name == "U2E" else []
        axes.plot(table.index, table[name], color=COLOURS[name], marker=marker, lw=1.0, ms=3, markeredgecolor=INK,
                  markeredgewidth=0.3, path_effects=edge)  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(table.index, [f"{value:g}" for value in table.index])
    low, high = axes.get_ylim()
    for decade in TICKS:
        ticks = [t * 10.0**power for power in range(-3, 4) for t in decade if low <= t * 10.0**power <= high]
        if len(ticks) > 2:
            break
    axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
    axes.minorticks_off()
    axes.margins(x=0.03)
    end_labels(axes, float(table.index[-1]), {name: float(table[name].iloc[-1]) for name in (*MECHANISMS, whole)})
    plain(axes)


def end_labels(axes: Axes, last: float, ends: Mapping[str, float]) -> None:
    """Names beside the right ends of lines, as near to them as they can stand apart, each tied to its end.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        With a logarithmic vertical axis.
    last : float
        Where the lines end.
    ends : mapping of str to float
        Height of each line there.
    """
    low, high = np.log(axes.get_ylim())
    order = sorted(ends, key=lambda name: ends[name])
    steps = ROOM * np.arange(len(order))
    due = (np.log([ends[name] for name in order]) - low) / (high - low)
    heights = np.clip(isotonic_regression(due - steps).x, 0.0, 1.0 - steps[-1]) + steps
    for name, height in zip(order, heights, strict=True):
        colour = YELLOW_TEXT if name == "U2E" else COLOURS.get(name, INK)
        axes.annotate(
            name, (last, ends[name]), xytext=(1.07, height), textcoords="axes fraction", va="center", fontsize=6.5,
            color=colour, fontweight="normal" if name in COLOURS else "bold",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": colour, "shrinkA": 1, "shrinkB": 2, "relpos": (0, 0.5)},
        )  # fmt: skip
