"""What a formulation accepts, and what each user can do alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.problem import region
from megdt_opt.problem.allocation_problem import AllocationProblem

RESOURCES = ("downlink", "uplink", "edge")
"""The three budgets, in the order of every array with a resource axis."""


def budgets(problem: AllocationProblem) -> NDArray[np.float64]:
    """The budgets, (3,) [Hz, Hz, 1]."""
    return np.array([problem.downlink_hz, problem.uplink_hz, problem.edge_capacity])


def whole_budget_s(problem: AllocationProblem) -> NDArray[np.float64]:
    """Time of each stage if the user had the whole budget to itself, (3, K, O) [s].

    0 where there is nothing to do, infinite where its budget is zero. The share cap does not enter.
    """
    users = problem.users
    amounts = (problem.downlink_bit, problem.uplink_bit, problem.edge_work_s)
    speeds = (
        problem.rate("downlink", np.full(users, problem.downlink_hz)),
        problem.rate("uplink", np.full(users, problem.uplink_hz)),
        np.full(users, problem.edge_capacity),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        times = [np.where(a > 0, a / v[:, None], 0.0) for a, v in zip(amounts, speeds, strict=True)]
    return np.stack(times)


def workable_options(problem: AllocationProblem) -> NDArray[np.bool_]:
    """Open options that keep the user's own limits if nobody else were there, (K, O).

    Raises
    ------
    Infeasible
        Where a user has none left; `solve` says which limits.
    """
    down_s, up_s, edge_s = whole_budget_s(problem)
    with np.errstate(divide="ignore", invalid="ignore"):
        capped_s = np.where(problem.edge_work_s > 0, problem.edge_work_s / problem.share_caps[:, None], 0.0)
    alone_s = problem.fixed_s + np.maximum(problem.branch_s, down_s + up_s + np.maximum(edge_s, capped_s))
    in_time = alone_s <= problem.hard_deadline_s[:, None] * (1 + 1e-12)
    airtime = problem.uplink_airtime_max_s
    on_air = np.ones_like(in_time) if airtime is None else up_s <= airtime * (1 + 1e-12)
    mask = problem.open_options & in_time & on_air
    hopeless = np.flatnonzero(~mask.any(axis=1)).tolist()
    if hopeless:
        raise Infeasible("no option keeps the limits of one user alone", users=hopeless)
    result: NDArray[np.bool_] = mask
    return result


def require(
    problem: AllocationProblem,
    method: str,
    *,
    linear: bool = False,
    objectives: tuple[str, ...] = region.TIMES,
    costs: bool = False,
) -> None:
    """Refuse what a formulation cannot represent: objectives but those that it takes, Shannon rates if `linear`, and
    costs beside the latency unless `costs`."""
    remedy = 'Use the method "auto", "prices" or "enumerate", or "option_misocp" for linear rates and any objective.'
    region.require(problem, f"the method {method!r}", remedy, objectives=objectives, linear=linear, costs=costs)


def replaced(constraints: tuple[Any, ...], **others: tuple[Any, ...]) -> tuple[Any, ...]:
    """A tuple of constraints in which those of given names are replaced by others, by none where these are empty."""
    named = {getattr(one, "__name__", ""): (one,) for one in constraints} | others
    assert len(named) == len(constraints), f"no constraint of these names: {sorted(others)}"
    return tuple(one for group in named.values() for one in group)


def only_options(problem: AllocationProblem) -> NDArray[np.int64]:
    """The single open option of each user, (K,).

    Raises
    ------
    InvalidInput
        Where a user has several; names the user and the methods that decide options.
    """
    count = problem.open_options.sum(axis=1)
    several = np.flatnonzero(count > 1)
    if several.size:
        raise InvalidInput(
            f"allowed (user {int(several[0])})",
            f"{int(count[several[0]])} open options",
            "exactly one open option per user, because convex_allocation does not decide options",
            'Use "auto", "prices", "enumerate", "option_misocp" or "option_gdp", or forbid all but one by `allowed`.',
        )
    return np.asarray(problem.open_options.argmax(axis=1), dtype=np.int64)


def fix_options(problem: AllocationProblem, option: NDArray[np.int64]) -> AllocationProblem:
    """The same problem with each user's option decided, option (K,)."""
    chosen = np.zeros(problem.fixed_s.shape, dtype=bool)
    chosen[np.arange(problem.users), option] = True
    return replace(problem, allowed=chosen & problem.allowed_mask)


def not_together() -> Infeasible:
    """The error for limits that no shares keep together; `solve` names the users."""
    return Infeasible("no options and shares keep the limits of all users together")
