"""The engine for "missed": being late is one choice more for each user, the last, and costs the user's weight.

The other choices cost what being on time takes at the prices, as another engine has it for "max" at no level. Where
choices cannot be kept together, users are made late until the others can be on time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from megdt_opt.certificate.allocation import FloatValuer
from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.engines.base import Separable
from megdt_opt.solving.engines.engine import Choice, Engine, Peak, Priced, Settled
from megdt_opt.solving.search import planes
from megdt_opt.solving.search.on_time import OnTime

_DROPS = 8
"""Rounds of making users late until the others are on time [1]."""

_PRICES = 40
"""Price vectors that say what cannot be kept together [1]."""

_PASSES = 60
_KEPT = 1e-9
_NO_LEVEL = 1e250
"""A level that no latency comes near to [s]."""


class MissedEngine(Separable):
    """As `Engine` has it.

    Parameters
    ----------
    problem : AllocationProblem
        With objective "missed".
    resources : Resources
        The problem, scaled.
    make : callable
        The engine of a problem with objective "max".
    deadline : float
        `time.monotonic()` after which no more is looked for [s].
    """

    def __init__(
        self,
        problem: AllocationProblem,
        resources: Resources,
        make: Callable[[AllocationProblem, Resources], Engine],
        deadline: float = np.inf,
    ) -> None:
        self.problem, self.resources, self.deadline = problem, resources, deadline
        self.on_time = OnTime(problem, resources)
        self._inner = make(replace(problem, objective="max", deadline_s=problem.on_time_s), resources)
        late = problem.options
        nothing = np.zeros(3)
        able = self._inner.heads & np.isfinite(self._inner.costs(self._inner.heads, nothing, _NO_LEVEL))
        head = self._inner.head
        # options that are never on time go with being late, unless one that is takes nothing
        known = np.take_along_axis(able, np.maximum(head, 0), axis=1) & (head >= 0)
        follows = np.where(known, head, np.where(head >= 0, late, -1))
        self.head: Choice = np.column_stack([follows, np.full(problem.users, late)])
        free = able & np.logical_not((resources.a > 0).any(axis=0))
        for k in np.flatnonzero(free.any(axis=1)):
            self.head[k, self.head[k] >= 0] = int(free[k].argmax())
        self.heads: Mask = self.head == np.arange(late + 1)
        self._tried: list[Array] = []

    def terms(self, party: int) -> Array:
        """As `Engine` has it; being late differs from all else."""
        inner = self._inner.terms(party)
        return np.vstack([np.column_stack([inner, np.zeros(len(inner))]), np.r_[np.zeros(inner.shape[1]), 1.0]])

    def summary(self) -> Array:
        """As `Engine` has it."""
        return np.column_stack([self._inner.summary(), self.problem.on_time_s])

    def _remember(self, prices: Array) -> None:
        self._tried = [prices, *self._tried[: _PRICES - 1]]

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        late = self.problem.weights + prices[UPLINK] * self.on_time.least
        inner = self._inner.costs(np.ascontiguousarray(mask[:, :-1]), prices, _NO_LEVEL)
        return np.column_stack([inner, np.where(mask[:, -1], late, np.inf)])

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """As `Engine` has it."""
        cost = self.costs(mask, prices, level_s)
        cost = cost if extra is None else cost + extra
        choice = cost.argmin(axis=1)
        total = float(cost[np.arange(len(choice)), choice].sum())
        late = choice == self.on_time.late
        slope = self._inner.shares(np.where(late, -1, choice), prices, _NO_LEVEL).sum(axis=1)
        slope[UPLINK] += float(self.on_time.least[late].sum())
        return Priced(total, slope, choice)

    def shares(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        return self._inner.shares(choice, prices, _NO_LEVEL)

    def proving(self, mask: Mask, prices: Array, level_s: float | None, goal: float) -> int | None:
        """As `Engine` has it."""
        for n, one in enumerate(prices):
            if float(self.costs(mask, one, None).min(axis=1).sum()) - float(one.sum()) >= goal:
                return n
        return None

    def climb(self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, start: Array) -> Peak:
        """As `Engine` has it."""
        return self._climb(mask, goal, box, most, start, 1e-13)

    def _climb(self, mask: Mask, goal: float, box: float, most: int, start: Array, precision: float) -> Peak:
        def value_at(prices: Array) -> tuple[float, Array, Choice]:
            self._remember(prices)
            found = self.price(mask, prices, None)
            return found.total - float(prices.sum()), found.slope - 1.0, found.choice

        used = (self.resources.a > 0).any(axis=(1, 2))
        room = planes.Room(np.where(used, box, 0.0), 0)
        return planes.climb(value_at, start, goal, room, most, precision, lambda: time.monotonic() <= self.deadline)

    def peak(self, mask: Mask, ceiling_s: float, box: float, gap: float, start: Array) -> Peak:
        """As `Engine` has it."""
        busy = (self.resources.a > 0).any(axis=(1, 2)).astype(float)
        start = start if start.any() else busy * float(self.problem.weights.sum()) / 3
        return self._climb(mask, np.inf, box, _PASSES, start, min(max(0.01 * gap, 1e-12), 1e-7))

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it; users are made late, those first that cost most for their weight, until the others can
        be on time."""
        on_time, weights = self.on_time, self.problem.weights
        asked = np.array(choice, dtype=np.int64)
        choice = asked.copy()
        found_prices = prices
        for turn in range(_DROPS):
            why = self._drop(choice)
            if turn == 0 and why is not None:
                found_prices = self._steep(asked, why, float(weights.sum()))
            weight = float(on_time.weight(choice[None])[0])
            if weight >= ceiling_s:
                break
            found = on_time.fit(choice[None], self.deadline)
            if on_time.together(found.objective)[0]:
                return Settled(weight, np.zeros(3), found.x[0], choice)
            if not np.isfinite(found.objective[0]) or time.monotonic() > self.deadline:
                break
            steep = self._steep(choice, found.prices[0], float(weights.sum()))
            if (choice == asked).all():
                found_prices = steep
            if not steep.any():
                break
            self._remember(steep)
        return Settled(np.inf, found_prices, np.zeros((3, len(choice))), choice)

    def _drop(self, choice: Choice) -> Array | None:
        """Make users late until no known prices prove that the others cannot be on time; the first that did."""
        why: Array | None = None
        rows, late = np.arange(len(choice)), self.on_time.late
        for prices in self._tried:
            charged = float(prices.sum())
            if charged <= 0:
                continue
            only = np.zeros(self.heads.shape, bool)
            only[rows, choice] = True
            cost = self.costs(only, prices, None)[rows, choice]
            is_late = choice == late
            each = np.where(is_late, prices[UPLINK] * self.on_time.least, cost)
            while each.sum() > charged * (1.0 + _KEPT):
                ready = np.where(choice != late, each / self.problem.weights, -1.0)
                k = int(ready.argmax())
                if ready[k] <= 0:
                    break
                choice[k] = late
                each[k] = prices[UPLINK] * self.on_time.least[k]
                why = prices if why is None else why
        return why

    def _steep(self, choice: Choice, prices: Array, all_late: float) -> Array:
        """Prices scaled so far up that choices, which they prove to be out of reach, cost more than all weights."""
        total = prices.sum()
        if total <= 0:
            return np.zeros(3)
        prices = prices / total
        rows = np.arange(len(choice))
        only = np.zeros(self.heads.shape, bool)
        only[rows, choice] = True
        cost = self.costs(only, prices, None)[rows, choice]
        need = float(np.where(choice == self.on_time.late, prices[UPLINK] * self.on_time.least, cost).sum()) - 1.0
        return np.asarray(prices * all_late * (min(2.0 / need, 1e9) if need > 0 else 1.0))

    def settle_all(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> Iterator[Settled]:
        """As `Engine` has it."""
        return (self.settle(choice, ceiling_s, prices) for choice in choices)

    def first_sets(self) -> Choice:
        """As `Engine` has it: everybody late, and what the inner engine has."""
        late = np.where(self.heads[:, -1], self.on_time.late, self.head[:, -1])
        rows = np.arange(len(late))
        sets = [self.head[rows, one] for one in self._inner.first_sets()]
        return np.array([late, *sets])

    def valuer(self) -> Valuer:
        """As `Engine` has it."""
        return FloatValuer(self.problem, self.resources)
