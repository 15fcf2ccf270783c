"""Best shares for given options in closed form, linear rates: the square-root rule and equal deadlines, with caps.

Shares x are parts of the budgets and a the seconds that a demand takes on a whole budget, so that a stage takes a / x.
Leading axes run over option sets. The propositions and their proofs stand in `megdt_opt.bounds.shares`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.tolerances import EXACT

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_NEWTON_STEPS = 100
_SCALINGS = 6
_CLOSE = 1e-13


def square_root(root: Array, cap: Array) -> tuple[Array, Array]:
    """Shares of the least Σ_k root_k² / x_k with Σ_k x_k <= 1 and x <= cap, and the roots of the budgets' prices.

    x = min(cap, root / r), where r sums the roots of the users below their caps over what the others leave.

    Parameters
    ----------
    root : array, (..., K)
        sqrt(w a) [sqrt(s)].
    cap : array, (..., K)
        Largest share [1].

    Returns
    -------
    tuple of array
        x, (..., K) [1], and r, (...) [sqrt(s)]: 0 where all have their caps and the budget is not used up.
    """
    free = root > 0
    while True:
        left = 1.0 - np.where((root > 0) & ~free, cap, 0.0).sum(axis=-1)
        r = np.where(free, root, 0.0).sum(axis=-1) / np.maximum(left, 1e-300)
        over = free & (root > cap * r[..., None])
        if not over.any():
            break
        free &= ~over
    return np.where(free, root / np.where(r > 0, r, 1.0)[..., None], np.where(root > 0, cap, 0.0)), r


@dataclass(frozen=True)
class EqualDeadlines:
    """Shares of S option sets at which the largest weighted latency is least.

    Parameters
    ----------
    x : array, (S, 3, K)
        Shares [1]; 0 where nothing is demanded.
    level : array, (S,)
        Largest weighted latency [s].
    prices : array, (S, 3)
        What the level loses per share of a budget [s]; 0 where a user is late whatever is shared.
    settled : array of bool, (S,)
        Whether the shares reach the level to `EXACT`; elsewhere the numbers lie too far apart for floats.
    """

    x: Array
    level: Array
    prices: Array
    settled: Flags


@dataclass
class _Sets:
    """Option sets, some of whose users are held at caps."""

    s: Array  # (S, I, K), roots of the demands that prices decide
    tau: Array  # (S, K), seconds for them at the start; 1 where there are none
    cap: Array  # (S, I), shares of those who are held
    weight: Array  # (K,)

    @classmethod
    def of(cls, a: Array, hi: Array, left: Array, weight: Array, held: Flags) -> _Sets:
        """`left` (S, K) is what the level of the start leaves for all stages [s]."""
        s = np.where(held, 0.0, np.sqrt(a))
        least = np.where(held, 0.0, a / hi).sum(axis=1)
        tau = np.maximum(left - np.where(held, a / hi, 0.0).sum(axis=1), least)
        return cls(s, np.where(s.any(axis=1), tau, 1.0), np.where(held, hi, 0.0).sum(axis=2), weight)

    def take(self, keep: Flags) -> _Sets:
        return _Sets(self.s[keep], self.tau[keep], self.cap[keep], self.weight)

    def at(self, extra: Array) -> tuple[Array, Array]:
        """At levels `extra` (S,) above the start: seconds (S, K), and M (S, I, I) with which prices r² cost r'M r."""
        tau = self.tau + extra[:, None] / self.weight
        m: Array = np.einsum("sik,sjk->sij", self.s / tau[:, None], self.s)
        place = np.arange(m.shape[1])
        m[:, place, place] += self.cap
        return tau, m


def equal_deadlines(a: Array, hi: Array, fixed: Array, weight: Array, floor: Array | float = 0.0) -> EqualDeadlines:
    """Best shares of option sets for "max".

    Newton's method on one over the largest eigenvalue of M, which is concave in the level, from below. Who would take
    more than a cap is held there, and then asks the other resources to keep the level; who would take less is let go.

    Parameters
    ----------
    a : array, (S, I, K)
        Demands on I resources [s].
    hi : array, (S, I, K)
        Largest shares [1].
    fixed : array, (S, K)
        Fixed latencies [s].
    weight : array, (K,)
        [1].
    floor : array, (S,), optional
        Largest weighted latency of what no share shortens, beside the fixed latencies [s].
    """
    with np.errstate(all="ignore"):  # what leaves the range of floats does not settle, which is said
        alone = np.where(a > 0, a / hi, 0.0).sum(axis=1)
        start = np.maximum((weight * (fixed + alone)).max(axis=1), floor)
        left = np.maximum(start[:, None] / weight - fixed, alone)
        extra, r, usage = np.zeros(len(a)), np.zeros(a.shape[:2]), np.zeros(a.shape[:2])
        x, held = np.zeros_like(a), np.zeros(a.shape, dtype=bool)
        open_: Flags = np.ones(len(a), dtype=bool)
        for _ in range(a.shape[2] + 2):
            sets = _Sets.of(a[open_], hi[open_], left[open_], weight, held[open_])
            extra[open_] = _levels(sets)
            r[open_], usage[open_], x[open_] = _shares(sets, extra[open_])
            moved = open_[:, None, None] & _misplaced(a, hi, left + extra[:, None] / weight, r, usage, x, held)
            x = np.where(held, hi, x)
            open_ = np.any(moved, axis=(1, 2))
            if not open_.any():
                break
            held ^= moved
        sets = _Sets.of(a, hi, left, weight, held)
        x = np.minimum(x, hi)
        x /= np.maximum(x.sum(axis=2, keepdims=True), 1.0)  # rounding alone: no sum is above 1 by more
        level = start + extra
        reached = (weight * (fixed + np.where(a > 0, a / x, 0.0).sum(axis=1))).max(axis=1)
        tight = np.where(usage >= 1.0 - EXACT, r, 0.0)
        # with more of all budgets the level falls by the prices, scaled by what it costs to be faster
        fall = ((np.einsum("si,sik->sk", tight, sets.s) / sets.at(extra)[0]) ** 2 / weight).sum(axis=1, keepdims=True)
    return EqualDeadlines(
        x=x, level=level, prices=tight**2 / np.where(fall > 0, fall, 1.0),
        settled=~open_ & (reached <= level * (1.0 + EXACT)),
    )  # fmt: skip


