"""Compiled: a given option set of "max": its room, its quadratic forms in the roots of the prices, level and shares.

The notation is that of `megdt_opt.solving.batch.maxima`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from megdt_opt.solving.batch.small import ATOMS, F, I, Int, largest_eigenvalue
from megdt_opt.solving.compiled.jit import inner
from megdt_opt.solving.compiled.laws import HUGE
from megdt_opt.tolerances import LIMIT_SLACK

POOL = 8
"""Price vectors that the depth-first search tries on each node."""

_NEWTON = 60
_FILLINGS = 40
KEPT = 1.0 + LIMIT_SLACK
"""Factor: up to so many times a limit counts as kept, and what proves that nothing keeps it allows as much."""

AT_AIRTIME, AT_CAP = 1, 2
"""Which of its limits a user is held at: what is sent over the uplink takes as long as it may, or the edge share is as
large as it may be."""

SET_ROWS = 6
"""Rows of a set: fixed latency, roots of the demands, device branch, longest time on the uplink."""


class MaxRoom(NamedTuple):
    """Room for one scenario. Options are at places 0 to left[k] - 1 of row k.

    `t` (11, K, O): fixed latency, roots of the demands, device branch, longest time on the uplink, roots of demand over
    time left, part of it that the uplink may take, cost; `ids` (K, O) the options' numbers; `cap`, `weight` and
    `deadline` (K,); `best` and `trial` (6, K) the first rows of sets, `best_ids` and `trial_ids` their options; `place`
    (K,) those of a pass; `shares` and `best_shares` (3, K); `held` (K,) the limits that users are held at;
    `form` and `slope` (6,) a quadratic form and its slope in the level; `m` and `v` (3, 3) a form's values and vectors;
    `pool` (POOL, 3) root prices with `costs` (POOL, K, O); `work` (6, 6) and `change` (5, 6) for vectors and forms.
    """

    t: F
    ids: Int
    left: I
    cap: F
    weight: F
    deadline: F
    best: F
    best_ids: Int
    trial: F
    trial_ids: Int
    place: Int
    shares: F
    best_shares: F
    held: Int
    form: F
    slope: F
    m: F
    v: F
    pool: F
    costs: F
    work: F
    change: F


def max_room(users: int, options: int) -> MaxRoom:
    """Empty room for scenarios of one shape."""
    return MaxRoom(
        np.empty((11, users, options)), np.empty((users, options), np.int32), np.zeros(users, np.int64), np.ones(users),
        np.ones(users), np.ones(users), np.zeros((SET_ROWS, users)), np.zeros(users, np.int32),
        np.zeros((SET_ROWS, users)), np.zeros(users, np.int32), np.zeros(users, np.int32), np.zeros((3, users)),
        np.zeros((3, users)), np.zeros(users, np.int32), np.zeros(6), np.zeros(6), np.zeros((3, 3)), np.zeros((3, 3)),
        np.zeros((POOL, 3)), np.empty((POOL, users, options)), np.zeros((6, 6)), np.zeros((ATOMS, 6)),
    )  # fmt: skip


@inner
def limits_at(g0: float, g1: float, g2: float, most: float, least: float) -> int:
    """Limits that hold a user whose time divides as g over their sum: uplink at most a part `most`, edge at least
    `least` (what its largest share takes)."""
    y = g0 + g1 + g2
    airtime, cap = g0 > most * y, g1 < least * y
    if not (airtime and cap):
        return AT_AIRTIME * airtime + AT_CAP * cap
    # one of the two moves the others' parts towards the other limit
    if most + least + g2 / y > 1.0:
        return AT_CAP + AT_AIRTIME * (g0 * (1.0 - least) > most * (g0 + g2))
    return AT_AIRTIME + AT_CAP * (g1 * (1.0 - most) < least * (g1 + g2))


@inner
def cost_of(t0: float, t1: float, t2: float, cap: float, most: float, r: F) -> float:
    """Cost of an option with a cap, of whose time left the uplink may take a part `most`."""
    g0, g1, g2 = r[0] * t0, r[1] * t1, r[2] * t2
    y = g0 + g1 + g2
    if t1 * y <= cap * r[1] and g0 <= most * y:
        return y * y
    least = t1 * t1 / cap
    held = limits_at(g0, g1, g2, most, least)
    cost, rest, z = 0.0, 1.0, g2
    if held & AT_AIRTIME:
        cost += g0 * g0 / most
        rest -= most
    else:
        z += g0
    if held & AT_CAP:
        cost += cap * r[1] * r[1]
        rest -= least
    else:
        z += g1
    return cost + z * z / rest if z > 0.0 else cost


@inner
def add_form(t0: float, t1: float, t2: float, cap: float, most: float, r: F, bounded: bool, out: F) -> None:
    """Add an option's quadratic form, as it is near r, to `out`: entries 00, 11, 22, 01, 02, 12."""
    held, rest = 0, 1.0
    if bounded:
        held = limits_at(r[0] * t0, r[1] * t1, r[2] * t2, most, t1 * t1 / cap)
    if held & AT_AIRTIME:
        out[0] += t0 * t0 / most
        rest -= most
        t0 = 0.0
    if held & AT_CAP:
        out[1] += cap
        rest -= t1 * t1 / cap
        t1 = 0.0
    if held and t0 + t1 + t2 == 0.0:
        return
    one = 1.0 / rest
    out[0] += t0 * t0 * one
    out[1] += t1 * t1 * one
    out[2] += t2 * t2 * one
    out[3] += t0 * t1 * one
    out[4] += t0 * t2 * one
    out[5] += t1 * t2 * one


