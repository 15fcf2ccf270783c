"""What certificates of a `SequencedEdgeProblem` prove, recomputed in rational or in floating arithmetic.

A leaf has the price of the band, and behind the three budgets' prices the steps of a function that prices the server:
its density where all chains are ready together and the objective is "sum", else its time (`megdt_opt.pricing.turns`).
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction
from itertools import pairwise
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.allocation import ExactTable, Linear, Shannon, Stage
from megdt_opt.certificate.check import MARGIN, Valuer, rounded_down
from megdt_opt.certificate.exact import LN2
from megdt_opt.certificate.tree import Leaf, Mask, Part
from megdt_opt.pricing.turns import BUDGETS, Steps, TurnCosts, least_total, need, time_costs
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem

_EPS = 2.0**-51

_TIMES = 5
"""How much longer an option takes in rational arithmetic where the server's time is priced [1]."""


class TurnsProof:
    """As `Proof` has it; a row is a user, a choice an option.

    Parameters
    ----------
    problem : SequencedEdgeProblem
    costs : TurnCosts, optional
        The problem, read before.
    """

    budgets = BUDGETS
    cost_prices = 0

    def __init__(self, problem: SequencedEdgeProblem, costs: TurnCosts | None = None) -> None:
        self.problem, self.objective = problem, problem.objective
        self.costs = costs or TurnCosts(problem)
        self.size = problem.users * problem.options * (1 if self.costs.at_once else _TIMES)

    def to_partition(self, exact: bool) -> Mask:
        """Open options."""
        return self.costs.open

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        prices = leaf.prices
        if len(prices) < BUDGETS or len(prices) % 2 == 0 or not all(isfinite(p) and p >= 0 for p in prices):
            return "a leaf's prices are not three numbers and pairs of numbers of at least 0"
        if prices[1] or prices[2]:
            return "a leaf prices uplink or edge, which have no budget here"
        ends = prices[BUDGETS::2]
        if any(b <= a for a, b in zip((0.0, *ends), ends, strict=False)):
            return "the steps of a leaf's function do not follow each other"
        return "a leaf has multipliers of counts" if leaf.counts else ""

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return ExactValuer(self.costs) if exact else FloatValuer(self.costs)

    def whole(self, value: Fraction | float) -> float:
        """As `Proof` has it."""
        return rounded_down(value)


def proof(problem: SequencedEdgeProblem) -> TurnsProof:
    """How certificates of a problem are recomputed."""
    return TurnsProof(problem)


class FloatValuer:
    """By the priced costs in floating arithmetic, with a margin.

    Parameters
    ----------
    costs : TurnCosts
    """

    def __init__(self, costs: TurnCosts) -> None:
        self.costs = costs

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        price, steps = part.leaf.prices[0], Steps.of(part.leaf.prices)
        rounding = MARGIN + _EPS * steps.at.size
        if self.costs.at_once:
            cost, _, doubt = self.costs.density_cost(price, steps)
            cost, prefix, charge = cost - doubt, np.zeros(0), steps.square
        else:
            found = time_costs(self.costs, price, steps, level_s)
            cost, prefix, charge = found.cost, found.prefix, steps.total
            rounding *= self.costs.problem.users
        total = float(_of_part(self.costs, cost, prefix, part))
        if not np.isfinite(total):
            return np.inf
        return total - price - charge - rounding * (abs(total) + price + charge)


class ExactValuer:
    """In rational arithmetic, with square roots and logarithms bracketed outward.

    Parameters
    ----------
    costs : TurnCosts
    """

    def __init__(self, costs: TurnCosts) -> None:
        self.costs = costs
        self._tables: dict[tuple[float, ...], tuple[NDArray[Any], NDArray[Any], Fraction]] = {}

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """As `Valuer` has it; the level is the same at every call."""
        prices = part.leaf.prices
        if prices not in self._tables:
            table = _ExactCosts(self.costs, prices, level_s)
            self._tables[prices] = table.costs_of_options(), table.costs_of_prefixes(), table.charge
        cost, prefix, charge = self._tables[prices]
        total = _of_part(self.costs, cost, prefix, part)
        return float("inf") if total == float("inf") else Fraction(total) - charge


