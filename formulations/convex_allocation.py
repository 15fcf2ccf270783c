"""Shares for fixed options.

Class: SOCP (linear rates), exponential cone program (Shannon rates). Exact, no approximation.

Sets
    k users, i in {downlink, uplink, edge} resources. Each user has exactly one open option.
Parameters (dimensionless unless noted; the reference is twice the square-root allocation, `_scaling`)
    X_ik  reference share of user k as part of budget i;  T_ik  its stage time there / unit of latency
    g_ik  SNR-bandwidth product / reference band;  c_ik = 1 / ln(1 + g_ik);  κ_ik = c_ik / (1 + g_ik)
    Y_ik  reference share / cap, 0 where there is no cap;  Q_ik  reference stage time / its limit, 0 where none
          (users without demand: 1/2 for both, which only keeps their idle variables bounded)
    F_k   fixed latency / unit;  G_k  fixed latency + device branch / unit;  E_k  unit / deadline, 0 where none
    w_k   weight / mean weight;  m  weight of the largest latency in the objective
    ρ_k   weight of the tail w_k / (K (1 - level)) ("mean_cvar" alone, where m is the weight of the tail)
Variables
    y_ik  share / reference share;  z_ik  rate / reference rate;  s_ik  stage time / reference stage time
    v_k   latency / unit;  h  largest weighted latency / unit
Objective
    sum: (1/K) Σ_k w_k v_k;  max: h;  mixed: (1/K) (Σ_k w_k v_k + m h)
    mean_cvar: (1/K) Σ_k w_k v_k + m h + Σ_k ρ_k (v_k - h)+, where w / K are probabilities and h is the quantile
Constraints (model: L = fixed + max(device_branch, bits_u/r_u + work/f + bits_d/r_d), `AllocationProblem`)
    budget          Σ_k X_ik y_ik <= 1                                  sum b <= B, sum f <= F
    rate_law        z <= y,  or  c y ln(c y / (κ y + c - κ)) <= y - z   r <= e b;  r <= b log2(1 + g/b)
    stage_time      s z >= 1 as a second-order cone                     t >= bits / r, t >= work / f
    share_limit     Y y <= 1                                            f <= edge_share_max
    stage_limit     Q s <= 1                                            bits_u / r_u <= uplink_airtime_max
    edge_branch     v >= F + Σ_i T_i s_i                                L >= fixed + edge branch
    device_branch   v >= G                                              L >= fixed + device_branch
    deadline        E v <= 1                                            L <= deadline
    largest         h >= w v                                            epigraph of max_k w_k L_k
The Shannon form is the perspective of the logarithm, c y ln(1 + g/y) = y - c y ln(c y / (κ y + c - κ)), written so
that its two arguments stay alike for any g; where g is below 1e-3 and more band hardly helps, Clarabel can fail.
All of it is compiled once per shape (DPP) up to 128 users and solved again with new parameters; above, it is built
with constants. The bound is the value of Clarabel's dual point less its tolerance.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cvxpy as cp
import numpy as np

from megdt_opt.errors import SolverFailure
from megdt_opt.formulations._checks import RESOURCES, budgets, not_together, only_options, require, workable_options
from megdt_opt.formulations._resolve import Compiled
from megdt_opt.formulations._scaling import Reference, reference, usable_shares
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.region import TIMES
from megdt_opt.solving.allocation import RawSolution

_TIGHTEST, _LOOSEST = 3e-8, 1e-6
_COMPILED_USERS = 128
"""Above, CVXPY's tensor of parameters (K^2 numbers) takes longer than building the program with constants."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Variables and parameters of the header; lists have one entry per resource."""

    objective: str
    shannon: tuple[bool, bool, bool]
    X: list[Any]
    T: list[Any]
    κ: list[Any]
    c: list[Any]
    Y: list[Any]
    Q: list[Any]
    F: Any
    G: Any
    E: Any
    w: Any
    ρ: Any
    m: Any
    y: list[Any]
    z: list[Any]
    s: list[Any]
    v: Any
    h: Any


