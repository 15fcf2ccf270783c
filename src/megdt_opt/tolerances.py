"""The three tolerances of the package; no solver has one of its own."""

from __future__ import annotations

EXACT = 1e-9
"""Relative: a closed form against high-precision arithmetic or bisection."""

SOLVER = 1e-6
"""Relative: an optimum against an oracle, after re-evaluation."""

BOUND = 1e-9
"""One-sided, relative: a bound may exceed the optimum by this much rounding and no more."""
