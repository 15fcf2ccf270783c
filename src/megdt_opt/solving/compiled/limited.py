"""Compiled: "mixed" at linear rates, without branches: what an option costs within a limit on its latency, and the best
shares of given options, in closed form or by Newton's method.

With the largest weighted latency T held fixed a user's multiplier m^2 is its weight w, or more where it would be later
than T: m = sum_i r_i s_i / (T / w - F) then, at prices r_i^2 and roots s_i of the demands. T is where what is above the
weights uses up the weight W of the largest latency, sum (m^2 / w - 1) = W, and the prices are where the budgets are.
All of that has its derivatives at hand.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies all arrays of a tuple at every
call, and Newton's method is one loop on arrays that all of its steps change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import alone_of, objective_of
from megdt_opt.solving.compiled.jit import inner, making, melt, stay_whole
from megdt_opt.solving.compiled.kernels import F, Terms, solve_four
from megdt_opt.solving.compiled.laws import HUGE, MAX, NEVER, SUM
from megdt_opt.solving.compiled.plain import caps_of
from megdt_opt.solving.compiled.rows import fill, fill_table

Option = NDArray[np.int32]

_NEWTON, _LEVELS = 20, 60
"""Steps of Newton's method for the prices, and for T at prices [1]."""

_ROOM = 1e-14
"""Relative distance of the multipliers' sum from W, so that rounding never carries it over."""

_NEAR = 1e-3
"""How near the budgets are to be used up before the objective is looked at [1]."""

_CLOSE, _ENOUGH = 1e-11, 1e-9
"""How near the objective is to come to its bound, and how near is enough, relatively [1]."""


@inner
def limited_cost(
    weight: float, root: float, cap: float, limit: float, fixed: float, s0: float, s1: float, s2: float, r0: float,
    r1: float, r2: float,
) -> tuple[float, float, bool]:  # fmt: skip
    """Least priced cost of an option within a limit on its latency, the root of its time's multiplier, and whether both
    are exact: where a link's share would be the whole band and more, the cost is only a lower bound.

    `root` is the square root of the weight."""
    melt()
    left, links, work = limit - fixed, r0 * s0 + r1 * s1, s2 * s2 / cap
    if work + s0 * s0 + s1 * s1 > left:
        return HUGE, 0.0, True
    m, cost = root, weight * fixed
    if s0 + s1 + s2 == 0.0:
        return cost, NEVER, True
    if root * s2 > cap * r2:
        late = work + links / root > left
        cost += 2.0 * root * links + cap * r2 * r2 + weight * work
    else:
        late = links + r2 * s2 > root * left
        cost += 2.0 * root * (links + r2 * s2)
    if late:
        m = (links + r2 * s2) / left
        if s2 * m <= cap * r2:
            cost = weight * limit + (links + r2 * s2) * m
        elif links > 0.0 and left > work:
            m = links / (left - work)
            cost = weight * limit + cap * r2 * r2 + links * m
        elif links > 0.0:
            return HUGE, 0.0, True
        else:
            m = max(root, cap * r2 / s2)
            cost = weight * limit + cap * r2 * r2
    return cost, m, m * s0 <= r0 and m * s1 <= r1


@inner
def paced(terms: Terms, places: Option, root: F, level: float, tight: F) -> float:
    """Sum of what the multipliers are above the weights, in them, where weighted latencies are at most a level; and
    its slope in the level into `tight` (1,)."""
    stay_whole()
    total, slope = 0.0, 0.0
    for k in range(places.shape[0]):
        j, weight, cap = places[k], terms.weight[k], terms.cap[k]
        s2 = terms.edge[k, j]
        links = root[0] * terms.down[k, j] + root[1] * terms.up[k, j]
        if links + s2 == 0.0:
            continue  # it is in time, but for rounding
        left, own = level / weight - terms.fixed[k, j], np.sqrt(weight)
        m, room = own, left
        if s2 * own > cap * root[2]:
            room = left - s2 * s2 / cap
            if links > room * own:
                m = links / room if room > 0.0 else HUGE
        elif links + root[2] * s2 > left * own:
            m = (links + root[2] * s2) / left if left > 0.0 else HUGE
            if s2 * m > cap * root[2]:
                room = left - s2 * s2 / cap
                if links > 0.0:
                    m = links / room if room > 0.0 else HUGE
                else:
                    m, room = cap * root[2] / s2, np.inf
        if m >= 1e100:
            return HUGE
        if m > own:
            total += m * m / weight - 1.0
            slope -= 2.0 * m * m / (weight * weight * room)
    tight[0] = slope
    return total


