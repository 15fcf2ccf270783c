"""The best allocation found so far."""

from __future__ import annotations

import numpy as np

from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import Choice, Engine, Settled


class Incumbent:
    """Choices that were settled, with the best of them.

    Parameters
    ----------
    engine : Engine
    gap : float
        Relative gap to be proven: what is better by less than a hundredth of it is not looked for [1].
    prices : int
        Numbers in a price vector [1].
    """

    def __init__(self, engine: Engine, gap: float, prices: int = 3) -> None:
        self.engine, self.gap = engine, gap
        self.objective = np.inf
        self.choice: Choice = np.zeros(len(engine.heads), np.int64)
        self.x: Array = np.zeros((3, len(engine.heads)))
        self.prices: Array = np.ones(prices)
        self._seen: set[bytes] = set()

    def offer(self, choice: Choice, prices: Array | None = None) -> bool:
        """Settle choices (K,) that are new; True where they are the best. `prices` are a guess of theirs."""
        return self.offer_all([choice], prices)

    def offer_all(self, choices: list[Choice], prices: Array | None = None, *, first: bool = False) -> bool:
        """The same for several; with `first`, none is looked at after one that is the best."""
        fresh = []
        for choice in choices:
            key = np.asarray(choice, dtype=np.int32).tobytes()
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(choice)
        if not fresh:
            return False
        better = False
        ceiling = self.objective * (1.0 - 0.01 * self.gap)
        for found in self.engine.settle_all(fresh, ceiling, self.prices if prices is None else prices, first):
            better |= self.take(found)
            if better and first:
                break
        return better

    def take(self, found: Settled) -> bool:
        """Keep what was settled, where it is the best; True if so."""
        if not found.objective < self.objective:
            return False
        self.objective = found.objective
        self.choice, self.x, self.prices = np.array(found.choice, dtype=np.int64), found.x, found.prices
        return True
