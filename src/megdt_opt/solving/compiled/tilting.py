"""Compiled: best prices for "mixed", whose multipliers nu follow from the prices of the budgets.

At prices l user k's least cost phi_k(nu_k), that of the weight (1 + nu_k) w_k, is concave in nu_k, and its slope is the
weighted latency. The best nu with sum nu <= W are found by their common slope t: nu_k(t) is where user k's weighted
latency falls to t, and t is where sum nu_k(t) = W. Where an option's time jumps over t, two options share the user so
that their average is t. What the users take is then a point of the convexified problem, sum w L + W max w L at shares
x: whatever its accuracy, it gives a plane above the best value of every prices l',

    sum w L + W max w L + (sum x - 1) . l',

so that cutting planes need three dimensions only.

A cost is close to F M + 2 D sqrt(M) in M = (1 + nu) w, with l . x = D sqrt(M); it is that without bounds on shares,
branches, limits and Shannon rates. Guesses of nu_k(t) come from it, within a bracket.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies all arrays of a tuple at every
call, and each part of a loop is compiled on its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import MOST_CUTS
from megdt_opt.solving.compiled.jit import inner, making, stay_whole
from megdt_opt.solving.compiled.kernels import CLOSE, ROUGHLY, F, I, Terms, law_of, plain_cost
from megdt_opt.solving.compiled.laws import HUGE, SUM, Three, option_at, shares_at
from megdt_opt.solving.compiled.limited import limited_cost
from megdt_opt.solving.compiled.rows import put

Option = NDArray[np.int32]

_TURNS, _LEVELS, _SOON = 80, 80, 4
TIE = 1e-13
"""Relative difference up to which costs, latencies and multipliers count as equal [1]."""

_ROOM = 1e-14
"""Relative distance of sum nu from W, so that rounding never carries it over."""

TILT, COST, LATE, PAID, SHARE, ROOT, ROWS = 0, 1, 2, 3, 4, 7, 8
"""Rows of a point of every user: nu, cost, weighted latency, what its shares cost, from there on its shares, and the
root of its time's multiplier; their number."""


class Tilted(NamedTuple):
    """Room for one search: for every plane the options of the two sides, (n, K), and the part of the first, (n, K);
    best multipliers (K,), and the level t of the last prices (1,)."""

    first: Option
    second: Option
    part: F
    tilts: F
    level: F


def room(users: int) -> Tilted:
    """Room for `MOST_CUTS` planes."""
    shape = (MOST_CUTS, users)
    return Tilted(np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.ones(shape), np.zeros(users), np.zeros(1))


