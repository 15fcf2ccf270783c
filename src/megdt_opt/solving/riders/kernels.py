"""Compiled: what riders and their trunk cost at prices, pattern by pattern (`megdt_opt.pricing.rider_costs`).

The same function G and the same primal-dual method as there, in loops over the members of one pattern: both are exact
to rounding, and any multipliers are a bound, so that nothing hangs on which of the two found them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, kernel, making, stay_whole

F = NDArray[np.float64]
B = NDArray[np.bool_]
N = NDArray[np.int64]

_ROUNDS = 60
_CLOSE = 1e-13
_FARTHEST = 0.995
_BISECTIONS = 60
_HALVINGS = 8
_SERIES = 1e-2


@inner
def _bend(u: float) -> float:
    """log1p(u) - u / (1 + u)."""
    if u >= _SERIES:
        return np.log1p(u) - u / (1.0 + u)
    total = 0.0
    for n in range(8, 1, -1):
        total = total * u + (1.0 if n % 2 == 0 else -1.0) * (n - 1) / n
    return total * u * u


@inner
def _minimiser(ratio: float, gamma: float) -> float:
    """The x at which l x + a / R(x) is least, for a / l = ratio, under the Shannon law."""
    target = 2.0 * np.log(gamma) - np.log(ratio)
    z = 0.5 * (target + np.log(2.0)) if target < 0 else 0.5 * target + 0.5 * np.log1p(0.5 * target)
    for _ in range(12):
        u = np.exp(min(max(z, -300.0), 300.0))
        log, curve = np.log1p(u), _bend(u)
        f = 2.0 * np.log(u) + np.log(curve) - 2.0 * np.log(log) - target
        slope = 2.0 + (u * u / (1.0 + u) ** 2) / curve - 2.0 * u / ((1.0 + u) * log)
        move = min(max(f / slope, -3.0), 3.0)
        if not np.isfinite(move):
            break
        z -= move
        if abs(move) < 1e-9:
            break
    return gamma / np.exp(min(max(z, -300.0), 300.0))


@inner
def _phi(flow: float, a: float, price: float, gamma: float, lo: float, hi: float) -> tuple[float, float, float, float]:
    """The minimum over x of l x + F a / R(x), the x, the time there, and its slope in the flow."""
    if not a > 0.0:
        return 0.0, 0.0, 0.0, 0.0
    linear = np.isinf(gamma)
    x = hi
    if price > 0.0:
        ratio = flow * a / price
        x = np.sqrt(ratio) if linear else (_minimiser(ratio, gamma) if ratio > 0.0 else 0.0)
    free = lo < x < hi
    x = min(max(x, lo), hi)
    safe = x if x > 0.0 else 1e-100
    if linear:
        t = a / safe
        first, second = -t / safe, 2.0 * t / (safe * safe)
    else:
        u = gamma / safe
        r, r1 = safe * np.log1p(u), _bend(u)
        r2 = -(u * u) / (safe * (1.0 + u) ** 2)
        t = a / r
        first, second = -t * r1 / r, t * (2.0 * (r1 / r) ** 2 - r2 / r)
    pull = 0.0
    if free:
        pull = -first * first / (flow * second)
        if not np.isfinite(pull):
            pull = 0.0
    return price * x + (flow * t if flow > 0.0 else 0.0), x, t, pull


@inner
# wide: numba copies all arrays of a tuple at every call
def _point(
    e: int, a: F, gamma: F, hi: F, ta: F, tg: F, tlo: F, thi: F, constant: F, rides: B, both: B, prices: F, mu: F,
    part: float, phased: bool, own: F, trunk: F,
) -> float:  # fmt: skip
    """G of a pattern; `own` (5, n) gets times, slopes, and of the edge share, time and slope; `trunk` (7,) as below."""
    stay_whole()
    n = mu.size
    value, flow, cast = 0.0, 0.0, 0.0
    for j in range(n):
        own[:, j] = 0.0
        if not rides[e, j]:
            continue
        flow += mu[j]
        if both[e, j]:
            cast += mu[j]
        for i in range(3):
            price = prices[i] * (1.0 - part) if i == 2 and phased else prices[i]
            cost, x, t, pull = _phi(mu[j], a[i, e, j], price, gamma[i, e, j], 0.0, hi[i, e, j])
            value += cost
            own[0, j] += t
            own[1, j] += pull
            if i == 2:
                own[2, j], own[3, j], own[4, j] = x, t, pull
        value += mu[j] * constant[j]
    trunk[:] = 0.0
    for i in range(3):
        price = prices[i] * part if i == 2 and phased else prices[i]
        cost, x, t, pull = _phi(cast if i == 0 else flow, ta[i, e], price, tg[i, e], tlo[i, e], thi[i, e])
        value += cost
        if i == 0:
            trunk[0], trunk[1] = t, pull
        else:
            trunk[2] += t
            trunk[3] += pull
            if i == 2:
                trunk[4], trunk[5], trunk[6] = x, t, pull
    return value


@making
def _solved(matrix: F, right: F) -> None:
    """Solve a small positive definite system in place, by Cholesky's method, scaled."""
    n = right.size
    scale = np.empty(n)
    for i in range(n):
        scale[i] = 1.0 / np.sqrt(max(matrix[i, i], 1e-300))
    for i in range(n):
        for j in range(n):
            matrix[i, j] *= scale[i] * scale[j]
        matrix[i, i] += 1e-14
        right[i] *= scale[i]
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = np.sqrt(max(total, 1e-30)) if i == j else total / matrix[j, j]
    for i in range(n):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] /= matrix[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            right[i] -= matrix[k, i] * right[k]
        right[i] /= matrix[i, i]
    for i in range(n):
        right[i] *= scale[i]


@inner
def _over(at: float, h: float, price: float, top: float, y: F, tops: F) -> float:
    """What the trunk uses of the edge beyond what the riders use, at a part of the price."""
    found = 0.0
    if h > 0.0:
        found = min(np.sqrt(h / (at * price)), top) if at > 0.0 else top
    for j in range(y.size):
        if y[j] > 0.0:
            found -= min(np.sqrt(y[j] / ((1.0 - at) * price)), tops[j]) if at < 1.0 else tops[j]
    return found


@inner
def _best_part(e: int, a: F, hi: F, ta: F, thi: F, rides: B, price: float, mu: F, y: F, tops: F) -> float:
    """The part of the edge's price at which G is largest."""
    h, root = 0.0, 0.0
    for j in range(mu.size):
        y[j], tops[j] = 0.0, hi[2, e, j]
        if rides[e, j]:
            h += mu[j] * ta[2, e]
            y[j] = mu[j] * a[2, e, j]
            root += np.sqrt(y[j])
    total = h + root * root
    part = h / total if total > 0.0 else 1.0
    if not (price > 0.0 and 0.0 < part < 1.0):
        return part
    top = thi[2, e]
    held = np.sqrt(total / price) > top
    for j in range(mu.size):
        held |= y[j] > 0.0 and np.sqrt(y[j] / ((1.0 - part) * price)) > tops[j]
    if not held:
        return part
    if _over(1.0, h, price, top, y, tops) >= 0.0:
        return 1.0
    if _over(0.0, h, price, top, y, tops) <= 0.0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if _over(middle, h, price, top, y, tops) > 0.0:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


@inner
def _merit(value: float, barrier: float, mu: F, free: B) -> float:
    for j in range(mu.size):
        if free[j]:
            value += barrier * np.log(mu[j])
    return value


@kernel
# wide: as above
def worths(
    a: F, gamma: F, hi: F, ta: F, tg: F, tlo: F, thi: F, weight: F, fixed: F, rides: B, both: B, prices: F,
    level: float, leveled: bool, mu: F, part: F, phased: bool, out: F,
) -> None:  # fmt: skip
    """G of all patterns at multipliers (N, n) and parts (N,) into `out` (N,)."""
    n = mu.shape[1]
    own, trunk, constant = np.empty((5, n)), np.empty(7), np.empty(n)
    for e in range(out.size):
        for j in range(n):
            constant[j] = fixed[e, j] - level / weight[e, j] if leveled else fixed[e, j]
        out[e] = _point(
            e, a, gamma, hi, ta, tg, tlo, thi, constant, rides, both, prices, mu[e], part[e], phased, own, trunk
        )


@kernel
# wide: as above
# long: one pattern's turns share a dozen numbers and arrays
def maxima(
    a: F, gamma: F, hi: F, ta: F, tg: F, tlo: F, thi: F, weight: F, fixed: F, rides: B, both: B, prices: F,
    level: float, leveled: bool, mus: F, parts: F, phased: bool, out: F,
) -> None:  # fmt: skip
    """Multipliers and parts of all patterns at which G is largest, in place, and G into `out`, (S,)."""
    n = mus.shape[1]
    own, trunk, constant = np.empty((5, n)), np.empty(7), np.empty(n)
    free, y, tops = np.empty(n, np.bool_), np.empty(n), np.empty(n)
    z, mu, to, step, place = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n, np.int64)
    budget, price = prices.sum(), prices[2]
    for e in range(out.size):
        for j in range(n):
            free[j] = leveled and rides[e, j]
            constant[j] = fixed[e, j] - level / weight[e, j] if leveled else fixed[e, j]
            mu[j] = mus[e, j]
        part = _best_part(e, a, hi, ta, thi, rides, price, mu, y, tops) if phased else parts[e]
        value = _point(e, a, gamma, hi, ta, tg, tlo, thi, constant, rides, both, prices, mu, part, phased, own, trunk)
        out[e], parts[e] = value, part
        size = max(abs(value), 1e-3 * budget)
        barrier = 1e-2 * size / (n + 1)
        count = 0
        for j in range(n):
            if free[j]:
                left = -constant[j]
                mu[j] = max(mu[j], 1e-6 * size / (left if left > 0.0 else 1.0) / (n + 1))
                z[j] = barrier / mu[j]
                place[count] = j
                count += 1
        if count == 0:
            continue
        part = _best_part(e, a, hi, ta, thi, rides, price, mu, y, tops) if phased else parts[e]
        value = _point(e, a, gamma, hi, ta, tg, tlo, thi, constant, rides, both, prices, mu, part, phased, own, trunk)
        matrix, right, cross = np.zeros((count, count)), np.zeros(count), np.zeros(count)
        for _ in range(_ROUNDS):
            if value > out[e]:
                out[e], parts[e] = value, part
                mus[e] = mu
            scale = 0.0
            if phased and 0.0 < part < 1.0:
                curve = trunk[4] / part if trunk[6] < 0.0 else 0.0
                for j in range(n):
                    if own[4, j] < 0.0:
                        curve += own[2, j] / (1.0 - part)
                curve *= 0.5 * price
                scale = 1.0 / curve if curve > 0.0 else 0.0
            room, off = 0.0, 0.0
            for c in range(count):
                j = place[c]
                slope = own[0, j] + trunk[2] + (trunk[0] if both[e, j] else 0.0) + constant[j]
                room += z[j] * mu[j]
                off += abs((slope + z[j]) * mu[j])
                right[c] = slope + barrier / mu[j]
                cross[c] = 0.0
                if scale > 0.0:
                    cross[c] = 0.5 * trunk[5] / part if trunk[6] < 0.0 else 0.0
                    cross[c] -= 0.5 * own[3, j] / (1.0 - part) if own[4, j] < 0.0 else 0.0
            if room + off <= _CLOSE * size or value >= 4.0 * budget + size:
                break
            for c in range(count):
                j = place[c]
                for d in range(count):
                    matrix[c, d] = -trunk[3] - (trunk[1] if both[e, j] and both[e, place[d]] else 0.0)
                    matrix[c, d] -= cross[c] * cross[d] * scale
                matrix[c, c] += z[j] / mu[j] - own[1, j]
            _solved(matrix, right)
            length, dual_length = 1.0, 1.0
            for c in range(count):
                j = place[c]
                move = right[c]
                if move < 0.0:
                    length = min(length, _FARTHEST * mu[j] / -move)
                step[j] = barrier / mu[j] - z[j] - z[j] / mu[j] * move
                if step[j] < 0.0:
                    dual_length = min(dual_length, _FARTHEST * z[j] / -step[j])
            before = _merit(value, barrier, mu, free) - 1e-14 * size
            for half in range(_HALVINGS):
                for j in range(n):
                    to[j] = mu[j]
                for c in range(count):
                    to[place[c]] += length * right[c]
                if phased:
                    part = _best_part(e, a, hi, ta, thi, rides, price, to, y, tops)
                value = _point(
                    e, a, gamma, hi, ta, tg, tlo, thi, constant, rides, both, prices, to, part, phased, own, trunk
                )
                if half == _HALVINGS - 1 or _merit(value, barrier, to, free) >= before:
                    break
                length *= 0.4
            mean = 0.0
            for c in range(count):
                j = place[c]
                mu[j] = to[j]
                z[j] += dual_length * step[j]
                mean += z[j] * mu[j]
            mean /= count
            factor = 0.05 if min(length, dual_length) > 0.9 else (0.3 if length > 0.5 else 1.0)
            barrier = max(factor * min(mean, barrier), 1e-16 * size)


