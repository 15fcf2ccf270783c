"""The figures that a report states more than once, computed in one place."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from megdt_opt.execution.record import Execution
from megdt_opt.planning.baselines import Baseline
from megdt_opt.planning.plan import Plan
from megdt_opt.problem.outcome import BoundSource
from megdt_opt.report.numbers import count, number, small, words
from megdt_opt.si import percent, show
from megdt_opt.trials.verification import Verification, VerifiedSet, measured_objective_s


def objective_name(plan: Plan) -> str:
    """What is minimised, in words."""
    scenario = plan.scenario
    weighted = "weighted " if any(user.weight != 1.0 for user in scenario.users) else ""
    match scenario.objective:
        case "max":
            return f"worst {weighted}latency"
        case "sum":
            return f"{weighted}sum of latencies"
        case "mixed":
            return f"{weighted}sum of latencies and {scenario.max_weight:g} times the worst"
        case "mean_cvar":
            part = round(100 * (1 - (scenario.cvar_level or 0.0)), 9)
            worst = percent(part, 0 if part == int(part) else None, signed=False)
            return f"{weighted}mean of latencies and {scenario.cvar_weight:g} times that of the worst {worst}"
        case "missed":
            return f"{'weight' if weighted else 'number'} of users later than their deadline"


def objective_label(plan: Plan) -> str:
    """What is minimised, with its unit, for axes and headers."""
    return f"{objective_name(plan)} [s]" if plan.scenario.objective_is_time else objective_name(plan)


def objective_text(plan: Plan, value: float) -> str:
    """A value of the objective with its unit; of "missed", as a part of all users' weight."""
    if plan.scenario.objective_is_time:
        return f"{number(value)} s"
    return f"{value:.4g} of {plan.scenario.weights.sum():.4g}"


def times_the_plan(plan: Plan, value: float) -> float | None:
    """A rival's objective as a multiple of the plan's [1]; None for "missed", which counts and may be 0."""
    return value / plan.objective_s if plan.scenario.objective_is_time else None


def mechanisms(plan: Plan) -> tuple[str, ...]:
    """Mechanisms that the plan uses, each once, in the order of the users."""
    return tuple(dict.fromkeys(user.option.mechanism for user in plan.users))


def best_single(plan: Plan) -> Baseline | None:
    """The best baseline that gives most users the same mechanism; None where there is none to compare with.

    Baselines may break users' own limits. Where the best of them is no faster than the plan all the same, it is
    the rival; where it is faster, only those that keep every limit count. A mechanism that less than half of
    the users can run is no single mechanism for all: the others take their best option beside it.
    """
    singles = [b for b in plan.baselines if b.mechanism and 2 * len(b.instead) < len(plan.users)]
    best = min(singles, key=lambda b: b.objective_s, default=None)
    if best is None or best.objective_s >= plan.objective_s:
        return best
    return min((b for b in singles if not b.breaks), key=lambda b: b.objective_s, default=None)


def verified(verification: Verification | None, name: str) -> VerifiedSet | None:
    """The verified set of this name, if it was executed."""
    sets = () if verification is None else verification.sets
    return next((s for s in sets if s.name == name), None)


@dataclass(frozen=True, kw_only=True)
class ErrorSummary:
    """End-to-end errors of an execution over its users.

    Parameters
    ----------
    median_percent, largest_percent : float
        Of the absolute errors [%].
    predicted_s, measured_s : float
        Objective, predicted and measured [s]; for "missed" a weight [1].
    """

    median_percent: float
    largest_percent: float
    predicted_s: float
    measured_s: float

    @property
    def objective_percent(self) -> float:
        """Measured objective against the predicted one [%]; not a number where 0 was predicted."""
        return 100 * (self.measured_s / self.predicted_s - 1) if self.predicted_s else math.nan


def error_summary(plan: Plan, execution: Execution) -> ErrorSummary:
    """Errors of an execution of the plan."""
    errors = [abs(e) for e in execution.error_percent.values()]  # who has no picture is late in the objective alone
    return ErrorSummary(
        median_percent=statistics.median(errors),
        largest_percent=max(errors),
        predicted_s=plan.objective_s,
        measured_s=measured_objective_s(plan, execution),
    )


def _certified(plan: Plan) -> str:
    assert plan.certificate is not None
    return objective_text(plan, plan.certificate.bound_s)


