"""Compiled kernels of the price method: priced costs, passes over all users, and the cutting-plane master.

Every loop has a bound.

Notation, as in `megdt_opt.pricing.priced`: scaled budgets are 1; resource 0 is downlink, 1 uplink, 2 edge; an option
demands a_i seconds at the whole budget; x_i is its share; prices l_i >= 0. R(x) = x, or x log1p(g / x) for the Shannon
law. For a multiplier mu of the time, 1/sqrt(mu) is called q: with R(x) = x the time of a resource is q sqrt(l a)
between the times at its largest and smallest share, so the total is piecewise linear in q.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies all arrays of a tuple at every
call, and each part of a loop is compiled on its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, making, stay_whole
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM, Law, Three, guess_of, option_at, shares_at
from megdt_opt.solving.compiled.rows import fill, put

F = NDArray[np.float64]
I = NDArray[np.int64]  # noqa: E741

ROUGHLY, CLOSE = 1e-8, 1e-13
"""How near times are brought to the wanted ones, relatively: for costs, whose error is its square, and for shares."""


SUM_EXCESS, MAX_EXCESS = 4e-12, 1e-10
"""What a value exceeds its goal by, so that rounding cannot spoil the proof: of the target, or of the budgets."""


class Terms(NamedTuple):
    """Options of all users; user k has those at positions begin[k] to end[k] - 1 of row k.

    Per option, (K, O): `fixed`, `branch` [s], `least` (smallest uplink share), and `up`, `edge`, `down`: square roots
    of the seconds at the whole budget, as costs need the roots; `ids` are the options' own numbers. Per user: `gamma`
    (K, 2) is g of downlink and uplink, infinite for R(x) = x, `brink` and `full` (K, 2) are what follows from it
    (`laws.Law`); `cap` (K,) the largest edge share; `weight` (K,); `limit` (K,) the hard deadline [s]. `plain` is True
    where no branch, least share, limit or Shannon law comes up. `branch` and `least` are (1, 1) where there are none,
    `curve` is the address of the Shannon law's
    table, which lives as long as the process.
    """

    fixed: F
    branch: F
    up: F
    edge: F
    down: F
    least: F
    ids: NDArray[np.int32]
    gamma: F
    brink: F
    full: F
    cap: F
    weight: F
    limit: F
    curve: int
    plain: bool
    has_branch: bool
    has_least: bool


@inner
def swap(terms: Terms, k: int, i: int, j: int) -> None:
    """Exchange two options of a user."""
    terms.fixed[k, i], terms.fixed[k, j] = terms.fixed[k, j], terms.fixed[k, i]
    terms.up[k, i], terms.up[k, j] = terms.up[k, j], terms.up[k, i]
    terms.edge[k, i], terms.edge[k, j] = terms.edge[k, j], terms.edge[k, i]
    terms.down[k, i], terms.down[k, j] = terms.down[k, j], terms.down[k, i]
    terms.ids[k, i], terms.ids[k, j] = terms.ids[k, j], terms.ids[k, i]
    if terms.has_branch:
        terms.branch[k, i], terms.branch[k, j] = terms.branch[k, j], terms.branch[k, i]
    if terms.has_least:
        terms.least[k, i], terms.least[k, j] = terms.least[k, j], terms.least[k, i]


@inner
def law_of(cap: F, gamma: F, brink: F, full: F, k: int) -> Law:
    """Rate laws of a user."""
    return Law(cap[k], gamma[k, 0], brink[k, 0], full[k, 0], gamma[k, 1], brink[k, 1], full[k, 1])


@inner
def plain_cost(
    kind: int, weight: float, cap: float, level: float, fixed: float, s0: float, s1: float, s2: float, r0: float,
    r1: float, r2: float,
) -> float:  # fmt: skip
    """Least priced cost of a plain option with roots s of its demands at prices r^2, its edge share within the cap.

    "sum": w fixed + 2 sqrt(w) r.s, and the square of what sqrt(w) s2 is above cap r2, over the cap. "max":
    (r.s)^2 / tau, or what the cap costs and the rest of the time asks of the links. Takes scalars, as a call with all
    terms would copy them. The true cost is higher only where a link's share is the whole band.
    """
    if kind == SUM:
        w = np.sqrt(weight)
        cost = w * (w * fixed + 2.0 * (r0 * s0 + r1 * s1 + r2 * s2))
        over = w * s2 - cap * r2
        return cost + over * over / cap if over > 0.0 else cost
    tau = level / weight - fixed
    if tau <= 0.0:
        return 0.0 if tau == 0.0 and s0 + s1 + s2 == 0.0 else HUGE
    paid = r0 * s0 + r1 * s1 + r2 * s2
    if s2 * paid > cap * r2 * tau or (r2 == 0.0 and s2 > 0.0):
        tau -= s2 * s2 / cap
        paid = r0 * s0 + r1 * s1
        if tau <= 0.0:
            return r2 * r2 * cap if tau == 0.0 and s0 + s1 == 0.0 else HUGE
        return paid * paid / tau + r2 * r2 * cap
    return paid * paid / tau


@inner
def plain_value(
    kind: int, fixed: F, up: F, edge: F, down: F, caps: F, weights: F, begin: I, end: I, level: float, price: F,
    usage: F, chosen: NDArray[np.int32],
) -> tuple[float, float, bool]:  # fmt: skip
    """Sum of the users' least plain costs, and minus its slope in the level; `usage` gets the shares' sums.

    False where a link's share would be more than the whole band, so that the costs are not exact.
    """
    stay_whole()
    r0, r1, r2 = np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2])
    total, slope, u0, u1, u2 = 0.0, 0.0, 0.0, 0.0, 0.0
    fits = True
    for k in range(begin.shape[0]):
        weight, cap = weights[k], caps[k]
        w = np.sqrt(weight)
        best, place = HUGE, -1
        if kind == SUM:
            cr, icap = cap * r2, 1.0 / cap
            for j in range(begin[k], end[k]):
                s2 = edge[k, j]
                cost = w * fixed[k, j] + 2.0 * (r1 * up[k, j] + r2 * s2 + r0 * down[k, j])
                over = max(w * s2 - cr, 0.0)
                cost = w * cost + over * over * icap
                if cost < best:
                    best, place = cost, j
        else:
            for j in range(begin[k], end[k]):
                cost = plain_cost(kind, weight, cap, level, fixed[k, j], down[k, j], up[k, j], edge[k, j], r0, r1, r2)
                if cost < best:
                    best, place = cost, j
        if place < 0:
            return HUGE, 0.0, True
        s0, s1, s2 = down[k, place], up[k, place], edge[k, place]
        if kind == SUM:
            pace = w
            if s2 > 0.0:
                u2 += min(pace * s2 / r2, cap) if r2 > 0.0 else cap
        else:
            tau = level / weight - fixed[k, place]
            paid = r0 * s0 + r1 * s1 + r2 * s2
            if s2 > 0.0:
                if s2 * paid > cap * r2 * tau or r2 == 0.0:
                    u2 += cap
                    tau -= s2 * s2 / cap
                    paid = r0 * s0 + r1 * s1
                else:
                    u2 += s2 * paid / (tau * r2)
            pace = paid / tau if tau > 0.0 else 0.0
            slope += pace * pace / weight
        if s1 > 0.0:
            fits = fits and s1 * pace <= r1 and r1 > 0.0
            u1 += s1 * pace / r1 if r1 > 0.0 else 1.0
        if s0 > 0.0:
            fits = fits and s0 * pace <= r0 and r0 > 0.0
            u0 += s0 * pace / r0 if r0 > 0.0 else 1.0
        total += best
        chosen[k] = place
    usage[0], usage[1], usage[2] = u0, u1, u2
    if kind == SUM:
        total -= price[0] + price[1] + price[2]
    return total, slope, fits


@inner
def general_value(
    kind: int, fixed: F, branch: F, up: F, edge: F, down: F, least: F, gamma: F, brink: F, full: F, caps: F,
    weights: F, limits: F, curve: int, has_branch: bool, has_least: bool, begin: I, end: I, level: float, price: F,
    usage: F, chosen: NDArray[np.int32],
) -> tuple[float, float]:  # fmt: skip
    """`value_at` for any terms; takes arrays, as a call with all terms for each option would copy them."""
    stay_whole()
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    total, slope, u0, u1, u2 = 0.0, 0.0, 0.0, 0.0, 0.0
    guess = 1.0
    for k in range(begin.shape[0]):
        law, weight, limit = law_of(caps, gamma, brink, full, k), weights[k], limits[k]
        curved = not (law.g1 == np.inf and law.g0 == np.inf)
        best, place, root = HUGE, -1, 0.0
        latest = min(level, limit * weight)
        for j in range(begin[k], end[k]):
            if not curved and best <= plain_cost(
                kind, weight, law.cap, latest, fixed[k, j], down[k, j], up[k, j], edge[k, j], r.down, r.up, r.edge
            ):
                continue  # branch, limit and bounds of the shares only add to it
            s = Three(down[k, j], up[k, j], edge[k, j])
            cost, m = option_at(
                kind, weight, fixed[k, j], branch[k, j] if has_branch else 0.0, limit, level, s, r,
                least[k, j] if has_least else 0.0, law, curve, guess, best, ROUGHLY,
            )  # fmt: skip
            if cost < best:
                best, place, root = cost, j, m
                if curved and kind == MAX:
                    guess = guess_of(m, weight, fixed[k, j], limit, level, s, r)
        if place < 0:
            return HUGE, 0.0
        s = Three(down[k, place], up[k, place], edge[k, place])
        low = least[k, place] if has_least else 0.0
        if curved:
            # the cost is exact, but shares are as near as the multiplier only
            best, root = option_at(
                kind, weight, fixed[k, place], branch[k, place] if has_branch else 0.0, limit, level, s, r, low, law,
                curve, guess, HUGE, CLOSE,
            )  # fmt: skip
        x = shares_at(root, s, r, low, law, curve)
        total += best
        slope += root * root / weight
        u1 += x.up
        u2 += x.edge
        u0 += x.down
        chosen[k] = place
    usage[0], usage[1], usage[2] = u0, u1, u2
    if kind == SUM:
        total -= price[0] + price[1] + price[2]
    return total, slope


@inner
def value_at(
    kind: int, terms: Terms, begin: I, end: I, level: float, price: F, usage: F, chosen: NDArray[np.int32]
) -> tuple[float, float]:
    """Sum of the users' least costs, less the prices' sum for "sum"; and minus its slope in the level for "max".

    `usage` (3,) gets the users' shares in all, `chosen` (K,) the positions.
    """
    stay_whole()
    if terms.plain:
        total, slope, fits = plain_value(
            kind, terms.fixed, terms.up, terms.edge, terms.down, terms.cap, terms.weight, begin, end, level, price,
            usage, chosen,
        )  # fmt: skip
        if fits:
            return total, slope
    return general_value(
        kind, terms.fixed, terms.branch, terms.up, terms.edge, terms.down, terms.least, terms.gamma, terms.brink,
        terms.full, terms.cap, terms.weight, terms.limit, terms.curve, terms.has_branch, terms.has_least, begin, end,
        level, price, usage, chosen,
    )  # fmt: skip


@inner
def solve_four(matrix: F, right: F) -> bool:
    """Gaussian elimination with pivoting of a 4 x 4 system, in place; False where it is singular."""
    stay_whole()
    for c in range(4):
        p = c
        for r in range(c + 1, 4):
            if abs(matrix[r, c]) > abs(matrix[p, c]):
                p = r
        if abs(matrix[p, c]) < 1e-280:
            return False
        if p != c:
            for j in range(4):
                matrix[c, j], matrix[p, j] = matrix[p, j], matrix[c, j]
            right[c], right[p] = right[p], right[c]
        for r in range(c + 1, 4):
            factor = matrix[r, c] / matrix[c, c]
            if factor != 0.0:
                for j in range(c, 4):
                    matrix[r, j] -= factor * matrix[c, j]
                right[r] -= factor * right[c]
    for r in range(3, -1, -1):
        for j in range(r + 1, 4):
            right[r] -= matrix[r, j] * right[j]
        right[r] /= matrix[r, r]
    return True


@inner
def column(index: int, slopes: F, offsets: F, box: float, out: F) -> float:
    """Column of the master's dual and its cost: a cut, or a bound of a price (negative index)."""
    fill(out, 0.0)
    if index >= 0:
        out[0] = 1.0
        out[1], out[2], out[3] = -slopes[index, 0], -slopes[index, 1], -slopes[index, 2]
        return offsets[index]
    if index >= -3:
        out[-index] = -1.0
        return 0.0
    if index >= -6:
        out[-index - 3] = 1.0
        return box
    out[1] = out[2] = out[3] = 1.0
    return 1.0


