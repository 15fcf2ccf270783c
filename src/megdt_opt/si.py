"""SI values as people read them."""

from __future__ import annotations

import math

UNDIVIDED = frozenset({"Hz", "bit", "bit/s", "B"})
"""Units that are written without milli and below: "20 mHz" and "2 mbit" would be slips for mega."""


def show(value: float, unit: str, digits: int = 3) -> str:
    """Format an SI value with a prefix, for example show(0.0123, "s") = "12.3 ms"."""
    if not math.isfinite(value) or value == 0:
        return f"{value:g} {unit}"
    names = [("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0), ("m", 1e-3), ("u", 1e-6), ("n", 1e-9)]
    for prefix, factor in names:
        if (prefix in ("G", "M", "k") and unit == "s") or (factor < 1 and unit in UNDIVIDED):
            continue
        if abs(value) >= factor * (1 - 10.0**-digits):
            return f"{value / factor:.{digits}g} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"
