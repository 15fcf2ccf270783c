"""Compiled: passes over all options of very many users, which keep the few options near the best prices.

Where users times options are many, a copy of the tables costs more than the search. So the tables stay as the problem
has them, and a pass copies what matters: per user the option that is cheapest at given prices, and, where asked, those
that could be cheapest at prices within a part `width` of them. The best prices of what was kept are those of all
options as soon as a pass at them finds nothing cheaper; that pass is the proof as well.

No airtime limits: least shares are a table of their own. Rows are independent, so that threads can share a pass.

Long and wide functions: rows and numbers are handed over one by one, as numba copies a record of them at each call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, melt, threaded
from megdt_opt.solving.compiled.kernels import ROUGHLY, F, I, Terms, law_of, value_at
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM, Law, Three, guess_of, on_curve, option_at, shares_at
from megdt_opt.solving.compiled.rows import fill
from megdt_opt.solving.compiled.settling import set_at

Int = NDArray[np.int32]

_BLOCK = 512
"""Users whose costs are summed up on their own, so that rounding does not grow with the users."""

_SHORT = 1e-100
"""Time that is too short to square what it asks for [s]."""

_EARLIER = 3
"""Options at most that are kept for levels below the one looked at."""


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


class Row(NamedTuple):
    """What a pass works out for one user's options, (O,) each: roots of the demands, costs, and latencies alone."""

    down: F
    up: F
    edge: F
    cost: F
    alone: F


@inner
def roots_of(row: Row, j: int) -> Three:
    """Roots of the demands of an option."""
    melt()
    return Three(row.down[j], row.up[j], row.edge[j])


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
def put(raw: Raw, terms: Terms, k: int, at: int, option: int, s: Three) -> None:
    """Write an option with the roots of its demands at a place of a row."""
    melt()
    terms.fixed[k, at], terms.ids[k, at] = raw.fixed[k, option], option
    terms.up[k, at], terms.edge[k, at], terms.down[k, at] = s.up, s.edge, s.down
    if raw.has_branch:
        terms.branch[k, at] = raw.branch[k, option]


@inner
def plain_costs(kind: int, raw: Raw, k: int, level: float, r: Three, row: Row) -> None:
    """Costs of a user's options as `kernels.plain_cost` has them, in loops that the processor does four at a time."""
    melt()
    s0, s1, s2, cost = row.down, row.up, row.edge, row.cost
    weight, cap = raw.weight[k], raw.cap[k]
    w, icap, held = np.sqrt(weight), 1.0 / cap, cap * r.edge
    if kind == SUM:
        for j in range(cost.shape[0]):
            over = max(w * s2[j] - held, 0.0)
            linear = w * raw.fixed[k, j] + 2.0 * (r.down * s0[j] + r.edge * s2[j] + r.up * s1[j])
            cost[j] = w * linear + over * over * icap
    else:
        most = level / weight
        for j in range(cost.shape[0]):
            tau = most - raw.fixed[k, j]
            links = r.down * s0[j] + r.up * s1[j]
            paid = links + r.edge * s2[j]
            capped = s2[j] * paid > held * tau or (r.edge == 0.0 and s2[j] > 0.0)
            left = tau - s2[j] * s2[j] * icap if capped else tau
            paid = links if capped else paid
            one = paid * paid / left if left > 0.0 else (0.0 if left == 0.0 and paid == 0.0 else HUGE)
            cost[j] = one + (r.edge * held if capped else 0.0)
    if raw.limited:
        for j in range(cost.shape[0]):
            if not raw.allowed[k, j]:
                cost[j] = HUGE


@inner
def least_paid(m: float, s: float, r: float, high: float, gamma: float, brink: float, full: float, curve: int) -> float:
    """What a resource's best share costs, and its time at the multiplier m^2: the sum is all that `part_at` tells."""
    melt()
    if s == 0.0:
        return 0.0
    if m * s >= r * brink:
        return r * r * high + m * m * s * s * full
    if gamma == np.inf:
        return 2.0 * r * m * s
    return r * r * gamma * on_curve(m * s / (r * gamma), curve)[0]  # the slopes are not worked out


