"""The pricing of a `SharedPrefixProblem` whose groups are to be formed: the cheapest fractional partition into sets.

At prices l every set S of users that may be a party costs c_S(l), and the least total of fractional partitions,

    max sum_k v_k  with  sum over k in S of v_k <= c_S(l)  for all S,

is a bound, concave in l. Rows are the users and the pairs of users (`megdt_opt.pricing.group_sets`), so that the tree
branches on which users are together where the best partition is no whole one (Ryan and Foster 1981).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from megdt_opt.certificate.check import MARGIN, Valuer
from megdt_opt.certificate.grouping import Sets, Worth, proven
from megdt_opt.certificate.tree import Cut, Mask, Part
from megdt_opt.pricing.group_sets import APART, TOGETHER, SetPatterns
from megdt_opt.pricing.ride_patterns import Index
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.shared_prefix import Costs, PrefixCosts
from megdt_opt.shares.shared_prefix import closed, interior
from megdt_opt.solving.engines.engine import Choice, Priced, Settled
from megdt_opt.solving.engines.partition import Cheapest, Partition
from megdt_opt.solving.engines.shared_prefix import cost_of, fixed_of

_KEPT = 4
"""Optima that are kept [1]."""

_TOO_MUCH = 16.0
"""Times the prices, or the best objective known, that a user's part of a set is worth at most [1]."""

_ROUNDS = 20
"""Rounds of merging or rounding, each at the prices of the groups that the last one formed [1]."""

_BELOW = 0.8, 0.98
"""Parts of what was reached that are tried as the next level [1]."""

_LEAST_PART = 1e-7

_LIKELIEST = 1000
"""Sets that are tried beside what is chosen [1]."""


class Solved(NamedTuple):
    """The cheapest fractional partition at prices.

    Parameters
    ----------
    costs : Costs
    total : array, (N,)
        Of the patterns, members who do not ride with them; those of the sets that are taken are exact.
    best : array of int, (P,)
        The cheapest pattern of each set.
    found : Cheapest
    """

    costs: Costs
    total: Array
    best: Index
    found: Cheapest

    @property
    def sets(self) -> Array:
        """What each set costs, (P,)."""
        return self.total[self.best]


class Formed(NamedTuple):
    """Parties that a choice makes: members (P, n), their options, -1 where there is none, and trunks (P,)."""

    who: Index
    option: Index
    trunk: Index


