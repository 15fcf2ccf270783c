"""Options and shares together, as one disjunction per user.

Class: generalised disjunctive program; its hull is a mixed-integer program with rotated cones, linear rates. Exact.

Sets
    k users; i in {downlink, uplink, edge} resources; o in O_k workable options of user k.
Parameters (dimensionless: shares in budget/K, times in a typical latency; `_scaling.units`)
    D_iko  time of stage i on one K-th of its budget;  F_ko  fixed latency;  G_ko  fixed latency + device branch
    R_ko  limit on the uplink stage;  C_k  share cap;  E_k  deadline;  w_k  weight;  m  weight of the largest latency
    M_k  ceiling on the latency: no optimal solution is above it (`_disjunctive`); the hull needs bounded variables
Variables
    x_ik in [0, K] share;  t_ik in [0, M_k] stage time;  v_k in [0, M_k] latency;  h largest weighted latency
    Y_ko  true where user k takes option o
Objective
    sum: (1/K) Σ w v;  max: h;  mixed: (1/K) (Σ w v + m h)
Constraints (model: L = fixed + max(device_branch, bits_u/r_u + work/f + bits_d/r_d), `AllocationProblem`)
    budget          Σ_k x_ik <= K                        sum b <= B, sum f <= F
    share_limit     x_edge <= C                          f <= edge_share_max
    deadline        v <= E                               L <= deadline
    largest         h >= w v                             epigraph of max_k w_k L_k
    inside Y_ko
    stage_time      t x >= D                             t >= demand / share
    stage_limit     t_up <= R                            bits_u / r_u <= uplink_airtime_max
    edge_branch     v >= F + Σ_i t_i                     L >= fixed + edge branch
    device_branch   v >= G                               L >= fixed + device_branch
    one_option      exactly one Y_ko for each k          one option per user
The hull of t x >= D is t' x' >= D y^2 in the disaggregated variables, a rotated cone, written out exactly. The
transformed model goes to SCIP as a file, in a child process; the shares come from `_shares.py`. The bound is
SCIP's dual bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray
from pyomo.gdp import Disjunct, Disjunction

from megdt_opt.formulations._checks import RESOURCES
from megdt_opt.formulations._disjunctive import solve_transformed
from megdt_opt.formulations._scaling import units
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.allocation import RawSolution


def make_model(problem: AllocationProblem, mask: NDArray[np.bool_], ceiling: NDArray[np.float64]) -> Any:
    """Variables and empty disjuncts for the options in `mask` (K, O); `ceiling` is M (K,)."""
    q = pyo.ConcreteModel()
    users = problem.users
    q.numbers, q.goal, q.users = units(problem, mask), problem.objective, range(users)
    q.pairs = [(int(k), int(o)) for k, o in np.argwhere(mask)]
    q.x = pyo.Var(range(len(RESOURCES)), q.users, bounds=(0, users))
    q.t = pyo.Var(range(len(RESOURCES)), q.users, bounds=lambda _, i, k: (0, float(ceiling[k])))
    q.v = pyo.Var(q.users, bounds=lambda _, k: (0, float(ceiling[k])))
    q.h = pyo.Var(bounds=(0, None))
    q.choice = Disjunct(q.pairs)
    return q


def stages(q: Any, k: int, o: int) -> list[int]:
    """Resources that an option demands."""
    return [i for i in range(len(RESOURCES)) if q.numbers.demand[i, k, o] > 0]


def budget(q: Any) -> None:
    """Σ_k x_ik <= K for each resource."""
    q.budget = pyo.Constraint(range(len(RESOURCES)), rule=lambda q, i: sum(q.x[i, k] for k in q.users) <= len(q.users))


def share_limit(q: Any) -> None:
    """x_edge <= C where there is a cap."""
    capped = [k for k in q.users if np.isfinite(q.numbers.cap[k])]
    q.share_limit = pyo.Constraint(capped, rule=lambda q, k: q.x[2, k] <= float(q.numbers.cap[k]))


def deadline(q: Any) -> None:
    """v <= E where there is a deadline."""
    limited = [k for k in q.users if np.isfinite(q.numbers.deadline[k])]
    q.deadline = pyo.Constraint(limited, rule=lambda q, k: q.v[k] <= float(q.numbers.deadline[k]))


def largest(q: Any) -> None:
    """h >= w v, where the objective knows the largest latency."""
    q.largest = pyo.Constraint(
        q.users if q.goal != "sum" else [], rule=lambda q, k: q.h >= float(q.numbers.weight[k]) * q.v[k]
    )


def stage_time(q: Any) -> None:
    """t x >= D inside Y_ko, for each stage that the option has."""
    for k, o in q.pairs:
        q.choice[k, o].stage_time = pyo.Constraint(
            stages(q, k, o), rule=lambda _, i, k=k, o=o: q.t[i, k] * q.x[i, k] >= float(q.numbers.demand[i, k, o])
        )


def stage_limit(q: Any) -> None:
    """t_up <= R inside Y_ko, where airtime is limited."""
    for k, o in q.pairs:
        if 1 in stages(q, k, o) and np.isfinite(q.numbers.airtime[k, o]):
            q.choice[k, o].stage_limit = pyo.Constraint(expr=q.t[1, k] <= float(q.numbers.airtime[k, o]))


def edge_branch(q: Any) -> None:
    """v >= F + Σ_i t_i inside Y_ko."""
    for k, o in q.pairs:
        spent = sum(q.t[i, k] for i in stages(q, k, o))
        q.choice[k, o].edge_branch = pyo.Constraint(expr=q.v[k] >= float(q.numbers.fixed[k, o]) + spent)


def device_branch(q: Any) -> None:
    """v >= G inside Y_ko."""
    for k, o in q.pairs:
        q.choice[k, o].device_branch = pyo.Constraint(expr=q.v[k] >= float(q.numbers.floor[k, o]))


def one_option(q: Any) -> None:
    """Exactly one Y_ko for each user."""
    q.one_option = Disjunction(q.users, rule=lambda q, k: [q.choice[pair] for pair in q.pairs if pair[0] == k])


CONSTRAINTS: tuple[Callable[[Any], None], ...] = (
    budget, share_limit, deadline, largest, stage_time, stage_limit, edge_branch, device_branch, one_option,
)  # fmt: skip


def build(q: Any, constraints: tuple[Callable[[Any], None], ...] = CONSTRAINTS) -> Any:
    """The disjunctive program of a model, not yet transformed; a variant replaces entries of the constraints."""
    for add in constraints:
        add(q)
    total = sum(float(q.numbers.weight[k]) * q.v[k] for k in q.users) / len(q.users)
    goal = {"sum": total, "max": q.h, "mixed": total + (q.numbers.max_weight / len(q.users)) * q.h}[q.goal]
    q.objective = pyo.Objective(expr=goal)
    return q


def transformed(problem: AllocationProblem, mask: NDArray[np.bool_], ceiling: NDArray[np.float64]) -> Any:
    """The hull of the disjunctive program."""
    q = build(make_model(problem, mask, ceiling))
    pyo.TransformationFactory("gdp.hull").apply_to(q, exact_hull_quadratic=True)
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
    return solve_transformed("option_gdp", problem, transformed, gap, time_limit_s)
