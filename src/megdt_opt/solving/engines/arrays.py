"""The engine in NumPy: any objective, without anything to compile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.allocation import FloatValuer
from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing import priced as pricing
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.engines.base import Separable
from megdt_opt.solving.engines.by_planes import ByPlanes
from megdt_opt.solving.engines.engine import Choice, Priced, Settled

_KEPT = 2_000_000
"""Numbers in the tables that are kept [1]."""


class ArraysEngine(ByPlanes, Separable):
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
        self.leveled = problem.objective == "max" and problem.tilts is None
        none = np.zeros((*problem.fixed_s.shape, 0))
        self.loads: Array = none if problem.cost_limits is None else problem.cost_limits.loads
        self.budgets = 3 + self.loads.shape[2]
        self.used: NDArray[np.bool_] = np.r_[np.any(resources.a > 0, axis=(1, 2)), self.loads.any(axis=(0, 1))]
        self.head: Choice = dominance(problem, resources, deadline)
        self.heads: Mask = (self.head == np.arange(problem.options)) & resources.open
        self._known: dict[tuple[bytes, float | None], pricing.Priced] = {}

    def _table(self, prices: Array, level_s: float | None) -> pricing.Priced:
        key = (prices.tobytes(), level_s)
        if key not in self._known:
            if len(self._known) * self.heads.size * 6 > _KEPT:
                self._known.clear()
            self._known[key] = pricing.priced_with_costs(self.problem, self.resources, prices, level_s)
        return self._known[key]

    def boxes(self, box: float) -> Array:
        """As `ByPlanes` has it: a limit on a cost is worth no more than what keeping it may take, at its price four
        times."""
        found = np.full(self.budgets, box)
        if self.budgets > 3 and not self.leveled:
            found[3:] = max(box, self._dearest)
        return np.where(self.used, found, 0.0)

    @cached_property
    def _dearest(self) -> float:
        """Four times what choices that load the limits the least are worth, infinite worths left out [s]."""
        sets = self.first_sets()[-self.loads.shape[2] :]
        free = replace(self.problem, cost_max=None)
        worth = best_shares(free, self.resources, sets, self.deadline).objective
        return 4.0 * float(np.where(np.isfinite(worth), worth, 0.0).max())

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """As `Engine` has it."""
        table = self._table(prices, level_s)
        cost = np.where(mask, table.cost if extra is None else table.cost + extra, np.inf)
        choice = cost.argmin(axis=1)
        rows = np.arange(len(choice))
        slope = table.x[:, rows, choice].sum(axis=1)
        if self.budgets > 3:
            slope = np.r_[slope, self.loads[rows, choice].sum(axis=0)]
        return Priced(float(cost[rows, choice].sum()), slope, choice)

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        return np.where(mask, self._table(prices, level_s).cost, np.inf)

    def shares(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        rows = np.arange(len(choice))
        x = self._table(prices, level_s).x[:, rows, choice]
        if self.budgets > 3:
            x = np.vstack([x, self.loads[rows, choice].T])
        return np.where(choice >= 0, x, 0.0)

    @property
    def _tables(self) -> tuple[Array, ...]:
        p = self.problem
        more = () if p.option_cost is None else tuple(p.option_cost.transpose(2, 0, 1))
        return (*super()._tables, *more)

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it; for choices beyond a limited cost the prices prove that."""
        found = next(self._settled(np.array([choice], dtype=np.int64)))
        if self.problem.cost_limits is None or self.problem.cost_limits.kept(choice):
            return found
        load = self.loads[np.arange(len(choice)), choice].sum(axis=0)
        own = np.zeros(len(found.prices))
        over = int(load.argmax())
        price = 1.0 if self.leveled or not np.isfinite(ceiling_s) else 2.0 * ceiling_s
        own[3 + over] = price / max(min(float(load[over]) - 1.0, 1.0), 1e-12)
        return found._replace(prices=own)

    def settle_all(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> Iterator[Settled]:
        """As `Engine` has it: all at once, which takes little longer than one. Choices beyond a limited cost are mended
        first."""
        sets = np.array(choices, dtype=np.int64)
        if self.problem.cost_limits is not None:
            level = ceiling_s if self.leveled and np.isfinite(ceiling_s) else None
            cost = np.where(self.heads, self._table(prices, level).cost, np.inf)
            sets = np.array([mended(one, self.loads, cost) for one in sets])
        return self._settled(sets)

    def _settled(self, sets: Choice) -> Iterator[Settled]:
        found = best_shares(self.problem, self.resources, sets, self.deadline)
        none = np.zeros((len(sets), self.budgets - 3))
        prices = np.hstack([found.prices, none, *([found.tilts] if self.problem.tilts is not None else [])])
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
        # what the limited costs leave of their limits, where they decide alone
        thrift = [score + closed for score in _thrifty(self.loads, alone)]
        # if the least airtimes of all do not fit together, none do
        least = (r.lo[UPLINK] + closed).min(axis=1, keepdims=True)
        lowest = np.where(r.lo[UPLINK] <= least, split, np.inf)
        return np.array([(score + closed).argmin(axis=1) for score in (alone, split, light, lowest, *thrift)])

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
        if problem.option_cost is not None:
            terms = np.vstack([terms, problem.option_cost[k].T])
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


def _thrifty(loads: Array, alone_s: Array) -> list[Array]:
    """Scores (K, O) by which users take what loads the limited costs the least: of all together, and of each."""
    if not loads.shape[2]:
        return []
    small = 1e-9 * alone_s / max(float(alone_s.max()), 1e-300)
    return [loads.sum(axis=2) + small, *(loads[:, :, n] + small for n in range(loads.shape[2]))]


def mended(choice: Choice, loads: Array, cost: Array) -> Choice:
    """Choices (K,) that keep the limited costs, by switching single users, or the same where that does not get there.

    Parameters
    ----------
    choice : array of int, (K,)
    loads : array, (K, O, N)
        What choices take of each limit; a limit is kept where they sum to at most 1.
    cost : array, (K, O)
        What choices cost at some prices; infinite where they are closed.
    """
    rows, choice = np.arange(len(choice)), choice.copy()
    total = loads[rows, choice].sum(axis=0)
    for _ in range(len(choice)):
        over = float(np.maximum(total - 1.0, 0.0).sum())
        if over <= 0.0:
            break
        others = total + loads - loads[rows, choice][:, None]
        with np.errstate(invalid="ignore"):
            gain = np.minimum(over - np.maximum(others - 1.0, 0.0).sum(axis=2), over)
            rise = cost - cost[rows, choice][:, None]
            least = float(np.abs(np.where(np.isfinite(rise), rise, 0.0)).max()) * 1e-9 + 1e-300
            worth = np.where((gain > 0) & np.isfinite(rise), gain / np.maximum(rise, least), 0.0)
        k, o = divmod(int(worth.argmax()), worth.shape[1])
        if not worth[k, o] > 0:
            break
        total = total + loads[k, o] - loads[k, choice[k]]
        choice[k] = o
    return choice
