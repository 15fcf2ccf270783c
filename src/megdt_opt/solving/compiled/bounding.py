"""Compiled: best prices of a part of the problem, and best shares of given options."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, stay_whole
from megdt_opt.solving.compiled.kernels import (
    HUGE,
    MAX,
    SUM,
    F,
    I,
    Terms,
    load,
    master,
    one_resource,
    row_best,
    solve_four,
    value_at,
)
from megdt_opt.solving.compiled.plain import max_shares, sum_shares, value_of_set

PROVEN, SHORT, STALLED, SPENT = 0, 1, 2, 3
"""How `raise_bound` ends: the goal is reached; no prices reach it; no more progress; no passes left."""

MOST_CUTS = 96
MARGIN = 1e-10
"""What the priced cost of "max" exceeds the budgets by where it proves a level: far above rounding."""

_TURNS = 8


class Cuts(NamedTuple):
    """Cutting planes of one search for prices: at `prices` (n, 3) and `levels` (n,) the users `chosen` (n, K) options.

    `slopes` (n, 3) and `offsets` (n,) are the planes, `basis` and `share` (4,) the master's last basis and its weights.
    """

    slopes: F
    offsets: F
    prices: F
    levels: F
    chosen: NDArray[np.int32]
    basis: I
    share: F


def new_cuts(users: int) -> Cuts:
    """Room for `MOST_CUTS` planes."""
    return Cuts(
        slopes=np.zeros((MOST_CUTS, 3)),
        offsets=np.zeros(MOST_CUTS),
        prices=np.zeros((MOST_CUTS, 3)),
        levels=np.zeros(MOST_CUTS),
        chosen=np.zeros((MOST_CUTS, users), np.int32),
        basis=np.zeros(4, np.int64),
        share=np.zeros(4),
    )


@inner
def ask_master(kind: int, cuts: Cuts, count: int, box: float, y: F) -> bool:
    """Run the master; where it fails, once more from a new basis."""
    if count == 1:
        cuts.basis[:] = -99
    if master(kind, cuts.slopes, cuts.offsets, count, box, cuts.basis, y, cuts.share):
        return True
    cuts.basis[:] = -99
    if master(kind, cuts.slopes, cuts.offsets, count, box, cuts.basis, y, cuts.share):
        return True
    cuts.basis[:] = -99
    return False


@inner
def raise_bound(
    kind: int,
    terms: Terms,
    begin: I,
    end: I,
    level: float,
    goal: float,
    box: float,
    passes: float,
    start: F,
    best_price: F,
    cuts: Cuts,
    precision: float = 1e-13,
) -> tuple[float, int, int]:
    """Look for prices whose value reaches the goal: cutting planes, tried between the best and the master's prices.

    Returns the best value, how it ended (PROVEN, ...) and the passes made. `best_price` (3,) gets the best prices.
    """
    stay_whole()
    slopes, offsets = cuts.slopes, cuts.offsets
    usage, y, price = np.zeros(3), np.zeros(4), start.copy()
    best = -HUGE
    best_price[:] = start
    cuts.basis[:] = -99
    turns = min(int(passes), MOST_CUTS)
    pull = 0.5
    for n in range(turns):
        value, _ = value_at(kind, terms, begin, end, level, price, usage, cuts.chosen[n])
        if value > best:
            best = value
            best_price[:] = price
        else:
            pull = 1.0 - pull if pull != 1.0 else 0.5
        if best >= goal:
            return best, PROVEN, n + 1
        for i in range(3):
            slopes[n, i] = usage[i] - (1.0 if kind == SUM else 0.0)
        offsets[n] = 0.0
        if kind == SUM:
            offsets[n] = value - slopes[n, 0] * price[0] - slopes[n, 1] * price[1] - slopes[n, 2] * price[2]
        cuts.prices[n] = price
        cuts.levels[n] = level
        if not ask_master(kind, cuts, n + 1, box, y):
            return best, STALLED, n + 1
        if goal < HUGE and y[0] < goal:
            return best, SHORT, n + 1
        if y[0] - best <= precision * max(abs(y[0]), abs(best)):
            return best, STALLED, n + 1
        for i in range(3):
            price[i] = max(pull * max(y[i + 1], 0.0) + (1.0 - pull) * best_price[i], 0.0)
    return best, SPENT, turns


@inner
def raise_level(
    kind: int,
    terms: Terms,
    begin: I,
    end: I,
    level: float,
    ceiling: float,
    precision: float,
    passes: float,
    start: F,
    best_price: F,
    cuts: Cuts,
) -> tuple[float, int, int]:
    """Largest level that prices rule out, for "max" (`kind`); it only rises, so that cuts of lower levels stay valid.

    `level` must be a lower bound already. Stops early above `ceiling`. Returns as `raise_bound` does.
    """
    stay_whole()
    usage, y, price = np.zeros(3), np.zeros(4), start.copy()
    best_price[:] = start
    cuts.basis[:] = -99
    cuts.offsets[:] = 0.0
    turns = min(int(passes), MOST_CUTS)
    proved = level
    for n in range(turns):
        value, slope = value_at(kind, terms, begin, end, level, price, usage, cuts.chosen[n])
        if value > 1.0:
            # rise while the prices still rule the level out
            best_price[:] = price
            low, high = level, np.inf
            first = min(value - 1.0, 1.0)
            for _ in range(60):
                if value >= HUGE:
                    step = low * 1.0 if np.isinf(high) else 0.5 * (high - low)
                else:
                    step = (value - 1.0) / slope if slope > 0.0 else low
                if np.isinf(high) and value < HUGE:
                    # far below, the value falls like one over the level: Newton's method on its inverse goes further
                    step = min(0.95 * value * step, 8.0 * low)
                trial = low + step
                if trial >= high:
                    trial = 0.5 * (low + high)
                if trial <= low * (1.0 + precision) or low > ceiling:
                    break
                tried, slope_there = value_at(kind, terms, begin, end, trial, price, usage, cuts.chosen[n])
                if tried >= 1.0:
                    low, value, slope = trial, tried, slope_there
                    if value - 1.0 < 0.05 * first:
                        break  # the rest is left to the next prices
                else:
                    high = trial
                    if high <= low * (1.0 + precision):
                        break
            level = proved = low
            if level > ceiling:
                return proved, PROVEN, n + 1
            value, slope = value_at(kind, terms, begin, end, level, price, usage, cuts.chosen[n])
            jump = high <= low * (1.0 + precision) and value > 1.0 + precision
            if high < np.inf and (value >= HUGE or jump):
                # some user cannot be faster even alone, or an option opens here: planes are found just above
                level = high
                value, slope = value_at(kind, terms, begin, end, level, price, usage, cuts.chosen[n])
            if value >= HUGE:
                return proved, STALLED, n + 1
        cuts.slopes[n] = usage
        cuts.prices[n] = price
        cuts.levels[n] = level
        if not ask_master(kind, cuts, n + 1, 1.0, y):
            return proved, STALLED, n + 1
        if y[0] <= 1.0 + precision:
            return proved, SHORT, n + 1
        pull = 0.5 if n % 3 != 2 else 1.0
        for i in range(3):
            price[i] = pull * max(y[i + 1], 0.0) + (1.0 - pull) * best_price[i]
        total = price[0] + price[1] + price[2]
        price /= total
    return proved, SPENT, turns


@inner
def usage_of(kind: int, terms: Terms, option: NDArray[np.int32], level: float, price: F, usage: F, shares: F) -> bool:
    """Shares (3, K) of chosen options at prices, and their sums (3,); False where an option is closed."""
    stay_whole()
    a, x = np.zeros(3), np.zeros(3)
    usage[:] = 0.0
    for k in range(option.shape[0]):
        cost, _, place = row_best(kind, terms, k, option[k], option[k] + 1, level, price, a, x)
        if place < 0 or cost >= HUGE:
            return False
        for i in range(3):
            shares[i, k] = x[i]
            usage[i] += x[i]
    return True


@inner
def balance(kind: int, terms: Terms, option: NDArray[np.int32], level: float, price: F, shares: F) -> float:
    """Newton's method on usage = 1 of every priced resource, for chosen options; `price` is improved in place.

    For "max" the level moves too, and the last one is returned. `shares` (3, K) gets the shares at the end.
    """
    stay_whole()
    usage, trial_usage, trial = np.zeros(3), np.zeros(3), np.zeros(3)
    matrix, right = np.zeros((4, 4)), np.zeros(4)
    if not usage_of(kind, terms, option, level, price, usage, shares):
        return level
    top = max(price[0], price[1], price[2])
    active = np.zeros(3, np.int64)
    count = 0
    for i in range(3):
        if price[i] > 1e-9 * top and usage[i] > 0.0:
            active[count] = i
            count += 1
    if count == 0:
        return level
    residual = 0.0
    for c in range(count):
        residual = max(residual, abs(usage[active[c]] - 1.0))
    h = 1e-6
    for _ in range(12):
        if residual < 1e-13:
            break
        # unknown c is the logarithm of a price; for "max" the first stands for the level, as prices scale freely
        matrix[:] = 0.0
        right[:] = 0.0
        for r in range(4):
            matrix[r, r] = 1.0
        for c in range(count):
            trial[:] = price
            moved = level
            if kind == MAX and c == 0:
                moved = level * (1.0 + h)
            else:
                trial[active[c]] *= 1.0 + h
            if not usage_of(kind, terms, option, moved, trial, trial_usage, shares):
                return level
            for r in range(count):
                matrix[r, c] = (trial_usage[active[r]] - usage[active[r]]) / h
        for r in range(count):
            right[r] = 1.0 - usage[active[r]]
        if not solve_four(matrix, right):
            break
        length, better = 1.0, False
        for _ in range(12):
            trial[:] = price
            moved = level
            for c in range(count):
                grow = 1.0 + min(max(length * right[c], -0.5), 1.0)
                if kind == MAX and c == 0:
                    moved = level * grow
                else:
                    trial[active[c]] *= grow
            if usage_of(kind, terms, option, moved, trial, trial_usage, shares):
                after = 0.0
                for c in range(count):
                    after = max(after, abs(trial_usage[active[c]] - 1.0))
                if after < residual:
                    price[:] = trial
                    usage[:] = trial_usage
                    level, residual, better = moved, after, True
                    break
            length *= 0.5
        if not better:
            break
    usage_of(kind, terms, option, level, price, usage, shares)
    return level


@inner
def average(kind: int, terms: Terms, option: NDArray[np.int32], cuts: Cuts, shares: F) -> None:
    """Shares (3, K) of chosen options: those at the basic planes' prices, weighted as the master weights them.

    Times are convex in the shares, so the average is as good as the master's value says: nothing is lost where the
    shares jump with the prices.
    """
    stay_whole()
    usage, one = np.zeros(3), np.zeros_like(shares)
    shares[:] = 0.0
    for c in range(4):
        j = cuts.basis[c]
        if j >= 0 and cuts.share[c] > 0.0:
            usage_of(kind, terms, option, cuts.levels[j], cuts.prices[j], usage, one)
            shares += cuts.share[c] * one


@inner
def objective_of(kind: int, terms: Terms, option: NDArray[np.int32], shares: F) -> float:
    """Objective of chosen options on shares (3, K), which are first brought within the budgets and then fill them."""
    stay_whole()
    users = option.shape[0]
    a = np.zeros(3)
    for i in range(3):
        total = 0.0
        for k in range(users):
            total += shares[i, k]
        if total > 1.0 or (total > 0.0 and i != 1):
            for k in range(users):
                shares[i, k] /= total
    total = shares[1].sum()
    if 0.0 < total < 1.0:
        for k in range(users):
            shares[1, k] = min(shares[1, k] / total, terms.cap[k])
    result = 0.0
    for k in range(users):
        branch, low = load(terms, k, option[k], a)
        t = 0.0
        for i in range(3):
            if a[i] > 0.0:
                x = shares[i, k]
                if x <= 0.0:
                    return HUGE
                gamma = np.inf if i == 1 else terms.gamma[k, i // 2]
                t += a[i] / x if np.isinf(gamma) else a[i] / (x * np.log1p(gamma / x))
        if a[0] > 0.0 and shares[0, k] < low * (1.0 - 1e-9):
            return HUGE
        latency = terms.fixed[k, option[k]] + max(branch, t)
        if latency > terms.limit[k] * (1.0 + 1e-9):
            return HUGE
        cost = terms.weight[k] * latency
        result = result + cost if kind == SUM else max(result, cost)
    return result


@inner
def best_of_set(
    kind: int,
    terms: Terms,
    option: NDArray[np.int32],
    ceiling: float,
    rough: float,
    price: F,
    shares: F,
    cuts: Cuts,
) -> float:
    """Least objective of chosen options; `price` (3,) starts and ends as prices, `shares` (3, K) gets the shares.

    HUGE where the options cannot keep the limits, or, for "max", where the objective is proven to be above `ceiling`.
    With `rough` above 0 the shares of "max" are within about 1 % of the best: enough to begin with.
    """
    stay_whole()
    users = option.shape[0]
    begin, end = option.astype(np.int64), option.astype(np.int64) + 1
    a, found = np.zeros(3), np.zeros(3)
    dual = -HUGE
    if kind == SUM and terms.plain:
        return sum_shares(terms, option, price, shares)
    alone = 0.0
    idle = True
    unit = np.ones(3)
    for k in range(users):
        branch, _ = load(terms, k, option[k], a)
        t = 0.0
        for i in range(3):
            if a[i] > 0.0:
                idle = False
                gamma = np.inf if i == 1 else terms.gamma[k, i // 2]
                _, one, _ = one_resource(0.0, a[i], unit[i], 0.0, terms.cap[k] if i == 1 else 1.0, gamma)
                t += one
        latency = terms.fixed[k, option[k]] + max(branch, t)
        if latency > terms.limit[k]:
            return HUGE
        cost = terms.weight[k] * latency
        alone = alone + cost if kind == SUM else max(alone, cost)
    if idle:
        shares[:] = 0.0
        return alone
    level = 0.0
    if kind == MAX:
        total = price[0] + price[1] + price[2]
        if 0.0 < total < np.inf:
            price /= total
        else:
            price[:] = 1.0 / 3.0
        if alone >= ceiling:
            return HUGE
        if terms.plain:
            if ceiling < HUGE / 2 and value_of_set(terms, option, ceiling, price) > MARGIN:
                return HUGE
            found[:] = price
            hint = ceiling if ceiling < HUGE / 2 else 2.0 * users * alone
            if max_shares(terms, option, max(hint, alone * (1.0 + 1e-9)), found, shares):
                price[:] = found
                return objective_of(kind, terms, option, shares)
        # prices grow where more is wanted than there is, while the level rises with them
        usage = np.zeros(3)
        level, how = alone, SPENT
        for _ in range(_TURNS):
            level, how, _ = raise_level(kind, terms, begin, end, level, ceiling, 1e-3, 1.0, price, found, cuts)
            if how == PROVEN:
                price[:] = found
                return HUGE
            if not usage_of(kind, terms, option, cuts.levels[0], price, usage, shares):
                break
            for i in range(3):
                price[i] *= usage[i]
            total = price[0] + price[1] + price[2]
            if not 0.0 < total < np.inf:
                price[:] = 1.0 / 3.0
                break
            price /= total
        other = np.zeros_like(shares)
        balance(kind, terms, option, level, price, other)
        result = objective_of(kind, terms, option, other)
        total = price[0] + price[1] + price[2]
        if result < HUGE and total > 0.0:
            price /= total
            shares[:] = other
            if rough > 0.0:
                return result
            level, how, _ = raise_level(kind, terms, begin, end, level, ceiling, 1e-11, 4.0, price, found, cuts)
            if how == PROVEN:
                price[:] = found
                return HUGE
            if result <= level * (1.0 + 1e-10):
                price[:] = found
                return result
        level, how, _ = raise_level(kind, terms, begin, end, level, ceiling, 1e-12, 60.0, price.copy(), found, cuts)
        if how == PROVEN:
            price[:] = found
            return HUGE
    else:
        guess = 0.0
        for k in range(users):
            load(terms, k, option[k], a)
            guess += np.sqrt(terms.weight[k]) * (np.sqrt(a[0]) + np.sqrt(a[1]) + np.sqrt(a[2]))
        box = 64.0 * (guess * guess + alone)
        for _ in range(8):
            for i in range(3):
                price[i] = min(price[i], box)
            value, how, _ = raise_bound(kind, terms, begin, end, 0.0, HUGE, box, 80.0, price, found, cuts)
            price[:] = found
            if how == PROVEN or value >= HUGE:
                return HUGE
            if max(found[0], found[1], found[2]) < 0.5 * box:
                break
            box *= 64.0
        dual = value
    price[:] = found
    average(kind, terms, option, cuts, shares)
    result = objective_of(kind, terms, option, shares)
    if result <= (level if kind == MAX else dual) * (1.0 + 1e-11) or kind == MAX:
        return result
    # the planes ended before they met: Newton's method finds the rest where every priced budget is used up
    other = np.zeros_like(shares)
    balance(kind, terms, option, level, found, other)
    second = objective_of(kind, terms, option, other)
    if second < result:
        result = second
        shares[:] = other
        price[:] = found
    return result
