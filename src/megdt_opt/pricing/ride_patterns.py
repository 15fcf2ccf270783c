"""What each group can do, listed: which trunk runs, and which option every rider takes.

A party is a group, or a user in none. At given prices the members who do not ride fall apart, so that a pattern says
no more than the trunk and the riders' options; each of the others takes what costs it least of the options that it may
take beside that trunk, its pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

MOST = 2_000_000
"""Patterns of all groups that are listed at most [1]."""


@dataclass(frozen=True)
class Patterns:
    """All patterns of all parties, party after party; N patterns, P parties, n members of the largest.

    Parameters
    ----------
    problem : SharedPrefixProblem
    member : array of int, (P, n)
        Users of each party; -1 where it has fewer.
    party, trunk, turn : array of int, (N,)
        Whose pattern it is, the trunk that runs or -1, and its choice in the row of the group's trunk: 0 = none.
    option : array of int, (N, n)
        Option of each rider; -1 for the others.
    pool : array of int, (N, n)
        Pool of each member that does not ride; M for riders and where there is no member.
    pool_user : array of int, (M,)
    pool_options : array of bool, (M, O)
    """

    problem: SharedPrefixProblem
    member: Index
    party: Index
    trunk: Index
    turn: Index
    option: Index
    pool: Index
    pool_user: Index
    pool_options: Mask

    @classmethod
    def of(cls, problem: SharedPrefixProblem) -> Patterns:
        """List them; raises InvalidInput where there are too many."""
        assert problem.group is not None
        parties = [np.flatnonzero(problem.group == g) for g in range(problem.groups)]
        parties += [np.array([k]) for k in np.flatnonzero(problem.group < 0)]
        size = max(len(users) for users in parties)
        made = _Listing(problem, size)
        member = np.full((len(parties), size), -1)
        for p, users in enumerate(parties):
            member[p, : len(users)] = users
            made.add(p, users, p if p < problem.groups else -1)
        return cls(problem, member, *made.arrays())

    @cached_property
    def starts(self) -> Index:
        """Number of each party's first pattern, (P,)."""
        return np.asarray(np.searchsorted(self.party, np.arange(len(self.member))), dtype=np.int64)

    @cached_property
    def counts(self) -> Index:
        """Number of patterns of each party, (P,)."""
        return np.asarray(np.diff(np.r_[self.starts, len(self.party)]), dtype=np.int64)

    @cached_property
    def rides(self) -> Mask:
        """Who rides in each pattern, (N, n)."""
        return np.asarray(self.option >= 0)

    @cached_property
    def columns(self) -> Index:
        """Pools, (n, N): sums over members are several times as fast this way."""
        return np.ascontiguousarray(self.pool.T)

    @cached_property
    def who(self) -> Index:
        """Members of each pattern, (N, n); 0 where there is none."""
        return np.maximum(self.member, 0)[self.party]

    @cached_property
    def rows(self) -> int:
        """Rows of the tree: users, then the trunks of the groups."""
        return self.problem.users + self.problem.groups

    @cached_property
    def row_party(self) -> Index:
        """The party of each row, (R,)."""
        users = np.empty(self.problem.users, np.int64)
        p, j = np.nonzero(self.member >= 0)
        users[self.member[p, j]] = p
        return np.concatenate([users, np.arange(self.problem.groups)])

    @cached_property
    def uses(self) -> tuple[Index, Index, Index]:
        """Patterns, and row and choice that they take as riders or trunks."""
        n, j = np.nonzero(self.rides)
        of_group = np.flatnonzero(self.party < self.problem.groups)
        return (
            np.r_[n, of_group],
            np.r_[self.who[n, j], self.problem.users + self.party[of_group]],
            np.r_[self.option[n, j], self.turn[of_group]],
        )

    @cached_property
    def open(self) -> Mask:
        """What each row may take in some pattern, (R, C)."""
        mask = np.zeros((self.rows, max(self.problem.options, int(self.turn.max()) + 1)), bool)
        _, row, choice = self.uses
        mask[row, choice] = True
        for k, options in zip(self.pool_user, self.pool_options, strict=True):
            mask[k, : self.problem.options] |= options
        return mask

    def allowed(self, mask: Mask) -> Mask:
        """Patterns whose riders and trunk are in a mask (R, C), and whose other members have something left, (N,)."""
        left = np.r_[self.pools(mask).any(axis=1), True]
        fits = left[self.columns].all(axis=0)
        pattern, row, choice = self.uses
        fits[pattern[~mask[row, choice]]] = False
        return np.asarray(fits)

    def pools(self, mask: Mask) -> Mask:
        """What is left of the pools, (M, O)."""
        return self.pool_options & mask[self.pool_user, : self.problem.options]

    def least(self, total: NDArray[np.float64]) -> Index:
        """The pattern of each party that costs least, (P,)."""
        lowest = np.minimum.reduceat(total, self.starts)
        at = np.flatnonzero(total == np.repeat(lowest, self.counts))
        first: Index = at[np.searchsorted(self.party[at], np.arange(len(self.member)))]
        return first


