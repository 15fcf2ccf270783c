"""Rational arithmetic with outward brackets of square roots and logarithms."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from math import isqrt

_BITS = 96
_DIGITS = 50


def sqrt_below(value: Fraction) -> Fraction:
    """A rational at most the square root of value >= 0, within 2^-90 of it relatively."""
    if value <= 0:
        return Fraction(0)
    shift = max(0, _BITS - (value.numerator.bit_length() - value.denominator.bit_length()) // 2)
    return Fraction(isqrt((value.numerator << (2 * shift)) // value.denominator), 1 << shift)


def log_bracket(value: Fraction) -> tuple[Fraction, Fraction]:
    """Rationals below and above the natural logarithm of value >= 1.

    They are so near to it that ln(1 + u) - u/(1 + u), about u^2/2 for small u, keeps 40 digits.
    """
    if value == 1:
        return Fraction(0), Fraction(0)
    above = value - 1
    lost = 2 * max(0, (above.denominator.bit_length() - above.numerator.bit_length()) * 3 // 10)
    context = Context(prec=_DIGITS + lost)
    quotient = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    # the quotient is within one unit of the last digit relatively, which moves the logarithm by as much absolutely
    found = Fraction(context.ln(quotient))
    slack = (1 + abs(found)) / 10 ** (_DIGITS + lost - 3)
    return max(found - slack, Fraction(0)), found + slack


LN2 = log_bracket(Fraction(2))
"""Bracket of ln 2."""