def _levels(sets: _Sets) -> Array:
    """How far above the start the largest eigenvalue of M is 1, (S,); 0 where it is less already."""
    extra, run = np.zeros(len(sets.s)), np.ones(len(sets.s), dtype=bool)
    for _ in range(_NEWTON_STEPS):
        part = sets.take(run)
        tau, m = part.at(extra[run])
        values, vectors = np.linalg.eigh(np.where(np.isfinite(m).all(axis=(1, 2), keepdims=True), m, 0.0))
        top = values[:, -1]
        slope = ((np.einsum("si,sik->sk", vectors[:, :, -1], part.s) / tau) ** 2 / sets.weight).sum(axis=1)
        step = np.where(slope > 0, (top * top - top) / slope, 0.0)
        grown = extra[run] + np.where(np.isfinite(step), np.maximum(step, 0.0), 0.0)
        going = grown > extra[run] * (1.0 + 1e-15)
        extra[run] = grown
        run[run] = going
        if not run.any():
            break
    return extra


def _shares(sets: _Sets, extra: Array) -> tuple[Array, Array, Array]:
    """At levels: roots of the prices (S, I), how much of the budgets is used (S, I), and shares (S, I, K).

    Resources that no user joins are apart, each group with prices and a usage of its own.
    """
    tau, m = sets.at(extra)
    used = sets.s.any(axis=2)
    m = np.where(np.isfinite(m).all(axis=(1, 2), keepdims=True), m, 0.0)
    count = m.shape[1]
    joined = np.linalg.matrix_power((m > 0) + np.eye(count), count) > 0
    r, usage = np.zeros(used.shape), np.zeros(used.shape)
    for i in range(count):
        group = joined[:, i] & used
        lead = group[:, i] & ~group[:, :i].any(axis=1)
        if lead.any():
            g = group[lead]
            vector, value = _perron(m[lead] * (g[:, :, None] & g[:, None, :]), g)
            r[lead] += vector
            usage[lead] += np.where(g, value[:, None], 0.0)
    y = np.einsum("si,sik->sk", r, sets.s)
    x = np.where(sets.s > 0, sets.s * (y / tau)[:, None] / np.where(used, r, 1.0)[:, :, None], 0.0)
    return r, usage, x


def _misplaced(a: Array, hi: Array, seconds: Array, r: Array, usage: Array, x: Array, held: Flags) -> Flags:
    """Who takes more than a cap, or is held at one that it would not take at the prices, (S, I, K)."""
    # where another group sets the level, a resource is worth nothing, and all of it may be taken
    root = np.where(usage >= usage.max(axis=1, keepdims=True) * (1.0 - 1e-12), r, 0.0)[:, :, None]
    s = np.sqrt(a)
    wanted = s * (root * s).sum(axis=1, keepdims=True) / seconds[:, None]
    return np.where(held, wanted < hi * root * (1.0 - 1e-12), x > hi * (1.0 + 1e-12))


def _perron(m: Array, group: Flags) -> tuple[Array, Array]:
    """Leading vectors (S, I) of matrices without negative entries, to the last digits of each entry; values (S,).

    An eigenvector is accurate in its length only. Scaled by it the matrix has entries near 1, and the leading vector
    of that says by what each entry was off.
    """
    values, vectors = np.linalg.eigh(m)
    top, v = values[:, -1], np.abs(vectors[:, :, -1])
    for _ in range(_SCALINGS):
        image = np.einsum("sij,sj->si", m, v) / top[:, None]
        v = np.where(group, np.maximum(np.maximum(v, image), 1e-290), 0.0)
        safe = np.where(group, v, 1.0)
        scaled = m * v[:, None, :] / safe[:, :, None]
        off = np.where(group, np.abs(scaled.sum(axis=2) / top[:, None] - 1.0), 0.0)
        if not (off > _CLOSE).any() or not np.isfinite(scaled).all():
            break
        found, right = np.linalg.eig(scaled)
        place, lead = np.arange(len(m)), found.real.argmax(axis=1)
        top, v = found.real[place, lead], v * np.abs(right.real[place, :, lead])
        v /= v.max(axis=1, keepdims=True)
    return v, top
