"""Compiled: best prices of a part of the problem and best shares of given options for "mixed"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import MOST_CUTS, Cuts, alone_of, ask_master, objective_of
from megdt_opt.solving.compiled.jit import kernel, making, stay_whole
from megdt_opt.solving.compiled.kernels import F, I, Terms, solve_four
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.limited import settled_linear
from megdt_opt.solving.compiled.passes import Here, Out, numbers_of, places_of
from megdt_opt.solving.compiled.rows import fill, fill_table, put, put_table, total_of
from megdt_opt.solving.compiled.tilting import TIE, Tilted, tilted_value

Option = NDArray[np.int32]

_ROUGH, _PART = 1e-3, 0.03
"""How close the multipliers' values are to come: at most, and as a part of what prices leave open [1]."""

_NEWTON, _STEP = 12, 1e-6
"""Newton's steps for prices of given options, and the step of its differences, relatively [1]."""

_BOXES = 8
_CLOSE, _ENOUGH = 1e-11, 1e-9
"""How near the best shares of given options are to come to their bound, and how near is enough, relatively [1]."""


# wide: numba copies all arrays of a tuple at every call
@making
def rise(
    terms: Terms, begin: I, end: I, most: float, goal: float, box: float, passes: int, precision: float, rough: float,
    best_price: F, cuts: Cuts, tilted: Tilted, x: F,
) -> tuple[float, int]:  # fmt: skip
    """Look for prices whose value reaches the goal, as `raise_bound` does, each with its best multipliers; where none
    can, it ends as near the best as `rough`, relatively.

    Returns the best value and the passes made; `best_price` (3,) starts and ends as the best prices, `tilted` gets
    their multipliers.
    """
    stay_whole()
    slopes, offsets = cuts.slopes, cuts.offsets
    y, price, tilts = np.zeros(4), best_price.copy(), np.zeros(begin.shape[0])
    best, pull, close = -HUGE, 0.5, _ROUGH
    fill(tilted.tilts, 0.0)
    fill(cuts.basis, -99)
    turns = min(passes, MOST_CUTS)
    for n in range(turns):
        value, offset, level = tilted_value(
            terms, begin, end, price, most, tilted.level[0], close, x, tilts, tilted.first[n], tilted.second[n],
            tilted.part[n],
        )  # fmt: skip
        tilted.level[0] = level
        if value > best:
            best = value
            put(best_price, price)
            put(tilted.tilts, tilts)
        else:
            pull = 1.0 - pull if pull != 1.0 else 0.5
        if best >= goal:
            return best, n + 1
        for i in range(3):
            slopes[n, i] = total_of(x[i]) - 1.0
        offsets[n] = offset
        put(cuts.prices[n], price)
        cuts.levels[n] = level
        if not ask_master(SUM, cuts, n + 1, box, y):
            return best, n + 1
        near = rough if y[0] < goal < HUGE else precision
        if y[0] - best <= near * max(abs(y[0]), abs(best)):
            return best, n + 1
        close = min(max(_PART * (y[0] - best) / max(abs(y[0]), abs(best)), TIE), _ROUGH)
        for i in range(3):
            price[i] = max(pull * max(y[i + 1], 0.0) + (1.0 - pull) * best_price[i], 0.0)
    return best, turns


@kernel
def tell_tilted(terms: Terms, plane: int, tilted: Tilted, out: Option) -> None:
    """Numbers of the options of a plane's two sides, (2, K)."""
    numbers_of(terms, tilted.first[plane], out[0])
    numbers_of(terms, tilted.second[plane], out[1])


@making
def newton(
    terms: Terms, begin: I, end: I, places: Option, most: float, ceiling: float, tilted: Tilted, price: F, x: F,
    shares: F,
) -> tuple[float, float]:  # fmt: skip
    """Prices (3,) at which given options use up the budgets, by Newton's method in the logarithms, in which use is
    nearly linear; their value, and the objective of the `shares` (3, K) there. It ends where the value reaches
    `ceiling`."""
    stay_whole()
    users = begin.shape[0]
    part, first, second, tilts = np.zeros(users), np.zeros(users, np.int32), np.zeros(users, np.int32), np.zeros(users)
    now, tried, found, value = np.zeros((3, users)), np.zeros(3), HUGE, -HUGE
    matrix, right, use = np.zeros((4, 4)), np.zeros(4), np.zeros(3)
    for _ in range(_NEWTON):
        value, _offset, level = tilted_value(
            terms, begin, end, price, most, tilted.level[0], TIE, x, tilted.tilts, first, second, part
        )
        tilted.level[0] = level
        if value >= ceiling:
            return value, HUGE
        put_table(shares, x)
        found = objective_of(SUM, terms, places, shares)
        if found < HUGE:
            found += most * objective_of(MAX, terms, places, shares)
            if found <= value * (1.0 + _CLOSE):
                break
        fill_table(matrix, 0.0)
        for i in range(4):
            matrix[i, i], right[i] = 1.0, 0.0
        for i in range(3):
            use[i] = total_of(x[i])
        for i in range(3):
            if price[i] <= 0.0 or use[i] <= 0.0:
                continue
            put(tried, price)
            tried[i] *= 1.0 + _STEP
            tilted_value(terms, begin, end, tried, most, level, TIE, now, tilts, first, second, part)
            for j in range(3):
                if price[j] > 0.0 and use[j] > 0.0:
                    matrix[j, i] = np.log(total_of(now[j]) / use[j]) / _STEP
            right[i] = -np.log(use[i])
        if not solve_four(matrix, right):
            break
        for i in range(3):
            price[i] *= np.exp(min(max(right[i], -2.0), 2.0))
    return value, found


