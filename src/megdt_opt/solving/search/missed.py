"""The price method for "missed": least weight of late users, proven by the same branch trees.

Being late is one choice more for each user, the last, and costs its weight; the other choices cost what being on time
takes at the prices (`priced.priced_missed`). Sums of weights are multiples of their `grain`, so a leaf has proven
enough as soon as no smaller multiple is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.conflict import no_option, not_together
from megdt_opt.solving.search.branching import LEAST_GAP, Search, dominance, run
from megdt_opt.solving.search.closed import Closed
from megdt_opt.solving.search.on_time import BestChoice, grain
from megdt_opt.solving.search.pool import Mask, Pool

_DROPS = 8
"""Rounds of dropping users until the others are on time."""


@dataclass
class MissedSearch(Search):
    """Search over being late and the options of the users on time."""

    incumbent: BestChoice

    def __post_init__(self) -> None:
        self._grain = float(grain(self.problem.weights))
        super().__post_init__()

    def reset(self) -> None:
        """The tables do not depend on the incumbent; one pool serves the whole search."""
        if not hasattr(self, "pool"):
            self.pool = self._pool(Pool, None)
            self.box = float(self.problem.weights.sum())

    @property
    def goal(self) -> float:
        """A leaf's value from which no better sum of weights is left."""
        best = self.incumbent.objective
        return min(self.target, best - self._grain * (1.0 - 1e-6))

    @property
    def mask(self) -> Mask:
        """Every choice, (K, O + 1)."""
        return np.column_stack([self.problem.open_options, self.resources.open.any(axis=1)])

    def terms(self, k: int) -> Array:
        """What options of a user differ in, (5, O + 1)."""
        return np.column_stack([super().terms(k), np.zeros(5)])

    def groups(self) -> NDArray[np.int64]:
        """Dominating choice of each; options that are never on time go with being late."""
        late = self.problem.options
        able = np.isfinite(priced(self.problem, self.resources, np.zeros(3)).cost[:, :-1])
        able &= self.resources.open
        r = self.resources
        head = dominance(self.problem, Resources(a=r.a, gamma=r.gamma, lo=r.lo, hi=r.hi, open=able), self.deadline)
        head = np.column_stack([np.where(able, head, late), np.full(self.problem.users, late)])
        free = able & np.logical_not(np.any(r.a > 0, axis=0))
        for k in np.flatnonzero(free.any(axis=1)):
            head[k] = int(free[k].argmax())
        return head

    def divide(self, k: int, first: int, second: int, mask: Mask, groups: NDArray[np.int64]) -> Mask:
        """Late on one side and on time on the other, if that is the question; else as for other objectives."""
        if self.problem.options in (first, second):
            return np.asarray(mask[k] & (groups[k] == groups[k, -1]))
        return super().divide(k, first, second, mask, groups)

    def try_sets(self, sets: NDArray[np.int64]) -> None:
        """Offer choices; where users cannot be on time together, drop some until they can."""
        for choice in np.atleast_2d(sets)[:4]:
            self._drop(choice.copy())

    def polish(self, mask: Mask) -> None:
        """Put late users back on time, and exchange one late user for one on time, while that helps."""
        late = self.incumbent.on_time.late
        value, _, _ = self.pool.values(mask)
        extra = self.pool.reduced_costs(int(value.argmax()), mask)[:, :-1]
        for _ in range(self.problem.users):
            best = self.incumbent.option
            out = [k for k in np.flatnonzero(best == late) if np.isfinite(extra[k]).any()]
            inside = [k for k in np.flatnonzero(best != late) if self.resources.a[:, k, best[k]].any()]
            sets = []
            for k in out:
                back = best.copy()
                back[k] = int(extra[k].argmin())
                sets.append(back)
                for j in inside:
                    if self.problem.weights[j] < self.problem.weights[k]:
                        swapped = back.copy()
                        swapped[j] = late
                        sets.append(swapped)
            if not sets or self.out_of_time or not self.incumbent.offer(self._possible(np.array(sets))[:48]):
                return

    def _need(self, sets: NDArray[np.int64]) -> tuple[Array, Array]:
        """What the users on time cost at every price vector beyond the budgets, (P, S), and each of them, (P, S, K)."""
        cost = self.pool.costs[:, np.arange(self.problem.users), sets]
        prices = np.array(self.pool.prices)
        is_late = sets == self.incumbent.on_time.late
        each = np.where(is_late, prices[:, UPLINK, None, None] * self.incumbent.on_time.least, cost)
        return each.sum(axis=2) - prices.sum(axis=1)[:, None], each

    def _possible(self, sets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Choices that no price vector rules out."""
        need, _ = self._need(sets)
        slack = 1e-9 * np.array(self.pool.prices).sum(axis=1)[:, None]
        result: NDArray[np.int64] = sets[(need <= slack).all(axis=0)]
        return result

    def _drop(self, choice: NDArray[np.int64]) -> None:
        """Make users late, those first that cost most for their weight, until the others can be on time."""
        late = self.incumbent.on_time.late
        for _ in range(_DROPS):
            while True:
                need, each = self._need(choice[None])
                sums = np.array(self.pool.prices).sum(axis=1)
                excess = np.where(sums > 0, need[:, 0] / np.where(sums > 0, sums, 1.0), 0.0)
                worst = int(excess.argmax())
                ready = np.where(choice != late, each[worst, 0] / self.problem.weights, -1.0)
                if excess[worst] <= 1e-9 or ready.max() <= 0:
                    break
                choice[int(ready.argmax())] = late
            if self.incumbent.on_time.weight(choice[None])[0] >= self.incumbent.objective or self.out_of_time:
                return
            if self.incumbent.offer(choice[None]):
                return
            prices = self.incumbent.prices_of(choice)
            if prices is None or not prices.any():
                return
            self.pool.add(prices)


def close_missed(problem: AllocationProblem, resources: Resources, *, gap: float, deadline: float) -> Closed:
    """Minimise "missed" and prove it until `time.monotonic()` reaches the deadline [s]; see `branching.close`.

    Raises
    ------
    Infeasible
        Where a user has no open option, or the limits on air time cannot be met together.
    """
    if not resources.open.any(axis=1).all():
        raise no_option(problem, resources)
    incumbent = BestChoice(problem, resources, deadline)
    incumbent.start()
    if not np.isfinite(incumbent.objective):
        raise not_together(problem, resources, deadline)
    closed = run(MissedSearch(problem, resources, max(0.95 * gap, LEAST_GAP), deadline, incumbent))
    incumbent.option, incumbent.x = incumbent.on_time.settle(incumbent.option, incumbent.x)
    return closed
