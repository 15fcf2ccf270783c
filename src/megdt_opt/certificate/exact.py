"""Rational arithmetic with outward brackets of square roots and logarithms."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from math import isqrt

_BITS = 96
_CONTEXT = Context(prec=50)
_RELATIVE = Fraction(1, 10**45)


def sqrt_below(value: Fraction) -> Fraction:
    """A rational at most the square root of value >= 0, within 2^-90 of it relatively."""
    if value <= 0:
        return Fraction(0)
    shift = max(0, _BITS - (value.numerator.bit_length() - value.denominator.bit_length()) // 2)
    return Fraction(isqrt((value.numerator << (2 * shift)) // value.denominator), 1 << shift)


def log_bracket(value: Fraction) -> tuple[Fraction, Fraction]:
    """Rationals below and above the natural logarithm of value >= 1."""
    if value == 1:
        return Fraction(0), Fraction(0)
    quotient = _CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))
    # the quotient is within 1e-49 relatively, which moves the logarithm by as much absolutely
    found = Fraction(_CONTEXT.ln(quotient))
    slack = Fraction(1, 10**48) + abs(found) * _RELATIVE
    return max(found - slack, Fraction(0)), found + slack


LN2 = log_bracket(Fraction(2))
"""Bracket of ln 2."""
