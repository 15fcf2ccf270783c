"""What the parties of a `SharedPrefixProblem` cost at prices of the three budgets.

A member that does not ride costs what an option of the core problem costs (`megdt_opt.pricing.priced`). Riders and
their trunk cost the maximum of `megdt_opt.pricing.rider_costs`. For "sum" with linear rates and no limit but the
budgets it is closed: with W the weights of the riders, W2 of those who wait for the multicast, h and y_k the edge work,

    C + 2 sum_i sqrt(l_i) P_i,   P_d = sqrt(W2 a) + sum sqrt(w d_k),   P_u = sqrt(W a) + sum sqrt(w u_k),
    P_e = sqrt(W h + Y^2) phased, sqrt(W h) + Y separate,   Y = sum sqrt(w y_k);

and where P_i > sqrt(l_i), l_i + P_i^2, for no party has more than the whole budget.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from megdt_opt.pricing import rider_costs
from megdt_opt.pricing.group_sets import SetPatterns
from megdt_opt.pricing.priced import Priced as Table
from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.ride_patterns import Index, Mask, Patterns
from megdt_opt.pricing.rider_costs import NumpyRiders, Riders, Ways, Worth
from megdt_opt.pricing.scaled import DOWNLINK, EDGE, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem

_KEPT = 12
"""Price vectors whose costs are kept [1]."""

_MASKS = 4
"""Masks of which is kept what they leave [1]."""

_AT_ONCE = 2
"""Patterns of a party that are looked at more closely first; twice as many in each round [1]."""


class PrefixCosts:
    """A problem, scaled, with its patterns.

    Parameters
    ----------
    problem : SharedPrefixProblem
    """

    def __init__(self, problem: SharedPrefixProblem) -> None:
        self.problem = problem
        self.patterns = Patterns.of(problem) if problem.group is not None else SetPatterns.of(problem)
        self.phased = problem.reserve == "phased"
        self.leveled = problem.objective == "max"
        self.alone = _members(problem)
        self.own = Resources.of(self.alone)
        self.trunks = _trunks(problem)
        self.shared = Resources.of(self.trunks)
        """Of the trunks: multicast, uplink, edge, as users with one option."""
        self.ways: Ways = NumpyRiders()
        self._at: OrderedDict[tuple[bytes, float | None], Costs] = OrderedDict()
        self._left: dict[bytes, tuple[Mask, Mask]] = {}
        self.mu: Array | None = None
        self.part: Array | None = None

    @cached_property
    def closed(self) -> bool:
        """Whether riders' costs are closed: "sum", linear rates, no caps and no limits on airtime."""
        p = self.problem
        return (
            not self.leveled and self.own.linear and self.shared.linear and p.trunk_uplink_airtime_max_s is None
            and not np.isfinite(p.share_caps).any() and not np.isfinite(p.trunk_caps).any()
        )  # fmt: skip

    @cached_property
    def used(self) -> Mask:
        """Budgets that something demands, (3,)."""
        return np.asarray((self.own.a > 0).any(axis=(1, 2)) | (self.shared.a > 0).any(axis=(1, 2)))

    @cached_property
    def riders(self) -> Riders:
        """All patterns' riders."""
        found = self.riders_of(self.patterns.who, self.patterns.option, self.patterns.trunk)
        return Riders(*(np.ascontiguousarray(getattr(found, one.name)) for one in fields(found)))

    def riders_of(self, who: Index, option: Index, trunk: Index) -> Riders:
        """Riders of patterns: members (S, n), their options, -1 for who does not ride, and trunks (S,)."""
        p, rides = self.problem, option >= 0
        o, q, some = np.maximum(option, 0), np.maximum(trunk, 0), trunk >= 0
        both = rides & (p.rides[who, o] == 2)
        shared = self.shared
        trunk_a = np.where(some, shared.a[:, q, 0], 0.0)
        trunk_a[DOWNLINK] *= both.any(axis=1)
        ahead = np.where(some, self._trunk_fixed[q], 0.0)
        return Riders(
            a=np.where(rides, self.own.a[:, who, o], 0.0), gamma=self.own.gamma[:, who], hi=self.own.hi[:, who],
            trunk_a=trunk_a, trunk_gamma=shared.gamma[:, q], trunk_lo=np.where(some, shared.lo[:, q, 0], 0.0),
            trunk_hi=shared.hi[:, q], weight=p.weights[who],
            fixed=np.where(rides, p.fixed_s[who, o] + ahead[:, None], 0.0), rides=rides, both=both,
        )  # fmt: skip

    @cached_property
    def least_s(self) -> Array:
        """What riders' stages take at least, (N, n) [s]."""
        return rider_costs.least_s(self.riders)

    @cached_property
    def _trunk_fixed(self) -> Array:
        return np.asarray(np.r_[self.problem.trunk_fixed_s, 0.0])

    @cached_property
    def shut(self) -> Mask:
        """Patterns whose trunk cannot keep its limit on airtime, or a rider its demand, (N,)."""
        n, p = self.patterns, self.problem
        if self.shared.open[: p.trunks][p.open_trunks].all() and self.own.open[p.open_options].all():
            return np.zeros(len(n.party), bool)  # nothing but what patterns leave out already
        gone = (n.trunk >= 0) & ~self.shared.open[np.maximum(n.trunk, 0), 0]
        return np.asarray(gone | (n.rides & ~self.own.open[n.who, np.maximum(n.option, 0)]).any(axis=1))

    @cached_property
    def roots(self) -> tuple[Array, Array]:
        """C (N,) and P (3, N) of the closed form, added up from tables of riding options; as `closed_form` has them."""
        p, n = self.problem, self.patterns
        w, riding = p.weights[:, None], p.rides > 0
        alone = np.zeros((6, p.users, p.options + 1))  # what does not ride stands last, and adds nothing
        alone[:3, :, :-1] = np.sqrt(w * self.own.a)
        alone[3, :, :-1] = w * p.fixed_s
        alone[4, :, :-1] = np.where(riding, w, 0.0)
        alone[5, :, :-1] = np.where(p.rides == 2, w, 0.0)
        flat, total = alone.reshape(6, -1), np.zeros((6, len(n.party)))
        for j in range(n.option.shape[1]):
            place = n.who[:, j] * (p.options + 1) + n.option[:, j] + (p.options + 1) * (n.option[:, j] < 0)
            total += flat[:, place]
        own, constant, waits, casts = total[:3], total[3], total[4], total[5]
        q = np.maximum(n.trunk, 0)
        trunk = np.where(n.trunk >= 0, self.shared.a[:, q, 0], 0.0)
        ahead = np.sqrt(trunk * np.stack([casts, waits, waits]))
        roots = own + ahead
        if self.phased:
            roots[EDGE] = np.hypot(own[EDGE], ahead[EDGE])
        return constant + waits * np.where(n.trunk >= 0, self._trunk_fixed[q], 0.0), roots

    def closed_form(self, riders: Riders) -> tuple[Array, Array]:
        """C (S,) and P (3, S) of riders."""
        w = np.where(riders.rides, riders.weight, 0.0)
        own = np.sqrt(riders.a * w).sum(axis=2)
        flow = np.stack([np.where(riders.both, w, 0.0).sum(axis=1), w.sum(axis=1), w.sum(axis=1)])
        ahead = np.sqrt(flow * riders.trunk_a)
        roots = own + ahead
        if self.phased:
            roots[EDGE] = np.hypot(own[EDGE], ahead[EDGE])
        return (w * riders.fixed).sum(axis=1), roots

    @cached_property
    def alone_roots(self) -> tuple[Array, Array]:
        """w fixed and sqrt(w a), (K, O) and (3, K, O); closed options cost infinitely much."""
        w = self.problem.weights[:, None]
        return np.where(self.own.open, w * self.problem.fixed_s, np.inf), np.sqrt(w * self.own.a)

    def alone_closed(self, prices: Array) -> Table:
        """What `priced` says of who does not ride, where riders' costs are closed too."""
        constant, roots = self.alone_roots
        price = prices[:, None, None]
        root = np.sqrt(price)
        inside = roots <= root
        cost = constant + np.where(inside, 2.0 * root * roots, price + roots * roots).sum(axis=0)
        x = np.where(inside, roots / np.where(root > 0, root, 1.0), 1.0) * (roots > 0)
        return Table(cost=cost, x=x, mu=constant, doubt=constant)

    def at(self, prices: Array, level_s: float | None) -> Costs:
        """Costs at prices."""
        key = (prices.tobytes(), level_s)
        if key in self._at:
            self._at.move_to_end(key)
        else:
            self._at[key] = Costs.of(self, prices, level_s)
            if len(self._at) > _KEPT:
                self._at.popitem(last=False)
        return self._at[key]

    def allowed(self, mask: Mask) -> Mask:
        """Patterns within a mask, (N,)."""
        return self._within(mask)[0]

    def pools(self, mask: Mask) -> Mask:
        """What a mask leaves of the pools, (M, O)."""
        return self._within(mask)[1]

    def _within(self, mask: Mask) -> tuple[Mask, Mask]:
        key = mask.tobytes()
        if key not in self._left:
            if len(self._left) >= _MASKS:
                self._left.clear()
            self._left[key] = self.patterns.allowed(mask) & ~self.shut, self.patterns.pools(mask)
        return self._left[key]

    @cached_property
    def groups(self) -> int:
        """Groups whose trunks are rows of the tree; none where groups are formed."""
        return self.problem.groups if self.problem.group is not None else 0