def bound_sentence(plan: Plan) -> str:
    """Objective, bound, gap and status in one line."""
    proof = "proven optimal" if plan.status == "optimal" else "feasible, optimality not proven to the asked gap"
    bound = "no lower bound was found"
    if plan.bound_source is BoundSource.ENUMERATION and plan.certificate is not None:
        proof += f" by looking at all orders and options; by the certificate's prices not below {_certified(plan)}"
    if math.isfinite(plan.lower_bound_s):
        whose = " by the solver's own account" if plan.bound_source is BoundSource.SOLVER else ""
        bound = f"lower bound {objective_text(plan, plan.lower_bound_s)}{whose}; relative gap {small(plan.gap)}"
    return (
        f"{objective_name(plan).capitalize()} {objective_text(plan, plan.objective_s)}; {bound}; {proof} "
        f"(method {plan.method}, {number(plan.solve_s, 2)} s)."
    )


def cost_sentences(plan: Plan) -> list[str]:
    """The totals that the scenario limits or weighs, in one line; none where it does neither."""
    said, part_s = [], 0.0
    for cost in plan.cost_totals:
        limit = "" if cost.most is None else f" of at most {show(cost.most, cost.unit).rstrip()}"
        adds = f", which adds {number(cost.part_s)} s" if cost.weight_s else ""
        said.append(f"{cost.name} {show(cost.total, cost.unit).rstrip()}{limit}{adds}")
        part_s += cost.part_s
    if not said:
        return []
    rest = f" Latency alone makes {number(plan.objective_s - part_s)} s of the objective." if part_s else ""
    return [f"Costs of all users: {'; '.join(said)}.{rest}"]


def speed_up_sentence(plan: Plan, verification: Verification | None) -> str:
    """The plan against the best single mechanism, predicted and, where executed, measured; "" if unknown."""
    rival = best_single(plan)
    if rival is None:
        return ""
    kind = "best single mechanism"
    if any(b.objective_s < plan.objective_s for b in plan.baselines):
        kind += " that keeps every limit"
    ratio = times_the_plan(plan, rival.objective_s)
    text = f"against the {kind}" if ratio is None else f"{ratio:.2f} times as fast as the {kind}"
    text += f" ({rival.name}, {objective_text(plan, rival.objective_s)}"
    if rival.breaks:
        text += f", which breaks the limits of {words(rival.breaks)}"
    if rival.instead:
        text += f"; {words(rival.instead)} cannot run it"
    text += ")"
    mine, theirs = verified(verification, "plan"), verified(verification, rival.name)
    if mine is not None and theirs is not None and ratio is not None:
        text += f", {theirs.median_s / mine.median_s:.2f} times when both were executed"
    return text


def headline(plan: Plan, execution: Execution | None, verification: Verification | None) -> str:
    """What was planned, how good it is, and how far the run was from the prediction, in one sentence."""
    used = mechanisms(plan)
    text = (
        f"{count(len(plan.users), 'user')} with {count(len(used), 'mechanism')} ({words(used)}): "
        f"{objective_name(plan)} {objective_text(plan, plan.objective_s)}"
    )
    if plan.status == "optimal":
        text += f", proven to be within {small(plan.gap)} of the best possible"
    elif plan.lower_bound_s > 0:
        above = plan.objective_s / plan.lower_bound_s - 1
        whose = " by the solver's own bound" if plan.bound_source is BoundSource.SOLVER else ""
        text += f", at most {percent(100 * above, None, signed=False)} above the best possible{whose}"
    else:
        text += ", with no bound that says how near to the best possible"
    better = speed_up_sentence(plan, verification)
    if better:
        text += f", {better}"
    if execution is not None:
        errors = error_summary(plan, execution)
        measured = objective_text(plan, errors.measured_s)
        off = f", {percent(errors.objective_percent)} from the prediction" if plan.scenario.objective_is_time else ""
        text += (
            f"; executed in {measured} ({execution.mode}){off} "
            f"(users: median {percent(errors.median_percent, signed=False)}, "
            f"largest {percent(errors.largest_percent, signed=False)})"
        )
        text += "".join(f"; {part}" for part in cut_off(execution))
    return text + "."


def cut_off(execution: Execution) -> tuple[str, ...]:
    """Who was cut off in a run, in words: those whose devices went on alone, and those without a picture."""
    alone = [fault.user for fault in execution.faults if fault.fell_back]
    return (
        *([f"{words(alone)} cut off and generated locally"] if alone else []),
        *([f"no picture for {words(execution.lost)}"] if execution.lost else []),
    )
