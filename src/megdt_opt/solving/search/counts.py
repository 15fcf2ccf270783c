"""Limits on how many users of one kind take some of the options, on the way to a node of the tree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megdt_opt.certificate.tree import Mask, Row
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice


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

    def of_leaf(self, multipliers: Array) -> tuple[float, ...]:
        """Multipliers of all limits, 0 where one has been replaced."""
        every = [0.0] * len(self.rows)
        for a, m in zip(self.alive, multipliers.tolist(), strict=True):
            every[a] = m
        return tuple(every)


def none(mask: Mask) -> Limits:
    """No limits."""
    return Limits((), (), np.zeros((0, *mask.shape)))
