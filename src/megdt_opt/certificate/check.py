"""Recomputing what a certificate's leaves prove, in rational or in floating arithmetic."""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from math import ceil, fsum
from typing import Protocol

import numpy as np

from megdt_opt.certificate.exact import LN2, log_bracket, sqrt_below
from megdt_opt.certificate.tree import Mask, Node, Part, parts
from megdt_opt.certificate.verdict import Verdict
from megdt_opt.pricing.priced import grain, priced
from megdt_opt.pricing.scaled import EDGE, RESOURCES, UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem

MARGIN = 1e-12
"""Relative allowance for rounding in floating arithmetic, far above what K * O additions lose."""

_CLEARLY = 1e-9
"""Relative distance from a limit that no rounding makes."""

_TURNS = 30
"""Turns of a search for the level that a leaf proves."""


class Valuer(Protocol):
    """What proves the parts of a tree: their bounds, or for "max" what their costs exceed the prices by at a level."""

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """A number that the true value is not below; infinite where the part has no allocation."""
        ...


def sealed_bound_s(problem: AllocationProblem, tree: Node, mask: Mask, target_s: float, valuer: Valuer) -> float:
    """The bound that a tree proves, by a valuer in floats [s]; for "max" at most `target_s`, at which it was grown.

    Parameters
    ----------
    problem : AllocationProblem
    tree : Node
    mask : array of bool, (K, choices)
        What the tree partitions.
    target_s : float
        [s]
    valuer : Valuer
    """
    if problem.objective != "max":
        least = min((float(valuer.value(part, None)) for part in parts(tree, mask)), default=np.inf)
        # no objective is negative; and where a limit is kept within rounding only, every leaf seems closed
        return _whole(problem, max(least, 0.0)) if np.isfinite(least) else target_s
    bound = target_s
    for part in parts(tree, mask):
        if bound > 0 and not valuer.value(part, bound) > 0:
            # a tree that was cut short; what is proven of a level is proven of those below it
            bound = _proven_level(part, bound, valuer)
    return bound


def _proven_level(part: Part, high: float, valuer: Valuer) -> float:
    """The largest level below `high`, to 1e-9 of it, that a part proves.

    The cost is nearly a power of the level, so secants of the logarithms settle in a few turns; where one would leave
    the bracket, it is halved.
    """
    prices = sum(part.leaf.prices[:3])
    low, place = 0.0, high * (1.0 - _CLEARLY)
    last: tuple[float, float] | None = None
    for turn in range(_TURNS):
        value = float(valuer.value(part, place))
        low, high = (place, high) if value > 0 else (low, place)
        ratio = 1.0 + value / prices if prices > 0 else 0.0
        if 1.0 < ratio <= 1.0 + _CLEARLY or (turn == 0 and value > 0) or high - low <= _CLEARLY * high:
            break
        middle = 0.5 * (low + high)
        if 0.0 < ratio < np.inf:
            point = (np.log(place), np.log(ratio))
            if last is not None and point[1] != last[1]:
                # aimed at the middle of what ends the search
                aim = point[0] - (point[1] - 0.5 * _CLEARLY) * (point[0] - last[0]) / (point[1] - last[1])
                guess = float(np.exp(min(aim, np.log(high))))
                middle = guess if low < guess < high else middle
            last = point
        place = middle
    return low


def choices(problem: AllocationProblem, options: Mask) -> Mask:
    """Options (K, O) that are open; for "missed" with the choice of being late, (K, O + 1)."""
    if problem.objective != "missed":
        return options
    return np.column_stack([options, options.any(axis=1)])


def _whole(problem: AllocationProblem, value: Fraction | float) -> float:
    """The least value of the objective that is at least `value`, rounded down to a float.

    For "missed" it is a multiple of the weights' grain, of which every sum of weights is one.
    """
    if problem.objective == "missed" and np.isfinite(float(value)):
        unit = grain(problem.weights)
        value = ceil(Fraction(value) / unit) * unit
    rounded = float(value)
    return float(np.nextafter(rounded, -np.inf)) if np.isfinite(rounded) and Fraction(rounded) > value else rounded


