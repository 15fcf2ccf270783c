"""The engine of groups that are formed: best prices waver between fractional partitions, which cuts make rarer."""

from __future__ import annotations

import time

import numpy as np

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Peak
from megdt_opt.solving.engines.grouping import GroupingPricing, Solved
from megdt_opt.solving.engines.parties import PartiesEngine
from megdt_opt.solving.search import planes

_CUT_TURNS = 8
"""Turns in which cuts are added before a node is divided [1]."""


class GroupingEngine(PartiesEngine):
    """As `Engine` has it: the best prices waver between fractional partitions.

    Parameters
    ----------
    pricing : GroupingPricing
    deadline : float
    """

    def __init__(self, pricing: GroupingPricing, deadline: float = np.inf) -> None:
        super().__init__(pricing, deadline)
        self.sets = pricing

    def _climb(
        self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, start: Array, precision: float
    ) -> Peak:
        room, passes = planes.Room(np.where(self.used, box, 0.0), self.budgets * self.leveled), 0
        for turn in range(_CUT_TURNS + 1):
            tried: list[Solved] = []

            def value_at(prices: Array, tried: list[Solved] = tried) -> tuple[float, Array, Choice]:
                tried.append(self.sets.solved(mask, prices, level_s))
                slope = self.sets.usage(tried[-1], mask) - 1.0
                return tried[-1].found.value - float(prices.sum()), slope, np.array([len(tried) - 1])

            peak = planes.climb(value_at, start, goal, room, most, precision, self._in_time)
            passes += peak.passes
            at = int(peak.least[0]) if len(peak.least) else len(tried) - 1
            chosen, weights = [at], np.ones(1)
            if len(peak.weights):
                chosen, weights = peak.choices[:, 0].tolist(), peak.weights
            mixture = [tried[n] for n in chosen]
            start = peak.prices
            last = turn == _CUT_TURNS or peak.value >= goal or not self._in_time()
            if last or not self.sets.separate(mixture, weights):
                break
        base = self.sets.rounded(tried[at], mask)
        choices, parts = self.sets.fractions(mixture, weights, base, mask)
        least = base if len(peak.least) else peak.least
        return peak._replace(choices=choices, weights=parts, least=least, passes=passes)

    def _in_time(self) -> bool:
        return time.monotonic() <= self.deadline
