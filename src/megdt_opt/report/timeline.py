"""Timeline figure: predicted above measured, stage by stage."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from megdt_opt.execution.record import Execution
from megdt_opt.planning import Plan
from megdt_opt.stages import Compute, Send, is_edge, leaves

COLOURS = {
    # Okabe and Ito's palette, safe for colour-blind readers
    "uplink": "#E69F00",
    "edge compute": "#0072B2",
    "downlink": "#CC79A7",
    "device compute": "#009E73",
}


def _what(leaf: Compute | Send) -> str:
    if isinstance(leaf, Send):
        return "downlink" if is_edge(leaf.source) else "uplink"
    return "edge compute" if is_edge(leaf.at) else "device compute"


def timeline_png(plan: Plan, execution: Execution | None) -> bytes:
    """The figure as PNG; without an execution only the prediction is drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    lanes = 2 if execution is not None else 1
    height = 1.6 + 0.95 * len(plan.users) * lanes / 2
    figure = Figure(figsize=(10.5, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    measured = {(r.user, r.index): r for r in execution.rows} if execution is not None else {}
    ticks, labels = [], []
    for k, user in enumerate(plan.users):
        base = -k * (lanes + 0.6)
        for index, (leaf, time) in enumerate(zip(leaves(user.program), user.stages, strict=True)):
            _bar(axes, base, leaf, time.start_s, time.duration_s, overrun=False, pale=False)
            row = measured.get((user.name, index))
            if row is not None:
                _bar(axes, base - 1, leaf, row.start_s, row.end_s - row.start_s, overrun=row.overrun_s > 0, pale=True)
        ticks.append(base)
        labels.append(f"{user.name}  predicted")
        if lanes == 2:
            ticks.append(base - 1)
            labels.append("measured")
        axes.text(
            max(t.start_s + t.duration_s for t in user.stages),
            base,
            f"  {user.option.name}",
            va="center",
            fontsize=8,
            color="#333333",
        )
    axes.set_yticks(ticks, labels, fontsize=9)
    longest = max(user.latency_s for user in plan.users)
    axes.set_xlim(0, longest * 1.22)
    axes.set_xlabel("time since the common start [s]")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    handles = [Patch(facecolor=c, label=name) for name, c in COLOURS.items()]
    if execution is not None and execution.overruns:
        handles.append(Patch(facecolor="white", edgecolor="black", hatch="////", label="overrun its slot"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)
    out = BytesIO()
    figure.savefig(out, format="png", dpi=150)
    return out.getvalue()


def _bar(
    axes: Any, lane: float, leaf: Compute | Send, start_s: float, length_s: float, *, overrun: bool, pale: bool
) -> None:
    what = _what(leaf)
    # the two sides of a parallel generation share a lane: the edge's side above the device's
    offset = 0.2 if what in ("uplink", "edge compute", "downlink") else -0.2
    axes.barh(
        lane + offset,
        length_s,
        left=start_s,
        height=0.38,
        color=COLOURS[what],
        alpha=0.75 if pale else 1.0,
        hatch="////" if overrun else None,
        edgecolor="white",
        linewidth=0.4,
    )
