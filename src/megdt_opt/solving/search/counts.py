"""Limits on how many users of one kind take some of the options, on the way to a node of the tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from megdt_opt.certificate.tree import Mask, Row
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.base import Summed
from megdt_opt.solving.engines.engine import Choice, Engine, Peak
from megdt_opt.solving.search import planes

_MORE, _HIGHEST = 4, 4.0
"""Price vectors that multipliers take, relatively, and their largest for "max" [1]."""


@dataclass(frozen=True)
class Limits:
    """The limits from the root to a node; a later one that is tighter stands for an earlier one.

    Parameters
    ----------
    rows : tuple of Row
        All of them.
    alive : tuple of int
        Numbers of those that count.
    table : array, (number alive, K, C)
        1 where a choice counts, with the row's sign.
    """

    rows: tuple[Row, ...]
    alive: tuple[int, ...]
    table: Array

    def __len__(self) -> int:
        return len(self.alive)

    def with_row(self, row: Row) -> Limits:
        """One limit more."""
        kept = [
            i for i, a in enumerate(self.alive)
            if not (
                self.rows[a].sign == row.sign
                and np.array_equal(self.rows[a].users, row.users)
                and np.array_equal(self.rows[a].options, row.options)
            )
        ]  # fmt: skip
        one = np.zeros(self.table.shape[1:])
        one[np.ix_(row.users, row.options)] = row.sign
        alive = (*(self.alive[i] for i in kept), len(self.rows))
        return Limits((*self.rows, row), alive, np.concatenate([self.table[kept], one[None]]))

    def extra(self, multipliers: Array) -> Array:
        """What multipliers of the living limits add to the costs, (K, C)."""
        return np.tensordot(multipliers, self.table, axes=1)

    def offset(self, multipliers: Array) -> float:
        """What they take off the value."""
        return float(
            sum(self.rows[a].sign * self.rows[a].limit * m for a, m in zip(self.alive, multipliers, strict=True))
        )

    def slope(self, choice: Choice) -> Array:
        """Slope of the value in the multipliers, where these choices (K,) cost least."""
        taken = self.table[:, np.arange(len(choice)), choice].sum(axis=1)
        return np.array([t - self.rows[a].sign * self.rows[a].limit for a, t in zip(self.alive, taken, strict=True)])

    def keeps(self, choice: Choice) -> bool:
        """Whether choices (K,) keep the last limit."""
        row = self.rows[-1]
        return bool(row.sign * (int(np.isin(choice[row.users], row.options).sum()) - row.limit) <= 0)

    def with_last(self, cost: Array, others: Array) -> tuple[Array, float]:
        """Multipliers of all limits, of which all but the last are given, and what they are worth at costs (K, C).

        With the best one of the last limit just as many of the users take one of the options as may, or one more would
        not cost less.
        """
        cost = cost + self.extra(np.append(others, 0.0))
        row = self.rows[-1]
        own = cost[row.users]
        counted = np.zeros(own.shape[1], bool)
        counted[row.options] = True
        with np.errstate(invalid="ignore"):  # a user with neither has no allocation whatever the multiplier
            saved = own[:, ~counted].min(axis=1, initial=np.inf) - own[:, counted].min(axis=1, initial=np.inf)
        # those who save the most are the last to be kept from it
        saved = np.sort(np.where(np.isnan(saved), 0.0, saved))[::-1]
        place = row.limit if row.sign > 0 else row.limit - 1
        at = float(saved[place]) if 0 <= place < len(saved) else 0.0
        multipliers = np.append(others, max(row.sign * at, 0.0) if np.isfinite(at) else 0.0)
        total = float((cost + multipliers[-1] * self.table[-1]).min(axis=1).sum())
        return multipliers, total - self.offset(multipliers)

    def of_leaf(self, multipliers: Array) -> tuple[float, ...]:
        """Multipliers of all limits, 0 where one has been replaced."""
        every = [0.0] * len(self.rows)
        for a, m in zip(self.alive, multipliers.tolist(), strict=True):
            every[a] = m
        return tuple(every)


def none(mask: Mask) -> Limits:
    """No limits."""
    return Limits((), (), np.zeros((0, *mask.shape)))


class Limited(Summed):
    """Prices of an engine followed by multipliers of limits, as far as `narrow` needs it.

    Parameters
    ----------
    engine : Engine
    limits : Limits
    leveled : bool
        As `Objective` has it.
    in_time : callable
        Whether to go on.
    """

    def __init__(self, engine: Engine, limits: Limits, leveled: bool, in_time: Callable[[], bool]) -> None:
        self.engine, self.limits, self.leveled, self.in_time = engine, limits, leveled, in_time
        self.head, self.budgets = engine.head, engine.budgets

    def charged(self, prices: Array) -> float:
        """As `Summed` has it."""
        return super().charged(prices) + self.limits.offset(prices[len(prices) - len(self.limits) :])

    def rises(
        self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None
    ) -> tuple[float, Array]:
        """As `Engine` has it."""
        size = len(prices) - len(self.limits)
        return self.engine.rises(mask, prices[:size], level_s, self.limits.extra(prices[size:]))

    def ruled_out(self, mask: Mask, prices: Array, goal: float) -> Iterator[tuple[Array, Mask]]:
        """As `Summed` has it; of no use to the limits."""
        none = np.zeros(len(self.limits))
        for own, late in self.engine.ruled_out(mask, prices[: len(prices) - len(none)], goal):
            yield np.r_[own, none], late

    def climb(self, mask: Mask, level_s: float | None, goal: float, box: float, passes: int, start: Array) -> Peak:
        """As `Engine` has it."""
        limits, size = self.limits, len(start) - len(self.limits)
        one = np.zeros(size)
        one[: self.budgets] = 1.0

        def value_at(prices: Array) -> tuple[float, Array, Choice]:
            found = self.engine.price(mask, prices[:size], level_s, limits.extra(prices[size:]))
            if not np.isfinite(found.total):
                return np.inf, np.zeros(len(prices)), found.choice
            slope = np.r_[found.slope - one, limits.slope(found.choice)]
            return found.total - self.charged(prices), slope, found.choice

        high = np.full(len(start), _HIGHEST if self.leveled else box)
        room = planes.Room(high, self.budgets * self.leveled)
        return planes.climb(value_at, start, goal, room, _MORE * passes, in_time=self.in_time)
