"""Compiled: closes the largest weighted latency for one small scenario with linear rates.

At a level D an option has tau = D / w - fixed seconds left, or tau = deadline - fixed where that is less; it is open
where tau > 0 (tau >= 0 without demand) and its device branch takes no longer. With s = sqrt(a) of its demands,
t = s / sqrt(tau), and r the square roots of prices on the simplex, |r| = 1, it costs (r.t)^2 (deadline test). So an
option set costs r'M r with M = sum_k t t', and

    the set meets D  <=>  max over r >= 0 of r'M r <= 1  <=>  the largest eigenvalue of M is at most 1,

as a largest eigenvector of a matrix without negative entries has none either (Perron and Frobenius). That vector is
the set's prices. With options free, V(r) = sum_k min_o (r.t)^2 > 1 for some r proves that the optimum is above D.

A cap f on the edge share (scaled) closes options with t1^2 >= f, and changes the cost of one that would take more,
t1 (r.t) > f r1, to f r1^2 + (r0 t0 + r2 t2)^2 / (1 - t1^2 / f): larger, and a quadratic form in r too. So does a limit
on the time on the uplink, a part q of tau, for one that would take more, r0 t0 > q (r.t): to r0^2 t0^2 / q +
(r1 t1 + r2 t2)^2 / (1 - q).
"""

from __future__ import annotations

import numpy as np

from megdt_opt.solving.batch.forms import (
    KEPT,
    POOL,
    SET_ROWS,
    MaxRoom,
    add_form,
    cost_of,
    form_at,
    set_level,
    time_left,
)
from megdt_opt.solving.batch.small import (
    Corral,
    F,
    Int,
    drop,
    enter,
    holds,
    largest_eigenvalue,
    longest_step,
    most_options_first,
    move_option,
    pick,
)
from megdt_opt.solving.batch.small import newton_direction as newton
from megdt_opt.solving.batch.sums import CLOSED, HARD, Path
from megdt_opt.solving.compiled.jit import inner
from megdt_opt.solving.compiled.kernels import MAX_EXCESS
from megdt_opt.solving.compiled.laws import HUGE

IMPROVED = -1

_GOAL = 1.0 + MAX_EXCESS
_ROUNDS = 100
_PASSES = 40
_NODES = 50_000

FIXED, S0, S1, S2, BRANCH, AIRTIME, T0, T1, T2, MOST, COST = range(11)
"""Rows of the room's tables."""

BEST = 1
"""Row of `work` for the roots of the prices that prove most."""


@inner
def set_terms(m: MaxRoom, level: float, bounded: bool) -> bool:
    """Terms of the options at a level; those that it closes are taken out, for good, as the level only falls.

    False where a user has none left: the level is out of reach.
    """
    for k in range(m.left.shape[0]):
        n = 0
        least = min(level / m.weight[k], m.deadline[k] * KEPT)
        for j in range(m.left[k]):
            tau = least - m.t[FIXED, k, j]
            s0, s1, s2 = m.t[S0, k, j], m.t[S1, k, j], m.t[S2, k, j]
            if tau < m.t[BRANCH, k, j] or (tau == 0.0 and s0 + s1 + s2 > 0.0):
                continue
            pace = 1.0 / np.sqrt(tau) if tau > 0.0 else 0.0
            if s1 * pace * s1 * pace >= m.cap[k] and s1 > 0.0 and bounded:
                continue
            move_option(m.t, m.ids, k, j, n)
            m.t[T0, k, n], m.t[T1, k, n], m.t[T2, k, n] = s0 * pace, s1 * pace, s2 * pace
            m.t[MOST, k, n] = m.t[AIRTIME, k, n] / tau if tau > 0.0 else HUGE
            n += 1
        m.left[k] = n
        if n == 0:
            return False
    return True


@inner
def fair_set(m: MaxRoom) -> None:
    """Each user's best option at an equal split, but that what is sent may take no longer than it may, to `place`."""
    users = m.left.shape[0]
    for k in range(users):
        least, m.place[k] = np.inf, 0
        for j in range(m.left[k]):
            path = min(users * m.t[S0, k, j] ** 2, m.t[AIRTIME, k, j])
            path += users * (m.t[S1, k, j] ** 2 + m.t[S2, k, j] ** 2)
            split = m.t[FIXED, k, j] + max(path, m.t[BRANCH, k, j])
            if split < least:
                least, m.place[k] = split, j


