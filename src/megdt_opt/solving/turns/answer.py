"""Solving a `SequencedEdgeProblem`: options, the order of the turns, their starts, and the shares of the band."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Leaf
from megdt_opt.certificate.turns import TurnsProof
from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.pricing.turns import BUDGETS, TurnCosts
from megdt_opt.problem.outcome import BoundSource, Method, status_of
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.solving.answers import Answer, relative_gap
from megdt_opt.solving.turns.at_once import close_at_once
from megdt_opt.solving.turns.local import good_plan
from megdt_opt.solving.turns.schedule import Schedule, in_smiths_order
from megdt_opt.solving.turns.subsets import MOST_CHAINS, complete
from megdt_opt.solving.turns.time_prices import priced_time
from megdt_opt.tolerances import LEAST_GAP, SOLVER

METHODS = (Method.AUTO, Method.PRICES, Method.ENUMERATE, Method.SEQUENCED_EDGE)


@dataclass(frozen=True, kw_only=True, eq=False)
class SequencedEdge(Answer):
    """Options, order, starts and shares with what is proven about them; the fields of `Answer` beside these.

    Parameters
    ----------
    option : array of int, (K,)
        Chosen option of each user.
    order : array of int, (N,)
        Chains that are served, first to last: k for user k, K + g for the prefix of group g.
    start_s : array, (K,)
        Start of each user's turn [s]; NaN without a turn.
    downlink_hz : array, (K,)
        Shares of the band [Hz]; 0 where nothing is downloaded.
    prefix_start_s : array, (G,), or None
        Start of each group's prefix [s]; NaN where it is not served, None without groups.

    Examples
    --------
    >>> from megdt_opt import SequencedEdgeProblem, solve
    >>> problem = SequencedEdgeProblem(  # three users: at the edge, or longer on the device
    ...     release_s=[[0.0, 5.0], [0.0, 9.0], [0.0, 2.5]], edge_work_s=[[2.0, 0.0], [1.0, 0.0], [3.0, 0.0]],
    ...     after_s=[[0.5, 0.0]] * 3, downlink_bit=[[0.0, 0.0]] * 3, downlink_hz=0.0, objective="sum",
    ... )
    >>> best = solve(problem)
    >>> best.option.tolist(), best.order.tolist(), best.objective_s, best.is_proven(problem)
    ([0, 0, 1], [1, 0], 7.5, True)
    """

    option: NDArray[np.int64]
    order: NDArray[np.int64]
    start_s: NDArray[np.float64]
    downlink_hz: NDArray[np.float64]
    prefix_start_s: NDArray[np.float64] | None


def solve_class(problem: SequencedEdgeProblem, method: str, gap: float, time_limit_s: float | None) -> SequencedEdge:
    """As `solve` has it, for this class of problem.

    Raises
    ------
    InvalidInput
        For a method that does not take it, or too many chains to look at all sets of them.
    """
    if method not in METHODS:
        raise InvalidInput("method", method, f"one of {METHODS} for SequencedEdgeProblem", 'Use "auto".')
    deadline = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
    begin = time.perf_counter()
    costs = TurnCosts(problem)
    proof = TurnsProof(problem, costs)
    built = time.perf_counter()
    # a little less than asked, so that rounding cannot push the reported gap over it
    asked = max(0.95 * gap, LEAST_GAP)
    chains = problem.users + problem.groups
    if method == Method.ENUMERATE and chains > MOST_CHAINS:
        expected = f"at most {MOST_CHAINS} chains for method 'enumerate'"
        raise InvalidInput("problem", f"{chains} users and prefixes", expected, "Use method 'prices'.")
    route = _at_once if costs.at_once and method != Method.ENUMERATE else _in_time
    schedule, proven, message = route(costs, proof, method, asked, deadline)
    return answer(
        problem, schedule, gap, Method.ENUMERATE if proven[1] is BoundSource.ENUMERATION else Method.PRICES, proven,
        (built - begin, time.perf_counter() - built), message,
    )  # fmt: skip


Proven = tuple[float, BoundSource, Certificate | None]


def _at_once(
    costs: TurnCosts, proof: TurnsProof, method: str, gap: float, deadline: float
) -> tuple[Schedule, Proven, str]:
    """Chains that are ready together: a tree."""
    closed = close_at_once(costs, gap, deadline)
    if closed.objective <= 0.0:
        certificate = _nothing(proof)
    else:
        target = closed.objective * (1.0 - gap)
        certificate = Certificate.seal(proof, closed.tree, costs.open, target, proof.valuer(False))
    proven = certificate.bound_s, BoundSource.CERTIFICATE, certificate
    return in_smiths_order(costs, closed.choice), proven, f"{closed.nodes} nodes"


def _in_time(
    costs: TurnCosts, proof: TurnsProof, method: str, gap: float, deadline: float
) -> tuple[Schedule, Proven, str]:
    """Everything else: plans by moves, all sets of few users, and the price of the server's time."""
    plan = good_plan(costs, deadline, 3 if costs.problem.users <= MOST_CHAINS else 0)
    if plan.objective <= 0.0:
        return plan.schedule, (0.0, BoundSource.CERTIFICATE, _nothing(proof)), "nothing takes any time"
    if method != Method.PRICES:
        # where that cannot be all, half of the time is left for what can always be proven
        half = deadline if np.isinf(deadline) else 0.5 * (time.monotonic() + deadline)
        plan, whole = complete(costs, plan, gap, deadline if method == Method.ENUMERATE else half)
        if whole:
            proven = plan.objective * (1.0 - gap), BoundSource.ENUMERATION, None
            return plan.schedule, proven, "all orders and options were looked at"
        if costs.at_once:
            return _at_once(costs, proof, method, gap, deadline)
    plan, leaf, target = priced_time(costs, plan, gap, deadline)
    certificate = Certificate.seal(proof, leaf, costs.open, target, proof.valuer(False))
    return plan.schedule, (certificate.bound_s, BoundSource.CERTIFICATE, certificate), "prices of the server's time"


