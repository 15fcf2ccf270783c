"""What a formulation accepts, and infeasibility that one user alone explains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Conflict, Infeasible, InvalidInput
from megdt_opt.problem.allocation_problem import AllocationProblem

RESOURCES = ("downlink", "uplink", "edge")
"""The three budgets, in the order of every array with a resource axis."""


def budgets(problem: AllocationProblem) -> NDArray[np.float64]:
    """The budgets, (3,) [Hz, Hz, 1]."""
    return np.array([problem.downlink_hz, problem.uplink_hz, problem.edge_capacity])


def whole_budget_s(problem: AllocationProblem) -> NDArray[np.float64]:
    """Time of each stage if the user had the whole budget to itself, (3, K, O) [s].

    0 where there is nothing to do, infinite where the resource is not there. The share cap does not enter.
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
        Where a user has none left; names the user and its limits.
    """
    down_s, up_s, edge_s = whole_budget_s(problem)
    with np.errstate(divide="ignore", invalid="ignore"):
        capped_s = np.where(problem.edge_work_s > 0, problem.edge_work_s / problem.share_caps[:, None], 0.0)
    alone_s = problem.fixed_s + np.maximum(problem.branch_s, down_s + up_s + np.maximum(edge_s, capped_s))
    in_time = alone_s <= problem.hard_deadline_s[:, None] * (1 + 1e-12)
    airtime = problem.uplink_airtime_max_s
    on_air = np.ones_like(in_time) if airtime is None else up_s <= airtime * (1 + 1e-12)
    mask = problem.open_options & in_time & on_air
    for user in np.flatnonzero(~mask.any(axis=1)):
        k = int(user)
        limits: list[Conflict]
        if not problem.allowed_mask[k].any():
            limits = [Conflict(k, "allowed", 0.0, "options", "no option is allowed")]
        elif not problem.open_options[k].any():
            why = "every allowed option demands a resource that is not there"
            limits = [Conflict(k, "open options", 0.0, "", why), *_budgets(problem)]
        else:
            best_s = float(alone_s[k][problem.open_options[k]].min())
            alone = f"even alone its least latency is {best_s:g} s against a {{limit}} of {{value}}"
            limits = [Conflict(k, "deadline", float(problem.hard_deadline_s[k]), "s", alone)]
            if airtime is not None and not (problem.open_options[k] & on_air[k]).any():
                words = "even the whole uplink band needs more {limit} than {value}"
                limits = [Conflict(k, "uplink airtime", float(airtime[k].max()), "s", words)]
            elif airtime is not None and (problem.open_options[k] & in_time[k]).any():
                words = "no option keeps both, even alone: {limit} of {value}"
                limits = [
                    Conflict(k, "deadline", float(problem.hard_deadline_s[k]), "s", words),
                    Conflict(k, "uplink airtime", float(airtime[k].max()), "s", "{limit} of {value}"),
                ]
        raise Infeasible("no option keeps the limits of one user alone", limits)
    result: NDArray[np.bool_] = mask
    return result


def require(problem: AllocationProblem, method: str, *, linear: bool, missed: bool = False) -> None:
    """Refuse what a formulation cannot represent.

    Parameters
    ----------
    problem : AllocationProblem
    method : str
        Name of the formulation, for the message.
    linear : bool
        Whether it needs linear rates.
    missed : bool
        Whether it takes the objective "missed".
    """
    if problem.objective == "missed" and not missed:
        raise InvalidInput(
            "objective",
            "missed",
            f'"max", "sum" or "mixed" for the method {method!r}',
            'Use the method "auto", "prices", "enumerate" or "option_misocp".',
        )
    if linear and not problem.linear:
        side = "downlink" if problem.downlink_snr_hz is not None else "uplink"
        raise InvalidInput(
            f"{side}_snr_hz",
            "Shannon rate",
            f"linear rates (efficiency [bit/s/Hz]) for the method {method!r}",
            'Give efficiencies, or use the method "auto", "prices" or "enumerate".',
        )


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


def conflict(problem: AllocationProblem) -> Infeasible:
    """The error for limits that no shares keep together."""
    deadline_s, airtime_s = problem.hard_deadline_s, problem.uplink_airtime_max_s
    limits = []
    for k in range(problem.users):
        if np.isfinite(deadline_s[k]):
            limits.append(Conflict(k, "deadline_s", float(deadline_s[k]), "s", "{limit} of {user}: {value}"))
        if airtime_s is not None:
            limits.append(Conflict(k, "uplink airtime", float(airtime_s[k].max()), "s", "{limit} at most {value}"))
    reason = "the deadlines and airtimes cannot be kept together within the budgets"
    return Infeasible(reason, limits + _budgets(problem))


def _budgets(problem: AllocationProblem) -> list[Conflict]:
    units = ("Hz", "Hz", "")
    return [
        Conflict(None, f"{name} budget", float(b), unit)
        for name, b, unit in zip(RESOURCES, budgets(problem), units, strict=True)
    ]
