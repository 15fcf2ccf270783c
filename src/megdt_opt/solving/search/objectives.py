"""What the search has to prove, for each objective."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megdt_opt.pricing.priced import grain
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.tolerances import LEVEL_EXCESS, SUM_EXCESS

_DEAR = 16.0
"""Prices of "missed" in sums of all weights, at most: with everybody free to be late one is enough, but what proves
that users who have to be on time cannot be is as dear as it is near [1]."""


@dataclass(frozen=True)
class Objective:
    """What values of prices say: a bound of the objective, or with `leveled` that a level is out of reach.

    Parameters
    ----------
    leveled : bool
        True for "max": costs are those of keeping a level, and more than the budgets proves it out of reach.
    grain : float
        Step between values that the objective can have; 0 where it has any [1].
    ceiling : float
        More than any price that matters, where that is known; else 0.
    """

    leveled: bool
    grain: float = 0.0
    ceiling: float = 0.0

    @classmethod
    def of(cls, problem: AllocationProblem) -> Objective:
        """That of a problem."""
        if problem.objective == "missed":
            return cls(False, float(grain(problem.weights)), _DEAR * float(problem.weights.sum()))
        return cls(problem.objective == "max" and problem.tilts is None)

    def goal(self, best: float, gap: float) -> tuple[float | None, float]:
        """The level of costs, and the value of prices that proves that nothing is better than `best` by the gap."""
        target = best * (1.0 - gap)
        if self.leveled:
            return target, LEVEL_EXCESS
        if self.grain:
            target = min(target, best - self.grain * (1.0 - 1e-6))
        return None, target + SUM_EXCESS * abs(target)

    def box(self, best: float) -> float:
        """More than any price that matters."""
        if self.leveled:
            return 1.0
        return self.ceiling or 4.0 * best

    def start(self, prices: np.ndarray) -> np.ndarray:
        """Prices as they are to begin with: for "max" they sum to 1."""
        if not self.leveled:
            return prices
        total = float(prices.sum())
        return prices / total if 0.0 < total < np.inf else np.full(len(prices), 1.0 / len(prices))
