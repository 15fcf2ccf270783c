"""Timeline of a plan: for each user the predicted stages above the measured ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from megdt_opt.execution.record import Execution, StageRow
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.user_plan import UserPlan
from megdt_opt.program.batches import batched_step
from megdt_opt.program.stages import Compute
from megdt_opt.program.turns import first_in_turn
from megdt_opt.report.canvas import CLEAR, FAINT, GRID, INK, new_figure, settings
from megdt_opt.report.lanes import Bar, alone_bars, bars, colours_of, resource_of, short_text, waited_for
from megdt_opt.report.numbers import number, short
from megdt_opt.scenario.machines import borrowed_stages
from megdt_opt.si import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

WIDTH_IN = 10.0
"""Width of the figure [inch]."""

_HEADER, _LANE, _SPACE = 0.85, 0.8, 0.45
"""Heights of a user's title, of a lane and of the space below a user, in units of the vertical axis."""

_UNIT_IN, _TALL_UNIT_IN = 0.25, 0.32
"""Height of a unit of the vertical axis, and where lanes are shared by parallel branches [inch]."""

_Label = tuple["Text", float]
"""A text inside a bar, and the bar's length [s]."""


def timeline_figure(plan: Plan, execution: Execution | None = None) -> Figure:
    """Draw the stages of all users against time; parallel branches share the height of their lane.

    Common steps of a group are drawn for everyone who waits for them. Where the edge serves in turns or makes batches,
    the time for which a chain waits for its own is drawn in outline; a thin line stands between batches.

    Parameters
    ----------
    plan : Plan
        What was predicted.
    execution : Execution, optional
        What was measured; without it only the prediction is drawn.

    Returns
    -------
    matplotlib.figure.Figure
    """
    lanes = 1 if execution is None else 2
    block = _HEADER + lanes * _LANE + _SPACE
    colours = colours_of([str(site.name) for site in plan.table.sites])
    drawn = [bars(plan, user) for user in plan.users]
    shared = any(bar.place.bottom - bar.place.top < 1 for found in drawn for bar in found.values())
    with settings():
        figure = new_figure(WIDTH_IN, 0.95 + (_TALL_UNIT_IN if shared else _UNIT_IN) * block * len(plan.users))
        axes = figure.add_subplot()
        end_s = _latest_s(plan, execution)
        labels: list[_Label] = []
        ticks: list[tuple[float, str]] = []
        for k, user in enumerate(plan.users):
            top = k * block
            _title(axes, top + _HEADER - 0.12, user)
            middle = top + _HEADER + _LANE / 2
            labels += [
                _bar(axes, bar, bar.time.start_s, bar.time.duration_s, middle, colours) for bar in drawn[k].values()
            ]
            served = user.turn or user.batched
            if served is not None:
                _waiting(axes, served.start_s, served.waiting_s, middle)
            if user.batched is not None:
                _batches(axes, user.batched.times_s, middle)
            _end_label(axes, user.latency_s, middle, f"{number(user.latency_s)} s", end_s)
            ticks.append((middle, "predicted"))
            if execution is not None:
                middle += _LANE
                alone = alone_bars(plan, user) if execution.faults else {}
                for r in execution.rows:
                    own = r.user == user.name and r.fallback
                    bar = alone.get(r.index) if own else None if r.fallback else drawn[k].get((r.user, r.index))
                    if bar is not None:
                        length_s = r.end_s - r.start_s
                        labels.append(_bar(axes, bar, r.start_s, length_s, middle, colours, late=r.overrun_s > 0))
                        if _begins_at_edge(user, r):
                            _waiting(axes, r.start_s, r.waiting_s, middle)
                        _batches(axes, r.step_s, middle)
                _end_label(axes, *_outcome(execution, user.name, middle), end_s)
                ticks.append((middle, "measured"))
            deadline_s = plan.scenario.users[k].deadline_s
            if deadline_s is not None and _shown(deadline_s, end_s):
                axes.plot([deadline_s] * 2, [top + _HEADER, middle + _LANE / 2], color=INK, lw=1.4, ls=":")
        axes.set_xlim(0, end_s * 1.16)
        axes.set_ylim(block * len(plan.users) - _SPACE / 2, 0)
        axes.set_yticks([y for y, _ in ticks], [label for _, label in ticks])
        axes.tick_params(axis="y", length=0)
        borrowed = [
            f"{actor}: {one.stage} from {one.words}"
            for actor, those in borrowed_stages(plan.scenario).items()
            for one in those
        ]
        axes.set_xlabel("\n".join(["time since the common start [s]", *(f"borrowed for {text}" for text in borrowed)]))
        axes.xaxis.grid(True, color=GRID, lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        late = execution is not None and bool(execution.overruns)
        dated = any(_shown(u.deadline_s, end_s) for u in plan.scenario.users)
        _legend(figure, colours, late, dated, waited_for(plan))
        _drop_wide(figure, axes, labels)
    return figure


def _outcome(execution: Execution, user: str, y: float) -> tuple[float, float, str]:
    """Where and how a user's measured lane ends."""
    at_s = execution.measured_s.get(user)
    if at_s is None:
        return next(fault.at_s for fault in execution.faults if fault.user == user), y, "no picture"
    local = "locally, " if any(fault.user == user for fault in execution.faults) else ""
    return at_s, y, f"{number(at_s)} s ({local}{percent(execution.error_percent[user])})"


def _latest_s(plan: Plan, execution: Execution | None) -> float:
    ends = [user.latency_s for user in plan.users]
    if execution is not None:
        ends += execution.measured_s.values()
    return max(ends)


def _shown(deadline_s: float | None, end_s: float) -> bool:
    return deadline_s is not None and deadline_s <= 1.1 * end_s


def _title(axes: Axes, y: float, user: UserPlan) -> None:
    from matplotlib.transforms import blended_transform_factory

    where = blended_transform_factory(axes.transAxes, axes.transData)
    head = axes.text(0, y, f"{short(user.name)}   ", transform=where, va="bottom", weight="bold", size=9, bbox=CLEAR)
    text = f"{user.option.name}: {user.hand_over}"
    axes.annotate(text, (1, 0), xycoords=head, va="bottom", color=FAINT, size=8.5, bbox=CLEAR)


def _bar(
    axes: Axes,
    bar: Bar,
    start_s: float,
    length_s: float,
    middle: float,
    colours: Mapping[str, str],
    *,
    late: bool = False,
) -> _Label:
    leaf, place = bar.leaf, bar.place
    resource = resource_of(leaf, colours)
    height = 0.88 * _LANE
    y, tall = middle + height * (place.top - 0.5), height * (place.bottom - place.top)
    axes.broken_barh(
        [(start_s, length_s)],
        (y, tall),
        facecolor=colours[resource],
        edgecolor="black" if late else "white",
        hatch="////" if late else None,
        linewidth=0.5,
    )
    dark = isinstance(leaf, Compute) and colours[resource] != "#56B4E9" and not late
    label = axes.text(
        start_s + length_s / 2,
        y + tall / 2,
        short_text(leaf),
        ha="center",
        va="center_baseline",
        color="white" if dark else "black",
        size=7.0 if place.bottom - place.top > 0.9 else 6.0,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8} if late else None,
        zorder=4,  # above the lines between batches
    )
    label.set_in_layout(False)
    return label, length_s


