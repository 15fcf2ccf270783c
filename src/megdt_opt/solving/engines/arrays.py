"""The engine in NumPy: any objective, without anything to compile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.allocation import FloatValuer
from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing import priced as pricing
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.engines.by_planes import ByPlanes
from megdt_opt.solving.engines.engine import Choice, Priced, Separable, Settled

_KEPT = 2_000_000
"""Numbers in the tables that are kept [1]."""


class ArraysEngine(Separable, ByPlanes):
    """As `Engine` has it, for "sum" and "max"; it prices options and settles them for "mixed" too.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    deadline : float
        `time.monotonic()` after which no more prices are looked for [s].
    """

    def __init__(self, problem: AllocationProblem, resources: Resources, deadline: float = np.inf) -> None:
        self.problem, self.resources, self.deadline = problem, resources, deadline
        self.leveled = problem.objective == "max"
        self.used: NDArray[np.bool_] = np.any(resources.a > 0, axis=(1, 2))
        self.head: Choice = dominance(problem, resources, deadline)
        self.heads: Mask = (self.head == np.arange(problem.options)) & resources.open
        self._known: dict[tuple[bytes, float | None], pricing.Priced] = {}

    def _table(self, prices: Array, level_s: float | None) -> pricing.Priced:
        key = (prices.tobytes(), level_s)
        if key not in self._known:
            if len(self._known) * self.heads.size * 6 > _KEPT:
                self._known.clear()
            self._known[key] = pricing.priced(self.problem, self.resources, prices, level_s)
        return self._known[key]

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """As `Engine` has it."""
        table = self._table(prices, level_s)
        cost = np.where(mask, table.cost if extra is None else table.cost + extra, np.inf)
        choice = cost.argmin(axis=1)
        rows = np.arange(len(choice))
        return Priced(float(cost[rows, choice].sum()), table.x[:, rows, choice].sum(axis=1), choice)

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        return np.where(mask, self._table(prices, level_s).cost, np.inf)

    def shares(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        x = self._table(prices, level_s).x[:, np.arange(len(choice)), choice]
        return np.where(choice >= 0, x, 0.0)

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it."""
        return next(self.settle_all([choice], ceiling_s, prices))

    def settle_all(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> Iterator[Settled]:
        """As `Engine` has it: all at once, which takes little longer than one."""
        sets = np.array(choices, dtype=np.int64)
        found = best_shares(self.problem, self.resources, sets, self.deadline)
        prices = np.hstack([found.prices, found.tilts]) if self.problem.objective == "mixed" else found.prices
        for choice, objective, own, x in zip(sets, found.objective.tolist(), prices, found.x, strict=True):
            yield Settled(objective, own, x, choice)

    def first_sets(self) -> Choice:
        """As `Engine` has it: least time alone, least sum at an equal split, least demand, and least airtime."""
        p, r = self.problem, self.resources
        closed = np.where(self.heads, 0.0, np.inf)
        with np.errstate(over="ignore"):  # what is infinite is not the least
            total = r.a.sum(axis=0)
            alone = p.fixed_s + np.maximum(p.branch_s, total)
            split = p.fixed_s + np.maximum(p.branch_s, p.users * total)
            light = p.fixed_s + p.branch_s + 1e6 * total
        # if the least airtimes of all do not fit together, none do
        least = (r.lo[UPLINK] + closed).min(axis=1, keepdims=True)
        lowest = np.where(r.lo[UPLINK] <= least, split, np.inf)
        return np.array([(score + closed).argmin(axis=1) for score in (alone, split, light, lowest)])

    def valuer(self) -> Valuer:
        """As `Engine` has it."""
        return FloatValuer(self.problem, self.resources)


def dominance(problem: AllocationProblem, resources: Resources, deadline: float = np.inf) -> Choice:
    """For each user and option the option that is at least as good in every term, (K, O); itself if there is none, -1
    where it is closed.

    After the deadline, `time.monotonic()` [s], none is looked for.
    """
    users, options = problem.users, problem.options
    head = np.where(resources.open, np.arange(options), -1)
    for k in range(users):
        if time.monotonic() > deadline:
            break
        terms = np.vstack([problem.fixed_s[k], problem.branch_s[k], resources.a[:, k], resources.lo[UPLINK, k][None]])
        index = np.flatnonzero(resources.open[k])
        # sorted so that an option comes after every other that dominates it
        order = index[np.lexsort(terms[:, index])]
        kept: list[int] = []
        for o in order:
            for other in kept:
                if (terms[:, other] <= terms[:, o]).all():
                    head[k, o] = other
                    break
            else:
                kept.append(int(o))
    return head