@inner
def look(
    fixed: F, branch: F, up: F, edge: F, down: F, least: F, gamma: F, brink: F, full: F, caps: F, weights: F,
    limits: F, curve: int, plain: bool, has_branch: bool, has_least: bool, begin: I, end: I, price: F, who: I,
    count: int, point: F, places: Option,
) -> None:  # fmt: skip
    """Least costs of the first `count` users in `who` at the multipliers in `point` (8, K), whose other rows, with
    `places` (K,), tell what costs least."""
    stay_whole()
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    for i in range(count):
        k = who[i]
        weight, limit, law = weights[k] * (1.0 + point[TILT, k]), limits[k], law_of(caps, gamma, brink, full, k)
        best, place, own = HUGE, -1, np.sqrt(weight)
        root = own
        curved = not (law.g1 == np.inf and law.g0 == np.inf)
        if plain:
            cr, icap = law.cap * r.edge, 1.0 / law.cap
            for j in range(begin[k], end[k]):
                s2 = edge[k, j]
                cost = own * fixed[k, j] + 2.0 * (r.up * up[k, j] + r.edge * s2 + r.down * down[k, j])
                over = max(own * s2 - cr, 0.0)
                cost = own * cost + over * over * icap
                if cost < best:
                    best, place = cost, j
        hint = places[k]
        if not (curved or has_branch or has_least):
            if not plain or place < 0 or up[k, place] * own > r.up or down[k, place] * own > r.down:
                best, place = HUGE, -1
                for turn in range(begin[k] - 1, end[k]):
                    # first what was best before, which spares the others
                    j = hint if turn < begin[k] else turn
                    if (turn < begin[k] and not begin[k] <= hint < end[k]) or turn == hint:
                        continue
                    s0, s1, s2 = down[k, j], up[k, j], edge[k, j]
                    if best <= own * (own * fixed[k, j] + 2.0 * (r.up * s1 + r.edge * s2 + r.down * s0)):
                        continue  # limit and bounds of the shares only add to it
                    cost, m, fits = limited_cost(
                        weight, own, law.cap, limit, fixed[k, j], s0, s1, s2, r.down, r.up, r.edge
                    )
                    if cost < best and not fits:
                        cost, m = option_at(
                            SUM, weight, fixed[k, j], 0.0, limit, 0.0, Three(s0, s1, s2), r, 0.0, law, curve, 1.0, HUGE,
                            CLOSE,
                        )  # fmt: skip
                    if cost < best:
                        best, place, root = cost, j, m
        else:
            best, place = HUGE, -1
            for turn in range(begin[k] - 1, end[k] + 1):
                # in the end the best one again: its cost is exact, but shares are as near as the multiplier only
                again = turn == end[k]
                if again and place < 0:
                    break
                j = place if again else turn
                if turn < begin[k]:
                    j = hint
                    if not begin[k] <= hint < end[k]:
                        continue
                elif turn == hint and not again:
                    continue
                if not (curved or again) and best <= plain_cost(
                    SUM, weight, law.cap, 0.0, fixed[k, j], down[k, j], up[k, j], edge[k, j], r.down, r.up, r.edge
                ):
                    continue  # branch, limit and bounds of the shares only add to it
                cost, m = option_at(
                    SUM, weight, fixed[k, j], branch[k, j] if has_branch else 0.0, limit, 0.0,
                    Three(down[k, j], up[k, j], edge[k, j]), r, least[k, j] if has_least else 0.0, law, curve, 1.0,
                    HUGE if again else best, CLOSE if again else ROUGHLY,
                )  # fmt: skip
                if again:
                    best, root = cost, m
                elif cost < best:
                    best, place = cost, j
        point[COST, k], places[k] = best, place
        if place < 0:
            continue
        s, low = Three(down[k, place], up[k, place], edge[k, place]), least[k, place] if has_least else 0.0
        x = shares_at(root, s, r, low, law, curve)
        paid = price[0] * x.down + price[1] * x.up + price[2] * x.edge
        point[LATE, k], point[PAID, k] = (best - paid) / (1.0 + point[TILT, k]), paid
        point[ROOT, k] = root
        point[SHARE, k], point[SHARE + 1, k], point[SHARE + 2, k] = x.down, x.up, x.edge


@inner
def carry(point: F, places: Option, k: int, into: F, others: Option) -> None:
    """Make a user's point, (8, K), and its option, (K,), another one's."""
    stay_whole()
    for i in range(ROWS):
        into[i, k] = point[i, k]
    others[k] = places[k]


@inner
def root_at(weight: float, tilt: float, late: float, paid: float, level: float) -> float:
    """The multiplier at which a user's latency would be at the level, as the model has it; infinite where it never is.

    The weighted latency is w F + w D / sqrt(M).
    """
    root = np.sqrt(weight * (1.0 + tilt))
    d = paid / root
    left = (level - late) / weight + d / root
    if d <= 0.0 or left <= 0.0:
        return np.inf
    return (d / left) ** 2 / weight - 1.0


@inner
def next_tilt(weight: float, k: int, a: F, b: F, same: bool, level: float, turn: int) -> tuple[float, bool]:
    """Where to look next between two points (8, K) of user `k`, of which the first is later than the level and the
    second is not; and whether it is where their options cost the same."""
    ra, rb = np.sqrt(weight * (1.0 + a[TILT, k])), np.sqrt(weight * (1.0 + b[TILT, k]))
    root, cross = 0.5 * (ra + rb), False
    if turn % 4 != 3 and (turn < _SOON or turn % 2 == 0):
        da, db = a[PAID, k] / ra, b[PAID, k] / rb
        fa, fb = a[LATE, k] / weight - da / ra, b[LATE, k] / weight - db / rb
        if same:
            # the latency is linear in 1 / sqrt(M) by the model
            part = (a[LATE, k] - level) / (a[LATE, k] - b[LATE, k])
            root = 1.0 / (1.0 / ra + part * (1.0 / rb - 1.0 / ra))
        elif fa != fb:
            meet = 2.0 * (db - da) / (fa - fb)
            if ra <= meet <= rb:
                root, cross = meet, True
                if weight * (fa + da / meet) < level:
                    root, cross = da / (level / weight - fa), False
                elif weight * (fb + db / meet) > level:
                    root, cross = db / (level / weight - fb), False
    tilt = root * root / weight - 1.0
    if not a[TILT, k] < tilt < b[TILT, k]:
        root, cross = 0.5 * (ra + rb), False
        tilt = root * root / weight - 1.0
    return tilt, cross


