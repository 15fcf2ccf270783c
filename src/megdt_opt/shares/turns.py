"""Best shares of one band for given options and given ends of what comes before the downloads."""

from __future__ import annotations

import numpy as np

from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.turns import need
from megdt_opt.radio.rates import shannon_minimiser

_STEPS = 200


def best_sum(weight: Array, a: Array, gamma: Array) -> tuple[Array, float]:
    """Shares (K,) of the least sum_k w a / R(x), and the band's price.

    Linear rates: the square-root rule. Shannon rates: the price at which the wanted shares fill the band; the sum of
    the shares is nearly a power of the price, so that secants of the logarithms settle in a few steps.
    """
    root = np.sqrt(weight * a)
    total = float(root.sum())
    if total == 0.0:
        return np.zeros_like(a), 0.0
    if np.isinf(gamma).all():
        return root / total, total * total
    some = a > 0
    wa, g, x = (weight * a)[some], gamma[some], np.zeros_like(a)

    def excess(z: float) -> tuple[float, Array]:
        shares = shannon_minimiser(wa / np.exp(z), g)
        return float(np.log(shares.sum())), shares

    z = 2.0 * np.log(total)
    off, shares = excess(z)
    low, high = -np.inf, np.inf
    slope = -0.5
    for _ in range(_STEPS):
        if abs(off) < 1e-15:
            break
        low, high = (z, high) if off > 0 else (low, z)
        ahead = z - off / slope
        if not low < ahead < high:
            ahead = 0.5 * (low + high)
        if ahead in (z, low, high):
            break
        new, shares = excess(ahead)
        slope = min(max((new - off) / (ahead - z), -4.0), -0.05)
        z, off = ahead, new
    x[some] = shares / max(float(shares.sum()), 1.0)
    return x, float(np.exp(z))


def level_of(end: Array, weight: Array, a: Array, gamma: Array) -> tuple[float, Array]:
    """The least D with max_k w (end + download) <= D, and shares (K,) that reach it.

    `end` (K,) is when the download begins [s]. The sum of the shares that a level needs is convex and falls with it, so
    that Newton's method from below rises to where the band is full.
    """
    some = a > 0
    least = float((weight * end).max())
    if not some.any():
        return least, np.zeros_like(a)
    w, f, b, g = weight[some], end[some], a[some], gamma[some]
    # the whole band for each: below any level that they can reach together
    alone = b if np.isinf(g).all() else b / np.log1p(g)
    level = max(least, float((w * (f + alone)).max()))
    x = np.zeros_like(a)
    for _ in range(_STEPS):
        share, slope = need(level / w - f, b, g)
        total, fall = float(share.sum()), float((slope / w).sum())
        if not total > 1.0:
            break
        ahead = level + (1.0 - total) / fall
        if not ahead > level * (1.0 + 1e-16):
            break
        level = ahead
    share = need(level / w - f, b, g)[0]
    x[some] = share / max(float(share.sum()), 1.0)
    return level, x
