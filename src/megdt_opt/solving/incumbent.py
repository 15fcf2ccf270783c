"""The best allocation found so far."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible
from megdt_opt.problem import AllocationProblem
from megdt_opt.solving.resources import Array, Resources
from megdt_opt.solving.shares import best_shares

_BATCH = 64


class Incumbent:
    """Option sets that were evaluated, with the best of them.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    """

    def __init__(self, problem: AllocationProblem, resources: Resources) -> None:
        self.problem = problem
        self.resources = resources
        self.objective = np.inf
        self.option = np.zeros(problem.users, dtype=np.int64)
        self.x: Array = np.zeros((3, problem.users))
        self.prices: Array = np.zeros(3 + problem.users * (problem.objective == "mixed"))
        self.least_bound = np.inf
        """No shares of the sets offered are better than this [s]."""
        self._started = False
        self._seen: dict[bytes, Array] = {}

    def offer(self, sets: NDArray[np.int64]) -> bool:
        """Evaluate option sets, (S, K), that are new; True where one is better than the best so far."""
        sets = np.atleast_2d(sets).astype(np.int64)
        fresh = [s for s in np.unique(sets, axis=0) if s.tobytes() not in self._seen]
        before = self.objective
        for begin in range(0, len(fresh), _BATCH):
            part = np.array(fresh[begin : begin + _BATCH])
            found = best_shares(self.problem, self.resources, part)
            self.least_bound = min(self.least_bound, float(found.bound.min()))
            multipliers = found.prices
            if self.problem.objective == "mixed":
                multipliers = np.hstack([found.prices, found.tilts])
            for option, prices, objective in zip(part, multipliers, found.objective, strict=True):
                self._seen[option.tobytes()] = prices if np.isfinite(objective) else np.full(len(prices), np.nan)
            best = int(found.objective.argmin())
            if found.objective[best] < self.objective:
                self.objective = float(found.objective[best])
                self.option, self.x, self.prices = part[best], found.x[best], multipliers[best]
        return self.objective < before

    def prices_of(self, option: NDArray[np.int64]) -> Array | None:
        """Prices of an evaluated set, for "mixed" with its multipliers; None where it cannot keep the limits."""
        prices = self._seen[option.astype(np.int64).tobytes()]
        return None if np.isnan(prices).any() else prices

    def seed_prices(self) -> list[Array]:
        """Price vectors to begin with."""
        equal = np.ones(3) * max(float(self.prices[:3].sum()), 1e-12) / 3
        return [self.prices, np.r_[equal, self.prices[3:]]]

    def start(self, time_limit_s: float | None = None) -> None:
        """Find some allocation that keeps the limits, if a simple rule or the least lateness yields one."""
        if self._started:
            return
        self._started = True
        self.offer(np.array(list(self._simple_sets())))
        if np.isfinite(self.objective) or not np.isfinite(self.problem.hard_deadline_s).any():
            return
        # the set with the least max L / deadline: if even that is late, no set keeps the deadlines
        from megdt_opt.solving.branching import close

        limits = self.problem.hard_deadline_s
        # no deadline is below 1e-100, see `problem.LARGEST`
        weight = np.where(np.isfinite(limits), 1.0 / np.where(np.isfinite(limits), limits, 1.0), 0.0)
        weight = np.maximum(weight, 1e-9 * weight.max())
        relaxed = replace(self.problem, objective="max", deadline_s=None, weight=weight, max_weight=None)
        try:
            found = close(relaxed, Resources.of(relaxed), gap=1e-9, time_limit_s=time_limit_s, named=False)
        except Infeasible:
            return  # the airtime limits clash by themselves
        self.offer(found.incumbent.option[None])

    def _simple_sets(self) -> list[NDArray[np.int64]]:
        """Per user: least demand, least time alone, least sum at an equal split, and least airtime."""
        p, r = self.problem, self.resources
        closed = np.where(r.open, 0.0, np.inf)
        with np.errstate(over="ignore"):  # what is infinite is not the least
            total = r.a.sum(axis=0)
            alone = p.fixed_s + np.maximum(p.branch_s, total)
            split = p.fixed_s + np.maximum(p.branch_s, p.users * total)
            light = p.fixed_s + p.branch_s + 1e6 * total
        # if the least airtimes of all do not fit together, none do
        least = (r.lo[0] + closed).min(axis=1, keepdims=True)
        lowest = np.where(r.lo[0] <= least, split, np.inf)
        return [(score + closed).argmin(axis=1) for score in (alone, split, light, lowest)]
