"""Best shares for given options by a batched interior-point method, whatever the rates and limits.

For given options the problem is convex: its programs, and the way to the best of them, are in
`megdt_opt.shares.central_path`. Where there are deadlines, a first path leads to shares that keep them, or says that
none do. All option sets of a batch advance together, arrays (S, ...).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.radio.rates import Array, speed
from megdt_opt.shares.central_path import Path, follow
from megdt_opt.shares.convex_programs import Programs
from megdt_opt.shares.goal import Goal
from megdt_opt.tolerances import LIMIT_SLACK

_OF_SLACK = 0.998
"""Part of what a limit may be exceeded by that paths use: the rest is for their rounding [1]."""

_LOST = 1e-10
"""A path that proves its objective less closely than that, relatively, has lost its way [1]."""


@dataclass(frozen=True)
class Shares:
    """Best shares of S option sets.

    Parameters
    ----------
    x : array, (S, 3, K)
        Scaled shares [1]; 0 where nothing is demanded.
    objective : array, (S,)
        Objective [s]; infinite where no shares keep the limits.
    prices : array, (S, 3)
        Shadow prices of the scaled budgets [s].
    bound : array, (S,)
        No shares are better than this [s]: the objective itself where a closed form found it; infinite where it is
        settled that no shares keep the limits; lower than the objective where the path lost its way.
    tilts : array, (S, K)
        Multipliers of D >= w L, which sum to `max_weight` where the largest latency counts [1].
    """

    x: Array
    objective: Array
    prices: Array
    bound: Array
    tilts: Array


def latencies(a: Array, gamma: Array, x: Array, fixed: Array, branch: Array) -> Array:
    """Latencies of scaled shares, (S, K) [s]."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        t = np.where(a > 0, a / speed(x, gamma), 0.0).sum(axis=1)
    result: NDArray[np.float64] = fixed + np.maximum(branch, t)
    return result


def interior(
    goal: Goal,
    a: Array,
    gamma: Array,
    lo: Array,
    hi: Array,
    fixed: Array,
    branch: Array,
    limit: Array,
    good: NDArray[np.bool_],
    deadline: float = np.inf,
) -> Shares:
    """Best shares of the option sets in `good` (S,) by the interior-point method.

    Parameters
    ----------
    goal : Goal
    a, gamma, lo, hi : array, (S, 3, K)
        As `Resources.pick` gives them.
    fixed, branch : array, (S, K)
        Fixed latency and device branch [s].
    limit : array, (S, K)
        Hard limit on the latency beyond the fixed part [s]; infinite where there is none.
    good : array of bool, (S,)
        Sets worth looking at.
    deadline : float
        `time.monotonic()` at which to end [s]: the shares reached by then are inside all limits, only not the best.
    """
    sets = a.shape[0]
    more = (limit + fixed) * LIMIT_SLACK
    # a user without any signal, whose options demand nothing, has a rate of 0: 0 bits over it are no number
    gamma = np.where(a > 0, gamma, np.inf)
    programs = Programs(
        a.swapaxes(1, 2), gamma.swapaxes(1, 2), lo.swapaxes(1, 2) * (1.0 - _OF_SLACK * LIMIT_SLACK), hi.swapaxes(1, 2),
        fixed, branch, limit + _OF_SLACK * more, goal,
    )  # fmt: skip
    limit = limit + more
    x, startable = _inside(programs)
    idle_late = (~programs.busy & (np.maximum(branch, 0.0) > limit)).any(axis=1)
    never = (np.isfinite(limit) & (branch >= limit) & programs.busy).any(axis=1)
    alive = good & startable & ~idle_late & ~never
    objective, bound = np.full(sets, np.inf), np.full(sets, np.inf)
    out_x, prices, tilts = np.zeros_like(a), np.zeros((sets, 3)), np.zeros(fixed.shape)
    # sets that share nothing have nothing to optimise
    idle: NDArray[np.bool_] = alive & np.logical_not(np.any(programs.busy, axis=1))
    objective[idle] = bound[idle] = goal.value(fixed[idle] + branch[idle])
    alive &= ~idle
    which = np.flatnonzero(alive)
    programs, x = programs.take(alive), x[alive]
    if np.isfinite(programs.limit).any():
        x, inside, settled = _meet_deadlines(programs, x, deadline)
        bound[which[~inside & ~settled]] = -np.inf
        which, programs, x = which[inside], programs.take(inside), x[inside]
    if which.size == 0:
        return Shares(out_x, objective, prices, bound, tilts)
    xs, path = _best(programs, x, limit[which], deadline)
    prices[which] = np.where(programs.needs.any(axis=1), path.prices, 0.0)
    tilts[which] = path.tilts(programs)
    out_x[which] = xs.swapaxes(1, 2)
    objective[which] = goal.value(programs.fixed + _seconds(programs, xs))
    bound[which] = np.minimum(_floor(programs, path), objective[which])
    return Shares(out_x, objective, prices, bound, tilts)


