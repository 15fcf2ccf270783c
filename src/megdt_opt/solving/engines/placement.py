"""Users, servers and the models that servers hold, as the search sees them."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property

import numpy as np

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.placement import FloatValuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.held_models import HeldModels
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.pricing.scaled import Array
from megdt_opt.shares.placement import server_shares
from megdt_opt.solving.engines.balancing import balanced
from megdt_opt.solving.engines.engine import Choice, Peak, Priced, Settled
from megdt_opt.solving.engines.parties import PartiesEngine
from megdt_opt.solving.engines.switching import descended
from megdt_opt.solving.search.smoothing import Parties, Smoothed, smoothed
from megdt_opt.solving.search.wavering import mixed

_ROUNDS = 6
_FLOOR = 1e-6
"""Least price to begin with, as a part of the largest: those above 0 alone can be moved [1]."""

_WARM, _COOL, _COLD = 0.1, 0.02, 0.004
"""First temperatures, as parts of a user's part of the objective: of all, from known prices, and from the best [1]."""

_PLACEMENTS, _PLACEMENTS_OF_MANY, _MANY = 4, 2, 20_000
"""Placements for which prices are looked for in turn, at most; and with so many options in all [1]."""

_FEW = 2
"""Users for each budget below which cutting planes take less time, where the curvature is not known [1]."""

_SETS = 12
"""Placements under which choices are proposed [1]."""

_LIKELY, _UNLIKELY = 4, 1e-6
"""Options of a user that may share its weight, at most, and a weight that is none [1]."""

_COARSER = 10.0
"""How much less precise prices are than cutting planes would have them [1]."""

_HALVINGS = 20

_CLOSE = 0.01
"""Choices that are worse than the best by more than this are not switched [1]."""

_STEP = 4.0
"""By how much a price may change in one round of first prices, at most [1]."""


