"""What each group can do, listed: which trunk runs, and which option every rider takes.

A party is a group, or a user in none. At given prices the members who do not ride fall apart, so that a pattern says
no more than the trunk and the riders' options; each of the others takes what costs it least of the options that it may
take beside that trunk, its pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
        member = np.full((len(parties), max(len(users) for users in parties)), -1)
        for p, users in enumerate(parties):
            member[p, : len(users)] = users
        return cls(problem, member, *_listed(problem, member))

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


def _listed(problem: SharedPrefixProblem, member: Index) -> tuple[Index, Index, Index, Index, Index, Index, Mask]:
    """Party, trunk, turn, option and pool of all patterns, and user and options of the pools, as `Patterns` has them.

    A job is a party with a trunk that it may run, or with none; its patterns are all ways to take a riding option, or
    the pool if there is one, for each member. All jobs are listed together.
    """
    party, trunk, turn = _jobs(problem, len(member))
    job, place = np.nonzero(member[party] >= 0)
    user, q = member[party[job], place], trunk[job]
    riding, both = problem.rides > 0, problem.rides == 2
    some = q >= 0
    fits = problem.open_options[user]
    if problem.trunks:
        fits = fits & np.where(some[:, None], problem.compatible[user, :, q], True)
        sent = problem.open_multicasts[q]
        rider = fits & riding[user] & some[:, None] & (sent[:, None] | ~both[user])
    else:
        rider = np.zeros_like(fits)
    left = fits & ~riding[user]
    pool, pool_user, pool_options = _pools(user, left)
    # choices of each member: its riding options, and its pool last
    row, option = np.nonzero(np.column_stack([rider, pool >= 0]))
    option = np.where(option == problem.options, -1, option)
    sizes = np.bincount(row, minlength=len(user))
    first = np.cumsum(sizes) - sizes
    size, begin = np.ones(member[party].shape, np.int64), np.zeros(member[party].shape, np.int64)
    size[job, place], begin[job, place] = sizes, first
    counts = size.astype(float).prod(axis=1)
    if counts.sum() > MOST:
        raise InvalidInput(
            "compatible", f"more than {MOST} patterns of trunks and riders' options", "fewer of them",
            "Divide the largest group, or forbid options that ride.",
        )  # fmt: skip
    number = counts.astype(np.int64)
    of = np.repeat(np.arange(len(party)), number)
    way = np.arange(len(of)) - np.repeat(np.cumsum(number) - number, number)
    found = np.full((len(of), member.shape[1]), -1)
    for j in range(member.shape[1] - 1, -1, -1):
        way, taken = np.divmod(way, size[of, j])
        here = member[party[of], j] >= 0
        found[here, j] = option[(begin[of, j] + taken)[here]]
    # a trunk that nobody rides does not run
    kept = (trunk[of] < 0) | (found >= 0).any(axis=1)
    of, found = of[kept], found[kept]
    _refuse_nothing(problem, member, np.bincount(party[of], minlength=len(member)))
    pools = np.full(member[party].shape, len(pool_user))
    pools[job, place] = np.where(pool >= 0, pool, len(pool_user))
    return (
        party[of], trunk[of], turn[of], found, np.where(found >= 0, len(pool_user), pools[of]), pool_user, pool_options,
    )  # fmt: skip


def _jobs(problem: SharedPrefixProblem, parties: int) -> tuple[Index, Index, Index]:
    """Parties, each without a trunk and then with each of its own that is open; with them the trunk, -1 for none, and
    its number among the party's, from 1."""
    assert problem.trunk_group is not None
    order = np.argsort(problem.trunk_group, kind="stable")
    group = problem.trunk_group[order]
    turn = np.arange(len(order)) - np.searchsorted(group, group) + 1
    runs = (group >= 0) & problem.open_trunks[order]
    none = np.zeros(parties, np.int64)
    party = np.r_[np.arange(parties), group[runs]]
    trunk, turn = np.r_[none - 1, order[runs]], np.r_[none, turn[runs]]
    sorted_ = np.lexsort((turn, party))
    return party[sorted_], trunk[sorted_], turn[sorted_]


def _pools(user: Index, options: Mask) -> tuple[Index, Index, Mask]:
    """The pool of each row, -1 where no option is left, and user and options of all pools, each once."""
    some = np.flatnonzero(options.any(axis=1))
    key = np.column_stack([user[some].astype(">i8").view(np.uint8).reshape(-1, 8), np.packbits(options[some], axis=1)])
    packed = np.ascontiguousarray(key).view(np.dtype((np.void, key.shape[1]))).ravel()
    _, first, number = np.unique(packed, return_index=True, return_inverse=True)
    pool = np.full(len(user), -1)
    pool[some] = number.ravel()
    return pool, user[some[first]], options[some[first]]


def _refuse_nothing(problem: SharedPrefixProblem, member: Index, counts: Index) -> None:
    """Refuse a party without a pattern."""
    for p in np.flatnonzero(counts == 0)[:1].tolist():
        alone = p >= problem.groups
        raise InvalidInput(
            f"allowed (user {int(member[p, 0])})" if alone else f"compatible (group {p})", "nothing that fits",
            "an option for every member, without a trunk or with the same one",
            "Allow options, or raise the budgets that they demand.",
        )  # fmt: skip
