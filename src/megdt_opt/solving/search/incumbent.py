"""The best allocation found so far."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import Infeasible
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem, objective_s
from megdt_opt.problem.checks import NO_DEADLINE_S
from megdt_opt.shares.best import best_shares
from megdt_opt.shares.interior import latencies

_BATCH = 64

_CLOSE = 1e-9
"""Relative gap to which the least lateness is closed [1]."""

_KEPT = 1.0 + 1e-11
"""Largest L / deadline that counts as kept: `shares` loosens hard limits by as much [1]."""


class Incumbent:
    """Option sets that were evaluated, with the best of them.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    deadline : float
        `time.monotonic()` after which nothing new is begun [s].
    """

    def __init__(self, problem: AllocationProblem, resources: Resources, deadline: float = np.inf) -> None:
        self.problem = problem
        self.resources = resources
        self.deadline = deadline
        self.objective = np.inf
        self.option = np.zeros(problem.users, dtype=np.int64)
        self.x: Array = np.zeros((3, problem.users))
        self.prices: Array = np.zeros(3 + problem.users * (problem.objective == "mixed"))
        self.least_bound = np.inf
        """No shares of the sets offered are better than this [s]."""
        self.ruled_out = True
        """Whether `start`, where it found nothing, has settled that there is nothing to be found."""
        self._started = False
        self._seen: dict[bytes, Array] = {}

    @property
    def out_of_time(self) -> bool:
        """Whether the deadline is over."""
        return time.monotonic() > self.deadline

    def offer(self, sets: NDArray[np.int64]) -> bool:
        """Evaluate option sets, (S, K), that are new; True where one is better than the best so far.

        After the deadline, no more than the first few of them are.
        """
        sets = np.atleast_2d(sets).astype(np.int64)
        fresh = [s for s in np.unique(sets, axis=0) if s.tobytes() not in self._seen]
        before = self.objective
        for begin in range(0, len(fresh), _BATCH):
            part = np.array(fresh[begin : begin + _BATCH])
            found = best_shares(self.problem, self.resources, part, self.deadline)
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
            if self.out_of_time:
                break
        return self.objective < before

    def prices_of(self, option: NDArray[np.int64]) -> Array | None:
        """Prices of an evaluated set, for "mixed" with its multipliers; None where it cannot keep the limits."""
        prices = self._seen[option.astype(np.int64).tobytes()]
        return None if np.isnan(prices).any() else prices

    def seed_prices(self) -> list[Array]:
        """Price vectors to begin with."""
        equal = np.ones(3) * max(float(self.prices[:3].sum()), 1e-12) / 3
        return [self.prices, np.r_[equal, self.prices[3:]]]

    def start(self) -> None:
        """Find some allocation that keeps the limits, if a simple rule or the least lateness yields one."""
        if self._started:
            return
        self._started = True
        self.offer(np.array(list(self._simple_sets())))
        limits = self.problem.hard_deadline_s
        if np.isfinite(self.objective) or not np.isfinite(limits).any():
            return
        # the set with the least max L / deadline: if even that is late, no set keeps the deadlines
        from megdt_opt.solving.search.branching import close

        # no deadline is below `problem.checks.SMALLEST`
        weight = 1.0 / np.where(np.isfinite(limits), limits, NO_DEADLINE_S)
        relaxed = replace(self.problem, objective="max", deadline_s=None, weight=weight, max_weight=None)
        left = None if np.isinf(self.deadline) else self.deadline - time.monotonic()
        try:
            found = close(relaxed, Resources.of(relaxed), gap=_CLOSE, time_limit_s=left, named=False, enough=1.0)
        except Infeasible:
            return  # the airtime limits clash by themselves
        option = found.incumbent.option
        self.offer(option[None])
        if not np.isfinite(self.objective):
            self._adopt(option, found.incumbent.x)
        # a search that was cut short may not have seen a set that keeps the deadlines
        self.ruled_out = found.bound >= 1.0 - 2 * _CLOSE

    def _adopt(self, option: NDArray[np.int64], x: Array) -> None:
        """Take shares, (3, K), as they are, if they keep the deadlines: where the best have not been found in time."""
        rows, sets = np.arange(self.problem.users), option[None]
        a, gamma, _, _ = self.resources.pick(sets)
        fixed, branch = self.problem.fixed_s[rows, sets], self.problem.branch_s[rows, sets]
        latency = latencies(a, gamma, x[None], fixed, branch)[0]
        if (latency <= self.problem.hard_deadline_s * _KEPT).all():
            self.objective = float(objective_s(self.problem, latency))
            self.option, self.x = option, x

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
        least = (r.lo[UPLINK] + closed).min(axis=1, keepdims=True)
        lowest = np.where(r.lo[UPLINK] <= least, split, np.inf)
        return [(score + closed).argmin(axis=1) for score in (alone, split, light, lowest)]