@dataclass
class Costs:
    """Costs of everything at one price vector, made as exact as is asked for.

    Parameters
    ----------
    model : PrefixCosts
    prices : array, (3,)
    level_s : float or None
    alone : Table
        Of options of who does not ride, (K, O).
    riding : array, (N,)
        Lower bounds of what riders and trunk cost; empty until they are asked for where they are closed.
    exact : array of bool, (N,)
        Where they are the costs themselves.
    """

    model: PrefixCosts
    prices: Array
    level_s: float | None
    alone: Table
    riding: Array
    exact: Mask

    @classmethod
    def of(cls, model: PrefixCosts, prices: Array, level_s: float | None) -> Costs:
        """Lower bounds, from the multipliers of other prices."""
        if model.closed:
            everything = np.ones(len(model.patterns.party), bool)
            return cls(model, prices, None, model.alone_closed(prices), np.zeros(0), everything)
        alone = priced(model.alone, model.own, prices, level_s)
        riders = model.riders
        if model.mu is None or model.part is None:
            if level_s is None:
                model.mu, model.part = np.where(riders.rides, riders.weight, 0.0), _even(riders)
            else:
                model.mu, model.part = rider_costs.guess(riders, prices, level_s)
        lowest = model.ways.worths(riders, prices, level_s, model.mu, model.part, model.phased)
        exact: Mask = np.array(~riders.rides.any(axis=1))
        if level_s is not None:
            gone = rider_costs.out_of_reach(rider_costs.late(riders, level_s), model.least_s)
            lowest = np.where(gone, np.inf, np.maximum(lowest, 0.0))
        elif not model.phased:
            exact[:] = True
        return cls(model, prices, level_s, alone, lowest, exact | ~np.isfinite(lowest))

    def refine(self, rows: Index) -> None:
        """Make the costs of some patterns exact."""
        model = self.model
        rows = rows[~self.exact[rows]]
        if not rows.size:
            return
        assert model.mu is not None
        assert model.part is not None
        found = model.ways.most(
            model.riders.take(rows), self.prices, self.level_s, model.mu[rows], model.part[rows], model.phased
        )
        model.mu[rows], model.part[rows], self.riding[rows] = found
        self.exact[rows] = True

    def pools(self, mask: Mask) -> Array:
        """Least cost of each pool within a mask, (M,)."""
        patterns = self.model.patterns
        cost = np.where(self.model.pools(mask), self.alone.cost[patterns.pool_user], np.inf)
        return np.asarray(cost.min(axis=1))

    def totals(self, mask: Mask) -> Array:
        """Lower bounds of the patterns' costs, members who do not ride with them, (N,); infinite outside a mask."""
        if not self.riding.size:
            constant, roots = self.model.roots
            self.riding = constant + closed_cost(roots, self.prices)
        pools = np.r_[self.pools(mask), 0.0]
        total = self.riding + pools.take(self.model.patterns.columns).sum(axis=0)
        return np.where(self.model.allowed(mask), total, np.inf)

    def cheapest(self, mask: Mask) -> tuple[Array, Index]:
        """Each party's least cost and the pattern that has it, (P,)."""
        model = self.model
        if model.closed:
            found = model.ways.cheapest(model, self.prices, mask)
            if found is not None:
                return found.least, found.best
        total, best = self.least(mask)
        return total[best], best

    def least(self, mask: Mask) -> tuple[Array, Index]:
        """The totals, and each party's cheapest pattern, (P,), whose cost is exact."""
        patterns = self.model.patterns
        total, few = self.totals(mask), _AT_ONCE
        while True:
            best = patterns.least(total)
            if not self.sharpen(total, best, few):
                return total, best
            few *= 2

    def sharpen(self, total: Array, best: Index, few: int) -> bool:
        """Make the costs of some of the cheapest patterns of parties exact whose cheapest, of `best`, is not yet; True
        where there is such a party. The totals follow."""
        loose = ~self.exact[best] & np.isfinite(total[best])
        if not loose.any():
            return False
        rows = self._nearest(total, self.model.patterns.party[best[loose]], few)
        before = self.riding[rows]
        self.refine(rows)
        total[rows] += self.riding[rows] - before
        return True

    def _nearest(self, total: Array, parties: Index, most: int) -> Index:
        """The cheapest patterns of some parties that are not exact yet, at most so many of each."""
        patterns = self.model.patterns
        found = []
        for p in parties.tolist():
            begin, end = patterns.starts[p], patterns.starts[p] + patterns.counts[p]
            here = np.where(self.exact[begin:end], np.inf, total[begin:end])
            few = min(most, end - begin)
            rows = np.argpartition(here, few - 1)[:few]
            found.append(begin + rows[np.isfinite(here[rows])])
        return np.concatenate(found)

    def worth(self, rows: Index) -> Worth:
        """Shares of patterns at the multipliers that were found."""
        model = self.model
        assert model.mu is not None
        assert model.part is not None
        return rider_costs.worth(
            model.riders.take(rows), self.prices, self.level_s, model.mu[rows], model.part[rows], model.phased
        )

    def usage(self, rows: Index) -> Array:
        """Budgets that riders and trunk of each of some patterns use at these prices, (3, S)."""
        model = self.model
        if model.closed:
            roots = model.roots[1][:, rows]
            with np.errstate(divide="ignore", invalid="ignore"):
                used = np.where(roots > 0, roots / np.sqrt(self.prices)[:, None], 0.0)
            return np.asarray(np.minimum(used, 1.0))
        found = self.worth(rows)
        assert model.part is not None
        used = found.x.sum(axis=2) + found.trunk_x
        if model.phased:
            part = model.part[rows]
            used[EDGE] = part * found.trunk_x[EDGE] + (1.0 - part) * found.x[EDGE].sum(axis=1)
        return np.asarray(used)

    def choices(self, rows: Index, mask: Mask) -> Index:
        """What the rows of the tree take in patterns, one of each party, (R,)."""
        patterns, problem = self.model.patterns, self.model.problem
        choice = np.zeros(patterns.rows, np.int64)
        cost = np.where(self.model.pools(mask), self.alone.cost[patterns.pool_user], np.inf)
        picks = np.r_[cost.argmin(axis=1), 0]
        option = np.where(patterns.rides[rows], patterns.option[rows], picks[patterns.pool[rows]])
        member = patterns.member[patterns.party[rows]]
        choice[member[member >= 0]] = option[member >= 0]
        of_group = patterns.party[rows] < problem.groups
        choice[problem.users + patterns.party[rows[of_group]]] = patterns.turn[rows[of_group]]
        return choice