def check(tree: Node, bound_s: float, problem: AllocationProblem, *, exact: bool) -> Verdict:
    """Verify that a tree proves a bound [s]; see `Certificate.verify`."""
    if not np.isfinite(bound_s):
        return Verdict(False, -np.inf, exact, 0, "the bound is not a number")
    resources = Resources.of(problem)
    try:
        # the mask is the problem's own: nothing is closed here because `resources` say so
        found = list(parts(tree, choices(problem, _to_partition(problem, resources, exact))))
    except (ValueError, IndexError) as error:
        return Verdict(False, -np.inf, exact, 0, str(error))
    tilts = problem.users if problem.objective == "mixed" else 0
    if any(len(leaf.prices) != 3 + tilts or min(leaf.prices) < 0 for leaf, *_ in found):
        wanted = f"three numbers{f' and {tilts} multipliers' if tilts else ''} of at least 0"
        return Verdict(False, -np.inf, exact, len(found), f"a leaf's prices are not {wanted}")
    if any(sum(map(Fraction, leaf.prices[3:])) > Fraction(problem.max_weight or 0.0) for leaf, *_ in found):
        return Verdict(False, -np.inf, exact, len(found), "a leaf's multipliers sum to more than max_weight")
    if bound_s <= 0:
        # latencies and weights are never negative: nothing is left to prove
        return Verdict(True, bound_s, exact, len(found))
    summed = problem.objective != "max"
    valuer: Valuer = (ExactValuer if exact else FloatValuer)(problem, resources)
    proven = [valuer.value(part, None if summed else bound_s) for part in found]
    if summed:
        least = _whole(problem, min(proven, default=np.inf))
        holds = least >= bound_s - abs(bound_s) * MARGIN * (not exact)
        return Verdict(holds, least, exact, len(found), "" if holds else "a leaf proves less than the bound")
    holds = all(value > 0 for value in proven)
    return Verdict(
        holds, bound_s if holds else -np.inf, exact, len(found),
        "" if holds else "a leaf does not rule out the bound's level",
    )  # fmt: skip


def _to_partition(problem: AllocationProblem, resources: Resources, exact: bool) -> np.ndarray:
    """Options that a tree must cover, (K, O): all but those that an airtime limit closes, which is proven anew."""
    mask = problem.open_options.copy()
    nothing = (0.0,) * (3 + problem.users * (problem.objective == "mixed"))
    table = _ExactTable(problem, resources, nothing, None) if exact else None
    for k, o in np.argwhere(mask & ~resources.open):
        if table is None or table.cost(int(k), int(o)) == float("inf"):
            mask[k, o] = False
    return mask


def total_of(part: Part, cost: Array) -> float:
    """Bound of a part for a table of costs (K, choices), rounded down by a margin."""
    extra = part.extra()
    if extra is not None:
        cost = cost + extra
    here = np.where(part.mask, cost, np.inf)
    least = here.min(axis=1)
    if part.removed is not None:
        if not np.isfinite(least).all():
            return np.inf
        rise = np.where(part.removed, here, np.inf) - least[:, None]
        total = float(least.sum()) + float(rise.min(initial=np.inf))
    else:
        total = float(least.sum())
    prices, offset = sum(part.leaf.prices[:3]), part.offset()
    if not np.isfinite(total):
        return np.inf
    counted = sum(m * row.limit for row, m in zip(part.rows, part.leaf.counts, strict=True))
    return total - prices - offset - MARGIN * (abs(total) + prices + counted)


