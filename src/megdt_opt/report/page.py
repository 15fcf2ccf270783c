"""One self-contained HTML page with everything that a reader needs: no script, no link to anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from string import Template

from megdt_opt.execution.record import Execution
from megdt_opt.planning.plan import Plan
from megdt_opt.report import markup
from megdt_opt.report.caveats import caveats
from megdt_opt.report.cost_grids import cost_grid, measured_cost_grid
from megdt_opt.report.facts import (
    best_single,
    error_summary,
    headline,
    objective_name,
    objective_text,
    times_the_plan,
    verified,
)
from megdt_opt.report.numbers import TIMES, small
from megdt_opt.report.pictures import enlarged_png, quality
from megdt_opt.report.plan_grids import baseline_grid, batch_grid, plan_grid, ruled_out_grid
from megdt_opt.report.profile_grids import provenance_grid
from megdt_opt.report.run_grids import execution_grid, input_grid, raw_grid, stage_grid, verification_grid
from megdt_opt.si import percent
from megdt_opt.trials.pictures import Picture
from megdt_opt.trials.raw_check import RawCheck
from megdt_opt.trials.verification import Verification
from megdt_opt.verdict.verdict import Verdict

_VIEWS = (("truth", "ground truth"), ("unsplit", "unsplit run"), ("executed", "executed split"))


def page_text(
    plan: Plan,
    execution: Execution | None = None,
    verification: Verification | None = None,
    pictures: Sequence[Picture] = (),
    raw: Sequence[RawCheck] = (),
    figures: Mapping[str, bytes] | None = None,
    verdict: Verdict | None = None,
) -> str:
    """The page.

    Parameters
    ----------
    plan, execution, verification, pictures, raw, verdict
        What there is to tell; sections without data are left out.
    figures : mapping of str to bytes, optional
        SVG of "timeline" and "comparison".
    """
    drawn = figures or {}
    sections = [
        _plan(plan, drawn),
        _execution(plan, execution),
        _inputs(verdict),
        _rivals(plan, verification, drawn),
        _raw(raw),
        _pictures(pictures),
        markup.section(
            "Why options were ruled out",
            markup.paragraph("Every user has the same catalogue of options; a limit of the user closes some of them."),
            markup.table(ruled_out_grid(plan.table)),
        ),
        _provenance(plan, execution),
        markup.section("What these figures do not say", markup.bullets(caveats(plan, execution))),
    ]
    return Template(_file("page.html")).substitute(
        title=escape(f"{plan.scenario.name}: plan" + (" and execution" if execution is not None else "")),
        style=_file("page.css"),
        verdict=_verdict(verdict),
        headline=escape(headline(plan, execution, verification)),
        tiles="".join(_tiles(plan, execution, verification)),
        sections="\n".join(part for part in sections if part),
    )


def _verdict(verdict: Verdict | None) -> str:
    """Whether the plan's inputs hold, in words, before everything else."""
    if verdict is None:
        return ""
    first, *rest = verdict.words
    kind = "verdict" if verdict.ok else "verdict wrong"
    return markup.paragraph(first, kind) + (markup.bullets(rest) if rest else "")


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _tiles(plan: Plan, execution: Execution | None, verification: Verification | None) -> list[str]:
    proof = "proven gap to the lower bound" if plan.status == "optimal" else "gap to the lower bound, not closed"
    if not math.isfinite(plan.gap):
        proof = "no lower bound was found"
    found = [
        markup.tile(objective_text(plan, plan.objective_s), objective_name(plan)),
        markup.tile(small(plan.gap), proof),
    ]
    single = best_single(plan)
    if single is not None:
        text = f"against the best single mechanism ({single.name}), predicted"
        mine, theirs = verified(verification, "plan"), verified(verification, single.name)
        ratio = times_the_plan(plan, single.objective_s)
        if mine is not None and theirs is not None and ratio is not None:
            text += f"; {theirs.median_s / mine.median_s:.2f} {TIMES} measured"
        shown = objective_text(plan, single.objective_s) if ratio is None else f"{ratio:.2f} {TIMES}"
        found.append(markup.tile(shown, text))
    if execution is not None:
        errors, timed = error_summary(plan, execution), plan.scenario.objective_is_time
        found.append(
            markup.tile(
                percent(errors.objective_percent) if timed else objective_text(plan, errors.measured_s),
                f"measured against predicted; over users median {percent(errors.median_percent, signed=False)}, "
                f"largest {percent(errors.largest_percent, signed=False)}",
            )
        )
    return found


