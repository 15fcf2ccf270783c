"""What certificates of a `SharedPrefixProblem` prove whose groups are to be formed.

A leaf has the prices l of the three budgets, a number v_k for each user, and prices m_T >= 0 of cuts: the disjoint sets
of a partition hold sum_S floor(|S & T| / p) <= floor(|T| / p) for any users T and whole p (Chvatal and Gomory). Every
set S of users that may be a party is priced again; with

    v(S) = sum of v_k over its members - sum over cuts of m_T floor(|S & T| / p),
    v'_k = v_k - max over S with k in S of (v(S) - c_S(l))^+ / |S|,

v'(S) <= c_S(l) for all of them: any such numbers prove that no partition costs less than the sum of v', less that of
m_T floor(|T| / p) and the prices. What a pattern costs above v'(S) is what the total rises by at least if a partition
has it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import numpy as np

from megdt_opt.certificate.check import MARGIN, Valuer
from megdt_opt.certificate.shared_prefix import NEVER, UNIT, PatternBounds, PrefixProof, down
from megdt_opt.certificate.tree import Cut, Leaf, Mask, Part
from megdt_opt.pricing.group_sets import APART, TOGETHER, SetPatterns
from megdt_opt.pricing.ride_patterns import Index
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.shared_prefix import PrefixCosts
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem

_AT_ONCE = 1024


def proof(problem: SharedPrefixProblem) -> PrefixProof:
    """How certificates of a problem are recomputed."""
    return PrefixProof(problem) if problem.group is not None else GroupingProof(problem)


class GroupingProof(PrefixProof):
    """As `Proof` has it; its size is the number of patterns, each of which is priced again."""

    def __init__(self, problem: SharedPrefixProblem, model: PrefixCosts | None = None) -> None:
        super().__init__(problem, model)
        self.size = len(self.patterns.party)

    @property
    def patterns(self) -> SetPatterns:
        """Sets of users, and what they can do."""
        assert isinstance(self.model.patterns, SetPatterns)
        return self.model.patterns

    def fault(self, leaf: Leaf) -> str:
        """As `Proof` has it."""
        if len(leaf.prices) != 3 + self.problem.users or min(leaf.prices[:3]) < 0:
            return "a leaf's prices are not three numbers of at least 0 and one for each user"
        for cut in leaf.cuts:
            whole = sorted(set(cut.users)) == sorted(cut.users) and all(0 <= k < self.problem.users for k in cut.users)
            if not whole or cut.divisor < 2 or not cut.multiplier >= 0:
                return "a cut does not name users that are there, once each, and divide their number by two or more"
        return "limits on counts mean nothing here" if leaf.counts else ""

    def valuer(self, exact: bool) -> Valuer:
        """As `Proof` has it."""
        return ExactSets(self.model) if exact else FloatSets(self.model)


class Worth(NamedTuple):
    """What users are worth, (K,), and cuts with their prices."""

    duals: Array
    cuts: tuple[Cut, ...] = ()

    @classmethod
    def of(cls, leaf: Leaf) -> Worth:
        """That of a leaf."""
        return cls(np.array(leaf.prices[3:]), leaf.cuts)

    def of_sets(self, patterns: SetPatterns) -> Array:
        """v(S), (P,)."""
        found = patterns.inside @ self.duals
        for cut in self.cuts:
            found -= cut.multiplier * (patterns.held(cut.users) // cut.divisor)
        return np.asarray(found)

    @property
    def offset(self) -> float:
        """What the cuts' prices take off the sum."""
        return sum(cut.multiplier * (len(cut.users) // cut.divisor) for cut in self.cuts)

    @property
    def size(self) -> float:
        """Sum of the numbers, to which rounding is relative."""
        return float(np.abs(self.duals).sum()) + self.offset


class Sets:
    """Parties with what they cost above the duals of their members, lowered to what they prove.

    Parameters
    ----------
    patterns : SetPatterns
    total : array, (N,)
        Lower bounds of what patterns cost; infinite where they are closed.
    alone : array, (K, O)
        What options cost users who do not ride.
    worth : Worth
    """

    def __init__(self, patterns: SetPatterns, total: Array, alone: Array, worth: Worth) -> None:
        self.patterns, self.alone = patterns, alone
        least, of_sets = np.minimum.reduceat(total, patterns.starts), worth.of_sets(patterns)
        short = np.maximum(of_sets - least, 0.0) / patterns.sizes
        lack = (patterns.inside * short[:, None]).max(axis=0)
        self.value = float((worth.duals - lack).sum()) - worth.offset
        self.above = total - (of_sets - patterns.inside @ lack)[patterns.party]

    def rises(self, mask: Mask) -> Array:
        """By how much the total rises at least if a row takes a choice, (R, C); infinite outside the mask."""
        patterns, users = self.patterns, self.patterns.problem.users
        table = np.full(mask.shape, np.inf)
        pattern, row, choice = patterns.uses
        np.minimum.at(table, (row, choice), self.above[pattern])
        pools = patterns.pools(mask)
        cost = np.where(pools, self.alone[patterns.pool_user], np.inf)
        beside = np.full(len(pools) + 1, np.inf)
        np.minimum.at(beside, patterns.pool, self.above[:, None])
        least = cost.min(axis=1)
        with np.errstate(invalid="ignore"):
            extra = np.where(np.isfinite(cost), cost - least[:, None], np.inf)
        np.minimum.at(table[:, : cost.shape[1]], patterns.pool_user, beside[:-1, None] + extra)
        sets = np.minimum.reduceat(self.above, patterns.starts)
        i, j = patterns.pairs.T
        together, without = np.full((users, users), np.inf), np.full((users, users), np.inf)
        for k in range(users):
            of = patterns.inside[:, k]
            held, here = patterns.inside[of], sets[of][:, None]
            together[k] = np.where(held, here, np.inf).min(axis=0, initial=np.inf)
            without[k] = np.where(held, np.inf, here).min(axis=0, initial=np.inf)
        table[users:, TOGETHER] = together[i, j]
        table[users:, APART] = without[i, j] + without[j, i]
        return np.where(mask, table, np.inf)


def touching(patterns: SetPatterns, removed: Mask) -> Mask:
    """Patterns in which some row can take what is ruled out, (N,)."""
    found = np.r_[patterns.pools(removed).any(axis=1), False][patterns.pool].any(axis=1)
    pattern, row, choice = patterns.uses
    found[pattern[removed[row, choice]]] = True
    sets = np.zeros(len(patterns.member), bool)
    below = removed[patterns.problem.users :]
    for i, j in patterns.pairs[below[:, TOGETHER]].tolist():
        sets |= patterns.inside[:, i] & patterns.inside[:, j]
    for i, j in patterns.pairs[below[:, APART]].tolist():
        sets |= patterns.inside[:, i] != patterns.inside[:, j]
    return np.asarray(found | sets[patterns.party])


def proven(model: PrefixCosts, part: Part, prices: Array, worth: Worth, level_s: float | None) -> float:
    """What the least total of a part is not below, in floats without a margin; patterns are made exact as needed."""
    patterns = model.patterns
    assert isinstance(patterns, SetPatterns)
    costs = model.at(prices, level_s)
    total = costs.totals(part.mask)

    def refine(rows: Index) -> None:
        before = costs.riding[rows]
        costs.refine(rows)
        total[rows] += costs.riding[rows] - before

    refine(np.flatnonzero(~costs.exact & (total < worth.of_sets(patterns)[patterns.party])))
    sets = Sets(patterns, total, costs.alone.cost, worth)
    if part.removed is None:
        return sets.value
    near = touching(patterns, part.removed)
    while True:
        rise = float(sets.rises(part.mask)[part.removed & part.mask].min(initial=np.inf))
        loose = np.flatnonzero(~costs.exact & near & (sets.above <= rise) & np.isfinite(sets.above))
        if not loose.size:
            return sets.value + rise
        refine(loose[np.argsort(sets.above[loose])][:_AT_ONCE])
        sets = Sets(patterns, total, costs.alone.cost, worth)


class FloatSets:
    """In floating arithmetic, with a margin.

    Parameters
    ----------
    model : PrefixCosts
    """

    def __init__(self, model: PrefixCosts) -> None:
        self.model = model

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        prices, worth = np.array(part.leaf.prices[:3]), Worth.of(part.leaf)
        value = proven(self.model, part, prices, worth, level_s)
        if not np.isfinite(value):
            return value
        paid = float(prices.sum())
        return value - paid - MARGIN * (worth.size + paid)


class ExactSets:
    """In rational arithmetic, with square roots and logarithms bracketed outward.

    Parameters
    ----------
    model : PrefixCosts
    """

    def __init__(self, model: PrefixCosts) -> None:
        self.model = model
        self._tables: dict[tuple[tuple[float, ...], float | None], _SetBounds] = {}

    def value(self, part: Part, level_s: float | None) -> Fraction | float:
        """As `Valuer` has it."""
        prices = part.leaf.prices[:3]
        key = (prices, level_s)
        if key not in self._tables:
            self._tables[key] = _SetBounds(self.model, prices, level_s)
        found = self._tables[key].least(part)
        if found >= NEVER // 2:
            return float("inf")
        return Fraction(found, UNIT) - sum(map(Fraction, prices), Fraction(0))


class _SetBounds(PatternBounds):
    """What all patterns of all sets cost at least at given prices, in units of 2^-200."""

    def least(self, part: Part) -> int:
        """The least total of a part that its leaf proves; at least `NEVER` where there is none."""
        patterns, worth = self.model.patterns, Worth.of(part.leaf)
        assert isinstance(patterns, SetPatterns)
        wanted = worth.of_sets(patterns)[patterns.party] - 1e-13 * (worth.size + float(self.float_prices.sum()))
        if part.removed is not None:
            rise = proven(self.model, part, self.float_prices, worth, self.float_level)
            rise -= float(worth.duals.sum()) - worth.offset
            wanted = wanted + np.where(touching(patterns, part.removed), min(max(rise, 0.0), 1e300), 0.0)
        pools = [self._pool(m, row) for m, row in enumerate(patterns.pools(part.mask))]
        bounds = self._bounds(patterns.allowed(part.mask), wanted, [*pools, 0])
        party = patterns.party.tolist()
        lowest: dict[int, int] = {}
        for e, bound in bounds.items():
            lowest[party[e]] = min(lowest.get(party[e], NEVER), bound)
        of_set, total = self._worth(part, list(lowest))
        lack = [0] * self.model.problem.users
        members = {p: [k for k in patterns.member[p].tolist() if k >= 0] for p in lowest}
        for p, bound in lowest.items():
            short = -((bound - of_set[p]) // len(members[p]))
            for k in members[p]:
                lack[k] = max(lack[k], short)
        total -= sum(lack)
        if part.removed is None:
            return total
        of_set = {p: worth - sum(lack[k] for k in members[p]) for p, worth in of_set.items()}
        above = {e: bound - of_set[party[e]] for e, bound in bounds.items()}
        over = {p: bound - of_set[p] for p, bound in lowest.items()}
        return total + min(self._of_rows(part, above, pools), _of_pairs(patterns, part, over))

    def _worth(self, part: Part, sets: list[int]) -> tuple[dict[int, int], int]:
        """v(S) of some sets, and what the sum of a partition is not below as far as it is worth v(S)."""
        patterns, leaf = self.model.patterns, part.leaf
        assert isinstance(patterns, SetPatterns)
        v = [down(Fraction(one)) for one in leaf.prices[3:]]
        found = {p: sum(v[k] for k in patterns.member[p].tolist() if k >= 0) for p in sets}
        total = sum(v)
        for cut in leaf.cuts:
            price = down(Fraction(cut.multiplier))
            total -= price * (len(cut.users) // cut.divisor)
            held = patterns.held(cut.users) // cut.divisor
            for p in sets:
                if held[p]:
                    found[p] -= price * int(held[p])
        return found, total

    def _of_rows(self, part: Part, above: dict[int, int], pools: list[int]) -> int:
        """The least rise if a user takes what is ruled out."""
        patterns, removed = self.model.patterns, part.removed
        assert removed is not None
        pattern, row, choice = patterns.uses
        taken = np.unique(pattern[(removed & part.mask)[row, choice]]).tolist()
        rise = min([NEVER, *(above[e] for e in taken if e in above)])
        gone = patterns.pools(removed & part.mask)
        for m in np.flatnonzero(gone.any(axis=1)).tolist():
            rows = np.flatnonzero((patterns.pool == m).any(axis=1)).tolist()
            least = min([NEVER, *(above[e] for e in rows if e in above)])
            k = int(patterns.pool_user[m])
            if least < NEVER // 2:
                rise = min([rise, *(least - pools[m] + self._option(k, int(o)) for o in np.flatnonzero(gone[m]))])
        return rise


def _of_pairs(patterns: SetPatterns, part: Part, over: dict[int, int]) -> int:
    """The least rise if users are together or apart where that is ruled out."""
    assert part.removed is not None
    rows = np.argwhere((part.removed & part.mask)[patterns.problem.users :])
    sets = np.array(list(over), np.int64)
    worth = np.array(list(over.values()), dtype=object)

    def least(chosen: Mask) -> int:
        return min(worth[chosen], default=NEVER)

    rise = NEVER
    for n, choice in rows.tolist():
        one, other = patterns.inside[sets][:, patterns.pairs[n]].T
        if choice == TOGETHER:
            rise = min(rise, least(one & other))
        elif choice == APART:
            rise = min(rise, least(one & ~other) + least(other & ~one))
    return rise
