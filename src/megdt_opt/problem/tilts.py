"""Multipliers that tilt the users' weights, where an objective is the largest of several weighted sums.

Such an objective is, for latencies L,

    max over nu of  sum_k (base + nu_k) w_k L_k      within  0 <= nu_k <= most_k,  sum_k part_k nu_k <= total:

"mixed" has base 1 and total max_weight, "max" beside weighted costs base 0 and total 1. "mean_cvar" has base 1, total
cvar_weight, most cvar_weight / (1 - cvar_level) and part w, the users' probabilities: the conditional value at risk is
the largest sum of q_k L_k with 0 <= q_k <= w_k / (1 - level) and sum q = 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from megdt_opt.problem.arrays import Array

_ROOM = 1e-14
"""Relative distance of the sum from its limit, so that rounding never carries it over."""

_SURE = 5e-15
"""Relative distance of a sum in floats from its limit that says that it is within it."""


@dataclass(frozen=True, eq=False)
class Tilts:
    """What the multipliers of the users may be.

    Parameters
    ----------
    base : float
        What is added to each [1].
    total : float
        Limit on their weighted sum [1].
    name : str
        What the limit is called.
    most : array, (K,), or float
        Limits of each [1].
    part : array, (K,), or float
        What each counts in the sum [1].
    """

    base: float
    total: float
    name: str = "max_weight"
    most: Array | float = np.inf
    part: Array | float = 1.0

    def kept(self, tilts: Array) -> Array:
        """Multipliers (K,) within the limits, with room for rounding."""
        kept: Array = np.clip(tilts, 0.0, self.most)
        total = float((self.part * kept).sum())
        return kept * (self.total * (1.0 - _ROOM) / total) if total > self.total * (1.0 - _ROOM) else kept

    def fault(self, tilts: tuple[float, ...]) -> str:
        """What is wrong with multipliers, exactly; empty where nothing is."""
        parts, most = np.broadcast_to(self.part, len(tilts)), np.broadcast_to(self.most, len(tilts))
        if any(one > limit for one, limit in zip(tilts, most.tolist(), strict=True)):
            return "a leaf's multiplier is more than it may be"
        if math.fsum(np.multiply(tilts, parts)) <= self.total * (1.0 - _SURE):
            return ""
        pairs = zip(tilts, parts.tolist(), strict=True)
        total = sum((Fraction(one) * Fraction(part) for one, part in pairs), Fraction(0))
        return f"a leaf's multipliers sum to more than {self.name}" if total > Fraction(self.total) else ""