@kernel
# wide: as above
def cheapest(
    constant: F, roots: F, prices: F, columns: N, allowed: B, starts: N, counts: N, member: N, option: N, turn: N,
    pool_user: N, pool_open: B, alone: F, alone_roots: F, least: F, best: N, slope: F, choice: N,
) -> None:  # fmt: skip
    """Each party's cheapest pattern and its cost, (P,), where riders' costs are closed; what all parties use together,
    (3,), and what users, and behind them groups, take, (R,)."""
    root, count, users = np.sqrt(prices), pool_user.size, alone.shape[0]
    pools, picks = np.zeros(count + 1), np.zeros(count, np.int64)
    for m in range(count):
        k, lowest = pool_user[m], np.inf
        for o in range(alone.shape[1]):
            if not pool_open[m, o]:
                continue
            value = alone[k, o]
            for i in range(3):
                r = alone_roots[i, k, o]
                value += 2.0 * root[i] * r if r <= root[i] else prices[i] + r * r
            if value < lowest:
                lowest, picks[m] = value, o
        pools[m] = lowest
    slope[:] = 0.0
    for p in range(starts.size):
        lowest, at = np.inf, starts[p]
        for e in range(starts[p], starts[p] + counts[p]):
            if not allowed[e]:
                continue
            value = constant[e]
            for i in range(3):
                r = roots[i, e]
                value += 2.0 * root[i] * r if r <= root[i] else prices[i] + r * r
            if value >= lowest:
                continue
            for j in range(columns.shape[0]):
                value += pools[columns[j, e]]
            if value < lowest:
                lowest, at = value, e
        least[p], best[p] = lowest, at
        for i in range(3):
            r = roots[i, at]
            slope[i] += (r / root[i] if r <= root[i] else 1.0) if r > 0.0 else 0.0
        for j in range(columns.shape[0]):
            k, m = member[p, j], columns[j, at]
            if k < 0:
                continue
            choice[k] = option[at, j]
            if m < count:
                choice[k] = picks[m]
                for i in range(3):
                    r = alone_roots[i, k, picks[m]]
                    slope[i] += (r / root[i] if r <= root[i] else 1.0) if r > 0.0 else 0.0
        if users + p < choice.size:
            choice[users + p] = turn[at]
