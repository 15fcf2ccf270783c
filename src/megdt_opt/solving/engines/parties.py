"""The engine of parties: classes of problems whose parties, each of one or more rows, fall apart at prices.

A class gives a `Pricing`: what is decided, what it costs at prices, and what fixed choices are worth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.base import Summed
from megdt_opt.solving.engines.by_planes import ByPlanes
from megdt_opt.solving.engines.engine import Choice, Priced, Settled


class Pricing(Protocol):
    """What a class of problems says of itself.

    Attributes
    ----------
    leveled : bool
        Whether the objective is "max": costs are then those of keeping a level, and scale with the prices.
    used : array of bool, (B,)
        Budgets that some choice demands, of all that are priced.
    open : array of bool, (R, C)
        What each row of the tree may take: rows are what is branched on, such as users and the trunks of groups.
    """

    leveled: bool
    used: NDArray[np.bool_]
    open: Mask

    def price(self, mask: Mask, prices: Array, level_s: float | None) -> Priced:
        """The exact least cost of all parties within a mask (R, C), its slope (B,), and the choices (R,) that cost it.

        Infinite where a party has no choices that fit each other, or none that keeps the level.
        """
        ...

    def rises(self, mask: Mask, prices: Array, level_s: float | None) -> tuple[float, Array]:
        """The same total, and by how much it rises if a row takes a choice, (R, C); infinite outside the mask."""
        ...

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Engine` has it."""
        ...

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """The best shares of given choices, with prices that prove them; they matter below `ceiling_s` only."""
        ...

    def first_sets(self) -> list[Choice]:
        """Simple choices to begin with, each (R,)."""
        ...

    def terms(self, row: int) -> Array:
        """What the choices of a row differ in, (F, C); finite."""
        ...

    def valuer(self) -> Valuer:
        """What recomputes the bound of a finished tree in floats, with a margin."""
        ...


class PartiesEngine(ByPlanes, Summed):
    """As `Engine` has it; no choice dominates another, and rows are not counted.

    Parameters
    ----------
    pricing : Pricing
    deadline : float
        `time.monotonic()` after which no more prices are looked for [s].
    """

    countable = False

    def __init__(self, pricing: Pricing, deadline: float = np.inf) -> None:
        self.pricing, self.deadline = pricing, deadline
        self.leveled, self.used = pricing.leveled, pricing.used
        self.budgets = len(pricing.used)
        self.heads: Mask = pricing.open
        self.head: Choice = np.where(pricing.open, np.arange(pricing.open.shape[1]), -1)

    def terms(self, party: int) -> Array:
        """As `Engine` has it."""
        return self.pricing.terms(party)

    def summary(self) -> Array:
        """As `Engine` has it: nothing is counted."""
        return np.zeros((len(self.heads), 0))

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """As `Engine` has it."""
        assert extra is None, "rows that meet are not counted"
        return self.pricing.price(mask, prices, level_s)

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """By how much the total rises with a choice, (R, C): choices of rows that meet have no cost of their own."""
        return self.pricing.rises(mask, prices, level_s)[1]

    def rises(
        self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None
    ) -> tuple[float, Array]:
        """As `Engine` has it."""
        assert extra is None, "rows that meet are not counted"
        return self.pricing.rises(mask, prices, level_s)

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Engine` has it."""
        return self.pricing.switches(choice, prices, own_level_s, goal, most)

    def shares(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it; asked for where rows are counted only."""
        raise NotImplementedError

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it."""
        return self.pricing.settle(choice, ceiling_s, prices)

    def settle_all(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> Iterator[Settled]:
        """As `Engine` has it."""
        return (self.pricing.settle(choice, ceiling_s, prices) for choice in choices)

    def first_sets(self) -> Choice:
        """As `Engine` has it."""
        return np.array(self.pricing.first_sets(), dtype=np.int64).reshape(-1, len(self.heads))

    def valuer(self) -> Valuer:
        """As `Engine` has it."""
        return self.pricing.valuer()
