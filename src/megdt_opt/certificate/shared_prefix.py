"""What certificates of a `SharedPrefixProblem` prove, recomputed in rational or in floating arithmetic.

Rows are the K users and the G groups; a choice of a user is an option, of a group 0 for no trunk or 1 + the number of
the trunk among its own. The exact check lists every pattern of every group. Any multipliers prove a bound of a pattern
(`megdt_opt.pricing.rider_costs`), so all patterns of a trunk are first tried with the multipliers of the cheapest one,
and what these do not rule out is proven with multipliers of its own. Numbers are whole multiples of 2^-200 from there
on, rounded down.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from math import isqrt
from typing import Any

import numpy as np

from megdt_opt.certificate.allocation import ExactTable, Linear, Shannon, Stage
from megdt_opt.certificate.check import MARGIN, Valuer, rounded_down
from megdt_opt.certificate.exact import LN2
from megdt_opt.certificate.tree import Leaf, Mask, Part
from megdt_opt.pricing.scaled import DOWNLINK, EDGE, RESOURCES, UPLINK, Array
from megdt_opt.pricing.shared_prefix import Costs, PrefixCosts, rises
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem

_BITS = 200
UNIT = 1 << _BITS
NEVER = 1 << (_BITS + 400)
"""Stands for infinity: more than 1e120 s."""

_NONE = Fraction(0)

_AT_ONCE = 64


class PrefixProof:
    """As `Proof` has it.

    Parameters
    ----------
    problem : SharedPrefixProblem
    model : PrefixCosts, optional
        The problem, scaled, where that has been done.
    """

    budgets = 3
    cost_prices = 0

    def __init__(self, problem: SharedPrefixProblem, model: PrefixCosts | None = None) -> None:
        self.problem, self._model = problem, model
        self.objective = problem.objective
        self.size = problem.users * problem.options

    @cached_property
    def model(self) -> PrefixCosts:
        """The problem, scaled."""
        return self._model or PrefixCosts(self.problem)

    def to_partition(self, exact: bool) -> Mask:
        """As `Proof` has it: nothing is closed by numbers, only by what fits together."""
        return self.model.patterns.open

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        if len(leaf.prices) != 3 or min(leaf.prices) < 0:
            return "a leaf's prices are not three numbers of at least 0"
        return "limits on counts and cuts mean nothing here" if leaf.counts or leaf.cuts else ""

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return ExactValuer(self.model) if exact else FloatValuer(self.model)

    def whole(self, value: Fraction | float) -> float:
        """As `Proof` has it."""
        return rounded_down(value)


def _removed_rise(costs: Costs, part: Part, total: Array, least: Array) -> float:
    """By how much the least total rises if some row takes what is ruled out; patterns are made exact as needed."""
    patterns = costs.model.patterns
    removed = part.removed
    assert removed is not None
    while True:
        table = rises(costs.model, part.mask, total, costs.alone.cost) - least[patterns.row_party][:, None]
        rise = float(np.where(removed & part.mask, table, np.inf).min(initial=np.inf))
        above = total - least[patterns.party]
        loose = np.flatnonzero(~costs.exact & (above <= rise) & np.isfinite(above) & _touching(costs.model, removed))
        if not loose.size:
            return rise
        rows = loose[np.argsort(above[loose])][:_AT_ONCE]
        before = costs.riding[rows]
        costs.refine(rows)
        total[rows] += costs.riding[rows] - before


def _touching(model: PrefixCosts, removed: Mask) -> Mask:
    """Patterns in which some row can take what is ruled out, (N,)."""
    patterns = model.patterns
    pools = np.r_[patterns.pools(removed).any(axis=1), False]
    found = pools[patterns.pool].any(axis=1)
    pattern, row, choice = patterns.uses
    found[pattern[removed[row, choice]]] = True
    return np.asarray(found)


class FloatValuer:
    """By the priced costs in floating arithmetic, with a margin.

    Parameters
    ----------
    model : PrefixCosts
    """

    def __init__(self, model: PrefixCosts) -> None:
        self.model = model

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        if part.rows:
            return 0.0
        prices = np.array(part.leaf.prices)
        costs = self.model.at(prices, level_s)
        least, _ = costs.cheapest(part.mask)
        value = float(least.sum())
        if not np.isfinite(value):
            return np.inf
        if part.removed is not None:
            total, _ = costs.least(part.mask)
            value += _removed_rise(costs, part, total, least)
            if not np.isfinite(value):
                return np.inf
        paid = float(prices.sum())
        return value - paid - MARGIN * (abs(value) + paid)


class ExactValuer:
    """In rational arithmetic, with square roots and logarithms bracketed outward.

    Parameters
    ----------
    model : PrefixCosts
    """

    def __init__(self, model: PrefixCosts) -> None:
        self.model = model
        self._tables: dict[tuple[tuple[float, ...], float | None], PatternBounds] = {}

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """As `Valuer` has it."""
        if part.rows:
            return Fraction(0)
        key = (part.leaf.prices, level_s)
        if key not in self._tables:
            self._tables[key] = PatternBounds(self.model, part.leaf.prices, level_s)
        found = self._tables[key].value(part)
        if found >= NEVER:
            return float("inf")
        return Fraction(found, UNIT) - sum(map(Fraction, part.leaf.prices), Fraction(0))


def down(value: Fraction) -> int:
    return (value.numerator << _BITS) // value.denominator


class PatternBounds:
    """What all patterns cost at least at given prices, in units of 2^-200."""

    def __init__(self, model: PrefixCosts, prices: tuple[float, ...], level: float | None) -> None:
        self.model, self.level = model, None if level is None else Fraction(level)
        self.float_prices, self.float_level = np.array(prices), level
        self.prices = [Fraction(p) for p in prices]
        self.alone = ExactTable(model.alone, model.own, prices, level)
        self.weight = [Fraction(float(w)) for w in model.problem.weights]
        self._rough: dict[Any, int] = {}
        self._fine: dict[int, int] = {}
        self._closed: dict[Any, Any] = {}

    @property
    def costs(self) -> Costs:
        """The same in floats, which say where to look and which multipliers to take."""
        return self.model.at(self.float_prices, self.float_level)

    def value(self, part: Part) -> int:
        """The least total of a part; at least `NEVER` where there is none."""
        model, patterns = self.model, self.model.patterns
        costs = self.costs
        total, best = costs.least(part.mask)
        least = total[best]
        rise = 0.0
        if part.removed is not None and np.isfinite(least).all():
            rise = _removed_rise(costs, part, total, least)
        touching = np.zeros(len(total), bool) if part.removed is None else _touching(model, part.removed)
        size = float(np.abs(least[np.isfinite(least)]).sum()) + float(self.float_prices.sum())
        wanted = least[patterns.party] + np.where(touching, min(rise, 1e300), 0.0) - 1e-13 * size
        pools = [self._pool(m, row) for m, row in enumerate(patterns.pools(part.mask))]
        bounds = self._bounds(patterns.allowed(part.mask), wanted, [*pools, 0])
        lowest = [NEVER] * len(patterns.member)
        for e, bound in bounds.items():
            p = int(patterns.party[e])
            lowest[p] = min(lowest[p], bound)
        sum_of = sum(lowest)
        if part.removed is None or sum_of >= NEVER:
            return sum_of
        return sum_of + self._forced(part, bounds, pools, lowest)

    def _forced(self, part: Part, bounds: dict[int, int], pools: list[int], lowest: list[int]) -> int:
        """The least rise if some row takes what is ruled out."""
        patterns, removed = self.model.patterns, part.removed
        assert removed is not None
        rise = NEVER
        pattern, row, choice = patterns.uses
        for e in np.unique(pattern[(removed & part.mask)[row, choice]]).tolist():
            if e in bounds:
                rise = min(rise, bounds[e] - lowest[int(patterns.party[e])])
        gone = patterns.pools(removed & part.mask)
        beside = {m: NEVER for m in np.flatnonzero(gone.any(axis=1)).tolist()}
        for e, bound in bounds.items():
            for m in patterns.pool[e].tolist():
                if m in beside:
                    p = int(patterns.party[e])
                    beside[m] = min(beside[m], bound - pools[m] - lowest[p])
        for m, least in beside.items():
            if least < NEVER // 2:
                k = int(patterns.pool_user[m])
                rise = min([rise, *(least + self._option(k, int(o)) for o in np.flatnonzero(gone[m]))])
        return rise

    def _option(self, k: int, o: int) -> int:
        """What an option costs a member that does not ride."""
        key = (k, o)
        if key not in self._rough:
            cost = self.alone.cost(k, o)
            self._rough[key] = NEVER if cost == float("inf") else down(Fraction(cost))
        return self._rough[key]

    def _pool(self, m: int, options: Mask) -> int:
        k = int(self.model.patterns.pool_user[m])
        return min((self._option(k, int(o)) for o in np.flatnonzero(options)), default=NEVER)

    def _bounds(self, allowed: Mask, wanted: Array, pools: list[int]) -> dict[int, int]:
        """What patterns cost at least; looked at closely only where a rough bound is not as much as is wanted."""
        patterns = self.model.patterns
        found: dict[int, int] = {}
        close: list[int] = []
        goal = [int(w * 2.0**60) << (_BITS - 60) if w < 1e200 else NEVER for w in np.maximum(wanted, -1e200)]
        for e in np.flatnonzero(allowed).tolist():
            beside = sum(pools[m] for m in patterns.pool[e].tolist())
            bound = self._closed_form(e) if self.model.closed else self._roughly(e)
            found[e] = bound + beside
            if not self.model.closed and found[e] < goal[e]:
                close.append(e)
        if close:
            self._prepare(close)
            for e in close:
                beside = sum(pools[m] for m in patterns.pool[e].tolist())
                found[e] = max(found[e], self._closely(e) + beside)
        return found

    # ---- riders in closed form

    def _closed_form(self, e: int) -> int:
        if e in self._fine:
            return self._fine[e]
        model, n = self.model, self.model.patterns
        q = int(n.trunk[e])
        if q >= 0 and self._shut(q):
            return NEVER
        cost, own = 0, [0, 0, 0]
        waits, casts = Fraction(0), Fraction(0)
        for k, o in zip(n.who[e].tolist(), n.option[e].tolist(), strict=True):
            if o < 0:
                continue
            waits += self.weight[k]
            casts += self.weight[k] * int(model.problem.rides[k, o] == 2)
            constant, roots = self._rider_roots(k, o, q)
            cost += constant
            own = [a + b for a, b in zip(own, roots, strict=True)]
        if q >= 0:
            squares = self._trunk_squares(q, waits, casts)
            for i in range(3):
                joined = i == EDGE and model.phased
                root = isqrt((squares[i] << _BITS) + own[i] ** 2) if joined else isqrt(squares[i] << _BITS) + own[i]
                cost += self._of_root(i, root)
        self._fine[e] = cost
        return cost

    def _of_root(self, i: int, root: int) -> int:
        """2 sqrt(l) P, or l + P^2 where P is larger than sqrt(l)."""
        key = ("price", i)
        if key not in self._closed:
            self._closed[key] = down(self.prices[i]), isqrt(down(self.prices[i]) << _BITS)
        price, least = self._closed[key]
        assert isinstance(price, int)
        assert isinstance(least, int)
        if root > least:
            return price + (root * root >> _BITS)
        return 2 * least * root >> _BITS

    def _rider_roots(self, k: int, o: int, q: int) -> tuple[int, list[int]]:
        key = ("rider", k, o, q)
        if key not in self._closed:
            p = self.model.problem
            fixed = Fraction(float(p.fixed_s[k, o])) + Fraction(float(p.trunk_fixed_s[q]))
            roots = []
            for i in range(3):
                stage = self._own(i, k, o, None, 0.0)
                square = 0 if stage is None else down(self.weight[k] * stage.a)
                roots.append(isqrt(square << _BITS))
            self._closed[key] = down(self.weight[k] * fixed), roots
        found: tuple[int, list[int]] = self._closed[key]
        return found

    def _trunk_squares(self, q: int, waits: Fraction, casts: Fraction) -> list[int]:
        key = ("trunk", q, waits, casts)
        if key not in self._closed:
            squares = []
            for i, flow in ((DOWNLINK, casts), (UPLINK, waits), (EDGE, waits)):
                stage = self._trunk(i, q, None, 0.0)
                squares.append(0 if stage is None else down(flow * stage.a))
            self._closed[key] = squares
        found: list[int] = self._closed[key]
        return found

    def _shut(self, q: int) -> bool:
        """Whether a trunk is proven not to keep its limit on airtime."""
        key = ("shut", q)
        if key not in self._closed:
            stage = self._trunk(UPLINK, q, None, 0.0)
            self._closed[key] = stage is not None and stage.closed
        found: bool = self._closed[key]
        return found

    # ---- stages

    def _own(self, i: int, k: int, o: int, part: Fraction | None, share: float) -> Stage | None:
        """A rider's own stage, at 1 - `part` of the edge's price."""
        price = self.prices[i] * (1 - part) if i == EDGE and part is not None else self.prices[i]
        return _stage(self.model.alone, i, k, o, price, share, 0.0)

    def _trunk(self, i: int, q: int, part: Fraction | None, share: float) -> Stage | None:
        """A trunk's stage, at `part` of the edge's price."""
        price = self.prices[i] * part if i == EDGE and part is not None else self.prices[i]
        return _stage(self.model.trunks, i, q, 0, price, share, float(self.model.shared.lo[i, q, 0]))

    # ---- riders by multipliers

    def _prepare(self, rows: list[int]) -> None:
        self.costs.refine(np.array(rows))

    def _roughly(self, e: int) -> int:
        """With the multipliers of the cheapest pattern of the same trunk."""
        n = self.model.patterns
        q = int(n.trunk[e])
        if q < 0:
            return 0
        if self._shut(q) or self._unreachable(e):
            return NEVER
        mu, part, x, trunk_x = self._common(q)
        cost, flow, cast = 0, Fraction(0), Fraction(0)
        riders = []
        for k, o in zip(n.who[e].tolist(), n.option[e].tolist(), strict=True):
            if o >= 0:
                riders.append((k, bool(self.model.problem.rides[k, o] == 2)))
                key = ("rough", k, o, q)
                if key not in self._rough:
                    self._rough[key] = down(self._rider(k, o, q, mu.get(k, _NONE), part, x.get(k, np.zeros(3))))
                cost += self._rough[key]
                flow += mu.get(k, _NONE)
                cast += mu.get(k, _NONE) * riders[-1][1]
        of_trunk = ("trunk", q, *riders)
        if of_trunk not in self._rough:
            self._rough[of_trunk] = down(self._shared(q, flow, cast, part, trunk_x))
        return cost + self._rough[of_trunk]

    def _common(self, q: int) -> tuple[dict[int, Fraction], Fraction | None, dict[int, Array], Array]:
        """Multiplier and shares of each user, from the cheapest pattern of a trunk in which it rides; of the cheapest
        one the part of the edge's price and the trunk's shares."""
        key = ("common", q)
        if key not in self._closed:
            model, n = self.model, self.model.patterns
            rows = np.flatnonzero((n.trunk == q) & np.isfinite(self.costs.riding))
            rows = rows[np.argsort(self.costs.riding[rows], kind="stable")]
            self._prepare(rows[:1].tolist())
            assert model.mu is not None
            assert model.part is not None
            at, j = np.nonzero(n.rides[rows])
            users, first = np.unique(n.who[rows[at], j], return_index=True)
            at, j = rows[at[first]], j[first]
            # found once more for each pattern: refining one moves it
            own = self.costs.worth(at).x if at.size else np.zeros((3, 0, 0))
            mu = np.asarray(model.problem.weights[users] if self.level is None else model.mu[at, j])
            trunk_x = self.costs.worth(rows[:1]).trunk_x[:, 0] if rows.size else np.ones(3)
            part = Fraction(float(model.part[rows[0]])) if model.phased and rows.size else None
            self._closed[key] = (
                {k: Fraction(m) for k, m in zip(users.tolist(), mu.tolist(), strict=True)}, part,
                {k: own[:, i, place] for i, (k, place) in enumerate(zip(users.tolist(), j.tolist(), strict=True))},
                trunk_x,
            )  # fmt: skip
        found: tuple[dict[int, Fraction], Fraction | None, dict[int, Array], Array] = self._closed[key]
        return found

    def _closely(self, e: int) -> int:
        """With multipliers of its own."""
        if e not in self._fine:
            model, n = self.model, self.model.patterns
            q = int(n.trunk[e])
            if q < 0:
                return 0
            assert model.mu is not None
            assert model.part is not None
            found = self.costs.worth(np.array([e]))
            part = Fraction(float(model.part[e])) if model.phased else None
            cost, flow, cast = Fraction(0), Fraction(0), Fraction(0)
            for j, (k, o) in enumerate(zip(n.who[e].tolist(), n.option[e].tolist(), strict=True)):
                if o >= 0:
                    mu = Fraction(float(model.mu[e, j]))
                    cost += self._rider(k, o, q, mu, part, found.x[:, 0, j])
                    flow += mu
                    cast += mu * int(model.problem.rides[k, o] == 2)
            self._fine[e] = down(cost + self._shared(q, flow, cast, part, found.trunk_x[:, 0]))
        return self._fine[e]

    def _left(self, k: int, o: int, q: int) -> Fraction:
        """What a level leaves a rider for stages that shares shorten."""
        assert self.level is not None
        p = self.model.problem
        return self.level / self.weight[k] - Fraction(float(p.fixed_s[k, o])) - Fraction(float(p.trunk_fixed_s[q]))

    def _rider(self, k: int, o: int, q: int, mu: Fraction, part: Fraction | None, x: Array) -> Fraction:
        p = self.model.problem
        cost = Fraction(0)
        for i in range(3):
            stage = self._own(i, k, o, part, float(x[i]))
            cost += Fraction(0) if stage is None else stage.phi(mu)
        if self.level is not None:
            return cost - mu * self._left(k, o, q)
        return cost + mu * (Fraction(float(p.fixed_s[k, o])) + Fraction(float(p.trunk_fixed_s[q])))

    def _shared(self, q: int, flow: Fraction, cast: Fraction, part: Fraction | None, x: Array) -> Fraction:
        cost = Fraction(0)
        for i, through in ((DOWNLINK, cast), (UPLINK, flow), (EDGE, flow)):
            stage = self._trunk(i, q, part, float(x[i]))
            if stage is not None and (i != DOWNLINK or cast > 0):
                cost += stage.phi(through)
        return cost

    def _unreachable(self, e: int) -> bool:
        """Whether a pattern is proven to miss the level whatever the shares."""
        if self.level is None or np.isfinite(self.costs.riding[e]):
            return False
        n, p = self.model.patterns, self.model.problem
        q = int(n.trunk[e])
        times = [Fraction(0) if (stage := self._trunk(i, q, None, 0.0)) is None else stage.least_time for i in range(3)]
        for k, o in zip(n.who[e].tolist(), n.option[e].tolist(), strict=True):
            if o < 0:
                continue
            least = times[UPLINK] + times[EDGE] + times[DOWNLINK] * int(p.rides[k, o] == 2)
            for i in range(3):
                stage = self._own(i, k, o, None, 0.0)
                least += Fraction(0) if stage is None else stage.least_time
            left = self._left(k, o, q)
            if least > left or (least > 0 and left <= 0):
                return True
        return False


def _stage(p: Any, i: int, k: int, o: int, price: Fraction, share: float, float_lo: float) -> Stage | None:
    """One stage of one user of a core problem, at a price; `share` is where Shannon's law gets its tangent."""
    demand = float((p.downlink_bit, p.uplink_bit, p.edge_work_s)[i][k, o])
    if demand == 0:
        return None
    budget = Fraction((p.downlink_hz, p.uplink_hz, p.edge_capacity)[i])
    if i == EDGE:
        cap = float(p.share_caps[k])
        hi = min(Fraction(1), Fraction(cap) / budget) if np.isfinite(cap) else Fraction(1)
        return Linear(price, Fraction(demand) / budget, hi, None)
    airtime = None
    if i == UPLINK and p.uplink_airtime_max_s is not None:
        airtime = Fraction(float(p.uplink_airtime_max_s[k, o]))
    efficiency = getattr(p, f"{RESOURCES[i]}_efficiency")
    if efficiency is not None:
        return Linear(price, Fraction(demand) / (Fraction(float(efficiency[k])) * budget), Fraction(1), airtime)
    gamma = Fraction(float(getattr(p, f"{RESOURCES[i]}_snr_hz")[k])) / budget
    return Shannon(price, Fraction(demand) / budget * LN2[0], Fraction(1), gamma, share, airtime, float_lo)
