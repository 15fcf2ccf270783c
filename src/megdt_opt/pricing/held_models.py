"""Which models servers may hold, and the least cost of all users over what they hold.

A row is a user, whose choices are its options, or after all users a server, whose choices are its maximal sets of
models: those that fit its memory and to which no other can be added. More models never hurt, for a user may take any
option whose server holds its model. Given the costs of all options, with a set A of servers that hold model m,

    T_m(A) = sum over the users of m of the least cost of their options at A or on their devices,

the least total is the minimum of sum_m T_m(A_m) over the joint placements that the rows leave. Where these are too
many to be looked at, a server whose row is not decided is taken to hold whatever some of its sets hold: a lower bound,
which is exact once all rows are decided. Costs may be floats or whole numbers in an object array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem

Mask = NDArray[np.bool_]
Numbers = NDArray[Any]
Choice = NDArray[np.int64]

MOST_JOINT = 1_000_000
"""Joint placements that are looked at one by one, at most [1]."""

MOST_SERVERS = 16
"""Servers whose sets have a table each, at most [1]."""

MOST_SETS = 4096
"""Maximal sets of models of one server, at most [1]."""

NEAR = 16
"""Joint placements for which a user's own rise is worked out; the others are taken to cost as much as the next [1]."""

_FEW = 30_000
"""Users times sets of servers up to which plain sums take no longer [1]."""

_MOST_STEPS = 200_000

_MOST_DIVES = 400
"""Servers that are decided one after another in the search for choices that fit each other, at most [1]."""


@dataclass(frozen=True)
class Least:
    """The least total within a mask.

    Parameters
    ----------
    total : number
        Infinite where some user cannot be served.
    choice : array of int, (R,)
        What costs it. Where placements were too many, an option may need a model that the server's choice lacks.
    rises : array, (R, C), or None
        By how much the total rises at least if a row takes a choice; infinite outside the mask.
    """

    total: Any
    choice: Choice
    rises: Numbers | None


