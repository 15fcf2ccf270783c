"""What certificates of an `AllocationProblem` prove, recomputed in rational or in floating arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from math import ceil

import numpy as np

from megdt_opt.certificate.check import MARGIN, Valuer, rounded_down, total_of
from megdt_opt.certificate.exact import LN2, log_bracket, sqrt_below
from megdt_opt.certificate.tree import WHOLE, Leaf, Mask, Part
from megdt_opt.pricing.priced import grain, limited_costs, priced, priced_with_costs, without_costs
from megdt_opt.pricing.scaled import EDGE, RESOURCES, UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem

_ROUNDING = 1e-15
"""Relative: by what a cap is loosened where a float is to be no less than it."""

_SAME = 1 + Fraction(1, 10**14)
"""A multiplier that is so much of the weight is the weight, rounded [1]."""

_FAR = 1e-13
"""Relative: a cost proven by so much less than floats see calls for another multiplier."""


def choices(problem: AllocationProblem, options: Mask) -> Mask:
    """Options (K, O) that are open; for "missed" with the choice of being late, (K, O + 1)."""
    if problem.objective != "missed":
        return options
    return np.column_stack([options, options.any(axis=1)])


def proven_as(problem: AllocationProblem) -> str:
    """What certificates call the objective: that of the problem, but "max" beside weighted costs is no level."""
    return "max and costs" if problem.objective == "max" and problem.tilts is not None else problem.objective


def span_of(problem: AllocationProblem, part: Part) -> tuple[float, float]:
    """What largest weighted latencies a part is about, where the objective has them [s]."""
    return part.span if problem.objective == "mixed" else WHOLE


def within(problem: AllocationProblem, cap_s: float) -> AllocationProblem:
    """The problem with weighted latencies of at most a cap [s]."""
    if np.isinf(cap_s):
        return problem
    weights = problem.weights
    caps = np.divide(cap_s * (1.0 + _ROUNDING), weights, out=np.full(len(weights), np.inf), where=weights > 0.0)
    return replace(problem, deadline_s=np.minimum(problem.hard_deadline_s, caps))


class AllocationProof:
    """As `Proof` has it; a row is a user, a choice an option. Prices are those of the three budgets, then of the
    limited costs, then the multipliers of the users where the problem has `tilts`.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources, optional
        The problem, scaled, where that has been done.
    """

    def __init__(self, problem: AllocationProblem, resources: Resources | None = None) -> None:
        self.problem, self._scaled = problem, resources
        self.objective = proven_as(problem)
        self.size = problem.users * problem.options
        self.cost_prices = limited_costs(problem)
        self.budgets = 3 + self.cost_prices
        self.tilts = problem.users if problem.tilts is not None else 0

    @property
    def resources(self) -> Resources:
        """The problem, scaled."""
        if self._scaled is None:
            self._scaled = Resources.of(self.problem)
        return self._scaled

    def to_partition(self, exact: bool) -> Mask:
        """All open options but those that an airtime limit closes, which is proven anew: nothing is closed because
        `resources` say so."""
        problem, resources = self.problem, self.resources
        mask = problem.open_options.copy()
        table = ExactTable(problem, resources, (0.0,) * (self.budgets + self.tilts), None) if exact else None
        for k, o in np.argwhere(mask & ~resources.open):
            if table is None or table.cost(int(k), int(o)) == float("inf"):
                mask[k, o] = False
        return choices(problem, mask)

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        if len(leaf.prices) != self.budgets + self.tilts or min(leaf.prices) < 0:
            costs = f", {self.cost_prices} of costs" if self.cost_prices else ""
            wanted = f"three numbers{costs}{f' and {self.tilts} multipliers' if self.tilts else ''} of at least 0"
            return f"a leaf's prices are not {wanted}"
        if leaf.cuts:
            return "cuts mean nothing here"
        return "" if self.problem.tilts is None else self.problem.tilts.fault(leaf.prices[self.budgets :])

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return (ExactValuer if exact else FloatValuer)(self.problem, self.resources)

    def whole(self, value: Fraction | float) -> float:
        """As `Proof` has it; for "missed" a multiple of the weights' grain, of which every sum of weights is one."""
        if self.problem.objective == "missed" and np.isfinite(float(value)):
            unit = grain(self.problem.weights)
            value = ceil(Fraction(value) / unit) * unit
        return rounded_down(value)