@inner
def bound_at(
    kind: int, weight: float, fixed: float, branch: float, latest: float, guess: float, s: Three, r: Three, law: Law,
    curve: int,
) -> float:  # fmt: skip
    """A lower bound of an option's cost from one multiplier, near the cost if `guess` is near; as `option_at`."""
    melt()
    wanted = latest - fixed
    if wanted < branch or wanted < 0.0:
        return HUGE
    if wanted < _SHORT:
        return 0.0
    if kind == SUM:
        m, base = np.sqrt(weight), weight * fixed
    else:
        m = guess * (r.up * s.up + r.edge * s.edge + r.down * s.down) / wanted
        base = -m * m * wanted
    paid = least_paid(m, s.down, r.down, 1.0, law.g0, law.b0, law.f0, curve)
    paid += least_paid(m, s.up, r.up, 1.0, law.g1, law.b1, law.f1, curve)
    paid += least_paid(m, s.edge, r.edge, law.cap, np.inf, law.cap, 1.0 / law.cap, curve)
    return max(base + paid, weight * (fixed + branch) if kind == SUM else 0.0)


@inner
def any_costs(
    kind: int, raw: Raw, k: int, level: float, r: Three, guess: float, ids: Int, kept: int, row: Row
) -> float:
    """Costs of a user's options by any law: exact where they are the least so far, else bounds above that.

    The options kept come first, as the cheapest is likely to be among them. Returns the `guess` for the next user.
    """
    melt()
    law, weight, limit = law_of(raw.cap, raw.gamma, raw.brink, raw.full, k), raw.weight[k], raw.limit[k]
    latest = min(level / weight, limit) if kind == MAX else limit
    best, cost = HUGE, row.cost
    fill(cost, -1.0)
    for i in range(kept + cost.shape[0]):
        j = ids[k, i] if i < kept else i - kept
        if cost[j] >= 0.0:
            continue
        if raw.limited and not raw.allowed[k, j]:
            cost[j] = HUGE
            continue
        fixed, branch, s = raw.fixed[k, j], raw.branch[k, j] if raw.has_branch else 0.0, roots_of(row, j)
        cost[j] = bound_at(kind, weight, fixed, branch, latest, guess, s, r, law, raw.curve)
        if cost[j] < best:
            cost[j], m = option_at(
                kind, weight, fixed, branch, limit, level, s, r, 0.0, law, raw.curve, guess, best, ROUGHLY
            )  # fmt: skip
            if cost[j] < best:
                best = cost[j]
                if kind == MAX:
                    guess = guess_of(m, weight, fixed, limit, level, s, r)
    return guess


@inner
def keep_earlier(raw: Raw, k: int, lower: float, place: int, count: int, row: Row, terms: Terms) -> int:
    """For "max", keep what becomes cheapest as the level falls to `lower` [s] and dearer options are in time no more.

    The last one is what is fastest alone, which leaves the user something whatever the level will be. Returns how many
    are kept then.
    """
    melt()
    s0, s1, s2, cost, alone = row.down, row.up, row.edge, row.cost, row.alone
    law = law_of(raw.cap, raw.gamma, raw.brink, raw.full, k)
    f0, f1, f2 = law.f0, law.f1, 1.0 / law.cap
    for j in range(cost.shape[0]):
        alone[j] = s0[j] * s0[j] * f0 + s1[j] * s1[j] * f1 + s2[j] * s2[j] * f2
    if raw.has_branch:
        for j in range(cost.shape[0]):
            alone[j] = max(alone[j], raw.branch[k, j])
    for j in range(cost.shape[0]):
        alone[j] = alone[j] + raw.fixed[k, j] if cost[j] < HUGE else HUGE
    n, last = count, place
    for turn in range(_EARLIER):
        found = last
        if turn == _EARLIER - 1 or alone[last] <= lower:
            for j in range(cost.shape[0]):
                if alone[j] < alone[found]:
                    found = j
        else:
            for j in range(cost.shape[0]):
                if alone[j] < alone[last] and (found == last or cost[j] < cost[found]):
                    found = j
        if found == last or n >= terms.fixed.shape[1]:
            break
        if column_of(terms.ids, k, n, found) < 0:
            put(raw, terms, k, n, found, roots_of(row, found))
            n += 1
        last = found
    return n


