"""Why a problem has no solution: which users, which limits, in their units."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from megdt_opt.errors import Conflict, Infeasible
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.checks import NO_AIRTIME_LIMIT_S
from megdt_opt.si import show
from megdt_opt.solving.closing import close, kept
from megdt_opt.solving.cost_limits import keeping_costs, least_stretch
from megdt_opt.solving.lateness import can_start, lateness_problem


def named(problem: AllocationProblem, resources: Resources, deadline: float = np.inf) -> Infeasible:
    """The error for a problem without an allocation: what is in conflict, as far as it can be found out in time.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    deadline : float
        `time.monotonic()` at which to end with what is known by then [s].
    """
    limits = problem.cost_limits
    if limits is not None and not limits.reachable:
        return _costs_below_least(problem)
    left = bool(resources.open.any(axis=1).all())
    served = limits is not None and bool(limits.open_options.any(axis=1).all())
    if not left and (limits is None or not served or limits.within.any(axis=1).all()):
        return no_option(problem, resources)
    if limits is not None and (not left or keeping_costs(problem, resources, deadline)[1]):
        stretch = least_stretch(problem, deadline)
        hint = f"They could be kept if all were at least {stretch:.4g} times as large." if stretch > 1 else ""
        conflicts = _limits_on_costs(problem)
        return Infeasible("these limits on the costs of all users cannot be kept together", conflicts, (), hint=hint)
    return not_together(problem, deadline)


def _costs_below_least(problem: AllocationProblem) -> Infeasible:
    """The error for limits on costs that are below the least total of each."""
    limits = problem.cost_limits
    assert limits is not None
    conflicts = []
    for n in np.flatnonzero(limits.room < 0).tolist():
        c, least = int(limits.limited[n]), float(limits.least[:, n].sum())
        words = f"{{limit}} is {{value}}, but the total over the users is at least {least:.10g}"
        conflicts.append(Conflict(None, f"cost_max of cost {c}", float(limits.cost_max[c]), "", words))
    return Infeasible("a limit on a cost is below the least total that open options reach", conflicts, ())


def _limits_on_costs(problem: AllocationProblem) -> list[Conflict]:
    """All limits on costs."""
    limits = problem.cost_limits
    if limits is None:
        return []
    numbers = limits.limited.tolist()
    return [Conflict(None, f"cost_max of cost {c}", float(limits.cost_max[c]), "") for c in numbers]


def no_option(problem: AllocationProblem, resources: Resources) -> Infeasible:
    """The error for users without an open option."""
    users = tuple(int(k) for k in np.flatnonzero(~resources.open.any(axis=1)))
    return Infeasible("no option is left", [c for k in users for c in _what_closes(problem, k)], users)


def _what_closes(problem: AllocationProblem, k: int) -> list[Conflict]:
    allowed = problem.allowed_mask[k]
    if not allowed.any():
        return [Conflict(k, "allowed", 0.0, "options", "every option is forbidden by `{limit}`")]
    reasons = []
    zero = "{limit} = {value}, which %d options need"
    for side in ("downlink", "uplink"):
        needs = getattr(problem, f"{side}_bit")[k][allowed] > 0
        efficiency, snr = getattr(problem, f"{side}_efficiency"), getattr(problem, f"{side}_snr_hz")
        law = efficiency if efficiency is not None else snr
        if needs.any() and getattr(problem, f"{side}_hz") == 0:
            reasons.append(Conflict(k, f"{side}_hz", 0.0, "Hz", zero % needs.sum()))
        elif needs.any() and law is not None and law[k] == 0:
            name, unit = ("snr_hz", "Hz") if efficiency is None else ("efficiency", "bit/s/Hz")
            reasons.append(Conflict(k, f"{side}_{name}", 0.0, unit, zero % needs.sum()))
    needs = problem.edge_work_s[k][allowed] > 0
    if needs.any() and problem.edge_capacity == 0:
        reasons.append(Conflict(k, "edge_capacity", 0.0, "", zero % needs.sum()))
    if (most := _airtime_s(problem, k, allowed)) is not None:
        words = "{limit} of at most {value} is too short even with the whole uplink band"
        reasons.append(Conflict(k, "uplink airtime", most, "s", words))
    need = "every option that is allowed needs a resource of which the budget is zero"
    return reasons or [Conflict(k, "open options", 0.0, "", need)]


def _airtime_s(problem: AllocationProblem, k: int, allowed: np.ndarray) -> float | None:
    """The longest limit on airtime of a user's allowed options [s]; None where none is limited."""
    if problem.uplink_airtime_max_s is None:
        return None
    limits = problem.uplink_airtime_max_s[k][allowed & (problem.uplink_bit[k] > 0)]
    limits = limits[limits < NO_AIRTIME_LIMIT_S]
    return float(limits.max()) if limits.size else None


