"""Compiled: partitions of the range of the largest weighted latency by what one price vector proves in their parts.

What prices prove of all T (see `capped`) is proven by a partition of its range. Within [T1, T2], with any multipliers
nu of a sum of at most W,

    G(l, T) >= sum_k min_o max(c_ko(l, nu_k; w L <= T2), c_ko(l; w L <= T2) + nu_k T1) - sum l + (W - sum nu) T1,

as either term is at most w L + l . x + nu_k T. With the slopes of the users' costs in T for nu it is close to G. Where
G is below the goal around the best level, that hollow is found first; what lies outside it is divided so that parts
grow outward, and below the levels at which options without shares open, as G steps down there.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies a record of them at each call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.capped import ROUNDING, SAME, Option, at_level, is_late, room_for, unhurried
from megdt_opt.solving.compiled.jit import inner, kernel, stay_whole
from megdt_opt.solving.compiled.kernels import ROUGHLY, F, I, Terms, law_of
from megdt_opt.solving.compiled.laws import HUGE, SUM, Three, option_at
from megdt_opt.solving.compiled.limited import limited_cost
from megdt_opt.solving.compiled.passes import Here
from megdt_opt.solving.compiled.rows import fill
from megdt_opt.solving.compiled.tilting import COST, LATE, ROOT

_ROOM = 1e-14
"""Relative distance of sum nu from W, so that rounding never carries it over."""

MOST_SPANS = 96
"""Parts of the range of the largest latency [1]."""

_TRIALS = 4
"""Trials of parts, over their number at most [1]."""

_FIRST, _OUTWARD = 1e-2, 3.0
"""Width of the first parts beside the best level, relatively to it, and how they grow outward [1]."""

_WIDE = 2e-3
"""Relative width of parts that are not divided any more as G is below the goal there [1]."""

_HOPELESS, _AWAY = 0.25, 0.1
"""The same as parts of their distance from the best level: other prices will do there; and where G is not below [1]."""

_DOUBLINGS, _HALVES = 60, 2
"""Doublings of the step until G comes to the goal, and halvings of the one in which it does [1]."""

_EDGE = 1e-9
"""Relative distance below the latency at which an option opens at which the range is divided [1]."""


@inner
def spanned(
    terms: Terms, begin: I, end: I, price: F, tilts: F, most: float, low: float, high: float, expected: F, none: F,
    places: Option,
) -> tuple[float, float]:  # fmt: skip
    """What prices and multipliers (K,) prove where the largest weighted latency is within [low, high]; and where within
    it an option without shares opens that makes the most of what users are below what is `expected` of them, (K,); 0
    for none.

    `none` (8, K) is what costs least without a limit below `high`, where it is known: its latency is no number
    elsewhere. `places` (K,) are guesses of what costs least."""
    stay_whole()
    worst, opens = 0.0, 0.0
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    total, left = -price[0] - price[1] - price[2], most
    for k in range(begin.shape[0]):
        left -= tilts[k]
    total += max(left, 0.0) * low
    for k in range(begin.shape[0]):
        if tilts[k] == 0.0 and none[LATE, k] <= high:
            total += none[COST, k]
            continue
        own, weight = terms.weight[k], terms.weight[k] * (1.0 + tilts[k])
        law, limit = law_of(terms.cap, terms.gamma, terms.brink, terms.full, k), terms.limit[k]
        if own > 0.0:
            limit = min(limit, high / own * (1.0 + ROUNDING))
        curved = not (law.g1 == np.inf and law.g0 == np.inf)
        best, more, place, linear = HUGE, tilts[k] * low, -1, not (curved or terms.has_branch or terms.has_least)
        root, even_root = np.sqrt(weight), np.sqrt(own)
        hint = places[k] if begin[k] <= places[k] < end[k] else -1
        for turn in range(begin[k] - 1, end[k]):
            j = hint if turn < begin[k] else turn
            if j < 0 or turn == hint:
                continue  # what was best nearby comes first, which spares the others
            s = Three(terms.down[k, j], terms.up[k, j], terms.edge[k, j])
            fixed = terms.fixed[k, j]
            if not curved and best <= root * (root * fixed + 2.0 * (r.down * s.down + r.up * s.up + r.edge * s.edge)):
                continue  # branch, limit and bounds of the shares only add to it
            branch = terms.branch[k, j] if terms.has_branch else 0.0
            least = terms.least[k, j] if terms.has_least else 0.0
            cost, even, fits = 0.0, 0.0, False
            if linear:
                cost, _m, fits = limited_cost(
                    weight, root, law.cap, limit, fixed, s.down, s.up, s.edge, r.down, r.up, r.edge
                )
            if not fits and cost < best:
                cost, _m = option_at(
                    SUM, weight, fixed, branch, limit, 0.0, s, r, least, law, terms.curve, 1.0, best, ROUGHLY
                )
            if cost < best and more > 0.0:
                fits = False
                if linear:
                    even, _m, fits = limited_cost(
                        own, even_root, law.cap, limit, fixed, s.down, s.up, s.edge, r.down, r.up, r.edge
                    )
                if not fits:
                    even, _m = option_at(
                        SUM, own, fixed, branch, limit, 0.0, s, r, least, law, terms.curve, 1.0, best - more, ROUGHLY
                    )
                cost = max(cost, even + more)
            if cost < best:
                best, place = cost, j
        if best >= HUGE:
            return HUGE, 0.0
        total += best
        if expected[k] - best > worst:
            worst, opens = expected[k] - best, 0.0
            if terms.down[k, place] == 0.0 and terms.up[k, place] == 0.0 and terms.edge[k, place] == 0.0:
                branch = terms.branch[k, place] if terms.has_branch else 0.0
                opens = own * (terms.fixed[k, place] + branch)
    return total, opens if low * (1.0 + SAME) < opens < high * (1.0 - SAME) else 0.0


@inner
def is_just(point: F, weights: F, k: int, level: float) -> bool:
    """Whether what costs a user least takes just as long as a level, without being hurried."""
    near = abs(point[LATE, k] - level) <= _EDGE * level
    return near and point[ROOT, k] * point[ROOT, k] <= weights[k] * (1.0 + SAME)


@inner
def hollow(
    terms: Terms, begin: I, end: I, price: F, most: float, low: float, high: float, level: float, goal: float, none: F,
    first: Option, who: I, limits: F, point: F, places: Option,
) -> tuple[float, float]:  # fmt: skip
    """Ends of the range around a level in which G is below the goal, or farther out by a part of their distance; the
    level itself where it is not below there."""
    stay_whole()
    charged = price[0] + price[1] + price[2]
    ends = (level, level)
    total = at_level(terms, begin, end, price, level, none, first, who, limits, point, places)
    if total + most * level - charged >= goal:
        return ends
    for side in range(2):
        bound = low if side == 0 else high
        near, far, step = level, bound, -_FIRST * level if side == 0 else _FIRST * level
        for _ in range(_DOUBLINGS):
            place = level + step
            if (side == 0 and place <= low) or (side == 1 and place >= high):
                break
            total = at_level(terms, begin, end, price, place, none, first, who, limits, point, places)
            if total + most * place - charged >= goal:
                far = place
                break
            near, step = place, 2.0 * step
        for _ in range(_HALVES):
            if far == bound:
                break
            place = 0.5 * (near + far)
            total = at_level(terms, begin, end, price, place, none, first, who, limits, point, places)
            if total + most * place - charged >= goal:
                far = place
            else:
                near = place
        ends = (far, ends[1]) if side == 0 else (ends[0], far)
    return ends


@inner
def middle_of(at: float, until: float, level: float, opens: float) -> float:
    """Where to divide a part [at, until] of the range that is not proven, with G least at a level: where an option
    opens, 0 for none, or so that parts grow outward."""
    if opens > 0.0:
        return opens
    if at < level * (1.0 - _FIRST) and until >= level:
        return level * (1.0 - _FIRST)
    if until > level * (1.0 + _FIRST) and at < level * (1.0 + 0.5 * _FIRST):
        return level * (1.0 + _FIRST)
    if until == np.inf:
        return at + _OUTWARD * (at - level)
    if at <= 0.0 or (until < level and level - at > 4.0 * (level - until)):
        middle = level - max(_OUTWARD * (level - until), _FIRST * level)
        return middle if middle > at else 0.5 * (at + until)
    if at > level and until - level > 4.0 * (at - level):
        return level + _OUTWARD * (at - level)
    return 0.5 * (at + until)


@inner
def weigh(
    terms: Terms, begin: I, end: I, price: F, most: float, level: float, is_end: bool, none: F, first: Option, who: I,
    limits: F, point: F, places: Option, own: F, expected: F,
) -> float:  # fmt: skip
    """G at a level, and the multipliers (K,) there into `own`, with what users are expected to cost (K,). At the end of
    a part, below which options are closed that are just open here, the rest of the multipliers is for those."""
    stay_whole()
    total = at_level(terms, begin, end, price, level, none, first, who, limits, point, places)
    amount, just = 0.0, 0
    for k in range(begin.shape[0]):
        weight = terms.weight[k]
        own[k] = 0.0
        if total < HUGE and is_late(none[LATE, k], level) and weight > 0.0:
            own[k] = max(point[ROOT, k] * point[ROOT, k] / weight - 1.0, 0.0)
            amount += own[k]
        if is_just(point, terms.weight, k, level):
            just += 1
    if is_end and just > 0 and amount < most * (1.0 - _ROOM):
        for k in range(begin.shape[0]):
            if is_just(point, terms.weight, k, level):
                own[k] += (most * (1.0 - _ROOM) - amount) / just
        amount = most * (1.0 - _ROOM)
    if amount > most * (1.0 - _ROOM):
        own *= most * (1.0 - _ROOM) / amount
    for k in range(begin.shape[0]):
        expected[k] = point[COST, k] + own[k] * level if total < HUGE else 0.0
    return total + most * level - price[0] - price[1] - price[2] if total < HUGE else HUGE


# wide: numba copies all arrays of a tuple at every call
@kernel
def cover(
    terms: Terms, here: Here, most: float, low: float, high: float, goal: float, price: F, level: float, thin: float,
    tilts: F, ends: F, proven: NDArray[np.bool_], lows: F,
) -> int:  # fmt: skip
    """Parts of [low, high] of which prices prove the goal, up to `ends` (n,) with the multipliers `tilts` (n, K); those
    that they do not prove are marked in `proven` (n,). `lows` (2, n) get a level in each and G there. `level` is where
    G is least; no part is divided that is as `thin` as that, relatively. How many there are; of too many the last ones
    are one.

    With the goal HUGE: what the first multipliers prove of the range, into `ends`."""
    users, begin, end = here.begin.shape[0], here.begin, here.end
    none, point, first, places, who, limits = room_for(users)
    expected = np.zeros(users)
    if goal >= HUGE:
        fill(none[LATE], np.nan)
        fill(places, -1)
        ends[0], _ = spanned(terms, begin, end, price, tilts[0], most, low, high, expected, none, places)
        return 1
    unhurried(terms, begin, end, price, high, none, first, who, limits)
    bottom, top = hollow(
        terms, begin, end, price, most, low, high, level, goal, none, first, who, limits, point, places
    )  # fmt: skip
    count, at, trials, left = 0, low, 0, 0
    waiting = np.empty(MOST_SPANS)
    sharp = 0
    for k in range(users):
        sharp += is_just(point, terms.weight, k, level)
    # an option that opens at the level is closed below it
    for place in (high, top, bottom if bottom < top else level * (1.0 - 2.0 * _EDGE) if sharp > 0 else low):
        if left == 0 or ((bottom < top or place < level) and low < place < waiting[left - 1]):
            waiting[left] = place
            left += 1
    while left > 0:
        until = waiting[left - 1]
        trials += 1
        if count == tilts.shape[0] - 1 or trials > _TRIALS * tilts.shape[0]:
            ends[count], proven[count], lows[0, count], lows[1, count] = high, False, min(max(level, at), high), HUGE
            return count + 1
        if bottom < top and at >= bottom and until <= top:
            ends[count], proven[count], lows[0, count], lows[1, count] = until, False, level, -HUGE
            count, at, left = count + 1, until, left - 1
            continue
        reference = min(max(level, at), until)
        worth = weigh(
            terms, begin, end, price, most, reference, reference == until, none, first, who, limits, point, places,
            tilts[count], expected,
        )  # fmt: skip
        value, opens = spanned(terms, begin, end, price, tilts[count], most, at, until, expected, none, places)
        away = max(level - until, at - level, 0.0)
        narrow = max(_WIDE * level, _HOPELESS * away) if worth < goal else max(thin * level, _AWAY * away)
        if value >= goal or until - at <= narrow or left == MOST_SPANS:
            ends[count], proven[count], lows[0, count], lows[1, count] = until, value >= goal, reference, worth
            count, at, left = count + 1, until, left - 1
            continue
        opens = opens if left < MOST_SPANS - 2 else 0.0
        waiting[left] = middle_of(at, until, level, opens)
        left += 1
        if at < opens * (1.0 - _EDGE):  # below, that option is closed
            waiting[left] = opens * (1.0 - _EDGE)
            left += 1
    return count
