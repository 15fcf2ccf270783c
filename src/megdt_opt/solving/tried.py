"""Option sets that are tried for themselves, many at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.search.on_time import OnTime

_BATCH = 64


class Tried:
    """The best of the option sets that were offered.

    For "missed" a choice O + 1 is that of being late, and the objective the weight of the users that are.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
        The problem, scaled.
    """

    def __init__(self, problem: AllocationProblem, resources: Resources) -> None:
        self.problem, self.resources = problem, resources
        self.objective = np.inf
        self.option = np.zeros(problem.users, dtype=np.int64)
        self.x: Array = np.zeros((3, problem.users))
        self.least_bound = np.inf
        """No shares of the sets offered are better than this [s]."""

    def offer(self, sets: NDArray[np.int64]) -> None:
        """Evaluate option sets, (S, K)."""
        sets = np.atleast_2d(sets).astype(np.int64)
        if self.problem.objective == "missed":
            self._on_time(sets)
            return
        for begin in range(0, len(sets), _BATCH):
            part = sets[begin : begin + _BATCH]
            found = best_shares(self.problem, self.resources, part)
            self.least_bound = min(self.least_bound, float(found.bound.min()))
            best = int(found.objective.argmin())
            if found.objective[best] < self.objective:
                self.objective = float(found.objective[best])
                self.option, self.x = part[best], found.x[best]

    def _on_time(self, sets: NDArray[np.int64]) -> None:
        """Sets from the least weight of late users upwards, until one can be kept."""
        on_time = OnTime(self.problem, self.resources)
        weight = on_time.weight(sets)
        order = np.argsort(weight, kind="stable")
        for begin in range(0, len(order), 16):
            part = order[begin : begin + 16]
            found = on_time.fit(sets[part])
            fitting = np.flatnonzero(on_time.together(found.objective))
            if fitting.size:
                best = int(fitting[0])
                self.objective = float(weight[part[best]])
                self.option, self.x = on_time.settle(sets[part[best]], found.x[best])
                return