def not_together(problem: AllocationProblem, deadline: float = np.inf) -> Infeasible:
    """The error for hard limits that cannot be kept together; names a smallest conflicting set of users.

    The set is proven to conflict, and with any one user fewer it does not; after `time.monotonic()` has reached the
    deadline [s], users stay in it of whom that is not known.
    """
    limited = [int(k) for k in np.flatnonzero(np.isfinite(problem.hard_deadline_s))]
    if problem.uplink_airtime_max_s is not None:
        limited = list(range(problem.users))
    core = smallest_conflict(limited, lambda users: _conflict(problem, users, deadline))
    conflicts = []
    for k in core:
        if np.isfinite(problem.hard_deadline_s[k]):
            conflicts.append(Conflict(k, "deadline", float(problem.hard_deadline_s[k]), "s"))
        if (most := _airtime_s(problem, k, problem.allowed_mask[k])) is not None:
            conflicts.append(Conflict(k, "uplink airtime", most, "s", "{limit} at most {value}"))
    conflicts += _limits_on_costs(problem)
    needed = _least_stretch(problem, core, deadline)
    hint = ""
    if needed:
        hint = f"They could be met together if every one of these deadlines were {needed:.4g} times as long."
        if set(core) != set(np.flatnonzero(np.isfinite(problem.hard_deadline_s)).tolist()):
            hint = f"Without the other users {hint[0].lower()}{hint[1:]}"
    budgets = ", ".join(
        [
            f"{show(problem.uplink_hz, 'Hz')} uplink",
            f"{show(problem.downlink_hz, 'Hz')} downlink",
            f"{problem.edge_capacity:g} edge servers",
        ]
    )
    return Infeasible(f"these limits cannot be kept together on {budgets}", conflicts, core, hint=hint)


def smallest_conflict(users: list[int], conflict: Callable[[list[int]], bool]) -> list[int]:
    """A set of users that conflicts, and no longer does when any of them goes (QuickXplain, Junker 2004).

    About 2 c log2(K / c) + 2 c calls for a conflict of c among K users.
    """

    def search(given: list[int], new: bool, candidates: list[int]) -> list[int]:
        if new and given and conflict(given):
            return []
        if len(candidates) <= 1:
            return candidates
        half = len(candidates) // 2
        second = search(given + candidates[:half], True, candidates[half:])
        first = search(given + second, bool(second), candidates[:half])
        return first + second

    return sorted(search([], False, users))


def lateness(problem: AllocationProblem, users: list[int], deadline: float = np.inf) -> tuple[float, float]:
    """Least max of L / deadline over these users alone, and a proven lower bound of it; infinite where airtime limits
    clash. At the deadline, `time.monotonic()` [s], it ends with what is known by then.
    """
    part = lateness_problem(problem, users)
    resources = Resources.of(part)
    if not can_start(resources):
        return np.inf, np.inf
    left = deadline - time.monotonic()
    if left <= 0:
        return np.inf, 0.0
    try:
        closed = close(part, resources, gap=1e-6, time_limit_s=left if np.isfinite(left) else None)
    except Infeasible:  # the limited costs alone
        return np.inf, np.inf
    return closed.objective, closed.bound


def _conflict(problem: AllocationProblem, users: list[int], deadline: float) -> bool:
    """Whether it is proven in time that users cannot keep their limits together."""
    return time.monotonic() <= deadline and kept(problem, deadline, users=users).ruled_out


def _least_stretch(problem: AllocationProblem, users: list[int], deadline: float) -> float | None:
    if not users or time.monotonic() > deadline:
        return None
    late, proven = lateness(problem, users, deadline)
    return late if np.isfinite(late) and proven > 1 else None