@lru_cache(maxsize=64)
def _grid(sizes: tuple[int, ...]) -> Index:
    """Places in each of some lists, for all ways to take one of each, (lists, ways)."""
    return np.asarray(np.indices(sizes).reshape(len(sizes), -1), dtype=np.int64)


class _Listing:
    """Patterns as they are found."""

    def __init__(self, problem: SharedPrefixProblem, size: int) -> None:
        self.problem, self.size, self.total = problem, size, 0
        self.open = problem.open_options
        self.riding, self.both = problem.rides > 0, problem.rides == 2
        self.parts: list[tuple[Index, ...]] = []
        self.pools: dict[tuple[int, bytes], int] = {}
        self.options: list[Mask] = []

    def add(self, party: int, users: Index, group: int) -> None:
        """All patterns of one party."""
        assert self.problem.trunk_group is not None
        still = self.open & ~self.riding
        before = self.total
        self._of_trunk(
            party, users, -1, 0, [self._pool(int(k), still[k]) for k in users], [np.zeros(0, int)] * len(users)
        )
        for turn, q in enumerate(np.flatnonzero(self.problem.trunk_group == group) if group >= 0 else ()):
            if not self.problem.open_trunks[q]:
                continue
            beside = self.open & self.problem.compatible[:, :, q]
            riders = beside & self.riding
            if not self.problem.open_multicasts[q]:
                riders &= ~self.both
            pools = [self._pool(int(k), beside[k] & ~self.riding[k]) for k in users]
            self._of_trunk(party, users, int(q), turn + 1, pools, [np.flatnonzero(riders[k]) for k in users])
        if self.total == before:
            raise InvalidInput(
                f"allowed (user {int(users[0])})" if group < 0 else f"compatible (group {group})", "nothing that fits",
                "an option for every member, without a trunk or with the same one",
                "Allow options, or raise the budgets that they demand.",
            )  # fmt: skip

    def _of_trunk(self, party: int, users: Index, q: int, turn: int, pools: list[int], riders: list[Index]) -> None:
        listed = [found.tolist() + [-1] * (pool >= 0) for pool, found in zip(pools, riders, strict=True)]
        choices = [np.array(one, np.int64) for one in listed]
        number = int(np.prod([float(len(one)) for one in choices]))
        self.total += number
        if self.total > MOST:
            raise InvalidInput(
                "compatible", f"more than {MOST} patterns of trunks and riders' options", "fewer of them",
                "Divide the largest group, or forbid options that ride.",
            )  # fmt: skip
        if not number:
            return
        grid = _grid(tuple(len(one) for one in choices))
        option = np.full((number, self.size), -1)
        for j, (one, place) in enumerate(zip(choices, grid, strict=True)):
            option[:, j] = one[place]
        if q >= 0 and all(one[-1] < 0 for one in choices):
            # the last one is the pattern without riders
            option = option[:-1]
            self.total -= 1
        pool = np.where(option < 0, np.array([*pools, *[-1] * (self.size - len(users))]), -1)
        column = np.ones(len(option), np.int64)
        self.parts.append((party * column, q * column, turn * column, option, pool))

    def _pool(self, k: int, options: Mask) -> int:
        if not options.any():
            return -1
        key = (k, options.tobytes())
        if key not in self.pools:
            self.pools[key] = len(self.options)
            self.options.append(options)
        return self.pools[key]

    def arrays(self) -> tuple[Index, Index, Index, Index, Index, Index, Mask]:
        """As `Patterns` has them."""
        party, trunk, turn, option, pool = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        pool = np.where(pool < 0, len(self.options), pool)
        user = np.array([k for k, _ in self.pools], np.int64)
        options = np.array(self.options, bool).reshape(len(user), self.problem.options)
        return party, trunk, turn, option, pool, user, options
