"""Price vectors and what each of them says about every option; bounds of any part of the problem follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.highs import minimum

Mask = NDArray[np.bool_]

_HUGE = 1e30
"""Stands for the cost of a closed option, so that sums stay finite."""


class Pool:
    """Prices with their tables, at one level.

    For "sum" the value of a mask is sum_k min_o c - sum l: a lower bound of its objective. For "max" it is
    sum_k min_o c(l, level) - 1 with sum l = 1: positive proves that no allocation in the mask reaches the level.
    For "missed" it is as for "sum", and being late is one choice more.

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
    level_s : float or None
        The level of "max" [s]; None for "sum" and "missed".
    """

    def __init__(self, problem: AllocationProblem, resources: Resources, level_s: float | None) -> None:
        self.problem = problem
        self.resources = resources
        self.level_s = level_s
        self.used: NDArray[np.bool_] = np.any(resources.a > 0, axis=(1, 2))
        self.prices: list[Array] = []
        self._cost: list[Array] = []
        self._x: list[Array] = []

    @property
    def summed(self) -> bool:
        """Whether values are bounds of the objective, as for "sum" and "missed"."""
        return self.level_s is None

    def add(self, prices: Array) -> int:
        """Add prices, (3,), and return their number; for "max" they are scaled to sum 1."""
        prices = np.where(self.used, np.maximum(prices, 0.0), 0.0)
        if not self.summed:
            total = prices.sum()
            prices = prices / total if total > 0 else self.used / max(int(self.used.sum()), 1)
        self._append(prices)
        return len(self.prices) - 1

    def _append(self, prices: Array) -> None:
        table = priced(self.problem, self.resources, prices, self.level_s)
        self.prices.append(prices)
        self._cost.append(np.minimum(table.cost, _HUGE))
        self._x.append(table.x)

    def costs_at(self, index: int) -> Array:
        """Priced cost of every option under one price vector, (K, O); at least 1e29 where the option is closed."""
        return self._cost[index]

    def values(self, mask: Mask) -> tuple[Array, Array, NDArray[np.int64]]:
        """Value of a mask under every price vector, (P,), its slope in the prices, (P, 3), and the options, (P, K)."""
        cost = np.where(mask, np.array(self._cost), np.inf)
        best = cost.argmin(axis=2)
        rows = np.arange(mask.shape[0])
        least = np.take_along_axis(cost, best[:, :, None], axis=2)[:, :, 0]
        slope = np.array([x[:, rows, b].sum(axis=1) for x, b in zip(self._x, best, strict=True)])
        prices = np.array(self.prices)
        if self.summed:
            return least.sum(axis=1) - prices.sum(axis=1), slope - 1.0, best
        return least.sum(axis=1) - 1.0, slope, best

    def reduced_costs(self, index: int, mask: Mask) -> Array:
        """How much each option costs above its user's cheapest in the mask, (K, O)."""
        cost = np.where(mask, self._cost[index], np.inf)
        result: NDArray[np.float64] = cost - cost.min(axis=1, keepdims=True)
        return result

    def improve(self, mask: Mask, target: float, box: float, passes: int) -> tuple[float, int, Array, Array]:
        """Raise the bound of a mask by cutting planes until it reaches the target or cannot.

        Kelley's method: the largest value that the slopes seen so far leave possible says where to look next.

        Parameters
        ----------
        mask : array of bool, (K, O)
        target : float
            Value to reach.
        box : float
            Largest price tried, for "sum" [s].
        passes : int
            Most new price vectors.

        Returns
        -------
        tuple
            Best value, number of its prices, values (P,) and the weights of the convexified optimum, (P,), or (P, K)
            where each user has its own, which tell between which options a user is torn.
        """
        weights = np.zeros(0)
        for count in range(passes + 1):
            value, slope, _ = self.values(mask)
            best = int(value.argmax())
            if value[best] >= target or count == passes:
                break
            place, ceiling, weights = self._highest(mask, value, slope, box)
            if place is None or ceiling <= value[best] + 1e-12 * abs(value[best]):
                break
            if ceiling < target and count >= 2:
                break  # no prices can reach the target
            if any(np.allclose(place, known, rtol=1e-12, atol=0.0) for known in self.prices):
                break
            self.add(place)
        value, slope, _ = self.values(mask)
        best = int(value.argmax())
        if len(weights) != len(value):
            _, _, weights = self._highest(mask, value, slope, box)
        return float(value[best]), best, value, weights

    def _highest(self, mask: Mask, value: Array, slope: Array, box: float) -> tuple[Array | None, float, Array]:
        """argmax over prices of the least of the cuts value_j + slope_j . (l - l_j)."""
        prices = np.array(self.prices)
        kept = value < _HUGE / 10
        free = np.flatnonzero(self.used)
        nothing = np.zeros(len(value))
        if not kept.any() or free.size == 0:
            return None, float(value.max()), nothing
        scale = max(float(np.abs(value[kept]).max()), 1e-30)
        rows = np.hstack([-slope[kept][:, free] * box, np.ones((int(kept.sum()), 1)) * scale]) / scale
        right = (value[kept] - (slope[kept] * prices[kept]).sum(axis=1)) / scale
        one = np.ones(free.size)
        found = minimum(
            np.r_[0.0 * one, -1.0], rows, right, np.r_[0.0 * one, -np.inf], np.r_[one, np.inf],
            None if self.summed else (np.r_[box * one, 0.0], 1.0),
        )  # fmt: skip
        if found is None:
            return None, float(value.max()), nothing
        place = np.zeros(3)
        place[free] = found.v[:-1] * box
        weights = nothing.copy()
        weights[kept] = found.multipliers
        return place, float(found.v[-1] * scale), weights
