"""Groups that may be formed, listed, and what each of them can do.

Who does not ride may as well leave its group, unless it leads: alone it may take the same option, and costs the same.
So a group that is worth listing is one of users who all ride the same trunk, but perhaps its lead, or a pair of which
one rides, for a group has two members at least. A party is such a set of users, or a user alone; what is decided is a
partition of the users into parties.

Rows of the tree are the K users, whose choices are the O options for who does not ride, and behind them the pairs of a
trunk and an option that rides it; then the pairs of users that some set holds: 0 = apart, 1 = together (Ryan and Foster
1981).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.pricing.ride_patterns import MOST, Index, Mask, Patterns
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem

MOST_SETS = 100_000
"""Sets of users that are listed at most [1]."""

APART, TOGETHER = 0, 1


@dataclass(frozen=True)
class SetPatterns(Patterns):
    """As `Patterns` has it, of all sets of users that may be parties."""

    @classmethod
    def of(cls, problem: SharedPrefixProblem) -> SetPatterns:
        """List them; raises InvalidInput where there are too many."""
        assert problem.similarity is not None
        assert problem.similarity_min is not None
        assert problem.group_size_max is not None
        sets = cliques(problem.similarity, problem.similarity_min, problem.group_size_max)
        listed = _Listed(problem, max([1, *(len(users[0]) for users, _ in sets)]))
        listed.alone()
        for q in np.flatnonzero(problem.open_trunks).tolist():
            least = 0.0 if problem.trunk_similarity_min is None else float(problem.trunk_similarity_min[q])
            for users, alike in sets:
                listed.beside(q, users[alike >= least])
        return listed.patterns(cls)

    @cached_property
    def inside(self) -> Mask:
        """Which users are in each party, (P, K)."""
        found = np.zeros((len(self.member), self.problem.users), bool)
        p, j = np.nonzero(self.member >= 0)
        found[p, self.member[p, j]] = True
        return found

    def held(self, users: Sequence[int]) -> Index:
        """How many of some users each party holds, (P,)."""
        return np.asarray(self.inside[:, list(users)].sum(axis=1), dtype=np.int64)

    @cached_property
    def sizes(self) -> Index:
        """Members of each party, (P,)."""
        return np.asarray((self.member >= 0).sum(axis=1), dtype=np.int64)

    @cached_property
    def number(self) -> dict[tuple[int, ...], int]:
        """The party of a set of users, in ascending order."""
        return {tuple(k for k in row if k >= 0): p for p, row in enumerate(self.member.tolist())}

    @cached_property
    def pairs(self) -> Index:
        """Users that some party holds together, (N, 2), the first below the second."""
        held = self.inside.astype(np.float64)
        return np.argwhere(np.triu(held.T @ held, 1) > 0)

    @cached_property
    def pair_row(self) -> Index:
        """Row of each pair of users, (K, K); -1 where no party holds both."""
        found = np.full((self.problem.users,) * 2, -1)
        i, j = self.pairs.T
        found[i, j] = found[j, i] = self.problem.users + np.arange(len(i))
        return found

    @cached_property
    def rows(self) -> int:
        """As `Patterns` has it: users, then pairs."""
        return self.problem.users + len(self.pairs)

    @cached_property
    def rider_code(self) -> Index:
        """Choice of a user that rides a trunk with an option, (Q, O); -1 where nobody does."""
        n, j = np.nonzero(self.rides)
        found = np.full((self.problem.trunks, self.problem.options), -1)
        found[self.trunk[n], self.option[n, j]] = 0
        q, o = np.nonzero(found == 0)
        found[q, o] = self.problem.options + np.arange(len(q))
        return found

    @cached_property
    def trunk_option(self) -> Index:
        """Trunk, -1 for none, and option of each choice, (2, C)."""
        q, o = np.nonzero(self.rider_code >= 0)
        options = np.arange(self.problem.options)
        return np.array([np.r_[np.full(len(options), -1), q], np.r_[options, o]])

    @cached_property
    def uses(self) -> tuple[Index, Index, Index]:
        """As `Patterns` has it; of riders alone."""
        n, j = np.nonzero(self.rides)
        return n, self.who[n, j], self.rider_code[self.trunk[n], self.option[n, j]]

    @cached_property
    def open(self) -> Mask:
        """As `Patterns` has it."""
        users = self.problem.users
        mask = np.zeros((self.rows, max(2, self.trunk_option.shape[1])), bool)
        _, row, choice = self.uses
        mask[row, choice] = True
        m, o = np.nonzero(self.pool_options)
        mask[self.pool_user[m], o] = True
        held = self.inside.astype(np.float64)
        beside = self.inside.sum(axis=0)[:, None] - held.T @ held  # parties that hold one user but not the other
        i, j = self.pairs.T
        mask[users:, TOGETHER] = True
        mask[users:, APART] = (beside[i, j] > 0) & (beside[j, i] > 0)
        return mask

    def allowed(self, mask: Mask) -> Mask:
        """As `Patterns` has it."""
        return super().allowed(mask) & self.fitting(mask)[self.party]

    def fitting(self, mask: Mask) -> Mask:
        """Parties that keep users together and apart as a mask says, (P,)."""
        fits = np.ones(len(self.member), bool)
        below = mask[self.problem.users :]
        for i, j in self.pairs[~below[:, TOGETHER]].tolist():
            fits &= ~(self.inside[:, i] & self.inside[:, j])
        for i, j in self.pairs[~below[:, APART]].tolist():
            fits &= self.inside[:, i] == self.inside[:, j]
        return fits


def cliques(
    alike: NDArray[np.float64], similarity_min: float, size_max: int
) -> list[tuple[Index, NDArray[np.float64]]]:
    """Sets of users of each size from 2 that may form a group, (N, n), and their least similarity, (N,).

    Parameters
    ----------
    alike : array, (K, K)
        Similarity of the users [1].
    similarity_min : float
        Least similarity of two users of a group [1].
    size_max : int
        Most users of a group [1].

    Raises
    ------
    InvalidInput
        Where there are more than can be listed.
    """
    near = alike >= similarity_min
    count = len(alike)
    users = np.arange(count)
    found: list[tuple[Index, NDArray[np.float64]]] = []
    sets, least, total = users[:, None], np.ones(count), 0
    for _ in range(min(size_max, count) - 1):
        fits = near[sets].all(axis=1) & (users > sets[:, -1:])
        row, user = np.nonzero(fits)
        total += len(row)
        if total > MOST_SETS:
            raise InvalidInput(
                "group_size_max", size_max, f"groups of which there are at most {MOST_SETS}",
                "Lower it, or raise similarity_min.",
            )  # fmt: skip
        if not len(row):
            break
        least = np.minimum(least[row], alike[sets[row], user[:, None]].min(axis=1))
        sets = np.column_stack([sets[row], user])
        found.append((sets, least))
    return found


class _Listed:
    """Patterns as they are found, of many sets at once."""

    def __init__(self, problem: SharedPrefixProblem, size: int) -> None:
        self.problem, self.size, self.total = problem, size, 0
        self.open, self.riding = problem.open_options, problem.rides > 0
        self.pool_user: list[Index] = []
        self.pool_options: list[Mask] = []
        self.parts: list[tuple[Index, ...]] = []

    def alone(self) -> None:
        """Users by themselves."""
        pool = self._pools(self.open & ~self.riding)
        users = np.flatnonzero(pool >= 0)
        self._add(-1, users[:, None], np.full((len(users), 1), -1), pool[users][:, None])

    def beside(self, q: int, sets: Index) -> None:
        """Sets (N, n) that run trunk q."""
        problem = self.problem
        fits = self.open & problem.compatible[:, :, q]
        riders = fits & self.riding
        if not problem.open_multicasts[q]:
            riders &= problem.rides != 2
        count = riders.sum(axis=1)
        most = int(count.max(initial=0))
        if not most or not len(sets):
            return
        table = np.full((problem.users, most), -1)
        row, o = np.nonzero(riders)
        table[row, np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)] = o
        pool = self._pools(fits & ~self.riding)
        lead = -1 if problem.trunk_lead is None else int(problem.trunk_lead[q])
        if lead >= 0:
            sets = sets[(sets == lead).any(axis=1)]
        self._riding(q, sets, -1, count, table, pool)
        for idle in range(sets.shape[1]):
            some = sets if sets.shape[1] == 2 else sets[sets[:, idle] == lead]
            self._riding(q, some, idle, count, table, pool)

    # long: what is listed, and how many each has
    def _riding(self, q: int, sets: Index, idle: int, count: Index, table: Index, pool: Index) -> None:
        """Sets whose members all ride, but the one in the place `idle`, if any; `table` (K, R) has their options."""
        n = sets.shape[1]
        rides = np.arange(n) != idle
        fits = (count[sets[:, rides]] > 0).all(axis=1)
        if idle >= 0:
            fits &= pool[sets[:, idle]] >= 0
        sets = sets[fits]
        self._room(float(count[sets[:, rides]].astype(float).prod(axis=1).sum()))
        if not len(sets):
            return
        grid = np.indices((table.shape[1],) * int(rides.sum())).reshape(int(rides.sum()), -1)
        chosen = table[sets[:, rides][:, None, :], grid.T[None]].reshape(-1, int(rides.sum()))
        who = np.repeat(sets, grid.shape[1], axis=0)
        kept = (chosen >= 0).all(axis=1)
        option, beside = np.full(who.shape, -1), np.full(who.shape, -1)
        option[:, rides] = chosen
        if idle >= 0:
            beside[:, idle] = pool[who[:, idle]]
        self._add(q, who[kept], option[kept], beside[kept])

    def _room(self, more: float) -> None:
        self.total += int(more)
        if self.total > MOST:
            raise InvalidInput(
                "compatible", f"more than {MOST} patterns of sets, trunks and riders' options", "fewer of them",
                "Lower group_size_max, raise similarity_min, or forbid options that ride.",
            )  # fmt: skip

    def _pools(self, options: Mask) -> Index:
        """The pool of each user of these options, (K,); -1 where it is empty."""
        users = np.flatnonzero(options.any(axis=1))
        found = np.full(self.problem.users, -1)
        found[users] = sum(map(len, self.pool_user)) + np.arange(len(users))
        self.pool_user.append(users)
        self.pool_options.append(options[users])
        return found

    def _add(self, q: int, who: Index, option: Index, pool: Index) -> None:
        def wide(table: Index) -> Index:
            return np.pad(table, ((0, 0), (0, self.size - table.shape[1])), constant_values=-1)

        self.parts.append((wide(who), wide(option), wide(pool), np.full(len(who), q)))

    def patterns(self, cls: type[SetPatterns]) -> SetPatterns:
        """All of them, party after party: users alone, then pairs, then larger sets."""
        who, option, pool, trunk = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        if not np.isin(np.arange(self.problem.users), who).all():
            k = int(np.flatnonzero(~np.isin(np.arange(self.problem.users), who))[0])
            raise InvalidInput(
                f"allowed (user {k})", "nothing that fits", "an option of its own, or one beside a trunk of some group",
                "Allow options, or raise the budgets that they demand.",
            )  # fmt: skip
        code = np.column_stack([(who >= 0).sum(axis=1), who])
        _, first, party = np.unique(code, axis=0, return_index=True, return_inverse=True)
        party = party.reshape(-1)
        order = np.argsort(party, kind="stable")
        user, options = np.concatenate(self.pool_user), np.concatenate(self.pool_options)
        pool = np.where(pool < 0, len(user), pool)[order]
        return cls(
            self.problem, who[first], party[order], trunk[order], trunk[order] + 1, option[order], pool, user, options
        )  # fmt: skip
