"""The plan beside its rivals: predicted and, where executed, measured objectives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from megdt_opt.planning.plan import Plan
from megdt_opt.report.canvas import CLEAR, FAINT, GRID, INK, new_figure, settings
from megdt_opt.report.facts import objective_label, objective_text, times_the_plan
from megdt_opt.report.numbers import TIMES, short, words
from megdt_opt.trials.verification import Verification

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CUT = 8.0
"""Bars end at this multiple of the plan's objective; longer ones carry an arrow and their value [1]."""

PLAN, RIVAL, PREDICTED = "#0072B2", "#56B4E9", "#c4c4c4"
"""Colours of the plan's and the rivals' measured bars, and of all predicted ones."""

_HEIGHT = 0.34
"""Height of a bar, where a line is 1 high."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One line of the comparison.

    Parameters
    ----------
    name : str
    predicted_s : float
        Objective [s]; for "missed" a weight [1], as are the others.
    measured_s : tuple of float
        Objective of every repeat [s]; empty where it was not executed.
    median_s : float or None
        Median of the repeats [s].
    breaks : tuple of str
        Users whose limits it breaks.
    """

    name: str
    predicted_s: float
    measured_s: tuple[float, ...] = ()
    median_s: float | None = None
    breaks: tuple[str, ...] = ()


def rivals(plan: Plan, verification: Verification | None = None) -> tuple[Rival, ...]:
    """The plan, then all that it is compared with, best prediction first."""
    found = {"plan": Rival(name="plan", predicted_s=plan.objective_s)}
    for b in plan.baselines:
        found[b.name] = Rival(name=b.name, predicted_s=b.objective_s, breaks=b.breaks)
    for s in () if verification is None else verification.sets:
        found[s.name] = Rival(
            name=s.name,
            predicted_s=s.predicted_s,
            measured_s=s.measured_s,
            median_s=s.median_s,
            breaks=s.breaks,
        )
    mine = found.pop("plan")
    return (mine, *sorted(found.values(), key=lambda r: r.predicted_s))


def comparison_figure(plan: Plan, verification: Verification | None = None) -> Figure:
    """Draw the comparison.

    Parameters
    ----------
    plan : Plan
        With its baselines.
    verification : Verification, optional
        Measured objectives; the bars are medians, the dots every repeat, the line their range.

    Returns
    -------
    matplotlib.figure.Figure
    """
    lines = rivals(plan, verification)
    with settings():
        figure = new_figure(9.0, 1.25 + 0.46 * len(lines))
        axes = figure.add_subplot()
        longest_s = max(max(line.predicted_s, *line.measured_s, 0.0) for line in lines)
        timed = plan.scenario.objective_is_time
        shown_s = min(longest_s, CUT * plan.objective_s) if timed else max(longest_s, 1.0)
        if math.isfinite(plan.lower_bound_s):
            axes.axvline(plan.lower_bound_s, color=INK, lw=1.0, ls="--")
        for y, line in enumerate(lines):
            _line(axes, y, line, plan, shown_s)
        axes.set_xlim(0, shown_s * (1.42 if verification is not None else 1.22))
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_yticks(range(len(lines)), [_label(line) for line in lines])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.set_xlabel(objective_label(plan))
        axes.xaxis.grid(True, color=GRID, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        _legend(figure, verification is not None, any(line.breaks for line in lines))
    return figure


def _line(axes: Axes, y: int, line: Rival, plan: Plan, shown_s: float) -> None:
    hatch = "////" if line.breaks else None
    text = objective_text(plan, line.predicted_s)
    end_s = line.predicted_s
    at = y if line.median_s is None else y - _HEIGHT / 2
    axes.barh(at, min(end_s, shown_s), _HEIGHT, color=PREDICTED, hatch=hatch, edgecolor="white", lw=0)
    if line.median_s is not None:
        at = y + _HEIGHT / 2
        colour = PLAN if line.name == "plan" else RIVAL
        axes.barh(at, min(line.median_s, shown_s), _HEIGHT, color=colour, hatch=hatch, edgecolor="white", lw=0)
        low, high = min(line.measured_s), max(line.measured_s)
        if high <= shown_s:
            axes.plot([low, high], [at, at], "|-", ms=6, lw=1.0, color=INK)
            axes.plot(line.measured_s, [at] * len(line.measured_s), ".", ms=3, color=INK)
        end_s = max(end_s, high)
        text += f", measured {objective_text(plan, line.median_s)}"
    ratio = times_the_plan(plan, line.predicted_s)
    if line.name != "plan" and ratio is not None:
        text += f"  ({TIMES} {ratio:.2f})"
    arrow = "→ " if end_s > shown_s else ""
    x = min(end_s, shown_s) + 0.015 * shown_s
    axes.text(x, y, arrow + text, va="center_baseline", size=8, bbox=CLEAR)


def _label(line: Rival) -> str:
    if not line.breaks:
        return line.name
    named = words([short(name) for name in line.breaks]) if len(line.breaks) < 4 else f"{len(line.breaks)} users"
    return f"{line.name}\nbreaks limits of {named}"


def _legend(figure: Figure, measured: bool, broken: bool) -> None:
    from matplotlib.artist import Artist
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [Patch(facecolor=PREDICTED, label="predicted")]
    if measured:
        handles += [
            Patch(facecolor=PLAN, label="plan, measured (median)"),
            Patch(facecolor=RIVAL, label="rival, measured (median)"),
            Line2D([], [], color=INK, lw=1.0, marker=".", ms=4, label="repeats and their range"),
        ]
    handles.append(Line2D([], [], color=INK, lw=1.0, ls="--", label="lower bound, limits kept"))
    if broken:
        handles.append(Patch(facecolor="white", edgecolor=FAINT, hatch="////", label="breaks a user's limits"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, handlelength=1.5)