@inner
def spread(
    fixed: F, branch: F, up: F, edge: F, down: F, least: F, gamma: F, brink: F, full: F, caps: F, weights: F,
    limits: F, curve: int, plain: bool, has_branch: bool, has_least: bool, begin: I, end: I, price: F, most: float,
    level: float, close: float, z: F, a: F, b: F, c: F, pz: Option, pa: Option, pb: Option, pc: Option, open_: I,
    who: I, only: I, after: I,
) -> None:  # fmt: skip
    """For every user two points, `a` later than a level and `b` not, whose multipliers are the one at which the latency
    reaches it. `z` is the point without a multiplier; both are that one where it is not late.

    `a` and `b` come as another level has left them; `b` has the latency -1 where it is unknown, as at the multiplier
    `most`, which none exceeds. Latencies come as `close` to the level as that, relatively.
    """
    stay_whole()
    count = 0
    for k in range(begin.shape[0]):
        if z[LATE, k] <= level:
            carry(z, pz, k, a, pa)
            carry(z, pz, k, b, pb)
            continue
        if a[LATE, k] <= level:
            carry(a, pa, k, b, pb)
            carry(z, pz, k, a, pa)
        elif b[LATE, k] > level:
            carry(b, pb, k, a, pa)
            b[LATE, k] = -1.0
        if not (b[LATE, k] >= 0.0 and b[TILT, k] <= a[TILT, k]):
            open_[count] = k
            count += 1
    for turn in range(_TURNS):
        asked, ties = 0, 0
        for i in range(count):
            k = open_[i]
            cross = False
            if b[LATE, k] < 0.0:
                if a[TILT, k] >= most:
                    continue
                tilt = min(root_at(weights[k], a[TILT, k], a[LATE, k], a[PAID, k], level), most)
                if turn >= _SOON:
                    # where the latency is held, as by a branch, the model says little: steps grow
                    tilt = min(max(tilt, (1.0 + a[TILT, k]) * 4.0 ** (turn - 3) - 1.0), most)
                if not tilt > a[TILT, k]:
                    tilt = most
            else:
                tilt, cross = next_tilt(weights[k], k, a, b, pa[k] == pb[k], level, turn)
                if not a[TILT, k] < tilt < b[TILT, k]:
                    continue
            c[TILT, k] = tilt
            open_[asked] = k
            only[k] = 1 if cross else 0
            asked += 1
        count = asked
        if count == 0:
            return
        look(
            fixed, branch, up, edge, down, least, gamma, brink, full, caps, weights, limits, curve, plain, has_branch,
            has_least, begin, end, price, open_, count, c, pc,
        )  # fmt: skip
        kept = 0
        for i in range(count):
            k = open_[i]
            if only[k] == 1 and (pc[k] == pa[k] or pc[k] == pb[k]):
                who[ties] = k
                ties += 1
                continue
            if abs(c[LATE, k] - level) <= close * level:
                carry(c, pc, k, a, pa)
                carry(c, pc, k, b, pb)
            else:
                if c[LATE, k] > level:
                    carry(c, pc, k, a, pa)
                else:
                    carry(c, pc, k, b, pb)
                open_[kept] = k
                kept += 1
        if ties > 0:
            kept = _tied(
                fixed, branch, up, edge, down, least, gamma, brink, full, caps, weights, limits, curve, plain,
                has_branch, has_least, price, level, a, b, c, pa, pb, pc, open_, who, only, after, ties, kept,
            )  # fmt: skip
        count = kept