class HeldModels:
    """Rows, choices and placements of a problem.

    Parameters
    ----------
    problem : PlacementProblem

    Raises
    ------
    InvalidInput
        Where a server has more than `MOST_SETS` maximal sets of models.
    """

    def __init__(self, problem: PlacementProblem) -> None:
        self.problem = problem
        self.users, self.servers = problem.users, problem.servers
        self.server = problem.option_server
        self.rows = np.arange(self.users)[:, None]
        self.placing = problem.models > 0
        self.model = np.zeros(self.users, np.int64) if problem.user_model is None else problem.user_model
        options = problem.open_options
        self.sets: list[Mask] = []
        if self.placing:
            asked = np.zeros((self.servers, problem.models), dtype=bool)
            k, o = np.nonzero(options & (self.server != NO_SERVER))
            np.logical_or.at(asked, self.server[k, o], problem.needs(k, o))
            self.sets = [maximal_sets(problem, e, np.flatnonzero(asked[e])) for e in range(self.servers)]
        width = max([problem.options, *(len(one) for one in self.sets)])
        self.open: Mask = np.zeros((self.users + len(self.sets), width), dtype=bool)
        self.open[: self.users, : problem.options] = options
        for e, one in enumerate(self.sets):
            self.open[self.users + e, : len(one)] = True
        self._joint: dict[bytes, tuple[list[Numbers], list[Numbers]]] = {}

    def placed(self, choice: Choice) -> Mask | None:
        """Models that the servers hold, (E, M)."""
        if not self.placing:
            return None
        return np.array([one[c] for one, c in zip(self.sets, choice[self.users :], strict=True)])

    def held_in(self, mask: Mask, sets: Choice) -> Mask:
        """Models that servers hold with these sets (E,); those that any of the sets in a mask (R, C) holds where these
        are too many to be looked at together, (E, M)."""
        left = self._left(mask)
        if not self._too_many(left):
            return self._held(sets)
        return np.array([one[c].any(axis=0) for one, c in zip(self.sets, left, strict=True)])

    def _left(self, mask: Mask) -> list[Choice]:
        return [np.flatnonzero(row[: len(one)]) for row, one in zip(mask[self.users :], self.sets, strict=True)]

    def _too_many(self, left: list[Choice]) -> bool:
        return self.servers > MOST_SERVERS or float(np.prod([float(len(one)) for one in left])) > MOST_JOINT

    def served(self, held: Mask) -> Mask:
        """Options whose server holds the user's model, where `held` (E, M) does, (K, O)."""
        return np.asarray((self.server == NO_SERVER) | held[self.server, self.model[:, None]])

    def least(self, cost: Numbers, mask: Mask, *, rises: bool = False, swift: bool = False) -> Least:
        """The least total of costs (K, O), infinite where closed, within a mask (R, C).

        With `swift`, floats are summed in an order that takes less time and may lose some more of the last digits.
        """
        here = np.where(mask[: self.users, : cost.shape[1]], cost, np.inf)
        if not self.placing:
            return self._without_models(here, mask.shape, rises)
        left = self._left(mask)
        if not all(len(one) for one in left):
            nothing = np.full(mask.shape, np.inf, dtype=here.dtype) if rises else None
            return Least(np.inf, np.zeros(len(mask), np.int64), nothing)
        if self._too_many(left):
            return self._relaxed(here, left, mask.shape, rises)
        return self._exactly(here, self._totals(here, left, mask, swift), left, mask, rises)

    def consistent(self, cost: Numbers, mask: Mask) -> Choice | None:
        """Choices (R,) of little total cost in which every option's server holds its model; None if none was found."""
        stack = [mask]
        for _ in range(_MOST_DIVES):
            if not stack:
                break
            here = stack.pop()
            found = self.least(cost, here, rises=True)
            if found.total == np.inf:
                continue
            left = here[self.users :].sum(axis=1)
            placed = self.placed(found.choice)
            if placed is None or self.served(placed)[self.rows[:, 0], found.choice[: self.users]].all():
                return found.choice
            assert found.rises is not None
            row = self.users + int(left.argmax())
            # the set that costs least is looked at first
            sets = np.flatnonzero(here[row])
            for c in sets[np.argsort(-found.rises[row, sets], kind="stable")].tolist():
                below = here.copy()
                below[row] = np.arange(here.shape[1]) == c
                stack.append(below)
        return None

    def cheapest(self, cost: Numbers, mask: Mask, most: int) -> list[Choice]:
        """Choices (R,) under the joint placements of least total cost, at most so many; none if these are too many."""
        left = self._left(mask)
        if not self.placing or not all(len(one) for one in left) or self._too_many(left):
            return []
        here = np.where(mask[: self.users, : cost.shape[1]], cost, np.inf)
        totals = self._totals(here, left, mask, swift=True)
        places, _ = self._placements(left, mask)
        found = []
        for y in np.argsort(totals, kind="stable")[:most].tolist():
            if totals[y] < np.inf:
                sets = np.array([left[e][places[e][y]] for e in range(self.servers)], dtype=np.int64)
                option, _ = _least_of(np.where(self.served(self._held(sets)), here, np.inf))
                found.append(np.r_[option, sets])
        return found

    # ---- one at a time

    def _without_models(self, here: Numbers, shape: tuple[int, ...], rises: bool) -> Least:
        choice, least = _least_of(here)
        total = _sum(least)
        table = None
        if rises:
            table = np.full(shape, np.inf, dtype=here.dtype)
            if total != np.inf:
                table[:, : here.shape[1]] = here - least[:, None]
        return Least(total, choice, table)

    def _totals(self, here: Numbers, left: list[Choice], mask: Mask, swift: bool) -> Numbers:
        """The least total under each joint placement, (N,), in the order of `_placements`."""
        swift = swift and self.users << self.servers > _FEW
        tables = (self._swiftly if swift else self._by_servers)(here)
        _, codes = self._placements(left, mask)
        return np.asarray(sum((tables[m][code] for m, code in enumerate(codes)), np.zeros(len(codes[0]), here.dtype)))

    def _exactly(self, here: Numbers, totals: Numbers, left: list[Choice], mask: Mask, rises: bool) -> Least:
        places, _ = self._placements(left, mask)
        best = int(totals.argmin())
        total = totals[best]
        sets = np.array([left[e][places[e][best]] for e in range(self.servers)], dtype=np.int64)
        served = np.where(self.served(self._held(sets)), here, np.inf)
        option, _ = _least_of(served)
        choice = np.r_[option, sets]
        if not rises:
            return Least(total, choice, None)
        table = np.full(mask.shape, np.inf, dtype=here.dtype)
        if total == np.inf:
            return Least(total, choice, table)
        for e in range(self.servers):
            for n, c in enumerate(left[e]):
                table[self.users + e, c] = totals[places[e] == n].min() - total
        order = np.argsort(totals, kind="stable")[: NEAR + 1]
        beyond = totals[order[NEAR]] - total if len(order) > NEAR else np.inf
        rise = np.where(here == np.inf, np.inf, beyond)
        seen: dict[bytes, Numbers] = {}
        for y in order[:NEAR].tolist():
            if totals[y] == np.inf or totals[y] - total >= beyond:
                break
            held = self._held(np.array([left[e][places[e][y]] for e in range(self.servers)]))
            key = held.tobytes()
            if key not in seen:
                seen[key] = held
                own = np.where(self.served(held), here, np.inf)
                rise = np.minimum(rise, own - _least_of(own)[1][:, None] + (totals[y] - total))
        table[: self.users, : here.shape[1]] = np.where(here == np.inf, np.inf, rise)
        return Least(total, choice, table)

    def _held(self, sets: Choice) -> Mask:
        return np.array([one[c] for one, c in zip(self.sets, sets, strict=True)])

    def _placements(self, left: list[Choice], mask: Mask) -> tuple[list[Numbers], list[Numbers]]:
        """Joint placements: for each server the number of its set in `left`, and for each model the servers that hold
        it, one bit each; all (N,)."""
        key = mask[self.users :].tobytes()
        if key not in self._joint:
            self._joint = {k: v for k, v in list(self._joint.items())[-3:]}
            shape = [len(one) for one in left]
            places: list[Numbers] = [place.ravel() for place in np.indices(shape, dtype=np.int32)]
            codes: list[Numbers] = []
            for m in range(self.problem.models):
                code = np.zeros(int(np.prod(shape)), dtype=np.int32)
                for e, one in enumerate(left):
                    code |= (self.sets[e][one, m].astype(np.int32) << e)[places[e]]
                codes.append(code)
            self._joint[key] = places, codes
        return self._joint[key]

    def _by_servers(self, here: Numbers) -> list[Numbers]:
        """T_m of every set of servers, one bit each, (2^E,) for each model."""
        nearest = self._nearest(here)
        found = []
        for m in range(self.problem.models):
            own = nearest[self.model == m]
            table = np.zeros(1 << self.servers, dtype=here.dtype)
            for begin in range(0, len(own), 256):
                part = own[begin : begin + 256]
                least = part[:, -1:]
                for e in range(self.servers):
                    least = np.hstack([least, np.minimum(least, part[:, e : e + 1])])
                table = table + least.sum(axis=0)
            found.append(table)
        return found

    def _swiftly(self, here: Numbers) -> list[Numbers]:
        """As `_by_servers`: a user's least cost rises by steps as its nearest servers go, one after another.

        T_m(A) is the sum of all steps of which no server is in A, and each user's least cost of all: sums over the
        subsets of the servers that are not in A.
        """
        nearest = self._nearest(here)
        order = np.argsort(nearest[:, :-1], axis=1, kind="stable")
        sorted_ = np.take_along_axis(nearest, order, axis=1)
        gone = np.bitwise_or.accumulate(np.int64(1) << order, axis=1)
        finite = np.where(np.isfinite(sorted_), sorted_, -np.inf).max(axis=1)
        lost = ~np.isfinite(nearest[:, -1])
        top = np.where(lost, finite, nearest[:, -1])
        if not np.isfinite(top).all():
            return [np.full(1 << self.servers, np.inf) for _ in range(self.problem.models)]
        heights = np.minimum(sorted_, top[:, None])
        steps = np.diff(np.column_stack([heights, top]), axis=1)
        needed = (np.isfinite(nearest[:, :-1]) << np.arange(self.servers)).sum(axis=1)
        full, found = (1 << self.servers) - 1, []
        for m in range(self.problem.models):
            own = self.model == m
            table = np.bincount(gone[own].ravel(), weights=steps[own].ravel(), minlength=full + 1)
            closed = np.bincount(needed[own & lost], minlength=full + 1).astype(float)
            both = np.stack([table, closed])
            for e in range(self.servers):
                parts = both.reshape(2, -1, 2, 1 << e)
                parts[:, :, 1] += parts[:, :, 0]
            table, closed = both[:, ::-1]  # of the servers that are not there
            found.append(np.where(closed > 0, np.inf, heights[own, 0].sum() + table))
        return found

    def _nearest(self, here: Numbers) -> Numbers:
        """Each user's least cost at each server, and on its device, (K, E + 1)."""
        found = np.full((self.users, self.servers + 1), np.inf, dtype=here.dtype)
        rows = self.rows[:, 0]
        for o in range(here.shape[1]):
            at = self.server[:, o]
            found[rows, at] = np.minimum(found[rows, at], here[:, o])
        return found

    # ---- too many

    def _relaxed(self, here: Numbers, left: list[Choice], shape: tuple[int, ...], rises: bool) -> Least:
        union = np.array([one[c].any(axis=0) for one, c in zip(self.sets, left, strict=True)])
        own = np.where(self.served(union), here, np.inf)
        option, least = _least_of(own)
        total = _sum(least)
        rise = [np.zeros(len(c), here.dtype) for c in left]
        if total != np.inf:
            rise = self._rises_without(own, least, left)
        sets = np.array([c[int(r.argmin())] for c, r in zip(left, rise, strict=True)], dtype=np.int64)
        if not rises:
            return Least(total, np.r_[option, sets], None)
        table = np.full(shape, np.inf, dtype=here.dtype)
        if total != np.inf:
            table[: self.users, : here.shape[1]] = np.where(own == np.inf, np.inf, own - least[:, None])
            for e, c in enumerate(left):
                table[self.users + e, c] = rise[e]
        return Least(total, np.r_[option, sets], table)

    def _rises_without(self, own: Numbers, least: Numbers, left: list[Choice]) -> list[Numbers]:
        """By how much the total of costs (K, O) rises at least where a server holds one of its sets, in turn."""
        # what it costs to do without a server, one model after another
        nearest = self._nearest(own)
        place = nearest.argmin(axis=1)
        rows = self.rows[:, 0]
        without = nearest.copy()
        without[rows, place] = np.inf
        lost = np.zeros((self.servers, self.problem.models), dtype=own.dtype)
        away = place < self.servers
        np.add.at(lost, (place[away], self.model[away]), (without.min(axis=1) - least)[away])
        return [(np.where(self.sets[e][c], 0, lost[e])).sum(axis=1) for e, c in enumerate(left)]


