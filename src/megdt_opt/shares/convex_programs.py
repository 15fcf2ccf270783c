"""Best shares for given options as convex programs, in the logarithms of shares.

Variables of user k are the logarithms z of its shares (3), its latency s beyond the fixed part and, where there is a
conditional value at risk, the excess u of its latency over D; one for all is D. In logarithms nothing becomes negative,
and times and budgets are convex. The objective is sum w s, or D with D >= w (fixed + s), or both. Arrays are (S, ...),
of S option sets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.radio.rates import Array, time_and_slopes
from megdt_opt.shares.goal import Goal

KEPT = 1e-14
"""By so much, at most, times and budgets should be beyond their limits at the end [1]."""

TIME, BRANCH, DEADLINE, LOW, HIGH, LEVEL, EXCESS = 0, 1, 2, slice(3, 6), slice(6, 9), 9, 10
"""Limits of a user: s >= T, s >= branch, the deadline, the shares (3 each), D + u >= w (fixed + s), and u >= 0."""


@dataclass
class Point:
    """Logarithms of shares z (S, K, 3), latencies s beyond the fixed part (S, K), their excess u (S, K), D (S,)."""

    z: Array
    s: Array
    u: Array
    d: Array

    def moved(self, by: Point, length: Array) -> Point:
        """Along a step, with a length of its own for each program (S,)."""
        wide = length[:, None]
        return Point(
            self.z + wide[:, :, None] * by.z, self.s + wide * by.s, self.u + wide * by.u, self.d + length * by.d
        )


@dataclass
class Programs:
    """S convex programs of K users.

    Parameters
    ----------
    a, gamma, lo, hi : array, (S, K, 3)
        Demand [s], SNR-bandwidth product over the band, least and largest share [1].
    fixed, branch, limit : array, (S, K)
        Fixed latency, device branch, and hard limit on the latency beyond the fixed part [s]; infinite where none is.
    goal : Goal
        With a largest latency or a conditional value at risk, not with both.
    """

    a: Array
    gamma: Array
    lo: Array
    hi: Array
    fixed: Array
    branch: Array
    limit: Array
    goal: Goal

    def __post_init__(self) -> None:
        goal = self.goal
        self.needs: NDArray[np.bool_] = np.asarray(self.a > 0)
        self.busy: NDArray[np.bool_] = np.any(self.needs, axis=2)
        self.tailed = goal.cvar is not None
        self.leveled = goal.max_weight > 0 or self.tailed
        self.late = np.ones(len(goal.weight)) if self.tailed else goal.weight
        """D is compared with that times a latency."""
        self.cost = goal.sum_weight * goal.weight
        self.level_cost, self.excess_cost = goal.max_weight, np.zeros(len(goal.weight))
        if goal.cvar is not None:
            self.level_cost, self.excess_cost = goal.cvar[1], goal.cvar[1] * goal.weight / (1.0 - goal.cvar[0])
        here = np.zeros((*self.busy.shape, 11), bool)
        here[:, :, TIME] = self.busy
        here[:, :, BRANCH] = self.busy & (self.branch > 0)
        here[:, :, DEADLINE] = self.busy & np.isfinite(self.limit)
        here[:, :, LOW], here[:, :, HIGH] = self.needs & (self.lo > 0), self.needs & (self.hi < 1)
        here[:, :, LEVEL], here[:, :, EXCESS] = self.leveled, self.tailed
        self.here = here[:, :, : 11 if self.tailed else 10]
        """Which limits there are, (S, K, m)."""
        with np.errstate(divide="ignore"):
            self.log_lo, self.log_hi = np.log(self.lo), np.log(self.hi)

    def take(self, keep: NDArray[np.bool_]) -> Programs:
        """Some of the programs, (S,)."""
        arrays = [getattr(self, name)[keep] for name in ("a", "gamma", "lo", "hi", "fixed", "branch", "limit")]
        a, gamma, lo, hi, fixed, branch, limit = arrays
        return Programs(a, gamma, lo, hi, fixed, branch, limit, self.goal)

    def first_multipliers(self) -> Array:
        """Multipliers of the limits of users that leave s, u and D no slope, (S, K, m); infinite for the others."""
        first = np.full(self.here.shape, np.inf)
        level = np.full(len(self.cost), self.level_cost / len(self.cost))
        if self.tailed:
            level = np.minimum(level, 0.5 * self.excess_cost)
            first[:, :, EXCESS] = self.excess_cost - level
        first[:, :, LEVEL] = level
        whole = self.cost + self.late * level
        part = np.where(self.here[:, :, BRANCH], 0.1, 0.0)
        first[:, :, TIME], first[:, :, BRANCH] = (1.0 - part) * whole, part * whole
        return first

    def start(self, x: Array) -> Point:
        """A point with such shares that keeps all limits strictly, deadlines where such shares can."""
        z = np.log(np.where(self.needs, x, 1.0))
        least = np.maximum(self.times(z)[0].sum(axis=2), self.branch)
        s = np.where(least < self.limit, np.minimum(1.1 * least, 0.5 * (least + self.limit)), 1.1 * least) + 1e-300
        s = np.where(self.busy, s, self.branch)
        late = self.late * (self.fixed + s)
        d = late.max(axis=1) + 0.1 * (np.abs(late).max(axis=1) + 1e-300)
        return Point(z, s, 0.1 * np.broadcast_to(d[:, None], s.shape), d)

    def shares(self, z: Array) -> Array:
        """x, (S, K, 3); 0 where nothing is demanded."""
        result: Array = np.where(self.needs, np.exp(z), 0.0)
        return result

    def fitted(self, x: Array) -> Array:
        """Shares within their caps that fit into the budgets, (S, K, 3), where a path is a little beside them."""
        x = np.where(self.needs, np.clip(x, self.lo, self.hi), 0.0)
        result: Array = x / np.maximum(x.sum(axis=1, keepdims=True), 1.0)
        return result

    def enough(self, x: Array) -> NDArray[np.bool_]:
        """Whether no share is less than its least, (S,)."""
        result: NDArray[np.bool_] = np.all(x >= self.lo * (1.0 - KEPT) * self.needs, axis=(1, 2))
        return result

    def times(self, z: Array) -> tuple[Array, Array, Array]:
        """Times, and their slopes and curvatures by the logarithms of shares, each (S, K, 3)."""
        x = np.exp(z)
        t, first, second = time_and_slopes(x, self.a, self.gamma)
        return t, first * x, np.maximum((second * x + first) * x, 0.0)

    def limits(self, p: Point, t: Array) -> tuple[Array, Array]:
        """Limits of users, (S, K, m), and of all, (S, 4): negative where they are kept strictly."""
        own = np.empty(self.here.shape)
        with np.errstate(invalid="ignore"):  # of what is not there
            own[:, :, TIME] = t.sum(axis=2) - p.s
            own[:, :, BRANCH] = self.branch - p.s
            own[:, :, DEADLINE] = p.s - self.limit
            own[:, :, LOW], own[:, :, HIGH] = self.log_lo - p.z, p.z - self.log_hi
            own[:, :, LEVEL] = self.late * (self.fixed + p.s) - p.d[:, None]
        if self.tailed:
            own[:, :, LEVEL] -= p.u
            own[:, :, EXCESS] = -p.u
        every = np.full((len(p.d), 4), -1.0)
        every[:, :3] += self.shares(p.z).sum(axis=1)
        if self.tailed:
            every[:, 3] = -p.d  # a quantile of latencies is at least 0
        return np.where(self.here, own, -1.0), every

    def objective(self, p: Point) -> Array:
        """(S,)."""
        result: Array = (self.cost * p.s + self.excess_cost * p.u).sum(axis=1) + self.level_cost * p.d
        return result
