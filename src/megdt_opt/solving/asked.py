"""What every search may be asked for: a gap to prove, and a limit on its time."""

from __future__ import annotations

import math
from numbers import Real

from megdt_opt.errors import InvalidInput


def check_asked(gap: float, time_limit_s: float | None) -> None:
    """Refuse a gap [1] that is negative, and a time limit [s] that is not above 0; both are finite numbers."""
    if not (_is_number(gap) and gap >= 0):
        raise InvalidInput("gap", gap, "a finite number of at least 0 [1]", "Use the default 1e-6.")
    if time_limit_s is not None and not (_is_number(time_limit_s) and time_limit_s > 0):
        raise InvalidInput("time_limit_s", time_limit_s, "a time above 0 [s]", "Leave it out for no limit.")


def _is_number(value: object) -> bool:
    """Whether a value is a finite real number that a float holds; a truth value is none."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
