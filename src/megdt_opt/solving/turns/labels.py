"""Labels of part schedules: when the server is free and what has been spent, by users served.

What a label spends is a part of the band that keeps a level D ("max"), or weighted seconds at a price of the band
("sum"); either falls where turns end earlier, so that of two labels of the same users the one that is later and dearer
is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.turns import TurnCosts, need

Ints = NDArray[np.int64]

ROOM = 1.0 + 1e-12
"""What a level's shares of the band may sum to [1]."""

_GRID = 256

_MOST_KINDS = 2**62
"""Combinations of downloads that a label's kind can name [1]."""


@dataclass(frozen=True)
class Labels:
    """N labels.

    Parameters
    ----------
    now : array, (N,)
        When the server is free [s].
    spent : array, (N,)
        [1 for "max", s for "sum"]
    kind : array of int, (N,)
        What else tells labels apart: the downloads taken, where they do.
    before : array of int, (N, 2)
        Set and place of the label that it follows.
    taken : array of int, (N, 2)
        Chain, and option of a user (-1 of a prefix).
    """

    now: Array
    spent: Array
    kind: Ints
    before: Ints
    taken: Ints

    @classmethod
    def first(cls) -> Labels:
        """The one before anything."""
        none = np.full((1, 2), -1)
        return cls(np.zeros(1), np.zeros(1), np.zeros(1, np.int64), none, none)

    def __len__(self) -> int:
        return len(self.now)

    def where(self, keep: NDArray[np.bool_] | Ints) -> Labels:
        """Some of them."""
        return Labels(self.now[keep], self.spent[keep], self.kind[keep], self.before[keep], self.taken[keep])

    @classmethod
    def joined(cls, parts: list[Labels]) -> Labels:
        """All of several."""
        names = ("now", "spent", "kind", "before", "taken")
        return cls(*(np.concatenate([getattr(one, name) for one in parts]) for name in names))

    def undominated(self) -> Labels:
        """Without those that another of the same kind is at most as late and as dear as."""
        order = np.lexsort((self.spent, self.now, self.kind))
        kind, spent = self.kind[order], self.spent[order]
        # each kind on a level of its own, far below the one before
        reach = float(spent.max(initial=0.0) - spent.min(initial=0.0)) + 1.0
        rank = np.cumsum(np.r_[0, kind[1:] != kind[:-1]]) if kind.size else np.zeros(0)
        level = spent - 2.0 * reach * rank
        least = np.r_[np.inf, np.minimum.accumulate(level)[:-1]]
        new_kind = np.r_[True, kind[1:] != kind[:-1]] if kind.size else np.zeros(0, dtype=bool)
        return self.where(order[new_kind | (level < least)])


class Spending:
    """What labels spend.

    Parameters
    ----------
    costs : TurnCosts
    level_s : float or None
        The level that is to be kept, for "max" [s].
    price : float
        Of the band, for "sum" [s].
    apart : bool
        Whether labels are told apart by the downloads taken.

    Raises
    ------
    OverflowError
        Where the downloads of all users have too many combinations for that.
    """

    def __init__(self, costs: TurnCosts, level_s: float | None, price: float = 0.0, apart: bool = False) -> None:
        self.costs, self.level_s, self.price = costs, level_s, price
        p = costs.problem
        self.idle_mask = costs.open & ~costs.turn
        if level_s is None:
            cost, _, doubt = costs.sending(price)
            self.table = cost - doubt
        else:
            tau = level_s / p.weights[:, None] - costs.fixed
            self.table = np.where(self.idle_mask, need(tau, costs.a, costs.gamma[:, None])[0], np.inf)
        self.idle = np.where(self.idle_mask, self.table, np.inf)
        self.turns = [np.flatnonzero(row) for row in costs.turn]
        self.idles = [np.flatnonzero(row) for row in np.isfinite(self.idle)]
        if level_s is not None:
            self.idles = [row[[int(self.idle[k, row].argmin())]] if row.size else row
                          for k, row in enumerate(self.idles)]  # fmt: skip
        self.kinds: list[tuple[Array, Ints]] = []
        self.radix: list[int] = []
        kinds = 1
        for k in range(p.users if apart else 0):
            values, which = np.unique(costs.a[k], return_inverse=True)
            self.kinds.append((values, which))
            self.radix.append(kinds)
            kinds *= len(values)
        if kinds > _MOST_KINDS:
            raise OverflowError(f"{kinds} combinations of downloads")

    def demands(self, kind: int) -> Array:
        """Demands of the users on the band, of a kind of label that has served all, (K,) [s]."""
        found = [self.kinds[k][0][kind // self.radix[k] % len(self.kinds[k][0])] for k in range(len(self.radix))]
        return np.array(found)

    def idled(self, labels: Labels, k: int, source: int) -> Labels:
        """The labels after user k went without a turn."""
        return self._extended(labels, k, self.idles[k], source, labels.now[:, None] + 0.0 * self.idles[k], None)

    def served(self, labels: Labels, k: int, source: int, release: Array | None = None) -> Labels:
        """The labels after user k had a turn."""
        o = self.turns[k]
        ready = (self.costs.problem.release_s if release is None else release)[k, o]
        end = np.maximum(labels.now[:, None], ready) + self.costs.problem.edge_work_s[k, o]
        return self._extended(labels, k, o, source, end, end)

    def _extended(self, labels: Labels, k: int, o: Ints, source: int, now: Array, end: Array | None) -> Labels:
        spent = labels.spent[:, None] + (self._turn_cost(k, o, end) if end is not None else self.idle[k, o])
        kind = np.broadcast_to(labels.kind[:, None], spent.shape)
        if self.radix:
            kind = kind + self.radix[k] * self.kinds[k][1][o]
        keep = np.isfinite(spent) if self.level_s is None else spent <= ROOM
        row, column = np.nonzero(keep)
        before = np.stack([np.full(row.size, source), row], axis=1)
        taken = np.stack([np.full(row.size, k), o[column]], axis=1)
        return Labels(now[keep], spent[keep], kind[keep], before, taken)

    def _turn_cost(self, k: int, o: Ints, end: Array) -> Array:
        p = self.costs.problem
        if self.level_s is None:
            return np.asarray(self.table[k, o] + p.weights[k] * end)
        tau = self.level_s / p.weights[k] - p.after_s[k, o]
        return need(tau - end, self.costs.a[k, o], self.costs.gamma[k])[0]

    def prefixed(self, labels: Labels, group: int, source: int) -> Labels:
        """The labels after a group's prefix."""
        p, n = self.costs.problem, len(labels)
        now = labels.now + p.prefix_works[group]
        spent = labels.spent + p.prefix_weights[group] * now
        before = np.stack([np.full(n, source), np.arange(n)], axis=1)
        taken = np.broadcast_to(np.array([p.users + group, -1]), (n, 2))
        return replace(labels, now=now, spent=spent, before=before, taken=taken)

    def least_after(self, horizon_s: float) -> tuple[Array, Array]:
        """Times (N,), and what each user spends at least if its turn starts no earlier, (K, N)."""
        p = self.costs.problem
        times = np.linspace(0.0, horizon_s, _GRID)
        found = np.empty((p.users, _GRID))
        for k in range(p.users):
            o = self.turns[k]
            least = np.full(_GRID, float(self.idle[k].min()))
            if o.size:
                end = np.maximum(times[:, None], self.costs.ready[k, o]) + p.edge_work_s[k, o]
                least = np.minimum(least, self._turn_cost(k, o, end).min(axis=1))
            found[k] = least
        return times, found
