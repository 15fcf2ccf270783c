"""What prices of machine time prove of a `BatchedEdgeProblem`, recomputed in rational or in floating arithmetic.

`pricing/batched_times.py` has the bound and its proof. Exactly: between the ends at which the price of the steps
changes its slope, it falls evenly, and what the download takes grows as a / seconds, so that the least of both is that
of a hyperbola, with square roots bracketed from below; rates of Shannon enter by a tangent that lies above them.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from functools import cached_property
from itertools import pairwise

import numpy as np

from megdt_opt.certificate.allocation import ExactTable, hyperbola
from megdt_opt.certificate.check import MARGIN, Valuer, rounded_down
from megdt_opt.certificate.exact import LN2, log_bracket
from megdt_opt.certificate.tree import Leaf, Mask, Part
from megdt_opt.pricing.batched_band import DOWNLOAD
from megdt_opt.pricing.batched_times import TimeCosts, TimePrices
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem

Number = Fraction | float

INF = float("inf")


class TimesProof:
    """As `Proof` has it; a row is a user, a choice the number of its steps at the edge.

    Parameters
    ----------
    problem : BatchedEdgeProblem
    costs : TimeCosts, optional
        The problem, read before.
    """

    budgets = 3
    cost_prices = 0

    def __init__(self, problem: BatchedEdgeProblem, costs: TimeCosts | None = None) -> None:
        self.problem = problem
        # of a quality an upper bound is proven, by a `QualityCertificate`
        self.objective = "negative quality" if problem.objective == "quality" else problem.objective
        self.size = problem.users * (problem.steps + 1)
        self.costs = costs or TimeCosts(problem)

    def to_partition(self, exact: bool) -> Mask:
        """As `Proof` has it."""
        return self.problem.open_cuts.copy()

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        if leaf.counts or min(leaf.prices) < 0 or TimePrices.of(leaf.prices, self.problem.users) is None:
            return (
                "a leaf's prices are not those of the band, a share for each user, and for each piece of time its end, "
                "its price and what each user pays for intercepts"
            )
        return ""

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return TimeFractions(self.costs) if exact else TimeFloats(self.costs)

    def whole(self, value: Number) -> float:
        """As `Proof` has it."""
        return rounded_down(value)


class TimeFloats:
    """In floating arithmetic, with a margin.

    Parameters
    ----------
    costs : TimeCosts
    """

    def __init__(self, costs: TimeCosts) -> None:
        self.costs = costs

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        prices = TimePrices.of(part.leaf.prices, self.costs.problem.users)
        assert prices is not None
        found = self.costs.at(prices, level_s)
        here = np.where(part.mask, found.cost, np.inf)
        least = here.min(axis=1)
        total = float(least.sum())
        if part.removed is not None and np.isfinite(total):
            total += float(np.where(part.removed, here - least[:, None], np.inf).min(initial=np.inf))
        if not np.isfinite(total):
            return np.inf
        sizes = float(np.abs(least).sum()) + found.charged
        return total - found.charged - MARGIN * sizes


class TimeFractions:
    """In rational arithmetic.

    Parameters
    ----------
    costs : TimeCosts
    """

    def __init__(self, costs: TimeCosts) -> None:
        self.costs = costs
        self._tables: dict[tuple[float, ...], ExactTimes] = {}

    def value(self, part: Part, level_s: float | None) -> Number:
        """As `Valuer` has it; the level is the same at every call."""
        prices = part.leaf.prices
        if prices not in self._tables:
            self._tables[prices] = ExactTimes(self.costs, prices, level_s)
        table = self._tables[prices]
        total = -table.charged
        rise: Number = INF
        for k, row in enumerate(part.mask):
            cost = {int(n): table.cost(k, int(n)) for n in np.flatnonzero(row)}
            least = min(cost.values(), default=INF)
            if least == INF:
                return INF
            total += Fraction(least)
            if part.removed is not None:
                rise = min([rise, *(cost[int(n)] - least for n in np.flatnonzero(part.removed[k]))])
        return total if part.removed is None else total + rise


class ExactTimes:
    """Rational lower bounds of the costs at given prices.

    Parameters
    ----------
    costs : TimeCosts
    numbers : tuple of float
        Prices in a row.
    level_s : float or None
        For "max" [s].
    """

    def __init__(self, costs: TimeCosts, numbers: tuple[float, ...], level_s: float | None) -> None:
        self.costs, self.problem = costs, costs.problem
        prices = TimePrices.of(numbers, costs.problem.users)
        assert prices is not None
        self.prices, self.level = prices, None if level_s is None else Fraction(level_s)
        p = costs.problem
        self.slope, self.base = Fraction(p.step_slope_s), Fraction(p.step_base_s)
        self.start, self.step = Fraction(p.start_s), Fraction(p.step_slope_s) + Fraction(p.step_base_s)
        self.edge = [self.start]
        for until in prices.until_s.tolist():
            self.edge.append(max(self.edge[-1], Fraction(until)))
        self.intercept = [[Fraction(one) for one in row] for row in prices.intercept.tolist()]
        self.machine = [
            max(Fraction(lam), sum(row, Fraction(0)))
            for lam, row in zip(prices.machine.tolist(), self.intercept, strict=True)
        ]
        width = [b - a for a, b in pairwise(self.edge)]
        self.band = Fraction(prices.band)
        self.charged = self.band + sum((lam * w for lam, w in zip(self.machine, width, strict=True)), Fraction(0))
        self._known: dict[tuple[int, int], Number] = {}
        self._paid: dict[int, list[Fraction]] = {}

    def cost(self, k: int, n: int) -> Number:
        """Lower bound of what n steps cost a user; infinite where they are proven impossible."""
        if (k, n) not in self._known:
            self._known[k, n] = self._cost(k, n)
        return self._known[k, n]

    def _cost(self, k: int, n: int) -> Number:
        p = self.problem
        weight, rest = Fraction(float(p.weights[k])), Fraction(float((p.rest_s if n > 0 else p.local_rest_s)[k]))
        if 0 < n < p.steps:
            rest += Fraction(float(p.handed_s[k]))
        own = rest if p.objective == "quality" else rest + (p.steps - n) * Fraction(float(p.steps_s[k]))
        if p.objective == "sum":
            if n == 0:
                return weight * own
            return weight * own + self._download.cost(k, DOWNLOAD) + self._summed(k, n, weight)
        worth = Fraction(0)
        if p.objective == "quality":
            assert p.quality is not None
            worth = weight * Fraction(float(p.quality[k, n]))
            hard = float(p.hard_deadline_s[k])
            latest: Number = INF if np.isinf(hard) else Fraction(hard) - own
        else:
            assert self.level is not None
            latest = self.level / weight - own
        if n == 0:
            return -worth if p.objective == "quality" or latest >= 0 else INF
        return self._in_time(k, n, latest) - worth

    @cached_property
    def _download(self) -> ExactTable:
        band = self.costs.band
        return ExactTable(band.core, band.resources, (float(self.prices.band), 0.0, 0.0), None)

    def _cumulated(self, k: int) -> list[Fraction]:
        """What a user pays from the start to each edge."""
        if k not in self._paid:
            paid, rate = [Fraction(0)], None
            for i, (a, b) in enumerate(pairwise(self.edge)):
                here = (self.slope * self.machine[i] + self.base * self.intercept[i][k]) / self.step
                rate = here if rate is None else min(rate, here)
                paid.append(paid[-1] + rate * (b - a))
            self._paid[k] = paid
        return self._paid[k]

    def _until(self, k: int, time: Fraction) -> Fraction:
        paid = self._cumulated(k)
        i = bisect_right(self.edge, time) - 1
        if i >= len(self.edge) - 1:
            return paid[-1]
        a, b = self.edge[i], self.edge[i + 1]
        return paid[i] + (paid[i + 1] - paid[i]) * (time - a) / (b - a)

    def _window(self, k: int, n: int, end: Fraction) -> Fraction:
        return self._until(k, end) - self._until(k, end - n * self.step)

    def _points(self, n: int, last: Fraction, free: Fraction | None = None) -> list[Fraction]:
        """Ends at which a slope changes, from the soonest to the last, rising; after `free` the band is needed."""
        length = n * self.step
        soonest = self.start + length
        inner = {t for e in self.edge for t in (e, e + length)} | ({free} if free is not None else set())
        inner = {t for t in inner if soonest < t < last}
        return [soonest, *sorted(inner), last] if last > soonest else [soonest]

    def _summed(self, k: int, n: int, weight: Fraction) -> Fraction:
        points = self._points(n, max(self.edge[-1], self.start) + n * self.step)
        return min(weight * end + self._window(k, n, end) for end in points)

    def _in_time(self, k: int, n: int, latest: Number) -> Number:
        length = n * self.step
        a, alpha, beta = self._tangent(k)
        last = latest - a / (alpha + beta)
        if last < self.start + length:
            return INF
        beyond = self.edge[-1] + length
        if latest == INF:
            return self._window(k, n, beyond)
        latest = Fraction(latest)
        free = latest - a / alpha if alpha > 0 else None
        points = self._points(n, Fraction(last), free)
        paid = [self._window(k, n, end) for end in points]
        area = self.band / beta * a
        if area == 0:
            return paid[-1]
        offset = self.band / beta * alpha
        found: list[Fraction] = [paid[-1] + max(area / (latest - points[-1]) - offset, Fraction(0))]
        for (c1, c2), (w1, w2) in zip(pairwise(points), pairwise(paid), strict=True):
            if free is not None and c2 <= free:
                found.append(w2)
                continue
            fall = (w1 - w2) / (c2 - c1)
            least = w1 - fall * (latest - c1) + hyperbola(fall, area, latest - c2, latest - c1) - offset
            found.append(max(least, w2))
        return min(found)

    def _tangent(self, k: int) -> tuple[Fraction, Fraction, Fraction]:
        """a, alpha, beta of shares x >= (a / seconds - alpha) / beta."""
        p = self.problem
        bit = Fraction(float(p.downlink_bit[k]))
        if bit == 0:
            return Fraction(0), Fraction(0), Fraction(1)
        hz = Fraction(p.downlink_hz)
        law = Fraction(float(p.law[k]))
        if law == 0 or hz == 0:
            return Fraction(0), Fraction(0), Fraction(1)
        if p.linear:
            return bit / (law * hz), Fraction(0), Fraction(1)
        hint = float(self.prices.share[k])
        u = law / hz / (Fraction(hint) if 0 < hint <= 1 else 1)
        return bit * LN2[0] / hz, law / hz / (1 + u), log_bracket(1 + u)[1] - u / (1 + u)
