"""Plain Python numbers out of what callers have: NumPy's and pandas' numbers, arrays and columns as well.

What is no number (text, a truth value, a duration, a masked entry, a quantity with a unit, a complex number) stays
apart: None, for the caller to refuse by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from numbers import Integral, Real

import numpy as np


def real(value: object) -> float | None:
    """A real number as float, infinity and NaN included; None for anything else."""
    if isinstance(value, bool | np.bool_ | np.timedelta64) or not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer that no float holds
        return math.inf if abs(value) == value else -math.inf


def integer(value: object) -> int | None:
    """An integer as int; None for anything else."""
    if isinstance(value, bool | np.timedelta64) or not isinstance(value, Integral):
        return None
    return int(value)


def entries(value: object) -> tuple[object, ...] | None:
    """Entries of a list, tuple, array or column, in order; None for text and for anything without an order."""
    if isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Iterable):
        return None
    try:
        return tuple(value)
    except TypeError:  # an array without a dimension
        return None
