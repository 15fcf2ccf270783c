"""Shares that minimise Σ w L^(1+α) / (1+α), for fixed options; small cases compare all option sets.

Class: power cones, with SOCs (linear rates) or exponential cones (Shannon rates). Exact, no approximation.

Sets, parameters and variables
    those of `convex_allocation`, and p = 1 + α;  W_k = (w_k / Σ w)^(1/p)
    h  the weighted p-norm of the latencies / unit;  r_k  part of user k in it
Objective
    h. As (Σ w / p) h^p is the problem's objective, both have the same minimisers; h has numbers near 1 for any α.
Constraints (model: L = fixed + max(device_branch, bits_u/r_u + work/f + bits_d/r_d), `AllocationProblem`)
    budget, rate_law, stage_time, share_limit, stage_limit, edge_branch, device_branch, deadline of `convex_allocation`
    norm_part       W v <= r^(1/p) h^(1-1/p)             (W v)^p <= r h^(p-1), a power cone; a plane for p = 1
    norm_total      Σ_k r_k <= h                         then Σ (W v)^p <= h^p
Options
    With one open option per user the answer is that of the convex program. Else option sets are tried in the order of
    a lower bound of h, the larger of Σ w L / Σ w ("sum") and max W L ("max") at their optima, until no bound is below
    the best h found: exact within the solver's tolerance. More than `MOST_SETS` sets are refused.
The bound is the dual value of the best set, or the least bound of the sets that were left out, if that is less.
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
from megdt_opt.formulations._option_sets import MOST_SETS, optima, option_sets
from megdt_opt.formulations._scaling import reference, usable_shares
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.fairness import AlphaFairProblem
from megdt_opt.solving.allocation import RawSolution

_TOLERANCE = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Model(convex_allocation.Model):
    """Variables and parameters of the header."""

    p: float
    W: NDArray[np.float64]
    r: Any


def make_model(problem: AllocationProblem, alpha: float) -> Model:
    """Numbers and variables for a problem with one open option per user."""
    option = only_options(problem)
    numbers = convex_allocation.scaled_numbers(problem, reference(problem, option))
    shannon = (problem.downlink_snr_hz is not None, problem.uplink_snr_hz is not None, False)
    base = convex_allocation.make_model(problem.users, "sum", shannon, numbers)
    p = 1.0 + alpha
    return Model(
        **{f.name: getattr(base, f.name) for f in fields(base)},
        p=p, W=(problem.weights / problem.weights.sum()) ** (1 / p), r=cp.Variable(problem.users),
    )  # fmt: skip


def norm_part(q: Model) -> list[Any]:
    """W v <= r^(1/p) h^(1-1/p)."""
    if q.p == 1.0:
        return [cp.multiply(q.W, q.v) <= q.r]
    one = np.ones(q.v.size)
    return [cp.PowCone3D(q.r, q.h * one, cp.multiply(q.W, q.v), one / q.p)]


def norm_total(q: Model) -> list[Any]:
    """Σ r <= h."""
    return [cp.sum(q.r) <= q.h]


CONSTRAINTS = replaced(convex_allocation.CONSTRAINTS, largest=(norm_part, norm_total))


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Shares (3, K) of one option set [Hz, Hz, 1], with the norm's dual bound [s]."""

    shares: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    norm_s: float
    bound_s: float