@inner
def form_at(form: F, u0: float, u1: float, u2: float, r: F) -> float:
    """u'M r."""
    return (
        u0 * (form[0] * r[0] + form[3] * r[1] + form[4] * r[2])
        + u1 * (form[3] * r[0] + form[1] * r[1] + form[5] * r[2])
        + u2 * (form[4] * r[0] + form[5] * r[1] + form[2] * r[2])
    )


@inner
def time_left(m: MaxRoom, s: F, k: int, level: float) -> float:
    """Seconds that a user of a set has for its demands at a level."""
    return min(level / m.weight[k], m.deadline[k]) - s[0, k]


@inner
def form_of_set(m: MaxRoom, s: F, level: float, form: F, slope: F) -> None:
    """Quadratic form of a set at a level, users in `held` at their limits, and its slope in the level."""
    for i in range(6):
        form[i] = slope[i] = 0.0
    for k in range(s.shape[1]):
        tau = time_left(m, s, k, level)
        s0, s1, s2 = s[1, k], s[2, k], s[3, k]
        if m.held[k] & AT_AIRTIME:
            form[0] += s0 * s0 / s[5, k]
            tau -= s[5, k]
            s0 = 0.0
        if m.held[k] & AT_CAP:
            form[1] += m.cap[k]
            tau -= s1 * s1 / m.cap[k]
            s1 = 0.0
        if s0 + s1 + s2 > 0.0:
            one = 1.0 / tau
            two = -one * one / m.weight[k] if level < m.deadline[k] * m.weight[k] else 0.0
            form[0] += s0 * s0 * one
            form[1] += s1 * s1 * one
            form[2] += s2 * s2 * one
            form[3] += s0 * s1 * one
            form[4] += s0 * s2 * one
            form[5] += s1 * s2 * one
            slope[0] += s0 * s0 * two
            slope[1] += s1 * s1 * two
            slope[2] += s2 * s2 * two
            slope[3] += s0 * s1 * two
            slope[4] += s0 * s2 * two
            slope[5] += s1 * s2 * two


@inner
def least_level(m: MaxRoom, s: F, bounded: bool) -> float:
    """What an option set takes where every user has all there is; HUGE where that breaks a limit."""
    low = 0.0
    for k in range(s.shape[1]):
        up, edge = s[1, k] * s[1, k], s[2, k] * s[2, k] / (m.cap[k] if bounded else 1.0)
        latency = s[0, k] + max(s[4, k], up + edge + s[3, k] * s[3, k])
        if up > s[5, k] * KEPT or latency > m.deadline[k] * KEPT:
            return HUGE
        low = max(low, m.weight[k] * latency)
    return low


