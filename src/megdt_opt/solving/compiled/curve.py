"""The least cost of a link under the Shannon law, as a table of one variable.

With x = gamma / u the least of l x + mu a / R(x), R(x) = x log1p(gamma / x), is l gamma G(sigma) at
sigma = sqrt(mu a / l) / gamma, where

    G(sigma) = min over u of 1 / u + sigma^2 u / log1p(u),

so that one function of one variable serves all users, prices and demands: its slope gives the time, and
G - sigma G' / 2 = 1 / u the share. G is smooth, so that pieces of degree 5 through value, slope and curvature, 64 to
each doubling of sigma, are exact to rounding (tests/unit/test_laws.py).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]

LOWEST, HIGHEST = -30, 10
"""Powers of 2 between which the table runs [1]; beyond it, G is worked out anew."""

PIECES = 64
"""Pieces for each doubling [1]: the leading 6 bits of a float's fraction."""


@cache
def curve() -> F:
    """The table, (pieces, 8): six coefficients in the place within the piece, 0 to 1, one over its width, and 0."""
    octave, place = np.meshgrid(np.arange(LOWEST, HIGHEST), np.arange(PIECES), indexing="ij")
    begin = (np.exp2(octave) * (1 + place / PIECES)).ravel()
    width = (np.exp2(octave) / PIECES * np.ones(PIECES)).ravel()
    g, slope, bend = least_cost(np.append(begin, np.exp2(HIGHEST)))
    a0, a1, a2 = g[:-1], slope[:-1] * width, bend[:-1] * width**2 / 2
    # what the piece of degree 2 misses at its end, in value, slope and half the curvature
    d0 = g[1:] - a0 - a1 - a2
    d1 = slope[1:] * width - a1 - 2 * a2
    d2 = bend[1:] * width**2 / 2 - a2
    table = np.zeros((begin.size, 8))
    table[:, :7] = np.column_stack(
        [a0, a1, a2, 10 * d0 - 4 * d1 + d2, -15 * d0 + 7 * d1 - 2 * d2, 6 * d0 - 3 * d1 + d2, 1 / width]
    )
    table.flags.writeable = False
    return table


def least_cost(sigma: F) -> tuple[F, F, F]:
    """G and its first two derivatives."""
    target = -2 * np.log(sigma)
    z = np.where(target < 0, 0.5 * (target + np.log(2.0)), 0.5 * target + 0.5 * np.log1p(np.maximum(target, 0) / 2))
    for _ in range(30):
        u = np.exp(z)
        log, bend = np.log1p(u), bending(u)
        f = 2 * z + np.log(bend) - 2 * np.log(log) - target
        steepness = 2 + (u * u / (1 + u) ** 2) / bend - 2 * u / ((1 + u) * log)
        move = np.clip(f / steepness, -3.0, 3.0)
        z = z - move
        if (np.abs(move) < 1e-15 * np.maximum(np.abs(z), 1)).all():
            break
    u = np.exp(z)
    log, bend = np.log1p(u), bending(u)
    steepness = 2 + (u * u / (1 + u) ** 2) / bend - 2 * u / ((1 + u) * log)
    wait = u / log
    return 1 / u + sigma**2 * wait, 2 * sigma * wait, 2 * wait - 4 * bend * u / (log**2 * steepness)


def bending(u: F) -> F:
    """log1p(u) - u / (1 + u), which loses digits at small u: there its series."""
    small = np.minimum(u, 0.05)
    series = np.zeros_like(u)
    for n in range(16, 1, -1):
        series = (n - 1) / n - small * series
    return np.where(u < 0.05, small * small * series, np.log1p(u) - u / (1 + u))


def brink(gamma: F) -> tuple[F, F]:
    """sqrt(R^2 / R') and 1 / R at the whole budget: where a link's share reaches it, and its time for a = 1.

    A share is the whole budget where sqrt(mu a / l) is at least the former. Both are 1 for R(x) = x, gamma infinite.
    """
    known = np.isfinite(gamma) & (gamma > 0)
    u = np.where(known, gamma, 1.0)
    log = np.log1p(u)
    return np.where(known, log / np.sqrt(bending(u)), 1.0), np.where(known, 1 / log, 1.0)