@making
def _tied(
    fixed: F, branch: F, up: F, edge: F, down: F, least: F, gamma: F, brink: F, full: F, caps: F, weights: F,
    limits: F, curve: int, plain: bool, has_branch: bool, has_least: bool, price: F, level: float, a: F, b: F, c: F,
    pa: Option, pb: Option, pc: Option, open_: I, who: I, only: I, after: I, ties: int, kept: int,
) -> int:  # fmt: skip
    """Users for whom one of two options costs least where both are to cost the same: settled where they do."""
    stay_whole()
    d = np.empty((ROWS, pa.shape[0]))
    pd = np.empty(pa.shape[0], np.int32)
    for i in range(ties):
        k = who[i]
        d[TILT, k] = c[TILT, k]
        only[k] = pb[k] if pc[k] == pa[k] else pa[k]
        after[k] = only[k] + 1
    look(
        fixed, branch, up, edge, down, least, gamma, brink, full, caps, weights, limits, curve, plain, has_branch,
        has_least, only, after, price, who, ties, d, pd,
    )  # fmt: skip
    for i in range(ties):
        k = who[i]
        first = pc[k] == pa[k]
        late_a, late_b = (c[LATE, k], d[LATE, k]) if first else (d[LATE, k], c[LATE, k])
        if d[COST, k] - c[COST, k] <= TIE * c[COST, k] and late_b <= level <= late_a:
            if first:
                carry(c, pc, k, a, pa)
                carry(d, pd, k, b, pb)
            else:
                carry(d, pd, k, a, pa)
                carry(c, pc, k, b, pb)
            continue
        if c[LATE, k] > level:
            carry(c, pc, k, a, pa)
        else:
            carry(c, pc, k, b, pb)
        open_[kept] = k
        kept += 1
    return kept


@inner
def average(level: float, a: F, b: F, tilts: F, late: F, part: F, x: F) -> float:
    """Multipliers (K,), latencies (K,), the parts of the points `a` (K,) and shares (3, K) where these average the
    level. Returns the dual's value there, without its term W t."""
    stay_whole()
    total = 0.0
    for k in range(tilts.shape[0]):
        f = 1.0
        if b[LATE, k] >= 0.0 and a[LATE, k] > b[LATE, k]:
            f = min(max((level - b[LATE, k]) / (a[LATE, k] - b[LATE, k]), 0.0), 1.0)
        part[k] = f
        late[k] = f * a[LATE, k]
        tilts[k] = a[TILT, k]
        for i in range(3):
            x[i, k] = f * a[SHARE + i, k]
        if f < 1.0:
            late[k] += (1.0 - f) * b[LATE, k]
            for i in range(3):
                x[i, k] += (1.0 - f) * b[SHARE + i, k]
        total += a[COST, k] - level * a[TILT, k]
    return total


@inner
def falling(weights: F, level: float, z: F, a: F, b: F) -> float:
    """By how much the multipliers' sum falls as the level rises, as the model has it."""
    total = 0.0
    for k in range(weights.shape[0]):
        if z[LATE, k] < level or (b[LATE, k] >= 0.0 and b[LATE, k] < a[LATE, k]) or a[PAID, k] <= 0.0:
            continue
        m = weights[k] * (1.0 + a[TILT, k])
        total += 2.0 * m * m / (weights[k] * weights[k] * a[PAID, k])
    return total


