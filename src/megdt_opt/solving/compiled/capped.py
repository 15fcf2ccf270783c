"""Compiled: prices for "mixed" where the largest weighted latency T is held fixed.

At prices l and a largest weighted latency of T the problem falls apart into its users,

    G(l, T) = W T + sum_k min_o c_ko(l; w L <= T) - sum l,

with no multipliers: no user is torn between two options by its latency. A solution whose largest weighted latency is T
is worth no less, so that the least G over all T is a bound, concave in l, whose cutting planes need three dimensions:
what best prices waver between is as little as for "sum". G has no more than a few valleys in T; each is gone down from
where it is known to be low.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies a record of them at each call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import MOST_CUTS, Cuts, ask_master
from megdt_opt.solving.compiled.jit import inner, kernel, making, stay_whole
from megdt_opt.solving.compiled.kernels import F, I, Terms
from megdt_opt.solving.compiled.laws import HUGE, SUM
from megdt_opt.solving.compiled.narrowing import widen
from megdt_opt.solving.compiled.passes import Here, Out, numbers_of, tell
from megdt_opt.solving.compiled.rows import put, total_of
from megdt_opt.solving.compiled.tilting import COST, LATE, ROOT, ROWS, SHARE, TILT, carry, look

Option = NDArray[np.int32]

_TURNS, _IDLE = 24, 3
"""Turns of going down a valley: at most, and without any gain [1]."""

_STEP = 1.5
"""Largest step of the level while no bracket is known, as a factor [1]."""

_ROUGH, _PART, _NEAR = 1e-3, 0.03, 1e-13
"""How near G at the level comes to that of its valley: at most, as a part of what prices leave open, at least [1]."""

_FEW = 2
"""Levels that are started from while few options are looked at [1]."""

_ROUNDS, _ROUGHLY, _FINER = 16, 1e-4, 0.03
"""Turns of adding options to those that matter, the precision of the first, and its factor from turn to turn [1]."""

_KNOWN = 48
"""Planes of the turns before up to which all are kept; of more, half as many [1]."""

_OUT_OF_REACH = 1e-4
"""How near the best prices are to come, relatively, where none reach the goal [1]."""

_BEYOND = 0.2
"""The same where some do, as a part of what they are worth beyond it [1]."""

_THIN = 1e-7
"""Relative width of the step down of G [1]."""

ROUNDING = 1e-15
"""Relative: by what a limit is loosened where a float is to be no less than it."""

SAME = 1e-12
"""Relative difference up to which a latency counts as the level [1]."""

_BESIDE = 3e-10
"""Relative difference up to which levels to start from count as one [1]."""


@making
def room_for(users: int) -> tuple[F, F, Option, Option, I, F]:
    """Two points of all users, options of both, numbers of users, and limits on their latencies."""
    stay_whole()
    none, point, limits = np.zeros((ROWS, users)), np.zeros((ROWS, users)), np.zeros(users)
    return none, point, np.zeros(users, np.int32), np.zeros(users, np.int32), np.zeros(users, np.int64), limits


@inner
def is_late(latency: float, level: float) -> bool:
    """Whether a weighted latency is above a level, by more than rounding: an option may open just there."""
    return latency > level * (1.0 + SAME)


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
        if not is_late(none[LATE, k], level):
            carry(none, first, k, point, places)
        else:
            who[count] = k
            count += 1
            point[TILT, k] = 0.0
            limits[k] = min(terms.limit[k], level / terms.weight[k] * (1.0 + ROUNDING))
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
        if is_late(none[LATE, k], level) and places[k] >= 0:
            weight, square = terms.weight[k], point[ROOT, k] * point[ROOT, k]
            if square > weight:
                slope -= square / weight - 1.0
                left = level / weight - terms.fixed[k, places[k]]
                if left > 0.0:
                    bend += 2.0 * square / (weight * weight * left)
    return slope, bend


@inner
def unhurried(
    terms: Terms, begin: I, end: I, price: F, high: float, none: F, first: Option, who: I, limits: F
) -> float:
    """What costs least with weighted latencies of at most `high` goes into `none` (8, K), with its places `first`
    (K,); the largest of the latencies, HUGE where a user has nothing."""
    stay_whole()
    users = begin.shape[0]
    for k in range(users):
        who[k], limits[k] = k, terms.limit[k]
        if terms.weight[k] > 0.0:
            limits[k] = min(terms.limit[k], high / terms.weight[k] * (1.0 + ROUNDING))
    look(
        terms.fixed, terms.branch, terms.up, terms.edge, terms.down, terms.least, terms.gamma, terms.brink, terms.full,
        terms.cap, terms.weight, limits, terms.curve, terms.plain and high == np.inf, terms.has_branch, terms.has_least,
        begin, end, price, who, users, none, first,
    )  # fmt: skip
    latest = 0.0
    for k in range(users):
        if first[k] < 0:
            return HUGE
        latest = max(latest, none[LATE, k])
    return latest


@inner
def is_new(places: Option, active: I) -> bool:
    """Whether an option is not among the first ones of its user, up to `active` (K,)."""
    fresh = 0
    for k in range(places.shape[0]):
        fresh += places[k] >= active[k]
    return fresh > 0


@inner
def lowest(
    terms: Terms, begin: I, end: I, price: F, most: float, low: float, high: float, near: float, starts: F,
    count: int, active: I, none: F, first: Option, who: I, limits: F, point: F, places: Option,
) -> tuple[float, float, bool]:  # fmt: skip
    """Least G of the valleys in which levels to start from are, within [low, high], as `near` as that relatively, and
    its level; `point` and `places` tell what costs least there. False where it is not the least, as an option that is
    not among the first ones, up to `active` (K,), costs least on the way."""
    stay_whole()
    latest = unhurried(terms, begin, end, price, high, none, first, who, limits)
    if latest >= HUGE:
        return HUGE, high, True
    charged = price[0] + price[1] + price[2]
    best, at, last, total = HUGE, min(max(latest, low), high), -1.0, HUGE
    below, above = low, min(high, max(latest, low))
    start = min(max(starts[0], low), above)
    for n in range(count):
        level = min(max(starts[n], low), above)
        if n > 0 and abs(level - start) <= _BESIDE * start:
            continue
        if n == 0 and count == 2 and abs(min(max(starts[1], low), above) - level) <= _BESIDE * level:
            break
        total = at_level(terms, begin, end, price, level, none, first, who, limits, point, places)
        last = level
        if total < HUGE and total + most * level - charged < best:
            best, at, start = total + most * level - charged, level, level
    level, lower, meet = start, HUGE, -HUGE
    under, over = 0.0, 0.0  # tangents at the ends of the bracket, where they are known: heights at level 0
    fall, rise, idle = 0.0, 0.0, 0
    for turn in range(_TURNS):
        if last != level:
            total = at_level(terms, begin, end, price, level, none, first, who, limits, point, places)
            last = level
        if total >= HUGE:
            below, fall = level, 0.0
            if above - below <= _THIN * above:
                break
            level = min(level * _STEP, 0.5 * (level + above))
            continue
        value = total + most * level - charged
        if is_new(places, active):
            return value, level, False
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
    return best, at, True


@inner
def fewer(cuts: Cuts, known: int) -> int:
    """Keep no more of the first `known` planes than the last ones and those of the basis; how many they are."""
    stay_whole()
    if known <= _KNOWN:
        return known
    count = 0
    for j in range(known):
        kept = j >= known - _KNOWN // 2
        for c in range(4):
            if cuts.basis[c] == j:
                cuts.basis[c], kept = count, True
        if kept:
            put(cuts.prices[count], cuts.prices[j])
            put(cuts.slopes[count], cuts.slopes[j])
            put(cuts.chosen[count], cuts.chosen[j])
            cuts.levels[count], cuts.offsets[count] = cuts.levels[j], cuts.offsets[j]
            count += 1
    return count


@inner
def beyond(best: float, goal: float) -> float:
    """How near the best prices are to come, relatively, for what is proven beyond the goal to be worth no more."""
    return _BEYOND * max(best - goal, 0.0) / abs(best)


# wide: numba copies all arrays of a tuple at every call; `lowest` asks for all of it
@making
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
        value, level, _ = lowest(
            terms, begin, end, now, most, low, high, close, starts, _FEW, end, none, first, who, limits, point, places
        )  # fmt: skip
        if value > best:
            best, best_level = value, level
            put(price, now)
        else:
            pull = 1.0 - pull if pull != 1.0 else 0.5
        if best >= HUGE:  # no plane: some user has none of these options within the range at these prices
            return best, HUGE, n - known
        starts[0] = level
        put(cuts.prices[n], now)
        put(cuts.chosen[n], places)
        cuts.levels[n], cuts.offsets[n] = level, value
        for i in range(3):
            cuts.slopes[n, i] = total_of(point[SHARE + i]) - 1.0
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
    none, point, first, places, who, limits = room_for(users)
    price, best, made = out.price.copy(), -HUGE, 0
    best_level, near, short, height, asked = starts[0], _ROUGHLY, np.inf, HUGE, 0
    if known == 0:
        put(active, begin)
    for turn in range(_ROUNDS):
        if turn > 0 or known == 0:
            value, level, least = lowest(
                terms, begin, here.end, price, most, low, high, max(_PART * near, _NEAR), starts,
                starts.shape[0] if asked < 2 else _FEW, here.end if asked < 2 else active, none, first, who, limits,
                point, places,
            )  # fmt: skip
            made, asked = made + 1, asked + 1
            if value >= HUGE:
                best = HUGE
                break
            if value > best and least:
                best, best_level = value, level
                put(out.price, price)
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
        known = fewer(cuts, known)
        _value, height, count = climb_among(
            terms, begin, active, most, low, high, goal, box, near, starts, known, none, first, who, limits, point,
            places, price, cuts,
        )  # fmt: skip
        known, made = known + count, made + 1
    starts[0] = best_level
    if best < HUGE:
        tell(terms, cuts, out)
    return best, made, known
