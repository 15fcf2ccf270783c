"""The pricing of a `ProgramProblem`: rows are the users, choices their options."""

from __future__ import annotations

import numpy as np

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.program import FloatValuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.program_costs import ProgramCosts
from megdt_opt.pricing.program_paths import Array
from megdt_opt.shares.program import program_shares
from megdt_opt.solving.engines.engine import Choice, Peak, Priced, Settled
from megdt_opt.solving.engines.parties import PartiesEngine
from megdt_opt.tolerances import LEVEL_EXCESS

_SCALES = (1e-6, 1e-3, 1e-1, 1.0)
"""Prices of the first choices, in parts of the largest latency [1]."""


class ProgramEngine(PartiesEngine):
    """The engine of parties, which looks no further where the prices that it begins with prove what is asked."""

    def peak(self, mask: Mask, ceiling_s: float, box: float, gap: float, start: Array) -> Peak:
        """As `Engine` has it."""
        prices: Array = start if start.any() else np.where(self.used, float(self.budgets), 0.0)
        level = ceiling_s * (1.0 - gap) if self.leveled else None
        value = self.price(mask, prices, level).total - float(prices.sum())
        if value > (LEVEL_EXCESS if self.leveled else ceiling_s * (1.0 - gap)):
            return Peak(prices, value, 1, np.zeros((0, len(mask)), np.int64), np.zeros(0))
        return super().peak(mask, ceiling_s, box, gap, start)


class ProgramPricing:
    """As `Pricing` has it.

    Parameters
    ----------
    costs : ProgramCosts
    """

    def __init__(self, costs: ProgramCosts) -> None:
        self.costs, self.problem = costs, costs.problem
        self.leveled = self.problem.objective == "max"
        self.used, self.open = costs.used, costs.open
        self.rows = np.arange(self.problem.users)

    def price(self, mask: Mask, prices: Array, level_s: float | None) -> Priced:
        """As `Pricing` has it."""
        table = self.costs.at(prices, level_s)
        cost = np.where(mask, table.cost, np.inf)
        choice = cost.argmin(axis=1)
        total = float(cost[self.rows, choice].sum())
        if total == np.inf:
            return Priced(np.inf, np.zeros(3), choice)
        return Priced(total, table.x[:, self.rows, choice].sum(axis=1), choice)

    def rises(self, mask: Mask, prices: Array, level_s: float | None) -> tuple[float, Array]:
        """As `Pricing` has it."""
        cost = np.where(mask, self.costs.at(prices, level_s).cost, np.inf)
        least = cost.min(axis=1)
        if not np.isfinite(least).all():
            return np.inf, np.full(mask.shape, np.inf)
        return float(least.sum()), cost - least[:, None]

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Pricing` has it."""
        level, value = goal
        own = self.costs.at(prices, own_level_s).cost[self.rows, choice]
        room = value + float(prices.sum()) - float(own.sum())
        with np.errstate(invalid="ignore"):
            rise = np.where(self.open, self.costs.at(prices, level).cost, np.inf) - own[:, None]
        rise[self.rows, choice] = np.inf
        user, option = np.nonzero(rise < room)
        found = []
        for n in np.argsort(rise[user, option], kind="stable")[:most]:
            trial = choice.copy()
            trial[user[n]] = option[n]
            found.append(trial)
        return found

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Pricing` has it."""
        if self._worse(choice, ceiling_s, prices):
            return Settled(np.inf, prices, np.zeros((3 + self.problem.tasks, len(self.rows))), choice)
        found = program_shares(self.costs, choice)
        return Settled(found.objective, found.prices, np.concatenate([found.x, found.part.T]), choice)

    def _worse(self, choice: Choice, ceiling_s: float, prices: Array) -> bool:
        """Whether prices prove that a choice is not better than a ceiling."""
        total = float(prices.sum())
        if not (0 < total < np.inf and ceiling_s < np.inf):
            return False
        cost = self.costs.at(prices, ceiling_s if self.leveled else None).cost[self.rows, choice].sum()
        over = float(cost) - total
        return over > 1e-9 * total if self.leveled else over >= ceiling_s

    def first_sets(self) -> list[Choice]:
        """As `Pricing` has it: what costs least at even prices of several sizes."""
        worst = max([float((self.costs.device_s * self.problem.weights[:, None]).max()), *self._alone])
        if not self.used.any() or worst <= 0:
            return [self.price(self.open, np.zeros(3), None).choice]
        found: list[Choice] = []
        for scale in _SCALES:
            choice = self.price(self.open, np.where(self.used, scale * worst * len(self.rows), 0.0), None).choice
            if not any((choice == one).all() for one in found):
                found.append(choice)
        return found

    @property
    def _alone(self) -> list[float]:
        """About the weighted latency of each option with whole budgets [s]."""
        weight = self.problem.weights
        return [float(weight[path.user]) * (path.longest_s + float(path.a.sum())) for path in self.costs.paths]

    def terms(self, row: int) -> Array:
        """As `Pricing` has it: the longest fixed path, and what is asked of each resource."""
        found = np.zeros((4, self.open.shape[1]))
        found[0] = self.costs.device_s[row]
        for path in self.costs.paths:
            if path.user == row:
                found[0, path.option] = path.longest_s
        found[1:] = self.costs.scaled.a[:, row].sum(axis=2)
        return found

    def valuer(self) -> Valuer:
        """As `Pricing` has it."""
        return FloatValuer(self.costs)
