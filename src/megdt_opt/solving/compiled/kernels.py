"""Compiled kernels of the price method: priced costs, passes over all users, and the cutting-plane master.

Every loop has a bound.

Notation, as in `megdt_opt.solving.priced`: scaled budgets are 1; resource 0 is uplink, 1 edge, 2 downlink; an option
demands a_i seconds at the whole budget; x_i is its share; prices l_i >= 0. R(x) = x, or x log1p(g / x) for the Shannon
law. For a multiplier mu of the time, 1/sqrt(mu) is called q: with R(x) = x the time of a resource is q sqrt(l a)
between the times at its largest and smallest share, so the total is piecewise linear in q.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, stay_whole

F = NDArray[np.float64]
I = NDArray[np.int64]  # noqa: E741

HUGE = 1e300
"""Cost of a closed option."""

SUM, MAX = 0, 1


class Terms(NamedTuple):
    """Options of all users; user k has those at positions begin[k] to end[k] - 1 of row k.

    Per option, (K, O): `fixed`, `branch` [s], `least` (smallest uplink share), and `up`, `edge`, `down`: square roots
    of the seconds at the whole budget, as costs need the roots; `ids` are the options' own numbers. Per user: `gamma`
    (K, 2) is g of uplink and downlink, infinite for R(x) = x; `cap` (K,) the largest edge share; `weight` (K,);
    `limit` (K,) the hard deadline [s]. `plain` is True where no branch, least share, limit or Shannon law comes up.
    `branch` and `least` are (1, 1) where there are none.
    """

    fixed: F
    branch: F
    up: F
    edge: F
    down: F
    least: F
    ids: NDArray[np.int32]
    gamma: F
    cap: F
    weight: F
    limit: F
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
def shannon_share(ratio: float, gamma: float) -> float:
    """x with R(x)^2 / R'(x) = ratio for R(x) = x log1p(gamma / x); see `priced._shannon_minimiser`."""
    if ratio <= 0.0:
        return 0.0
    target = 2.0 * np.log(gamma) - np.log(ratio)
    z = 0.5 * (target + 0.6931471805599453) if target < 0.0 else 0.5 * target + 0.5 * np.log1p(0.5 * target)
    for _ in range(12):
        z = min(max(z, -300.0), 300.0)
        u = np.exp(z)
        log = np.log1p(u)
        bend = u * u * (0.5 - u * (2.0 / 3.0 - 0.75 * u)) if u < 1e-3 else log - u / (1.0 + u)
        f = 2.0 * z + np.log(bend) - 2.0 * np.log(log) - target
        slope = 2.0 + (u * u / (1.0 + u) ** 2) / bend - 2.0 * u / ((1.0 + u) * log)
        move = min(max(f / slope, -3.0), 3.0)
        z -= move
        if abs(move) < 1e-9:  # the next step would move by its square
            break
    return gamma / np.exp(min(max(z, -300.0), 300.0))


@inner
def one_resource(q: float, a: float, price: float, low: float, high: float, gamma: float) -> tuple[float, float, float]:
    """Share, time and slope of the time in q of one resource."""
    if a <= 0.0:
        return 0.0, 0.0, 0.0
    if np.isinf(gamma):
        if price <= 0.0:
            return high, a / high, 0.0
        root = np.sqrt(price * a)
        t = q * root
        if t * high < a:
            return high, a / high, 0.0
        if low > 0.0 and t * low > a:
            return low, a / low, 0.0
        return a / t, t, root
    if price <= 0.0 or q <= 0.0:
        return high, a / (high * np.log1p(gamma / high)), 0.0
    x = shannon_share(a / (price * q * q), gamma)
    if x >= high:
        return high, a / (high * np.log1p(gamma / high)), 0.0
    if x <= low:
        return low, a / (low * np.log1p(gamma / low)), 0.0
    u = gamma / x
    log = np.log1p(u)
    rate = x * log
    rise = u * u * (0.5 - u * (2.0 / 3.0 - 0.75 * u)) if u < 1e-3 else log - u / (1.0 + u)
    bend = -(u * u) / (x * (1.0 + u) ** 2)
    # ratio = R^2 / R' falls as 1 / q^2
    grow = 2.0 * rate - rate * rate * bend / (rise * rise)
    return x, a / rate, (a * rise / (rate * rate)) * (2.0 * rate * rate / rise / q) / grow


@inner
def three_resources(
    q: float, a: F, price: F, low: float, cap: float, g0: float, g2: float, x: F
) -> tuple[float, float, float]:
    """Total time, its slope in q, and the priced shares; `x` (3,) gets the shares."""
    x0, t0, d0 = one_resource(q, a[0], price[0], low, 1.0, g0)
    x1, t1, d1 = one_resource(q, a[1], price[1], 0.0, cap, np.inf)
    x2, t2, d2 = one_resource(q, a[2], price[2], 0.0, 1.0, g2)
    x[0], x[1], x[2] = x0, x1, x2
    return t0 + t1 + t2, d0 + d1 + d2, price[0] * x0 + price[1] * x1 + price[2] * x2


