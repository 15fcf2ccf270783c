"""Rate laws and their inverses.

Linear: r = e b. Shannon with noise that grows with the band: r = b log2(1 + g / b), g = P gain / N0 [Hz]; concave
and increasing in b, with the supremum g / ln 2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LN2 = float(np.log(2.0))
_TINY = 1e-100


def shannon_rate(band_hz: ArrayLike, snr_hz: ArrayLike) -> NDArray[np.float64]:
    """Rate of a band [bit/s]: b log2(1 + g / b), 0 at b = 0.

    Parameters
    ----------
    band_hz : array_like
        Band b >= 0 [Hz].
    snr_hz : array_like
        SNR-bandwidth product g >= 0 [Hz].
    """
    b, g = np.broadcast_arrays(np.asarray(band_hz, float), np.asarray(snr_hz, float))
    safe = np.where(b > 0, b, 1.0)
    with np.errstate(over="ignore"):
        ratio = g / safe
    rate = np.where(np.isfinite(ratio), safe * np.log1p(np.where(np.isfinite(ratio), ratio, 0.0)) / _LN2, 0.0)
    return np.where(b > 0, rate, 0.0)


def shannon_band(rate_bit_per_s: ArrayLike, snr_hz: ArrayLike) -> NDArray[np.float64]:
    """Least band that carries a rate [Hz]; infinite where the rate is out of reach.

    With y = r ln2 / g: y = 0 needs no band, y >= 1 is out of reach, and else t > 0 solves log1p(t) = y t and
    b = g / t. Start: t = 2 (1 - y)(1 + 4 (1 - y) / 3) for y > 0.5, the branch W_-1 of Lambert's function below;
    then Halley steps, which restore the digits that W_-1 loses.

    Parameters
    ----------
    rate_bit_per_s : array_like
        Rate r >= 0 [bit/s].
    snr_hz : array_like
        SNR-bandwidth product g >= 0 [Hz].
    """
    from scipy.special import lambertw

    r, g = np.broadcast_arrays(np.asarray(rate_bit_per_s, float), np.asarray(snr_hz, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.where(r > 0, r * _LN2 / g, 0.0)
    reachable = (y > 0) & (y < 1)
    t = np.ones_like(y)
    high = reachable & (y > 0.5)
    t[high] = 2 * (1 - y[high]) * (1 + 4 * (1 - y[high]) / 3)
    tiny = reachable & (y < _TINY)
    low = reachable & ~high & ~tiny
    if low.any():
        # log1p(t) = y t  <=>  w exp(w) = -y exp(-y) with w = -y (1 + t)
        w = np.real(lambertw(-y[low] * np.exp(-y[low]), k=-1))
        t[low] = -w / y[low] - 1
    polished = high | low
    for _ in range(5):
        ts, ys = t[polished], y[polished]
        f = np.log1p(ts) - ys * ts
        slope = 1 / (1 + ts) - ys
        curve = -1 / (1 + ts) ** 2
        t[polished] = np.maximum(ts - 2 * f * slope / (2 * slope * slope - f * curve), ts / 2)
    if tiny.any():
        # here t is huge and log1p(t) = log(t) = u: u = log(u) - log(y) contracts by 1/u < 1/200
        u = -np.log(y[tiny])
        for _ in range(12):
            u = np.log(u) - np.log(y[tiny])
        t[tiny] = np.exp(np.minimum(u, 709.0))
    with np.errstate(divide="ignore", over="ignore"):
        band = np.where(reachable, g / t, np.inf)
    return np.where(y == 0, 0.0, band)


def linear_rate(band_hz: ArrayLike, efficiency: ArrayLike) -> NDArray[np.float64]:
    """Rate of a band [bit/s] at a spectral efficiency [bit/s/Hz]."""
    result: NDArray[np.float64] = np.asarray(band_hz, float) * np.asarray(efficiency, float)
    return result