class FloatValuer:
    """By the priced costs in floating arithmetic, with a margin.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
    """

    def __init__(self, problem: AllocationProblem, resources: Resources) -> None:
        self.problem, self.resources = problem, resources
        self._last: tuple[tuple[float, ...], float | None, tuple[float, float]] | None = None
        self._cost: Array = np.zeros((0, 0))
        self._budgets = 3 + limited_costs(problem)

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        tilts = self.problem.tilts
        if tilts is not None and tilts.fault(part.leaf.prices[self._budgets :]):
            return 0.0  # prove nothing
        span = span_of(self.problem, part)
        if self._last != (part.leaf.prices, level_s, span):
            self._last = (part.leaf.prices, level_s, span)
            self._cost = self._costs(np.array(part.leaf.prices), level_s, span)
        proven = total_of(part, self._cost, self._budgets)
        if span[0] and tilts is not None:
            # what the multipliers leave of the largest latency, which is at least that
            proven += max(tilts.total - math.fsum(part.leaf.prices[self._budgets :]), 0.0) * span[0] * (1.0 - MARGIN)
        return proven

    def _costs(self, prices: Array, level_s: float | None, span: tuple[float, float]) -> Array:
        capped = within(self.problem, span[1])
        found = priced_with_costs(capped, self.resources, prices, level_s)
        cost = found.cost - found.doubt
        if not span[0]:
            return cost
        tilts = prices[self._budgets :]
        found = priced_with_costs(capped, self.resources, np.r_[prices[: self._budgets], 0.0 * tilts], level_s)
        result: Array = np.maximum(cost, found.cost - found.doubt + tilts[:, None] * span[0] * (1.0 - MARGIN))
        return result


class ExactValuer:
    """In rational arithmetic, with square roots and logarithms bracketed outward."""

    def __init__(self, problem: AllocationProblem, resources: Resources) -> None:
        self.problem, self.resources = problem, resources
        self._tables: dict[tuple[tuple[float, ...], float], ExactTable] = {}

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """As `Valuer` has it; the level is the same at every call."""
        prices, budgets = part.leaf.prices, 3 + limited_costs(self.problem)
        low, high = span_of(self.problem, part)
        cost_of = self._table(prices, level_s, high).cost
        extra = self._extra(part)
        base: Fraction = -sum(map(Fraction, prices[:budgets]), Fraction(0))
        if low:
            tilts, least_s = [Fraction(tilt) for tilt in prices[budgets:]], Fraction(low)
            assert self.problem.tilts is not None
            base += max(Fraction(self.problem.tilts.total) - sum(tilts, Fraction(0)), Fraction(0)) * least_s
            tilted, even = cost_of, self._table((*prices[:budgets], *[0.0] * len(tilts)), level_s, high).cost

            def cost_of(k: int, o: int) -> Fraction | float:
                return max(tilted(k, o), even(k, o) + tilts[k] * least_s)

        for row, multiplier in zip(part.rows, part.leaf.counts, strict=True):
            base -= row.sign * row.limit * Fraction(multiplier)
        rise: Fraction | float = float("inf")
        for k in range(self.problem.users):
            costs = {int(o): cost_of(k, int(o)) + extra.get((k, int(o)), 0) for o in np.flatnonzero(part.mask[k])}
            least = min(costs.values(), default=float("inf"))
            if least == float("inf"):
                return float("inf")
            base += Fraction(least)
            if part.removed is not None:
                rise = min([rise, *(costs[int(o)] - least for o in np.flatnonzero(part.removed[k]))])
        return base if part.removed is None else base + rise

    def _table(self, prices: tuple[float, ...], level_s: float | None, cap_s: float) -> ExactTable:
        if (prices, cap_s) not in self._tables:
            capped = np.isfinite(cap_s)  # of "mixed" alone
            made = (
                ExactTable(self.problem, self.resources, prices, None, cap_s) if capped else self.table(prices, level_s)
            )
            self._tables[prices, cap_s] = made
        return self._tables[prices, cap_s]

    def table(self, prices: tuple[float, ...], level_s: float | None) -> ExactTable:
        """Costs at a leaf's prices."""
        return ExactTable(self.problem, self.resources, prices, level_s)

    def _extra(self, part: Part) -> dict[tuple[int, int], Fraction]:
        extra: dict[tuple[int, int], Fraction] = {}
        for row, multiplier in zip(part.rows, part.leaf.counts, strict=True):
            if multiplier:
                for k in row.users.tolist():
                    for o in row.options.tolist():
                        extra[k, o] = extra.get((k, o), Fraction(0)) + row.sign * Fraction(multiplier)
        return extra