@inner
def keep_near(
    kind: int, raw: Raw, k: int, level: float, r: Three, width: float, place: int, count: int, row: Row, terms: Terms
) -> int:  # fmt: skip
    """Keep what could be cheapest at prices and a level within `width`; returns how many are kept then.

    A cost's slope in a price is the share, in the level the multiplier of the time; for other options than the cheapest
    they are what the cheapest one's multiplier makes likely.
    """
    melt()
    law, weight, limit = law_of(raw.cap, raw.gamma, raw.brink, raw.full, k), raw.weight[k], raw.limit[k]
    cost, latest = row.cost, min(level / weight, limit)
    mine, root, best, n, guess = Three(0.0, 0.0, 0.0), 0.0, row.cost[place], count, 1.0
    most = best * (1.0 + 4.0 * width)
    for turn in range(-1, cost.shape[0]):
        j = place if turn < 0 else turn
        if cost[j] >= most or turn == place or n >= terms.fixed.shape[1] - _EARLIER:
            continue
        fixed, s = raw.fixed[k, j], roots_of(row, j)
        if turn < 0:
            branch = raw.branch[k, j] if raw.has_branch else 0.0
            _, m = option_at(
                kind, weight, fixed, branch, limit, level, s, r, 0.0, law, raw.curve, 1.0, HUGE, ROUGHLY
            )  # fmt: skip
        elif kind == SUM:
            m = np.sqrt(weight)
        else:
            m = guess * (r.down * s.down + r.up * s.up + r.edge * s.edge) / max(latest - fixed, _SHORT)
        x = shares_at(m, s, r, 0.0, law, raw.curve)
        if turn < 0:
            mine, root = x, m
            if kind == MAX:
                guess = guess_of(m, weight, fixed, limit, level, s, r)
            continue
        moved = r.up * r.up * abs(x.up - mine.up) + r.edge * r.edge * abs(x.edge - mine.edge)
        moved = 2.0 * (moved + r.down * r.down * abs(x.down - mine.down))
        if kind == MAX:
            moved += abs(m * m - root * root) * level / weight
        if cost[j] - best < width * moved and column_of(terms.ids, k, n, j) < 0:
            put(raw, terms, k, n, j, s)
            n += 1
    return n


@threaded
def look(
    kind: int, raw: Raw, first: int, last: int, level: float, price: F, width: float, terms: Terms, count: I, out: F
) -> bool:
    """Keep what is cheapest for the users first to last - 1, and with `width` above 0 what is near.

    `terms` gets the options behind the `count` (K,) that each user has, as many as fit. `out` (2,) gets the sum of the
    least costs and how many cheapest options were new. False where a user has no option at this level.
    """
    options, room = raw.fixed.shape[1], terms.fixed.shape[1]
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    row = Row(np.empty(options), np.empty(options), np.empty(options), np.empty(options), np.empty(options))
    total, block, fresh, guess = 0.0, 0.0, 0.0, 1.0
    for k in range(first, last):
        q0, q1, q2 = raw.scale[k, 0], raw.scale[k, 1], raw.scale[k, 2]
        for j in range(options):
            row.down[j] = np.sqrt(raw.down[k, j] * q0)
        for j in range(options):
            row.up[j] = np.sqrt(raw.up[k, j] * q1)
        for j in range(options):
            row.edge[j] = np.sqrt(raw.edge[k, j] * q2)
        n = count[k]
        if raw.plain:
            plain_costs(kind, raw, k, level, r, row)
        else:
            guess = any_costs(kind, raw, k, level, r, guess, terms.ids, n, row)
        best, place = HUGE, -1
        for j in range(options):
            if row.cost[j] < best:
                best, place = row.cost[j], j
        if place < 0:
            return False
        block += best
        if (k - first) % _BLOCK == _BLOCK - 1:
            total += block
            block = 0.0
        if column_of(terms.ids, k, n, place) < 0:
            fresh += 1.0
            put(raw, terms, k, place_for(terms.ids, k, n, row.cost), place, roots_of(row, place))
            n = min(n + 1, room)
        if width > 0.0:
            n = keep_near(kind, raw, k, level, r, width, place, n, row, terms)
            if kind == MAX:
                lower = level / raw.weight[k] * (1.0 - width)
                n = keep_earlier(raw, k, lower, place, n, row, terms)
        count[k] = n
    out[0], out[1] = total + block, fresh
    return True


@threaded
def value_of(
    kind: int, terms: Terms, begin: I, end: I, level: float, price: F, usage: F, option: Int
) -> tuple[float, float]:
    """As `kernels.value_at`, of the options kept."""
    return value_at(kind, terms, begin, end, level, price, usage, option)


@threaded
def set_of(
    kind: int, terms: Terms, option: Int, level: float, price: F, guess: F, usage: F, slopes: F, drift: F, shares: F
) -> float:
    """As `settling.set_at`, of given options."""
    return set_at(kind, terms, option, level, price, guess, usage, slopes, drift, shares)


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