@inner
def match_time(wanted: float, a: F, price: F, low: float, cap: float, g0: float, g2: float, x: F) -> float:
    """q at which the total time is `wanted`; infinite where even the least shares are faster, 0 where none are."""
    stay_whole()
    roots = np.sqrt(price[0] * a[0]) + np.sqrt(price[1] * a[1]) + np.sqrt(price[2] * a[2])
    if not (np.isinf(g0) and np.isinf(g2)):
        # the Shannon law is slower than its slope at x = 0 and never slower than at the whole budget: any start will do
        roots = max(roots, 1e-300)
    q = wanted / roots if roots > 0.0 else 1.0
    below, above = 0.0, np.inf
    for _ in range(200):
        t, slope, _ = three_resources(q, a, price, low, cap, g0, g2, x)
        if abs(t - wanted) <= 1e-14 * wanted:
            return q
        if t < wanted:
            below = q
        else:
            above = q
        step = (wanted - t) / slope if slope > 0.0 else np.inf
        new = q + step
        if t < wanted and slope == 0.0:
            new = above
        if not (below < new < above):
            new = q * 8.0 if np.isinf(above) else (0.5 * (below + above) if below > 0.0 else above * 0.125)
        if new == q or new > 1e150 or new < 1e-150:
            return new
        q = new
    return q


@inner
def option_cost(
    kind: int,
    fixed: float,
    branch: float,
    a: F,
    low: float,
    cap: float,
    g0: float,
    g2: float,
    weight: float,
    limit: float,
    level: float,
    price: F,
    x: F,
) -> tuple[float, float]:
    """Least priced cost of an option, and the multiplier of its time; `x` (3,) gets its shares.

    The cost is worked out from the multiplier, as a certificate does, so that it is a lower bound even where the
    multiplier is not exact.
    """
    stay_whole()
    x[0] = x[1] = x[2] = 0.0
    busy = a[0] > 0.0 or a[1] > 0.0 or a[2] > 0.0
    if kind == MAX:
        tau = min(level / weight, limit) - fixed
        if tau < branch or tau < 0.0 or (busy and tau <= 0.0):
            return HUGE, 0.0
        if not busy:
            return 0.0, 0.0
        fastest, _, _ = three_resources(0.0, a, price, low, cap, g0, g2, x)
        if fastest > tau:
            return HUGE, 0.0
        q = match_time(tau, a, price, low, cap, g0, g2, x)
        t, _, paid = three_resources(q, a, price, low, cap, g0, g2, x)
        mu = 1.0 / (q * q)
        return max(paid + mu * (t - tau), 0.0), mu
    tau = limit - fixed
    if branch > tau:
        return HUGE, 0.0
    if not busy:
        return weight * (fixed + branch), 0.0
    q = 1.0 / np.sqrt(weight)
    t, _, paid = three_resources(q, a, price, low, cap, g0, g2, x)
    if branch <= t <= tau:
        return weight * (fixed + t) + paid, weight
    wanted = branch if t < branch else tau
    if t > tau:
        fastest, _, _ = three_resources(0.0, a, price, low, cap, g0, g2, x)
        if fastest > tau:
            return HUGE, 0.0
    q = match_time(wanted, a, price, low, cap, g0, g2, x)
    t, _, paid = three_resources(q, a, price, low, cap, g0, g2, x)
    mu = 1.0 / (q * q)
    return weight * fixed + paid + mu * t + (weight - mu) * wanted, mu


@inner
def load(terms: Terms, k: int, j: int, a: F) -> tuple[float, float]:
    """Demands of an option into `a` (3,); its branch and least uplink share."""
    a[0] = terms.up[k, j] * terms.up[k, j]
    a[1] = terms.edge[k, j] * terms.edge[k, j]
    a[2] = terms.down[k, j] * terms.down[k, j]
    branch = terms.branch[k, j] if terms.has_branch else 0.0
    low = terms.least[k, j] if terms.has_least else 0.0
    return branch, low


@inner
def cost_at(kind: int, terms: Terms, k: int, j: int, level: float, price: F, a: F, x: F) -> tuple[float, float]:
    """`option_cost` of the option at a position."""
    branch, low = load(terms, k, j, a)
    return option_cost(
        kind, terms.fixed[k, j], branch, a, low, terms.cap[k], terms.gamma[k, 0], terms.gamma[k, 1], terms.weight[k],
        terms.limit[k], level, price, x,
    )  # fmt: skip