class ExactTable:
    """Rational lower bounds of the priced costs at given prices, with weighted latencies of at most a cap [s]."""

    def __init__(
        self, problem: AllocationProblem, resources: Resources, prices: tuple[float, ...], level: float | None,
        cap_s: float = np.inf,
    ) -> None:  # fmt: skip
        self.problem, self.cap_s = problem, cap_s
        self.prices = [Fraction(p) for p in prices[:3]]
        costs = limited_costs(problem)
        self.cost_prices = [Fraction(p) for p in prices[3 : 3 + costs]]
        self.tilts = [Fraction(p) for p in prices[3 + costs :]]
        self.level = None if level is None else Fraction(level)
        # multipliers and shares come from floats: any multiplier yields a bound, any share a tangent
        self.hint = priced(within(problem, cap_s), resources, without_costs(np.array(prices), costs), level)
        self.float_lo = resources.lo
        self._known: dict[tuple[int, int], Fraction | float] = {}

    @cached_property
    def budgets(self) -> tuple[Fraction, Fraction, Fraction]:
        p = self.problem
        return Fraction(p.downlink_hz), Fraction(p.uplink_hz), Fraction(p.edge_capacity)

    def cost(self, k: int, o: int) -> Fraction | float:
        """Lower bound of the cost of an option; infinite where it is proven closed."""
        if (k, o) not in self._known:
            cost = self._cost(k, o)
            self._known[k, o] = cost if cost == float("inf") else cost + self._charged(k, o)
        return self._known[k, o]

    def _charged(self, k: int, o: int) -> Fraction:
        """What an option costs beside the latency: weighted costs, and prices of limited ones."""
        p, total = self.problem, Fraction(0)
        if p.option_cost_s is not None:
            assert p.option_cost is not None
            assert p.cost_weight_s is not None
            for cost, weight in zip(p.option_cost[k, o].tolist(), p.cost_weight_s.tolist(), strict=True):
                total += Fraction(cost) * Fraction(weight)
        if p.cost_limits is not None:
            for n, price in enumerate(self.cost_prices):
                if price:
                    total += price * p.cost_limits.load_exact(k, o, n)
        return total

    def _cost(self, k: int, o: int) -> Fraction | float:
        p = self.problem
        if o == p.options:
            return self._late(k)
        weight, fixed, branch = (Fraction(float(v)) for v in (p.weights[k], p.fixed_s[k, o], p.branch_s[k, o]))
        hard = float(p.hard_deadline_s[k])
        limit = None if np.isinf(hard) else Fraction(hard) - fixed
        if weight and not np.isinf(self.cap_s):
            capped = Fraction(self.cap_s) / weight - fixed
            limit = capped if limit is None else min(limit, capped)
        if p.tilts is not None:
            weight *= Fraction(p.tilts.base) + self.tilts[k]
        parts = [part for i in range(3) if (part := self._part(i, k, o)) is not None]
        tau = limit
        in_time = self.level is not None or p.objective == "missed"
        if p.objective == "missed":
            tau = Fraction(float(p.on_time_s[k])) - fixed
        elif self.level is not None:
            tau = self.level / weight - fixed
            tau = tau if limit is None else min(tau, limit)
        if tau is not None and (tau < branch or (parts and tau <= 0)):
            return float("inf")
        if any(part.closed for part in parts):
            return float("inf")
        if tau is not None and parts and sum(part.least_time for part in parts) > tau:
            return float("inf")
        if in_time and (not parts or tau is None):
            return Fraction(0)
        if not parts:
            return weight * (fixed + branch)

        def proven(mu: Fraction) -> Fraction:
            total = sum((part.phi(mu) for part in parts), Fraction(0))
            if in_time:
                return total - mu * (tau or Fraction(0))
            left = branch if mu <= weight or limit is None else limit
            return weight * fixed + total + (weight - mu) * left

        mu, plain = Fraction(float(self.hint.mu[k, o])), Fraction(0) if in_time else weight
        if not in_time and (limit is None or mu <= weight * _SAME):
            # no multiplier above the weight is needed without a limit, nor one that rounding alone puts there
            mu = min(mu, weight)
        found = proven(mu)
        if mu != plain and found < float(self.hint.cost[k, o]) * (1.0 - _FAR):
            # where a limit leaves next to nothing, or rates hardly grow, the multiplier in floats may be far off; and
            # where it is the plain one, a little off
            found = max(found, proven(plain))
        return found

    def _late(self, k: int) -> Fraction | float:
        """The weight, and the price of the least uplink share that the limits on airtime leave; infinite where they
        leave none."""
        least = []
        for o in np.flatnonzero(self.problem.open_options[k]):
            part = self._part(UPLINK, k, int(o))
            if part is None or not part.closed:
                least.append(Fraction(0) if part is None else part.lo)
        if not least:
            return float("inf")
        return Fraction(float(self.problem.weights[k])) + self.prices[UPLINK] * min(least)

    def _part(self, i: int, k: int, o: int) -> Stage | None:
        p = self.problem
        demand = float((p.downlink_bit, p.uplink_bit, p.edge_work_s)[i][k, o])
        if demand == 0:
            return None
        budget, price = self.budgets[i], self.prices[i]
        hi = Fraction(1)
        if i == EDGE and np.isfinite(p.share_caps[k]):
            hi = min(hi, Fraction(float(p.share_caps[k])) / budget)
        airtime = None
        if i == UPLINK and p.uplink_airtime_max_s is not None:
            airtime = Fraction(float(p.uplink_airtime_max_s[k, o]))
        if i == EDGE:
            return Linear(price, Fraction(demand) / budget, hi, None)
        side = RESOURCES[i]
        efficiency = getattr(p, f"{side}_efficiency")
        if efficiency is not None:
            return Linear(price, Fraction(demand) / (Fraction(float(efficiency[k])) * budget), hi, airtime)
        gamma = Fraction(float(getattr(p, f"{side}_snr_hz")[k])) / budget
        share = float(self.hint.x[i, k, o])
        return Shannon(
            price,
            Fraction(demand) / budget * LN2[0],
            hi,
            gamma,
            share,
            airtime,
            float(self.float_lo[i, k, o]),
        )


