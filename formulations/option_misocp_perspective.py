"""Options and shares together, perspective form: a share, stage times and a latency for every pair.

Class: mixed-integer SOCP, linear rates. Exact: the program of `option_misocp`, stronger when n is relaxed.

Sets and parameters as in `option_misocp`: k users; i resources; j pairs (user, workable option); A, D, F, G, R, C, E,
    w, m, dimensionless
Variables (a prime marks the part of a pair, which is zero for an option that is not taken)
    n_j binary, option taken;  x'_ij share;  t'_ij stage time;  v'_j latency;  h largest weighted latency
    x = A x', t = A t', v = A v' are expressions, no variables of their own
Objective
    sum: (1/K) Σ w v;  max: h;  mixed: (1/K) (Σ w v + m h)
Constraints (model: L = fixed + max(device_branch, bits_u/r_u + work/f + bits_d/r_d), `AllocationProblem`)
    one_option, budget, largest                          those of `option_misocp`
    stage_time      t' x' >= D n^2, as cones             t >= demand / share
    stage_sum       t x >= (A diag(sqrt(D)) n)^2         that of `option_misocp`, implied; SCIP needs far fewer cuts
    share_limit     x' <= K n,  x'_edge <= C n           b <= B, f <= F for one user; f <= edge_share_max
    stage_limit     t'_up <= R n                         bits_u / r_u <= uplink_airtime_max
    edge_branch     v' >= F n + Σ_i t'_i                 L >= fixed + edge branch
    device_branch   v' >= G n                            L >= fixed + device_branch
    deadline        E v' <= n                            L <= deadline
Strength. Each entry summed over a user's pairs is the entry of `option_misocp` (for stage_time: by Cauchy-Schwarz,
(Σ t')(Σ x') >= (Σ sqrt(D) n)^2), so the relaxation is at least as strong. `stage_time` alone gains nothing: a compact
point (t, x) splits in the ratio sqrt(D_j) n_j / Σ sqrt(D) n into parts that keep every cone. What gains is that all
entries share one split: Σ_j max(F n + Σ t', G n) is above max(Σ (F n + Σ t'), Σ G n) where options differ in the branch
that binds, and limits hold for each pair and not for their mixture. This is the hull of a user's options.
SCIP runs in a child; the shares come from `_shares.py`; the bound is SCIP's dual bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from megdt_opt.formulations import option_misocp
from megdt_opt.formulations._checks import replaced, require, workable_options
from megdt_opt.formulations.option_misocp import program, relaxed_s, solve_variant
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.allocation import RawSolution


@dataclass(frozen=True, kw_only=True, eq=False)
class Model(option_misocp.Model):
    """`option_misocp.Model` with the parts of each pair; x, t and v are sums of them."""

    xs: list[Any]
    ts: list[Any]
    vs: Any


def make_model(problem: AllocationProblem, mask: NDArray[np.bool_], *, whole: bool = True) -> Model:
    """Numbers and variables for the options in `mask` (K, O); n is continuous unless `whole`."""
    q = option_misocp.make_model(problem, mask, whole=whole)
    pairs = q.n.size
    xs, ts = ([cp.Variable(pairs, nonneg=True) for _ in q.x] for _ in "xt")
    vs = cp.Variable(pairs, nonneg=True)
    sums = {"x": [q.A @ x for x in xs], "t": [q.A @ t for t in ts], "v": q.A @ vs}
    kept = {f.name: getattr(q, f.name) for f in fields(q) if f.name not in sums}
    return Model(**kept, **sums, xs=xs, ts=ts, vs=vs)


def stage_time(q: Model) -> list[Any]:
    """t' x' >= D n^2: |(2 sqrt(D) n, t' - x')| <= t' + x'."""
    roots = np.sqrt(q.D)
    return [
        cp.SOC(t + x, cp.vstack([2 * cp.multiply(P, q.n), t - x]), axis=0)
        for t, x, P in zip(q.ts, q.xs, roots, strict=True)
    ]


def stage_sum(q: Model) -> list[Any]:
    """t x >= (Σ sqrt(D) n)^2 in the sums over a user's pairs."""
    return option_misocp.stage_time(q)


def share_limit(q: Model) -> list[Any]:
    """x' <= K n, and x'_edge <= C n where there is a cap."""
    users = q.C.size
    whole = np.full(q.n.size, float(users))
    limits = (whole, whole, q.A.T @ np.minimum(q.C, users))
    return [x <= cp.multiply(limit, q.n) for x, limit in zip(q.xs, limits, strict=True)]


def stage_limit(q: Model) -> list[Any]:
    """t'_up <= R n where airtime is limited."""
    return [q.ts[1] <= cp.multiply(q.R, q.n)] if np.isfinite(q.R).all() else []


def edge_branch(q: Model) -> list[Any]:
    """v' >= F n + Σ_i t'_i."""
    return [q.vs >= cp.multiply(q.F, q.n) + sum(q.ts)]


def device_branch(q: Model) -> list[Any]:
    """v' >= G n."""
    return [q.vs >= cp.multiply(q.G, q.n)]


def deadline(q: Model) -> list[Any]:
    """E v' <= n where there is a deadline."""
    return [cp.multiply(q.A.T @ q.E, q.vs) <= q.n] if q.E.any() else []


CONSTRAINTS: tuple[Callable[[Any], list[Any]], ...] = replaced(
    option_misocp.CONSTRAINTS, stage_time=(stage_time, stage_sum), share_limit=(share_limit,),
    stage_limit=(stage_limit,), edge_branch=(edge_branch,), device_branch=(device_branch,), deadline=(deadline,),
    late_share=(),
)  # fmt: skip


def relaxation_bound_s(problem: AllocationProblem) -> float:
    """Bound of the continuous relaxation of the perspective form [s]; as in `option_misocp.relaxation_bound_s`."""
    require(problem, "option_misocp_perspective", linear=True)
    mask = workable_options(problem)
    return relaxed_s(problem, mask, program(make_model(problem, mask, whole=False), CONSTRAINTS))


def solve(problem: AllocationProblem, *, gap: float, time_limit_s: float | None) -> RawSolution:
    """Optimal options and shares, linear rates.

    Parameters
    ----------
    problem : AllocationProblem
    gap : float
        Asked relative gap [1].
    time_limit_s : float or None
        Limit on SCIP [s]; the best solution by then is returned.

    Raises
    ------
    InvalidInput
        For Shannon rates or the objective "missed".
    Infeasible
        Where the limits cannot be kept.
    SolverFailure
        Where SCIP crashes, is killed, or finds no solution in time.
    """
    return solve_variant("option_misocp_perspective", problem, gap, time_limit_s)
