"""The cheapest fractional partition of users into sets, by the primal simplex method.

    min sum_S c_S z_S,  sum over S with k in S of z_S = 1 for each user k,  z >= 0;   dual: max sum_k v_k,  v(S) <= c_S.

The costs of sets change from prices to prices, the rows only when a cut is added: the last basis is always a start.
Sets that must not be taken, users whom no set holds, and cuts that are not kept cost so much that no good partition has
them. Rows are perturbed, for partitions are degenerate; values are those of the rows as they are.

Cuts (Chvatal and Gomory): the disjoint sets of a whole partition hold sum_S floor(|S & T| / p) <= floor(|T| / p) for
any users T and whole number p; for three users and p = 2 they are the subset-row inequalities of Jepsen et al. (2008).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Array

Index = NDArray[np.int64]

_TURNS = 20_000
_FRESH = 40
"""Turns after which the inverse is worked out anew [1]."""

_ZERO = 1e-13
_ACROSS = 1e-9

_VIOLATED = 0.02
"""By how much a cut must be violated to be worth a row [1]."""

MOST_CUTS = 150
_CUTS_AT_ONCE = 12
_CANDIDATES = 4000


@dataclass(frozen=True)
class Cheapest:
    """The optimum.

    Parameters
    ----------
    value : float
    duals : array, (K,)
        v, with v(S) less the cuts' prices at most c_S for all sets, within rounding.
    prices : array, (M,)
        Of the cuts, at least 0.
    sets : array of int, (N,)
        Sets of the basis that are taken at all.
    parts : array, (N,)
        How much of them.
    """

    value: float
    duals: Array
    prices: Array
    sets: Index
    parts: Array


class Partition:
    """The rows, and the last basis.

    Parameters
    ----------
    inside : array of bool, (P, K)
        Which users are in each set.
    """

    def __init__(self, inside: NDArray[np.bool_]) -> None:
        self.inside = inside
        self.sets, self.users = inside.shape
        self.sizes = inside.sum(axis=1)
        self.cuts: list[tuple[tuple[int, ...], int]] = []
        self.columns = np.hstack([inside.T.astype(np.float64), np.eye(self.users)])
        self.right = np.ones(self.users)
        self.basis = self.sets + np.arange(self.users)
        self.dear = np.arange(self.columns.shape[1]) >= self.sets
        """Columns that cost as much as a user's part may be worth."""

    def add(self, users: tuple[int, ...], divisor: int) -> None:
        """One more cut."""
        row = np.zeros(self.columns.shape[1])
        row[: self.sets] = self.inside[:, list(users)].sum(axis=1) // divisor
        right = float(len(users) // divisor)
        parts = np.linalg.solve(self.columns[:, self.basis], self._perturbed())
        violated = float(row[self.basis] @ parts) > right
        last = np.zeros((len(self.right) + 1, 2))
        last[-1] = 1.0, -1.0  # slack, and what it is violated by
        self.columns = np.hstack([np.vstack([self.columns, row]), last])
        self.right = np.r_[self.right, right]
        self.basis = np.r_[self.basis, len(row) + int(violated)]
        self.dear = np.r_[self.dear, False, True]
        self.cuts.append((users, divisor))

    def _perturbed(self) -> Array:
        return self.right + 1e-6 * np.random.default_rng(0).random(len(self.right))

    def cheapest(self, cost: Array, most: float) -> Cheapest:
        """The optimum for costs (P,), of which no user's part is worth more than `most`."""
        costs = np.r_[np.minimum(cost, most * self.sizes), np.where(self.dear, most, 0.0)[self.sets :]]
        basis, right = self.basis, self._perturbed()
        inverse = np.linalg.inv(self.columns[:, basis])
        scale = _ZERO * max(float(np.abs(costs).max()), 1e-300)
        held = inverse @ right
        for turn in range(1, _TURNS):
            duals = costs[basis] @ inverse
            reduced = costs - duals @ self.columns
            enter = int(reduced.argmin())
            if reduced[enter] >= -scale:
                break
            step = inverse @ self.columns[:, enter]
            up = step > _ACROSS
            ratio = np.where(up, np.maximum(held, 0.0) / np.where(up, step, 1.0), np.inf)
            leave = int(ratio.argmin())
            basis[leave] = enter
            if turn % _FRESH == 0:
                inverse = np.linalg.inv(self.columns[:, basis])
                held = inverse @ right
                continue
            held -= ratio[leave] * step
            held[leave] = ratio[leave]
            row = inverse[leave] / step[leave]
            inverse -= np.outer(step, row)
            inverse[leave] = row
        parts = np.linalg.solve(self.columns[:, basis], self.right)
        taken = (parts > _ACROSS) & (basis < self.sets)
        duals = np.linalg.solve(self.columns[:, basis].T, costs[basis])
        prices = np.maximum(-duals[self.users :], 0.0)
        value = float(duals[: self.users].sum() - prices @ self.right[self.users :])
        return Cheapest(value, duals[: self.users], prices, basis[taken], parts[taken])

    def separate(self, sets: Index, parts: Array) -> list[tuple[tuple[int, ...], int]]:
        """Cuts that a fractional partition violates most: of three users, of all, of those whose sets are fractional
        and hang together, and of the unions of two and three such sets that meet."""
        fraction = (parts > 1e-6) & (parts < 1.0 - 1e-6)
        if not fraction.any() or len(self.cuts) >= MOST_CUTS:
            return []
        held = self.inside[sets]
        candidates = {frozenset(range(self.users))}
        for candidate in _unions(held[fraction]):
            candidates.add(candidate)
            if len(candidates) >= _CANDIDATES:
                break
        torn = np.flatnonzero(held[fraction].any(axis=0)).tolist()
        if len(torn) <= 24:
            candidates.update(frozenset(three) for three in combinations(torn, 3))
        else:
            candidates.update(frozenset(three) for three in self._threes(held, parts, torn))
        listed = [sorted(one) for one in candidates]
        table = np.zeros((len(listed), self.users))
        for n, one in enumerate(listed):
            table[n, one] = 1.0
        count, size = table @ held.T, table.sum(axis=1)
        known, found = set(self.cuts), []
        for divisor in range(2, int(self.sizes.max()) + 1):
            over = (count // divisor) @ parts - size // divisor
            found += [(float(over[n]), tuple(listed[n]), divisor) for n in np.flatnonzero(over > _VIOLATED)]
        found.sort(key=lambda cut: (-cut[0], len(cut[1])))
        chosen: list[tuple[tuple[int, ...], int]] = []
        for _, users, divisor in found:
            if (users, divisor) not in known:
                chosen.append((users, divisor))
                if len(chosen) >= _CUTS_AT_ONCE:
                    break
        return chosen

    def _threes(self, held: NDArray[np.bool_], parts: Array, torn: list[int]) -> Iterator[tuple[int, ...]]:
        """Threes of users of whom two or more are in sets of a whole and more."""
        some = held[:, torn].astype(np.float64)
        two = np.einsum("s,si,sj->ij", parts, some, some)
        three = np.einsum("s,si,sj,sk->ijk", parts, some, some, some, optimize=True)
        over = two[:, :, None] + two[:, None, :] + two[None, :, :] - 2.0 * three - 1.0
        i, j, k = np.nonzero(over > _VIOLATED)
        for a, b, c in zip(i.tolist(), j.tolist(), k.tolist(), strict=True):
            if a < b < c:
                yield torn[a], torn[b], torn[c]


def _unions(sets: NDArray[np.bool_]) -> Iterator[frozenset[int]]:
    """Components of sets that meet, then unions of two and of three of them."""
    members = [frozenset(np.flatnonzero(row).tolist()) for row in sets]
    left = set(range(len(members)))
    while left:
        users, fresh = set(members[left.pop()]), True
        while fresh:
            near = {n for n in left if members[n] & users}
            fresh = bool(near)
            left -= near
            for n in near:
                users |= members[n]
        yield frozenset(users)
    meet = [(a, b) for a, b in combinations(range(len(members)), 2) if members[a] & members[b]]
    for a, b in meet:
        yield members[a] | members[b]
    for a, b in meet:
        for c in range(b + 1, len(members)):
            if members[c] & (members[a] | members[b]):
                yield members[a] | members[b] | members[c]
