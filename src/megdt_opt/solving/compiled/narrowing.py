"""Compiled: the best prices by way of the few options that matter.

A pass over all options is what a price vector costs. Near the best prices each user wavers between two or three options
only, so the best prices are sought among the options that have been cheapest so far (cutting planes, whose passes then
cost little); one pass over all options says which are missing. Where none is, the prices are the best of all.
"""

from __future__ import annotations

import numpy as np

from megdt_opt.solving.compiled.bounding import Cuts, raise_bound
from megdt_opt.solving.compiled.jit import inner, making, stay_whole
from megdt_opt.solving.compiled.kernels import F, I, Terms, swap, value_at
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.rows import fill, put
from megdt_opt.solving.compiled.starting import Option, simple_sets

_ROUNDS = 16
_PASSES = 80.0
_KNOWN = 48
"""Planes of the turns before that are kept at most [1]."""

_SETTLING = 5
_LEVELS = 30
_ROUGH, _FINER = 1e-4, 0.03
"""Precision of the first turn, and its factor from turn to turn."""

_FINE = 0.1
"""What the active options are solved to, as a part of a turn's precision: with known planes that costs little [1]."""

_PART = 0.01
"""Precision of the last turn, as a part of the gap [1]."""


@inner
def widen(terms: Terms, active: I, chosen: Option) -> int:
    """Bring chosen options to the front of their rows, where the active ones are; returns how many are new."""
    fresh = 0
    for k in range(active.shape[0]):
        if chosen[k] >= active[k]:
            swap(terms, k, chosen[k], active[k])
            active[k] += 1
            fresh += 1
    return fresh


@making
def least_level(terms: Terms, begin: I, end: I, fastest: Option) -> float:
    """Largest over the users of their least weighted latency alone, each with its `fastest` option (K,)."""
    least_s = np.empty(begin.shape[0])
    sets = np.empty((4, begin.shape[0]), np.int32)
    simple_sets(terms, begin, end, sets, least_s)
    put(fastest, sets[0])
    most = 0.0
    for k in range(begin.shape[0]):
        most = max(most, terms.weight[k] * least_s[k])
    return most


@making
def best_level(
    kind: int, terms: Terms, begin: I, end: I, floor: float, level: float, precision: float, start: F, price: F,
    cuts: Cuts,
) -> float:  # fmt: skip
    """Level of "max" at which the best prices cost 1, to a precision, and these prices (3,).

    `level` is where the search begins.

    The best value falls in the level about as a power of it, and its slope is that of the best prices (envelope
    theorem): Newton's method in the logarithms, within a bracket. No level below `floor` is tried.
    """
    stay_whole()
    usage = np.zeros(3)
    chosen = np.empty(begin.shape[0], np.int32)
    low, high, fine = floor, np.inf, max(min(30.0 * precision, 1e-3), 1e-5)
    put(price, start)
    level = max(level, floor)
    for _ in range(_LEVELS):
        put(start, price)
        value, _, _ = raise_bound(kind, terms, begin, end, level, HUGE, 1.0, _PASSES, start, price, cuts, fine, 0)
        if value >= HUGE:
            # somebody has nothing that is in time
            put(price, start)
            low = level
            level = 2.0 * level if high == np.inf else 0.5 * (low + high)
            continue
        off = abs(value - 1.0)
        if off <= precision:
            if fine <= precision:
                break
            fine = 0.5 * precision
            continue
        if value >= 1.0:
            low = level
        else:
            high = level
        if high <= low * (1.0 + precision):
            # it jumps over 1 here
            level = low
            break
        value, slope = value_at(kind, terms, begin, end, level, price, usage, chosen)
        new = level * value ** min(value / max(slope * level, 1e-300), 1.0) if value > 0.0 else 0.5 * level
        if not low < new < high:
            new = 0.5 * (low + high) if high < np.inf else 2.0 * low
        level = new
        fine = max(min(0.01 * off, fine), 0.5 * precision)
    return level


# long: one loop of passes and planes on arrays that all of its steps change
@making
def narrow_prices(
    kind: int,
    terms: Terms,
    begin: I,
    end: I,
    ceiling: float,
    box: float,
    gap: float,
    start: F,
    price: F,
    cuts: Cuts,
) -> int:
    """Best prices of all options into `price` (3,), and the cutting planes around them; the passes over all options.

    `ceiling` is the objective of a known set: for "max" the first options are those that are cheapest at its level. Its
    planes are laid at the level that is best without whole choices, and a part of the `gap` above: planes of lower
    levels, where fewer options are open, would say little about good sets.
    """
    stay_whole()
    users = begin.shape[0]
    usage, found = np.zeros(3), np.zeros(3)
    chosen = np.empty(users, np.int32)
    put(price, start)
    floor, level = 0.0, ceiling
    if kind == MAX:
        total = price[0] + price[1] + price[2]
        if 0.0 < total < np.inf:
            price /= total
        else:
            fill(price, 1.0 / 3.0)
        floor = least_level(terms, begin, end, chosen)
    active = begin.copy()
    if kind == MAX:
        # whatever the level will be, it leaves everybody something
        widen(terms, active, chosen)
    value, _ = value_at(kind, terms, begin, end, ceiling, price, usage, chosen)
    if value >= HUGE:
        return 1
    widen(terms, active, chosen)
    best = -HUGE
    put(found, price)
    last = min(max(_PART * gap, 1e-12), 1e-7)
    passes, precision, known = 1, _ROUGH, 0
    for _ in range(_ROUNDS):
        put(start, price)
        if kind == SUM:
            # options are only added, so that planes stay above the value
            known = known if known <= _KNOWN else 0
            goal, _, more = raise_bound(
                kind, terms, begin, active, 0.0, HUGE, box, _PASSES, start, price, cuts, _FINE * precision, known
            )
            known += more
            value, _ = value_at(kind, terms, begin, end, 0.0, price, usage, chosen)
            short = (goal - value) / abs(goal) if goal != 0.0 else 0.0
        else:
            level = best_level(kind, terms, begin, active, floor, level, precision, start, price, cuts)
            value, _ = value_at(kind, terms, begin, end, level, price, usage, chosen)
            short = 1.0 - value
            # the level is what the narrow problem makes of the prices: values at different levels do not compare
            best = -HUGE
        passes += 1
        if value > best:
            best = value
            put(found, price)
        fresh = widen(terms, active, chosen)
        if kind == MAX and short > precision:
            # too high: costs fall about as one over the level, so that this is below the best level or near it; options
            # that are wanted there are missing as well, as users may have nothing but options that are too late
            lower = level * value
            if lower > floor:
                value, _ = value_at(kind, terms, begin, end, lower, price, usage, chosen)
                passes += 1
                if value >= 1.0:
                    floor = lower
                if value < HUGE:
                    fresh += widen(terms, active, chosen)
        if precision <= last and (short <= last or fresh == 0):
            break
        # as fine as the missing options still move the value
        precision = max(min(precision * _FINER, 0.1 * short), last) if short > last else last
    put(price, found)
    if kind == MAX:
        level *= 1.0 + 0.5 * gap
        for turn in range(_SETTLING):
            value, _ = value_at(kind, terms, begin, end, level, found, usage, chosen)
            passes += 1
            if value >= HUGE or (widen(terms, active, chosen) == 0 and turn > 0):
                break
            put(start, found)
            raise_bound(kind, terms, begin, active, level, HUGE, 1.0, _PASSES, start, found, cuts, last, 0)
    return passes
