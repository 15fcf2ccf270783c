"""Judge of fuzzing: whether every answer about one case is right or a clear error."""

from __future__ import annotations

import itertools
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from fuzz_problems import LIMITED, Case
from numpy.typing import NDArray

from megdt_opt import (
    Allocation,
    AllocationProblem,
    Infeasible,
    InvalidInput,
    MegdtError,
    SolverFailure,
    evaluate,
    explain,
    solve,
)
from megdt_opt.pricing.scaled import UPLINK, Resources
from megdt_opt.problem.checks import LARGEST, SMALLEST
from megdt_opt.radio.rates import speed
from megdt_opt.shares.interior import latencies
from megdt_opt.solving import compiled
from megdt_opt.solving.tried import Tried
from megdt_opt.tolerances import BOUND, LIMIT_SLACK

ROUTES = ("compiled", "numpy", "enumerate", "explain")
CLEAR = 1e-6
"""Relative room that a limit must leave before "infeasible" counts as wrong, or "feasible" as right."""

LATE_S = 5.0
"""Processor seconds that a solve may take beyond its time limit [s]."""


@dataclass
class Report:
    """What the routes did with one case.

    Parameters
    ----------
    number : int
    kind : str
        That of the case.
    outcomes : dict
        Outcome per route: "optimal", "to rounding" (the gap not closed, but less than what rounding may leave), "open"
        (feasible, the gap not closed), "cut short" (by the time limit),
        "infeasible", "explained", "refused" (InvalidInput), "out of time" (a SolverFailure that says so, where there is
        a limit), "solver failure", or "WRONG".
    wrong : list of str
        What is wrong; empty where all is right.
    seconds : float
    """

    number: int
    kind: str
    outcomes: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


def judge(case: Case, routes: tuple[str, ...] = ROUTES, *, timed: bool = True) -> Report:
    """Run one case by every route; warnings of numpy inside the package count as wrong, and lateness where `timed`."""
    report = Report(case.number, case.kind)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"megdt_opt(\.|$)")
        try:
            _judge(case, routes, report, timed)
        except Exception:
            report.wrong.append(f"the judge failed: {traceback.format_exc(limit=-3)}")
    report.seconds = time.perf_counter() - begin
    return report


def _judge(case: Case, routes: tuple[str, ...], report: Report, timed: bool) -> None:
    problem = _attempt(report, "construct", lambda: AllocationProblem(**case.fields))
    if not isinstance(problem, AllocationProblem):
        return
    if case.malformed and not {"enumerate", "numpy"} & set(routes):
        return
    if case.near is not None:
        problem = _with_near_deadlines(problem, case.near) or problem
    if case.deadlines is not None or case.airtimes is not None:
        problem = _with_limits(problem, case)
    found: dict[str, Allocation] = {}
    for route in routes:
        if route == "explain":
            continue
        if route == "enumerate" and case.number % 4 and not case.malformed and _infeasible(problem):
            report.outcomes[route] = "infeasible"  # why it is takes long to say, and is asked now and then only
            continue
        start = time.process_time()
        limited = case.time_limit_s is not None and route != "enumerate"
        answer = _attempt(report, route, partial(_solve, problem, case, route), limited)
        spent = time.process_time() - start
        limit = case.time_limit_s if timed else None
        if not case.malformed and limit is not None and route != "enumerate" and spent > limit + LATE_S:
            report.wrong.append(f"{route}: took {spent:.1f} s, the limit being {limit:g} s")
        if isinstance(answer, Allocation):
            found[route] = answer
            _outcome(report, case, route, answer)
    least = min((a.objective_s for a in found.values()), default=np.inf)
    for route, answer in found.items():
        report.wrong += [f"{route}: {text}" for text in _wrong(problem, case, answer, least)]
    refused = [r for r in report.outcomes if report.outcomes[r] == "infeasible"]
    room = bool(refused or "explain" in routes) and not case.malformed and _clearly_feasible(problem)
    if refused and room:
        report.wrong.append(f"{', '.join(refused)}: infeasible, but an allocation keeps all limits with room")
    if "explain" in routes and not case.malformed:
        answer = _attempt(report, "explain", lambda: explain(problem, time_limit_s=2.0))
        if answer is not None:
            report.outcomes["explain"] = "explained"
            if not answer.feasible and room:
                report.wrong.append("explain: infeasible, but an allocation keeps all limits with room")
            if answer.feasible and refused and "enumerate" in refused and not _feasible(_loosened(problem, CLEAR)):
                report.wrong.append("explain: feasible, but no option set keeps the limits even with room")
    for route in list(report.outcomes):
        if any(text.startswith(f"{route}:") for text in report.wrong):
            report.outcomes[route] = "WRONG"