def _plan(plan: Plan, drawn: Mapping[str, bytes]) -> str:
    parts = [markup.table(plan_grid(plan))]
    parts += [markup.table(batch_grid(plan), titled=True)] if plan.batches else []
    parts.append(markup.table(cost_grid(plan), titled=True))
    if "timeline" in drawn:
        text = "Stages of every user; parallel branches share the height of their lane. Predicted above measured."
        parts.append(markup.figure(markup.image(drawn["timeline"], "Timeline of all users", "svg+xml"), text))
    return markup.section("Plan", *parts)


def _execution(plan: Plan, execution: Execution | None) -> str:
    if execution is None:
        return ""
    return markup.section(
        f"Predicted and measured ({execution.mode})",
        markup.table(execution_grid(execution)),
        markup.table(measured_cost_grid(plan, execution), titled=True),
        markup.folded("Every stage", markup.table(stage_grid(execution))),
    )


def _inputs(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    return markup.section("The inputs of the plan, as the runs show them", markup.table(input_grid(verdict)))


def _rivals(plan: Plan, verification: Verification | None, drawn: Mapping[str, bytes]) -> str:
    parts = []
    if "comparison" in drawn:
        text = f"Objective of the plan and of what it is compared with; {TIMES} is the predicted ratio to the plan."
        parts.append(markup.figure(markup.image(drawn["comparison"], "Bars of all objectives", "svg+xml"), text))
    if plan.baselines:
        parts.append(markup.table(baseline_grid(plan)))
    if verification is not None:
        parts.append(markup.table(verification_grid(verification), titled=True))
    return markup.section("The plan beside its rivals", *parts) if parts else ""


def _raw(raw: Sequence[RawCheck]) -> str:
    return markup.section("The calibration itself, by raw runs", markup.table(raw_grid(raw))) if raw else ""


def _pictures(pictures: Sequence[Picture]) -> str:
    if not pictures:
        return ""
    text = "Decibels compare the executed picture with the one that a single process makes from the same seed."
    if any(picture.objects is not None for picture in pictures):
        text = (
            "A detector that was trained on rendered scenes only reads kind, colour and position (within 2 pixels) of "
            f"the objects in the executed picture. {text}"
        )
    cards = "".join(_card(picture) for picture in pictures)
    return markup.section("Pictures", markup.paragraph(text), f'<div class="gallery">{cards}</div>')


def _card(picture: Picture) -> str:
    views = "".join(
        markup.figure(
            markup.image(enlarged_png(getattr(picture, name), 1), f"{words} of {picture.user}"), words, "view"
        )
        for name, words in _VIEWS
        if getattr(picture, name) is not None
    )
    title = f"<h3>{escape(picture.user)} <span>{escape(picture.option)}</span></h3>"
    words = "; ".join(filter(None, quality(picture)))
    return f'<div>{title}<div class="triple">{views}</div>{markup.paragraph(words)}</div>'


def _provenance(plan: Plan, execution: Execution | None) -> str:
    parts = [markup.table(provenance_grid(plan.table))]
    if execution is not None:
        e = execution.environment
        clocks = "; ".join(
            f"{actor} {1e3 * float(low):.3f} to {1e3 * float(high):.3f} ms"
            for actor, (low, high) in dict(e.get("clock_offset_s", {})).items()
        )
        if clocks:
            told = (
                "Stamps of actors on other hosts are brought to the coordinator's clock, from which theirs stand off by"
            )
            parts.append(markup.paragraph(f"{told}: {clocks}.", "note"))
        versions = ", ".join(f"{name} {version}" for name, version in dict(e.get("versions", {})).items())
        parts.append(
            markup.paragraph(
                f"Executed on {e.get('cpu', 'an unnamed processor')}, {e.get('cores')} cores, {e.get('system', '')}, "
                f"Python {e.get('python', '')}" + (f", {versions}." if versions else "."),
                "note",
            )
        )
    return markup.section("Provenance", *parts)
