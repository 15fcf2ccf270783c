"""Compiled: a given option set of "max": its room, its quadratic forms in the roots of the prices, level and shares.

The notation is that of `megdt_opt.solving.batch.maxima`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from megdt_opt.solving.batch.small import ATOMS, F, I, Int, largest_eigenvalue
from megdt_opt.solving.compiled.jit import inner
from megdt_opt.solving.compiled.laws import HUGE

POOL = 8
"""Price vectors that the depth-first search tries on each node."""

_NEWTON = 60
_FILLINGS = 40


class MaxRoom(NamedTuple):
    """Room for one scenario. Options are at places 0 to left[k] - 1 of row k.

    `t` (8, K, O): fixed latency, roots of the demands, roots of demand over time left, cost; `ids` (K, O) the options'
    numbers; `cap` and `weight` (K,); `best` and `trial` (4, K) fixed and s of sets, `best_ids` and `trial_ids` their
    options; `place` (K,) those of a pass; `shares` and `best_shares` (3, K); `held` (K,) 1 for users at their caps;
    `form` and `slope` (6,) a quadratic form and its slope in the level; `m` and `v` (3, 3) a form's values and vectors;
    `pool` (POOL, 3) root prices with `costs` (POOL, K, O); `work` (6, 6) and `change` (5, 6) for vectors and forms.
    """

    t: F
    ids: Int
    left: I
    cap: F
    weight: F
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
        np.empty((8, users, options)), np.empty((users, options), np.int32), np.zeros(users, np.int64), np.ones(users),
        np.ones(users), np.zeros((4, users)), np.zeros(users, np.int32), np.zeros((4, users)),
        np.zeros(users, np.int32), np.zeros(users, np.int32), np.zeros((3, users)), np.zeros((3, users)),
        np.zeros(users, np.int32), np.zeros(6), np.zeros(6), np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((POOL, 3)),
        np.empty((POOL, users, options)), np.zeros((6, 6)), np.zeros((ATOMS, 6)),
    )  # fmt: skip


@inner
def cost_of(t0: float, t1: float, t2: float, cap: float, r: F) -> float:
    """Cost of an option with a cap."""
    y = r[0] * t0 + r[1] * t1 + r[2] * t2
    if t1 * y <= cap * r[1]:
        return y * y
    z = r[0] * t0 + r[2] * t2
    return cap * r[1] * r[1] + z * z / (1.0 - t1 * t1 / cap)


@inner
def add_form(t0: float, t1: float, t2: float, cap: float, r: F, capped: bool, out: F) -> None:
    """Add an option's quadratic form, as it is near r, to `out`: entries 00, 11, 22, 01, 02, 12."""
    if capped and t1 * (r[0] * t0 + r[1] * t1 + r[2] * t2) > cap * r[1]:
        rest = 1.0 / (1.0 - t1 * t1 / cap)
        out[0] += t0 * t0 * rest
        out[1] += cap
        out[2] += t2 * t2 * rest
        out[4] += t0 * t2 * rest
    else:
        out[0] += t0 * t0
        out[1] += t1 * t1
        out[2] += t2 * t2
        out[3] += t0 * t1
        out[4] += t0 * t2
        out[5] += t1 * t2


@inner
def form_at(form: F, u0: float, u1: float, u2: float, r: F) -> float:
    """u'M r."""
    return (
        u0 * (form[0] * r[0] + form[3] * r[1] + form[4] * r[2])
        + u1 * (form[3] * r[0] + form[1] * r[1] + form[5] * r[2])
        + u2 * (form[4] * r[0] + form[5] * r[1] + form[2] * r[2])
    )


@inner
def form_of_set(m: MaxRoom, s: F, level: float, form: F, slope: F) -> None:
    """Quadratic form of a set at a level, users in `held` at their caps, and its slope in the level."""
    for i in range(6):
        form[i] = slope[i] = 0.0
    for k in range(s.shape[1]):
        tau = level / m.weight[k] - s[0, k]
        s0, s1, s2 = s[1, k], s[2, k], s[3, k]
        if m.held[k] > 0:
            form[1] += m.cap[k]
            tau -= s1 * s1 / m.cap[k]
            s1 = 0.0
        if s0 + s1 + s2 > 0.0:
            one = 1.0 / tau
            two = -one * one / m.weight[k]
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
def set_level(m: MaxRoom, s: F, r: F, capped: bool) -> float:
    """Objective of an option set, `s` (4, K) its fixed and s, on the best shares, into `shares`; `r` gets its prices.

    Newton's method on 1 / (largest eigenvalue), which is concave in the level, from below; then users that would take
    more than their caps are held there, those that would take less are let go, and so on. What is returned is the
    objective on the shares found, so it is reached even where this does not settle.
    """
    users = m.left.shape[0]
    low = 0.0
    for k in range(users):
        edge = s[2, k] * s[2, k] / (m.cap[k] if capped else 1.0)
        low = max(low, m.weight[k] * (s[0, k] + s[1, k] * s[1, k] + edge + s[3, k] * s[3, k]))
        m.held[k] = 0
    level = low
    for _ in range(_FILLINGS if capped else 1):
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
        for k in range(users if capped else 0):
            tau = level / m.weight[k] - s[0, k]
            y = r[0] * s[1, k] + r[1] * s[2, k] + r[2] * s[3, k]
            wanted, most = s[2, k] * y, m.cap[k] * r[1] * tau
            if m.held[k] == 0 and wanted > most * (1.0 + 1e-12):
                m.held[k] = 1
                settled = False
            elif m.held[k] > 0 and wanted < most * (1.0 - 1e-12):
                m.held[k] = 0
                settled = False
        if settled:
            break
    return shares_at(m, s, r, level)


@inner
def shares_at(m: MaxRoom, s: F, r: F, level: float) -> float:
    """Shares (3, K) of a set at prices and a level, brought within the budgets and filling them; their objective."""
    users, x = m.left.shape[0], m.shares
    for k in range(users):
        tau = level / m.weight[k] - s[0, k]
        y = r[0] * s[1, k] + r[1] * s[2, k] + r[2] * s[3, k]
        if m.held[k] > 0:
            tau -= s[2, k] * s[2, k] / m.cap[k]
            y -= r[1] * s[2, k]
        for i in range(3):
            x[i, k] = 0.0
            if s[i + 1, k] > 0.0:
                if m.held[k] > 0 and i == 1:
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
        latency = s[0, k]
        for i in range(3):
            if s[i + 1, k] > 0.0:
                latency += s[i + 1, k] * s[i + 1, k] / x[i, k]
        result = max(result, m.weight[k] * latency)
    return result if np.isfinite(result) else HUGE