class FloatValuer:
    """By the priced costs in floating arithmetic, with a margin.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
    """

    def __init__(self, problem: AllocationProblem, resources: Resources) -> None:
        self.problem, self.resources = problem, resources
        self._last: tuple[tuple[float, ...], float | None] | None = None
        self._cost: Array = np.zeros((0, 0))

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        if fsum(part.leaf.prices[3:]) > (self.problem.max_weight or 0.0):
            return 0.0  # prove nothing
        if self._last != (part.leaf.prices, level_s):
            found = priced(self.problem, self.resources, np.array(part.leaf.prices), level_s)
            self._last, self._cost = (part.leaf.prices, level_s), found.cost - found.doubt
        return total_of(part, self._cost)


class ExactValuer:
    """In rational arithmetic, with square roots and logarithms bracketed outward."""

    def __init__(self, problem: AllocationProblem, resources: Resources) -> None:
        self.problem, self.resources = problem, resources
        self._tables: dict[tuple[float, ...], _ExactTable] = {}

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """As `Valuer` has it; the level is the same at every call."""
        prices = part.leaf.prices
        if prices not in self._tables:
            self._tables[prices] = _ExactTable(self.problem, self.resources, prices, level_s)
        table = self._tables[prices]
        extra = self._extra(part)
        base: Fraction = -sum(map(Fraction, prices[:3]), Fraction(0))
        for row, multiplier in zip(part.rows, part.leaf.counts, strict=True):
            base -= row.sign * row.limit * Fraction(multiplier)
        rise: Fraction | float = float("inf")
        for k in range(self.problem.users):
            costs = {int(o): table.cost(k, int(o)) + extra.get((k, int(o)), 0) for o in np.flatnonzero(part.mask[k])}
            least = min(costs.values(), default=float("inf"))
            if least == float("inf"):
                return float("inf")
            base += Fraction(least)
            if part.removed is not None:
                rise = min([rise, *(costs[int(o)] - least for o in np.flatnonzero(part.removed[k]))])
        return base if part.removed is None else base + rise

    def _extra(self, part: Part) -> dict[tuple[int, int], Fraction]:
        extra: dict[tuple[int, int], Fraction] = {}
        for row, multiplier in zip(part.rows, part.leaf.counts, strict=True):
            if multiplier:
                for k in row.users.tolist():
                    for o in row.options.tolist():
                        extra[k, o] = extra.get((k, o), Fraction(0)) + row.sign * Fraction(multiplier)
        return extra


class _ExactTable:
    """Rational lower bounds of the priced costs at given prices."""

    def __init__(
        self, problem: AllocationProblem, resources: Resources, prices: tuple[float, ...], level: float | None
    ) -> None:
        self.problem = problem
        self.prices = [Fraction(p) for p in prices[:3]]
        self.tilts = [Fraction(p) for p in prices[3:]]
        self.level = None if level is None else Fraction(level)
        # multipliers and shares come from floats: any multiplier yields a bound, any share a tangent
        self.hint = priced(problem, resources, np.array(prices), level)
        self.float_lo = resources.lo
        self._known: dict[tuple[int, int], Fraction | float] = {}

    @cached_property
    def budgets(self) -> tuple[Fraction, Fraction, Fraction]:
        p = self.problem
        return Fraction(p.downlink_hz), Fraction(p.uplink_hz), Fraction(p.edge_capacity)

    def cost(self, k: int, o: int) -> Fraction | float:
        """Lower bound of the cost of an option; infinite where it is proven closed."""
        if (k, o) not in self._known:
            self._known[k, o] = self._cost(k, o)
        return self._known[k, o]

    def _cost(self, k: int, o: int) -> Fraction | float:
        p = self.problem
        if o == p.options:
            return self._late(k)
        weight, fixed, branch = (Fraction(float(v)) for v in (p.weights[k], p.fixed_s[k, o], p.branch_s[k, o]))
        if self.tilts:
            weight *= 1 + self.tilts[k]
        hard = float(p.hard_deadline_s[k])
        limit = None if np.isinf(hard) else Fraction(hard) - fixed
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
        mu = Fraction(float(self.hint.mu[k, o])) if parts else Fraction(0)
        total = sum((part.phi(mu) for part in parts), Fraction(0))
        if in_time:
            return total - mu * tau if parts and tau is not None else Fraction(0)
        if not parts:
            return weight * (fixed + branch)
        if mu <= weight:
            return weight * fixed + total + (weight - mu) * branch
        if limit is None:  # no multiplier above the weight is needed without a limit
            mu = weight
            return weight * fixed + sum((part.phi(mu) for part in parts), Fraction(0))
        return weight * fixed + total + (weight - mu) * limit

    def _late(self, k: int) -> Fraction:
        """The weight, and the price of the least uplink share that the limits on airtime leave."""
        least = []
        for o in np.flatnonzero(self.problem.open_options[k]):
            part = self._part(UPLINK, k, int(o))
            if part is None or not part.closed:
                least.append(Fraction(0) if part is None else part.lo)
        return Fraction(float(self.problem.weights[k])) + self.prices[UPLINK] * min(least, default=Fraction(0))

    def _part(self, i: int, k: int, o: int) -> _Part | None:
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
            return _Linear(price, Fraction(demand) / budget, hi, None)
        side = RESOURCES[i]
        efficiency = getattr(p, f"{side}_efficiency")
        if efficiency is not None:
            return _Linear(price, Fraction(demand) / (Fraction(float(efficiency[k])) * budget), hi, airtime)
        gamma = Fraction(float(getattr(p, f"{side}_snr_hz")[k])) / budget
        share = float(self.hint.x[i, k, o])
        return _Shannon(
            price,
            Fraction(demand) / budget * LN2[0],
            hi,
            gamma,
            share,
            airtime,
            float(self.float_lo[i, k, o]),
        )


