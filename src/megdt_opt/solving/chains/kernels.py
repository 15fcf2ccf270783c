"""Compiled: local searches over when chains begin, and how many steps they make.

A schedule is the order in which chains begin, and how many batches each begins after the one before it, so that moving
one moves all that follow. Random numbers are made here: a search comes to the same wherever it runs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, kernel

F = NDArray[np.float64]
N = NDArray[np.int64]


@inner
def _next(state: N) -> float:
    """A number in (0, 1): Lehmer's generator, whose products fit 64 bit."""
    state[0] = (state[0] * 48271) % 2147483647
    return float(state[0] / 2147483647.0)


@inner
def _lateness(order: N, delay: N, latest: F, most: N, law: F, active: N, cut: N) -> float:
    """Seconds late in all, if all leave as soon as they are in time, or after `most` steps; `cut` gets the steps."""
    count = len(order)
    now, late = law[2], 0.0
    turn, running, waited = 0, 0, 0
    while turn < count or running > 0:
        while turn < count and (running == 0 or waited >= delay[turn]):
            active[running] = order[turn]
            cut[order[turn]] = 0
            running += 1
            turn += 1
            waited = 0
        now += law[0] * running + law[1]
        waited += 1
        left = 0
        for i in range(running):
            k = active[i]
            cut[k] += 1
            over = now - latest[k, cut[k]]
            if over <= 0.0:
                continue
            if cut[k] >= most[k]:
                late += over
                continue
            active[left] = k
            left += 1
        running = left
    return late


@inner
def _moved(order: N, delay: N, to: N, after: N, state: N) -> None:
    """One move, from `order` and `delay` into `to` and `after`."""
    count = len(order)
    i, j = int(_next(state) * count), int(_next(state) * count)
    kind = _next(state)
    for p in range(count):
        to[p], after[p] = order[p], delay[p]
    reach = 1 + int(_next(state) * _next(state) * 10.0)
    if _next(state) < 0.5:
        reach = -reach
    if kind < 0.25:  # this one and all that follow
        after[i] = max(0, delay[i] + reach)
    elif kind < 0.5:  # this one alone
        after[i] = max(0, delay[i] + reach)
        if i + 1 < count:
            after[i + 1] = max(0, delay[i + 1] - (after[i] - delay[i]))
    elif kind < 0.75:
        to[i], to[j] = order[j], order[i]
    else:
        step = 1 if j > i else -1
        p = i
        while p != j:
            to[p] = order[p + step]
            p += step
        to[j] = order[i]
        if kind < 0.87:
            after[j] = max(0, delay[j] + reach)


@kernel
def in_time(order: N, delay: N, latest: F, most: N, law: F, moves: int, seed: int, cut: N) -> float:
    """Move the beginnings of users until all are in time; the lateness that is left [s].

    Parameters
    ----------
    order : array of int, (M,)
        Users who are to be served, in the order in which they begin; changed.
    delay : array of int, (M,)
        Batches after the beginning of the one before; changed. Without anybody in a batch nobody waits.
    latest : array, (K, N + 1)
        By when so many steps must have ended [s]; minus infinity where that number is closed.
    most : array of int, (K,)
        Most steps that are open.
    law : array, (3,)
        Slope and intercept of a step, and when the edge starts [s].
    moves : int
        Trials at most.
    seed : int
    cut : array of int, (K,)
        Gets the steps.
    """
    count = len(order)
    state = np.array([1 + seed % 1000000], np.int64)
    to, after = order.copy(), delay.copy()
    active, found = np.empty(count, np.int64), np.zeros(len(cut), np.int64)
    now = _lateness(order, delay, latest, most, law, active, cut)
    heat = 0.1 * now / max(count, 1)
    for move in range(moves):
        if now <= 0.0 or count == 0:
            break
        _moved(order, delay, to, after, state)
        value = _lateness(to, after, latest, most, law, active, found)
        cool = heat * (1.0 - move / moves) ** 2
        if value <= now or (cool > 0.0 and _next(state) < np.exp((now - value) / cool)):
            now = value
            for p in range(count):
                order[p], delay[p] = to[p], after[p]
                cut[to[p]] = found[to[p]]
    return now


@inner
def _share(a: float, gamma: float, room: float) -> float:
    """Least share that sends a demand within some seconds; what is above 1 may be anything above."""
    if a <= 0.0:
        return 0.0 if room >= 0.0 else 1e3
    if not room > 0.0:
        return 1e3
    rate = a / room
    if gamma == np.inf:
        return rate
    # Newton's steps on a concave rate end from below
    x = rate / np.log1p(gamma)
    for _ in range(6):
        if not 0.0 < x <= 1e3:
            return 1e3
        u = gamma / x
        grown = np.log1p(u)
        x += (rate - x * grown) / (grown - u / (1.0 + u))
    return float(x)


