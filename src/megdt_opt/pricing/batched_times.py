"""What steps at a batched edge cost when machine time has a price that changes with time.

Let lam(t) >= 0 be the price of machine time, and let nu_k(t) >= 0 with sum_k nu_k(t) <= lam(t) say who pays for the
intercept b of a step. A batch of X chains over the interval I costs the integral of lam over I. Let each of its chains
pay the part (a lam + b nu_k) / (a X + b) of it: together they pay at most what it costs, because

    sum_k (a lam + b nu_k) <= (a X + b) lam.

The batches of one chain are disjoint, none shorter than a + b. Where a lam + b nu_k never rises with time, it costs
least to be in the shortest and latest ones: n steps that end at C cost the chain at least

    1 / (a + b) * integral of (a lam + b nu_k) over the n (a + b) seconds before C.

So for any such prices, and l for the band, sum over users of the least of that and of what the user's objective and
its download cost, less l and the integral of lam, is a lower bound ("sum", and of the negative "quality"), or proves
for "max" that a level is out of reach if it is positive. Order, preemption and the numbers of chains are free. Source:
ours; the prices of machine time alone are those of a time-indexed relaxation (Sousa and Wolsey 1992).

Prices are steps in time. Numbers that do not fit are made to fit, by reading lam as at least sum_k nu_k, and what a
user pays as its least value so far, so that any numbers of at least 0 prove something. Shannon rates enter by the
tangent of the rate at one share of each user, above the rate, so that less band is counted than is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.batched_band import Band
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.batched_schedule import own_s


@dataclass(frozen=True, eq=False)
class TimePrices:
    """Prices of machine time and of the band.

    Parameters
    ----------
    band : float
        Of the whole band [as the objective; 1 for "max"].
    until_s : array, (M,)
        Rising ends of the pieces [s]; the first begins when the edge starts. No price beyond the last.
    machine : array, (M,)
        lam in each piece [as the objective, per s].
    intercept : array, (M, K)
        nu in each piece [as the objective, per s].
    share : array, (K,)
        Shares at which the rates' tangents are taken [1]; of no meaning for linear rates.
    """

    band: float
    until_s: Array
    machine: Array
    intercept: Array
    share: Array

    def numbers(self) -> tuple[float, ...]:
        """All in one row: the price of the band, two budgets that this class does not have, then the others."""
        rows = np.column_stack([self.until_s, self.machine, self.intercept]).ravel()
        return (float(self.band), 0.0, 0.0, *self.share.tolist(), *rows.tolist())

    @classmethod
    def of(cls, numbers: tuple[float, ...], users: int) -> TimePrices | None:
        """Back from the row; None where it is none."""
        size = len(numbers) - 3 - users
        if size <= 0 or size % (users + 2) or any(numbers[1:3]):
            return None
        rows = np.array(numbers[3 + users :]).reshape(-1, users + 2)
        return cls(numbers[0], rows[:, 0], rows[:, 1], rows[:, 2:], np.array(numbers[3 : 3 + users]))


class TimeCosts:
    """A problem, read for prices of time; costs are those of "sum", of a level of "max", or of the negative quality.

    Parameters
    ----------
    problem : BatchedEdgeProblem
    """

    def __init__(self, problem: BatchedEdgeProblem) -> None:
        self.problem, self.band = problem, Band(problem)
        self.step_s = problem.step_slope_s + problem.step_base_s
        self.n = np.arange(problem.steps + 1)
        self.a, self.gamma = self.band.resources.a[0, :, 1], self.band.resources.gamma[0]

    @cached_property
    def length_s(self) -> Array:
        """Least seconds of so many steps, (N + 1,) [s]."""
        return np.asarray(self.n * self.step_s, dtype=np.float64)

    @cached_property
    def own_s(self) -> Array:
        """What users wait for beside the end of their steps and the download, (K, N + 1) [s]."""
        return np.stack([own_s(self.problem, np.full(self.problem.users, n)) for n in self.n], axis=1)

    def latest_s(self, level_s: float | None) -> Array:
        """By when steps and download must have ended, (K, N + 1) [s]; infinite for "sum"."""
        p = self.problem
        if p.objective == "sum":
            return np.full(self.own_s.shape, np.inf)
        if p.objective == "quality":
            return np.broadcast_to(p.hard_deadline_s[:, None], self.own_s.shape) - self.own_s
        assert level_s is not None
        return level_s / p.weights[:, None] - self.own_s

    def tangent(self, share: Array) -> tuple[Array, Array, Array]:
        """a, alpha, beta (K,) of shares x >= max(0, (a / seconds - alpha) / beta)."""
        curved = np.isfinite(self.gamma) & (self.a > 0)
        x = np.where((share > 0) & (share <= 1), share, 1.0)
        u = np.where(curved, self.gamma, 1.0) / x
        with np.errstate(invalid="ignore"):
            alpha = np.where(curved, np.where(curved, self.gamma, 0.0) / (1 + u), 0.0)
        beta = np.where(curved, np.log1p(u) - u / (1 + u), 1.0)
        return self.a, alpha, beta

    def at(self, prices: TimePrices, level_s: float | None) -> Priced:
        """Least costs of every number of steps, (K, N + 1), and where they are attained."""
        return Priced.at(self, prices, level_s)


@dataclass(frozen=True)
class Fitted:
    """Prices as they are read: see the head of the module.

    Parameters
    ----------
    edge_s : array, (M + 1,)
        Where the pieces begin and end [s].
    paid : array, (K, M + 1)
        Integrals of (a lam + b nu) / (a + b) from the start of the edge to there.
    charged : float
        The price of the band and the integral of lam.
    """

    edge_s: Array
    paid: Array
    charged: float

    @classmethod
    def of(cls, costs: TimeCosts, prices: TimePrices) -> Fitted:
        """Read prices."""
        p = costs.problem
        edge = np.maximum.accumulate(np.r_[p.start_s, prices.until_s])
        width = np.diff(edge)
        machine = np.maximum(prices.machine, prices.intercept.sum(axis=1))
        rate = (p.step_slope_s * machine[:, None] + p.step_base_s * prices.intercept) / costs.step_s
        rate = np.minimum.accumulate(rate, axis=0)
        paid = np.vstack([np.zeros(p.users), np.cumsum(rate * width[:, None], axis=0)]).T
        return cls(edge, paid, prices.band + float(machine @ width))


@dataclass(frozen=True)
class Priced:
    """Least costs at prices.

    Parameters
    ----------
    cost : array, (K, N + 1)
        Infinite where closed.
    end_s : array, (K, N + 1)
        Ends of the steps at which they are attained [s].
    charged : float
        What the sum of the users' least costs is to be compared with.
    """

    cost: Array
    end_s: Array
    charged: float

    @classmethod
    def at(cls, costs: TimeCosts, prices: TimePrices, level_s: float | None) -> Priced:
        """As `TimeCosts.at`."""
        p, fitted = costs.problem, Fitted.of(costs, prices)
        soonest = np.asarray(p.start_s + costs.length_s, dtype=np.float64)
        latest = costs.latest_s(level_s)
        open_ = p.open_cuts & (costs.n > 0)
        if p.objective == "sum":
            cost, end = _summed(costs, fitted, soonest)
            phi, _ = costs.band.at(prices.band)
            cost = cost + p.weights[:, None] * costs.own_s + np.where(open_, phi[:, None], 0.0)
            none = p.weights * costs.own_s[:, 0]
        else:
            cost, end = _in_time(costs, fitted, prices, soonest, latest)
            none = np.where(latest[:, 0] >= 0, 0.0, np.inf)
            if p.objective == "quality":
                assert p.quality is not None
                worth = p.weights[:, None] * p.quality
                cost, none = cost - worth, -worth[:, 0]
        cost = np.where(open_, cost, np.inf)
        cost[:, 0] = np.where(p.open_cuts[:, 0], none, np.inf)
        return cls(cost, end, fitted.charged)

    @property
    def least(self) -> NDArray[np.int64]:
        """Steps that cost each user least, (K,)."""
        return np.asarray(self.cost.argmin(axis=1))

    @property
    def value(self) -> float:
        """The bound, or what proves a level of "max" out of reach if positive."""
        return float(self.cost.min(axis=1).sum()) - self.charged


def _windows(fitted: Fitted, user: int, end: Array, length: Array) -> Array:
    """What a user pays for the seconds before `end`."""
    paid = fitted.paid[user]
    found: Array = np.interp(end, fitted.edge_s, paid) - np.interp(end - length, fitted.edge_s, paid)
    return found


def _ends(fitted: Fitted, length: Array, soonest: Array, latest: Array, free: Array | None = None) -> Array:
    """Ends at which what is paid changes its slope, the first and last that can be, and the last that needs no band,
    (N + 1, P) rising [s]."""
    there = np.broadcast_to(fitted.edge_s, (len(length), len(fitted.edge_s)))
    more = [] if free is None else [free[:, None]]
    points = np.concatenate([soonest[:, None], latest[:, None], there, there + length[:, None], *more], axis=1)
    points = np.minimum(np.maximum(points, soonest[:, None]), np.maximum(latest, soonest)[:, None])
    return np.sort(points, axis=1)


def _summed(costs: TimeCosts, fitted: Fitted, soonest: Array) -> tuple[Array, Array]:
    """Least weighted end with what is paid for the steps: it changes its slope at edges alone."""
    p = costs.problem
    length = costs.length_s
    latest = np.maximum(fitted.edge_s[-1] + length, soonest)
    ends = _ends(fitted, length, soonest, latest)
    cost, end = np.empty(costs.own_s.shape), np.empty(costs.own_s.shape)
    rows = np.arange(len(length))
    for k in range(p.users):
        total = p.weights[k] * ends + _windows(fitted, k, ends, length[:, None])
        best = total.argmin(axis=1)
        cost[k], end[k] = total[rows, best], ends[rows, best]
    return cost, end


def _in_time(
    costs: TimeCosts, fitted: Fitted, prices: TimePrices, soonest: Array, latest: Array
) -> tuple[Array, Array]:
    """Least of what is paid for the steps and for the band, with steps and download within a time."""
    length = costs.length_s
    demand, alpha, beta = costs.tangent(prices.share)
    cost, end = np.full(latest.shape, np.inf), np.zeros(latest.shape)
    rows = np.arange(len(length))
    beyond = fitted.edge_s[-1] + length
    for k in range(len(latest)):
        a, price = float(demand[k]), prices.band / float(beta[k])
        top = np.minimum(latest[k], np.maximum(beyond + 1.0, soonest)) if a == 0 else latest[k]
        # the whole band is not less than is needed
        last = top - (a / float(alpha[k] + beta[k]) if a > 0 else 0.0)
        finite = np.where(np.isfinite(last), last, np.maximum(beyond, soonest))
        free = latest[k] - a / float(alpha[k]) if a > 0 and alpha[k] > 0 and np.isfinite(latest[k]).all() else None
        ends = _ends(fitted, length, soonest, finite, free)
        paid = _windows(fitted, k, ends, length[:, None])
        if a > 0 and price > 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                fall = (paid[:, :-1] - paid[:, 1:]) / (ends[:, 1:] - ends[:, :-1])
                still = latest[k][:, None] - np.sqrt(price * a / fall)
            still = np.where(np.isfinite(still), still, ends[:, :-1])
            still = np.minimum(np.maximum(still, ends[:, :-1]), ends[:, 1:])
            paid = np.hstack([paid, _windows(fitted, k, still, length[:, None])])
            ends = np.hstack([ends, still])
            with np.errstate(divide="ignore", invalid="ignore"):
                band = price * np.maximum(a / (latest[k][:, None] - ends) - alpha[k], 0.0)
            paid = paid + np.where(np.isfinite(latest[k])[:, None], band, 0.0)
        best = np.nan_to_num(paid, nan=np.inf).argmin(axis=1)
        good = finite >= soonest - 1e-12 * np.abs(soonest)
        cost[k], end[k] = np.where(good, paid[rows, best], np.inf), ends[rows, best]
    return cost, end
