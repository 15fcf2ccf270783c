"""A line for each mechanism, named at its end: what the studies of the twin's mechanisms draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from case_studies.twin_cells import MECHANISMS
from megdt_opt.plot.direct_labels import label_ends
from megdt_opt.plot.mechanism_map import COLOURS
from megdt_opt.plot.series import plain
from megdt_opt.report.canvas import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS = ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
"""Ticks of a decade: the finer ones where the axis is short [1]."""


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

    axes.plot(table.index, table[whole], color=INK, lw=3.2, zorder=1.9, solid_capstyle="round", label=whole)
    for name, marker in zip(MECHANISMS, "os^vDPX", strict=True):
        edge = [Stroke(linewidth=1.7, foreground=INK), Normal()] if name == "U2E" else []
        axes.plot(table.index, table[name], color=COLOURS[name], marker=marker, lw=1.0, ms=3, markeredgecolor=INK,
                  markeredgewidth=0.3, path_effects=edge, label=name)  # fmt: skip
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
    label_ends(axes, fontsize=6.5)
    plain(axes)
