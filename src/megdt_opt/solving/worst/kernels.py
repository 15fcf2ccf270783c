"""Compiled: what `pricing.deviations` and `shares.deviations` say where both links are linear and only caps bind.

Resource 0 is downlink, 1 uplink, 2 edge. In s = 1 / theta^2 a deviation is linear between two corners, with a jump
where the stage has its largest share; that of the fixed time jumps from 0 to 1.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies all arrays of a tuple at every
call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.deviations import DOWN, INSIDE
from megdt_opt.problem.checks import SMALLEST
from megdt_opt.solving.compiled.jit import inner, kernel

F = NDArray[np.float64]

_TURNS = 60

_NEAR = 0.1
"""Relative: options that cost as much more than the worst case of the best one, at a level that is as much lower, keep
their deviations [1]."""

_CLOSE = 1e-4
"""To which multipliers of options are found: what their deviations are off by costs the square of it [1]."""


@inner
def _part(one: F, i: int, s: float, after: bool) -> float:
    """xi of stage i at s, after or before a jump there; `one` holds a, extra, price and largest share of 3 stages."""
    extra = one[3 + i]
    if extra <= 0.0:
        return 0.0
    last = (one[9 + i] / extra) ** 2
    if s > last or (after and s == last):
        return 1.0
    return float(min(max(one[6 + i] * extra * s - one[i] / extra, 0.0), 1.0))


@inner
def _all(one: F, own_s: float, s: float, after: bool, to: F) -> float:
    """xi at s into `to`, and its sum."""
    alone = 1.0 / (own_s * own_s) if own_s > 0.0 else np.inf
    to[0] = 1.0 if s > alone or (after and s == alone) else 0.0
    total = to[0]
    for i in range(3):
        to[1 + i] = _part(one, i, s, after)
        total += to[1 + i]
    return float(total)


@inner
def _fill(one: F, own_s: float, budget: float, to: F, other: F, corner: F) -> None:
    """The worst xi of one option into `to`; `other` (4,) and `corner` (7,) are room."""
    count = 0
    for i in range(3):
        extra, price = one[3 + i], one[6 + i]
        if extra <= 0.0:
            continue
        last = (one[9 + i] / extra) ** 2
        if price > 0.0:
            corner[count] = one[i] / (extra * extra * price)
            corner[count + 1] = min((one[i] / extra + 1.0) / (extra * price), last)
            count += 2
        else:
            corner[count] = last
            count += 1
    if own_s > 0.0:
        corner[count] = 1.0 / (own_s * own_s)
        count += 1
    for i in range(1, count):
        place, value = i, corner[i]
        while place > 0 and corner[place - 1] > value:
            corner[place] = corner[place - 1]
            place -= 1
        corner[place] = value
    before_s, before = 0.0, 0.0
    for c in range(count):
        s = corner[c]
        left = _all(one, own_s, s, False, to)
        if left >= budget:
            part = (budget - before) / (left - before) if left > before else 0.0
            _all(one, own_s, before_s, True, other)
            for i in range(4):
                to[i] = other[i] + part * (to[i] - other[i])
            return
        right = _all(one, own_s, s, True, other)
        if right >= budget:
            part = (budget - left) / (right - left)
            for i in range(4):
                to[i] += part * (other[i] - to[i])
            return
        before_s, before = s, right
    to[0] = 1.0 if own_s > 0.0 else 0.0
    for i in range(3):
        to[1 + i] = 1.0 if one[3 + i] > 0.0 else 0.0


@inner
def _multiplier(one: F, xi: F, prices: F, tau: float) -> float:
    """mu at which the stages of one option take tau at xi; infinite where they take longer whatever the shares are."""
    held = 0
    for _ in range(4):
        root, left, more = 0.0, tau, held
        for i in range(3):
            asked = one[i] + xi[1 + i] * one[3 + i]
            if held & (1 << i):
                left -= asked / one[9 + i]
            else:
                root += np.sqrt(prices[i] * asked)
        if left <= 0.0:
            return np.inf
        mu = (root / left) ** 2
        for i in range(3):
            asked = one[i] + xi[1 + i] * one[3 + i]
            if asked > 0.0 and mu * asked > prices[i] * one[9 + i] * one[9 + i]:
                more |= 1 << i
        if more == held:
            return mu
        held = more
    return mu


@inner
def _cost(one: F, xi: F, fixed: float, own_s: float, weight: float, prices: F, level: float) -> float:
    """What one option costs at some xi, of "sum" at level 0: its worst case costs no less."""
    mu, total = weight, 0.0
    if level > 0.0:
        tau = level / weight - fixed - xi[0] * own_s
        if tau <= 0.0:
            return np.inf
        mu = _multiplier(one, xi, prices, tau)
        if mu == np.inf:
            return np.inf
    else:
        total = weight * (fixed + xi[0] * own_s)
    for i in range(3):
        asked = one[i] + xi[1 + i] * one[3 + i]
        if asked > 0.0:
            share = one[9 + i]
            if mu * asked < prices[i] * share * share:
                share = np.sqrt(mu * asked / prices[i])
            total += prices[i] * share
            if level <= 0.0:
                total += weight * asked / share
    return total


@inner
def _worst_of(
    one: F, fixed: float, own_s: float, weight: float, prices: F, budget: float, level: float, to: F, room: F
) -> None:
    """The worst xi of one option at prices into `to` (4,); `room` (12,)."""
    other, corner = room[:4], room[4:]
    mu = weight
    tau = level / weight - fixed
    if level > 0.0:
        for part in (0.5, 0.001):  # less where more cannot be in time
            to[0], to[1], to[2], to[3] = 0.0, part, part, part
            mu = _multiplier(one, to, prices, tau) if tau > 0.0 else np.inf
            if mu < np.inf:
                break
    if not 0.0 < mu < np.inf:  # where no share shortens anything
        to[0], to[1], to[2], to[3] = min(1.0, budget) if own_s > 0.0 else 0.0, 0.0, 0.0, 0.0
        return
    for _ in range(_TURNS if level > 0.0 else 1):
        for i in range(3):
            one[6 + i] = prices[i] / mu
        _fill(one, own_s, budget, to, other, corner)
        if level > 0.0:
            before = mu
            mu = _multiplier(one, to, prices, tau - to[0] * own_s)
            if abs(mu - before) <= _CLOSE * mu or not 0.0 < mu < np.inf:
                break


@inner
def _even(one: F, own_s: float, budget: float, xi: F) -> None:
    """Deviations that are shared evenly by what deviates."""
    count = 1.0 if own_s > 0.0 else 0.0
    for i in range(3):
        count += 1.0 if one[3 + i] > 0.0 else 0.0
    part = min(budget / max(count, 1.0), 1.0)
    xi[0] = part if own_s > 0.0 else 0.0
    for i in range(3):
        xi[1 + i] = part if one[3 + i] > 0.0 else 0.0


@inner
def _at(number: float, extra: float, xi: float) -> float:
    """A number at a deviation, rounded down; without those that are too small for a problem."""
    found = number + xi * INSIDE * extra
    return 0.0 if found < 2.0 * SMALLEST else DOWN * found


@kernel
def core_at(
    fixed: F, down: F, up: F, work: F, own: F, more: F, per: F, hi: F, weight: F, prices: F, budget: float,
    level: float, first: bool, xi: F, core: F,
) -> None:  # fmt: skip
    """The worst deviations xi (K, O, 4) at prices, of "sum" at level 0, and the numbers there, `core` (4, K, O).

    Only those of options that may be chosen at such prices change; at `first`, all are shared evenly. Tables are in the
    problem's units, `per` (3, K) are the seconds that a unit takes on the whole budget.
    """
    users, options = fixed.shape
    terms, low, room = np.empty((options, 12)), np.empty(options), np.empty(12)
    for k in range(users):
        best = 0
        for o in range(options):
            one = terms[o]
            one[0], one[1], one[2] = down[k, o] * per[0, k], up[k, o] * per[1, k], work[k, o] * per[2, k]
            for i in range(3):
                one[3 + i], one[9 + i] = more[i, k, o] * per[i, k], hi[i, k]
            if first:
                _even(one, own[k, o], budget, xi[k, o])
            else:
                low[o] = _cost(one, xi[k, o], fixed[k, o], own[k, o], weight[k], prices, level)
                best = o if low[o] < low[best] else best
        if not first:
            to = xi[k, best]
            _worst_of(terms[best], fixed[k, best], own[k, best], weight[k], prices, budget, level, to, room)
            # at a lower level too: there what has just been in time is not
            lower = level * (1.0 - _NEAR)
            most = _cost(terms[best], to, fixed[k, best], own[k, best], weight[k], prices, lower) * (1.0 + _NEAR)
            for o in range(options):
                if o != best and low[o] <= most:
                    to = xi[k, o]
                    _worst_of(terms[o], fixed[k, o], own[k, o], weight[k], prices, budget, level, to, room)
        for o in range(options):
            core[0, k, o] = _at(fixed[k, o], own[k, o], xi[k, o, 0])
            core[1, k, o] = _at(down[k, o], more[0, k, o], xi[k, o, 1])
            core[2, k, o] = _at(up[k, o], more[1, k, o], xi[k, o, 2])
            core[3, k, o] = _at(work[k, o], more[2, k, o], xi[k, o, 3])


@inner
def _raised(
    one: F, low: float, fixed: float, own_s: float, weight: float, prices: F, budget: float, level: float, to: F,
    room: F,
) -> float:  # fmt: skip
    """What one option costs in its worst case, where `low` is known to be no more."""
    _worst_of(one, fixed, own_s, weight, prices, budget, level, to, room)
    return max(low, _cost(one, to, fixed, own_s, weight, prices, level))


@kernel
def part_value(
    fixed: F, down: F, up: F, work: F, own: F, more: F, per: F, hi: F, weight: F, prices: F, budget: float,
    level: float, mask: NDArray[np.bool_], removed: NDArray[np.bool_], xi: F,
) -> float:  # fmt: skip
    """Sum of what users pay at least among the options in `mask`, in the worst case at prices, of "sum" at level 0;
    where some user takes one of those that are `removed` ((0, 0) for none). `xi` (K, O, 4) is where to begin."""
    users, options = fixed.shape
    terms, low, room, to = np.empty((options, 12)), np.empty(options), np.empty(12), np.empty(4)
    total, rise = 0.0, np.inf
    for k in range(users):
        best = -1
        for o in range(options):
            if not mask[k, o]:
                continue
            one = terms[o]
            one[0], one[1], one[2] = down[k, o] * per[0, k], up[k, o] * per[1, k], work[k, o] * per[2, k]
            for i in range(3):
                one[3 + i], one[9 + i] = more[i, k, o] * per[i, k], hi[i, k]
            low[o] = _cost(one, xi[k, o], fixed[k, o], own[k, o], weight[k], prices, level)
            best = o if best < 0 or low[o] < low[best] else best
        if best < 0:
            return np.inf
        least = np.inf
        for o in range(-1, options):  # the best one first, so that few others are left
            at = best if o < 0 else o
            if (o < 0 or mask[k, at]) and low[at] < least:
                low[at] = _raised(
                    terms[at], low[at], fixed[k, at], own[k, at], weight[k], prices, budget, level, to, room
                )
                least = min(least, low[at])
        total += least
        for o in range(options if removed.size else 0):
            if mask[k, o] and removed[k, o] and low[o] - least < rise:
                low[o] = _raised(terms[o], low[o], fixed[k, o], own[k, o], weight[k], prices, budget, level, to, room)
                rise = min(rise, low[o] - least)
    return total + rise if removed.size else total


@inner
def _worst_s(own_s: float, a: F, extra: F, x: F, k: int, budget: float, times: F) -> float:
    """Time of the stages in the worst case; `times` (4,) is room."""
    total, times[0] = 0.0, own_s
    for i in range(3):
        times[1 + i] = 0.0
        if a[i, k] + extra[i, k] > 0.0:
            if x[i, k] <= 0.0:
                return np.inf
            total += a[i, k] / x[i, k]
            times[1 + i] = extra[i, k] / x[i, k]
    left = budget
    for _ in range(4):
        largest = 0
        for i in range(1, 4):
            if times[i] > times[largest]:
                largest = i
        total += min(left, 1.0) * times[largest]
        times[largest] = -1.0
        left -= min(left, 1.0)
        if left <= 0.0:
            break
    return total


@inner
def _respond(a: F, extra: F, own: F, hi: F, x: F, budget: float, xi: F, room: F) -> None:
    """The worst xi (4, K) by shares that are best for the present one; `room` (32,)."""
    one, to, other, corner = room[:12], room[12:16], room[16:20], room[20:28]
    for k in range(a.shape[1]):
        for i in range(3):
            one[i], one[3 + i], one[9 + i] = a[i, k], extra[i, k], hi[i, k]
            asked = a[i, k] + xi[1 + i, k] * extra[i, k]
            one[6 + i] = asked / (x[i, k] * x[i, k]) if x[i, k] > 0.0 else 0.0
        _fill(one, own[k], budget, to, other, corner)
        for i in range(4):
            xi[i, k] = to[i]


@inner
def _by_roots(a: F, extra: F, hi: F, weight: F, xi: F, x: F, prices: F) -> None:
    """Shares of the least sum at xi: the square-root rule, with those who have their caps held there."""
    users = a.shape[1]
    for i in range(3):
        for k in range(users):
            x[i, k] = 0.0
        root, left = 0.0, 1.0
        for _ in range(users + 1):
            root, left = 0.0, 1.0
            for k in range(users):
                if x[i, k] > 0.0:
                    left -= hi[i, k]
                else:
                    root += np.sqrt(weight[k] * (a[i, k] + xi[1 + i, k] * extra[i, k]))
            held = False
            for k in range(users):
                if x[i, k] == 0.0:
                    own = np.sqrt(weight[k] * (a[i, k] + xi[1 + i, k] * extra[i, k]))
                    if own > 0.0 and own * left > hi[i, k] * root:
                        x[i, k] = hi[i, k]
                        held = True
            if not held:
                break
        for k in range(users):
            if x[i, k] == 0.0 and root > 0.0:
                x[i, k] = np.sqrt(weight[k] * (a[i, k] + xi[1 + i, k] * extra[i, k])) * left / root
        prices[i] = (root / left) ** 2 if left > 0.0 else 0.0


@kernel
def settle_sum(
    fixed: F, a: F, extra: F, own: F, hi: F, weight: F, budget: float, close: float, xi: F, x: F, prices: F
) -> float:
    """Best shares x (3, K) for "sum" in the worst case; how far they are from the bound, relatively."""
    room, apart = np.empty(32), np.inf
    for _ in range(_TURNS):
        _by_roots(a, extra, hi, weight, xi, x, prices)
        worst, bound = 0.0, 0.0
        for k in range(a.shape[1]):
            worst += weight[k] * (fixed[k] + _worst_s(own[k], a, extra, x, k, budget, room))
            bound += weight[k] * (fixed[k] + xi[0, k] * own[k])
            for i in range(3):
                if x[i, k] > 0.0:
                    bound += weight[k] * (a[i, k] + xi[1 + i, k] * extra[i, k]) / x[i, k]
        apart = (worst - bound) / worst if worst > 0.0 else 0.0
        if apart <= close:
            break
        _respond(a, extra, own, hi, x, budget, xi, room)
    return apart


@kernel
def settle_max(
    fixed: F, a: F, extra: F, own: F, hi: F, weight: F, budget: float, close: float, xi: F, x: F, prices: F
) -> float:
    """Best shares x (3, K) for "max" in the worst case, where no cap binds; how far they are from the bound."""
    users = a.shape[1]
    room, apart, level = np.empty(32), np.inf, 0.0
    m, r, image, s = np.empty((3, 3)), np.ones(3), np.empty(3), np.empty((users, 3))
    for _ in range(_TURNS):
        least = 0.0
        for k in range(users):
            alone = fixed[k] + xi[0, k] * own[k]
            for i in range(3):
                asked = a[i, k] + xi[1 + i, k] * extra[i, k]
                s[k, i] = np.sqrt(asked)
                alone += asked
            least = max(least, weight[k] * alone)
        level = least
        for _ in range(100):
            m[:] = 0.0
            for k in range(users):
                tau = level / weight[k] - fixed[k] - xi[0, k] * own[k]
                if tau <= 0.0:
                    if s[k, 0] + s[k, 1] + s[k, 2] > 0.0:
                        return np.inf
                    continue
                for i in range(3):
                    for j in range(3):
                        m[i, j] += s[k, i] * s[k, j] / tau
            top = 0.0
            for _ in range(1000):
                change, length = 0.0, 0.0
                for i in range(3):
                    image[i] = m[i, 0] * r[0] + m[i, 1] * r[1] + m[i, 2] * r[2]
                    length += image[i] * image[i]
                length = np.sqrt(length)
                if not length > 0.0:
                    return np.inf
                for i in range(3):
                    change = max(change, abs(image[i] / length - r[i]))
                    r[i] = image[i] / length
                top = length
                if change <= 4e-16:
                    break
            slope = 0.0
            for k in range(users):
                tau = level / weight[k] - fixed[k] - xi[0, k] * own[k]
                if tau > 0.0:
                    y = 0.0
                    for i in range(3):
                        y += r[i] * s[k, i]
                    slope += (y / tau) ** 2 / weight[k]
            step = (top * top - top) / slope if slope > 0.0 else 0.0
            # concave from below: a step back is rounding
            if step <= 1e-16 * level:
                break
            level += step
        worst = 0.0
        for k in range(users):
            tau = level / weight[k] - fixed[k] - xi[0, k] * own[k]
            y = 0.0
            for i in range(3):
                y += r[i] * s[k, i]
            for i in range(3):
                x[i, k] = s[k, i] * y / (tau * r[i]) if s[k, i] > 0.0 and r[i] > 0.0 else 0.0
                if x[i, k] > hi[i, k]:
                    return np.inf
            worst = max(worst, weight[k] * (fixed[k] + _worst_s(own[k], a, extra, x, k, budget, room)))
        apart = (worst - level) / worst if worst > 0.0 else 0.0
        if apart <= close:
            break
        _respond(a, extra, own, hi, x, budget, xi, room)
    for i in range(3):
        prices[i] = r[i] * r[i]
    return apart
