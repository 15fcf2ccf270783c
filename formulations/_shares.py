"""Best shares of given options, for programs that decide options: in closed form, else by the convex program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible
from megdt_opt.formulations import convex_allocation
from megdt_opt.formulations._checks import budgets, fix_options, whole_budget_s
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.shares.closed_forms import equal_deadlines, square_root
from megdt_opt.solving.allocation import RawSolution
from megdt_opt.tolerances import EXACT

_GAP = 1e-7


def best(problem: AllocationProblem, option: NDArray[np.int64]) -> tuple[float, RawSolution] | None:
    """Objective [s] and shares of options (K,); None where they cannot keep the limits. Costs decide no shares.

    Raises
    ------
    SolverFailure
        Where Clarabel ends without an accurate answer.
    """
    alone = replace(problem, option_cost=None, cost_max=None, cost_weight_s=None)
    raw = _by_closed_form(alone, option)
    try:
        raw = raw or convex_allocation.solve(fix_options(alone, option), gap=_GAP, time_limit_s=None)
    except Infeasible:
        return None
    return evaluate(problem, option, raw.downlink_hz, raw.uplink_hz, raw.edge_share).objective_s, raw


def _by_closed_form(problem: AllocationProblem, option: NDArray[np.int64]) -> RawSolution | None:
    """Shares that are best without deadlines, limits on airtime and device branches, if they keep these too."""
    if not problem.linear or problem.objective not in ("max", "sum"):
        return None
    rows = np.arange(problem.users)
    a, weight, fixed = whole_budget_s(problem)[:, rows, option], problem.weights, problem.fixed_s[rows, option]
    cap = np.divide(problem.share_caps, problem.edge_capacity, out=np.ones(problem.users), where=a[2] > 0)
    hi = np.stack([np.ones(problem.users), np.ones(problem.users), np.minimum(cap, 1.0)])
    if problem.objective == "sum":
        x, _ = square_root(np.sqrt(weight * a), hi)
        with np.errstate(divide="ignore", invalid="ignore"):
            least = float((weight * (fixed + np.where(a > 0, a / x, 0.0).sum(axis=0))).sum())
    else:
        floor = (weight * (fixed + problem.branch_s[rows, option])).max(keepdims=True)
        found = equal_deadlines(a[None], hi[None], fixed[None], weight, floor)
        x, least = found.x[0], float(found.level[0])
    down, up, edge = x * budgets(problem)[:, None]
    edge = np.minimum(edge, problem.share_caps)
    seen = evaluate(problem, option, down, up, edge)
    if seen.violation > 1e-12 or not seen.objective_s <= least * (1 + EXACT):
        return None
    return RawSolution(
        option=option, downlink_hz=down, uplink_hz=up, edge_share=edge, bound=least, build_s=0.0, solve_s=0.0
    )


def parts(problem: AllocationProblem, raw: RawSolution) -> NDArray[np.float64]:
    """Shares of a solution as parts of the budgets, (3, K) [1]."""
    shares, total = np.stack([raw.downlink_hz, raw.uplink_hz, raw.edge_share]), budgets(problem)[:, None]
    return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