@making
def level_at(terms: Terms, places: Option, root: F, most: float, floor: float, ample: float, start: float) -> float:
    """The level at which the multipliers use up `most`: no less than `floor`, and below `ample`, where nobody is
    late."""
    stay_whole()
    tight = np.zeros(1)
    low, high, level = floor, ample, start
    if floor >= ample:
        return floor
    if not floor < level < ample:
        level = 0.5 * (floor + ample)
    over = paced(terms, places, root, floor, tight)
    if over <= most:
        return floor
    for _ in range(_LEVELS):
        over = paced(terms, places, root, level, tight)
        if over > most:
            low = level
        else:
            high = level
        if abs(over - most) <= 1e-14 * (1.0 + most) or high - low <= 1e-15 * high:
            break
        ahead = level + (over - most) / -tight[0] if over < HUGE and tight[0] < 0.0 else 0.5 * (low + high)
        if not low < ahead < high:
            ahead = 0.5 * (low + high)
        if ahead == level:
            break
        level = ahead
    return level


@making
def shared(
    terms: Terms, places: Option, root: F, level: float, most: float, last: int, tilts: F, shares: F, matrix: F,
    right: F,
) -> float:  # fmt: skip
    """Shares (3, K), multipliers (K,) and value at prices and a level, and the slopes (4, 4) of the shares' sums (3,)
    and of the multipliers' sum in the logarithms of the prices and the level. What the multipliers leave goes to the
    `last` user, who is as late as the level whatever its shares; -1 for none."""
    stay_whole()
    fill_table(matrix, 0.0)
    fill(right, 0.0)
    s, r, x, amount = np.zeros(3), root, np.zeros(3), 0.0
    for k in range(places.shape[0]):
        j, weight, cap = places[k], terms.weight[k], terms.cap[k]
        s[0], s[1], s[2] = terms.down[k, j], terms.up[k, j], terms.edge[k, j]
        links, work = r[0] * s[0] + r[1] * s[1], s[2] * s[2] / cap
        left, own = level / weight - terms.fixed[k, j], np.sqrt(weight)
        m, room, late = own, left, False
        whole = s[2] * own > cap * r[2]
        if whole:
            room = left - work
            late = links > room * own
            m = links / room if late else own
        elif links + r[2] * s[2] > left * own:
            late = True
            m = (links + r[2] * s[2]) / left
            if s[2] * m > cap * r[2]:
                whole, room = True, left - work
                m = links / room if links > 0.0 else cap * r[2] / s[2]
                late = links > 0.0
        for i in range(3):
            x[i] = 0.0
            if s[i] > 0.0:
                x[i] = cap if i == 2 and whole else s[i] * m / r[i] if r[i] > 0.0 else 1.0
            shares[i, k] = x[i]
            right[i] += x[i]
        tilts[k] = max(m * m / weight - 1.0, 0.0)
        amount += tilts[k]
        for i in range(3):
            if x[i] <= 0.0 or (i == 2 and whole):
                continue
            matrix[i, i] -= x[i]
            if late:
                matrix[i, 3] -= x[i] / (room * weight)
                for c in range(3):
                    if not (c == 2 and whole):
                        matrix[i, c] += s[i] / (r[i] * room) * r[c] * s[c]
                matrix[3, i] += 2.0 * m * r[i] * s[i] / (room * weight)
        if late:
            matrix[3, 3] -= 2.0 * m * m / (weight * weight * room)
    if last >= 0 and amount < most:
        tilts[last] += most - amount
        amount = most
    if amount > most * (1.0 - _ROOM):
        for k in range(places.shape[0]):
            tilts[k] *= most * (1.0 - _ROOM) / amount
    value = -r[0] * r[0] - r[1] * r[1] - r[2] * r[2]
    for k in range(places.shape[0]):
        j, weight, cap = places[k], terms.weight[k] * (1.0 + tilts[k]), terms.cap[k]
        own, s2 = np.sqrt(weight), terms.edge[k, j]
        paid = r[0] * terms.down[k, j] + r[1] * terms.up[k, j]
        if own * s2 > cap * r[2]:
            value += weight * terms.fixed[k, j] + 2.0 * own * paid + cap * r[2] * r[2] + weight * s2 * s2 / cap
        else:
            value += weight * terms.fixed[k, j] + 2.0 * own * (paid + r[2] * s2)
    return value


