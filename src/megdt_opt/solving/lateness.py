"""The problem of the least lateness: how far deadlines must be stretched to be kept together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.checks import SMALLEST
from megdt_opt.problem.deviations import EXTRAS, SAMPLES
from megdt_opt.solving.engines.engine import Choice

_GAPS = (0.1, 1e-2, 1e-3, 1e-6, 1e-9)
"""To which the lateness is closed in turn, until it is known whether the deadlines can be kept [1]."""

_CLOSE = 2e-9
"""Relative distance from a deadline that the last of them leaves open [1]."""


@dataclass(frozen=True)
class Kept:
    """Whether hard limits can be kept together.

    Parameters
    ----------
    choice : array of int, (R,), or None
        Choices with which they are; None where none were found.
    ruled_out : bool
        Whether it is proven that there are none.
    x : array, (3, K), optional
        Scaled shares with which the choices keep them [1].
    """

    choice: Choice | None
    ruled_out: bool = False
    x: Array | None = None


class Late(NamedTuple):
    """What closing the least lateness to a gap yields.

    Parameters
    ----------
    objective, bound : float
        Largest L / deadline that was reached, and a proven lower bound of the least [1].
    choice : array of int, (R,)
    x : array
        Scaled shares that reach it [1].
    """

    objective: float
    bound: float
    choice: Choice
    x: Array


def limits_kept(close: Callable[[float, float | None], Late], deadline: float, most: float = 1.0) -> Kept:
    """Choices that keep all hard limits, or that there are none.

    The least max over users of L / deadline is closed, first roughly and then more tightly, until its value or its
    bound is on one side of `most`.

    Parameters
    ----------
    close : callable
        Closes the lateness to a gap [1] within a time [s].
    deadline : float
        `time.monotonic()` at which to give up [s].
    most : float
        Largest L / deadline that counts as kept [1].
    """
    found: Late | None = None
    for gap in _GAPS:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        found = close(gap, left if np.isfinite(left) else None)
        if found.objective <= most:
            return Kept(found.choice, x=found.x)
        if found.bound > most:
            return Kept(None, ruled_out=True)
    # within the last gap of the limit
    if found is not None and found.bound >= most - _CLOSE:
        return Kept(found.choice, ruled_out=True, x=found.x)
    return Kept(None)


def lateness_problem(problem: AllocationProblem, users: list[int] | None = None) -> AllocationProblem:
    """The problem of the least max of L / deadline, for all or for some of the users."""
    users = list(range(problem.users)) if users is None else users

    def cut(value: Any) -> Any:
        return None if value is None else value[users]

    return AllocationProblem(
        fixed_s=cut(problem.fixed_s),
        downlink_bit=problem.downlink_bit[users],
        uplink_bit=problem.uplink_bit[users],
        edge_work_s=cut(problem.edge_work_s),
        downlink_hz=problem.downlink_hz,
        uplink_hz=problem.uplink_hz,
        edge_capacity=problem.edge_capacity,
        device_branch_s=cut(problem.device_branch_s),
        allowed=problem.allowed_mask[users],
        edge_share_max=cut(problem.edge_share_max),
        downlink_efficiency=cut(problem.downlink_efficiency),
        uplink_efficiency=cut(problem.uplink_efficiency),
        downlink_snr_hz=cut(problem.downlink_snr_hz),
        uplink_snr_hz=cut(problem.uplink_snr_hz),
        uplink_airtime_max_s=cut(problem.uplink_airtime_max_s),
        weight=urgency(problem.hard_deadline_s)[users],
        objective="max",
        option_cost=cut(problem.option_cost),
        cost_max=_left_for(problem, users),
        deviation_budget=problem.deviation_budget,
        **{name: cut(getattr(problem, name)) for name in (*EXTRAS, *SAMPLES)},
        samples_kept=problem.samples_kept,
    )


def _left_for(problem: AllocationProblem, users: list[int]) -> np.ndarray | None:
    """What the limits on costs leave for some users if all others cost the least, (C,)."""
    limits = problem.cost_limits
    if limits is None:
        return None
    left = limits.cost_max.copy()
    others = np.delete(limits.least, users, axis=0)
    left[limits.limited] = np.maximum(left[limits.limited] - others.sum(axis=0), 0.0)
    return np.where(left < SMALLEST, 0.0, left)


def urgency(limits: Array) -> Array:
    """1 / deadline for deadlines (K,) [s]; next to nothing for users without one, whose deadline is infinite [1/s]."""
    finite = limits[np.isfinite(limits)]
    far = 1e9 * (float(finite.max()) if finite.size else 1.0)
    result: Array = 1.0 / np.where(np.isfinite(limits), limits, far)
    return result


def can_start(resources: Resources) -> bool:
    """Whether every user has an open option and the least uplink shares fit together: no deadline is looked at."""
    if not resources.open.any(axis=1).all():
        return False
    least = np.where(resources.open, resources.lo[UPLINK], np.inf).min(axis=1)
    return bool(least.sum() <= 1.0 + 1e-12)
