"""What best shares are best for: a weighted sum and a largest of latencies, and a tail."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megdt_opt.problem.evaluation import cvar_s
from megdt_opt.radio.rates import Array


@dataclass(frozen=True)
class Goal:
    """sum_weight * sum_k w_k L_k + max_weight * max_k w_k L_k, and where asked a conditional value at risk.

    Parameters
    ----------
    weight : array, (K,)
        w [1].
    sum_weight, max_weight : float
        [1].
    cvar : tuple of float, optional
        Level and weight of the conditional value at risk, of which w are the probabilities [1].
    """

    weight: Array
    sum_weight: float
    max_weight: float
    cvar: tuple[float, float] | None = None

    def value(self, latency: Array) -> Array:
        """The goal of latencies (S, K) [s]."""
        weighted = self.weight * latency
        total: Array = np.zeros(len(latency))
        if self.sum_weight > 0:
            total = total + self.sum_weight * weighted.sum(axis=1)
        if self.max_weight > 0:
            total = total + self.max_weight * weighted.max(axis=1)
        if self.cvar is not None:
            total = total + self.cvar[1] * cvar_s(latency, np.broadcast_to(self.weight, latency.shape), self.cvar[0])
        return total
