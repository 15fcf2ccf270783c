"""Solving a `BatchedEdgeProblem`: how many steps the edge makes for each user, in which batches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.batched_edge import BlockProof
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.quality import QualityCertificate
from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.pricing.batched_band import DOWNLOAD, NOTHING, Band, Blocks, blocks_suffice
from megdt_opt.pricing.batched_times import TimeCosts
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem, Batches
from megdt_opt.problem.evaluation import Evaluation
from megdt_opt.problem.outcome import BoundSource, Method, status_of
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.answers import Answer, relative_gap
from megdt_opt.solving.batched_bound import bounded
from megdt_opt.solving.batched_quality import BatchedQuality, quality_gap
from megdt_opt.solving.batched_schedules import Decided, Schedules, least_max, least_total
from megdt_opt.solving.engines.batched_blocks import BlockPricing
from megdt_opt.solving.parties import close_parties
from megdt_opt.tolerances import SOLVER

METHODS = (Method.AUTO, Method.PRICES, Method.BATCHED_EDGE)

MOST_EXACT = 6
"""Users up to which "auto" takes the formulation, whose bound only the solver vouches for, where prices leave a gap."""

_LONGEST_S = 60.0
"""What it is given where no limit was asked for [s]."""

_FIRST_S, _FIRST_PART = 0.5, 0.25
"""What prices are given before it [s], at most that part of the limit [1]."""

Proven = tuple[float, BoundSource, Certificate | QualityCertificate | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchedEdge(Answer):
    """Cuts, batches and shares with what is proven about them; the fields of `Answer` beside these.

    Parameters
    ----------
    cut : array of int, (K,)
        Steps that the edge makes for each user [1].
    batches : tuple of tuple of int
        Users of each batch, ascending, in the order of time; the batches follow each other without waiting.
    downlink_hz : array, (K,)
        Shares of the band [Hz]; 0 where nothing is sent.

    Examples
    --------
    >>> from megdt_opt import BatchedEdgeProblem, solve
    >>> problem = BatchedEdgeProblem(  # two steps: together 0.5 s a step, alone 0.3 s
    ...     steps=2, step_slope_s=0.2, step_base_s=0.1, device_step_s=[2.0, 3.0], after_s=[0.0, 0.0],
    ...     downlink_bit=[1e6, 1e6], downlink_hz=1e6, downlink_efficiency=[2.0, 2.0], objective="sum",
    ... )
    >>> best = solve(problem)
    >>> best.cut.tolist(), best.batches, round(best.objective_s, 6), best.is_proven(problem)
    ([2, 2], ((0,), (0,), (1,), (1,)), 3.8, True)
    """

    cut: NDArray[np.int64]
    batches: Batches
    downlink_hz: NDArray[np.float64]


def automatic(
    problem: BatchedEdgeProblem,
    gap: float,
    time_limit_s: float | None,
    by_program: Callable[[float], BatchedEdge | BatchedQuality],
) -> BatchedEdge | BatchedQuality:
    """What "auto" stands for: prices; for few users of whom they leave a gap the program, and the better of the two.

    `by_program` runs it within a time [s]: users who are nearly alike keep HiGHS for long.
    """
    if problem.users > MOST_EXACT or blocks_suffice(problem):
        return solve_class(problem, Method.PRICES, gap, time_limit_s)
    longest_s = _LONGEST_S if time_limit_s is None else time_limit_s
    first: BatchedEdge | BatchedQuality | None = None
    try:
        first = solve_class(problem, Method.PRICES, gap, min(_FIRST_S, _FIRST_PART * longest_s))
    except SolverFailure:  # the program may know of a schedule, or that there is none
        first = None
    if first is not None and first.is_optimal(gap):
        return first
    found = by_program(longest_s)
    return found if first is None or not _better(first, found) else first


def _better(one: BatchedEdge | BatchedQuality, other: BatchedEdge | BatchedQuality) -> bool:
    """Whether an answer beats another by more than rounding: a solver may have lost an optimum."""
    if isinstance(one, BatchedQuality) or isinstance(other, BatchedQuality):
        assert isinstance(one, BatchedQuality)
        assert isinstance(other, BatchedQuality)
        return one.objective > other.objective + SOLVER * abs(other.objective)
    return one.objective_s < other.objective_s * (1.0 - SOLVER)


def solve_class(
    problem: BatchedEdgeProblem, method: str, gap: float, time_limit_s: float | None
) -> BatchedEdge | BatchedQuality:
    """As `solve` has it, for this class of problem.

    Raises
    ------
    InvalidInput
        For a method that does not take it.
    SolverFailure
        Where no schedule is found that keeps the deadlines of users who must have steps.
    """
    if method not in METHODS:
        raise InvalidInput("method", method, f"one of {METHODS} for BatchedEdgeProblem", 'Use "auto".')
    return (_by_blocks if blocks_suffice(problem) else _by_times)(problem, gap, time_limit_s)


def _by_blocks(problem: BatchedEdgeProblem, gap: float, time_limit_s: float | None) -> BatchedEdge | BatchedQuality:
    """The sum with whole chains: the block program at prices of the band, and the tree."""
    begin = time.perf_counter()
    blocks = Blocks(problem)
    pricing = BlockPricing(blocks)
    built = time.perf_counter()
    closed = close_parties(pricing, BlockProof(problem, blocks), gap=gap, time_limit_s=time_limit_s)
    served, sizes = pricing.sizes(closed.choice)
    batches: list[tuple[int, ...]] = []
    for part in np.split(served, np.cumsum(sizes)[:-1]) if len(served) else []:
        batches += [tuple(sorted(part.tolist()))] * problem.steps
    decided = Decided(closed.choice, tuple(batches), _band(problem, closed.choice, closed.x[0]))
    return _answer(
        problem, decided, gap, Method.PRICES, (closed.bound, BoundSource.CERTIFICATE, closed.certificate),
        (built - begin, time.perf_counter() - built), f"{closed.nodes} nodes, {closed.passes} price vectors",
    )  # fmt: skip


def _by_times(problem: BatchedEdgeProblem, gap: float, time_limit_s: float | None) -> BatchedEdge | BatchedQuality:
    """Everything else: a schedule by local searches, and a bound by prices of machine time."""
    begin = time.perf_counter()
    costs = TimeCosts(problem)
    schedules = Schedules(problem, costs.band)
    built = time.perf_counter()
    limit = np.inf if time_limit_s is None else time.monotonic() + time_limit_s
    half = np.inf if time_limit_s is None else time.monotonic() + 0.5 * time_limit_s
    if problem.objective == "max":
        best = least_max(schedules, 0.0, half)
    else:
        best = least_total(schedules, float(problem.weights.sum()) * problem.start_s + 1.0, half)
    if not np.isfinite(best.objective):
        raise SolverFailure("no schedule that keeps the deadlines was found, nor that there is none; use batched_edge")
    bound, certificate, passes = bounded(costs, best, gap, limit)
    return _answer(
        problem, schedules.decided(best), gap, Method.PRICES, (bound, BoundSource.CERTIFICATE, certificate),
        (built - begin, time.perf_counter() - built), f"{passes} price vectors",
    )  # fmt: skip


def answer_of(problem: BatchedEdgeProblem, raw: Any, method: Method, gap: float) -> BatchedEdge | BatchedQuality:
    """The answer of a formulation, evaluated; for "sum" with the best shares of those whom it serves."""
    share = raw.downlink_hz
    if problem.objective == "sum":
        band = Band(problem)
        found = best_shares(band.core, band.resources, np.where(raw.cut > 0, DOWNLOAD, NOTHING)[None])
        share = _band(problem, raw.cut, found.x[0, 0])
    return _answer(
        problem, Decided(raw.cut, raw.batches, share), gap, method, (raw.bound, BoundSource.SOLVER, None),
        (raw.build_s, raw.solve_s), raw.message,
    )  # fmt: skip


def _band(problem: BatchedEdgeProblem, cut: NDArray[np.int64], x: Array) -> Array:
    """Shares [Hz] of parts of the band; together at most the band."""
    part = np.where((cut > 0) & (problem.downlink_bit > 0), np.fmax(x, 0.0), 0.0)
    return np.asarray(part / max(float(part.sum()), 1.0) * problem.downlink_hz)


def _answer(
    problem: BatchedEdgeProblem,
    decided: Decided,
    gap: float,
    method: Method,
    proof: Proven,
    times_s: tuple[float, float],
    message: str,
) -> BatchedEdge | BatchedQuality:
    """What was decided, evaluated; nothing that a search or a solver says of it is believed."""
    found = problem.evaluate(decided)
    if found.violation > SOLVER:
        raise SolverFailure(f"{method} returned an answer that breaks a limit by {found.violation:.2e} relatively")
    (bound, source, certificate), (build_s, solve_s) = proof, times_s
    fields: dict[str, Any] = {
        "cut": decided.cut, "batches": decided.batches, "downlink_hz": decided.downlink_hz,
        "latency_s": found.latency_s, "method": method, "bound_source": source, "build_s": build_s, "solve_s": solve_s,
        "certificate": certificate, "message": message,
    }  # fmt: skip
    if isinstance(found, Evaluation):
        lower = min(bound, found.objective_s)
        reached = relative_gap(found.objective_s, lower)
        return BatchedEdge(
            objective_s=found.objective_s, lower_bound_s=lower, gap=reached, status=status_of(reached, gap, source),
            **fields,
        )  # fmt: skip
    upper = max(bound, found.objective)
    reached = quality_gap(found.objective, upper)
    return BatchedQuality(
        objective=found.objective, bound=upper, gap=reached, status=status_of(reached, gap, source), **fields
    )
