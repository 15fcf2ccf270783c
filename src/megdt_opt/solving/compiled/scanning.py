"""Compiled: passes over all options of very many users, which keep the few options near the best prices.

Where users times options are many, a copy of the tables costs more than the search. So the tables stay as the problem
has them, and a pass copies what matters: per user the option that is cheapest at given prices, and, where asked, those
that could be cheapest at prices within a part `width` of them. The best prices of what was kept are those of all
options as soon as a pass at them finds nothing cheaper; that pass is the proof as well.

No airtime limits: least shares are a table of their own. Rows are independent, so that threads can share a pass.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, threaded
from megdt_opt.solving.compiled.kernels import ROUGHLY, F, I, Terms, law_of
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM, Three, guess_of, option_at, shares_at

Int = NDArray[np.int32]

_BLOCK = 512
"""Users whose costs are summed up on their own, so that rounding does not grow with the users."""


class Raw(NamedTuple):
    """Tables (K, O) as the problem has them; `scale` (K, 3) is the time at the whole budget per unit of demand.

    `allowed` (K, O) is looked at where `limited`, `branch` (K, O) where `has_branch`; the rest is as in `Terms`.
    """

    fixed: F
    branch: F
    up: F
    edge: F
    down: F
    allowed: NDArray[np.bool_]
    limited: bool
    scale: F
    gamma: F
    brink: F
    full: F
    cap: F
    weight: F
    limit: F
    curve: int
    plain: bool
    has_branch: bool


@inner
def column_of(ids: Int, k: int, count: int, option: int) -> int:
    """Where an option is among the first ones of a row; -1 where it is not."""
    for j in range(count):
        if ids[k, j] == option:
            return j
    return -1


@inner
def place_for(ids: Int, k: int, count: int, cost: F) -> int:
    """Where another option goes in a row: behind the others, or where there is no room in place of the dearest."""
    if count < ids.shape[1]:
        return count
    at = 0
    for j in range(1, count):
        if cost[ids[k, j]] > cost[ids[k, at]]:
            at = j
    return at


@inner
def put(
    fixed: F, up: F, edge: F, down: F, ids: Int, k: int, at: int, option: int, fixed_s: float, s0: F, s1: F, s2: F
) -> None:
    """Write an option with the roots of its demands at a place of a row; takes arrays, as all terms would be copied."""
    fixed[k, at], ids[k, at] = fixed_s, option
    down[k, at], up[k, at], edge[k, at] = s0[option], s1[option], s2[option]


@threaded
def look(
    kind: int, raw: Raw, first: int, last: int, level: float, price: F, width: float, terms: Terms, count: I, out: F
) -> bool:
    """Keep what is cheapest for the users first to last - 1, and with `width` above 0 what is near.

    `terms` gets the options behind the `count` (K,) that each user has, as many as fit. `out` (2,) gets the sum of the
    least costs and how many cheapest options were new. False where a user has no option at this level.
    """
    options, room = raw.fixed.shape[1], terms.fixed.shape[1]
    r0, r1, r2 = np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2])
    s0, s1, s2, cost = np.empty(options), np.empty(options), np.empty(options), np.empty(options)
    total, block, fresh = 0.0, 0.0, 0.0
    for k in range(first, last):
        weight, cap = raw.weight[k], raw.cap[k]
        w, icap, held = np.sqrt(weight), 1.0 / cap, cap * r2
        q0, q1, q2 = raw.scale[k, 0], raw.scale[k, 1], raw.scale[k, 2]
        for j in range(options):
            s1[j] = np.sqrt(raw.up[k, j] * q1)
        for j in range(options):
            s2[j] = np.sqrt(raw.edge[k, j] * q2)
        for j in range(options):
            s0[j] = np.sqrt(raw.down[k, j] * q0)
        if kind == SUM:
            for j in range(options):
                over = max(w * s2[j] - held, 0.0)
                linear = w * raw.fixed[k, j] + 2.0 * (r0 * s0[j] + r1 * s1[j] + r2 * s2[j])
                cost[j] = w * linear + over * over * icap
        else:
            most = level / weight
            for j in range(options):
                tau = most - raw.fixed[k, j]
                links = r1 * s1[j] + r0 * s0[j]
                paid = links + r2 * s2[j]
                capped = s2[j] * paid > held * tau or (r2 == 0.0 and s2[j] > 0.0)
                left = tau - s2[j] * s2[j] * icap if capped else tau
                paid = links if capped else paid
                one = paid * paid / left if left > 0.0 else (0.0 if left == 0.0 and paid == 0.0 else HUGE)
                cost[j] = one + (r2 * held if capped else 0.0)
        if raw.limited:
            for j in range(options):
                if not raw.allowed[k, j]:
                    cost[j] = HUGE
        best, place = HUGE, -1
        for j in range(options):
            if cost[j] < best:
                best, place = cost[j], j
        if place < 0:
            return False
        block += best
        if (k - first) % _BLOCK == _BLOCK - 1:
            total += block
            block = 0.0
        n = count[k]
        at = column_of(terms.ids, k, n, place)
        if at < 0:
            fresh += 1.0
            at = place_for(terms.ids, k, n, cost)
            put(terms.fixed, terms.up, terms.edge, terms.down, terms.ids, k, at, place, raw.fixed[k, place], s0, s1, s2)
            n = min(n + 1, room)
        if width > 0.0 and kind == MAX and n < room:
            # whatever the level will be, this leaves the user something
            least, fastest = np.inf, place
            for j in range(options):
                alone = raw.fixed[k, j] + s1[j] * s1[j] + s2[j] * s2[j] * icap + s0[j] * s0[j]
                if alone < least and cost[j] < HUGE:
                    least, fastest = alone, j
            if column_of(terms.ids, k, n, fastest) < 0:
                fixed = raw.fixed[k, fastest]
                put(terms.fixed, terms.up, terms.edge, terms.down, terms.ids, k, n, fastest, fixed, s0, s1, s2)
                n += 1
        if width > 0.0:
            # costs are w (w fixed + 2 r.s), or the squares of r.(s / sqrt(tau)): differences are linear in r
            mine = 1.0 if kind == SUM else 1.0 / np.sqrt(max(level / weight - raw.fixed[k, place], 1e-300))
            b0, b1, b2 = mine * s0[place], mine * s1[place], mine * s2[place]
            root = np.sqrt(best)
            for j in range(options):
                if cost[j] >= 2.0 * best or j == place or n >= room - 2:
                    continue
                if kind == SUM:
                    apart = 0.5 * (cost[j] - best) / w
                    other = 1.0
                else:
                    apart = np.sqrt(cost[j]) - root
                    other = 1.0 / np.sqrt(max(level / weight - raw.fixed[k, j], 1e-300))
                    apart -= 0.5 * width * root * abs(other * other - mine * mine) * level / weight
                moved = r1 * abs(other * s1[j] - b1) + r2 * abs(other * s2[j] - b2) + r0 * abs(other * s0[j] - b0)
                if apart < width * moved and column_of(terms.ids, k, n, j) < 0:
                    put(terms.fixed, terms.up, terms.edge, terms.down, terms.ids, k, n, j, raw.fixed[k, j], s0, s1, s2)
                    n += 1
        count[k] = n
    out[0], out[1] = total + block, fresh
    return True


@threaded
def look_any(
    kind: int, raw: Raw, first: int, last: int, level: float, price: F, width: float, terms: Terms, count: I, out: F
) -> bool:
    """The same as `look` where laws are curved, or branches or limits decide."""
    options, room = raw.fixed.shape[1], terms.fixed.shape[1]
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    s0, s1, s2, cost = np.empty(options), np.empty(options), np.empty(options), np.empty(options)
    fixed, branch, allowed, up, edge, down = raw.fixed, raw.branch, raw.allowed, raw.up, raw.edge, raw.down
    limited, has_branch, curve = raw.limited, raw.has_branch, raw.curve
    total, block, fresh, guess = 0.0, 0.0, 0.0, 1.0
    for k in range(first, last):
        weight, limit = raw.weight[k], raw.limit[k]
        law = law_of(raw.cap, raw.gamma, raw.brink, raw.full, k)
        q0, q1, q2 = raw.scale[k, 0], raw.scale[k, 1], raw.scale[k, 2]
        best, place, root = HUGE, -1, 0.0
        for j in range(options):
            s0[j], s1[j], s2[j] = np.sqrt(down[k, j] * q0), np.sqrt(up[k, j] * q1), np.sqrt(edge[k, j] * q2)
            cost[j] = HUGE
            if limited and not allowed[k, j]:
                continue
            s = Three(s0[j], s1[j], s2[j])
            wait = branch[k, j] if has_branch else 0.0
            cost[j], m = option_at(
                kind, weight, fixed[k, j], wait, limit, level, s, r, 0.0, law, curve, guess, best, ROUGHLY
            )  # fmt: skip
            if cost[j] < best:
                best, place, root = cost[j], j, m
                if kind == MAX:
                    guess = guess_of(m, weight, fixed[k, j], limit, level, s, r)
        if place < 0:
            return False
        block += best
        if (k - first) % _BLOCK == _BLOCK - 1:
            total += block
            block = 0.0
        n = count[k]
        at = column_of(terms.ids, k, n, place)
        if at < 0:
            fresh += 1.0
            at = place_for(terms.ids, k, n, cost)
            put(terms.fixed, terms.up, terms.edge, terms.down, terms.ids, k, at, place, fixed[k, place], s0, s1, s2)
            if has_branch:
                terms.branch[k, at] = branch[k, place]
            n = min(n + 1, room)
        if width > 0.0:
            wait = branch[k, place] if has_branch else 0.0
            mine = shares_at(root, Three(s0[place], s1[place], s2[place]), r, 0.0, law, curve)
            least, fastest = np.inf, place
            for j in range(options):
                if kind == MAX and cost[j] < HUGE:
                    # whatever the level will be, the fastest leaves the user something
                    alone = s1[j] * s1[j] * law.f1 + s2[j] * s2[j] / law.cap + s0[j] * s0[j] * law.f0
                    alone = fixed[k, j] + max(alone, branch[k, j] if has_branch else 0.0)
                    if alone < least:
                        least, fastest = alone, j
                most = best + 4.0 * width * abs(best)
                if cost[j] >= most or j == place or n >= room - 2:
                    continue
                s = Three(s0[j], s1[j], s2[j])
                wait = branch[k, j] if has_branch else 0.0
                exact, m = option_at(
                    kind, weight, fixed[k, j], wait, limit, level, s, r, 0.0, law, curve, guess, most, ROUGHLY
                )  # fmt: skip
                if exact >= most:
                    continue
                # a cost's slope in a price is the share, in the level the multiplier
                x = shares_at(m, s, r, 0.0, law, curve)
                moved = r.up * r.up * abs(x.up - mine.up) + r.edge * r.edge * abs(x.edge - mine.edge)
                moved = 2.0 * (moved + r.down * r.down * abs(x.down - mine.down))
                if kind == MAX:
                    moved += abs(m * m - root * root) * level / weight
                if exact - best < width * moved and column_of(terms.ids, k, n, j) < 0:
                    put(terms.fixed, terms.up, terms.edge, terms.down, terms.ids, k, n, j, fixed[k, j], s0, s1, s2)
                    if has_branch:
                        terms.branch[k, n] = branch[k, j]
                    n += 1
            if kind == MAX and n < room and column_of(terms.ids, k, n, fastest) < 0:
                put(
                    terms.fixed, terms.up, terms.edge, terms.down, terms.ids, k, n, fastest, fixed[k, fastest], s0, s1,
                    s2,
                )  # fmt: skip
                if has_branch:
                    terms.branch[k, n] = branch[k, fastest]
                n += 1
        count[k] = n
    out[0], out[1] = total + block, fresh
    return True


@threaded
def least_alone(raw: Raw, first: int, last: int, out: F) -> None:
    """Largest weighted latency alone of the users first to last - 1, each with its fastest option, into `out` (1,)."""
    most = 0.0
    for k in range(first, last):
        law = law_of(raw.cap, raw.gamma, raw.brink, raw.full, k)
        q0, q1, q2 = raw.scale[k, 0] * law.f0, raw.scale[k, 1] * law.f1, raw.scale[k, 2] / law.cap
        least = np.inf
        for j in range(raw.fixed.shape[1]):
            alone = raw.up[k, j] * q1 + raw.edge[k, j] * q2 + raw.down[k, j] * q0
            if raw.has_branch:
                alone = max(alone, raw.branch[k, j])
            alone += raw.fixed[k, j]
            if alone < least and not (raw.limited and not raw.allowed[k, j]):
                least = alone
        most = max(most, raw.weight[k] * least)
    out[0] = most