@inner
def set_level(m: MaxRoom, s: F, r: F, bounded: bool) -> float:
    """Objective of an option set, `s` its rows, on the best shares, into `shares`; `r` gets its prices.

    Newton's method on 1 / (largest eigenvalue), which is concave in the level, from below; then users that would go
    beyond a limit are held there, those that would not are let go, and so on. What is returned is the objective on the
    shares found, so it is reached even where this does not settle; HUGE where these shares break a limit.
    """
    users = m.left.shape[0]
    low = least_level(m, s, bounded)
    if low >= HUGE:
        return HUGE
    for k in range(users):
        m.held[k] = 0
    level = low
    for _ in range(_FILLINGS if bounded else 1):
        for _step in range(_NEWTON):
            form_of_set(m, s, level, m.form, m.slope)
            value = largest_eigenvalue(m.form, m.m, m.v, r)
            slope = form_at(m.slope, r[0], r[1], r[2], r)
            if not slope < 0.0 or not np.isfinite(value):
                break
            new = max(level + (value - value * value) / slope, low)
            done = abs(new - level) <= 1e-14 * level
            level = new
            if done:
                break
        settled = True
        for k in range(users if bounded else 0):
            tau = time_left(m, s, k, level)
            g0, g1, g2 = r[0] * s[1, k], r[1] * s[2, k], r[2] * s[3, k]
            most, least = s[5, k] / tau, s[2, k] * s[2, k] / (m.cap[k] * tau)
            # at a limit by rounding alone: as before
            surely = limits_at(g0, g1, g2, most * (1.0 + 1e-12), least * (1.0 - 1e-12))
            perhaps = limits_at(g0, g1, g2, most * (1.0 - 1e-12), least * (1.0 + 1e-12))
            held = (m.held[k] | surely) & (perhaps | surely)
            if held != m.held[k]:
                m.held[k] = held
                settled = False
        if settled:
            break
    return shares_at(m, s, r, level)


@inner
def shares_at(m: MaxRoom, s: F, r: F, level: float) -> float:
    """Shares (3, K) of a set at prices and a level, brought within the budgets and filling them; their objective."""
    users, x = m.left.shape[0], m.shares
    for k in range(users):
        tau = time_left(m, s, k, level)
        y = r[0] * s[1, k] + r[1] * s[2, k] + r[2] * s[3, k]
        if m.held[k] & AT_AIRTIME:
            tau -= s[5, k]
            y -= r[0] * s[1, k]
        if m.held[k] & AT_CAP:
            tau -= s[2, k] * s[2, k] / m.cap[k]
            y -= r[1] * s[2, k]
        for i in range(3):
            x[i, k] = 0.0
            if s[i + 1, k] > 0.0:
                if i == 0 and m.held[k] & AT_AIRTIME:
                    x[i, k] = s[1, k] * s[1, k] / s[5, k]
                elif i == 1 and m.held[k] & AT_CAP:
                    x[i, k] = m.cap[k]
                else:
                    x[i, k] = s[i + 1, k] * (y / (r[i] * tau) if r[i] > 0.0 else s[i + 1, k] / tau)
    for i in range(3):
        total = 0.0
        for k in range(users):
            total += x[i, k]
        if total > 0.0:
            for k in range(users):
                x[i, k] /= total
                if i == 1:
                    x[i, k] = min(x[i, k], m.cap[k])
    result = 0.0
    for k in range(users):
        path = 0.0
        for i in range(3):
            if s[i + 1, k] > 0.0:
                path += s[i + 1, k] * s[i + 1, k] / x[i, k]
                if i == 0 and not path <= s[5, k] * KEPT:
                    return HUGE
        latency = s[0, k] + max(path, s[4, k])
        if not latency <= m.deadline[k] * KEPT:
            return HUGE
        result = max(result, m.weight[k] * latency)
    return result if np.isfinite(result) else HUGE