class PlacementPricing:
    """As `Pricing` has it.

    Parameters
    ----------
    costs : ServerCosts
    held : HeldModels
    deadline : float
        `time.monotonic()` at which interior methods end with what was reached [s].
    """

    def __init__(self, costs: ServerCosts, held: HeldModels, deadline: float = np.inf) -> None:
        self.costs, self.held, self.deadline = costs, held, deadline
        self.problem = costs.problem
        self.leveled = self.problem.objective == "max"
        self.used, self.open = costs.used, held.open
        self.users = self.problem.users
        self.rows = np.arange(self.users)

    def price(self, mask: Mask, prices: Array, level_s: float | None) -> Priced:
        """As `Pricing` has it."""
        table = self.costs.at(prices, level_s)
        found = self.held.least(table.cost, mask, swift=True)
        if found.total == np.inf:
            return Priced(np.inf, np.zeros(len(self.used)), found.choice)
        return Priced(float(found.total), self._usage(table.x, found.choice[: self.users]), found.choice)

    def _usage(self, x: Array, option: Choice) -> Array:
        """What options (K,) take of each budget, (3 E,)."""
        total = np.zeros(len(self.used))
        away = self.problem.option_server[self.rows, option] >= 0
        k, o = self.rows[away], option[away]
        for i in range(3):
            total += np.bincount(self.costs.budget[i, k, o], weights=x[i, k, o], minlength=len(total))
        return total

    def within(self, mask: Mask, sets: Choice) -> Mask:
        """Options in a mask whose server holds the model in these sets of the servers (E,), (K, O); where there are too
        many placements to choose one, in any of those that the mask leaves."""
        options = mask[: self.users, : self.problem.options]
        if not self.held.placing:
            return options
        return options & self.held.served(self.held.held_in(mask, sets))

    def rises(self, mask: Mask, prices: Array, level_s: float | None) -> tuple[float, Array]:
        """As `Pricing` has it."""
        found = self.held.least(self.costs.at(prices, level_s).cost, mask, rises=True)
        assert found.rises is not None
        return float(found.total), found.rises

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Engine` has it: single users under the same placement, and single servers whose users choose anew."""
        level, value = goal
        own = self.costs.at(prices, own_level_s).cost[self.rows, choice[: self.users]]
        cost = self.costs.at(prices, level).cost
        room = value + float(prices.sum()) - float(own.sum())
        served, placed = cost, self.held.placed(choice)
        if placed is not None:
            served = np.where(self.held.served(placed), cost, np.inf)
        with np.errstate(invalid="ignore"):
            rise = served - own[:, None]
        rise[self.rows, choice[: self.users]] = np.inf
        user, option = np.nonzero(rise < room)
        trials = []
        for k, o in zip(user.tolist(), option.tolist(), strict=True):
            trials.append((float(rise[k, o]), k, o))
        trials.sort()
        found = []
        for _, k, o in trials[:most]:
            trial = choice.copy()
            trial[k] = o
            found.append(trial)
        return found + self._other_sets(choice, cost, float(own.sum()) + room, most)

    def _other_sets(self, choice: Choice, cost: Array, below: float, most: int) -> list[Choice]:
        """Choices with other models at one server, whose least total is below a value."""
        found = []
        for e, sets in enumerate(self.held.sets):
            for c in range(len(sets)):
                if c != choice[self.users + e]:
                    mask = self.open.copy()
                    mask[self.users :] = False
                    mask[np.arange(self.users, len(choice)), choice[self.users :]] = True
                    mask[self.users + e] = np.arange(mask.shape[1]) == c
                    least = self.held.least(cost, mask, swift=True)
                    if least.total < below:
                        found.append((float(least.total), e, c, least.choice))
        return [one for *_, one in sorted(found, key=lambda each: each[:3])[:most]]

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Pricing` has it."""
        placed = self.held.placed(choice)
        if placed is not None and not self.held.served(placed)[self.rows, choice[: self.users]].all():
            # of a relaxation
            level = ceiling_s if self.leveled and ceiling_s < np.inf else None
            fitting = self.held.consistent(self.costs.at(prices, level).cost, self.open)
            if fitting is None:
                return Settled(np.inf, prices, np.zeros((3, self.users)), choice)
            choice = fitting
        found = server_shares(self.costs, choice[: self.users], self.deadline)
        if self.costs.plain and not self.leveled and found.objective < ceiling_s * (1.0 + _CLOSE) < np.inf:
            held = self.held.placed(choice)
            within = self.costs.open if held is None else self.costs.open & self.held.served(held)
            choice = np.r_[descended(self.costs, choice[: self.users], within), choice[self.users :]]
            found = server_shares(self.costs, choice[: self.users], self.deadline)
        return Settled(found.objective, found.prices, found.x, choice)

    def first_sets(self) -> list[Choice]:
        """As `Pricing` has it: cheapest at prices that rise where much is asked for; none where nothing is possible."""
        return self._first

    @cached_property
    def _first(self) -> list[Choice]:
        prices = np.where(self.used, 1e-300, 0.0)
        found: list[Choice] = []
        for n in range(_ROUNDS):
            table = self.costs.at(prices, None)
            least = self.held.least(table.cost, self.open, swift=True)
            if least.total == np.inf:
                break
            found.append(least.choice)
            usage = self._usage(table.x, least.choice[: self.users])
            if n == 0:
                # shares at least that of everybody who comes
                prices = np.where(self.used, self._even(least.choice[: self.users]), 0.0)
            else:
                prices = prices * np.clip(usage**2, 1.0 / _STEP, _STEP)
        return found

    def _even(self, option: Choice) -> Array:
        """Prices at which a typical demand gets an even part of its budget, (3 E,)."""
        shares = self.problem.users / self.problem.servers
        alone = self.costs.at(np.where(self.used, 1e-300, 0.0), None).cost[self.rows, option]
        return np.full(len(self.used), max(float(alone.mean()), 1e-300) * shares**2)

    def terms(self, row: int) -> Array:
        """As `Pricing` has it: what an option asks of each budget, or which models a set has."""
        width = self.open.shape[1]
        if row >= self.users:
            sets = self.held.sets[row - self.users]
            found = np.zeros((sets.shape[1], width))
            found[:, : len(sets)] = sets.T
            return found
        p = self.problem
        found = np.zeros((len(self.used) + 1, width))
        for i, name in enumerate(("downlink_bit", "uplink_bit", "edge_work_s")):
            asked = getattr(p, name)[row]
            found[self.costs.budget[i, row], np.arange(p.options)] = asked
        found[-1, : p.options] = p.fixed_s[row] + p.branch_s[row]
        return found

    def valuer(self) -> Valuer:
        """As `Pricing` has it."""
        return FloatValuer(self.costs, self.held)


class PlacementEngine(PartiesEngine):
    """The engine of parties, whose best prices are found by smoothing.

    Parameters
    ----------
    pricing : PlacementPricing
    deadline : float
        `time.monotonic()` after which no more prices are looked for [s].
    """

    def __init__(self, pricing: PlacementPricing, deadline: float = np.inf) -> None:
        super().__init__(pricing, deadline)
        self.placing = pricing
        self._fresh = True

    def peak(self, mask: Mask, ceiling_s: float, box: float, gap: float, start: Array) -> Peak:
        """As `Engine` has it, with choices under the placements that cost least, or for "max" with even loads."""
        found = super().peak(mask, ceiling_s, box, gap, start)
        pricing = self.placing
        if not len(found.weights):
            return found
        if self.leveled:
            more = self._evened(found, mask, ceiling_s, gap) if pricing.costs.flat else []
        else:
            cost = pricing.costs.at(found.prices, None).cost
            more = pricing.held.cheapest(cost, mask, _SETS if mask.size < _MANY else _PLACEMENTS_OF_MANY)
        choices = np.vstack([found.choices, *more])
        each = np.broadcast_to(found.weights.T, found.choices.T.shape).T  # of all parties together, or of each
        weights = np.vstack([each, np.zeros((len(more), len(mask)))])
        return Peak(found.prices, found.value, found.passes, choices, weights)

    def _evened(self, peak: Peak, mask: Mask, ceiling_s: float, gap: float) -> list[Choice]:
        pricing, rounded = self.placing, mixed(peak)
        within = pricing.within(mask, rounded[pricing.users :])
        option = balanced(
            pricing.costs, rounded[: pricing.users], within, self._proven(mask, peak.prices, ceiling_s), ceiling_s, gap,
            lambda: time.monotonic() <= self.deadline,
        )  # fmt: skip
        return [np.r_[option, rounded[pricing.users :]]]

    def _proven(self, mask: Mask, prices: Array, high: float) -> float:
        """A level that prices prove to be out of reach, nearly the largest [s]."""
        low = 0.0
        for _ in range(_HALVINGS):
            level = 0.5 * (low + high)
            over = self.price(mask, prices, level).total > float(prices.sum())
            low, high = (level, high) if over else (low, level)
        return low

    def _climb(
        self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, start: Array, precision: float
    ) -> Peak:
        few = not self.placing.costs.flat and self.placing.users < _FEW * self.budgets
        if few or (mask.sum(axis=1) <= 1).all():
            return super()._climb(mask, level_s, goal, box, most, start, precision)
        pricing = self.placing
        prices = np.where(self.used, np.maximum(start, _FLOOR * start.max()), 0.0)
        if not prices.any():
            prices = self.used * (1.0 if self.leveled else box / len(self.used))
        if self.leveled and prices.any():
            prices = prices / prices.sum()
        first, best = pricing.price(mask, prices, level_s), prices
        if (start[self.used] < _FLOOR * start.max()).any():
            given = pricing.price(mask, start, level_s)
            if given.total - start.sum() > first.total - prices.sum():
                first, best = given, start
        scale = 1.0 if self.leveled else max(abs(goal) if np.isfinite(goal) else 0.25 * box, 1e-300)
        value, passes = first.total - float(best.sum()), 2
        sets, weight = first.choice[pricing.users :], None
        layers: list[Choice] = []
        most_sets = _PLACEMENTS if mask.size < _MANY else _PLACEMENTS_OF_MANY
        while np.isfinite(value) and value < goal and len(layers) < most_sets:
            layers.append(sets)
            temperature = _WARM if self._fresh else _COLD if len(layers) > 1 else _COOL
            self._fresh = False
            found = self._smoothed(
                pricing.within(mask, sets), level_s, prices, temperature * scale / pricing.users,
                _COARSER * precision * scale, goal,
            )  # fmt: skip
            passes += found.passes
            prices, own = found.prices, pricing.price(mask, found.prices, level_s)
            weight = found.weight if weight is None or own.total - prices.sum() > value else weight
            if own.total - float(prices.sum()) > value:
                best, value = prices, own.total - float(prices.sum())
            sets = own.choice[pricing.users :]
            if any((sets == one).all() for one in layers) or not np.isfinite(own.total):
                break
        if not np.isfinite(value) or weight is None:
            return Peak(best, float(value), passes, np.zeros((0, len(mask)), np.int64), np.zeros(0))
        return Peak(best, float(value), passes, *_torn(weight, layers))

    def _smoothed(
        self, within: Mask, level_s: float | None, prices: Array, temperature: float, precision: float, goal: float
    ) -> Smoothed:
        """The best prices of the users' options within a mask (K, O); who keeps a level for nothing is left out."""
        costs = self.placing.costs
        user = np.arange(len(within))
        if level_s is not None:
            user = np.flatnonzero(np.where(within, costs.at(prices, level_s).cost, np.inf).min(axis=1) > 0)
        some = costs.flat_costs.of(user) if costs.flat else costs

        def table_at(at: Array) -> tuple[Array, Array]:
            table = some.at(at, level_s)
            cost, x = (table.cost, table.x) if costs.flat else (table.cost[user], table.x[:, user])
            return np.where(within[user], cost, np.inf), x

        parties = Parties(table_at, costs.budget[:, user], self.used, self.leveled, costs.flat)
        found = smoothed(parties, prices, temperature, precision, goal, lambda: time.monotonic() <= self.deadline)
        weight = np.zeros(within.shape)
        at_rest = np.where(within, costs.at(found.prices, level_s).cost, np.inf).argmin(axis=1)
        weight[np.arange(len(within)), at_rest] = 1.0
        weight[user] = found.weight
        return replace(found, weight=weight)


def _torn(weight: Array, layers: list[Choice]) -> tuple[Choice, Array]:
    """Whole choices (W, R) and their weights (W, R): the likeliest options of each user, and the sets tried."""
    width = min(_LIKELY, weight.shape[1])
    order = np.argsort(-weight, axis=1, kind="stable")[:, :width]
    part = np.take_along_axis(weight, order, axis=1)
    part /= part.sum(axis=1, keepdims=True)
    option = np.where(part > _UNLIKELY, order, order[:, :1])
    tried = [layers[min(n, len(layers) - 1)] for n in range(width)]
    even = np.full(len(layers[0]), 1.0 / width)
    return (
        np.array([np.r_[option[:, n], tried[n]] for n in range(width)]),
        np.array([np.r_[part[:, n], even] for n in range(width)]),
    )
