"""Shares with the lexicographically least weighted latencies, for fixed options; small cases compare all option sets.

Class: a sequence of SOCPs (linear rates) or exponential cone programs (Shannon rates). Exact up to `SLACK`.

Sets
    k users, of which some are settled; each has exactly one open option. Who demands nothing is settled from the start.
Parameters and variables
    those of `convex_allocation`, and  Z_k  level at which user k was settled / unit, infinite while it is free
Objective
    round by round: h, the largest weighted latency of the users that are still free
Constraints (model: L = fixed + max(device_branch, bits_u/r_u + work/f + bits_d/r_d), `AllocationProblem`)
    budget, rate_law, stage_time, share_limit, stage_limit, edge_branch, device_branch, deadline of `convex_allocation`
    largest_free    h >= w v  for free users             epigraph of the largest that can still fall
    settled         w v <= Z (1 + SLACK)  for the others they stay where they are
After each round the free users whose `largest_free` has a positive multiplier are settled at h: by complementary
slackness they are at h in every optimum of the round. At least one is, so K rounds suffice; often a round settles all
who share a scarce resource.
Options
    With one open option per user the answer is exact. Else option sets are compared by their largest weighted latency
    ("max", for each set), and those that tie for the least within `TIE` by all levels: exact where there are at most
    `MOST_SETS` sets and `MOST_TIES` ties. Beyond, the options are those that "max" proves by prices, or the tied ones
    with the least sum of latencies; then only the largest weighted latency is proven, and the message says so.
The bound is one of the largest weighted latency.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.formulations import convex_allocation
from megdt_opt.formulations._checks import fix_options, not_together, only_options, replaced, workable_options
from megdt_opt.formulations._option_sets import optima, option_sets
from megdt_opt.formulations._scaling import reference, usable_shares
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.problem.fairness import LexicographicProblem
from megdt_opt.solving.allocation import RawSolution
from megdt_opt.solving.door import solve as solve_options
from megdt_opt.tolerances import BOUND

SLACK = 1e-7
"""Relative room of settled users, without which later rounds had no interior."""

TIE = 1e-6
"""Levels this close, relatively, are the same."""

MOST_TIES = 64
_TOLERANCE = 1e-8
_POSITIVE = 1e-5
"""Part of the largest multiplier from which one counts as positive."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model(convex_allocation.Model):
    """Variables and parameters of the header."""

    Z: NDArray[np.float64]


def make_model(problem: AllocationProblem, level_s: NDArray[np.float64]) -> Model:
    """Numbers and variables for a problem with one open option per user; levels (K,) [s], infinite for free users."""
    option = only_options(problem)
    scale = reference(problem, option)
    shannon = (problem.downlink_snr_hz is not None, problem.uplink_snr_hz is not None, False)
    numbers = convex_allocation.scaled_numbers(problem, scale)
    base = convex_allocation.make_model(problem.users, "max", shannon, numbers)
    return Model(
        **{f.name: getattr(base, f.name) for f in fields(base)}, Z=level_s / scale.latency_unit_s / scale.weight_unit
    )


def largest_free(q: Model) -> list[Any]:
    """h >= w v for free users."""
    free = np.isinf(q.Z)
    return [q.h >= cp.multiply(q.w, q.v)[free]] if free.any() else []


def settled(q: Model) -> list[Any]:
    """w v <= Z (1 + SLACK) for settled users."""
    known = np.isfinite(q.Z)
    return [cp.multiply(q.w, q.v)[known] <= q.Z[known] * (1 + SLACK)] if known.any() else []


CONSTRAINTS = replaced(convex_allocation.CONSTRAINTS, largest=(largest_free, settled))


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Shares (3, K) of one option set, levels from the largest on (K,) [s], the first round's dual bound [s]."""

    shares: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    levels_s: NDArray[np.float64]
    bound_s: float
    rounds: int


def fit(problem: LexicographicProblem, option: NDArray[np.int64]) -> Fitted | None:
    """Lexicographically optimal shares for given options (K,); None where they cannot keep the limits.

    Raises
    ------
    SolverFailure
        Where Clarabel ends without an accurate answer.
    """
    fixed = fix_options(problem.allocation, option)
    rows = np.arange(fixed.users)
    scale = reference(fixed, option)
    unit_s = scale.latency_unit_s * scale.weight_unit
    still_s = fixed.weights * (fixed.fixed_s + fixed.branch_s)[rows, option]
    level_s = np.where((scale.share > 0).any(axis=0), np.inf, still_s)
    bound_s = float(np.where(np.isfinite(level_s), level_s, 0.0).max())
    share, rounds = scale.share, 0
    while np.isinf(level_s).any():
        q = make_model(fixed, level_s)
        held = {make.__name__: make(q) for make in CONSTRAINTS}
        cone_program = cp.Problem(cp.Minimize(q.h), [one for group in held.values() for one in group])
        if not _solved(cone_program):
            if rounds == 0:
                return None
            raise SolverFailure(f"Clarabel lost the settled users in round {rounds + 1}")
        value = float(q.h.value)
        if rounds == 0:
            bound_s = max(bound_s, (value - 10 * _TOLERANCE * (1 + abs(value))) * unit_s)
        share = np.stack([y.value for y in q.y]) * scale.share
        free = np.flatnonzero(np.isinf(level_s))
        multiplier = np.asarray(held["largest_free"][0].dual_value).ravel()
        at_level = (scale.weight_unit * q.w.value * q.v.value * scale.latency_unit_s)[free] >= value * unit_s * (
            1 - TIE
        )
        stuck = (multiplier >= _POSITIVE * multiplier.max()) & at_level
        stuck[int(multiplier.argmax())] = True
        level_s[free[stuck]] = value * unit_s
        rounds += 1
    shares = usable_shares(fixed, option, share)
    latency_s = evaluate(fixed, option, *shares).latency_s
    return Fitted(shares=shares, levels_s=problem.levels_s(latency_s), bound_s=bound_s, rounds=rounds)