def _best(programs: Programs, x: Array, limit: Array, deadline: float) -> tuple[Array, Path]:
    """Best shares, (S, K, 3), and the path that proves them; another way is tried where the first was lost."""
    path = follow(programs, programs.start(x), deadline)
    xs = _better(programs, _fill(programs, programs.shares(path.z)), _fill(programs, x), limit)
    value = programs.goal.value(programs.fixed + _seconds(programs, xs))
    lost: NDArray[np.bool_] = np.asarray(_floor(programs, path) < value * (1.0 - _LOST))
    if lost.any() and time.monotonic() < deadline:
        fewer = programs.take(lost)
        other = follow(fewer, fewer.start(x[lost]), deadline, steep=True)
        xs[lost] = _better(fewer, _fill(fewer, fewer.shares(other.z)), xs[lost], limit[lost])
        path.raised(lost, other)
    return xs, path


def _floor(programs: Programs, path: Path) -> Array:
    """No shares are better than that, (S,)."""
    weighted = (programs.goal.weight * programs.fixed).sum(axis=1)
    return np.asarray(path.floor + programs.goal.sum_weight * weighted)


def _better(programs: Programs, reached: Array, start: Array, limit: Array) -> Array:
    """What was reached, where it is better than the start and inside all limits: a path that had no time, or lost its
    way, may end elsewhere."""
    late, late_before = _seconds(programs, reached), _seconds(programs, start)
    kept = programs.enough(reached) & (late <= limit).all(axis=1)
    value = programs.goal.value
    kept &= value(programs.fixed + late) <= value(programs.fixed + late_before)
    return np.where(kept[:, None, None], reached, start)


def _seconds(programs: Programs, x: Array) -> Array:
    """Latencies beyond the fixed part, (S, K) [s]."""
    a, gamma, x = programs.a.swapaxes(1, 2), programs.gamma.swapaxes(1, 2), x.swapaxes(1, 2)
    return latencies(a, gamma, x, np.zeros_like(programs.fixed), programs.branch)


def _inside(programs: Programs) -> tuple[Array, NDArray[np.bool_]]:
    """Shares strictly inside bounds and budgets, (S, K, 3), and where there are any."""
    needs = programs.needs
    count = np.maximum(needs.sum(axis=1, keepdims=True), 1)
    lo = np.where(needs, programs.lo, 0.0)
    free = 1.0 - lo.sum(axis=1, keepdims=True)
    x = np.minimum(lo + 0.9 * free / count, lo + 0.9 * (programs.hi - lo))
    room = ~needs | (programs.hi - programs.lo > 1e-13 * programs.hi)
    good = (free[:, 0] > 1e-13).all(axis=1) & room.all(axis=(1, 2))
    return np.where(needs, x, 0.0), good


def _meet_deadlines(
    programs: Programs, x: Array, deadline: float
) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Phase one: least D with s <= limit + D; stops as soon as no s is at its limit, which is strictly inside.

    Returns shares, which sets are inside, and for which of the others it is settled that they cannot be.
    """
    limit = programs.limit
    capped = np.isfinite(limit)
    # a fixed part so small that users without a deadline never bind
    spread = 1e3 * (np.where(capped, np.abs(limit), 0.0).max(axis=1) + programs.start(x).s.max(axis=1))
    pressed = Programs(
        programs.a, programs.gamma, programs.lo, programs.hi, np.where(capped, -limit, -spread[:, None]),
        programs.branch, np.full_like(limit, np.inf), Goal(np.ones(limit.shape[1]), 0.0, 1.0),
    )  # fmt: skip
    path = follow(pressed, pressed.start(x), deadline, limit)
    lost = ~path.inside & (path.floor <= 0)
    if lost.any() and time.monotonic() < deadline:
        fewer = pressed.take(lost)
        path.put(np.flatnonzero(lost), follow(fewer, fewer.start(x[lost]), deadline, limit[lost], steep=True))
    return pressed.fitted(pressed.shares(path.z)), path.inside, path.floor > 0


def _fill(programs: Programs, x: Array) -> Array:
    """Keep the budgets, and give away what the path left of them, in proportion, within the caps."""
    x = programs.fitted(x)
    for _ in range(3):
        total = x.sum(axis=1, keepdims=True)
        grown = np.minimum(x * np.where(total > 0, 1 / np.where(total > 0, total, 1.0), 1.0), programs.hi)
        x = np.where(total < 1, np.maximum(grown, x), x)
    return x
