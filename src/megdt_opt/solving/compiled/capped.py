"""Compiled: prices for "mixed" where the largest weighted latency T is held fixed, and what they prove of all T.

At prices l and a largest weighted latency of T the problem falls apart into its users,

    G(l, T) = W T + sum_k min_o c_ko(l; w L <= T) - sum l,

with no multipliers: no user is torn between two options by its latency. A solution whose largest weighted latency is T
is worth no less, so that the least G over all T is a bound, concave in l, whose cutting planes need three dimensions:
what best prices waver between is as little as for "sum". G has no more than a few valleys in T; each is gone down from
where it is known to be low.

What proves it is a partition of the range of T. Within [T1, T2], with any multipliers nu of a sum of at most W,

    G(l, T) >= sum_k min_o max(c_ko(l, nu_k; w L <= T2), c_ko(l; w L <= T2) + nu_k T1) - sum l + (W - sum nu) T1,

as either term is at most w L + l . x + nu_k T. With the slopes of the users' costs in T for nu it is close to G.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies a record of them at each call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import MOST_CUTS, Cuts, ask_master
from megdt_opt.solving.compiled.jit import inner, kernel, stay_whole
from megdt_opt.solving.compiled.kernels import ROUGHLY, F, I, Terms, law_of
from megdt_opt.solving.compiled.laws import HUGE, SUM, Three, option_at
from megdt_opt.solving.compiled.limited import limited_cost
from megdt_opt.solving.compiled.narrowing import widen
from megdt_opt.solving.compiled.passes import Here, Out, numbers_of, tell
from megdt_opt.solving.compiled.tilting import COST, LATE, ROOT, ROWS, SHARE, TILT, look

Option = NDArray[np.int32]

_TURNS, _IDLE = 24, 3
"""Turns of going down a valley: at most, and without any gain [1]."""

_STEP = 1.5
"""Largest step of the level while no bracket is known, as a factor [1]."""

_ROUGH, _PART, _NEAR = 1e-3, 0.03, 1e-13
"""How near G at the level comes to that of its valley: at most, as a part of what prices leave open, at least [1]."""

_FEW = 4
"""Levels that are started from while few options are looked at [1]."""

_ROUNDS, _ROUGHLY, _FINER = 16, 1e-4, 0.03
"""Turns of adding options to those that matter, the precision of the first, and its factor from turn to turn [1]."""

_KNOWN = 48
"""Planes of the turns before that are kept at most [1]."""

_OUT_OF_REACH = 1e-4
"""How near the best prices are to come, relatively, where none reach the goal [1]."""

_BEYOND = 0.2
"""The same where some do, as a part of what they are worth beyond it [1]."""

_ROOM = 1e-14
"""Relative distance of sum nu from W, so that rounding never carries it over."""

MOST_SPANS = 96
"""Parts of the range of the largest latency [1]."""

_TRIALS = 4
"""Trials of parts, over their number at most [1]."""

_FIRST, _OUTWARD = 1e-2, 2.0
"""Width of the first parts beside the best level, relatively to it, and how they grow outward [1]."""

_THIN, _WIDE = 1e-7, 2e-3
"""Relative width of the step down of G, and of parts that are not divided any more as G is below the goal there [1]."""

_HOPELESS, _AWAY = 0.25, 0.02
"""The same as parts of their distance from the best level: other prices will do there; and where G is not below [1]."""

_ROUNDING = 1e-15
"""Relative: by what a limit is loosened where a float is to be no less than it."""

_BESIDE = 1e-6
"""Relative difference up to which levels to start from count as one [1]."""

_SAME = 1e-12
"""Relative difference up to which a latency counts as the level [1]."""


@inner
def at_level(
    terms: Terms, begin: I, end: I, price: F, level: float, none: F, first: Option, who: I, limits: F, point: F,
    places: Option,
) -> float:  # fmt: skip
    """Sum of the least costs with weighted latencies of at most a level, from those without that limit, `none` (8, K)
    with their places `first` (K,). `point` and `places` get what costs least; HUGE where a user has nothing."""
    stay_whole()
    count = 0
    for k in range(begin.shape[0]):
        if not none[LATE, k] > level:
            point[:, k], places[k] = none[:, k], first[k]
        else:
            who[count] = k
            count += 1
            point[TILT, k] = 0.0
            limits[k] = min(terms.limit[k], level / terms.weight[k] * (1.0 + _ROUNDING))
    if count > 0:
        look(
            terms.fixed, terms.branch, terms.up, terms.edge, terms.down, terms.least, terms.gamma, terms.brink,
            terms.full, terms.cap, terms.weight, limits, terms.curve, False, terms.has_branch, terms.has_least, begin,
            end, price, who, count, point, places,
        )  # fmt: skip
    total = 0.0
    for k in range(begin.shape[0]):
        if places[k] < 0:
            return HUGE
        total += point[COST, k]
    return total


@inner
def slopes_at(terms: Terms, most: float, none: F, level: float, point: F, places: Option) -> tuple[float, float]:
    """Slope of G in the level, and about its bend."""
    slope, bend = most, 0.0
    for k in range(places.shape[0]):
        if none[LATE, k] > level and places[k] >= 0:
            weight, square = terms.weight[k], point[ROOT, k] * point[ROOT, k]
            if square > weight:
                slope -= square / weight - 1.0
                left = level / weight - terms.fixed[k, places[k]]
                if left > 0.0:
                    bend += 2.0 * square / (weight * weight * left)
    return slope, bend


@inner
def lowest(
    terms: Terms, begin: I, end: I, price: F, most: float, low: float, high: float, near: float, starts: F,
    count: int, none: F, first: Option, who: I, limits: F, point: F, places: Option,
) -> tuple[float, float]:  # fmt: skip
    """Least G of the valleys in which levels to start from are, within [low, high], as `near` as that relatively, and
    its level; `point` and `places` tell what costs least there."""
    stay_whole()
    users = begin.shape[0]
    for k in range(users):
        who[k] = k
        limits[k] = (
            min(terms.limit[k], high / terms.weight[k] * (1.0 + _ROUNDING)) if terms.weight[k] > 0.0 else terms.limit[k]
        )
    look(
        terms.fixed, terms.branch, terms.up, terms.edge, terms.down, terms.least, terms.gamma, terms.brink, terms.full,
        terms.cap, terms.weight, limits, terms.curve, terms.plain and high == np.inf, terms.has_branch, terms.has_least,
        begin, end, price, who, users, none, first,
    )  # fmt: skip
    latest = 0.0
    for k in range(users):
        if first[k] < 0:
            return HUGE, high
        latest = max(latest, none[LATE, k])
    charged = price[0] + price[1] + price[2]
    best, at, last = HUGE, min(max(latest, low), high), -1.0
    if most <= 0.0:
        level = at
        total = at_level(terms, begin, end, price, level, none, first, who, limits, point, places)
        return total + most * level - charged, level
    if count > 0:
        below, above = low, min(high, max(latest, low))
        start = min(max(starts[0], low), above)
        for n in range(count):
            level = min(max(starts[n], low), above)
            if n > 0 and abs(level - start) <= _BESIDE * start:
                continue
            if n == 0 and count == 2 and abs(min(max(starts[1], low), above) - level) <= _BESIDE * level:
                break
            total = at_level(terms, begin, end, price, level, none, first, who, limits, point, places)
            if total < HUGE and total + most * level - charged < best:
                best, at, start = total + most * level - charged, level, level
        level, lower, meet = start, HUGE, -HUGE
        under, over = 0.0, 0.0  # tangents at the ends of the bracket, where they are known: heights at level 0
        fall, rise, idle = 0.0, 0.0, 0
        for turn in range(_TURNS):
            total = at_level(terms, begin, end, price, level, none, first, who, limits, point, places)
            last = level
            if total >= HUGE:
                below, fall = level, 0.0
                if above - below <= _THIN * above:
                    break
                level = min(level * _STEP, 0.5 * (level + above))
                continue
            value = total + most * level - charged
            slope, bend = slopes_at(terms, most, none, level, point, places)
            if value < best:
                best, at = value, level
            idle = 0 if value < lower - near * abs(value) else idle + 1
            if idle > _IDLE:
                break
            lower = min(lower, value)
            if slope > 0.0:
                above, rise, over = level, slope, value - slope * level
                if turn == 0 and level > low:
                    # an option without shares may be open from here on only: a step down
                    level *= 1.0 - _THIN
                    last = level
                    total = at_level(terms, begin, end, price, level, none, first, who, limits, point, places)
                    if total + most * level - charged > value:
                        break
            else:
                below, fall, under = level, slope, value - slope * level
            if rise > 0.0 and fall < 0.0:
                meet = under + fall * (over - under) / (fall - rise)
                if lower - meet <= near * abs(lower):
                    break
            elif bend > 0.0 and slope * slope <= 2.0 * bend * near * abs(value):
                break
            if above - below <= _THIN * above:
                break
            ahead = level - slope / bend if bend > 0.0 else (level / _STEP if slope > 0.0 else level * _STEP)
            ahead = min(max(ahead, level / _STEP), level * _STEP)
            if not below < ahead < above or turn > 6:
                ahead = 0.5 * (below + above)
            level = ahead
    if best < HUGE and last != at:
        at_level(terms, begin, end, price, at, none, first, who, limits, point, places)
    return best, at


@inner
def beyond(best: float, goal: float) -> float:
    """How near the best prices are to come, relatively, for what is proven beyond the goal to be worth no more."""
    return _BEYOND * max(best - goal, 0.0) / abs(best)


# wide: numba copies all arrays of a tuple at every call; `lowest` asks for all of it
@inner
def climb_among(
    terms: Terms, begin: I, end: I, most: float, low: float, high: float, goal: float, box: float, precision: float,
    starts: F, known: int, none: F, first: Option, who: I, limits: F, point: F, places: Option, price: F, cuts: Cuts,
) -> tuple[float, float, int]:  # fmt: skip
    """The prices at which the least G within [low, high] is best, to a precision, or roughly where none reach the goal;
    from and into `price`. The first `known` planes hold from before.

    Returns the best value, what none exceeds, and the passes made; the level goes to the first of `starts`, of which no
    more than a few are looked at.
    """
    stay_whole()
    y, now = np.zeros(4), price.copy()
    best, pull, close, best_level = -HUGE, 0.5, _ROUGH, starts[0]
    for n in range(known, MOST_CUTS):
        value, level = lowest(
            terms, begin, end, now, most, low, high, close, starts, _FEW, none, first, who, limits, point, places
        )  # fmt: skip
        if value > best:
            best, best_level, price[:] = value, level, now
        else:
            pull = 1.0 - pull if pull != 1.0 else 0.5
        if best >= HUGE:  # no plane: some user has none of these options within the range at these prices
            return best, HUGE, n - known
        starts[0] = level
        cuts.prices[n], cuts.levels[n], cuts.chosen[n] = now, level, places
        cuts.offsets[n] = value
        for i in range(3):
            cuts.slopes[n, i] = point[SHARE + i].sum() - 1.0
            cuts.offsets[n] -= cuts.slopes[n, i] * now[i]
        if not ask_master(SUM, cuts, n + 1, box, y):
            y[0] = best
        near = max(_OUT_OF_REACH, precision) if y[0] < goal < HUGE else max(precision, beyond(best, goal))
        if y[0] - best <= near * max(abs(y[0]), abs(best)) or n + 1 == MOST_CUTS:
            break
        close = min(max(_PART * (y[0] - best) / max(abs(y[0]), abs(best)), _NEAR), _ROUGH)
        for i in range(3):
            now[i] = max(pull * max(y[i + 1], 0.0) + (1.0 - pull) * price[i], 0.0)
    starts[0] = best_level
    return best, y[0], n + 1 - known


# wide: numba copies all arrays of a tuple at every call
@kernel
def climb_capped(
    terms: Terms, here: Here, most: float, low: float, high: float, goal: float, box: float, precision: float,
    starts: F, active: I, known: int, cuts: Cuts, out: Out,
) -> tuple[float, int, int]:  # fmt: skip
    """`climb_among` all options, from and into the price in `out`, by way of the few that matter: those that have cost
    least so far, which are the first ones, up to `active` (K,). Options are only added, so that planes hold: the first
    `known` ones, with their options, from before.

    Returns the best value, the passes made and the planes known; what the planes waver between goes into `out`, with
    what costs least at the best prices, and the level there to the first of `starts`, levels at which G may be low."""
    users, begin = here.begin.shape[0], here.begin
    none, point = np.zeros((ROWS, users)), np.zeros((ROWS, users))
    first, places, who, limits = (
        np.zeros(users, np.int32),
        np.zeros(users, np.int32),
        np.zeros(users, np.int64),
        np.zeros(users),
    )
    price, best, made = out.price.copy(), -HUGE, 0
    best_level, near, short, height = starts[0], _ROUGHLY, np.inf, HUGE
    if known == 0:
        active[:] = begin
    for turn in range(_ROUNDS):
        value, level = lowest(
            terms, begin, here.end, price, most, low, high, max(_PART * near, _NEAR), starts,
            starts.shape[0] if made <= 2 else _FEW, none, first, who, limits, point, places,
        )  # fmt: skip
        made += 1
        if value >= HUGE:
            best = HUGE
            break
        if value > best:
            best, best_level, out.price[:] = value, level, price
            numbers_of(terms, places, out.picked)
        if abs(level - starts[0]) > _BESIDE * level:
            starts[3], starts[2], starts[0] = starts[2], starts[0], level
        fresh = widen(terms, active, places)
        if turn > 0:
            short = (height - best) / max(abs(best), abs(height))
            hopeless = height < goal < HUGE and short <= _OUT_OF_REACH
            if hopeless or short <= max(precision, beyond(best, goal)) or (fresh == 0 and near <= precision):
                break
            near = max(min(_FINER * near, 0.1 * short), precision)
        known = known if known <= _KNOWN else 0
        _value, height, count = climb_among(
            terms, begin, active, most, low, high, goal, box, near, starts, known, none, first, who, limits, point,
            places, price, cuts,
        )  # fmt: skip
        known, made = known + count, made + 1
    starts[0] = best_level
    if best < HUGE:
        tell(terms, cuts, out)
    return best, made, known


@inner
def spanned(
    terms: Terms, begin: I, end: I, price: F, tilts: F, most: float, low: float, high: float, expected: F
) -> tuple[float, float]:
    """What prices and multipliers (K,) prove where the largest weighted latency is within [low, high]; and where within
    it an option without shares opens that makes the most of what users are below what is `expected` of them, (K,); 0
    for none."""
    stay_whole()
    worst, opens = 0.0, 0.0
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    total, left = -price[0] - price[1] - price[2], most
    for k in range(begin.shape[0]):
        left -= tilts[k]
    total += max(left, 0.0) * low
    for k in range(begin.shape[0]):
        own, weight = terms.weight[k], terms.weight[k] * (1.0 + tilts[k])
        law, limit = law_of(terms.cap, terms.gamma, terms.brink, terms.full, k), terms.limit[k]
        if own > 0.0:
            limit = min(limit, high / own * (1.0 + _ROUNDING))
        curved = not (law.g1 == np.inf and law.g0 == np.inf)
        best, more, place, linear = HUGE, tilts[k] * low, -1, not (curved or terms.has_branch or terms.has_least)
        root, even_root = np.sqrt(weight), np.sqrt(own)
        for j in range(begin[k], end[k]):
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
    return total, opens if low * (1.0 + _SAME) < opens < high * (1.0 - _SAME) else 0.0


@inner
def is_just(point: F, weights: F, k: int, level: float) -> bool:
    """Whether what costs a user least takes just as long as a level, without being hurried."""
    near = abs(point[LATE, k] - level) <= _SAME * level
    return near and point[ROOT, k] * point[ROOT, k] <= weights[k] * (1.0 + _SAME)


# wide: numba copies all arrays of a tuple at every call
@kernel
def cover(
    terms: Terms, here: Here, most: float, low: float, high: float, goal: float, price: F, level: float, thin: float,
    tilts: F, ends: F, proven: NDArray[np.bool_],
) -> int:  # fmt: skip
    """Parts of [low, high] of which prices prove the goal, up to `ends` (n,) with the multipliers `tilts` (n, K); those
    that they do not prove are marked in `proven` (n,). `level` is where G is least; no part is divided that is as
    `thin` as that, relatively. How many there are; of too many the last ones are one.

    With the goal HUGE: what the first multipliers prove of the range, into `ends`."""
    users = here.begin.shape[0]
    if goal >= HUGE:
        ends[0], _ = spanned(terms, here.begin, here.end, price, tilts[0], most, low, high, np.zeros(users))
        return 1
    none, point = np.zeros((ROWS, users)), np.zeros((ROWS, users))
    first, places, who, limits = (
        np.zeros(users, np.int32),
        np.zeros(users, np.int32),
        np.zeros(users, np.int64),
        np.zeros(users),
    )
    lowest(
        terms, here.begin, here.end, price, most, low, high, 0.0, np.array([level]), 0, none, first, who, limits,
        point, places,
    )  # fmt: skip
    count, at, trials, charged = 0, low, 0, price[0] + price[1] + price[2]
    waiting, expected = np.empty(MOST_SPANS), np.empty(users)
    waiting[0], top = high, 1
    while top > 0:
        until = waiting[top - 1]
        trials += 1
        if count == tilts.shape[0] - 1 or trials > _TRIALS * tilts.shape[0]:
            ends[count], proven[count] = high, False
            return count + 1
        own = tilts[count]
        own[:] = 0.0
        reference = min(max(level, at), until)
        total = at_level(terms, here.begin, here.end, price, reference, none, first, who, limits, point, places)
        amount, just = 0.0, 0
        for k in range(users):
            weight = terms.weight[k]
            if total < HUGE and none[LATE, k] > reference and weight > 0.0:
                own[k] = max(point[ROOT, k] * point[ROOT, k] / weight - 1.0, 0.0)
                amount += own[k]
            if is_just(point, terms.weight, k, reference):
                just += 1
        if reference == until and just > 0 and amount < most * (1.0 - _ROOM):
            # below, the options that are just open here are not: the rest of the multipliers is theirs
            for k in range(users):
                if is_just(point, terms.weight, k, reference):
                    own[k] += (most * (1.0 - _ROOM) - amount) / just
            amount = most * (1.0 - _ROOM)
        if amount > most * (1.0 - _ROOM):
            own *= most * (1.0 - _ROOM) / amount
        for k in range(users):
            expected[k] = point[COST, k] + own[k] * reference if total < HUGE else 0.0
        value, opens = spanned(terms, here.begin, here.end, price, own, most, at, until, expected)
        hopeless = total < HUGE and total + most * reference - charged < goal
        away = max(level - until, at - level, 0.0)
        narrow = max(_WIDE * level, _HOPELESS * away) if hopeless else max(thin * level, _AWAY * away)
        if value >= goal or until - at <= narrow or top == MOST_SPANS:
            ends[count], proven[count] = until, value >= goal
            count, at, top = count + 1, until, top - 1
            continue
        if opens > 0.0 and top < MOST_SPANS - 1:
            middle = opens
        elif at < level * (1.0 - _FIRST) and until > level:
            middle = level * (1.0 - _FIRST)
        elif until > level * (1.0 + _FIRST) and at < level * (1.0 + 0.5 * _FIRST):
            middle = level * (1.0 + _FIRST)
        elif until == np.inf:
            middle = at + _OUTWARD * (at - level)
        elif at <= 0.0 or (until < level and level - at > 4.0 * (level - until)):
            middle = level - _OUTWARD * (level - until)
            if middle <= at:
                middle = 0.5 * (at + until)
        elif at > level and until - level > 4.0 * (at - level):
            middle = level + _OUTWARD * (at - level)
        else:
            middle = 0.5 * (at + until)
        waiting[top] = middle
        top += 1
    return count