@making
def settled(
    terms: Terms, here: Here, option: Option, most: float, ceiling: float, cuts: Cuts, tilted: Tilted, out: Out
) -> tuple[float, bool]:
    """Least objective of options by their numbers, and whether it is known; prices start and end in `out`, where the
    shares (3, K) go; their multipliers in `tilted`. HUGE where it is proven to be no less than `ceiling`.

    Where Newton's method does not end, by cutting planes: times are convex in the shares, so the average of the highest
    planes' shares is as good as the planes say.
    """
    users = option.shape[0]
    places = np.empty(users, np.int32)
    if not places_of(terms, here, option, places):
        return HUGE, True
    alone = alone_of(SUM, terms, places)
    if alone < HUGE:
        alone += most * alone_of(MAX, terms, places)
    if alone >= ceiling:
        return HUGE, True
    if terms.plain:
        start = out.price.copy()
        worth, known = settled_linear(terms, places, most, ceiling, out.price, tilted.tilts, out.shares)
        if known:
            return worth, True
        put(out.price, start)
    begin = places.astype(np.int64)
    end = begin + 1
    x, now = np.zeros((3, users)), np.zeros((3, users))
    start = out.price.copy()
    top = out.price.max()
    for i in range(3):
        demand = 0.0
        for k in range(users):
            j = places[k]
            demand += terms.down[k, j] if i == 0 else terms.up[k, j] if i == 1 else terms.edge[k, j]
        out.price[i] = 0.0 if demand == 0.0 else max(out.price[i], 1e-3 * top)
    value, found = newton(terms, begin, end, places, most, ceiling, tilted, out.price, x, out.shares)
    if value >= ceiling:
        return HUGE, True
    if found <= max(value, alone) * (1.0 + _ENOUGH):
        return found, True
    put(out.price, start)
    tilts, part = np.zeros(users), np.zeros(users)
    first, second = np.zeros(users, np.int32), np.zeros(users, np.int32)
    box = 4.0 * ceiling if ceiling < HUGE / 2 else 64.0 * max(top, alone)
    for _ in range(_BOXES):
        value, _passes = rise(
            terms, begin, end, most, ceiling, box, MOST_CUTS, _CLOSE, _CLOSE, out.price, cuts, tilted, now
        )
        if value >= ceiling:
            return HUGE, True
        fill_table(x, 0.0)
        for c in range(4):
            j = cuts.basis[c]
            if j >= 0 and cuts.share[c] > 0.0:
                tilted_value(
                    terms, begin, end, cuts.prices[j], most, cuts.levels[j], TIE, now, tilts, first, second, part
                )
                x += cuts.share[c] * now
        put_table(out.shares, x)
        found = objective_of(SUM, terms, places, out.shares)
        if found < HUGE:
            found += most * objective_of(MAX, terms, places, out.shares)
        if found <= max(value, alone) * (1.0 + _ENOUGH):
            return found, True
        if out.price.max() < 0.5 * box:
            break
        box *= 64.0
    return HUGE, False


# wide: as above
@kernel
def search_tilted(
    terms: Terms, here: Here, option: Option, most: float, goal: float, box: float, passes: int, precision: float,
    rough: float, cuts: Cuts, tilted: Tilted, out: Out,
) -> tuple[float, int]:  # fmt: skip
    """`settled`, with 1 where the objective is known and 0 elsewhere; without options, (0,), `rise` from the price in
    `out`, which the best one takes the place of. Both in one, as most of their code is the same."""
    if option.shape[0] == 0:
        return rise(
            terms, here.begin, here.end, most, goal, box, passes, precision, rough, out.price, cuts, tilted, out.shares
        )
    worth, known = settled(terms, here, option, most, goal, cuts, tilted, out)
    return worth, 1 if known else 0