@inner
def relief(terms: Terms, places: Option, root: F, level: float) -> float:
    """A factor of the roots of the prices at which one of the users that a level holds, and with it a budget, is held
    no more: as long as it holds all who use the budgets, their shares hang on the ratios of the prices alone."""
    factor = 0.0
    for k in range(places.shape[0]):
        j, own = places[k], np.sqrt(terms.weight[k])
        paid = root[0] * terms.down[k, j] + root[1] * terms.up[k, j] + root[2] * terms.edge[k, j]
        held = own * (level / terms.weight[k] - terms.fixed[k, j])
        if paid > held:
            factor = max(factor, held / paid)
    return 0.98 * factor if factor > 0.0 else 0.5


@making
def settled_linear(
    terms: Terms, places: Option, most: float, ceiling: float, price: F, tilts: F, shares: F
) -> tuple[float, bool]:
    """Least objective of given options, and whether it is known; `price` (3,) starts and ends as prices, `tilts` and
    `shares` get multipliers and shares. HUGE where it is proven to be no less than `ceiling`."""
    stay_whole()
    users, r = places.shape[0], np.zeros(3)
    alone = alone_of(SUM, terms, places) + most * alone_of(MAX, terms, places)
    ample, top = caps_of(terms, places) <= 1.0, max(price[0], price[1], price[2])
    needed = np.zeros(3)
    floor, latest = 0.0, -1
    for k in range(users):
        j, weight = places[k], terms.weight[k]
        if weight <= 0.0:
            return HUGE, False
        least = weight * (terms.fixed[k, j] + terms.edge[k, j] * terms.edge[k, j] / terms.cap[k])
        if least > floor:
            floor, latest = least, k
        own = np.sqrt(weight)
        needed[0] += own * terms.down[k, j]
        needed[1] += own * terms.up[k, j]
        needed[2] += 0.0 if ample else own * terms.edge[k, j]
    for i in range(3):
        if needed[i] > 0.0:
            r[i] = np.sqrt(price[i]) if 1e-6 * top < price[i] < np.inf else needed[i]
    matrix, right, found, known = np.zeros((4, 4)), np.zeros(4), HUGE, False
    level = 0.0
    for _ in range(_NEWTON):
        late = 0.0
        for k in range(users):
            j, weight, cap = places[k], terms.weight[k], terms.cap[k]
            own, s2 = np.sqrt(weight), terms.edge[k, j]
            t = (r[0] * terms.down[k, j] + r[1] * terms.up[k, j]) / own
            t += s2 * s2 / cap if s2 * own > cap * r[2] else r[2] * s2 / own
            late = max(late, weight * (terms.fixed[k, j] + t))
        level = level_at(terms, places, r, most, floor, late, level)
        last = latest if level <= floor else -1
        value = shared(terms, places, r, level, most, last, tilts, shares, matrix, right)
        if not (np.abs(value) < HUGE and right.max() < HUGE):
            return HUGE, False
        for i in range(3):
            price[i] = r[i] * r[i]
        if value >= ceiling:
            return HUGE, True
        off = 0.0
        for i in range(3):
            if needed[i] > 0.0:
                off = max(off, abs(right[i] - 1.0))
        if off < _NEAR:
            before = found
            found = objective_of(SUM, terms, places, shares)
            if found < HUGE:
                found += most * objective_of(MAX, terms, places, shares)
            known = found <= max(value, alone) * (1.0 + _ENOUGH)
            if found <= max(value, alone) * (1.0 + _CLOSE) or (known and found >= before):
                break
        for i in range(3):
            if needed[i] <= 0.0 or matrix[i, i] == 0.0:
                # nobody needs it, or everybody has as much as can be
                fill(matrix[i], 0.0)
                matrix[i, i], right[i] = 1.0, 0.0 if needed[i] <= 0.0 else 1.0
            else:
                total = right[i]
                for c in range(4):
                    matrix[i, c] /= total
                right[i] = -np.log(total)
        right[3] = 0.0
        if level <= floor or matrix[3, 3] == 0.0:
            fill(matrix[3], 0.0)
            matrix[3, 3] = 1.0
        if not solve_four(matrix, right):
            if level > floor:
                break
            r *= relief(terms, places, r, level)
            continue
        for i in range(3):
            if needed[i] > 0.0:
                r[i] *= np.exp(min(max(right[i], -2.0), 2.0))
        level += right[3]
    return found, known