def make_model(
    users: int, objective: str, shannon: tuple[bool, bool, bool], numbers: dict[str, Any] | None = None
) -> Model:
    """Variables for K users, with the numbers of `scaled_numbers` as constants, or else empty parameters."""

    def data(name: str, *shape: int) -> Any:
        if numbers is None:
            return cp.Parameter(shape[-1:], nonneg=True) if len(shape) < 2 else [data(name, users) for _ in RESOURCES]
        return [cp.Constant(row) for row in numbers[name]] if len(shape) == 2 else cp.Constant(numbers[name])

    variables = {name: [cp.Variable(users) for _ in RESOURCES] for name in "yzs"}
    tables = {name: data(name, len(RESOURCES), users) for name in ("X", "T", "κ", "c", "Y", "Q")}
    vectors = {name: data(name, users) for name in "FGEwρ"}
    return Model(
        objective=objective, shannon=shannon, m=data("m"), v=cp.Variable(users), h=cp.Variable(),
        **tables, **vectors, **variables,
    )  # fmt: skip


def budget(q: Model) -> list[Any]:
    """Σ_k X_ik y_ik <= 1 for each resource."""
    return [X @ y <= 1 for X, y in zip(q.X, q.y, strict=True)]


def rate_law(q: Model) -> list[Any]:
    """z <= y where the rate is linear, else the perspective of the logarithm."""
    laws = []
    for shannon, y, z, κ, c in zip(q.shannon, q.y, q.z, q.κ, q.c, strict=True):
        if shannon:
            laws.append(cp.rel_entr(cp.multiply(c, y), cp.multiply(κ, y) + c - κ) <= y - z)
        else:
            laws.append(z <= y)
    return laws


def stage_time(q: Model) -> list[Any]:
    """s z >= 1, s >= 0, z >= 0: |(2, s - z)| <= s + z."""
    two = 2 * np.ones(q.v.size)
    return [cp.SOC(s + z, cp.vstack([two, s - z]), axis=0) for s, z in zip(q.s, q.z, strict=True)]


def share_limit(q: Model) -> list[Any]:
    """Y y <= 1."""
    return [cp.multiply(Y, y) <= 1 for Y, y in zip(q.Y, q.y, strict=True)]


def stage_limit(q: Model) -> list[Any]:
    """Q s <= 1."""
    return [cp.multiply(Q, s) <= 1 for Q, s in zip(q.Q, q.s, strict=True)]


def edge_branch(q: Model) -> list[Any]:
    """v >= F + Σ_i T_i s_i."""
    return [q.v >= q.F + sum(cp.multiply(T, s) for T, s in zip(q.T, q.s, strict=True))]


def device_branch(q: Model) -> list[Any]:
    """v >= G."""
    return [q.v >= q.G]


def deadline(q: Model) -> list[Any]:
    """E v <= 1."""
    return [cp.multiply(q.E, q.v) <= 1]


def largest(q: Model) -> list[Any]:
    """h >= w v, where the objective knows the largest latency."""
    return [q.h >= cp.multiply(q.w, q.v)] if q.objective in ("max", "mixed") else []


CONSTRAINTS = (
    budget, rate_law, stage_time, share_limit, stage_limit, edge_branch, device_branch, deadline, largest,
)  # fmt: skip


def objective(q: Model) -> Any:
    """The objective of the header."""
    mean = q.w @ q.v / q.v.size
    if q.objective == "sum":
        return mean
    if q.objective == "mean_cvar":
        return mean + q.m * q.h + q.ρ @ cp.pos(q.v - q.h)
    return q.h if q.objective == "max" else mean + q.m * q.h


def _program(q: Model) -> Any:
    return cp.Problem(cp.Minimize(objective(q)), [one for make in CONSTRAINTS for one in make(q)])


@lru_cache(maxsize=16)
def _compiled(users: int, goal: str, shannon: tuple[bool, bool, bool]) -> tuple[Model, Compiled]:
    q = make_model(users, goal, shannon)
    return q, Compiled(_program(q))