def _least_of(cost: Numbers) -> tuple[Choice, Numbers]:
    choice = cost.argmin(axis=1)
    return choice, cost[np.arange(len(cost)), choice]


def _sum(least: Numbers) -> Any:
    return np.inf if (least == np.inf).any() else least.sum()


def maximal_sets(problem: PlacementProblem, server: int, models: Choice) -> Mask:
    """Sets of some models that fit a server's memory and to which none of the others can be added, (S, M).

    Raises
    ------
    InvalidInput
        Where they are too many.
    """
    assert problem.model_byte is not None
    assert problem.memory_byte is not None
    size, memory = problem.model_byte, float(problem.memory_byte[server])
    models = models[size[models] <= memory]
    # large ones first: what is left out is then soon known
    models = models[np.argsort(-size[models], kind="stable")]
    found: list[Mask] = []
    stack = [(0, np.zeros(problem.models, dtype=bool))]
    steps = 0
    while stack:
        at, held = stack.pop()
        steps += 1
        if len(found) > MOST_SETS or steps > _MOST_STEPS:
            raise InvalidInput(
                f"memory_byte (server {server})", memory,
                f"a memory that at most {MOST_SETS} maximal sets of the {models.size} models fit [byte]",
                "Leave out models that matter little, or take those together that are used together.",
            )  # fmt: skip
        if at == models.size:
            rest = models[~held[models]]
            if not any(_fits(held, m, size, memory) for m in rest.tolist()):
                found.append(held)
            continue
        m = int(models[at])
        if _fits(held, m, size, memory):
            with_it = held.copy()
            with_it[m] = True
            # without it only where something else could take its place
            if float(size[models[at + 1 :]].sum() + held @ size + size[m]) > memory:
                stack.append((at + 1, held))
            stack.append((at + 1, with_it))
        else:
            stack.append((at + 1, held))
    return np.array(found)


def _fits(held: Mask, model: int, size: NDArray[np.float64], memory: float) -> bool:
    more = held.copy()
    more[model] = True
    return bool(more @ size <= memory)
