"""The pricing of limited costs alone: which options load the most loaded of several limits the least.

It answers whether limits can be kept together, and with which options, whatever the latency.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.check import Valuer, rounded_down, total_of
from megdt_opt.certificate.tree import Leaf, Mask, Part
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Priced, Settled


class LoadPricing:
    """As `Pricing` has it, and a `Proof` in floats of its own.

    Parameters
    ----------
    loads : array, (K, O, N)
        What options take of each limit [1].
    is_open : array of bool, (K, O)
    """

    leveled = True
    objective = "max"
    cost_prices = 0

    def __init__(self, loads: Array, is_open: Mask) -> None:
        self.loads, self.open = loads, is_open
        self.used: NDArray[np.bool_] = np.asarray(loads.any(axis=(0, 1)))
        self.budgets, self.size = loads.shape[2], is_open.size
        self._rows = np.arange(len(loads))

    def _table(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        assert level_s is not None
        return np.where(mask, self.loads @ prices / level_s, np.inf)

    def price(self, mask: Mask, prices: Array, level_s: float | None) -> Priced:
        """As `Pricing` has it."""
        table = self._table(mask, prices, level_s)
        choice = table.argmin(axis=1)
        slope = self.loads[self._rows, choice].sum(axis=0) / (level_s or 1.0)
        return Priced(float(table[self._rows, choice].sum()), slope, choice)

    def rises(self, mask: Mask, prices: Array, level_s: float | None) -> tuple[float, Array]:
        """As `Pricing` has it."""
        table = self._table(mask, prices, level_s)
        least = table.min(axis=1)
        return float(least.sum()), table - least[:, None]

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Engine` has it."""
        table = self._table(self.open, prices, goal[0])
        rise = table - table[self._rows, choice][:, None]
        rise[self._rows, choice] = np.inf
        found = []
        for place in np.argsort(rise, axis=None, kind="stable")[:most].tolist():
            k, o = divmod(place, rise.shape[1])
            if np.isfinite(rise[k, o]):
                found.append(np.where(self._rows == k, o, choice))
        return found

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Pricing` has it: there are no shares."""
        total = self.loads[self._rows, choice].sum(axis=0)
        own = np.zeros(self.budgets)
        own[int(total.argmax())] = 1.0
        return Settled(float(total.max()), own, np.zeros((3, len(choice))), choice)

    def first_sets(self) -> list[Choice]:
        """As `Pricing` has it: the least of each load, and of all together."""
        tables = [self.loads.sum(axis=2), self.loads.max(axis=2), *self.loads.transpose(2, 0, 1)]
        return [np.where(self.open, table, np.inf).argmin(axis=1) for table in tables]

    def terms(self, row: int) -> Array:
        """As `Pricing` has it."""
        return np.asarray(self.loads[row].T)

    def valuer(self, exact: bool = False) -> Valuer:
        """As `Pricing` and `Proof` have it."""
        return self

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        return total_of(part, self._table(self.open, np.array(part.leaf.prices), level_s), self.budgets)

    def to_partition(self, exact: bool) -> Mask:
        """As `Proof` has it."""
        return self.open

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        return ""

    def whole(self, value: Fraction | float) -> float:
        """As `Proof` has it."""
        return rounded_down(value)