def scaled_numbers(problem: AllocationProblem, scale: Reference) -> dict[str, Any]:
    """The parameters of the header, by name, for a problem whose options are fixed."""
    rows, option, unit_s = np.arange(problem.users), only_options(problem), scale.latency_unit_s
    idle = scale.share == 0
    Y, Q = np.where(idle, 0.5, 0.0), np.where(idle, 0.5, 0.0)
    Y[2] += scale.share[2] * problem.edge_capacity / problem.share_caps
    if problem.uplink_airtime_max_s is not None:
        air_s = problem.uplink_airtime_max_s[rows, option]
        Q[1] += np.divide(scale.stage_s[1], air_s, out=np.zeros(problem.users), where=~idle[1])
    g = np.ones_like(scale.share)
    for i, snr_hz in enumerate((problem.downlink_snr_hz, problem.uplink_snr_hz)):
        if snr_hz is not None:
            np.divide(snr_hz, scale.share[i] * budgets(problem)[i], out=g[i], where=~idle[i])
    fixed_s, tail_weight = problem.fixed_s[rows, option], problem.cvar_weight
    return {
        "X": scale.share, "T": scale.stage_s / unit_s, "κ": 1 / (1 + g) / np.log1p(g), "c": 1 / np.log1p(g),
        "Y": Y, "Q": Q,
        "F": fixed_s / unit_s, "G": (fixed_s + problem.branch_s[rows, option]) / unit_s,
        "E": unit_s / problem.hard_deadline_s, "w": problem.weights / scale.weight_unit,
        "m": (problem.max_weight or 0.0) / problem.users if tail_weight is None else tail_weight,
        "ρ": (tail_weight or 0.0) * problem.weights / (1 - (problem.cvar_level or 0.0)),
    }  # fmt: skip


def parameter_values(q: Model, numbers: dict[str, Any]) -> dict[int, Any]:
    """Values of a compiled model's parameters by their ids."""
    values = {}
    for name, value in numbers.items():
        held = getattr(q, name)
        for parameter, row in zip(held, value, strict=True) if isinstance(held, list) else ((held, value),):
            values[parameter.id] = np.asarray(row, dtype=np.float64)
    return values


def solve(problem: AllocationProblem, *, gap: float, time_limit_s: float | None) -> RawSolution:
    """Optimal shares for a problem in which each user has exactly one open option.

    Parameters
    ----------
    problem : AllocationProblem
    gap : float
        Asked relative gap [1].
    time_limit_s : float or None
        Limit on the solver [s].

    Raises
    ------
    InvalidInput
        Where a user has several open options, or the objective is "missed".
    Infeasible
        Where the limits cannot be kept.
    SolverFailure
        Where Clarabel ends without an accurate answer.
    """
    started_s = time.perf_counter()
    require(problem, "convex_allocation", objectives=(*TIMES, "mean_cvar"))
    option = only_options(problem)
    workable_options(problem)
    scale = reference(problem, option)
    numbers = scaled_numbers(problem, scale)
    shape = (
        problem.users,
        problem.objective,
        (problem.downlink_snr_hz is not None, problem.uplink_snr_hz is not None, False),
    )
    tolerance = float(np.clip(gap / 20, _TIGHTEST, _LOOSEST))
    settings = {"tol_gap_rel": tolerance, "tol_gap_abs": tolerance, "tol_feas": tolerance, "max_iter": 200}
    if time_limit_s is not None:
        settings["time_limit"] = float(time_limit_s)
    if problem.users <= _COMPILED_USERS:
        q, compiled = _compiled(*shape)
        with compiled.lock:
            data = compiled.data(parameter_values(q, numbers))
            built_s = time.perf_counter()
            raw = compiled.solve(data, settings)
            solved_s = time.perf_counter()
            _check(raw, problem)
            found = compiled.values(raw, q.y)
    else:
        q = make_model(*shape, numbers)
        program = _program(q)
        data, chain, inverse = program.get_problem_data(cp.CLARABEL, solver_opts={})
        built_s = time.perf_counter()
        raw = chain.solve_via_data(program, data, warm_start=False, verbose=False, solver_opts=settings)
        solved_s = time.perf_counter()
        _check(raw, problem)
        solution = chain.invert(raw, inverse)
        found = [solution.primal_vars[y.id] for y in q.y]
    share = np.stack(found) * scale.share
    down, up, edge = usable_shares(problem, option, share)
    to_seconds = scale.latency_unit_s * scale.weight_unit * (1 if problem.objective == "max" else problem.users)
    dual = min(float(raw.obj_val), float(raw.obj_val_dual))
    return RawSolution(
        option=option, downlink_hz=down, uplink_hz=up, edge_share=edge,
        bound=(dual - tolerance * (1 + abs(dual))) * to_seconds,
        build_s=built_s - started_s, solve_s=solved_s - built_s, message=f"Clarabel: {raw.status}",
    )  # fmt: skip


def _check(raw: Any, problem: AllocationProblem) -> None:
    """Raise unless Clarabel reached an accurate answer."""
    status = str(raw.status)
    if status == "PrimalInfeasible":
        raise not_together()
    if status != "Solved":
        raise SolverFailure(f"Clarabel ended with {status} after {raw.iterations} steps ({problem.users} users)")
