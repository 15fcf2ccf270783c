"""The core problem with every budget scaled to 1.

A resource i is downlink (0), uplink (1) or edge (2). A user's share of it is x = share / budget in [lo, hi], and its
time is t = a / R(x): R(x) = x for linear rates and for compute, R(x) = x log1p(gamma / x) for the Shannon law. R is
concave and increasing, so t is convex and decreasing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.evaluation import in_units as in_units
from megdt_opt.radio.rates import shannon_band

Array = NDArray[np.float64]

RESOURCES = ("downlink", "uplink", "edge")
"""Order of the resources everywhere, as in the signature of `evaluate`."""

DOWNLINK, UPLINK, EDGE = range(3)

_ROUNDING = 1e-12

_RATE_ROUNDING = 4e-15
"""Relative: what scaling and `shannon_band` lose of a rate. Where the rate hardly grows with the band, that is much of
the band, so that least shares are of a rate lowered by it: never above the truth, the limit kept within it."""


@dataclass(frozen=True)
class Resources:
    """Scaled resources of a problem.

    Parameters
    ----------
    a : array, (3, K, O)
        Demand [s]: the time at R = 1.
    gamma : array, (3, K)
        SNR-bandwidth product over the band [1]; infinite marks the law R(x) = x.
    lo : array, (3, K, O)
        Least share [1], from the airtime limit.
    hi : array, (3, K)
        Largest share [1]: the cap, at most the whole budget.
    open : array of bool, (K, O)
        Options that some share within [lo, hi] serves.
    """

    a: Array
    gamma: Array
    lo: Array
    hi: Array
    open: NDArray[np.bool_]

    @classmethod
    def of(cls, problem: AllocationProblem) -> Resources:
        """Scale a problem; without airtime limits, tables are made only when they are asked for.

        Raises
        ------
        InvalidInput
            For a problem whose latencies are a worst case or a level of samples, which is no core problem.
        """
        if problem.uncertain:
            name = "deviation_budget" if problem.samples_kept is None else "samples_kept"
            expected = "a problem without deviations or samples"
            raise InvalidInput(name, getattr(problem, name), expected, "Use `solve` and `evaluate`, or leave it out.")
        problem = problem.certain
        if problem.uplink_airtime_max_s is None:
            return _Deferred(problem)
        gamma, hi = _laws(problem)
        a = np.stack([_demand(problem, i, _amounts(problem)[i], (slice(None), None)) for i in range(3)])
        is_open = problem.open_options & np.isfinite(a).all(axis=0)
        a[:, ~is_open] = 0.0
        lo = np.zeros_like(a)
        if problem.uplink_airtime_max_s is not None:
            lo[UPLINK] = _least_share(a[UPLINK], gamma[UPLINK], problem.uplink_airtime_max_s)
            # a limit that takes the whole band exactly can be kept
            is_open &= lo[UPLINK] <= hi[UPLINK][:, None] * (1.0 + _ROUNDING)
            lo[UPLINK] = np.minimum(lo[UPLINK], hi[UPLINK][:, None])
        return cls(a=a, gamma=gamma, lo=np.where(is_open, lo, 0.0), hi=hi, open=is_open)

    @property
    def linear(self) -> bool:
        """Whether every law is R(x) = x."""
        return bool(np.isinf(self.gamma).all())

    def pick(self, option: NDArray[np.int64]) -> tuple[Array, Array, Array, Array]:
        """a, gamma, lo, hi of chosen options (S, K), each with shape (S, 3, K)."""
        rows = np.arange(self.a.shape[1])
        shape = (option.shape[0], 3, option.shape[1])
        a = self.a[:, rows, option].transpose(1, 0, 2)
        lo = self.lo[:, rows, option].transpose(1, 0, 2)
        return a, np.broadcast_to(self.gamma, shape), lo, np.broadcast_to(self.hi, shape)


class _Deferred(Resources):
    """The same without airtime limits: compiled code looks at none of the tables."""

    def __init__(self, problem: AllocationProblem) -> None:
        object.__setattr__(self, "_problem", problem)
        object.__setattr__(self, "open", problem.open_options)

    _problem: AllocationProblem

    @cached_property
    def _both_laws(self) -> tuple[Array, Array]:
        return _laws(self._problem)

    @cached_property
    def gamma(self) -> Array:
        """As in `Resources`."""
        return self._both_laws[0]

    @cached_property
    def hi(self) -> Array:
        """As in `Resources`."""
        return self._both_laws[1]

    @cached_property
    def a(self) -> Array:
        """As in `Resources`."""
        table = np.stack([_demand(self._problem, i, _amounts(self._problem)[i], (slice(None), None)) for i in range(3)])
        table[:, ~self.open] = 0.0
        return table

    @cached_property
    def lo(self) -> Array:
        """As in `Resources`: no share is needed for airtime."""
        return np.zeros((3, *self.open.shape))

    def pick(self, option: NDArray[np.int64]) -> tuple[Array, Array, Array, Array]:
        """As in `Resources`, without the tables."""
        rows = np.arange(self.open.shape[0])
        shape = (option.shape[0], 3, option.shape[1])
        amounts = [table[rows, option] for table in _amounts(self._problem)]
        a = np.stack([_demand(self._problem, i, amounts[i], (None, slice(None))) for i in range(3)], axis=1)
        return a, np.broadcast_to(self.gamma, shape), np.zeros(shape), np.broadcast_to(self.hi, shape)


def _amounts(problem: AllocationProblem) -> tuple[Array, Array, Array]:
    return problem.downlink_bit, problem.uplink_bit, problem.edge_work_s


def _laws(problem: AllocationProblem) -> tuple[Array, Array]:
    """gamma and hi, (3, K)."""
    gamma, hi = np.full((3, problem.users), np.inf), np.ones((3, problem.users))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for i, side in enumerate(RESOURCES[:EDGE]):
            snr = getattr(problem, f"{side}_snr_hz")
            if snr is not None:
                # gamma = 0 stands for an unreachable user; its demanding options are closed
                gamma[i] = snr / getattr(problem, f"{side}_hz")
        hi[EDGE] = np.minimum(problem.share_caps / problem.edge_capacity, 1.0)
    return np.where(np.isfinite(gamma), gamma, np.inf), hi


def _demand(problem: AllocationProblem, i: int, amount: Array, users: tuple[slice | None, ...]) -> Array:
    """Seconds that amounts take at R = 1; `users` indexes a vector (K,) so that it broadcasts with the amounts."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if i == EDGE:
            return np.where(amount > 0, amount / problem.edge_capacity, 0.0)
        side = RESOURCES[i]
        budget, efficiency = getattr(problem, f"{side}_hz"), getattr(problem, f"{side}_efficiency")
        if getattr(problem, f"{side}_snr_hz") is not None:
            seconds = amount * np.log(2.0) / budget
        elif efficiency is not None:
            seconds = amount / (efficiency[users] * budget)
        else:
            return np.zeros_like(amount)
        return np.where(amount == 0, 0.0, seconds)


def _least_share(a: Array, gamma: Array, limit_s: Array) -> Array:
    """x with a / R(x) = limit, (K, O), or hardly less; 0 without demand."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        needed = np.where(a > 0, a / limit_s, 0.0)  # = R(x)
        if np.isinf(gamma).all():
            return needed
        rate = needed * ((1.0 - _RATE_ROUNDING) / np.log(2.0))
        shannon = shannon_band(rate, np.where(np.isinf(gamma), 1.0, gamma)[:, None])
        return np.where(np.isinf(gamma)[:, None], needed, shannon)
