"""Good prices of machine time for a batched edge: cutting planes, a linear program of steps in time.

Each cut is something that a user may do: n steps that end at some time, with some share of the band. No user costs more
than what it may do, so that the best value that the cuts leave is above what any prices prove.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from megdt_opt.pricing.batched_times import Priced, TimeCosts, TimePrices
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.highs import Clock, Program, Rows, at_least, at_most

Ints = NDArray[np.int64]

PASSES = 80
"""Price vectors tried at one level, at most [1]."""

_BOX = 1e3
"""Largest price, as a part of all that is charged [1]."""

_MORE = 3
"""Cuts for each user and pass, at most [1]."""


@dataclass(frozen=True)
class Points:
    """What users may do, (P,) each: steps `n` that end at `end_s` [s] with `share` of the band [1]."""

    user: Ints
    n: Ints
    end_s: Array
    share: Array

    def joined(self, other: Points) -> Points:
        """Both."""
        return Points(*(np.r_[getattr(self, name), getattr(other, name)] for name in ("user", "n", "end_s", "share")))

    @classmethod
    def make(
        cls, costs: TimeCosts, user: Ints, n: Ints, end_s: Array, level_s: float | None, prices: TimePrices
    ) -> Points:
        """With the shares that are needed, or for "sum" those that are best at the price of the band."""
        served = n > 0
        if costs.problem.objective == "sum":
            _, x = costs.band.at(prices.band)
            return cls(user, n, end_s, np.where(served, x[user], 0.0))
        latest = costs.latest_s(level_s)[user, n]
        seconds = latest - np.where(served, end_s, 0.0)
        a, alpha, beta = (one[user] for one in costs.tangent(prices.share))
        with np.errstate(divide="ignore", invalid="ignore"):
            x = np.where(served & (a > 0), np.maximum(a / seconds - alpha, 0.0) / beta, 0.0)
        good = (x <= 1 + 1e-9) & ((seconds >= 0) | (~served & (costs.problem.objective == "quality")))
        return cls(user[good], n[good], end_s[good], x[good])

    @classmethod
    def best(cls, costs: TimeCosts, found: Priced, level_s: float | None, prices: TimePrices) -> Points:
        """What costs each user least, and next to least."""
        order = np.argsort(found.cost, axis=1, kind="stable")[:, :_MORE]
        user = np.repeat(np.arange(len(order)), order.shape[1])
        n = order.ravel()
        good = np.isfinite(found.cost[user, n])
        user, n = user[good], n[good]
        return cls.make(costs, user, n, found.end_s[user, n], level_s, prices)


class Master:
    """The best value that cuts leave, at one level; columns: the band, machine time, intercepts, users.

    Parameters
    ----------
    costs : TimeCosts
    until_s : array, (M,)
        Ends of the pieces [s].
    level_s : float or None
        For "max" [s]: prices then charge 1 in all.
    unit : float
        Size of the objective, 1 for "max".
    """

    def __init__(self, costs: TimeCosts, until_s: Array, level_s: float | None, unit: float) -> None:
        self.costs, self.until_s, self.unit = costs, until_s, unit
        p = costs.problem
        self.K, self.M = p.users, len(until_s)
        self.edge = np.r_[p.start_s, until_s]
        self.span = float(self.edge[-1] - self.edge[0])
        self.prices = 1 + self.M + self.M * self.K
        # a piece's price is per span of all pieces, so that numbers are near 1
        charge = np.r_[1.0, np.diff(self.edge) / self.span, np.zeros(self.M * self.K)]
        upper = np.full(self.prices, _BOX)
        upper[0] *= bool(costs.a.any())
        upper[1 + self.M :] *= p.step_base_s > 0
        self.program = Program(
            np.r_[charge, -np.ones(self.K)], np.r_[np.zeros(self.prices), np.full(self.K, -_BOX)],
            np.r_[upper, np.full(self.K, _BOX)], np.zeros(self.prices + self.K, bool), Clock(None),
        )  # fmt: skip
        self.program.add(self._shared())
        self.program.add(self._falling())
        if level_s is not None:
            one = np.r_[charge, np.zeros(self.K)][None]
            self.program.add(Rows(matrix=one, lower=np.ones(1), upper=np.ones(1)))

    def _matrix(self, entries: list[tuple[Ints, Ints, Array]], count: int) -> csr_array:
        row, column, value = (np.concatenate([one[n] for one in entries]) for n in range(3))
        return csr_array(coo_array((value, (row, column)), shape=(count, self.prices + self.K)))

    def _intercept(self, piece: Ints, user: Ints) -> Ints:
        return 1 + self.M + piece * self.K + user

    def _shared(self) -> Rows:
        """sum_k nu_k <= lam in each piece."""
        i, k = np.divmod(np.arange(self.M * self.K), self.K)
        each = np.arange(self.M)
        entries = [(i, self._intercept(i, k), np.ones(len(i))), (each, 1 + each, -np.ones(self.M))]
        return at_most(self._matrix(entries, self.M), 0.0)

    def _falling(self) -> Rows:
        """a lam + b nu_k never rises."""
        p = self.costs.problem
        i, k = np.divmod(np.arange((self.M - 1) * self.K), self.K)
        r, one = np.arange(len(i)), np.ones(len(i))
        a, b = one * p.step_slope_s / self.costs.step_s, one * p.step_base_s / self.costs.step_s
        entries = [
            (r, 1 + i, a), (r, self._intercept(i, k), b), (r, 2 + i, -a), (r, self._intercept(i + 1, k), -b),
        ]  # fmt: skip
        return at_least(self._matrix(entries, len(i)), 0.0)

    def add(self, points: Points) -> None:
        """No user costs more than what it may do."""
        costs, p, user, n = self.costs, self.costs.problem, points.user, points.n
        served, const = n > 0, np.zeros(len(user))
        if p.objective == "sum":
            x = np.ones(p.users)
            sent = np.zeros(len(user))
            for q in np.flatnonzero(served & (costs.a[user] > 0)):
                x[user[q]] = points.share[q]
                sent[q] = p.download_s(x * p.downlink_hz)[user[q]]
            const = p.weights[user] * (costs.own_s[user, n] + np.where(served, points.end_s, 0.0) + sent)
        elif p.objective == "quality":
            assert p.quality is not None
            const = -p.weights[user] * p.quality[user, n]
        end = np.where(served, points.end_s, p.start_s)[:, None]
        begin = end - (n * costs.step_s)[:, None]
        inside = np.maximum(np.minimum(self.edge[1:], end) - np.maximum(self.edge[:-1], begin), 0.0)
        r, i = np.nonzero(inside)
        v = inside[r, i] / (self.span * costs.step_s)
        each = np.arange(len(user))
        entries = [
            (each, self.prices + user, np.ones(len(user))), (each, 0 * each, -points.share),
            (r, 1 + i, -p.step_slope_s * v), (r, self._intercept(i, user[r]), -p.step_base_s * v),
        ]  # fmt: skip
        self.program.add(at_most(self._matrix(entries, len(user)), const / self.unit))

    def highest(self, share: Array) -> tuple[TimePrices, float] | None:
        """The prices, and the value that the cuts leave there; None where HiGHS finds none."""
        answer = self.program.run(relaxed=True)
        if answer.v is None or not np.isfinite(answer.bound):
            return None
        v = np.maximum(answer.v[: self.prices], 0.0) * self.unit
        machine = v[1 : 1 + self.M] / self.span
        intercept = v[1 + self.M :].reshape(self.M, self.K) / self.span
        return TimePrices(float(v[0]), self.until_s, machine, intercept, share), -answer.bound * self.unit


@dataclass(frozen=True)
class Climbed:
    """The best prices found, what they prove, what no prices prove more than, and all points."""

    prices: TimePrices
    value: float
    highest: float
    points: Points
    passes: int


def climb(
    costs: TimeCosts,
    start: TimePrices,
    points: Points,
    level_s: float | None,
    unit: float,
    gap: float,
    deadline: float,
) -> Climbed:
    """Look for prices of the pieces of `start` that prove most.

    Parameters
    ----------
    costs : TimeCosts
    start : TimePrices
    points : Points
        What users may do, to begin with.
    level_s : float or None
        For "max" [s]; prices that prove a good part of what can be proven at it are enough.
    unit : float
        Size of the objective.
    gap : float
        Distance to the highest value, over the unit, at which to stop [1].
    deadline : float
        `time.monotonic()` at which to stop [s].
    """
    master = Master(costs, start.until_s, level_s, unit)
    points = Points.make(costs, points.user, points.n, points.end_s, level_s, start).joined(
        Points.best(costs, costs.at(start, level_s), level_s, start)
    )
    master.add(points)
    best, value, highest, passes = start, costs.at(start, level_s).value, np.inf, 0
    while passes < PASSES and time.monotonic() < deadline:
        ahead = master.highest(start.share)
        if ahead is None:
            break
        passes += 1
        prices, highest = ahead[0], min(highest, ahead[1])
        found = costs.at(prices, level_s)
        if found.value > value:
            best, value = prices, found.value
        near = highest - value <= gap * unit
        if near or (level_s is not None and (highest <= gap or value >= 0.5 * highest)):
            break
        fresh = Points.best(costs, found, level_s, prices)
        points = points.joined(fresh)
        master.add(fresh)
    return Climbed(best, value, highest, points, passes)


def proven_level(costs: TimeCosts, prices: TimePrices, low_s: float, high_s: float) -> float:
    """The highest level, between two, that prices prove out of reach [s]; `low_s` where they prove none.

    Parameters
    ----------
    costs : TimeCosts
    prices : TimePrices
    low_s, high_s : float
        [s]
    """
    if costs.at(prices, high_s).value > 0:
        return high_s
    found = False
    for _ in range(50):
        middle = 0.5 * (low_s + high_s)
        if costs.at(prices, middle).value > 1e-9:
            low_s, found = middle, True
        else:
            high_s = middle
        if found and high_s - low_s <= 1e-7 * high_s:
            break
    return low_s