class GroupingPricing:
    """As `Pricing` has it.

    Parameters
    ----------
    model : PrefixCosts
        Of a problem without groups.
    deadline : float
        `time.monotonic()` after which shares are no longer improved [s].
    """

    def __init__(self, model: PrefixCosts, deadline: float = np.inf) -> None:
        assert isinstance(model.patterns, SetPatterns)
        self.model, self.deadline = model, deadline
        self.problem, self.patterns = model.problem, model.patterns
        self.leveled, self.used, self.open = model.leveled, model.used, model.patterns.open
        self.program = Partition(self.patterns.inside)
        self.worst_s = np.inf
        self.worths: dict[tuple[bytes, bytes], Worth] = {}
        """Of the prices at which choices were ruled out, by prices and mask."""
        self._solved: OrderedDict[tuple[bytes, bytes, float | None], Solved] = OrderedDict()

    # ---- at prices

    def solved(self, mask: Mask, prices: Array, level_s: float | None) -> Solved:
        """The cheapest fractional partition."""
        key = (mask.tobytes(), prices.tobytes(), level_s)
        if key not in self._solved:
            self._solved[key] = self._solve(mask, prices, level_s)
            if len(self._solved) > _KEPT:
                self._solved.popitem(last=False)
        return self._solved[key]

    def _solve(self, mask: Mask, prices: Array, level_s: float | None) -> Solved:
        costs, patterns = self.model.at(prices, level_s), self.patterns
        most = _TOO_MUCH * ((float(prices.sum()) or 1.0) if self.leveled else self.worst_s)
        total, few = costs.totals(mask), 2
        while True:
            best = patterns.least(total)
            found = self.program.cheapest(total[best], most)
            if not costs.sharpen(total, best[found.sets], few):
                return Solved(costs, total, best, found)
            few *= 2

    def price(self, mask: Mask, prices: Array, level_s: float | None) -> Priced:
        """As `Pricing` has it; the choices are a whole partition near the cheapest fractional one."""
        solved = self.solved(mask, prices, level_s)
        return Priced(solved.found.value, self.usage(solved, mask), self.rounded(solved, mask))

    def worth(self, found: Cheapest) -> Worth:
        """What users and cuts are worth in the cheapest fractional partition."""
        cuts = zip(self.program.cuts, found.prices.tolist(), strict=False)
        return Worth(found.duals, tuple(Cut(users, divisor, price) for (users, divisor), price in cuts if price > 0))

    def separate(self, tried: list[Solved], weights: Array) -> bool:
        """Add cuts that a mixture of fractional partitions does not keep; True where there are some."""
        mixed = np.zeros(len(self.patterns.member))
        for solved, weight in zip(tried, weights.tolist(), strict=True):
            mixed[solved.found.sets] += weight * solved.found.parts
        sets = np.flatnonzero(mixed > _LEAST_PART)
        cuts = self.program.separate(sets, mixed[sets])
        for users, divisor in cuts:
            self.program.add(users, divisor)
        if cuts:
            self._solved.clear()
        return bool(cuts)

    def usage(self, solved: Solved, mask: Mask) -> Array:
        """Budgets that the cheapest fractional partition uses, (3,)."""
        costs, patterns, found = solved.costs, self.patterns, solved.found
        rows = solved.best[found.sets]
        slope = costs.usage(rows) @ found.parts
        row, j = np.nonzero(patterns.pool[rows] < len(patterns.pool_user))
        pool = patterns.pool[rows[row], j]
        x = costs.alone.x[:, patterns.pool_user[pool], self._picks(costs, mask)[pool]]
        return np.asarray(slope + x @ found.parts[row])

    def _picks(self, costs: Costs, mask: Mask) -> Index:
        """The cheapest option of each pool, (M,)."""
        patterns = self.patterns
        cost = np.where(patterns.pools(mask), costs.alone.cost[patterns.pool_user], np.inf)
        return np.asarray(cost.argmin(axis=1), dtype=np.int64)

    def rounded(self, solved: Solved, mask: Mask) -> Choice:
        """A whole partition: the largest parts of the fractional one, then what costs least above the duals."""
        inside, found = self.patterns.inside, solved.found
        free = np.ones(self.problem.users, bool)
        taken = []
        for at in np.argsort(-found.parts, kind="stable").tolist():
            p = int(found.sets[at])
            if free[inside[p]].all() and np.isfinite(solved.sets[p]):
                taken.append(p)
                free[inside[p]] = False
        above = (solved.sets - self.worth(found).of_sets(self.patterns)) / self.patterns.sizes
        while free.any():
            fits = np.where((inside & ~free).any(axis=1), np.inf, above)
            p = int(fits.argmin())
            if not np.isfinite(fits[p]):
                break
            taken.append(p)
            free[inside[p]] = False
        return self._choice(solved, taken, mask)

    def _choice(self, solved: Solved, sets: list[int], mask: Mask, choice: Choice | None = None) -> Choice:
        """What the rows take in some sets; users in none keep what they have."""
        patterns, users = self.patterns, self.problem.users
        choice = mask.argmax(axis=1) if choice is None else choice.copy()
        picks = self._picks(solved.costs, mask)
        for p in sets:
            row = solved.best[p]
            members = patterns.member[p][patterns.member[p] >= 0]
            for j, k in enumerate(members.tolist()):
                choice[k] = self._code(int(row), j, picks)
                rows = patterns.pair_row[k]
                choice[rows[rows >= users]] = APART
        for p in sets:
            members = patterns.member[p][patterns.member[p] >= 0]
            rows = patterns.pair_row[np.ix_(members, members)]
            choice[rows[rows >= users]] = TOGETHER
        return choice

    def _code(self, row: int, j: int, picks: Index) -> int:
        """What a member takes in a pattern."""
        patterns = self.patterns
        o = patterns.option[row, j]
        return int(picks[patterns.pool[row, j]] if o < 0 else patterns.rider_code[patterns.trunk[row], o])

    def rises(self, mask: Mask, prices: Array, level_s: float | None) -> tuple[float, Array]:
        """As `Pricing` has it."""
        solved = self.solved(mask, prices, level_s)
        worth = self.worths[prices.tobytes(), mask.tobytes()] = self.worth(solved.found)
        sets = Sets(self.patterns, solved.total, solved.costs.alone.cost, worth)
        return sets.value, sets.rises(mask)

    def fractions(self, tokens: list[Solved], weights: Array, base: Choice, mask: Mask) -> tuple[Choice, Array]:
        """Choices (3, R) and weights (3, R) of a mixture of fractional partitions, first those of a whole one."""
        patterns, users = self.patterns, self.problem.users
        together = np.zeros((users, users))
        own: list[dict[int, float]] = [{} for _ in range(users)]
        for solved, weight in zip(tokens, weights.tolist(), strict=True):
            found = solved.found
            held = patterns.inside[found.sets].astype(np.float64)
            together += weight * (held.T * found.parts) @ held
            picks = self._picks(solved.costs, mask)
            for p, part in zip(found.sets.tolist(), found.parts.tolist(), strict=True):
                row = int(solved.best[p])
                for j, k in enumerate(patterns.member[p].tolist()):
                    if k >= 0:
                        code = self._code(row, j, picks)
                        own[k][code] = own[k].get(code, 0.0) + weight * part
        choices, parts = np.tile(base, (3, 1)), np.zeros((3, len(base)))
        i, j = patterns.pairs.T
        held_part = np.clip(together[i, j], 0.0, 1.0)
        is_held = base[users:] == TOGETHER
        parts[0, users:] = np.where(is_held, held_part, 1.0 - held_part)
        choices[1, users:] = 1 - base[users:]
        parts[1, users:] = 1.0 - parts[0, users:]
        for k, codes in enumerate(own):
            parts[0, k] = codes.pop(int(base[k]), 0.0)
            for n, (code, part) in enumerate(sorted(codes.items(), key=lambda pair: -pair[1])[:2], 1):
                choices[n, k], parts[n, k] = code, part
        return choices, parts

    # ---- whole choices

    def formed(self, choice: Choice) -> Formed | None:
        """The parties that a choice makes, groups first; None where users are not together in twos alike."""
        p, patterns = self.problem, self.patterns
        together = np.eye(p.users, dtype=bool)
        i, j = patterns.pairs[choice[p.users :] == TOGETHER].T
        together[i, j] = together[j, i] = True
        first = together.argmax(axis=1)
        if (together != (first[:, None] == first)).any():
            return None
        ridden, option = patterns.trunk_option[:, choice[: p.users]]
        trunk = np.where(together, ridden, -1).max(axis=1)
        size = together.sum(axis=1)
        if size.max() > (p.group_size_max or 0) or ((size == 1) != (trunk < 0)).any():
            return None
        if ((ridden >= 0) & (ridden != trunk)).any() or not self._alike(together, trunk):
            return None
        heads = np.flatnonzero(first == np.arange(p.users))
        heads = np.r_[heads[size[heads] > 1], heads[size[heads] == 1]]
        n = int(size.max())
        who, held = np.zeros((len(heads), n), np.int64), np.full((len(heads), n), -1)
        for row, head in enumerate(heads.tolist()):
            members = np.flatnonzero(together[head])
            who[row, : len(members)], held[row, : len(members)] = members, option[members]
        return Formed(who, held, trunk[heads])

    def _alike(self, together: Mask, trunk: Index) -> bool:
        """Whether users are with the lead of their trunk, and as similar as it demands; trunks (K,)."""
        p, q, some = self.problem, np.maximum(trunk, 0), trunk >= 0
        if p.trunk_lead is not None and p.trunks:
            lead = np.where(some, p.trunk_lead[q], -1)
            if ((lead >= 0) & ~together[np.arange(p.users), np.maximum(lead, 0)]).any():
                return False
        if p.trunk_similarity_min is None or not p.trunks:
            return True
        assert p.similarity is not None
        least = np.where(some, p.trunk_similarity_min[q], 0.0)
        return not (together & ~np.eye(p.users, dtype=bool) & (p.similarity < least[:, None])).any()

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Pricing` has it; shares (3, K + G) of the users and the groups."""
        formed = self.formed(choice)
        fixed = None if formed is None else fixed_of(self.model, *formed)
        if formed is None or fixed is None:
            return Settled(np.inf, prices, np.zeros((3, self.problem.users)), choice)
        if self.model.closed:
            found = closed(fixed)
        else:
            if np.isfinite(ceiling_s) and self._worse(formed, ceiling_s, prices):
                return Settled(np.inf, prices, np.zeros((3, self.problem.users)), choice)
            found = interior(fixed, self.deadline)
        groups = int((formed.trunk >= 0).sum())
        x = np.zeros((3, self.problem.users + groups))
        p, j = np.nonzero(formed.option >= 0)
        x[:, formed.who[p, j]] = found.own[:, p, j]
        x[:, self.problem.users :] = found.trunk[:, :groups]
        return Settled(found.objective, found.prices, x, choice)

    def _worse(self, formed: Formed, ceiling_s: float, prices: Array) -> bool:
        """Whether prices prove that parties are not better than a ceiling."""
        total = float(prices.sum())
        if not total > 0:
            return False
        if not self.leveled:
            return float(cost_of(self.model, *formed, prices, None).sum()) - total >= ceiling_s
        return float(cost_of(self.model, *formed, prices / total, ceiling_s).sum()) > 1.0 + 1e-9

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Pricing` has it: a set is formed of users of some parties, whose others stay together where they may."""
        formed = self.formed(choice)
        if formed is None:
            return []
        own = cost_of(self.model, *formed, prices, own_level_s)
        solved = self.solved(self.open, prices, goal[0])
        sets, number, member = solved.sets, self.patterns.number, self.patterns.member
        party = np.zeros(self.problem.users, np.int64)
        p, j = np.nonzero(formed.option >= 0)
        party[formed.who[p, j]] = p
        members = [frozenset(formed.who[p][formed.option[p] >= 0].tolist()) for p in range(len(own))]
        hope = goal[1] + float(prices.sum()) - float(own.sum())
        above = sets - self.worth(solved.found).of_sets(self.patterns)
        trials: list[tuple[float, list[int]]] = []
        for s in np.argsort(above, kind="stable")[:_LIKELIEST].tolist():
            users = [k for k in member[s].tolist() if k >= 0]
            left = {int(party[k]) for k in users}
            rise, made = float(sets[s]) - float(own[list(left)].sum()), [s]
            for one in left:
                for rest in _pieces(members[one].difference(users), number):
                    rise += float(sets[number[rest]]) if rest in number else np.inf
                    made.append(number.get(rest, -1))
            if rise < hope:
                trials.append((rise, made))
        found = []
        for _, made in sorted(trials, key=lambda pair: pair[0])[: most + 1]:
            trial = self._choice(solved, made, self.open, choice)
            if (trial != choice).any():
                found.append(trial)
        return found[:most]

    # ---- to begin with

    def first_sets(self) -> list[Choice]:
        """As `Pricing` has it: what merging finds first, then the fractional partitions rounded, and partitions at even
        prices."""
        made = self._at_even_prices()
        worth = [self.settle(choice, np.inf, np.ones(3)) for choice in made]
        best = min(worth, key=lambda one: one.objective)
        if not np.isfinite(best.objective):
            return made
        merged = self._descended(best, lambda solved: self._choice(solved, self._merge(solved), self.open))
        rounded = self._descended(merged, lambda solved: self.rounded(solved, self.open))
        self.worst_s = rounded.objective
        return [merged.choice, rounded.choice, *made]

    def _at_even_prices(self) -> list[Choice]:
        worst = float(self.problem.fixed_s.max()) + 1.0
        weight = float(self.problem.weights.max())
        self.worst_s = 1e3 * worst * float(self.problem.weights.sum())
        level = 1e3 * worst * weight if self.leveled else None
        found = []
        for scale in (1e-6, 1e-2, 1.0):
            prices = np.where(self.used, scale * worst * (1e-3 if self.leveled else 1.0), 0.0)
            solved = self.solved(self.open, prices, level)
            alone = [p for p in range(len(self.patterns.member)) if self.patterns.sizes[p] == 1]
            if len(alone) == self.problem.users and np.isfinite(solved.sets[alone]).all():
                found.append(self._choice(solved, alone, self.open))
            found.append(self.rounded(solved, self.open))
        return found

    def _descended(self, start: Settled, form: Callable[[Solved], Choice]) -> Settled:
        """What is formed at the prices of what was formed before, as long as it is better; for "max" at a level below
        it, at first far below."""
        best, steps = start, list(_BELOW) if self.leveled else [1.0]
        for _ in range(_ROUNDS):
            total = float(best.prices.sum())
            prices = best.prices if total > 0 else np.where(self.used, best.objective / 3.0, 0.0)
            if self.leveled:
                prices = prices / (float(prices.sum()) or 1.0)
            solved = self.solved(self.open, prices, best.objective * steps[0] if self.leveled else None)
            found = self.settle(form(solved), np.inf, best.prices)
            if found.objective < best.objective:
                best = found
            elif len(steps) > 1:
                del steps[0]
            else:
                break
        return best

    def _merge(self, solved: Solved) -> list[int]:
        """Sets by greedy merging: everybody begins alone; as long as merging two parties lowers the cost at the prices,
        those are merged for which it does so most."""
        number, member = self.patterns.number, self.patterns.member
        sets = np.minimum(solved.sets, 1e6 * max(float(np.abs(solved.found.value)), 1.0))
        lone = float(sets.max()) if len(sets) else 0.0
        parts: list[tuple[int, ...]] = [(k,) for k in range(self.problem.users)]

        def cost(part: tuple[int, ...]) -> float:
            return float(sets[number[part]]) if part in number else (lone if len(part) == 1 else np.inf)

        gains: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
        fresh = list(parts)
        while True:
            for one in fresh:
                for other in parts:
                    union = tuple(sorted({*one, *other}))
                    if other != one and union in number:
                        gains[min(one, other), max(one, other)] = cost(one) + cost(other) - cost(union)
            if not gains:
                break
            (one, other), gain = max(gains.items(), key=lambda pair: pair[1])
            if not gain > 0:
                break
            gone = {one, other}
            fresh = [tuple(sorted({*one, *other}))]
            parts = [part for part in parts if part not in gone] + fresh
            gains = {pair: gain for pair, gain in gains.items() if not gone & set(pair)}
        return [number[part] for part in parts if part in number and member[number[part]][0] >= 0]

    # ---- of the tree

    def terms(self, row: int) -> Array:
        """As `Pricing` has it."""
        p, (trunk, option) = self.problem, self.patterns.trunk_option
        table = np.zeros((6, self.open.shape[1]))
        if row >= p.users:
            table[0, TOGETHER] = 1.0
            return table
        at = slice(len(option))
        table[0, at] = p.weights[row] * p.fixed_s[row, option]
        table[1:4, at] = self.model.own.a[:, row, option]
        table[4, at], table[5, at] = p.rides[row, option], trunk + 1
        return table

    def valuer(self) -> Valuer:
        """As `Pricing` has it."""
        return BestDuals(self)


def _pieces(rest: frozenset[int], number: dict[tuple[int, ...], int]) -> Iterator[tuple[int, ...]]:
    """Users that stay behind: together where they may, else each alone."""
    whole = tuple(sorted(rest))
    if whole in number:
        yield whole
    else:
        yield from ((k,) for k in whole)


class BestDuals:
    """What parts of a tree prove with the best duals, before these are written into its leaves.

    Parameters
    ----------
    pricing : GroupingPricing
    """

    def __init__(self, pricing: GroupingPricing) -> None:
        self.pricing = pricing

    def worth(self, part: Part, level_s: float | None) -> Worth:
        """Of users and cuts; those at which choices were ruled out, where they were."""
        prices = np.array(part.leaf.prices)
        known = self.pricing.worths.get((prices.tobytes(), part.mask.tobytes())) if part.removed is not None else None
        return known or self.pricing.worth(self.pricing.solved(part.mask, prices, level_s).found)

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        prices = np.array(part.leaf.prices)
        value = proven(self.pricing.model, part, prices, self.worth(part, level_s), level_s)
        paid = float(prices.sum())
        return value - paid - MARGIN * (abs(value) + paid) if np.isfinite(value) else value
