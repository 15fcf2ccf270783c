"""Scales that make every program dimensionless with numbers near 1, and the way back to shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.formulations._checks import budgets, whole_budget_s
from megdt_opt.problem.allocation_problem import AllocationProblem

Array = NDArray[np.float64]

OFF_CENTRE = 2.0
"""With 1, all cones of a sum would meet at s = z at the optimum, where Clarabel stalled on 8 % of instances."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Twice the square-root allocation of fixed options, in whose multiples the variables are written.

    Parameters
    ----------
    share : array, (3, K)
        Part of each budget [1]; sums to 2 over the users that demand it, 0 for the others.
    stage_s : array, (3, K)
        Stage times at these shares [s].
    latency_unit_s : float
        A typical latency [s].
    weight_unit : float
        Mean weight [1].
    """

    share: Array
    stage_s: Array
    latency_unit_s: float
    weight_unit: float


def reference(problem: AllocationProblem, option: NDArray[np.int64]) -> Reference:
    """Twice the square-root shares, which are proportional to sqrt(w * time on the whole budget)."""
    rows = np.arange(problem.users)
    alone_s = whole_budget_s(problem)[:, rows, option]
    root = np.sqrt(problem.weights * alone_s)
    total = root.sum(axis=1, keepdims=True)
    share = np.divide(OFF_CENTRE * root, total, out=np.zeros_like(root), where=total > 0)
    stage_s = stage_times(problem, option, share)
    latency_s = problem.fixed_s[rows, option] + np.maximum(problem.branch_s[rows, option], stage_s.sum(axis=0))
    weight_unit = float(problem.weights.mean())
    unit_s = float((problem.weights * latency_s).mean()) / weight_unit
    return Reference(
        share=share, stage_s=stage_s, latency_unit_s=unit_s if unit_s > 0 else 1.0, weight_unit=weight_unit
    )


def stage_times(problem: AllocationProblem, option: NDArray[np.int64], share: Array) -> Array:
    """Times of the three stages, (3, K) [s], at parts of the budgets `share` (3, K) [1]."""
    rows = np.arange(problem.users)
    hertz = share * budgets(problem)[:, None]
    amounts = (problem.downlink_bit, problem.uplink_bit, problem.edge_work_s)
    speeds = (problem.rate("downlink", hertz[0]), problem.rate("uplink", hertz[1]), hertz[2])
    with np.errstate(divide="ignore", invalid="ignore"):
        times = [np.where(a[rows, option] > 0, a[rows, option] / v, 0.0) for a, v in zip(amounts, speeds, strict=True)]
    return np.stack(times)


def usable_shares(problem: AllocationProblem, option: NDArray[np.int64], share: Array) -> tuple[Array, Array, Array]:
    """Shares in hertz, hertz and servers: none without demand, within caps, budgets used up but not exceeded.

    Parameters
    ----------
    problem : AllocationProblem
    option : array of int, (K,)
    share : array, (3, K)
        Parts of the budgets [1], as a solver left them.
    """
    rows = np.arange(problem.users)
    demanded = whole_budget_s(problem)[:, rows, option] > 0
    clean = np.where(demanded, np.maximum(share, 0.0), 0.0)
    total = clean.sum(axis=1, keepdims=True)
    clean = np.divide(clean, total, out=np.zeros_like(clean), where=total > 0)
    down, up, edge = clean * budgets(problem)[:, None]
    return down, up, np.minimum(edge, problem.share_caps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """Units of a program that decides options: a budget over K, and a typical latency at equal shares.

    Parameters
    ----------
    demand : array, (3, K, O)
        Time on one K-th of the budget / unit of latency [1].
    fixed, floor : array, (K, O)
        Fixed latency, and fixed latency plus device branch, / unit of latency [1].
    deadline, cap : array, (K,)
        Deadline / unit of latency (for "missed" the soft one), share cap / (capacity / K); infinite where there is
        none [1].
    least : array, (K,)
        Least uplink share / (band / K) with which some option keeps its limit on airtime; 0 where none binds [1].
    airtime : array, (K, O)
        Limit on the uplink stage / unit of latency; infinite where there is none [1].
    weight : array, (K,)
        Weight / mean weight [1].
    max_weight : float
        Weight of the largest latency in "mixed", else 0 [1].
    objective_unit_s : float
        Unit of latency times mean weight [s].
    """

    demand: Array
    fixed: Array
    floor: Array
    deadline: Array
    cap: Array
    least: Array
    airtime: Array
    weight: Array
    max_weight: float
    objective_unit_s: float


def units(problem: AllocationProblem, mask: NDArray[np.bool_]) -> Units:
    """Dimensionless numbers of the options in `mask` (K, O); the others are meaningless."""
    demand_s = whole_budget_s(problem) * problem.users
    weight_unit = float(problem.weights.mean())
    equal_s = problem.fixed_s + np.maximum(problem.branch_s, demand_s.sum(axis=0))
    best_s = np.where(mask, equal_s, np.inf).min(axis=1)
    unit_s = float((problem.weights * best_s).mean()) / weight_unit
    unit_s = unit_s if unit_s > 0 else 1.0
    airtime_s = problem.uplink_airtime_max_s
    cap = problem.share_caps * (problem.users / problem.edge_capacity if problem.edge_capacity > 0 else np.inf)
    least = np.zeros(problem.users)
    if airtime_s is not None:
        # a limit of zero has closed the options that send
        sends = mask & (demand_s[1] > 0)
        needed = np.divide(demand_s[1], airtime_s, out=np.zeros(mask.shape), where=sends)
        least = np.where(mask, needed, np.inf).min(axis=1)
    deadline_s = problem.on_time_s if problem.objective == "missed" else problem.hard_deadline_s
    return Units(
        demand=demand_s / unit_s, fixed=problem.fixed_s / unit_s, floor=(problem.fixed_s + problem.branch_s) / unit_s,
        deadline=deadline_s / unit_s, cap=cap, least=least,
        airtime=np.full(mask.shape, np.inf) if airtime_s is None else airtime_s / unit_s,
        weight=problem.weights / weight_unit, max_weight=problem.max_weight or 0.0,
        objective_unit_s=unit_s * weight_unit,
    )  # fmt: skip
