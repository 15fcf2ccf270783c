"""Options and shares together, as one disjunction per user, relaxed by big-M with proven constants.

Class: generalised disjunctive program; its big-M form is a mixed-integer program with 3K rotated cones, linear rates.
Exact. The disjuncts are those of `option_gdp`, except that D enters through its root.

Sets and parameters as in `option_gdp`: k users; i resources; o in O_k workable options; D, F, G, R, C, E, w, m
    P_iko = sqrt(D_iko);  U_k  proven ceiling on the latency (`_disjunctive.ceilings`)
    A_ko  latency of the option with the whole of every budget, within its cap (`_disjunctive.least_latencies`)
Variables
    x_ik in [0, K] share;  t_ik in [0, U_k - min_o F_ko] stage time;  v_k in [min_o A_ko, U_k] latency
    r_ik  root of the demand that is served;  h largest weighted latency;  Y_ko true where user k takes option o
Objective
    sum: (1/K) Σ w v;  max: h;  mixed: (1/K) (Σ w v + m h)
Constraints (model: L = fixed + max(device_branch, bits_u/r_u + work/f + bits_d/r_d), `AllocationProblem`)
    budget, share_limit, deadline, largest, one_option   those of `option_gdp`
    stage_time      t x >= r^2                           t >= demand / share
    inside Y_ko (stage_limit, edge_branch and device_branch are those of `option_gdp`)
    stage_root      r >= P                               demand of the option
    stage_limit     t_up <= R                            bits_u / r_u <= uplink_airtime_max
    edge_branch     v >= F + Σ_i t_i                     L >= fixed + edge branch
    device_branch   v >= G                               L >= fixed + device_branch
Why roots: relaxing t x >= D by D (1 - Y) leaves t x >= D Y, which is not convex, so a solver must branch on t and x.
sqrt(t x) >= P is the same set and concave on its left, so sqrt(t x) >= P - M (1 - Y) is convex, and exact at whole Y.
Written with r it is one cone for a user's stage, outside the disjuncts, and a linear row inside.
Constants: M >= what a row of Y_ko lacks where the user takes another option o'. There, stages that o' does not have
can be given t = 0 and r = 0 (nothing asks for more), and all others obey o':
    stage_root      r >= P_iko'                          M = max(0, P_iko - min_{o'} P_iko')
    stage_limit     t_up <= min(R_ko', U_k - F_ko')      M = max(0, max_{o'} of that - R_ko); 0 if o' sends nothing
    edge_branch     v - Σ_i t_i >= F_ko'                 M = max(0, F_ko - min_{o'} F_ko')
    device_branch   v >= A_ko'                           M = max(0, G_ko - min_{o'} A_ko')
Each is the least that the bounds allow, and none grows with the ceiling but that of stage_limit.
The transformed model goes to SCIP as a file, in a child process; the shares come from `_shares.py`. The bound is
SCIP's dual bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

from megdt_opt.formulations import option_gdp
from megdt_opt.formulations._checks import RESOURCES, replaced
from megdt_opt.formulations._disjunctive import least_latencies, solve_transformed
from megdt_opt.formulations.option_gdp import build
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.allocation import RawSolution

Array = NDArray[np.float64]


def make_model(problem: AllocationProblem, mask: NDArray[np.bool_], ceiling: Array) -> Any:
    """Variables and empty disjuncts for the options in `mask` (K, O); `ceiling` is U (K,)."""
    q = option_gdp.make_model(problem, mask, ceiling)
    u = q.numbers
    q.mask, q.ceiling = mask, ceiling
    q.alone = least_latencies(problem, u)
    q.r = pyo.Var(range(len(RESOURCES)), q.users, bounds=(0, None))
    for k in q.users:
        open_ = mask[k]
        q.v[k].setlb(min(float(q.alone[k, open_].min()), float(ceiling[k])))
        for i in range(len(RESOURCES)):
            q.t[i, k].setub(max(0.0, float(ceiling[k] - u.fixed[k, open_].min())))
    return q


def stage_time(q: Any) -> None:
    """t x >= r^2 for each stage."""
    q.stage_time = pyo.Constraint(
        range(len(RESOURCES)), q.users, rule=lambda q, i, k: q.t[i, k] * q.x[i, k] >= q.r[i, k] ** 2
    )


def stage_root(q: Any) -> None:
    """r >= sqrt(D) inside Y_ko, for each stage that the option has."""
    for k, o in q.pairs:
        q.choice[k, o].stage_root = pyo.Constraint(
            option_gdp.stages(q, k, o),
            rule=lambda _, i, k=k, o=o: q.r[i, k] >= float(np.sqrt(q.numbers.demand[i, k, o])),
        )


CONSTRAINTS: tuple[Callable[[Any], None], ...] = replaced(option_gdp.CONSTRAINTS, stage_time=(stage_time, stage_root))


def constants(q: Any) -> dict[str, Array]:
    """M of each row inside the disjuncts, by the row's name: (K, O), and (3, K, O) for stage_root."""
    u, mask = q.numbers, q.mask
    sent = np.minimum(u.airtime, q.ceiling[:, None] - u.fixed)
    sent = np.where(u.demand[1] > 0, np.maximum(sent, 0.0), 0.0)
    root = np.sqrt(u.demand)
    return {
        "stage_root": np.stack([np.maximum(0.0, P - _least_other(P, mask)) for P in root]),
        "stage_limit": np.maximum(
            0.0, -_least_other(-sent, mask) - np.where(np.isfinite(u.airtime), u.airtime, np.inf)
        ),
        "edge_branch": np.maximum(0.0, u.fixed - _least_other(u.fixed, mask)),
        "device_branch": np.maximum(0.0, u.floor - _least_other(q.alone, mask)),
    }


def _least_other(table: Array, mask: NDArray[np.bool_]) -> Array:
    """Least entry among a user's other options, (K, O); infinite where there is none (such a row is never relaxed)."""
    held = np.where(mask, table, np.inf)
    first = held.argmin(axis=1)
    rows = np.arange(len(held))
    least: Array = np.repeat(held[rows, first][:, None], held.shape[1], axis=1)
    held[rows, first] = np.inf
    least[rows, first] = held.min(axis=1)
    return least


def relax(q: Any) -> None:
    """Pyomo's big-M transformation with the proven constants."""
    known = constants(q)
    given: Any = pyo.ComponentMap()
    for k, o in q.pairs:
        for name, table in known.items():
            rows = q.choice[k, o].component(name)
            for index in rows if rows is not None else ():
                given[rows[index]] = float(table[k, o] if index is None else table[index, k, o])
    pyo.TransformationFactory("gdp.bigm").apply_to(q, bigM=given)


def transformed(problem: AllocationProblem, mask: NDArray[np.bool_], ceiling: Array) -> Any:
    """The disjunctive program, relaxed by big-M."""
    q = build(make_model(problem, mask, ceiling), CONSTRAINTS)
    relax(q)
    return q


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
    return solve_transformed("option_gdp_bigm", problem, transformed, gap, time_limit_s)