def _of_part(costs: TurnCosts, cost: NDArray[Any], prefix: NDArray[Any], part: Part) -> Any:
    """The least total of a part; where options are ruled out, of the allocations that take one of them."""
    total = least_total(costs, cost, prefix, part.mask)
    if part.removed is None or costs.problem.groups or total == np.inf:
        return total
    here = np.where(part.mask, cost, np.inf)
    rise = np.where(part.removed, here, np.inf) - here.min(axis=1)[:, None]
    return total + min(rise[part.removed], default=np.inf)


class _ExactCosts:
    """Rational lower bounds of the costs at the prices of a leaf."""

    def __init__(self, costs: TurnCosts, prices: tuple[float, ...], level_s: float | None) -> None:
        self.costs, self.level_s = costs, level_s
        self.price, self.steps = Fraction(prices[0]), Steps.of(prices)
        self.at = [Fraction(0), *map(Fraction, self.steps.at.tolist())]
        self.height = [*map(Fraction, self.steps.height.tolist()), Fraction(0)]
        self.below = [Fraction(0)]
        for i, height in enumerate(self.height[:-1]):
            self.below.append(self.below[-1] + height * (self.at[i + 1] - self.at[i]))
        widths = [b - a for a, b in zip(self.at, self.at[1:], strict=False)]
        squares = sum((h * h * d for h, d in zip(self.height, widths, strict=False)), Fraction(0))
        self.charge = self.price + (squares / 2 if costs.at_once else self.below[-1])
        self.band = ExactTable(costs.band, costs.scaled, (prices[0], 0.0, 0.0), level_s)
        self.hint = None if costs.at_once else time_costs(costs, prices[0], self.steps, level_s)

    def costs_of_options(self) -> NDArray[Any]:
        """(K, O)."""
        found = np.full(self.costs.open.shape, np.inf, dtype=object)
        for k, o in np.argwhere(self.costs.open).tolist():
            found[k, o] = self._cost(k, o)
        return found

    def costs_of_prefixes(self) -> NDArray[Any]:
        """(G,)."""
        p = self.costs.problem
        found = np.zeros(p.groups, dtype=object)
        for one in range(p.groups):
            g, latest = Fraction(float(p.prefix_works[one])), None
            if self.level_s is not None:
                turns = [(k, o) for k, o in np.argwhere(self.costs.turn).tolist() if p.group_of[k] == one]
                last = [self._tau(k, o) - Fraction(float(p.edge_work_s[k, o])) for k, o in turns]
                latest = max(last, default=Fraction(-1))
            found[one] = self._least_end(g, g, Fraction(float(p.prefix_weights[one])), latest)
        return found

    def _tau(self, k: int, o: int) -> Fraction:
        p = self.costs.problem
        assert self.level_s is not None
        return Fraction(self.level_s) / Fraction(float(p.weights[k])) - Fraction(float(p.after_s[k, o]))

    def _cost(self, k: int, o: int) -> Fraction | float:
        p = self.costs.problem
        if not self.costs.turn[k, o]:
            return self.band.cost(k, o)
        w, g = Fraction(float(p.weights[k])), Fraction(float(p.edge_work_s[k, o]))
        ready = Fraction(float(self.costs.ready[k, o]))
        if self.level_s is not None:
            return self._least_share(k, o, ready + g, g)
        sending = self.band.cost(k, o)
        if sending == float("inf"):
            return sending
        if not self.costs.at_once:
            return sending + self._least_end(ready + g, g, w, None)
        i = bisect_right(self.at, w / g) - 1
        return sending + w * (ready + g / 2) + g * self.below[i] + (w - g * self.at[i]) * self.height[i]

    def _bends(self, first: Fraction, g: Fraction, latest: Fraction | None) -> list[tuple[Fraction, Fraction]]:
        """Ends of turns at which the charge bends, with the charge there, from the first to the latest, in order."""
        ends = {first, *(t for t in self.at if t > first), *(t + g for t in self.at if t + g > first)}
        if latest is not None:
            ends = {t for t in ends if t < latest} | {latest}
        return [(t, self._integral(t) - self._integral(t - g)) for t in sorted(ends)]

    def _integral(self, upto: Fraction) -> Fraction:
        if upto <= 0:
            return Fraction(0)
        i = bisect_right(self.at, upto) - 1
        return self.below[i] + (upto - self.at[i]) * self.height[i]

    def _least_end(self, first: Fraction, g: Fraction, weight: Fraction, latest: Fraction | None) -> Fraction | float:
        if latest is not None and latest < first:
            return float("inf")
        return min(weight * end + charge for end, charge in self._bends(first, g, latest))

    def _least_share(self, k: int, o: int, first: Fraction, g: Fraction) -> Fraction | float:
        """Least charge + price x; a piece's bound is any multiplier's, and the best is known nearly (floats)."""
        tau, demand = self._tau(k, o), self._stage(k, o, 1.0)
        latest = tau if demand is None else tau - demand.least_time
        if latest < first:
            return float("inf")
        bends = self._bends(first, g, latest)
        if demand is None or self.price == 0:
            return min(charge for _, charge in bends)
        pieces = list(pairwise(bends)) or [(bends[0], bends[0])]
        assert self.hint is not None
        near = float(self.hint.end[k, o])
        pieces.sort(key=lambda piece: not piece[0][0] <= near <= piece[1][0])
        best: Fraction | float = float("inf")
        for (left, low), (right, high) in pieces:
            if min(low, high) < best:
                best = min(best, self._piece(k, o, (left, low), (right, high), tau))
        return best

    def _piece(
        self, k: int, o: int, left: tuple[Fraction, Fraction], right: tuple[Fraction, Fraction], tau: Fraction
    ) -> Fraction:
        a, gamma = float(self.costs.a[k, o]), float(self.costs.gamma[k])
        seconds = np.array([float(tau - left[0]), float(tau - right[0])])
        width = right[0] - left[0]
        slope = float((right[1] - left[1]) / width) if width else 0.0
        _, fall = need(seconds, np.array(a), np.array(gamma))
        values = -float(self.price) * fall  # how the share's cost rises with the end, at both
        rising = slope + values
        mu = float(values[0] if rising[0] >= 0 else values[1] if rising[1] <= 0 else -slope)
        multiplier = Fraction(max(mu, 0.0))
        stage = self._stage(k, o, mu)
        assert stage is not None
        least = min(left[1] + multiplier * left[0], right[1] + multiplier * right[0])
        return max(least + stage.phi(multiplier) - multiplier * tau, min(left[1], right[1]))

    def _stage(self, k: int, o: int, mu: float) -> Stage | None:
        """The download; of a Shannon rate with the tangent at the share that the multiplier asks for."""
        p = self.costs.problem
        bit, law = float(p.downlink_bit[k, o]), Fraction(float(p.law[k]))
        if bit == 0:
            return None
        demand, band = Fraction(bit), Fraction(p.downlink_hz)
        if self.costs.linear:
            return Linear(self.price, demand / (law * band), Fraction(1), None)
        from megdt_opt.radio.rates import shannon_minimiser

        share = 1.0
        if self.price > 0 and mu > 0:
            ratio = np.array(mu * float(self.costs.a[k, o]) / float(self.price))
            share = float(shannon_minimiser(ratio, np.array(float(self.costs.gamma[k]))))
        share = min(max(share, 1e-12), 1.0)
        return Shannon(self.price, demand / band * LN2[0], Fraction(1), law / band, share, None, 0.0)