@making
def tilted_value(
    terms: Terms, begin: I, end: I, price: F, most: float, start: float, close: float, x: F, tilts: F,
    first: Option, second: Option, part: F,
) -> tuple[float, float, float]:  # fmt: skip
    """Best value of the multipliers at prices, the offset of a plane above it, and the level t.

    `x` (3, K) gets the shares, `tilts` (K,) the multipliers, `first` and `second` (K,) the positions of the
    options and `part` (K,) that of the first. `start` is a guess of the level, 0 for none;
    value and offset are to come as `close` as that, relatively.
    """
    stay_whole()
    users = begin.shape[0]
    fixed, branch, up, edge, down, least = terms.fixed, terms.branch, terms.up, terms.edge, terms.down, terms.least
    gamma, brink, full, caps, weights = terms.gamma, terms.brink, terms.full, terms.cap, terms.weight
    limits, curve, plain = terms.limit, terms.curve, terms.plain
    has_branch, has_least = terms.has_branch, terms.has_least
    z = np.zeros((ROWS, users))
    pz = np.zeros(users, np.int32)
    who = np.arange(users)
    look(
        fixed, branch, up, edge, down, least, gamma, brink, full, caps, weights, limits, curve, plain, has_branch,
        has_least, begin, end, price, who, users, z, pz,
    )  # fmt: skip
    high, total = 0.0, 0.0
    for k in range(users):
        if pz[k] < 0:
            return HUGE, HUGE, 0.0
        high = max(high, z[LATE, k])
        total += z[COST, k]
    a, b, c, pa, pb, pc = z.copy(), z.copy(), z.copy(), pz.copy(), pz.copy(), pz.copy()
    work = np.zeros((4, users), np.int64)
    # the sides: 0 of the higher level, at which the multipliers' sum is at most W, and 1 of the lower
    late, tilt, parts = np.zeros((2, users)), np.zeros((2, users)), np.ones((2, users))
    taken = np.zeros((2, 3, users))
    places = np.zeros((2, 2, users), np.int32)
    heights, sums, levels = np.zeros(2), np.zeros(2), np.zeros(2)
    known, width = False, np.inf
    levels[0] = high
    heights[0] = average(high, a, b, tilt[0], late[0], parts[0], taken[0]) + most * high
    places[0, 0], places[0, 1] = pz, pz
    level = start
    if most > 0.0 and high > 0.0:
        slope = falling(weights, high, z, a, b)
        if not 0.0 < level < high:
            level = max(high - most / slope, 0.5 * high) if slope > 0.0 else 0.9 * high
        for turn in range(_LEVELS):
            spread(
                fixed, branch, up, edge, down, least, gamma, brink, full, caps, weights, limits, curve, plain,
                has_branch, has_least, begin, end, price, most, level, 0.1 * close, z, a, b, c, pz, pa, pb, pc,
                work[0], work[1], work[2], work[3],
            )  # fmt: skip
            side = 0
            amount = 0.0
            for k in range(users):
                amount += a[TILT, k]
            if amount > most:
                side, known = 1, True
            heights[side] = average(level, a, b, tilt[side], late[side], parts[side], taken[side]) + most * level
            places[side, 0], places[side, 1] = pa, pb
            sums[side], levels[side] = amount, level
            if abs(amount - most) <= close * most:
                known = known and side == 1
                break
            slope = falling(weights, level, z, a, b)
            ahead = level + (amount - most) / slope if slope > 0.0 else 0.0
            if known:
                over, under = sums[1] - most, most - sums[0]
                meet = (heights[1] - heights[0] + over * levels[1] + under * levels[0]) / (over + under)
                lowest = heights[1] - over * (meet - levels[1])
                if min(heights[0], heights[1]) - lowest <= close * abs(lowest):
                    break
                if not levels[1] < ahead < levels[0] or turn % 2 == 1:
                    ahead = meet
                if levels[0] - levels[1] > 0.5 * width or not levels[1] < ahead < levels[0]:
                    ahead = 0.5 * (levels[0] + levels[1])
                if not levels[1] < ahead < levels[0]:
                    break
                width = levels[0] - levels[1]
            elif slope <= 0.0:
                ahead = 0.9 * level
            else:
                # where a branch or a limit holds the latency, the model says little: steps grow
                ahead = max(min(ahead, level * (1.0 - 0.01 * 2.0 ** min(turn, 5))), 0.5 * level)
            level = ahead
    mix = 0.0
    if known:
        mix = min(max((most - sums[0]) / (sums[1] - sums[0]), 0.0), 1.0) if sums[1] > sums[0] else 1.0
    amount = 0.0
    worst, spent = 0.0, 0.0
    for k in range(users):
        tilts[k] = mix * tilt[1, k] + (1.0 - mix) * tilt[0, k]
        amount += tilts[k]
        now = mix * late[1, k] + (1.0 - mix) * late[0, k]
        worst = max(worst, now)
        spent += now
        for i in range(3):
            x[i, k] = mix * taken[1, i, k] + (1.0 - mix) * taken[0, i, k]
    if amount > most * (1.0 - _ROOM):
        for k in range(users):
            tilts[k] *= most * (1.0 - _ROOM) / amount
    near = 1 if mix >= 0.5 else 0
    put(first, places[near, 0])
    put(second, places[near, 1])
    put(part, parts[near])
    put(c[TILT], tilts)
    look(
        fixed, branch, up, edge, down, least, gamma, brink, full, caps, weights, limits, curve, plain, has_branch,
        has_least, begin, end, price, who, users, c, pc,
    )  # fmt: skip
    value = -price[0] - price[1] - price[2]
    for k in range(users):
        value += c[COST, k]
    return value, spent + most * worst, mix * levels[1] + (1.0 - mix) * levels[0]