@inner
def max_pass(m: MaxRoom, r: F, bounded: bool) -> float:
    """V(r); `place` gets the options, and the table of costs is filled."""
    r0, r1, r2 = r[0], r[1], r[2]
    total = 0.0
    for k in range(m.left.shape[0]):
        least, place = HUGE, 0
        for j in range(m.left[k]):
            y = r0 * m.t[T0, k, j] + r1 * m.t[T1, k, j] + r2 * m.t[T2, k, j]
            cost = y * y
            if bounded:
                cost = cost_of(m.t[T0, k, j], m.t[T1, k, j], m.t[T2, k, j], m.cap[k], m.t[MOST, k, j], r)
            m.t[COST, k, j] = cost
            if cost < least:
                least, place = cost, j
        total += least
        m.place[k] = place
    return total


@inner
def atom(m: MaxRoom, places: Int, r: F, bounded: bool, out: F) -> None:
    """Quadratic form of an option set near r."""
    for i in range(6):
        out[i] = 0.0
    for k in range(m.left.shape[0]):
        j = places[k]
        add_form(m.t[T0, k, j], m.t[T1, k, j], m.t[T2, k, j], m.cap[k], m.t[MOST, k, j], r, bounded, out)


@inner
def corral_move(m: MaxRoom, q: Corral, atoms: int, r: F, mean: F) -> tuple[int, float]:
    """Newton steps on the largest eigenvalue of the weighted mean; the atoms left and the value, `r` its vector."""
    value, change = HUGE, m.change
    for _ in range(12):
        for i in range(6):
            mean[i] = 0.0
            for n in range(atoms):
                mean[i] += q.weight[n] * q.atoms[n, i]
        before, value = value, largest_eigenvalue(mean, m.m, m.v, r)
        if atoms == 1 or abs(before - value) <= 1e-6 * abs(1.0 - value):
            break
        for i in range(4):
            for j in range(4):
                q.hessian[i, j] = 0.0
        top = 0
        for p in range(3):
            if m.m[p, p] == value:
                top = p
        for i in range(1, atoms):
            for e in range(6):
                change[i, e] = q.atoms[i, e] - q.atoms[0, e]
            q.slope[i - 1] = form_at(change[i], r[0], r[1], r[2], r)
        for p in range(3):
            if p == top:
                continue
            step = 2.0 / max(value - m.m[p, p], 1e-12 * value)
            for i in range(1, atoms):
                change[0, i] = form_at(change[i], m.v[0, p], m.v[1, p], m.v[2, p], r)
                for j in range(1, i + 1):
                    q.hessian[i - 1, j - 1] += step * change[0, i] * change[0, j]
                    q.hessian[j - 1, i - 1] = q.hessian[i - 1, j - 1]
        if not newton(q, atoms):
            break
        length, leaves = longest_step(q, atoms)
        for n in range(atoms):
            q.weight[n] = max(q.weight[n] + length * q.move[n], 0.0)
        if leaves >= 0:
            atoms = drop(q, atoms, leaves)
    return atoms, value


@inner
def try_set(m: MaxRoom, r: F, bounded: bool, best: float) -> float:
    """Best objective after trying the set in `trial`, which is kept where it is better; `r` gets its prices."""
    found = set_level(m, m.trial, r, bounded)
    if not found < best * (1.0 - 1e-12):
        return best
    for k in range(m.left.shape[0]):
        m.best_ids[k] = m.trial_ids[k]
        for i in range(SET_ROWS):
            m.best[i, k] = m.trial[i, k]
        for i in range(3):
            m.best_shares[i, k] = m.shares[i, k]
    return found


@inner
def take(m: MaxRoom, places: Int) -> None:
    """Copy the options at given places into `trial`."""
    pick(m.t, places, m.trial)
    for k in range(m.left.shape[0]):
        m.trial_ids[k] = m.ids[k, places[k]]