def _begins_at_edge(user: UserPlan, row: StageRow) -> bool:
    """Whether a stage that was executed is the one with which a user's turn or batches at the edge begin."""
    if row.fallback or row.shared or row.user != user.name:
        return False
    if user.batched is not None:
        return row.index == batched_step(user.program)
    return user.turn is not None and row.index == first_in_turn(user.program)


def _waiting(axes: Axes, start_s: float, waiting_s: float, middle: float) -> None:
    """The time for which a chain waits before its turn or its first batch."""
    if waiting_s > 0:
        box = (middle - 0.44 * _LANE, 0.88 * _LANE)
        axes.broken_barh(
            [(start_s - waiting_s, waiting_s)], box, facecolor="white", edgecolor=FAINT, linewidth=0.7, linestyle="--"
        )


def _batches(axes: Axes, times_s: Sequence[tuple[float, float]], middle: float) -> None:
    """Where one batch of a chain's steps ends and its next begins."""
    ends_s = [end_s for _, end_s in times_s[:-1]]
    axes.vlines(ends_s, middle - 0.44 * _LANE, middle + 0.44 * _LANE, colors="white", linewidth=0.5)


def _end_label(axes: Axes, at_s: float, y: float, text: str, end_s: float) -> None:
    axes.text(at_s + 0.006 * end_s, y, text, va="center_baseline", size=7.5, bbox=CLEAR)


def _legend(figure: Figure, colours: Mapping[str, str], late: bool, deadlines: bool, waits: str) -> None:
    from matplotlib.artist import Artist
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [Patch(facecolor=colour, label=name) for name, colour in colours.items()]
    if late:
        handles.append(Patch(facecolor="white", edgecolor="black", hatch="////", label="ended after its slot"))
    if waits:
        handles.append(Patch(facecolor="white", edgecolor=FAINT, linestyle="--", label=f"waits for its {waits}"))
    if deadlines:
        handles.append(Line2D([], [], color=INK, lw=1.4, ls=":", label="deadline"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, handlelength=1.4)


def _drop_wide(figure: Figure, axes: Axes, labels: list[_Label]) -> None:
    """Remove the texts that do not fit into their bars."""
    figure.draw_without_rendering()
    canvas: Any = figure.canvas  # its renderer is untyped in matplotlib
    pixel_per_s = axes.transData.get_matrix()[0, 0]
    for text, length_s in labels:
        if text.get_window_extent(canvas.get_renderer()).width > 0.94 * length_s * pixel_per_s:
            text.remove()
