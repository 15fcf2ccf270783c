"""The plan against its rivals, predicted and measured."""

from __future__ import annotations

from io import BytesIO

from megdt_opt.planning import Plan
from megdt_opt.verification import Verification


def comparison_png(plan: Plan, verification: Verification | None) -> bytes:
    """Horizontal bars of the objective; dots are the repeats of executed sets."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    rows = [("plan", plan.objective_s, False)]
    rows += [(b.name, b.objective_s, bool(b.breaks)) for b in plan.baselines]
    measured = {s.name: s for s in verification.sets} if verification is not None else {}
    known = {name for name, _, _ in rows}
    rows += [(s.name, s.predicted_s, bool(s.breaks)) for s in measured.values() if s.name not in known]
    rows.sort(key=lambda r: r[1])
    figure = Figure(figsize=(9, 1.2 + 0.36 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, (name, objective, breaks) in enumerate(rows):
        colour = "#0072B2" if name == "plan" else "#BBBBBB"
        axes.barh(
            -place,
            objective,
            color=colour,
            height=0.62,
            hatch="////" if breaks else None,
            edgecolor="white",
            linewidth=0,
        )
        if name in measured:
            repeats = measured[name].measured_s
            axes.plot(repeats, [-place] * len(repeats), "o", color="#D55E00", markersize=4)
        axes.text(
            max([objective, *(measured[name].measured_s if name in measured else ())]),
            -place,
            f"  {objective:.2f} s",
            va="center",
            fontsize=8,
        )
    axes.set_yticks([-i for i in range(len(rows))], [name for name, _, _ in rows], fontsize=9)
    axes.set_xlim(0, max(r[1] for r in rows) * 1.15)
    what = "worst" if plan.scenario.objective == "max" else "summed"
    axes.set_xlabel(f"{what} weighted latency [s]")
    axes.spines[["top", "right"]].set_visible(False)
    handles: list[Patch | Line2D] = [
        Patch(facecolor="#0072B2", label="plan"),
        Patch(facecolor="#BBBBBB", label="rival"),
    ]
    if any(r[2] for r in rows):
        handles.append(Patch(facecolor="#BBBBBB", hatch="////", edgecolor="white", label="breaks a user's limit"))
    if measured:
        handles.append(Line2D([], [], marker="o", color="#D55E00", linestyle="", label="measured"))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)
    out = BytesIO()
    figure.savefig(out, format="png", dpi=150)
    return out.getvalue()
