"""Tables of what was executed: per user, per stage, per option set, and raw runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from megdt_opt.execution.record import Execution
from megdt_opt.report.grids import Grid, from_columns
from megdt_opt.report.numbers import NONE, column, count, number
from megdt_opt.si import percent
from megdt_opt.trials.raw_check import RawCheck
from megdt_opt.trials.verification import LEVEL, Margin, Verification, ties
from megdt_opt.verdict.verdict import Verdict


def execution_grid(execution: Execution) -> Grid:
    """One row per user: predicted and measured end to end, and where the time went."""
    users = execution.users
    predicted, measured, error = execution.predicted_s, execution.measured_s, execution.error_percent
    rows = {user: [row for row in execution.rows if row.user == user] for user in users}
    late = len(execution.overruns)
    return from_columns(
        f"Execution ({execution.mode})",
        {
            "user": list(users),
            "predicted [s]": column([predicted[u] for u in users]),
            "measured [s]": column([measured[u] for u in users]),
            "error [ms]": [f"{1e3 * (measured[u] - predicted[u]) + 0.0:+.1f}" for u in users],
            "error [%]": [percent(error[u]).removesuffix(" %") for u in users],
            "waiting [ms]": column([1e3 * sum(r.waiting_s for r in rows[u]) for u in users], 3),
            "serialisation [ms]": column([1e3 * sum(r.serialise_s for r in rows[u]) for u in users], 3),
            "overruns": [str(sum(r.overrun_s > 0 for r in rows[u])) for u in users],
            "late steps": [str(sum(r.late_steps for r in rows[u])) for u in users],
        },
        text=("user",),
        notes=(
            f"Error: measured less predicted. {count(late, 'stage')} of {len(execution.rows)} ended after "
            f"{'its' if late == 1 else 'their'} slot; real compute kept the processor's cores busy for "
            f"{percent(100 * execution.busy_fraction, 0, signed=False)} of {number(execution.wall_s)} s.",
            *(fault.words for fault in execution.faults),
        ),
    )


def stage_grid(execution: Execution) -> Grid:
    """One row per stage: predicted and measured start and duration."""
    rows = execution.rows
    durations = [row.end_s - row.start_s for row in rows]
    return from_columns(
        "Stages, predicted and measured",
        {
            "user": [row.user for row in rows],
            "stage": [row.label for row in rows],
            "predicted start [s]": column([row.predicted_start_s for row in rows]),
            "measured start [s]": column([row.start_s for row in rows]),
            "predicted duration [s]": column([row.predicted_duration_s for row in rows]),
            "measured duration [s]": column(durations),
            "error [ms]": [
                f"{1e3 * (d - row.predicted_duration_s) + 0.0:+.1f}" for d, row in zip(durations, rows, strict=True)
            ],
            "error [%]": [
                percent(100 * (d / row.predicted_duration_s - 1)).removesuffix(" %")
                if row.predicted_duration_s > 0
                else NONE
                for d, row in zip(durations, rows, strict=True)
            ],
            "real compute [s]": column([row.busy_s or None for row in rows], 3),
            "payload [byte]": [str(row.payload_byte) if row.payload_byte else NONE for row in rows],
            "overrun [ms]": column([1e3 * row.overrun_s or None for row in rows], 3),
        },
        text=("user", "stage"),
        notes=("Error: measured less predicted duration.",),
    )


def input_grid(verdict: Verdict) -> Grid:
    """One row per comparison of an input with what the runs show, those that are off first."""
    figures = sorted(verdict.figures, key=lambda figure: not figure.alarm)
    return from_columns(
        f"Inputs of the plan, by {count(verdict.runs, 'run')} ({verdict.mode})",
        {
            "input": [str(figure.cause) for figure in figures],
            "finding": [figure.text for figure in figures],
            "of its limit": [
                f"{figure.distance:.2f}" if math.isfinite(figure.distance) else NONE for figure in figures
            ],
            "": ["off" if figure.alarm else "holds" for figure in figures],
        },
        text=("input", "finding", ""),
        notes=verdict.words,
    )


def verification_grid(verification: Verification) -> Grid:
    """One row per executed option set, the plan first."""
    sets, unit = verification.sets, f" [{verification.unit}]" if verification.unit else ""
    repeats = max(len(s.measured_s) for s in sets)
    return from_columns(
        f"Verification: the plan and its rivals, each executed {count(repeats, 'time')}",
        {
            "option set": [s.name for s in sets],
            f"predicted{unit}": column([s.predicted_s for s in sets], 5),
            f"measured median{unit}": column([s.median_s for s in sets], 5),
            f"smallest{unit}": column([min(s.measured_s) for s in sets], 5),
            f"largest{unit}": column([max(s.measured_s) for s in sets], 5),
            "error [%]": [
                percent(100 * (s.median_s / s.predicted_s - 1) if s.predicted_s else math.nan).removesuffix(" %")
                for s in sets
            ],
            "overruns": [str(s.overruns) for s in sets],
            "breaks limits of": [", ".join(s.breaks) or NONE for s in sets],
        },
        text=("option set", "breaks limits of"),
        notes=verdict(verification),
    )


def verdict(verification: Verification) -> tuple[str, ...]:
    """What the verification found, in sentences."""
    tied = ties(verification.sets)
    slips = [m for m in verification.misses if m.rival not in tied]
    if verification.plan_is_fastest:
        aside = ", sets tied with it in the prediction aside" if verification.misses else ""
        first = f"The plan was measured fastest of the sets that keep every limit{aside}."
    else:
        had = count(len(slips), "set that keeps", "sets that keep")
        first = f"{had} every limit had a smaller measured median, against the prediction."
    rank = verification.rank_correlation
    order = (
        f"Spearman's rank correlation of predicted and measured objectives, ties with the plan left out: {rank:.3f}."
        if math.isfinite(rank)
        else "The order of the sets says nothing: their predictions are equal."
    )
    factor, unit = (1e3, " ms") if verification.unit == "s" else (1.0, "")
    said = [_margin_sentence(m, m.rival in tied, factor, unit) for m in verification.misses]
    return (first, *said, order)


def _margin_sentence(margin: Margin, tied: bool, factor: float, unit: str) -> str:
    low, high = (factor * end for end in margin.interval_s)
    text = f"The plan took {factor * margin.mean_s:+.1f}{unit} against {margin.rival}"
    text += " (a tie in the prediction)" if tied else ""
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{text}; one repeat gives no interval."
    inside = "a difference of zero lies inside" if margin.within_noise else "zero lies outside"
    level = percent(100 * LEVEL, 0, signed=False)
    return f"{text}, {level} interval {low:+.1f} to {high:+.1f}{unit}: {inside}."


def raw_grid(checks: Sequence[RawCheck]) -> Grid:
    """One row per raw run: calibration error, drift and composition error apart."""
    return from_columns(
        "Raw runs: the calibration itself",
        {
            "user": [c.user for c in checks],
            "option": [c.option for c in checks],
            "from the profile [s]": column([c.profile_s for c in checks]),
            "re-calibrated before [s]": column([c.before_s for c in checks]),
            "re-calibrated after [s]": column([c.after_s for c in checks]),
            "measured [s]": column([c.measured_s for c in checks]),
            "calibration error [%]": [percent(100 * c.calibration_error).removesuffix(" %") for c in checks],
            "drift [%]": [percent(100 * c.drift).removesuffix(" %") for c in checks],
            "composition error [%]": [percent(100 * c.composition_error).removesuffix(" %") for c in checks],
        },
        text=("user", "option"),
        notes=("Composition error: overheads, waiting and serialisation beyond the sum of the stages.",),
    )
