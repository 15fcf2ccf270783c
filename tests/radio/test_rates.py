"""Rate laws against high-precision arithmetic."""

from __future__ import annotations

from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt.radio.rates import linear_rate, shannon_band, shannon_rate
from megdt_opt.tolerances import EXACT

getcontext().prec = 50


def _true_band(rate: float, snr_hz: float) -> float:
    """Bisection in 50 digits for b ln(1 + g / b) = r ln 2."""
    wanted, g = Decimal(rate) * Decimal(2).ln(), Decimal(snr_hz)
    low, high = Decimal(10) ** -60, Decimal(10) ** 40
    for _ in range(400):
        middle = (low * high).sqrt()
        low, high = (middle, high) if middle * (1 + g / middle).ln() < wanted else (low, middle)
    return float(high)


@pytest.mark.parametrize("part", [1e-9, 1e-6, 1e-3, 0.1, 0.49, 0.51, 0.9, 0.999, 0.99999, 1 - 1e-6])
@pytest.mark.parametrize("snr_hz", [1e-3, 1.0, 1e9])
def test_shannon_band_against_fifty_digits(part: float, snr_hz: float) -> None:
    rate = part * snr_hz / np.log(2)
    # the band itself moves by 1 / (1 - part) times a rounding of the rate
    assert float(shannon_band(rate, snr_hz)) == pytest.approx(_true_band(rate, snr_hz), rel=EXACT)


@given(st.floats(1e-6, 1e12), st.floats(1e-6, 1e12))
def test_shannon_band_inverts_the_rate(band_hz: float, snr_hz: float) -> None:
    rate = float(shannon_rate(band_hz, snr_hz))
    part = rate * np.log(2) / snr_hz
    if part < 1 - 1e-7:
        assert float(shannon_band(rate, snr_hz)) == pytest.approx(band_hz, rel=1e-8)


def test_ends_of_the_shannon_law() -> None:
    assert shannon_band([0.0, 2.0, 1.0], [1.0, 1.0, 0.0]).tolist() == [0.0, np.inf, np.inf]
    assert shannon_rate([0.0, 1.0], [1.0, 0.0]).tolist() == [0.0, 0.0]
    assert float(shannon_rate(1e30, 1.0)) == pytest.approx(1 / np.log(2))


@given(st.lists(st.floats(1e-3, 1e9), min_size=2, max_size=8), st.floats(1e-3, 1e9))
def test_more_band_never_lowers_the_rate(bands_hz: list[float], snr_hz: float) -> None:
    rates = shannon_rate(np.sort(bands_hz), snr_hz)
    assert (np.diff(rates) >= -1e-12 * rates[1:]).all()


def test_linear() -> None:
    assert linear_rate([1.0, 2.0], [3.0, 4.0]).tolist() == [3.0, 8.0]
