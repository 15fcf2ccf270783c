"""Scales that make every program dimensionless with numbers near 1, and the way back to shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.formulations._checks import budgets, whole_budget_s
from megdt_opt.problem import AllocationProblem

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The square-root allocation of fixed options, in whose multiples the variables are written.

    Parameters
    ----------
    share : array, (3, K)
        Part of each budget [1]; sums to 1 over the users that demand it, 0 for the others.
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
    """Square-root shares, part of a budget proportional to sqrt(w * time on the whole budget)."""
    rows = np.arange(problem.users)
    alone_s = whole_budget_s(problem)[:, rows, option]
    root = np.sqrt(problem.weights * alone_s)
    total = root.sum(axis=1, keepdims=True)
    share = np.divide(root, total, out=np.zeros_like(root), where=total > 0)
    stage_s = stage_times(problem, option, share)
    latency_s = problem.fixed_s[rows, option] + np.maximum(
        problem.branch_s[rows, option], stage_s.sum(axis=0)
    )
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
        times = [
            np.where(a[rows, option] > 0, a[rows, option] / v, 0.0)
            for a, v in zip(amounts, speeds, strict=True)
        ]
    return np.stack(times)


def usable_shares(
    problem: AllocationProblem, option: NDArray[np.int64], share: Array
) -> tuple[Array, Array, Array]:
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
