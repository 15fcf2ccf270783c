"""The tolerances of the package; no solver has one of its own."""

from __future__ import annotations

EXACT = 1e-9
"""Relative: a closed form against high-precision arithmetic or bisection."""

SOLVER = 1e-6
"""Relative: an optimum against an oracle, after re-evaluation."""

BOUND = 1e-9
"""One-sided, relative: a bound may exceed the optimum by this much rounding and no more."""

SUM_EXCESS = 4e-12
"""Relative: what a value of prices exceeds the target by, so that rounding cannot spoil the proof; of the objective."""

LEVEL_EXCESS = 1e-10
"""What priced costs at a level exceed the budgets by, for the same reason [1]."""

LEAST_GAP = 1e-10
"""Relative: the smallest gap that a search in floats goes for."""

LIMIT_SLACK = 1e-11
"""Relative: hard limits are loosened by this much where shares are settled, so that one that is met exactly leaves
room. Enumeration and the search in NumPy, compiled and in batches do so alike, so that none takes what another calls
infeasible."""