def _solve(problem: AllocationProblem, case: Case, route: str) -> Allocation:
    if route == "enumerate":
        return solve(problem, "enumerate", gap=case.gap)
    before = compiled.usable
    compiled.usable = lambda _: route == "compiled"
    try:
        return solve(problem, case.method, gap=case.gap, time_limit_s=case.time_limit_s)
    finally:
        compiled.usable = before


def _attempt(report: Report, route: str, call: Callable[[], Any], limited: bool = False) -> Any:
    try:
        return call()
    except Infeasible as error:
        report.outcomes[route] = "infeasible"
        if not str(error) or not error.users:
            report.wrong.append(f"{route}: an Infeasible that names no user")
    except InvalidInput:
        report.outcomes[route] = "refused"
    except MegdtError as error:
        if limited and isinstance(error, SolverFailure) and "time_limit_s" in str(error):
            report.outcomes[route] = "out of time"
            return None
        report.outcomes[route] = "solver failure"
        report.wrong.append(f"{route}: {type(error).__name__}: {error}")
    except Exception as error:
        if isinstance(error, TypeError) and "required keyword-only argument" in str(error):
            report.outcomes[route] = "refused"  # the language's own words for a field left out
            return None
        report.outcomes[route] = "WRONG"
        place = traceback.extract_tb(error.__traceback__)[-1]
        report.wrong.append(
            f"{route}: {type(error).__name__}: {str(error)[:100]} ({place.filename.split('/')[-1]}:{place.lineno})"
        )
    return None


def _outcome(report: Report, case: Case, route: str, answer: Allocation) -> None:
    limited = case.time_limit_s is not None
    late = "cut short" if limited else "to rounding" if answer.gap <= BOUND else "open"
    report.outcomes[route] = "optimal" if answer.status == "optimal" else late


def _wrong(problem: AllocationProblem, case: Case, answer: Allocation, least: float) -> list[str]:
    """What does not hold of an answer, `least` being the best objective that any route found."""
    wrong = []
    truth = evaluate(problem, answer.option, answer.downlink_hz, answer.uplink_hz, answer.edge_share)
    if not np.isfinite(truth.objective_s) or truth.violation > BOUND:
        wrong.append(f"objective {truth.objective_s:.3g}, violation {truth.violation:.1e}")
    if truth.objective_s != answer.objective_s:
        wrong.append(f"reports {answer.objective_s!r}, which is {truth.objective_s!r}")
    within = answer.lower_bound_s <= least * (1 + BOUND) or _explained(problem, answer, least)
    if not within:
        wrong.append(f"the bound {answer.lower_bound_s!r} is above an allocation of {least!r}")
    if answer.status == "optimal":
        if answer.gap > case.gap + 1e-12:
            wrong.append(f"optimal with a gap of {answer.gap:.1e}, {case.gap:g} being asked")
        if answer.objective_s * (1 - case.gap) > least * (1 + BOUND) and not within:
            wrong.append(f"optimal at {answer.objective_s!r}, but an allocation of {least!r} exists")
    elif case.kind == LIMITED and case.time_limit_s is None:
        wrong.append(f"the gap is not closed: {answer.gap:.1e}, {case.gap:g} being asked")
    if answer.certificate is not None:
        verdict = answer.certificate.verify(problem)
        if not verdict.holds:
            wrong.append(f"the certificate does not hold ({answer.status}): {verdict.reason}")
    elif answer.method == "prices":
        wrong.append("no certificate")
    return wrong