class _Part:
    """One resource of one option: phi(mu) = min over shares of price * x + mu * time(x), bounded below."""

    closed: bool
    lo: Fraction
    least_time: Fraction

    def phi(self, mu: Fraction) -> Fraction:
        raise NotImplementedError


class _Linear(_Part):
    """time = a / x on [lo, hi]."""

    def __init__(self, price: Fraction, a: Fraction, hi: Fraction, airtime: Fraction | None) -> None:
        self.price, self.a, self.hi = price, a, hi
        self.lo = Fraction(0) if airtime is None else a / airtime
        self.closed = self.lo > hi
        self.least_time = a / hi

    def phi(self, mu: Fraction) -> Fraction:
        return _hyperbola(self.price, mu * self.a, self.lo, self.hi)


class _Shannon(_Part):
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
        x0 = Fraction(share) if share > 0 else hi
        u = gamma / x0
        self.alpha = gamma / (1 + u)
        self.beta = log_bracket(1 + u)[1] - u / (1 + u)
        fastest = hi * log_bracket(1 + gamma / hi)[1]
        self.least_time = a / fastest
        self.closed = airtime is not None and a / airtime > fastest
        self.lo = Fraction(0)
        if airtime is not None and float_lo > 0:
            # far above gamma the rate hardly grows with the share, and floats place the least share less sharply
            for digits in (12, 10, 8, 6, 4):
                guess = Fraction(float_lo) * (1 - Fraction(1, 10**digits))
                # a share is at least `guess` if even its rate, rounded up, is too small for the airtime
                if guess * log_bracket(1 + gamma / guess)[1] <= a / airtime:
                    self.lo = guess
                    break

    def phi(self, mu: Fraction) -> Fraction:
        if self.beta <= 0:
            return mu * self.least_time
        # y = alpha + beta x: price (y - alpha) / beta + mu a / y
        slope = self.price / self.beta
        low, high = self.alpha + self.beta * self.lo, self.alpha + self.beta * self.hi
        return _hyperbola(slope, mu * self.a, low, high) - slope * self.alpha


def _hyperbola(price: Fraction, area: Fraction, low: Fraction, high: Fraction) -> Fraction:
    """A rational at most the minimum of price * x + area / x on [low, high]."""
    if area == 0:
        return price * low
    if area >= price * high * high:
        return price * high + area / high
    if low > 0 and area <= price * low * low:
        return price * low + area / low
    return 2 * sqrt_below(price * area)
