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
        key = np.asarray(choice, dtype=np.int32).tobytes()
        if key in self._seen:
            return False
        self._seen.add(key)
        ceiling = self.objective * (1.0 - 0.01 * self.gap)
        return self.take(self.engine.settle(choice, ceiling, self.prices if prices is None else prices))

    def take(self, found: Settled) -> bool:
        """Keep what was settled, where it is the best; True if so."""
        if not found.objective < self.objective:
            return False
        self.objective = found.objective
        self.choice, self.x, self.prices = np.array(found.choice, dtype=np.int64), found.x, found.prices
        return True
