"""Best shares for "max" where only budgets and share caps bind, by Newton's method, for many option sets at once.

Linear rates, sequential options, no deadlines, no airtime limits. At a level D user k has tau = D / w - fixed seconds
for its stages, and at prices l it spends least on them with the shares x_i = sqrt(a_i / l_i) S / tau, with
S = sum_i sqrt(l_i a_i) (Cauchy-Schwarz); an edge share that would pass its cap is the cap, and the rest of the time
goes to the links. The best level is the one at which every priced budget is used up (equal deadlines); prices scale
freely, so that the first of them stands for the level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import DOWNLINK, EDGE, UPLINK, Array

Flags = NDArray[np.bool_]

_STEPS, _HALVINGS = 40, 30
_CLOSE = 1e-13
_SETTLED = 1e-10
_TINY = 1e-300


@dataclass(frozen=True)
class Equal:
    """Shares at which the largest weighted latency is least.

    Parameters
    ----------
    x : array, (S, 3, K)
        Scaled shares [1].
    level : array, (S,)
        The least largest weighted latency of the users whose shares matter [s].
    prices : array, (S, 3)
        Shadow prices of the scaled budgets [s].
    settled : array of bool, (S,)
        Where Newton's method has found them.
    """

    x: Array
    level: Array
    prices: Array
    settled: Flags


@dataclass
class _Sets:
    s: Array  # (S, 3, K), roots of the demands
    cap: Array  # (S, K)
    fixed: Array  # (S, K)
    weight: Array  # (K,)
    ample: Flags  # (S,), whether all have their cap of the edge

    def take(self, keep: Flags) -> _Sets:
        return _Sets(self.s[keep], self.cap[keep], self.fixed[keep], self.weight, self.ample[keep])

    def at(self, level: Array, root: Array) -> tuple[Array, Flags, Array, Array]:
        """At a level and prices root^2 (S, 3): shares (S, 3, K), whether there are any (S,), and of each user the
        seconds that prices decide, below 0 where it has its cap of the edge, and what it pays for them.
        """
        s, edge = self.s, self.s[:, EDGE]
        tau = level[:, None] / self.weight - self.fixed
        paid = (root[:, :, None] * s).sum(axis=1)
        full = (edge > 0) & (self.ample[:, None] | (edge * paid > self.cap * root[:, EDGE, None] * tau))
        tau = np.where(full, tau - edge * edge / self.cap, tau)
        paid = np.where(full, paid - root[:, EDGE, None] * edge, paid)
        # a user at its cap of the edge that demands nothing else is in time or not whatever is shared
        busy = np.where(full, (s[:, DOWNLINK] > 0) | (s[:, UPLINK] > 0), np.any(s > 0, axis=1))
        good: Flags = np.all((tau > 0) | ~busy, axis=1)
        tau = np.where(busy & (tau > 0), tau, 1.0)
        x = s * (np.where(busy, paid, 0.0) / tau)[:, None] / np.where(root > 0, root, 1.0)[:, :, None]
        x[:, EDGE] = np.where(full, self.cap, x[:, EDGE])
        return x, good, np.where(full, -tau, tau), paid


def equal_latency(a: Array, cap: Array, fixed: Array, weight: Array) -> Equal:
    """Best shares of option sets.

    Parameters
    ----------
    a : array, (S, 3, K)
        Demands [s].
    cap : array, (S, K)
        Largest edge share [1].
    fixed : array, (S, K)
        Fixed latencies [s].
    weight : array, (K,)
        [1].
    """
    users = a.shape[2]
    needs_edge = a[:, EDGE] > 0
    # numbers near the ends of the floating range settle nowhere, which is said
    with np.errstate(all="ignore"):
        ample = np.where(needs_edge, cap, 0.0).sum(axis=1) <= 1.0
        sets = _Sets(np.sqrt(a), cap, fixed, weight, ample)
        active: Flags = np.any(a > 0, axis=2)
        active[:, EDGE] &= ~ample
        alone = fixed + a[:, DOWNLINK] + a[:, UPLINK] + np.where(needs_edge, a[:, EDGE] / cap, 0.0)
        level = 2.0 * users * (weight * alone).max(axis=1) + _TINY
        level, root, far = _newton(sets, active, level, np.where(active, 1.0, 0.0))
        x, good, tau, paid = sets.at(level, root)
        # with more of all budgets the level falls by the prices, scaled by what it costs to be faster
        fall = ((paid / np.abs(tau)) ** 2 / weight).sum(axis=1)
        prices = np.where(active, root * root, 0.0) / np.where(fall > 0, fall, 1.0)[:, None]
    idle = np.logical_not(np.any(active, axis=1))
    return Equal(
        x=np.where(a > 0, x, 0.0), level=np.where(idle, 0.0, level), prices=prices, settled=good & (far <= _SETTLED)
    )


def _newton(sets: _Sets, active: Flags, level: Array, root: Array) -> tuple[Array, Array, Array]:
    """Level and roots of the prices at which the active budgets are used up, and how far off they are (S,)."""
    first = active.argmax(axis=1)
    x, good, tau, paid = sets.at(level, root)
    for _ in range(_HALVINGS):
        if good.all():
            break
        level = np.where(good, level, 2.0 * level)
        x, good, tau, paid = sets.at(level, root)
    far = _distance(x, active, good)
    for _ in range(_STEPS):
        run = (far > _CLOSE) & good
        if not run.any():
            break
        step = _step(sets.take(run), active[run], first[run], level[run], root[run], x[run], tau[run])
        index, length = np.flatnonzero(run), 1.0
        better = np.zeros(far.size, bool)
        for _ in range(_HALVINGS):
            part = sets.take(_flags(index, far.size))
            grow = np.clip(length * step, -4.0, 4.0)
            lead = np.take_along_axis(grow, first[index, None], axis=1)[:, 0]
            moved = level[index] * np.exp(np.clip(lead, -2.0, 2.0))
            np.put_along_axis(grow, first[index, None], 0.0, axis=1)
            trial = root[index] * np.exp(0.5 * grow)
            found = part.at(moved, trial)
            after = _distance(found[0], active[index], found[1])
            ok = after < far[index]
            at = index[ok]
            level[at], root[at], far[at], better[at] = moved[ok], trial[ok], after[ok], True
            x[at], tau[at], paid[at] = found[0][ok], found[2][ok], found[3][ok]
            index, step = index[~ok], step[~ok]
            if index.size == 0:
                break
            length *= 0.5
        if not better.any():
            break
    return level, root, far


def _step(
    sets: _Sets, active: Flags, first: NDArray[np.intp], level: Array, root: Array, x: Array, tau: Array
) -> Array:
    """Newton's step of the prices' logarithms, (S, 3); at the first active resource it is that of the level."""
    usage = x.sum(axis=2)
    full = tau < 0
    seconds = np.abs(tau)
    priced = sets.s.copy()
    priced[:, EDGE] = np.where(full, 0.0, priced[:, EDGE])
    share = np.where(priced > 0, x, 0.0)
    # slopes of the used budgets in the logarithms of the prices, and of the level
    slopes = 0.5 * np.einsum("sik,sck,sk->sic", priced, priced, 1.0 / seconds)
    slopes *= root[:, None, :] / np.where(root > 0, root, 1.0)[:, :, None]
    place = np.arange(3)
    slopes[:, place, place] -= 0.5 * share.sum(axis=2)
    drift = -(share / (seconds * sets.weight)[:, None]).sum(axis=2) * level[:, None]
    np.put_along_axis(slopes, first[:, None, None], drift[:, :, None], axis=2)
    matrix = np.where(active[:, :, None] & active[:, None, :], slopes / np.maximum(usage, _TINY)[:, :, None], 0.0)
    matrix[:, place, place] = np.where(active, matrix[:, place, place], 1.0)
    right = np.where(active, -np.log(np.maximum(usage, _TINY)), 0.0)
    try:
        step: Array = np.linalg.solve(matrix, right[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        return np.zeros_like(right)
    return np.where(np.isfinite(step), step, 0.0)


def _distance(x: Array, active: Flags, good: Flags) -> Array:
    """How far the used budgets are from 1, in logarithms; infinite where there are no shares."""
    off = np.where(active, np.abs(np.log(np.maximum(x.sum(axis=2), _TINY))), 0.0).max(axis=1)
    result: Array = np.where(good, off, np.inf)
    return result


def _flags(index: NDArray[np.intp], size: int) -> Flags:
    flags = np.zeros(size, bool)
    flags[index] = True
    return flags