def closed_cost(roots: Array, prices: Array) -> Array:
    """Sum over budgets of 2 sqrt(l) P, or l + P^2 where P is larger than sqrt(l), (S,), of P (3, S)."""
    price = prices[:, None]
    root = np.sqrt(price)
    return np.asarray(np.where(roots <= root, 2.0 * root * roots, price + roots * roots).sum(axis=0))


def rises(model: PrefixCosts, mask: Mask, total: Array, alone: Array) -> Array:
    """Least total of the party, if a row takes a choice, (R, C), of totals of the patterns (N,)."""
    patterns, options = model.patterns, model.problem.options
    table = np.full(mask.shape, np.inf)
    pattern, row, choice = patterns.uses
    np.minimum.at(table, (row, choice), total[pattern])
    pools = model.pools(mask)
    cost = np.where(pools, alone[patterns.pool_user], np.inf)
    least = cost.min(axis=1)
    whole = np.full(len(pools) + 1, np.inf)
    np.minimum.at(whole, patterns.pool, total[:, None])
    with np.errstate(invalid="ignore"):
        beside = np.where(np.isfinite(least), whole[:-1] - least, np.inf)
    np.minimum.at(table[:, :options], patterns.pool_user, np.where(pools, beside[:, None] + cost, np.inf))
    return np.where(mask, table, np.inf)