# ---- limits with room


def _explained(problem: AllocationProblem, answer: Allocation, least: float) -> bool:
    """Whether an allocation is below the bound because it exceeds limits by what they are loosened by: with limits as
    loose, the same prices prove no more than it."""
    if answer.certificate is None:
        return False
    more = replace(answer.certificate, bound_s=least * (1 + BOUND))
    return not more.verify(_loosened(problem, LIMIT_SLACK)).holds


def _loosened(problem: AllocationProblem, room: float) -> AllocationProblem:
    """All hard limits by this much looser; a negative number makes them tighter."""
    changes: dict[str, Any] = {}
    if problem.deadline_s is not None and problem.objective != "missed":
        changes["deadline_s"] = problem.deadline_s * (1 + room)
    if problem.uplink_airtime_max_s is not None:
        changes["uplink_airtime_max_s"] = problem.uplink_airtime_max_s * (1 + room)
    return replace(problem, **changes)


def _feasible(problem: AllocationProblem) -> bool:
    """Whether some option set keeps all limits: every set is tried, and nobody asks why not."""
    return bool(np.isfinite(_best(problem).objective))


def _infeasible(problem: AllocationProblem) -> bool:
    return problem.objective != "missed" and not _feasible(problem)


def _best(problem: AllocationProblem) -> Tried:
    resources = Resources.of(problem)
    best = Tried(problem, resources)
    choices = [np.flatnonzero(row) for row in resources.open]
    if all(len(c) for c in choices):
        best.offer(np.array(list(itertools.product(*choices)), dtype=np.int64))
    return best


def _clearly_feasible(problem: AllocationProblem) -> bool:
    return problem.objective != "missed" and _feasible(_loosened(problem, -CLEAR))


def _with_near_deadlines(problem: AllocationProblem, factor: float) -> AllocationProblem | None:
    """Deadlines of a factor times the latencies of a best allocation: just, or just not, to be kept."""
    if problem.objective not in ("max", "sum"):
        return None
    best = _best(replace(problem, deadline_s=None))
    if not np.isfinite(best.objective):
        return None
    latency = _latencies(problem, best)
    within = (latency > 2.0 * SMALLEST) & (latency < 0.5 * LARGEST)  # what a problem takes
    return replace(problem, deadline_s=latency * factor) if within.all() else None


def _with_limits(problem: AllocationProblem, case: Case) -> AllocationProblem:
    """Deadlines and limits on airtime that are factors times what an allocation with the least sum has."""
    free = replace(problem, objective="sum", max_weight=None, deadline_s=None)
    best, changes = _best(free), {}
    if case.deadlines is not None:
        changes["deadline_s"] = np.maximum(_latencies(problem, best) * case.deadlines, 1e-3)
    if case.airtimes is not None:
        share = np.maximum(best.x[UPLINK], 1e-3)[:, None]
        airtime_s = best.resources.a[UPLINK] / speed(share, best.resources.gamma[UPLINK][:, None])
        changes["uplink_airtime_max_s"] = np.where(airtime_s > 0.0, airtime_s * case.airtimes, LARGEST)
    return replace(problem, **changes)


def _latencies(problem: AllocationProblem, best: Tried) -> NDArray[np.float64]:
    """Of what was tried best, (K,) [s]."""
    rows, option = np.arange(problem.users), best.option[None]
    a, gamma, _, _ = best.resources.pick(option)
    return latencies(a, gamma, best.x[None], problem.fixed_s[rows, option], problem.branch_s[rows, option])[0]