@inner
def max_prune(m: MaxRoom, r: F, bounded: bool) -> None:
    """Take out options that r proves to be part of nothing that meets the level."""
    total = max_pass(m, r, bounded)
    for k in range(m.left.shape[0]):
        least, n = m.t[COST, k, m.place[k]], 0
        for j in range(m.left[k]):
            if total + m.t[COST, k, j] - least < _GOAL:
                move_option(m.t, m.ids, k, j, n)
                n += 1
        m.left[k] = n


@inner
def max_switch(m: MaxRoom, level: float, r: F, form: F, found: F, free: F, bounded: bool, best: float) -> float:
    """Change one user's option of the best set where that helps; the best objective. `r` are the best set's prices."""
    users = m.left.shape[0]
    for k in range(users):
        # the others at the level, without caps: a lower bound
        for i in range(6):
            form[i] = 0.0
        late = False
        for i in range(users):
            if i != k:
                tau = time_left(m, m.best, i, level)
                busy = m.best[1, i] + m.best[2, i] + m.best[3, i] > 0.0
                late = late or tau < m.best[4, i] or (busy and tau <= 0.0)
                if busy and tau > 0.0:
                    pace = 1.0 / np.sqrt(tau)
                    add_form(m.best[1, i] * pace, m.best[2, i] * pace, m.best[3, i] * pace, 1.0, HUGE, r, False, form)
        if late:
            continue
        rest = form_at(form, r[0], r[1], r[2], r)
        for j in range(m.left[k]):
            t0, t1, t2 = m.t[T0, k, j], m.t[T1, k, j], m.t[T2, k, j]
            y = r[0] * t0 + r[1] * t1 + r[2] * t2
            if rest + y * y >= 1.0 or m.ids[k, j] == m.best_ids[k]:
                continue
            for i in range(6):
                found[i] = form[i]
            add_form(t0, t1, t2, 1.0, HUGE, r, False, found)
            if largest_eigenvalue(found, m.m, m.v, free) >= 1.0:
                continue
            for i in range(users):
                m.trial_ids[i] = m.ids[k, j] if i == k else m.best_ids[i]
                for e in range(SET_ROWS):
                    m.trial[e, i] = m.t[e, k, j] if i == k else m.best[e, i]
            better = try_set(m, free, bounded, best)
            if better < best:
                return better
    return best


@inner
def pooled(m: MaxRoom, path: Path, n: int, depth: int, bounded: bool) -> None:
    """Costs of all options at the n-th prices of the pool; sums of the users to come, and of those chosen so far."""
    users = m.left.shape[0]
    r = m.pool[n]
    path.suffix[users, n] = 0.0
    for d in range(users - 1, -1, -1):
        k = path.order[d]
        least = HUGE
        for j in range(m.left[k]):
            cap = m.cap[k] if bounded else HUGE
            m.costs[n, k, j] = cost_of(m.t[T0, k, j], m.t[T1, k, j], m.t[T2, k, j], cap, m.t[MOST, k, j], r)
            least = min(least, m.costs[n, k, j])
        path.suffix[d, n] = path.suffix[d + 1, n] + least
    path.sums[0, n] = 0.0
    for d in range(depth):
        k = path.order[d]
        path.sums[d + 1, n] = path.sums[d, n] + m.costs[n, k, m.place[k]]


@inner
def set_cost(m: MaxRoom, r: F, bounded: bool) -> float:
    """Cost of the set at `place`."""
    value = 0.0
    for k in range(m.left.shape[0]):
        j = m.place[k]
        cap = m.cap[k] if bounded else HUGE
        value += cost_of(m.t[T0, k, j], m.t[T1, k, j], m.t[T2, k, j], cap, m.t[MOST, k, j], r)
    return value


