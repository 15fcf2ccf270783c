"""Names at the ends of lines, in place of a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import isotonic_regression

from megdt_opt.errors import InvalidInput
from megdt_opt.plot.series import figure_of, shared_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_SPACING = 1.3
"""Between the middles of two names [heights of a letter's size]."""
_DARK_ENOUGH = 0.62
"""Luminance up to which a line's colour can be read as a text on white [1]."""


def label_ends(axes: Axes, *, fontsize: float | str = "small") -> None:
    """Write the name of each line beside its right end, tied to it, as near as names can stand apart.

    What all names begin with ("band: 60 kHz", "band: 90 kHz") is written once, above the axes.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        With lines that have labels; those that begin with "_" are left out, as in a legend.
    fontsize : float or str
        Of the names, as matplotlib takes it.

    Raises
    ------
    InvalidInput
        Where no line has a label.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from megdt_opt.plot import label_ends
    >>> axes = Figure(layout="constrained").add_subplot()
    >>> lines = [axes.plot([1, 2], [level, level], label=f"level {level}") for level in (1.0, 1.01)]
    >>> label_ends(axes)
    >>> [text.get_text() for text in axes.texts]
    ['level 1.0', 'level 1.01']
    """
    from matplotlib.colors import to_rgb
    from matplotlib.font_manager import FontProperties

    figure = figure_of(axes)
    lines = [one for one in axes.lines if not str(one.get_label()).startswith("_") and len(_seen(one))]
    if not lines:
        raise InvalidInput("axes", "no line with a label", "lines with labels", 'Draw with label="...".')
    names, common = shared_name([str(one.get_label()) for one in lines])
    if common:
        axes.set_title(common, loc="right", fontsize=fontsize)
    axes.margins(x=0.03)
    figure.draw_without_rendering()
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [_seen(one)[-1] for one in lines]
    due = np.array([to_axes.transform(end)[1] for end in ends])
    room = _SPACING * FontProperties(size=fontsize).get_size_in_points() * figure.dpi / 72 / axes.bbox.height
    order = np.argsort(due, kind="stable")
    steps = room * np.arange(len(order))
    # all within the height of the axes where they fit there, else as far above it as below
    top = max(1.0 - steps[-1], (1.0 - steps[-1]) / 2)
    low = min(0.0, (1.0 - steps[-1]) / 2)
    heights = np.clip(isotonic_regression(due[order] - steps).x, low, max(top, low)) + steps
    for k, height in zip(order, heights, strict=True):
        colour = np.array(to_rgb(lines[k].get_color()))
        luminance = float(colour @ (0.299, 0.587, 0.114))
        dark = tuple(colour * min(1.0, _DARK_ENOUGH / luminance) if luminance > 0 else colour)
        axes.annotate(
            names[k], tuple(ends[k]), xytext=(1.06, float(height)), textcoords="axes fraction",
            va="center", fontsize=fontsize, color=dark, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.5, "color": dark, "shrinkA": 1, "shrinkB": 2, "relpos": (0, 0.5)},
        )  # fmt: skip


def _seen(line: Line2D) -> np.ndarray:
    """Points of a line that are numbers, (n, 2)."""
    points: np.ndarray = np.column_stack([np.asarray(data, dtype=float) for data in line.get_data(orig=False)])
    seen: np.ndarray = points[np.isfinite(points).all(axis=1)]
    return seen