def _nothing(proof: TurnsProof) -> Certificate:
    """Nothing is better than no time at all."""
    return Certificate(proof.objective, 0.0, Leaf((0.0,) * BUDGETS), BUDGETS)


def answer_of(problem: SequencedEdgeProblem, raw: Any, method: Method, gap: float) -> SequencedEdge:
    """The answer of a formulation, evaluated."""
    schedule = Schedule(raw.option, raw.order, raw.start_s, raw.downlink_hz, raw.prefix_start_s)
    return answer(
        problem, schedule, gap, method, (raw.bound, BoundSource.SOLVER, None), (raw.build_s, raw.solve_s), raw.message
    )


def answer(
    problem: SequencedEdgeProblem,
    schedule: Schedule,
    gap: float,
    method: Method,
    proof: tuple[float, BoundSource, Certificate | None],
    times_s: tuple[float, float],
    message: str,
) -> SequencedEdge:
    """What was decided, evaluated; nothing that a search or a solver says of it is believed."""
    prefix = schedule.prefix_start_s if problem.groups else None
    decided = SimpleNamespace(**{**vars(schedule), "prefix_start_s": prefix})
    found = problem.evaluate(decided)
    if found.violation > SOLVER:
        raise SolverFailure(f"{method} returned an answer that breaks a limit by {found.violation:.2e} relatively")
    (bound, source, certificate), (build_s, solve_s) = proof, times_s
    lower = min(bound, found.objective_s)
    reached = relative_gap(found.objective_s, lower)
    return SequencedEdge(
        option=schedule.option, order=schedule.order, start_s=schedule.start_s, downlink_hz=schedule.downlink_hz,
        prefix_start_s=prefix, latency_s=found.latency_s, objective_s=found.objective_s, lower_bound_s=lower,
        gap=reached, status=status_of(reached, gap, source), method=method, bound_source=source, build_s=build_s,
        solve_s=solve_s, certificate=certificate, message=message,
    )  # fmt: skip