def _solved(cone_program: Any) -> bool:
    """Solve by Clarabel; False where the limits cannot be kept."""
    data, chain, inverse = cone_program.get_problem_data(cp.CLARABEL, solver_opts={})
    settings = {"tol_gap_rel": _TOLERANCE, "tol_gap_abs": _TOLERANCE, "tol_feas": _TOLERANCE, "max_iter": 400}
    raw = chain.solve_via_data(cone_program, data, warm_start=False, verbose=False, solver_opts=settings)
    status = str(raw.status)
    if status == "PrimalInfeasible":
        return False
    if status != "Solved":
        raise SolverFailure(f"Clarabel ended with {status} after {raw.iterations} steps")
    cone_program.unpack_results(raw, chain, inverse)
    return True


def less(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether levels (K,) come before others: the first that differ by more than `TIE` decide."""
    apart = np.flatnonzero(np.abs(first - second) > TIE * np.maximum(first, second))
    return bool(apart.size and first[apart[0]] < second[apart[0]])


def solve(problem: LexicographicProblem, *, gap: float, time_limit_s: float | None) -> RawSolution:
    """Lexicographically optimal shares, and options where there are few sets.

    Parameters
    ----------
    problem : LexicographicProblem
    gap : float
        Relative gap of the largest weighted latency where "max" chooses the options [1].
    time_limit_s : float or None
        After this, tied option sets that were not looked at stay out [s].

    Raises
    ------
    InvalidInput
        For another kind of problem.
    Infeasible
        Where the limits cannot be kept.
    SolverFailure
        Where Clarabel ends without an accurate answer.
    """
    if not isinstance(problem, LexicographicProblem):
        raise InvalidInput(
            "problem", type(problem).__name__, "a LexicographicProblem for the method 'lexicographic'",
            "Build one around it.",
        )  # fmt: skip
    begin = time.perf_counter()
    inner = problem.allocation
    sets = option_sets(inner, workable_options(inner))
    bound_s = None
    if sets is None:
        closed = solve_options(inner, "prices", gap, time_limit_s)
        sets, bound_s = closed.option[None], closed.lower_bound_s
        claim = "options proven for the largest weighted latency alone"
    elif len(sets) == 1:
        claim = "options given"
    else:
        sets, bound_s, claim = _tied(inner, sets)
    built = time.perf_counter()
    best: tuple[Fitted, NDArray[np.int64]] | None = None
    for count, option in enumerate(sets):
        if best is not None and time_limit_s is not None and time.perf_counter() - begin > time_limit_s:
            claim = f"cut short after {count} of {len(sets)} tied option sets"
            break
        found = fit(problem, option)
        if found is not None and (best is None or less(found.levels_s, best[0].levels_s)):
            best = (found, option)
    if best is None:
        raise not_together()
    down, up, edge = best[0].shares
    return RawSolution(
        option=best[1], downlink_hz=down, uplink_hz=up, edge_share=edge,
        bound=best[0].bound_s if bound_s is None else bound_s, build_s=built - begin,
        solve_s=time.perf_counter() - built, message=f"Clarabel: Solved in {best[0].rounds} rounds; {claim}",
    )  # fmt: skip


def _tied(problem: AllocationProblem, sets: NDArray[np.int64]) -> tuple[NDArray[np.int64], float, str]:
    """Option sets whose largest weighted latency is least, that latency [s], and what is claimed about them."""
    largest_s = optima(problem, sets)
    least_s = float(largest_s.min())
    if not np.isfinite(least_s):
        raise not_together()
    tied = sets[largest_s <= least_s * (1 + TIE)]
    if len(tied) <= MOST_TIES:
        return tied, least_s * (1 - BOUND), f"{len(sets)} option sets compared, {len(tied)} of them by all levels"
    order = np.argsort(optima(replace(problem, objective="sum"), tied), kind="stable")[:MOST_TIES]
    claim = f"options proven for the largest weighted latency alone: {MOST_TIES} of {len(tied)} ties compared"
    return tied[order], least_s * (1 - BOUND), claim
