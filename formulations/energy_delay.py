"""Generation splitting: share of the content and device power, epsilon-constraint on the energy.

Class: power cone program. Exact, no approximation.

Sets
    none: one user, one edge server, one device
Parameters (dimensionless unless noted; the units are Y for y, T for t and G for e, see `scaled_numbers`)
    V0  device time at 1 W [s W^k];  k  exponent;  P  largest power [W];  ε  energy limit [J];  x_min  least edge share
    A  latency of making everything at the edge, U_E + Z/R [s]
    α = A Y / unit of latency;  τ = T / unit of latency;  ρ = Y V0 / (G^k T^(1-k));  φ = Y V0 P^-k / T
    ω = ε / G;  μ = (1 - x_min) / Y
Variables
    y  share made on the device / Y (1 - x = Y y);  t  time of the device / T;  e  its energy / G
Objective
    A (1 - x made at the device) + device time, without the constant A: τ t - α y
Constraints (model: D = x A + (1-x) V0 p^-k, E = (1-x) V0 p^(1-k), `megdt_opt.problem.generation_split`)
    device_work    e^k t^(1-k) >= ρ y     E = t p and t = (1-x) V0 p^-k without p: (1-x) V0 = E^k t^(1-k)
    power_limit    t >= φ y               p <= P
    energy_limit   e <= ω                 E <= ε
    share_limit    y <= μ                 x >= x_min
The product (1-x) V0 p^-k is not convex in (x, p), but in (y, t, e) it is a power cone: any time t and energy e with
(1-x) V0 <= e^k t^(1-k) can be had, with p = ((1-x) V0/t)^(1/k) spending at most e. The epsilon-constraint on the energy
is one linear inequality, so the front of latency against energy is convex. The share is read from the solver; the
power and both figures follow from it by `GenerationSplitProblem`. The bound is the value of Clarabel's dual point less
its tolerance.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np

from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.problem.generation_split import GenerationSplit, GenerationSplitProblem
from megdt_opt.problem.outcome import BoundSource, Method, Status
from megdt_opt.solving.answers import relative_gap

_TIGHTEST, _LOOSEST = 1e-9, 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Variables and numbers of the header."""

    numbers: Numbers
    y: Any
    t: Any
    e: Any


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Parameters of the header, with the units in which variables and objective are written."""

    k: float
    α: float
    τ: float
    ρ: float
    φ: float
    ω: float
    μ: float
    share_unit: float
    time_unit_s: float
    energy_unit_j: float
    objective_unit_s: float


def scaled_numbers(p: GenerationSplitProblem) -> Numbers:
    """Parameters of the header.

    The unit of y is twice the share at which the slopes of both terms meet, if the energy limit lets the device make
    anything, and at most what x_min leaves; those of t and e are the time and energy of that share.
    """
    most = 1 - p.share_min
    stationary = 0.0
    if p.energy_max_j > 0 and p.whole_edge_s > 0:
        per_energy = math.log(p.energy_max_j) - math.log(p.device_s_at_1_w)
        full = math.log(p.energy_max_j) - math.log(p.power_max_w) - math.log(p.fastest_device_s)
        slope = math.log1p(-p.exponent) + math.log(p.whole_edge_s) - math.log(p.device_s_at_1_w)
        slow = per_energy + (1 - p.exponent) / p.exponent * slope
        stationary = math.exp(min(max(full, slow), 0.0))
    share = min(2 * stationary, most) if stationary > 0 else most
    share = share if share > 0 else 1.0
    power = p.power_w(share) or p.power_max_w
    time_s = share * p.device_s_at_1_w * power**-p.exponent
    energy_j = time_s * power
    unit_s = p.whole_edge_s * share or time_s
    return Numbers(
        k=p.exponent, α=p.whole_edge_s * share / unit_s, τ=time_s / unit_s, ρ=1.0,
        φ=share * p.fastest_device_s / time_s, ω=p.energy_max_j / energy_j, μ=most / share,
        share_unit=share, time_unit_s=time_s, energy_unit_j=energy_j, objective_unit_s=unit_s,
    )  # fmt: skip


def make_model(p: GenerationSplitProblem) -> Model:
    """The variables with the parameters of a problem."""
    y, t, e = (cp.Variable(nonneg=True) for _ in range(3))
    return Model(numbers=scaled_numbers(p), y=y, t=t, e=e)


def device_work(q: Model) -> list[Any]:
    """e^k t^(1-k) >= ρ y."""
    return [cp.PowCone3D(q.e, q.t, q.numbers.ρ * q.y, q.numbers.k)]


def power_limit(q: Model) -> list[Any]:
    """t >= φ y."""
    return [q.t >= q.numbers.φ * q.y]


def energy_limit(q: Model) -> list[Any]:
    """e <= ω."""
    return [q.e <= q.numbers.ω]


def share_limit(q: Model) -> list[Any]:
    """y <= μ."""
    return [q.y <= q.numbers.μ]


CONSTRAINTS = (device_work, power_limit, energy_limit, share_limit)


def objective(q: Model) -> Any:
    """The objective of the header."""
    return q.numbers.τ * q.t - q.numbers.α * q.y


def solve(problem: GenerationSplitProblem, *, gap: float, time_limit_s: float | None) -> GenerationSplit:
    """Best share and power.

    Parameters
    ----------
    problem : GenerationSplitProblem
    gap : float
        Asked relative gap [1].
    time_limit_s : float or None
        Limit on the solver [s].

    Raises
    ------
    InvalidInput
        For another class of problem.
    SolverFailure
        Where Clarabel ends without an accurate answer.
    """
    started_s = time.perf_counter()
    if not isinstance(problem, GenerationSplitProblem):
        raise InvalidInput(
            "problem", type(problem).__name__, "a GenerationSplitProblem for the method 'energy_delay'",
            "Use another method for this class of problem.",
        )  # fmt: skip
    q = make_model(problem)
    program = cp.Problem(cp.Minimize(objective(q)), [one for make in CONSTRAINTS for one in make(q)])
    tolerance = float(np.clip(gap / 20, _TIGHTEST, _LOOSEST))
    settings: dict[str, Any] = {"tol_gap_rel": tolerance, "tol_gap_abs": tolerance, "tol_feas": tolerance}
    settings["max_iter"] = 200
    if time_limit_s is not None:
        settings["time_limit"] = float(time_limit_s)
    data, chain, inverse = program.get_problem_data(cp.CLARABEL, solver_opts={})
    built_s = time.perf_counter()
    raw = chain.solve_via_data(program, data, warm_start=False, verbose=False, solver_opts=settings)
    solved_s = time.perf_counter()
    if str(raw.status) != "Solved":
        raise SolverFailure(f"Clarabel ended with {raw.status} after {raw.iterations} steps")
    program.unpack_results(raw, chain, inverse)
    rest = min(max(float(q.y.value) * q.numbers.share_unit, 0.0), 1 - problem.share_min)
    share = max(1 - rest, problem.share_min)
    if problem.energy_max_j == 0:
        share = 1.0  # what the solver leaves of the device's share is below its tolerance, and no power can serve it
    power_w = problem.power_w(1 - share)
    found = problem.evaluate(share, power_w)
    dual = min(float(raw.obj_val), float(raw.obj_val_dual))
    bound = problem.whole_edge_s + (dual - tolerance * (1 + abs(dual))) * q.numbers.objective_unit_s
    lower = min(bound, found.latency_s)
    return GenerationSplit(
        share=share, share_tied_max=share, power_w=power_w, latency_s=found.latency_s, energy_j=found.energy_j,
        lower_bound_s=lower, gap=relative_gap(found.latency_s, lower), status=Status.FEASIBLE,
        method=Method.ENERGY_DELAY, bound_source=BoundSource.SOLVER, build_s=built_s - started_s,
        solve_s=solved_s - built_s, message=f"Clarabel: {raw.status}",
    )  # fmt: skip