def _even(riders: Riders) -> Array:
    """s = W h / (W h + Y^2), the best without limits."""
    w = np.where(riders.rides, riders.weight, 0.0)
    trunk, own = w.sum(axis=1) * riders.trunk_a[EDGE], np.sqrt(w * riders.a[EDGE]).sum(axis=1) ** 2
    total = trunk + own
    return np.asarray(np.where(total > 0, trunk / np.where(total > 0, total, 1.0), 1.0))


def _members(problem: SharedPrefixProblem) -> AllocationProblem:
    """The members' own stages as a core problem."""
    laws = {name: getattr(problem, name) for name in _LAWS}
    return AllocationProblem(
        fixed_s=problem.fixed_s, downlink_bit=problem.downlink_bit, uplink_bit=problem.uplink_bit,
        edge_work_s=problem.edge_work_s, downlink_hz=problem.downlink_hz, uplink_hz=problem.uplink_hz,
        edge_capacity=problem.edge_capacity, allowed=problem.allowed, weight=problem.weight,
        edge_share_max=problem.edge_share_max, objective=problem.objective, **laws,
    )  # fmt: skip


_LAWS = ("downlink_efficiency", "uplink_efficiency", "downlink_snr_hz", "uplink_snr_hz")


def _trunks(problem: SharedPrefixProblem) -> AllocationProblem:
    """The trunks as a core problem with one option each, the last one nobody's; the downlink is the multicast."""

    def column(values: Array) -> Array:
        return np.append(values, 0.0)[:, None]

    def law(values: Array | None) -> Array | None:
        return None if values is None else np.r_[values, 1.0]

    airtime = problem.trunk_uplink_airtime_max_s
    return AllocationProblem(
        fixed_s=column(problem.trunk_fixed_s), downlink_bit=column(problem.multicast_bit * problem.open_multicasts),
        uplink_bit=column(problem.trunk_uplink_bit), edge_work_s=column(problem.trunk_edge_work_s),
        downlink_hz=problem.downlink_hz, uplink_hz=problem.uplink_hz, edge_capacity=problem.edge_capacity,
        edge_share_max=None if problem.trunk_edge_share_max is None else np.r_[problem.trunk_edge_share_max, np.inf],
        uplink_airtime_max_s=None if airtime is None else np.r_[airtime, np.inf][:, None],
        downlink_efficiency=law(problem.multicast_efficiency), uplink_efficiency=law(problem.trunk_uplink_efficiency),
        downlink_snr_hz=law(problem.multicast_snr_hz), uplink_snr_hz=law(problem.trunk_uplink_snr_hz),
    )  # fmt: skip
