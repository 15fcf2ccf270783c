"""One self-contained HTML page with everything that a reader needs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib import resources

from rich.table import Table

from megdt_opt.execution.record import Execution
from megdt_opt.pictures import Picture
from megdt_opt.planning import Plan
from megdt_opt.report import tables
from megdt_opt.verification import Verification


def page_text(
    plan: Plan,
    execution: Execution | None,
    verification: Verification | None,
    pictures: Sequence[Picture],
    figures: dict[str, bytes],
) -> str:
    """The page."""
    parts = [f"<h1>{escape(plan.scenario.name)}</h1>", f"<p class=lead>{escape(headline(plan, execution))}</p>"]
    parts += ["<h2>Plan</h2>", _html(tables.plan_table(plan)), _line(tables.outcome_line(plan))]
    parts += [_line(line) for line in (tables.robustness_line(plan), *plan.notes) if line]
    if "comparison" in figures:
        parts += ["<h2>Against its rivals</h2>", _figure(figures["comparison"], "Objective of the plan and its rivals")]
        parts.append(_html(tables.baseline_table(plan)))
        parts.append(
            _line(
                "A rival of one mechanism has its best cuts, precisions and optimal shares, and is freed of the users' own "
                "limits; whose limits it breaks is listed."
            )
        )
    if verification is not None:
        parts += ["<h2>Is the plan really fastest?</h2>", _html(tables.verification_table(verification))]
        parts.append(_line(tables.verification_line(verification)))
    if execution is not None:
        parts += ["<h2>Predicted and measured</h2>", _html(tables.execution_table(execution))]
        parts.append(_line(tables.execution_line(execution)))
    parts += [_figure(figures["timeline"], "Stages of every user, predicted above measured")]
    if "pictures" in figures:
        parts += [
            "<h2>The pictures</h2>",
            _figure(figures["pictures"], "Rendered scene, executed picture, unsplit run"),
        ]
        parts.append(
            _line(
                "A detector that was trained on rendered scenes only reads kind, colour and position (within 2 pixels) of the "
                "objects. The decibels compare the executed picture with the one that a single process makes."
            )
        )
    parts += ["<h2>Why options were ruled out</h2>", _html(tables.ruled_out_table(plan.table))]
    parts += ["<h2>How to read this</h2>", _caveats(plan, execution)]
    style = resources.files("megdt_opt.report").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(plan.scenario.name)}: plan and execution</title><style>{style}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def headline(plan: Plan, execution: Execution | None) -> str:
    """The result in a sentence or two."""
    mechanisms = sorted({u.option.mechanism for u in plan.users})
    what = "worst" if plan.scenario.objective == "max" else "summed"
    words = (
        f"{len(plan.users)} users, {len(mechanisms)} mechanisms ({', '.join(mechanisms)}): {what} weighted latency "
        f"{plan.objective_s:.2f} s, within {100 * plan.gap:.4f} % of the proven bound"
    )
    singles = [b for b in plan.baselines if b.name.startswith("all ")]
    if singles:
        best = min(singles, key=lambda b: b.objective_s)
        words += (
            f"; the best single mechanism ({best.name}) takes {best.objective_s / plan.objective_s:.2f} times as long"
        )
    if execution is not None:
        errors = sorted(abs(e) for e in execution.error_percent.values())
        words += f". Executed: prediction and measurement differ by {errors[len(errors) // 2]:.2f} % (median user)"
        words += f" and {errors[-1]:.2f} % (worst)"
    return words + "."


def _caveats(plan: Plan, execution: Execution | None) -> str:
    machines = plan.table.machines
    provenance = machines.edge.provenance
    hardware = ", ".join(f"{k}: {v}" for k, v in provenance.hardware.items())
    software = ", ".join(f"{k} {v}" for k, v in provenance.software.items())
    lines = [
        f"Stage times were measured on {provenance.created} ({hardware}; {software}; {provenance.threads} thread).",
        "Devices slower than this machine are emulated: their compute is stretched by the declared factor.",
        "Paced mode: every compute slot lasts its calibrated time, links are paced to the allocated rates, edge shares are "
        "reserved. So it tests links, composition and waiting; the raw check tests the calibration.",
        "Device energy is the declared power times the measured compute time.",
        "The refresh rate counts pictures that follow one another as in a pipeline: one over the busiest resource.",
    ]
    if execution is not None:
        stretches = ", ".join(f"{a} x{f:g}" for a, f in execution.stretch.items())
        lines.append(f"Declared stretches: {stretches}.")
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _html(table: Table) -> str:
    head = "".join(f"<th>{escape(str(c.header))}</th>" for c in table.columns)
    cells = zip(*[list(c.cells) for c in table.columns], strict=True)
    sides = [c.justify for c in table.columns]
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td class="{side}">{escape(str(cell)).replace(chr(10), "<br>")}</td>'
            for side, cell in zip(sides, row, strict=True)
        )
        + "</tr>"
        for row in cells
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _line(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _figure(png: bytes, text: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<figure><img alt="{escape(text)}" src="data:image/png;base64,{data}"><figcaption>{escape(text)}</figcaption></figure>'
