"""Generation splitting: the front of latency against energy, in closed form and by the cone program.

Published ("Large Model at Edge: An Optimal MEG Design", IEEE TWC 2025; ICC 2025 slides): 4.14 s with the model split
against 2.08, 2.50, 2.93 and 3.35 s with the content split at beta = 2, 4, 6 and 8. V0, k, eps and beta itself are not
published, so the device's exponent and its speed are swept and latencies are relative to making everything at the edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from case_studies.study import Study, holds
from megdt_opt import GenerationSplitProblem, bounds
from megdt_opt.formulations import energy_delay
from megdt_opt.plot.series import STYLES, plain
from megdt_opt.report.canvas import FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EXPONENTS = (0.2, 0.5, 0.8)
SPEEDS = (0.25, 0.6, 0.95)
"""Whole content on the device at full power over everything at the edge, U_min/A [1]."""
LIMITS = np.linspace(0.0, 1.0, 33)
"""Energy limits over the energy of everything on the device at full power [1]."""
PUBLISHED = {2: 2.08, 4: 2.50, 6: 2.93, 8: 3.35}
MODEL_SPLIT_S = 4.14
GRID = 2001
"""Shares tried by hand for each limit [1]."""


def problem(exponent: float, speed: float, limit: float = 1.0) -> GenerationSplitProblem:
    """A = 1 s, full power 1 W, so that latencies and energies are relative."""
    return GenerationSplitProblem(
        edge_s=0.5, payload_bit=5e5, rate_bit_per_s=1e6, device_s_at_1_w=speed, exponent=exponent,
        power_max_w=1.0, energy_max_j=limit * speed,
    )  # fmt: skip


def tried(p: GenerationSplitProblem) -> float:
    """Least latency over a grid of shares, each at the largest power that its energy allows [s]."""
    best = p.whole_edge_s
    for on_device in np.linspace(0.0, 1.0, GRID)[1:]:
        power = p.power_w(float(on_device))
        if power > 0:
            best = min(best, p.evaluate(1.0 - float(on_device), power).latency_s)
    return best


def rows() -> Iterator[dict[str, Any]]:
    """Every front: closed form, cone program and grid."""
    for exponent in EXPONENTS:
        for speed in SPEEDS:
            p = problem(exponent, speed)
            front = bounds.energy_delay_front(p, LIMITS * speed)
            for i, limit in enumerate(LIMITS):
                cell = replace(p, energy_max_j=float(limit * speed))
                cone = energy_delay.solve(cell, gap=1e-9, time_limit_s=None)
                yield {
                    "exponent": exponent,
                    "device_over_edge": speed,
                    "energy_limit": limit,
                    "closed_form_s": float(front.latency_s[i]),
                    "cone_program_s": cone.latency_s,
                    "cone_bound_s": cone.lower_bound_s,
                    "grid_s": tried(cell),
                    "edge_share": float(front.share[i]),
                }


def draw(frame: pd.DataFrame, axes: Axes) -> None:
    """Lines of the closed form, markers of the cone program, published points at the right."""
    for exponent, style, first in zip(EXPONENTS, STYLES, (0, 1, 2), strict=False):
        for speed in SPEEDS:
            mine = frame[(frame.exponent == exponent) & (frame.device_over_edge == speed)]
            axes.plot(mine.energy_limit, mine.closed_form_s, color=style["color"], ls=style["ls"], lw=1.0)
            some = mine.iloc[first::4]  # lines that coincide have markers in turn
            axes.plot(
                some.energy_limit, some.cone_program_s, color=style["color"], marker=style["marker"], lw=0, ms=3.5
            )
        axes.plot([], [], **style, lw=1.0, ms=3.5, label=f"k = {exponent:g}")
    for speed in SPEEDS:
        axes.text(1.04, speed, f"{speed:g}", va="center", fontsize=7, color=FAINT)
    axes.text(1.04, 1.03, "$U_{min}/A$", va="bottom", ha="center", fontsize=7, color=FAINT)
    for beta, seconds in PUBLISHED.items():
        axes.plot(1.3, seconds / MODEL_SPLIT_S, color=INK, marker="_", markersize=6)
        axes.text(1.35, seconds / MODEL_SPLIT_S, f"β = {beta}", va="center", fontsize=7)
    axes.text(1.26, 1.03, "published", va="bottom", fontsize=7)
    axes.axvline(1.2, color=FAINT, lw=0.6)
    axes.set_xlim(0, 1.55)
    axes.set_ylim(0, 1.02)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.set_xlabel("energy limit / energy of all on the device [1]")
    axes.set_ylabel("latency / all at the edge [1]")
    axes.legend(frameon=False, fontsize=7, loc="lower left", ncols=3, columnspacing=0.8, handlelength=2.0)
    plain(axes)


def findings(frame: pd.DataFrame) -> str:
    """What was found, from the rows."""
    cone = float((frame.cone_program_s / frame.closed_form_s - 1).abs().max())
    grid = float((frame.closed_form_s / frame.grid_s - 1).max())
    near = float((frame.grid_s / frame.closed_form_s - 1).max())
    at = {
        (e, s): g.set_index("energy_limit").closed_form_s
        for (e, s), g in frame.groupby(["exponent", "device_over_edge"])
    }
    half = {key: (1 - series.loc[0.25]) / (1 - series.loc[1.0]) for key, series in at.items()}
    (least_key, least), (most_key, most) = min(half.items(), key=lambda i: i[1]), max(half.items(), key=lambda i: i[1])
    steps = np.diff(list(PUBLISHED.values()))
    ratios = [seconds / MODEL_SPLIT_S for seconds in PUBLISHED.values()]
    relative = " and ".join(", ".join(f"{ratio:.2f}" for ratio in ratios).rsplit(", ", 1))
    return f"""
**The closed form holds.** On {len(frame)} cells ({len(EXPONENTS)} exponents k, {len(SPEEDS)} device speeds,
{len(LIMITS)} energy limits) the closed form and the power cone program differ by at most {cone:.1e} of the latency; no
point of a grid of {GRID} shares is better by more than {max(grid, 0):.0e}, and the grid comes within {near:.1e}.

**What a quarter of the energy buys depends on k and on the device's speed.** With an energy limit of a quarter of what
the device would spend on everything, {100 * least:.0f} % of the largest saving of latency is had at
k = {least_key[0]:g}, U_min/A = {least_key[1]:g}, and {100 * most:.0f} % at k = {most_key[0]:g},
U_min/A = {most_key[1]:g}. Where U_min > (1 - k) A full power is best and k does not matter: all three lines coincide at
U_min/A = 0.95, and two of them at 0.6.

**Published points.** The published latencies are {relative} of the model split's {MODEL_SPLIT_S:g} s and grow by
{steps.min():.2f} to {steps.max():.2f} s for each step of 2 in beta: a straight line in beta. V0, k, eps and beta are
not published, so the points stand beside the fronts and are not claimed to be reproduced.
"""


def verdict(frame: pd.DataFrame) -> str:
    """Whether the closed form is the optimum."""
    off = float((frame.cone_program_s / frame.closed_form_s - 1).abs().max())
    return holds(off <= 1e-6, f"closed form and cone program agree to {off:.1e} at every limit that was tried.")


STUDY = Study(
    name="generation_splitting",
    title="Generation splitting: latency against the device's energy",
    lead="the optimal share and power have a closed form, whatever the device's energy limit.",
    verdict=verdict,
    rows=rows,
    panels=(draw,),
    findings=findings,
    height_in=2.8,
)
