"""What happens as a budget goes to zero or to infinity: limit problems, and how fast they are reached."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from megdt_opt.bounds._region import fixed_options, require
from megdt_opt.errors import Conflict, Infeasible, InvalidInput
from megdt_opt.pricing.scaled import RESOURCES, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.radio.rates import speed

_DEMAND = {"uplink": "uplink_bit", "downlink": "downlink_bit", "edge": "edge_work_s"}
_BUDGET = {"uplink": "uplink_hz", "downlink": "downlink_hz", "edge": "edge_capacity"}


def without(problem: AllocationProblem, resource: str) -> AllocationProblem:
    """The limit of a problem as a budget goes to zero: every option that demands the resource is closed.

    Proposition. The optimum is non-increasing in every budget, and as the budget B goes to 0 it converges to the
    optimum of this problem (to infinity where a user is left without an option). So this problem's optimum is an upper
    bound at every B. Proof. Shares for a smaller budget fit into a larger one; this problem's shares take nothing of B.
    An option with demand a takes at least a/rate(B), which grows without bound, so below some B no optimum uses it
    (`idle_below` states where). Region: every objective, rate law and limit. Source: ours.

    Parameters
    ----------
    problem : AllocationProblem
    resource : str
        "uplink", "downlink" or "edge".

    Returns
    -------
    AllocationProblem
        The problem with a budget of 0 of that resource.

    Raises
    ------
    InvalidInput
        Where the resource is none of the three.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0, 2.0], [0.0, 3.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[4e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_hz=4e6, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective="sum",
    ... )
    >>> from megdt_opt import solve
    >>> solve(bounds.without(problem, "edge")).objective_s
    5.0
    >>> round(solve(problem).objective_s, 3)  # what the edge gains
    3.25
    """
    return with_budget(problem, resource, 0.0)


def unlimited(problem: AllocationProblem, resource: str) -> AllocationProblem:
    """The limit of a problem as a budget goes to infinity: the resource is no longer shared.

    Proposition. As B goes to infinity the optimum converges to this problem's from above, so this problem's optimum is
    a lower bound at every B. What stays of the resource's time is 0 for linear rates, bits ln 2/g for Shannon rates
    (b log2(1 + g/b) increases to g/ln 2), and work/cap where a chain can use at most `edge_share_max` servers.
    Proof. No share makes a stage faster than that, and shares exist that come as near as one likes. With a constant c
    in the edge branch, fixed + max(branch, c + rest) = (fixed + c) + max(max(branch - c, 0), rest).
    Region: every objective, rate law and limit but one: an airtime limit on an unlimited uplink stays as a limit on c.
    Source: ours.

    Parameters
    ----------
    problem : AllocationProblem
    resource : str
        "uplink", "downlink" or "edge".

    Returns
    -------
    AllocationProblem
        The problem whose options demand nothing of that resource; what stays of its time is in `fixed_s`.

    Raises
    ------
    InvalidInput
        Where the resource is none of the three.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0, 2.0], [0.0, 3.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[4e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_hz=4e6, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective="sum",
    ... )
    >>> from megdt_opt import solve
    >>> round(solve(bounds.unlimited(problem, "downlink")).objective_s, 3)
    3.0
    """
    _budget(resource)
    demand = getattr(problem, _DEMAND[resource])
    changes: dict[str, Any] = {_DEMAND[resource]: np.zeros_like(demand)}
    openly = problem.allowed_mask.copy()
    if resource == "edge":
        rest = np.where(demand > 0, demand / problem.share_caps[:, None], 0.0)
    else:
        efficiency, snr = getattr(problem, f"{resource}_efficiency"), getattr(problem, f"{resource}_snr_hz")
        law = efficiency if efficiency is not None else snr
        reached = np.zeros(problem.users, bool) if law is None else law > 0
        openly &= (demand == 0) | reached[:, None]
        rest = np.zeros_like(demand)
        if snr is not None:
            top = np.where(reached, snr / math.log(2.0), 1.0)
            rest = np.where(openly, demand / top[:, None], 0.0)
        if resource == "uplink" and problem.uplink_airtime_max_s is not None:
            openly &= rest <= problem.uplink_airtime_max_s
    changes["fixed_s"] = problem.fixed_s + rest
    changes["allowed"] = openly
    if problem.device_branch_s is not None:
        changes["device_branch_s"] = np.maximum(problem.device_branch_s - rest, 0.0)
    return replace(problem, **changes)


def approach_to_unlimited_s(problem: AllocationProblem, resource: str, limit_option: ArrayLike) -> float:
    """How far the optimum can still be above that of `unlimited` [s].

    Proposition. Let o be optimal options of the unlimited problem. Then
    V(unlimited) <= V(B) <= V(unlimited) + (Σ_k sqrt(w_k a_k(o)))², with a the resource's time on the whole budget: the
    distance falls as 1/B. Proof. Give the options o their unlimited shares of the other resources and square-root
    shares of this one: by the square-root rule it costs exactly the last term. Region: "sum", linear rates, no device
    branches, no caps on the edge, no deadlines or airtimes. Source: ours.

    Parameters
    ----------
    problem : AllocationProblem
        At its finite budget.
    resource : str
        "uplink", "downlink" or "edge".
    limit_option : array_like of int, (K,)
        Optimal options of `unlimited(problem, resource)`.

    Returns
    -------
    float
        Most that the optimum can exceed the unlimited one by [s].

    Raises
    ------
    InvalidInput
        Where the problem lies outside the region; names the field that does not fit.
        Where the resource is none of the three.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0, 2.0], [0.0, 3.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[4e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_hz=4e6, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective="sum",
    ... )
    >>> from megdt_opt import solve
    >>> limit = solve(bounds.unlimited(problem, "downlink"))
    >>> round(limit.objective_s, 3), round(bounds.approach_to_unlimited_s(problem, "downlink", limit.option), 3)
    (3.0, 0.25)
    """
    _budget(resource)
    require(problem, objectives=("sum",), linear=True, sequential=True)
    if np.isfinite(problem.share_caps).any():
        raise InvalidInput("edge_share_max", "given", "no share caps [1]", "The distance is proved without them only.")
    scaled = Resources.of(problem)
    option = fixed_options(problem, scaled, limit_option)
    a = scaled.a[RESOURCES.index(resource), np.arange(problem.users), option]
    return float(np.sqrt(problem.weights * a).sum() ** 2)


def idle_below(problem: AllocationProblem, resource: str, without_s: float) -> float:
    """Budget below which no optimum uses the resource [Hz, or servers].

    Proposition. Let V0 be the optimum of `without`. An option with demand d (bits/efficiency, or work) takes d/B or
    more on this resource and r_i on each other one, its time there with the whole budget. So with the other users at
    their least, v_k = the latency alone with this resource for nothing, weighted, the option cannot be in an optimum
    while w_k (fixed + d/B + Σ r_i) + Σ_{j≠k} v_j > V0 ("sum") or w_k (fixed + d/B + Σ r_i) > V0 ("max"). Below the
    least of w_k d/(V0 - Σ_{j≠k} v_j - w_k (fixed + Σ r_i)) over the options, the optimum is V0 exactly, and no bit or
    step crosses the resource. For one user it is the very budget at which the resource begins to help.
    Proof. The left sides are lower bounds of the objective with that option. Options whose denominator is at most 0, or
    whose device branch alone is too long, are never in a better allocation. For one user they are equalities.
    Region: "sum" and "max", linear rates on this resource, no airtime limit on it, V0 finite. Source: ours.

    Parameters
    ----------
    problem : AllocationProblem
        Its budget of the resource does not matter.
    resource : str
        "uplink", "downlink" or "edge".
    without_s : float
        V0, the optimum of `without(problem, resource)` [s].

    Returns
    -------
    float
        inf where the resource never helps.

    Raises
    ------
    InvalidInput
        Where the problem lies outside the region; names the field that does not fit.
        Where the resource is none of the three.
    Infeasible
        Where a user has no option whatever the budget.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(
    ...     fixed_s=[[0.0, 2.0], [0.0, 3.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[4e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]],
    ...     downlink_hz=4e6, uplink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective="sum",
    ... )
    >>> from megdt_opt import solve
    >>> nothing_s = solve(bounds.without(problem, "downlink")).objective_s
    >>> round(bounds.idle_below(problem, "downlink", nothing_s))  # [Hz]
    333333
    """
    _budget(resource)
    require(problem, objectives=("sum", "max"), limits=True)
    if resource != "edge" and getattr(problem, f"{resource}_snr_hz") is not None:
        raise InvalidInput(f"{resource}_snr_hz", "Shannon rate", "linear rates on this resource", "Use `solve`.")
    if not (math.isfinite(without_s) and without_s >= 0):
        raise InvalidInput(
            "without_s", without_s, "a finite optimum without the resource [s]", "Solve `without` first."
        )
    if resource == "uplink" and problem.uplink_airtime_max_s is not None:
        raise InvalidInput("uplink_airtime_max_s", "given", "no limit on this resource's airtime [s]", "Use `solve`.")
    ample = with_budget(problem, resource, 1.0)
    scaled, place = Resources.of(ample), RESOURCES.index(resource)
    demand = scaled.a[place]  # time times budget, for a budget of 1
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = np.where(scaled.a > 0, scaled.a / speed(scaled.hi, scaled.gamma)[:, :, None], 0.0)
    rest = np.delete(whole, place, axis=0).sum(axis=0)
    w, mask = problem.weights[:, None], scaled.open
    branch = w * (problem.fixed_s + problem.branch_s)
    own = w * (problem.fixed_s + rest)
    least = np.where(mask, np.maximum(branch, own), np.inf).min(axis=1)
    if not np.isfinite(least).all():
        raise Infeasible(
            "no option is open", [Conflict(int(k), "open options", 0.0, "") for k in np.flatnonzero(np.isinf(least))]
        )
    others = (least.sum() - least)[:, None] if problem.objective == "sum" else np.zeros((problem.users, 1))
    room = without_s - others - own
    some = mask & (demand > 0) & (room > 0) & (branch <= without_s - others)
    return float((w * demand / np.where(some, room, 1.0))[some].min()) if some.any() else math.inf


def with_budget(problem: AllocationProblem, resource: str, value: float) -> AllocationProblem:
    """The problem with another budget of one resource [Hz, or servers]."""
    changes: dict[str, Any] = {_budget(resource): value}
    return replace(problem, **changes)


def budget_of(problem: AllocationProblem, resource: str) -> float:
    """The budget of one resource [Hz, or servers]."""
    return float(getattr(problem, _budget(resource)))


def _budget(resource: str) -> str:
    if resource not in _BUDGET:
        raise InvalidInput("resource", resource, f"one of {tuple(_BUDGET)}", "Choose one of them.")
    return _BUDGET[resource]
