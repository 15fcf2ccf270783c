"""Figures of simulations: how long requests took, and how old what is shown is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.plot.series import STYLES, figure_of, legend_above, logarithmic, plain, sheet
from megdt_opt.report.canvas import FAINT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from megdt_opt.online.result import Simulation


def flow_time_figure(found: Sequence[Simulation], *, axes: Axes | None = None, width_in: float | None = None) -> Figure:
    """Draw which part of the requests takes longer than a time, for several policies on one trace.

    Parameters
    ----------
    found : sequence of Simulation
    axes : matplotlib.axes.Axes, optional
        Where to draw, in the fonts that hold there; default a figure of its own.
    width_in : float, optional
        Width of that figure [inch], such as `COLUMN_IN`; default that of a page on a screen.

    Returns
    -------
    matplotlib.figure.Figure
        A dotted vertical line: no policy has a largest flow time to the left of it.

    Raises
    ------
    InvalidInput
        Where there is no simulation.
    """
    _some(found)
    with sheet(axes, width_in, (6.4, 3.9)) as on:
        on.set_xscale("log")
        on.set_yscale("log")
        for i, one in enumerate(found):
            times = np.sort(one.flow_s)
            longer = 1 - np.arange(len(times)) / len(times)  # the part that takes at least as long
            style: dict[str, Any] = dict(STYLES[i % len(STYLES)])
            every = max(len(times) // 12, 1)
            on.step(times, longer, where="pre", lw=1.5, ms=4, markevery=every, label=one.policy, **style)
        bound = found[0].largest_flow_bound_s
        if bound is not None and bound > 0:
            on.axvline(bound, color=FAINT, lw=1.0, ls=":", label="least largest flow time")
        on.set_xlabel("flow time [s]")
        on.set_ylabel("part of the requests that take as long")
        logarithmic(on.xaxis)
        plain(on)
        legend_above(on, *on.get_legend_handles_labels(), own=axes is None)
    return figure_of(on)


def age_figure(found: Sequence[Simulation], *, axes: Axes | None = None, width_in: float | None = None) -> Figure:
    """Draw the mean age of what each user's pictures show, and its peak, for several policies on one trace.

    Parameters
    ----------
    found : sequence of Simulation
    axes : matplotlib.axes.Axes, optional
        Where to draw, in the fonts that hold there; default a figure of its own.
    width_in : float, optional
        Width of that figure [inch], such as `COLUMN_IN`; default that of a page on a screen.

    Returns
    -------
    matplotlib.figure.Figure
        Columns: means; thin lines: up to the peaks.

    Raises
    ------
    InvalidInput
        Where there is no simulation.
    """
    _some(found)
    names = found[0].service.names
    with sheet(axes, width_in, (max(6.4, 0.5 * len(names) + 2), 3.9)) as on:
        width = 0.8 / len(found)
        for i, one in enumerate(found):
            at = np.arange(len(names)) + (i - (len(found) - 1) / 2) * width
            colour = STYLES[i % len(STYLES)]["color"]
            on.bar(at, np.nan_to_num(one.age_mean_s), width, color=colour, label=one.policy)
            on.vlines(at, np.nan_to_num(one.age_mean_s), np.nan_to_num(one.age_peak_s), color=colour, lw=1.0)
        on.set_xticks(np.arange(len(names)), list(names), rotation=30 if len(names) > 6 else 0)
        on.set_ylabel("age of what is shown: mean, peak [s]")
        plain(on)
        legend_above(on, *on.get_legend_handles_labels(), own=axes is None)
    return figure_of(on)


def _some(found: Sequence[Simulation]) -> None:
    if not found:
        raise InvalidInput("found", "no simulation", "at least one", "Simulate first.")
