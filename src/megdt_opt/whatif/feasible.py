"""Whether a problem has an allocation at all, and the smallest number at which it has one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import UPLINK, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.closing import kept
from megdt_opt.solving.lateness import can_start, lateness_problem

PRECISION = 1e-3
"""Relative precision of a smallest change."""

_ON_TIME = 1.0 - 1e-6
"""Lateness that counts as on time: strictly below 1, so that solvers find room inside the limits."""


class OutOfTime(Exception):
    """The time for an explanation is over."""


@dataclass(frozen=True)
class Answer:
    """Whether limits can be kept.

    Parameters
    ----------
    option : array of int, (K,), or None
        Options that keep them; None where none were found.
    proven : bool
        For None: whether no options can, by a bound.
    """

    option: NDArray[np.int64] | None
    proven: bool = True


def answer(problem: AllocationProblem, until: float) -> Answer:
    """Options that keep all hard limits of a problem, or that there are none.

    Parameters
    ----------
    problem : AllocationProblem
    until : float
        `time.monotonic()` at which to give up [s].
    """
    resources = Resources.of(problem)
    if not can_start(resources):
        return Answer(None)
    if not np.isfinite(problem.hard_deadline_s).any():
        if problem.uplink_airtime_max_s is None:
            return Answer(resources.open.argmax(axis=1))
        least = np.where(resources.open, resources.lo[UPLINK], np.inf)
        return Answer(least.argmin(axis=1))
    found = kept(problem, until, _ON_TIME)
    if found.choice is None and not found.ruled_out and time.monotonic() > until:
        raise OutOfTime
    return Answer(found.choice, found.ruled_out)


def keeps(problem: AllocationProblem, option: NDArray[np.int64]) -> bool:
    """Whether these options, (K,), keep all hard limits."""
    resources = Resources.of(problem)
    if not resources.open[np.arange(problem.users), option].all():
        return False
    if not np.isfinite(problem.hard_deadline_s).any():
        return bool(resources.lo[UPLINK][np.arange(problem.users), option].sum() <= 1.0 + 1e-12)
    part = lateness_problem(problem)
    return bool(best_shares(part, Resources.of(part), option[None]).objective[0] <= _ON_TIME)


def smallest(
    at: Callable[[float], AllocationProblem], low: float, high: float, until: float
) -> tuple[float, NDArray[np.int64], bool] | None:
    """The smallest number at which a problem has an allocation, to `PRECISION`.

    Options found at a larger number are kept and the number is bisected for them, which is quick; then one search
    with all options just below proves the number, or finds options that allow a smaller one.

    Parameters
    ----------
    at : callable
        The problem at a number; a larger number never makes it harder.
    low, high : float
        Where it has none, and the largest to try; 0 < low < high.
    until : float
        `time.monotonic()` at which to give up [s].

    Returns
    -------
    tuple or None
        The number (it does have an allocation there), its options, and whether less by `PRECISION` was proven not
        to be enough; None where even `high` is not.
    """
    found = answer(at(high), until)
    if found.option is None:
        return None
    option = found.option
    while True:
        high = _bisect(at, option, low, high, until)
        below = high * (1.0 - PRECISION)
        if below <= low:
            return high, option, True
        further = answer(at(below), until)
        if further.option is None:
            return high, option, further.proven
        option, high = further.option, below


def _bisect(
    at: Callable[[float], AllocationProblem], option: NDArray[np.int64], low: float, high: float, until: float
) -> float:
    """Least number for given options, which keep the limits at `high`; bisection of the logarithm."""
    while high > low * (1.0 + PRECISION / 4):
        if time.monotonic() > until:
            raise OutOfTime
        middle = float(np.sqrt(low * high))
        if keeps(at(middle), option):
            high = middle
        else:
            low = middle
    return high