@inner
def plain_cost(
    kind: int, weight: float, cap: float, level: float, fixed: float, s0: float, s1: float, s2: float, r0: float,
    r1: float, r2: float,
) -> float:  # fmt: skip
    """Least priced cost of a plain option with roots s of its demands at prices r^2, its edge share within the cap.

    "sum": w fixed + 2 sqrt(w) r.s, and the square of what sqrt(w) s1 is above cap r1, over the cap. "max":
    (r.s)^2 / tau, or what the cap costs and the rest of the time asks of the links. Takes scalars, as a call with all
    terms would copy them. The true cost is higher only where a link's share is the whole band.
    """
    if kind == SUM:
        w = np.sqrt(weight)
        cost = w * (w * fixed + 2.0 * (r0 * s0 + r1 * s1 + r2 * s2))
        over = w * s1 - cap * r1
        return cost + over * over / cap if over > 0.0 else cost
    tau = level / weight - fixed
    if tau <= 0.0:
        return 0.0 if tau == 0.0 and s0 + s1 + s2 == 0.0 else HUGE
    paid = r0 * s0 + r1 * s1 + r2 * s2
    if s1 * paid > cap * r1 * tau or (r1 == 0.0 and s1 > 0.0):
        tau -= s1 * s1 / cap
        paid = r0 * s0 + r2 * s2
        if tau <= 0.0:
            return r1 * r1 * cap if tau == 0.0 and s0 + s2 == 0.0 else HUGE
        return paid * paid / tau + r1 * r1 * cap
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
            cr, icap = cap * r1, 1.0 / cap
            for j in range(begin[k], end[k]):
                s1 = edge[k, j]
                cost = w * fixed[k, j] + 2.0 * (r0 * up[k, j] + r1 * s1 + r2 * down[k, j])
                over = max(w * s1 - cr, 0.0)
                cost = w * cost + over * over * icap
                if cost < best:
                    best, place = cost, j
        else:
            for j in range(begin[k], end[k]):
                cost = plain_cost(kind, weight, cap, level, fixed[k, j], up[k, j], edge[k, j], down[k, j], r0, r1, r2)
                if cost < best:
                    best, place = cost, j
        if place < 0:
            return HUGE, 0.0, True
        s0, s1, s2 = up[k, place], edge[k, place], down[k, place]
        if kind == SUM:
            pace = w
            if s1 > 0.0:
                u1 += min(pace * s1 / r1, cap) if r1 > 0.0 else cap
        else:
            tau = level / weight - fixed[k, place]
            paid = r0 * s0 + r1 * s1 + r2 * s2
            if s1 > 0.0:
                if s1 * paid > cap * r1 * tau or r1 == 0.0:
                    u1 += cap
                    tau -= s1 * s1 / cap
                    paid = r0 * s0 + r2 * s2
                else:
                    u1 += s1 * paid / (tau * r1)
            pace = paid / tau if tau > 0.0 else 0.0
            slope += pace * pace / weight
        if s0 > 0.0:
            fits = fits and s0 * pace <= r0 and r0 > 0.0
            u0 += s0 * pace / r0 if r0 > 0.0 else 1.0
        if s2 > 0.0:
            fits = fits and s2 * pace <= r2 and r2 > 0.0
            u2 += s2 * pace / r2 if r2 > 0.0 else 1.0
        total += best
        chosen[k] = place
    usage[0], usage[1], usage[2] = u0, u1, u2
    if kind == SUM:
        total -= price[0] + price[1] + price[2]
    return total, slope, fits


@inner
def row_best(
    kind: int, terms: Terms, k: int, begin: int, end: int, level: float, price: F, a: F, x: F
) -> tuple[float, float, int]:
    """Cheapest option of a user within a range: cost, multiplier and position; `x` gets its shares."""
    stay_whole()
    best, place, multiplier = HUGE, -1, 0.0
    for j in range(begin, end):
        cost, mu = cost_at(kind, terms, k, j, level, price, a, x)
        if cost < best:
            best, place, multiplier = cost, j, mu
    if best >= HUGE:
        return HUGE, 0.0, -1
    cost_at(kind, terms, k, place, level, price, a, x)
    return best, multiplier, place


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
    a, x = np.zeros(3), np.zeros(3)
    total, slope = 0.0, 0.0
    usage[0] = usage[1] = usage[2] = 0.0
    for k in range(begin.shape[0]):
        cost, mu, place = row_best(kind, terms, k, begin[k], end[k], level, price, a, x)
        if place < 0:
            return HUGE, 0.0
        total += cost
        slope += mu / terms.weight[k]
        usage[0] += x[0]
        usage[1] += x[1]
        usage[2] += x[2]
        chosen[k] = place
    if kind == SUM:
        total -= price[0] + price[1] + price[2]
    return total, slope


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
    out[:] = 0.0
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


@inner
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
        y[:] = right
        for b in range(4):
            column(basis[b], slopes, offsets, box, col)
            for r in range(4):
                matrix[r, b] = col[r]
        share[:] = 0.0
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
        right[:] = col
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
