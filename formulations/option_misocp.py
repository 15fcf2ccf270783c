"""Options and shares together, compact form.

Class: mixed-integer SOCP, linear rates. Exact: at integer n the cones are those of the problem.

Sets
    k users; i in {downlink, uplink, edge} resources; j the pairs (user, workable option), k(j) its user.
Parameters (dimensionless: shares in budget/K, times in a typical latency; `_scaling.units`)
    A_kj  1 where k(j) = k;  D_ij  time of stage i on one K-th of its budget;  P_ij = sqrt(D_ij)
    F_j  fixed latency;  G_j  fixed latency + device branch;  R_j  limit on the uplink stage
    C_k  share cap;  E_k  1 / deadline, 0 where none;  w_k  weight;  m  weight of the largest latency
    B_k  uplink share that a late user's limits on airtime leave at least ("missed" alone)
    Q_cj  cost c over its limit, where it has one;  W_j  weighted costs, in the objective's unit
Variables
    n_j binary, option taken;  x_ik share;  t_ik stage time;  v_k latency;  h largest weighted latency
    late_k binary, for "missed" alone: a late user takes no option here, because its latency does not count
Objective
    sum: (1/K) Σ w v;  max: h;  mixed: (1/K) (Σ w v + m h);  missed: (1/K) Σ w late;  plus Σ W n
Constraints (model: L = fixed + max(device_branch, bits_u/r_u + work/f + bits_d/r_d), `AllocationProblem`)
    one_option      A n = 1;  missed: A n + late = 1     one option per user
    budget          Σ_k x_ik <= K                        sum b <= B, sum f <= F
    stage_time      t x >= (A diag(P) n)^2, as a cone    t >= demand / share; (Σ P n)^2 = Σ D n as one n is 1
    share_limit     x_edge <= C                          f <= edge_share_max
    stage_limit     t_up <= A diag(R) n                  bits_u / r_u <= uplink_airtime_max
    edge_branch     v >= A diag(F) n + Σ_i t_i           L >= fixed + edge branch
    device_branch   v >= A diag(G) n                     L >= fixed + device_branch
    deadline        E v <= 1                             L <= deadline
    largest         h >= w v                             epigraph of max_k w_k L_k
    late_share      x_up >= B late                       bits_u / r_u <= uplink_airtime_max of late users
    cost_limit      Q n <= 1                             Σ_k option_cost <= cost_max
The perspective form is `option_misocp_perspective`. SCIP can abort its process, so it runs in a
child. It decides the options alone: the shares come from `_shares.py`. The bound is SCIP's dual bound.
`relaxation_bound_s` is the bound of the program with continuous n, by Clarabel.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import SolverFailure
from megdt_opt.formulations import _scip, _shares
from megdt_opt.formulations._checks import RESOURCES, not_together, require, workable_options
from megdt_opt.formulations._scaling import units
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.region import TIMES
from megdt_opt.solving.allocation import RawSolution

_RELAXED = 1e-9
"""Clarabel's tolerance on a relaxation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Variables and parameters of the header; tables have one row per resource."""

    objective: str
    A: Any
    D: NDArray[np.float64]
    F: NDArray[np.float64]
    G: NDArray[np.float64]
    R: NDArray[np.float64]
    C: NDArray[np.float64]
    E: NDArray[np.float64]
    w: NDArray[np.float64]
    m: float
    B: NDArray[np.float64]
    Q: NDArray[np.float64]
    W: NDArray[np.float64]
    n: Any
    x: list[Any]
    t: list[Any]
    v: Any
    h: Any
    late: Any


def make_model(problem: AllocationProblem, mask: NDArray[np.bool_], *, whole: bool = True) -> Model:
    """Numbers and variables for the options in `mask` (K, O); n is continuous unless `whole`."""
    from scipy.sparse import csr_array

    u, users = units(problem, mask), problem.users
    user, _ = np.nonzero(mask)
    n = cp.Variable(user.size, boolean=True) if whole else cp.Variable(user.size, nonneg=True)
    A = csr_array((np.ones(user.size), (user, np.arange(user.size))), shape=(users, user.size))
    Q, W = costs(problem, mask)
    return Model(
        objective=problem.objective, A=A, D=u.demand[:, mask], F=u.fixed[mask], G=u.floor[mask], R=u.airtime[mask],
        C=u.cap, E=1 / u.deadline, w=u.weight, m=u.max_weight, B=u.least, Q=Q, W=W, n=n,
        x=[cp.Variable(users, nonneg=True) for _ in RESOURCES], t=[cp.Variable(users, nonneg=True) for _ in RESOURCES],
        v=cp.Variable(users, nonneg=True), h=cp.Variable(nonneg=True),
        late=cp.Variable(users, boolean=True) if problem.objective == "missed" else None,
    )  # fmt: skip