@inner
def max_depth_first(
    m: MaxRoom, path: Path, pool: int, bounded: bool, best: float, form: F, r: F
) -> tuple[float, int, int]:
    """Every set of the options left: proven to miss the level, or tried. Best objective, nodes, how it ended.

    `suffix` and `sums` (K + 1, POOL): least costs of the users from a depth on, and costs so far, at the pool's prices.
    """
    users = m.left.shape[0]
    most_options_first(m.left, path.order)
    for n in range(pool):
        pooled(m, path, n, 0, bounded)
    path.at[0] = 0
    depth, nodes = 0, 0
    while depth >= 0:
        k = path.order[depth]
        j = path.at[depth]
        if j == m.left[k]:
            depth -= 1
            continue
        path.at[depth] = j + 1
        nodes += 1
        if nodes > _NODES:
            return best, nodes, HARD
        out = False
        for n in range(pool):
            total = path.sums[depth, n] + m.costs[n, k, j]
            path.sums[depth + 1, n] = total
            if total + path.suffix[depth + 1, n] >= _GOAL:
                out = True
                break
        if out:
            continue
        m.place[k] = j
        if depth < users - 1:
            depth += 1
            path.at[depth] = 0
            continue
        # a whole set: its own prices prove it, or it is better
        for i in range(3):
            r[i] = m.pool[0, i]
        proven = False
        for _ in range(4 if bounded else 1):
            atom(m, m.place, r, bounded, form)
            largest_eigenvalue(form, m.m, m.v, r)
            if set_cost(m, r, bounded) >= _GOAL:
                proven = True
                break
        if not proven:
            take(m, m.place)
            better = try_set(m, r, bounded, best)
            if better < best:
                return better, nodes, IMPROVED
            if set_cost(m, r, bounded) < _GOAL:
                return best, nodes, HARD
        if pool < POOL:
            for i in range(3):
                m.pool[pool, i] = r[i]
            pooled(m, path, pool, users, bounded)
            pool += 1
    return best, nodes, CLOSED


# long: one loop of bounds, sets and pruning on numbers that all of its steps change
@inner
def close_max(m: MaxRoom, corral: Corral, path: Path, bounded: bool, gap: float) -> tuple[float, int, int, int]:
    """Close the scenario in the room: best objective, how it ended, passes and nodes."""
    r, best_r, own, free, form, found = m.work[0], m.work[BEST], m.work[2], m.work[3], m.work[4], m.work[5]
    for i in range(3):
        own[i] = free[i] = 1.0
    fair_set(m)
    take(m, m.place)
    best = try_set(m, own, bounded, HUGE)
    passes, nodes = 0, 0
    if best >= HUGE:
        return best, HARD, 0, 0
    for i in range(3):
        best_r[i] = own[i]
    for _ in range(_ROUNDS):
        level = best * (1.0 - gap)
        if best <= 0.0 or not set_terms(m, level, bounded):
            return best, CLOSED, passes, nodes
        atoms, proved, before = 0, -1.0, best
        for i in range(3):
            r[i] = best_r[i]
        for _turn in range(_PASSES):
            value = max_pass(m, r, bounded)
            passes += 1
            if value > proved:
                proved = value
                for i in range(3):
                    best_r[i] = r[i]
            if proved >= _GOAL:
                return best, CLOSED, passes, nodes
            known = holds(corral, atoms, m.place)
            if known and not bounded:
                break
            if not known:
                atoms = enter(corral, atoms, m.place)
            atom(m, m.place, r, bounded, form)
            if largest_eigenvalue(form, m.m, m.v, free) < 1.0:
                take(m, m.place)
                best = try_set(m, free, bounded, best)
                if best < before:
                    break
            if bounded:
                for n in range(atoms):
                    atom(m, corral.chosen[n], r, bounded, corral.atoms[n])
            else:
                for i in range(6):
                    corral.atoms[atoms - 1, i] = form[i]
            atoms, model = corral_move(m, corral, atoms, r, form)
            # no prices can prove more than the corral's value
            if model - proved <= 0.1 * abs(1.0 - model) and model < 1.0:
                break
        if best < before:
            for i in range(3):
                own[i] = free[i]
            continue
        max_prune(m, best_r, bounded)
        passes += 1
        best = max_switch(m, level, own, form, found, free, bounded, best)
        if best < before:
            for i in range(3):
                own[i] = free[i]
            continue
        for i in range(3):
            m.pool[0, i], m.pool[1, i] = best_r[i], own[i]
        best, more, how = max_depth_first(m, path, 2, bounded, best, form, r)
        nodes += more
        if how != IMPROVED:
            return best, how, passes, nodes
        for i in range(3):
            own[i] = r[i]
    return best, HARD, passes, nodes
