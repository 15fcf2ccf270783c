"""The pricing of a `SharedPrefixProblem`: rows are the users, which take options, and the groups, which run trunks."""

from __future__ import annotations

import numpy as np

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.shared_prefix import FloatValuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.ride_patterns import Index
from megdt_opt.pricing.rider_costs import Riders, guess
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.shared_prefix import Costs, PrefixCosts, closed_cost, rises
from megdt_opt.shares.shared_prefix import Fixed, closed, interior
from megdt_opt.solving.engines.engine import Choice, Priced, Settled


class PrefixPricing:
    """As `Pricing` has it.

    Parameters
    ----------
    model : PrefixCosts
    deadline : float
        `time.monotonic()` after which shares are no longer improved [s].
    """

    def __init__(self, model: PrefixCosts, deadline: float = np.inf) -> None:
        self.model, self.deadline = model, deadline
        self.problem, self.patterns = model.problem, model.patterns
        self.leveled, self.used, self.open = model.leveled, model.used, model.patterns.open

    def price(self, mask: Mask, prices: Array, level_s: float | None) -> Priced:
        """As `Pricing` has it."""
        quick = self.model.ways.cheapest(self.model, prices, mask) if self.model.closed else None
        if quick is not None:
            value = float(quick.least.sum())
            return Priced(value, quick.slope if np.isfinite(value) else np.zeros(3), quick.choice)
        costs = self.model.at(prices, level_s)
        least, best = costs.cheapest(mask)
        value = float(least.sum())
        choice = costs.choices(best, mask)
        if not np.isfinite(value):
            return Priced(np.inf, np.zeros(3), choice)
        slope = costs.usage(best).sum(axis=1)
        k = np.arange(self.problem.users)
        alone = self.problem.rides[k, choice[: len(k)]] == 0
        slope = slope + costs.alone.x[:, k[alone], choice[: len(k)][alone]].sum(axis=1)
        return Priced(value, slope, choice)

    def rises(self, mask: Mask, prices: Array, level_s: float | None) -> tuple[float, Array]:
        """As `Pricing` has it."""
        costs = self.model.at(prices, level_s)
        total, best = costs.least(mask)
        least = total[best]
        if not np.isfinite(least).all():
            return np.inf, np.full(mask.shape, np.inf)
        return float(least.sum()), rises(self.model, mask, total, costs.alone.cost) - least[self.patterns.row_party][
            :, None
        ]

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Pricing` has it."""
        own = self._cost(choice, prices, own_level_s)
        costs = self.model.at(prices, goal[0])
        total = costs.totals(self.open)
        rise = total - own[self.patterns.party]
        hope = np.flatnonzero(rise < goal[1] + float(prices.sum()) - float(own.sum()))
        hope = hope[np.argsort(rise[hope], kind="stable")][: most + 1]
        _, best = costs.least(self.open)
        trials = []
        for row in hope.tolist():
            rows = best.copy()
            rows[self.patterns.party[row]] = row
            other = costs.choices(rows, self.open)
            trial = choice.copy()
            p = self.patterns.party[row]
            member = self.patterns.member[p]
            places = member[member >= 0]
            if p < self.problem.groups:
                places = np.r_[places, self.problem.users + p]
            trial[places] = other[places]
            if (trial != choice).any():
                trials.append(trial)
        return trials[:most]

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Pricing` has it."""
        choice = self._running(choice)
        none = np.zeros((3, self.patterns.rows))
        fixed = self._fixed(choice)
        if fixed is None:
            return Settled(np.inf, prices, none, choice)
        if self.model.closed:
            found = closed(fixed)
        else:
            if np.isfinite(ceiling_s) and self._worse(choice, ceiling_s, prices):
                return Settled(np.inf, prices, none, choice)
            found = interior(fixed, self.deadline)
        x = none
        p, j = np.nonzero(self.patterns.member >= 0)
        x[:, self.patterns.member[p, j]] = found.own[:, p, j]
        x[:, self.problem.users :] = found.trunk[:, : self.problem.groups]
        return Settled(found.objective, found.prices, x, choice)

    def first_sets(self) -> list[Choice]:
        """As `Pricing` has it: what costs least at even prices of three sizes, with trunks and without."""
        problem = self.problem
        worst = float(problem.fixed_s.max()) + 1.0
        level = None if not self.leveled else 1e3 * worst * float(problem.weights.max())
        made = []
        still = self.open.copy()
        still[problem.users :, 1:] = False
        still[: problem.users, : problem.options] &= problem.rides == 0
        for scale in (1e-6, 1e-2, 1.0):
            costs = self.model.at(np.where(self.used, scale * worst * (1.0 if level is None else 1e-3), 0.0), level)
            for mask in (still, self.open):
                if mask.any(axis=1).all():
                    least, best = self._cheapest(costs, mask)
                    if np.isfinite(least).all():
                        made.append(costs.choices(best, mask))
        return [*made, *self._least_airtime()]

    def _cheapest(self, costs: Costs, mask: Mask) -> tuple[Array, Index]:
        """Each party's cheapest pattern and its cost, or a lower bound of it, (P,)."""
        if self.model.closed:
            return costs.cheapest(mask)
        total = costs.totals(mask)
        best = self.patterns.least(total)
        return total[best], best

    def _least_airtime(self) -> list[Choice]:
        """The choice whose trunks need least of the uplink for their limits on airtime."""
        if self.problem.trunk_uplink_airtime_max_s is None:
            return []
        lo = self.model.shared.lo[1, self.patterns.trunk, 0] * (self.patterns.trunk >= 0)
        lo = np.where(self.model.allowed(self.open), lo, np.inf)
        costs = self.model.at(np.full(3, 1e-3), None if not self.leveled else 1e9)
        return [costs.choices(self.patterns.least(lo), self.open)]

    def terms(self, row: int) -> Array:
        """As `Pricing` has it."""
        p, columns = self.problem, self.open.shape[1]
        table = np.zeros((6, columns))
        if row < p.users:
            table[0, : p.options] = p.weights[row] * p.fixed_s[row]
            table[1:4, : p.options] = self.model.own.a[:, row]
            table[4, : p.options] = p.rides[row]
            return table
        assert p.trunk_group is not None
        for turn, q in enumerate(np.flatnonzero(p.trunk_group == row - p.users)):
            table[0, turn + 1] = p.trunk_fixed_s[q]
            table[1:4, turn + 1] = self.model.shared.a[:, q, 0]
            table[4, turn + 1] = 1.0
            table[5, turn + 1] = p.compatible[:, :, q].sum()
        return table

    def valuer(self) -> Valuer:
        """As `Pricing` has it."""
        return FloatValuer(self.model)

    def _running(self, choice: Choice) -> Choice:
        """The same with no trunk that nobody rides."""
        p = self.problem
        k = np.arange(p.users)
        assert p.group is not None
        ridden = np.zeros(p.groups + 1, bool)
        ridden[p.group[p.rides[k, choice[: p.users]] > 0]] = True
        found = choice.copy()
        found[p.users :] *= ridden[: p.groups]
        return found

    def _stages(self, choice: Choice) -> tuple[Index, Index, Index]:
        """Members (P, n), their options, and trunks (P,)."""
        p, member = self.problem, self.patterns.member
        who = np.maximum(member, 0)
        option = np.where(member >= 0, choice[who], -1)
        trunk = np.full(len(member), -1)
        for g in range(p.groups):
            if choice[p.users + g] > 0:
                trunk[g] = np.flatnonzero(p.trunk_group == g)[choice[p.users + g] - 1]
        return who, option, trunk

    def _fixed(self, choice: Choice) -> Fixed | None:
        """What was chosen, as a convex program has it; None where it does not go together."""
        return fixed_of(self.model, *self._stages(choice))

    def _cost(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """Priced cost of what each party has chosen, (P,)."""
        return cost_of(self.model, *self._stages(self._running(choice)), prices, level_s)

    def _worse(self, choice: Choice, ceiling_s: float, prices: Array) -> bool:
        """Whether prices prove that a choice is not better than a ceiling."""
        total = float(prices.sum())
        if not total > 0:
            return False
        if not self.leveled:
            return float(self._cost(choice, prices, None).sum()) - total >= ceiling_s
        return float(self._cost(choice, prices / total, ceiling_s).sum()) > 1.0 + 1e-9


def fixed_of(model: PrefixCosts, who: Index, option: Index, trunk: Index) -> Fixed | None:
    """What parties have chosen, as a convex program has it: members (P, n), their options, -1 where there is none, and
    trunks (P,); None where it does not go together."""
    p = model.problem
    member, o = option >= 0, np.maximum(option, 0)
    rides = np.where(member, p.rides[who, o], 0)
    q, some = np.maximum(trunk, 0), trunk >= 0
    fits = model.own.open[who, o] & np.where(
        some[:, None], p.compatible[who, o, q[:, None]] if p.trunks else False, rides == 0
    )
    sent = ~(rides == 2).any(axis=1) | (p.open_multicasts[q] if p.trunks else True)
    if not (fits | ~member).all() or not (~some | (model.shared.open[q, 0] & sent)).all():
        return None
    riding = model.riders_of(who, np.where(rides > 0, option, -1), trunk)
    everyone = Riders(
        a=np.where(member, model.own.a[:, who, o], 0.0), gamma=riding.gamma, hi=riding.hi, trunk_a=riding.trunk_a,
        trunk_gamma=riding.trunk_gamma, trunk_lo=riding.trunk_lo, trunk_hi=riding.trunk_hi, weight=riding.weight,
        fixed=np.where(rides > 0, riding.fixed, np.where(member, p.fixed_s[who, o], 0.0)), rides=riding.rides,
        both=riding.both,
    )  # fmt: skip
    return Fixed(everyone, member, model.phased, model.leveled)


def cost_of(model: PrefixCosts, who: Index, option: Index, trunk: Index, prices: Array, level_s: float | None) -> Array:
    """Priced cost of what each party has chosen, (P,); the choices as `fixed_of` has them, no trunk without riders."""
    p = model.problem
    member, o = option >= 0, np.maximum(option, 0)
    riding = member & (p.rides[who, o] > 0)
    riders = model.riders_of(who, np.where(riding, option, -1), trunk)
    alone = model.at(prices, level_s).alone.cost[who, o]
    cost: Array = np.where(member & ~riding, alone, 0.0).sum(axis=1)
    some = np.flatnonzero(riding.any(axis=1))
    if model.closed:
        constant, roots = model.closed_form(riders)
        return np.asarray(cost + constant + closed_cost(roots, prices))
    if some.size:
        part = riders.take(some)
        if level_s is None:
            mu, split = np.where(part.rides, part.weight, 0.0), np.full(len(some), 0.5)
        else:
            mu, split = guess(part, prices, level_s)
        cost[some] += model.ways.most(part, prices, level_s, mu, split, model.phased)[2]
    return cost