def fit(problem: AlphaFairProblem, option: NDArray[np.int64], time_limit_s: float | None = None) -> Fitted | None:
    """Optimal shares for given options (K,); None where they cannot keep the limits.

    Raises
    ------
    SolverFailure
        Where Clarabel ends without an accurate answer.
    """
    fixed = fix_options(problem.allocation, option)
    scale = reference(fixed, option)
    q = make_model(fixed, problem.alpha)
    cone_program = cp.Problem(cp.Minimize(q.h), [one for make in CONSTRAINTS for one in make(q)])
    data, chain, inverse = cone_program.get_problem_data(cp.CLARABEL, solver_opts={})
    settings: dict[str, Any] = {"tol_gap_rel": _TOLERANCE, "tol_gap_abs": _TOLERANCE, "tol_feas": _TOLERANCE}
    settings |= {"max_iter": 400} | ({} if time_limit_s is None else {"time_limit": max(time_limit_s, 1e-3)})
    raw = chain.solve_via_data(cone_program, data, warm_start=False, verbose=False, solver_opts=settings)
    status = str(raw.status)
    if status == "PrimalInfeasible":
        return None
    if status != "Solved":
        raise SolverFailure(f"Clarabel ended with {status} after {raw.iterations} steps, alpha {problem.alpha:g}")
    cone_program.unpack_results(raw, chain, inverse)
    share = np.stack([y.value for y in q.y]) * scale.share
    dual = min(float(raw.obj_val), float(raw.obj_val_dual))
    return Fitted(
        shares=usable_shares(fixed, option, share), norm_s=float(q.h.value) * scale.latency_unit_s,
        bound_s=(dual - 10 * _TOLERANCE * (1 + abs(dual))) * scale.latency_unit_s,
    )  # fmt: skip


def solve(problem: AlphaFairProblem, *, gap: float, time_limit_s: float | None) -> RawSolution:
    """Optimal shares, and options where there are few sets.

    Parameters
    ----------
    problem : AlphaFairProblem
    gap : float
        Sets whose bound is within this of the best are left out [1].
    time_limit_s : float or None
        No further set is tried after this [s].

    Returns
    -------
    RawSolution
        Its bound is one of the norm, `AlphaFairProblem.norm_s` [s].

    Raises
    ------
    InvalidInput
        For another kind of problem, or more than `MOST_SETS` option sets.
    Infeasible
        Where the limits cannot be kept.
    SolverFailure
        Where Clarabel ends without an accurate answer.
    """
    if not isinstance(problem, AlphaFairProblem):
        raise InvalidInput(
            "problem", type(problem).__name__, "an AlphaFairProblem for the method 'alpha_fair'", "Build one around it."
        )
    begin = time.perf_counter()
    inner = problem.allocation
    sets = option_sets(inner, workable_options(inner))
    if sets is None:
        raise InvalidInput(
            "options", f"more than {MOST_SETS} option sets", "fewer, or one open option per user by `allowed`",
            'Fix the options, for example to those of the objective "sum" or "max".',
        )  # fmt: skip
    weight = (inner.weights / inner.weights.sum()) ** (1 / problem.power)
    floor = np.zeros(len(sets))
    if len(sets) > 1:
        total = optima(inner, sets) / inner.weights.sum()
        floor = np.maximum(total, optima(replace(inner, objective="max", weight=weight), sets))
    built = time.perf_counter()
    best: tuple[Fitted, int] | None = None
    tried = 0
    order = np.argsort(floor, kind="stable")
    bound_s = np.inf
    for place in order:
        ceiling = np.inf if best is None else best[0].norm_s
        late = time_limit_s is not None and best is not None and time.perf_counter() - begin > time_limit_s
        if floor[place] >= ceiling * (1 - gap / 2) or late:
            bound_s = min(bound_s, float(floor[place]))
            break
        found = fit(problem, sets[place], time_limit_s)
        tried += 1
        if found is None:
            continue
        bound_s = min(bound_s, found.bound_s)
        if found.norm_s < ceiling:
            best = (found, int(place))
    if best is None:
        raise not_together()
    down, up, edge = best[0].shares
    return RawSolution(
        option=sets[best[1]], downlink_hz=down, uplink_hz=up, edge_share=edge, bound=bound_s, build_s=built - begin,
        solve_s=time.perf_counter() - built, message=f"Clarabel: Solved; {tried} of {len(sets)} option sets tried",
    )  # fmt: skip