@inner
def _score(order: N, delay: N, cut: N, tables: tuple[F, F, F, F, F, F], excess: F, active: N, done: N) -> float:
    """Value of chains with given steps, and what it takes beyond the band and the deadlines, into `excess`."""
    value, per_end, latest, a, gamma, law = tables
    now, total, share, late = law[2], 0.0, 0.0, 0.0
    turn, running, waited = 0, 0, 0
    for k in order:
        total += value[k, cut[k]]
        done[k] = 0
    while True:
        while turn < len(order) and (running == 0 or waited >= delay[turn]):
            if cut[order[turn]] > 0:
                active[running] = order[turn]
                running += 1
                waited = 0
            turn += 1
        if running == 0:
            break
        now += law[0] * running + law[1]
        waited += 1
        left = 0
        for i in range(running):
            k = active[i]
            done[k] += 1
            if done[k] < cut[k]:
                active[left] = k
                left += 1
                continue
            total += per_end[k] * now
            if latest[k] < np.inf:
                room = latest[k] - now
                share += min(_share(a[k], gamma[k], room), 10.0)
                late += max(-room, 0.0) / latest[k]
        running = left
    excess[0] = max(share - 1.0, 0.0) + late
    return float(total)


@kernel
def best_steps(
    order: N, delay: N, cut: N, tables: tuple[F, F, F, F, F, F], fine: float, heat: float, moves: int, seed: int
) -> float:
    """Move beginnings and steps of all users until their value is least; the least value within all limits.

    Parameters
    ----------
    order : array of int, (K,)
        All users, in the order in which those with steps begin; changed, as the next two.
    delay : array of int, (K,)
        Batches after the beginning of the one before.
    cut : array of int, (K,)
        Steps.
    tables : tuple of array
        Value of each number of steps (K, N + 1), infinite for closed; value of a second by which steps end later (K,);
        latest end of steps and download (K,); demands and laws of the band (K,); slope, intercept, start of the edge.
    fine : float
        Value of breaking the limits, for each part of the band or deadline.
    heat : float
        By how much a move may be for the worse to begin with.
    moves, seed : int
    """
    value, count = tables[0], len(order)
    state = np.array([1 + seed % 1000000], np.int64)
    to, after, steps = order.copy(), delay.copy(), cut.copy()
    place, wait, made = order.copy(), delay.copy(), cut.copy()
    active, done, excess = np.empty(count, np.int64), np.zeros(len(cut), np.int64), np.zeros(1)
    best = _score(order, delay, cut, tables, excess, active, done)
    now = best + fine * excess[0]
    if excess[0] > 0.0:
        best = np.inf
    most = value.shape[1] - 1
    for move in range(moves):
        for p in range(count):
            steps[p] = made[p]
            to[p], after[p] = place[p], wait[p]
        if _next(state) < 0.5:
            _moved(place, wait, to, after, state)
        if _next(state) < 0.6:
            k = int(_next(state) * count)
            reach = 1 + int(_next(state) * _next(state) * most)
            n = steps[k] + (reach if _next(state) < 0.5 else -reach)
            if _next(state) < 0.1:
                n = 0
            steps[k] = min(max(n, 0), most)
            if value[k, steps[k]] == np.inf:
                continue
        total = _score(to, after, steps, tables, excess, active, done)
        fined = total + fine * excess[0]
        cool = heat * (1.0 - move / moves) ** 2
        if fined <= now or (cool > 0.0 and _next(state) < np.exp((now - fined) / cool)):
            now = fined
            for p in range(count):
                place[p], wait[p], made[p] = to[p], after[p], steps[p]
            if excess[0] <= 0.0 and total < best:
                best = total
                for p in range(count):
                    order[p], delay[p], cut[p] = to[p], after[p], steps[p]
    return best


@kernel
def begun(order: N, delay: N, cut: N, first: N) -> None:
    """Batches before the first of each user, into `first`, for schedules whose numbers of steps are known.

    Parameters
    ----------
    order, delay : array of int, (M,)
    cut, first : array of int, (K,)
    """
    batch, free = 0, 0
    for p in range(len(order)):
        k = order[p]
        if cut[k] > 0:
            batch = min(batch + delay[p], max(free, batch))
            first[k] = batch
            free = max(free, batch + cut[k])