class Stage:
    """One resource of one option: phi(mu) = min over shares of price * x + mu * time(x), bounded below."""

    a: Fraction
    hi: Fraction
    closed: bool
    lo: Fraction
    least_time: Fraction

    def phi(self, mu: Fraction) -> Fraction:
        raise NotImplementedError


class Linear(Stage):
    """time = a / x on [lo, hi]."""

    def __init__(self, price: Fraction, a: Fraction, hi: Fraction, airtime: Fraction | None) -> None:
        self.price, self.a, self.hi = price, a, hi
        self.lo = Fraction(0) if airtime is None else a / airtime
        self.closed = self.lo > hi
        self.least_time = a / hi

    def phi(self, mu: Fraction) -> Fraction:
        return hyperbola(self.price, mu * self.a, self.lo, self.hi)


class Shannon(Stage):
    """time = a / R(x) with R(x) = x log1p(gamma / x) <= alpha + beta x, the tangent at x0 (R is concave)."""

    def __init__(
        self,
        price: Fraction,
        a: Fraction,
        hi: Fraction,
        gamma: Fraction,
        share: float,
        airtime: Fraction | None,
        float_lo: float,
    ) -> None:
        self.price, self.a, self.hi = price, a, hi
        self.gamma = gamma
        self.alpha, self.beta = self._tangent(Fraction(share) if share > 0 else hi)
        fastest = hi * log_bracket(1 + gamma / hi)[1]
        self.least_time = a / fastest
        self.closed = airtime is not None and a / airtime > fastest
        self.lo = Fraction(0)
        if airtime is not None and float_lo > 0:
            self.lo = self._least_share(a / airtime, float_lo)

    def _tangent(self, x0: Fraction) -> tuple[Fraction, Fraction]:
        """Alpha and beta, which is rounded up."""
        u = self.gamma / x0
        return self.gamma / (1 + u), log_bracket(1 + u)[1] - u / (1 + u)

    def _least_share(self, rate: Fraction, near: float) -> Fraction:
        """A lower bound of the least share with a rate: every tangent has it at a share no larger than R has.

        By Newton steps, since far above gamma the rate hardly grows with the share, and floats place it less sharply.
        """
        found = Fraction(0)
        while near > 0:
            alpha, beta = self._tangent(Fraction(near))
            step = (rate - alpha) / beta if beta > 0 else Fraction(0)
            if step <= found:
                break
            found, near = step, float(step)
        return found

    def phi(self, mu: Fraction) -> Fraction:
        # the tangent loses where floats misplace the share; the whole band's time it never undercuts
        least = self.price * self.lo + mu * self.least_time
        if self.beta <= 0:
            return least
        # y = alpha + beta x: price (y - alpha) / beta + mu a / y
        slope = self.price / self.beta
        low, high = self.alpha + self.beta * self.lo, self.alpha + self.beta * self.hi
        return max(hyperbola(slope, mu * self.a, low, high) - slope * self.alpha, least)


def hyperbola(price: Fraction, area: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """A rational at most the minimum of price * x + area / x on [low, high]."""
    if area == 0:
        return price * low
    if area >= price * high * high:
        return price * high + area / high
    if low > 0 and area <= price * low * low:
        return price * low + area / low
    return 2 * sqrt_below(price * area)
