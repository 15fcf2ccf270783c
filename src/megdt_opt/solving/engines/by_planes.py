"""Best prices by cutting planes, for engines that say no more than what prices are worth."""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Peak, Priced
from megdt_opt.solving.search import planes
from megdt_opt.tolerances import LEVEL_EXCESS

_LEVELS, _PASSES = 30, 60
_COARSE = 1e-3
_FINE = 0.1
"""What the prices of "sum" are brought to, as a part of the gap's precision [1]."""


class ByPlanes:
    """What follows from `price`.

    Attributes
    ----------
    budgets : int
        Prices, B.
    leveled : bool
        Whether the objective is "max".
    used : array of bool, (B,)
        Budgets that some choice demands.
    deadline : float
        `time.monotonic()` after which no more prices are looked for [s].
    """

    budgets: int
    leveled: bool
    used: NDArray[np.bool_]
    deadline: float

    def boxes(self, box: float) -> Array:
        """More than any price of each budget that matters, (B,)."""
        return np.where(self.used, box, 0.0)

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """As `Engine` has it."""
        raise NotImplementedError

    def proving(self, mask: Mask, prices: Array, level_s: float | None, goal: float) -> int | None:
        """As `Engine` has it."""
        for n, one in enumerate(prices):
            if self.price(mask, one, level_s).total - float(one.sum()) >= goal:
                return n
        return None

    def climb(self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, start: Array) -> Peak:
        """As `Engine` has it."""
        return self._climb(mask, level_s, goal, box, most, start, 1e-13)

    def _climb(
        self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, start: Array, precision: float
    ) -> Peak:
        def value_at(prices: Array) -> tuple[float, Array, Choice]:
            found = self.price(mask, prices, level_s)
            return found.total - float(prices.sum()), found.slope - 1.0, found.choice

        room = planes.Room(self.boxes(box), self.budgets * self.leveled)
        return planes.climb(value_at, start, goal, room, most, precision, lambda: time.monotonic() <= self.deadline)

    def peak(self, mask: Mask, ceiling_s: float, box: float, gap: float, start: Array) -> Peak:
        """As `Engine` has it."""
        last = min(max(0.01 * gap, 1e-12), 1e-7)
        if not self.leveled:
            return self._climb(mask, None, np.inf, box, _PASSES, start, _FINE * last)
        # the level at which the best prices cost as much as the budgets, by secants of the logarithms; prices are made
        # only as good as is needed to say on which side of it a level lies
        low, high, level, peak = 0.0, np.inf, ceiling_s * (1.0 - gap), None
        before: tuple[float, float] | None = None
        passes, fine, finest = 0, _COARSE, max(last, 1e-9)
        for _ in range(_LEVELS):
            peak = self._climb(mask, level, np.inf, 1.0, _PASSES, start, fine)
            passes += peak.passes
            value = peak.value + 1.0
            if not np.isfinite(value):
                low = level
                level = 0.5 * (low + high) if np.isfinite(high) else 2.0 * level
                continue
            start = peak.prices
            if (level >= ceiling_s * (1.0 - gap) and value >= 1.0 + LEVEL_EXCESS) or time.monotonic() > self.deadline:
                break
            if value < 1.0 <= value * (1.0 + 2.0 * fine) or abs(value - 1.0) <= last:
                if fine <= finest:
                    break
                fine = max(finest, 1e-3 * fine)
                continue
            low, high = (level, high) if value >= 1.0 else (low, level)
            if high <= low * (1.0 + last):
                break
            ahead = level * max(value, 1e-3)
            height = math.log(max(value, 1e-12))
            if before is not None and before[0] != level:
                steep = (height - before[1]) / math.log(level / before[0])
                ahead = level * math.exp(min(max(-height / steep, -1.0), 1.0)) if steep < -0.5 else ahead
            before = level, height
            level = ahead if low < ahead < high else 0.5 * (low + high) if np.isfinite(high) else 2.0 * low
        assert peak is not None
        return peak._replace(passes=passes)