@making
def master(kind: int, slopes: F, offsets: F, cuts: int, box: float, basis: I, y: F, share: F) -> bool:
    """Highest point of the least of some cuts, by the simplex method on the dual.

    max t with t <= offset_j + slope_j . l and, for "sum", 0 <= l <= box; for "max", l >= 0 with sum 1. `y` (4,) gets t
    and l, `share` (4,) the weights of the basic columns, `basis` (4,) their indices: cuts, or -1..-3 for l >= 0, -4..-6
    for l <= box, -7 for the sum. A basis that was left by fewer cuts is a start; basis[0] < -7 asks for a new one.
    """
    stay_whole()
    matrix, right, col = np.zeros((4, 4)), np.zeros(4), np.zeros(4)
    if basis[0] < -7:
        basis[0] = cuts - 1
        if kind == SUM:
            for i in range(3):
                basis[i + 1] = -(i + 1) if slopes[cuts - 1, i] < 0.0 else -(i + 4)
        else:
            most = 0
            for i in range(1, 3):
                if slopes[cuts - 1, i] > slopes[cuts - 1, most]:
                    most = i
            for i in range(3):
                basis[i + 1] = -7 if i == most else -(i + 1)
    size = 0.0
    for j in range(cuts):
        size = max(size, abs(offsets[j]))
    size = max(size, 1e-300) if kind == SUM else 1.0
    for _ in range(200):
        for b in range(4):
            right[b] = column(basis[b], slopes, offsets, box, col)
            for r in range(4):
                matrix[b, r] = col[r]
        if not solve_four(matrix, right):
            return False
        put(y, right)
        for b in range(4):
            column(basis[b], slopes, offsets, box, col)
            for r in range(4):
                matrix[r, b] = col[r]
        fill(share, 0.0)
        share[0] = 1.0
        if not solve_four(matrix, share):
            return False
        enter, worst = 0, -1e-13 * size
        found = False
        for j in range(cuts):
            reduced = offsets[j] - y[0] + slopes[j, 0] * y[1] + slopes[j, 1] * y[2] + slopes[j, 2] * y[3]
            if reduced < worst:
                enter, worst, found = j, reduced, True
        for i in range(1, 4):
            if y[i] < worst:
                enter, worst, found = -i, y[i], True
            if kind == SUM and box - y[i] < worst:
                enter, worst, found = -i - 3, box - y[i], True
        if kind == MAX and 1.0 - y[1] - y[2] - y[3] < worst:
            enter, found = -7, True
        if not found:
            return True
        for b in range(4):
            column(basis[b], slopes, offsets, box, col)
            for r in range(4):
                matrix[r, b] = col[r]
        column(enter, slopes, offsets, box, col)
        put(right, col)
        if not solve_four(matrix, right):
            return False
        leave, least = -1, np.inf
        for b in range(4):
            if right[b] > 1e-12:
                ratio = max(share[b], 0.0) / right[b]
                if ratio < least or (ratio == least and right[b] > right[leave]):
                    leave, least = b, ratio
        if leave < 0:
            return False
        basis[leave] = enter
    return False


@inner
def goal_of(kind: int, target: float) -> float:
    """Value that proves that nothing is below a target."""
    return target + SUM_EXCESS * abs(target) if kind == SUM else 1.0 + MAX_EXCESS
