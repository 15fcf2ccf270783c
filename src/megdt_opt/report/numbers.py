"""Numbers as people read them: sensible digits, the same number of decimals down a column."""

from __future__ import annotations

import math
from collections.abc import Sequence

from megdt_opt.si import NONE as NONE

TIMES = "\N{MULTIPLICATION SIGN}"
"""The sign of a factor."""


def column(values: Sequence[float | None], digits: int = 4) -> list[str]:
    """Format a column with as many decimals as give its largest value `digits` significant digits.

    Parameters
    ----------
    values : sequence of float or None
        None, and what is not finite, becomes a dash.
    digits : int
        Significant digits of the largest value [1].
    """
    finite = [abs(v) for v in values if v is not None and math.isfinite(v)]
    largest = max(finite, default=0.0)
    decimals = 0 if largest == 0 else min(max(digits - 1 - math.floor(math.log10(largest)), 0), 9)
    return [NONE if v is None or not math.isfinite(v) else f"{v + 0.0:.{decimals}f}" for v in values]


def number(value: float, digits: int = 4) -> str:
    """One value with this many significant digits, without exponent; a dash if it is not finite."""
    return column([value], digits)[0]


def small(value: float) -> str:
    """A relative gap, for example "9.5e-07", and "0" for zero; a dash if it is not finite."""
    if not math.isfinite(value):
        return NONE
    return "0" if value == 0 else f"{value:.1e}"


def words(names: Sequence[str]) -> str:
    """A list in words: "a, b and c"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def short(name: str, most: int = 30) -> str:
    """A name as a figure has room for: its beginning and an ellipsis where it is longer than this many characters."""
    return name if len(name) <= most else f"{name[: most - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"


def count(number: int, noun: str, plural: str = "") -> str:
    """A counted noun, for example "1 user" or "6 users"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
