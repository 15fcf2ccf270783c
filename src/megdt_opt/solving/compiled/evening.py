"""Compiled: the best prices of the few options that passes have kept, and a good set at them.

Many users make the used budgets nearly smooth in the prices, so that Broyden's method evens them out in a few passes;
where it does not, cutting planes take longer and always find the best prices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import Cuts, raise_bound, raise_level
from megdt_opt.solving.compiled.jit import inner, kernel, stay_whole
from megdt_opt.solving.compiled.kernels import F, I, Terms, solve_four, value_at
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.rooting import mixed
from megdt_opt.solving.compiled.starting import offer
from megdt_opt.solving.compiled.tree import goal_of

Int = NDArray[np.int32]

_STEPS = 14
_EVEN = 1e-5
_DIFFERENCE = 0.01
_PASSES = 90.0
_PART = 0.02
"""Part of the gap that the prices are exact to [1]."""


@inner
def spread_of(usage: F, active: I, count: int, out: F) -> float:
    """Logarithms of the used budgets into `out`, and how far the farthest is from 0."""
    most = 0.0
    for c in range(count):
        out[c] = np.log(max(usage[active[c]], 1e-300))
        most = max(most, abs(out[c]))
    return most


@inner
def even_out(
    kind: int, terms: Terms, begin: I, end: I, level: float, price: F, usage: F, option: Int
) -> tuple[float, int]:
    """Prices, and the level for "max", at which every budget is used up, by Broyden's method; the level and the passes.

    Many users make the used budgets nearly smooth in the logarithms of the prices. Prices scale freely for "max", so
    that the first of them stands for the level.
    """
    stay_whole()
    active = np.zeros(3, np.int64)
    count = 0
    value, _ = value_at(kind, terms, begin, end, level, price, usage, option)
    if value >= HUGE:
        return level, 1
    top = max(price[0], price[1], price[2])
    for i in range(3):
        if price[i] > 1e-7 * top and usage[i] > 0.0:
            active[count] = i
            count += 1
    far_at, trial_at, step = np.zeros(4), np.zeros(4), np.zeros(4)
    slopes, matrix = np.zeros((4, 4)), np.zeros((4, 4))
    trial, best_price = price.copy(), price.copy()
    best_level = level
    far = spread_of(usage, active, count, far_at)
    passes = 1
    for c in range(count):
        trial[:] = price
        moved = level
        if kind == MAX and c == 0:
            moved *= 1.0 + _DIFFERENCE
        else:
            trial[active[c]] *= 1.0 + _DIFFERENCE
        value, _ = value_at(kind, terms, begin, end, moved, trial, usage, option)
        passes += 1
        if value >= HUGE:
            return level, passes
        spread_of(usage, active, count, trial_at)
        for r in range(count):
            slopes[r, c] = (trial_at[r] - far_at[r]) / np.log1p(_DIFFERENCE)
    length = 1.0
    for _ in range(_STEPS):
        if far <= _EVEN:
            break
        for r in range(4):
            for c in range(4):
                matrix[r, c] = slopes[r, c] if r < count and c < count else (1.0 if r == c else 0.0)
            step[r] = -far_at[r] if r < count else 0.0
        if not solve_four(matrix, step):
            break
        square = 0.0
        for c in range(count):
            step[c] = length * min(max(step[c], -0.5), 0.5)
            square += step[c] * step[c]
        trial[:] = best_price
        moved = best_level
        for c in range(count):
            if kind == MAX and c == 0:
                moved *= np.exp(step[0])
            else:
                trial[active[c]] *= np.exp(step[c])
        value, _ = value_at(kind, terms, begin, end, moved, trial, usage, option)
        passes += 1
        if value >= HUGE or square == 0.0:
            length *= 0.5
            continue
        after = spread_of(usage, active, count, trial_at)
        for r in range(count):
            missed = trial_at[r] - far_at[r]
            for c in range(count):
                missed -= slopes[r, c] * step[c]
            for c in range(count):
                slopes[r, c] += missed * step[c] / square
        if after < far:
            far, best_level, length = after, moved, 1.0
            best_price[:] = trial
            far_at[:] = trial_at
        else:
            length *= 0.5
    price[:] = best_price
    if kind == MAX:
        price /= price[0] + price[1] + price[2]
    return best_level, passes


@kernel
def price_kept(
    kind: int,
    terms: Terms,
    begin: I,
    end: I,
    floor: float,
    level: float,
    box: float,
    gap: float,
    price: F,
    best: F,
    best_ids: Int,
    best_price: F,
    best_shares: F,
    shares: F,
    cuts: Cuts,
    scratch: Cuts,
) -> tuple[float, int]:
    """Best prices of the options kept, into `price`, and a good set at them; their level for "max", and the passes.

    `floor` is a level that is out of reach and `level` one to begin with, for "max"; `box` is more than any price, for
    "sum".
    """
    users = begin.shape[0]
    usage, start = np.zeros(3), price.copy()
    option = np.empty(users, np.int32)
    level, passes = even_out(kind, terms, begin, end, level, price, usage, option)
    level = max(level, floor)
    proved = 0.0
    for turn in range(7):
        if turn == 0:
            value, _ = value_at(kind, terms, begin, end, level, price, usage, option)
            passes += 1
            if value >= HUGE:
                continue
        elif turn == 1:
            # too uneven for that
            start[:] = price
            if kind == SUM:
                proved, _, more = raise_bound(
                    kind, terms, begin, end, 0.0, HUGE, box, _PASSES, start, price, cuts, _PART * gap
                )  # fmt: skip
            else:
                begin_at = max(floor, 0.9 * level)
                proved, _, more = raise_level(
                    kind, terms, begin, end, begin_at, HUGE, _PART * gap, _PASSES, start, price, cuts
                )  # fmt: skip
                level = proved * (1.0 + 0.5 * gap)
            passes += more
            value, _ = value_at(kind, terms, begin, end, level, price, usage, option)
            if value >= HUGE:
                continue
        elif turn == 2:
            if not mixed(cuts, option):
                continue
        elif cuts.basis[turn - 3] < 0:
            continue
        else:
            option[:] = cuts.chosen[cuts.basis[turn - 3]]
        start[:] = price
        offer(kind, terms, option, start, best, best_ids, best_price, best_shares, shares, scratch, gap)
        if turn == 0 and best[0] < HUGE:
            target = best[0] * (1.0 - gap)
            proved, _ = value_at(kind, terms, begin, end, target, price, usage, option)
            passes += 1
            if proved >= goal_of(kind, target):
                break
        elif best[0] * (1.0 - 0.9 * gap) <= proved:
            break
    return level, passes
