"""Values with their unit as people read them."""

from __future__ import annotations

import math

UNDIVIDED = frozenset({"Hz", "bit", "bit/s", "B"})
"""Units that are written without milli and below: "20 mHz" and "2 mbit" would be slips for mega."""

NONE = "\N{EN DASH}"
"""What stands where there is no figure."""


def percent(value: float, decimals: int | None = 2, *, signed: bool = True) -> str:
    """A number of percent as text, never with an exponent: percent(0.314) = "+0.31 %"; a dash if it is not finite.

    Parameters
    ----------
    value : float
        [%]
    decimals : int, optional
        None for as many as give two significant digits [1].
    signed : bool
        Whether a plus is written.
    """
    if not math.isfinite(value):
        return NONE
    if decimals is None:
        decimals = 0 if value == 0 else min(max(1 - math.floor(math.log10(abs(value))), 0), 9)
    return f"{round(value, decimals) + 0.0:{'+' if signed else ''}.{decimals}f} %"


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
