"""Rate laws, their inverses, and the times that they make of a payload.

Linear: r = e b. Shannon with noise that grows with the band: r = b log2(1 + g / b), g = P gain / N0 [Hz]; concave
and increasing in b, with the supremum g / ln 2.

As parts x of a band, and with gamma = g / band, a stage takes t = a / R(x): R(x) = x for a linear rate (gamma infinite)
and R(x) = x log1p(gamma / x) for Shannon. R is concave and increasing, so t is convex and decreasing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_LN2 = float(np.log(2.0))
_TINY = 1e-100

_SERIES = 1e-2
_BEND = [(-1) ** n * (n - 1) / n for n in range(8, 1, -1)]
"""log1p(u) - u / (1 + u) = u²/2 - 2u³/3 + 3u⁴/4 - ..."""


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


def speed(x: Array, gamma: Array) -> Array:
    """R(x)."""
    linear = np.isinf(gamma)
    if linear.all():
        return x
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        g = np.where(linear, 1.0, gamma)
        curved = np.where(x > 0, x * np.log1p(g / np.where(x > 0, x, 1.0)), 0.0)
    return np.where(linear, x, curved)


def time_and_slopes(x: Array, a: Array, gamma: Array) -> tuple[Array, Array, Array]:
    """t = a / R(x) and its first and second derivative, 0 where a = 0; x > 0 there."""
    x = np.where(a > 0, x, 1.0)
    linear = np.isinf(gamma) | (a == 0)  # no demand takes no time, even of a user without any signal
    if linear.all():
        t = a / x
        return t, -t / x, 2 * t / (x * x)
    u = np.where(linear, 1.0, gamma) / x
    r = np.where(linear, x, x * np.log1p(u))
    r1 = np.where(linear, 1.0, bend(u))
    r2 = np.where(linear, 0.0, -(u * u) / (x * (1 + u) ** 2))
    t = a / r
    return t, -t * r1 / r, t * (2 * (r1 / r) ** 2 - r2 / r)


def shannon_minimiser(ratio: Array, gamma: Array) -> Array:
    """The x at which l x + a / R(x) is least, for a / l = ratio: R(x)² / R'(x) = ratio, R(x) = x log1p(gamma / x).

    With u = gamma / x it reads u² (log1p(u) - u / (1 + u)) / log1p(u)² = gamma² / ratio; the left side is close to a
    power of u, so Newton on the logarithms settles in a few steps.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        target = np.log(gamma) * 2 - np.log(ratio)
        z = np.where(target < 0, 0.5 * (target + np.log(2.0)), 0.5 * target + 0.5 * np.log1p(np.maximum(target, 0) / 2))
        for _ in range(12):
            u = np.exp(np.clip(z, -300, 300))
            log, curve = np.log1p(u), bend(u)
            f = 2 * np.log(u) + np.log(curve) - 2 * np.log(log) - target
            slope = 2 + (u * u / (1 + u) ** 2) / curve - 2 * u / ((1 + u) * log)
            move = np.clip(f / slope, -3.0, 3.0)
            move = np.where(np.isfinite(move), move, 0.0)
            z = z - move
            if (np.abs(move) < 1e-9).all():  # the next step would move by its square
                break
        x = gamma / np.exp(np.clip(z, -300, 300))
    return np.where(ratio > 0, x, 0.0)


def bend(u: Array) -> Array:
    """log1p(u) - u / (1 + u), which is R'(x) at u = gamma / x; by its series where the difference would lose digits."""
    exact: Array = np.log1p(u) - u / (1 + u)
    if not (u < _SERIES).any():
        return exact
    small = np.minimum(u, _SERIES)
    series = small * small * np.polyval(_BEND, small)
    return np.where(u < _SERIES, series, exact)