def costs(problem: AllocationProblem, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Q (C, J) and W (J,) of the header; what costs more than its limit is not in `mask`."""
    if problem.option_cost is None:
        return np.zeros((0, int(mask.sum()))), np.zeros(int(mask.sum()))
    table = problem.option_cost[mask].T
    free, none = np.full(len(table), np.inf), np.zeros(len(table))
    limit = free if problem.cost_max is None else problem.cost_max
    weight_s = none if problem.cost_weight_s is None else problem.cost_weight_s
    bound = np.isfinite(limit) & (limit > 0)
    return table[bound] / limit[bound, None], weight_s @ table / to_seconds(problem, mask)


def chosen(q: Model, table: NDArray[np.float64]) -> Any:
    """Value of a table (J,) at each user's option, (K,)."""
    return q.A @ cp.multiply(table, q.n)


def one_option(q: Model) -> list[Any]:
    """A n = 1, or A n + late = 1."""
    return [q.A @ q.n + (0 if q.late is None else q.late) == 1]


def budget(q: Model) -> list[Any]:
    """Σ_k x_ik <= K for each resource."""
    return [cp.sum(x) <= x.size for x in q.x]


def stage_time(q: Model) -> list[Any]:
    """t x >= (Σ P n)^2: |(2 Σ P n, t - x)| <= t + x."""
    roots = np.sqrt(q.D)
    return [
        cp.SOC(t + x, cp.vstack([2 * chosen(q, P), t - x]), axis=0) for t, x, P in zip(q.t, q.x, roots, strict=True)
    ]


def share_limit(q: Model) -> list[Any]:
    """x_edge <= C where there is a cap."""
    capped = np.isfinite(q.C)
    return [q.x[2][capped] <= q.C[capped]] if capped.any() else []


def stage_limit(q: Model) -> list[Any]:
    """t_up <= Σ R n where airtime is limited."""
    return [q.t[1] <= chosen(q, q.R)] if np.isfinite(q.R).all() else []


def edge_branch(q: Model) -> list[Any]:
    """v >= Σ F n + Σ_i t_i."""
    return [q.v >= chosen(q, q.F) + sum(q.t)]


def device_branch(q: Model) -> list[Any]:
    """v >= Σ G n."""
    return [q.v >= chosen(q, q.G)]


def deadline(q: Model) -> list[Any]:
    """E v <= 1 where there is a deadline."""
    return [cp.multiply(q.E, q.v) <= 1] if q.E.any() else []


def largest(q: Model) -> list[Any]:
    """h >= w v, where the objective knows the largest latency."""
    return [] if q.objective in ("sum", "missed") else [q.h >= cp.multiply(q.w, q.v)]


def late_share(q: Model) -> list[Any]:
    """x_up >= B late, where a late user can be bound by a limit on airtime."""
    return [] if q.late is None or not q.B.any() else [q.x[1] >= cp.multiply(q.B, q.late)]


def cost_limit(q: Model) -> list[Any]:
    """Q n <= 1 where a total is limited."""
    return [q.Q @ q.n <= 1] if q.Q.size else []


CONSTRAINTS: tuple[Callable[[Model], list[Any]], ...] = (
    one_option, budget, stage_time, share_limit, stage_limit, edge_branch, device_branch, deadline, largest,
    late_share, cost_limit,
)  # fmt: skip


def program(q: Model, constraints: tuple[Callable[[Any], list[Any]], ...] = CONSTRAINTS) -> Any:
    """The program of a tuple of constraints; a variant replaces entries of it."""
    users = q.v.size
    total = (q.w @ q.v) / users
    goals = {"sum": total, "max": q.h, "mixed": total + (q.m / users) * q.h}
    goal = goals[q.objective] if q.late is None else (q.w @ q.late) / users
    goal = goal + q.W @ q.n if q.W.any() else goal
    return cp.Problem(cp.Minimize(goal), [one for make in constraints for one in make(q)])


def relaxation_bound_s(problem: AllocationProblem) -> float:
    """Bound of the continuous relaxation of the compact form [s], linear rates.

    Parameters
    ----------
    problem : AllocationProblem

    Raises
    ------
    InvalidInput
        For Shannon rates or the objective "missed".
    Infeasible
        Where even the relaxation cannot keep the limits.
    SolverFailure
        Where Clarabel ends without an accurate answer.
    """
    require(problem, "option_misocp", linear=True, costs=True)
    mask = workable_options(problem)
    return relaxed_s(problem, mask, program(make_model(problem, mask, whole=False)))


def relaxed_s(problem: AllocationProblem, mask: NDArray[np.bool_], cone_program: Any) -> float:
    """Value of the dual point of a relaxed program, less Clarabel's tolerance [s]."""
    settings = {"tol_gap_rel": _RELAXED, "tol_gap_abs": _RELAXED, "tol_feas": _RELAXED, "max_iter": 300}
    data, chain, _ = cone_program.get_problem_data(cp.CLARABEL, solver_opts={})
    raw = chain.solve_via_data(cone_program, data, warm_start=False, verbose=False, solver_opts=settings)
    if str(raw.status) == "PrimalInfeasible":
        raise not_together()
    if str(raw.status) != "Solved":
        raise SolverFailure(f"Clarabel ended with {raw.status} after {raw.iterations} steps on the relaxation")
    dual = min(float(raw.obj_val), float(raw.obj_val_dual))
    return (dual - _RELAXED * (1 + abs(dual))) * to_seconds(problem, mask)


def to_seconds(problem: AllocationProblem, mask: NDArray[np.bool_]) -> float:
    """Seconds in one unit of the program's objective."""
    return units(problem, mask).objective_unit_s * (1 if problem.objective == "max" else problem.users)


def solve_variant(
    name: str, problem: AllocationProblem, gap: float, time_limit_s: float | None, objectives: tuple[str, ...] = TIMES
) -> RawSolution:
    """Solve a formulation of this family, named by its module, with SCIP in a child."""
    require(problem, name, linear=True, objectives=objectives, costs=name == "option_misocp")
    mask = workable_options(problem)
    answer = _scip.ask(f"{__name__}:_solve_here", (name, problem, mask, gap, time_limit_s), time_limit_s)
    return finish(problem, mask, answer)


def _solve_here(argument: tuple[str, AllocationProblem, NDArray[np.bool_], float, float | None]) -> _scip.Answer:
    name, problem, mask, gap, time_limit_s = argument
    begin = time.perf_counter()
    module = importlib.import_module(f"{__package__}.{name}")
    q = module.make_model(problem, mask)
    cone_program = program(q, module.CONSTRAINTS)
    data, chain, _ = cone_program.get_problem_data(cp.SCIP, solver_opts={})
    built_s = time.perf_counter() - begin
    options = {"scip_params": _scip.settings(gap, time_limit_s)}
    found = chain.solve_via_data(cone_program, data, warm_start=False, verbose=False, solver_opts=options)
    taken: tuple[int, ...] = ()
    if "primal" in found:
        columns = data["param_prob"].var_id_to_col
        binaries = [b for b in (q.n, q.late) if b is not None]
        ones = [found["primal"][columns[b.id] : columns[b.id] + b.size] > 0.5 for b in binaries]
        taken = tuple(int(j) for j in np.flatnonzero(np.concatenate(ones)))
    return _scip.read(found["model"], taken, built_s)


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
        For Shannon rates.
    Infeasible
        Where the limits cannot be kept.
    SolverFailure
        Where SCIP crashes, is killed, or finds no solution in time.
    """
    return solve_variant("option_misocp", problem, gap, time_limit_s, (*TIMES, "missed"))


def finish(problem: AllocationProblem, mask: NDArray[np.bool_], answer: _scip.Answer) -> RawSolution:
    """Best shares for the options that SCIP chose; `mask` (K, O) numbers its binaries."""
    if answer.infeasible:
        raise not_together()
    if problem.objective == "missed":
        return _finish_missed(problem, mask, answer)
    user, option = np.nonzero(mask)
    picked = np.zeros(problem.users, dtype=np.int64)
    picked[user[list(answer.chosen)]] = option[list(answer.chosen)]
    found = _shares.best(problem, picked)
    if found is None:
        raise SolverFailure(f"SCIP chose options that cannot keep the limits: {picked.tolist()}")
    bound = answer.bound * to_seconds(problem, mask) if abs(answer.bound) < 1e19 else None
    return replace(
        found[1], bound=bound, build_s=answer.build_s, solve_s=answer.solve_s, message=f"SCIP: {answer.status}"
    )


def _finish_missed(problem: AllocationProblem, mask: NDArray[np.bool_], answer: _scip.Answer) -> RawSolution:
    """The late users beside the options of the others; the caller works out their shares."""
    user, option = np.nonzero(mask)
    picked = np.full(problem.users, problem.options)
    on_time = [j for j in answer.chosen if j < user.size]
    picked[user[on_time]] = option[on_time]
    late, none = picked == problem.options, np.zeros(problem.users)
    weight_unit = float(problem.weights.mean())
    return RawSolution(
        option=np.where(late, mask.argmax(axis=1), picked), downlink_hz=none, uplink_hz=none, edge_share=none,
        bound=answer.bound * weight_unit * problem.users if abs(answer.bound) < 1e19 else None, late=late,
        build_s=answer.build_s, solve_s=answer.solve_s, message=f"SCIP: {answer.status}",
    )  # fmt: skip
