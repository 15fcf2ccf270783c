"""Compiled: best shares of given options for any rate law, branch and limit, by Newton's method in the prices.

At the best prices every priced budget is used up. With phi_i(l, mu) = min over x of l x + mu t_i(x), which is
homogeneous of degree 1, all second derivatives follow from d_i = d t_i / d mu: the slope of the share x_i in the
logarithm of the price l_j is

    (mu^2 / l_i) (d_i [i = j] - d_i d_j / sum d),

the second term only where the user's time is a given one (the objective "max", or a branch or a limit that binds), and
in that time it is - mu d_i / (l_i sum d).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, making, stay_whole
from megdt_opt.solving.compiled.kernels import CLOSE, F, I, Terms, law_of, solve_four
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM, Three, guess_of, option_at, part_at
from megdt_opt.solving.compiled.rows import fill, fill_table, put

Option = NDArray[np.int32]

SETTLED, TOO_HIGH, LOST = 0, 1, 2
"""How `settle` ends: every priced budget is used up; the prices prove the set too bad; neither."""

_STEPS, _HALVINGS = 50, 10
_NEAR, _ENOUGH = 1e-13, 1e-10
_MARGIN = 1e-10
_NOTHING = 1e-14
_ROUNDING = 1e-14
_CLIMBS = 1e-10
_BELOW, _CLEARLY = 1e-9, 1e-12
"""How far below a level it is looked for whether prices prove it, and what costs exceed these by there, relatively
[1]."""

_FIRM, _SOFT, _SOFTEST = 1e-9, 1e-2, 1.0
"""What is taken off the slopes of the logarithms, from step to step: little where Newton's steps help, more where they
do not, as where all shares are at a bound or hang on the prices' proportions alone."""


@making
def set_at(
    kind: int, terms: Terms, option: Option, level: float, price: F, guess: F, usage: F, slopes: F, drift: F, shares: F
) -> float:
    """Priced cost of given options, less the prices' sum for "sum"; HUGE where one is closed.

    `shares` (3, K) get the shares, `usage` (3,) their sums, `slopes` (3, 3) those of the sums in the logarithms of the
    prices, `drift` (3,) in the level. `guess` (K,) is kept from call to call.
    """
    stay_whole()
    fixed, up, edge, down = terms.fixed, terms.up, terms.edge, terms.down
    branches, least, gamma, brink, full = terms.branch, terms.least, terms.gamma, terms.brink, terms.full
    caps, weights, limits, curve = terms.cap, terms.weight, terms.limit, terms.curve
    fill(usage, 0.0)
    fill_table(slopes, 0.0)
    fill(drift, 0.0)
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    d, x = np.zeros(3), np.zeros(3)
    total = 0.0
    for k in range(option.shape[0]):
        j = option[k]
        law, weight, limit = law_of(caps, gamma, brink, full, k), weights[k], limits[k]
        s = Three(down[k, j], up[k, j], edge[k, j])
        low = least[k, j] if terms.has_least else 0.0
        branch, at = branches[k, j] if terms.has_branch else 0.0, level
        if kind == MAX:
            # how fast the user is with everything is looked at elsewhere, and may be what the level comes to in the end
            branch = 0.0
            if s.up == 0.0 and s.down == 0.0:
                if s.edge == 0.0:
                    shares[0, k] = shares[1, k] = shares[2, k] = 0.0
                    continue
                at = max(level, weight * (fixed[k, j] + s.edge * s.edge / law.cap) * (1.0 + _ROUNDING))
        cost, m = option_at(kind, weight, fixed[k, j], branch, limit, at, s, r, low, law, curve, guess[k], HUGE, CLOSE)
        if cost >= HUGE:
            return HUGE
        total += cost
        if kind == MAX:
            guess[k] = guess_of(m, weight, fixed[k, j], limit, at, s, r)
        x[1], _, d[1] = part_at(m, s.up, r.up, low, 1.0, law.g1, law.b1, law.f1, curve)
        x[2], _, d[2] = part_at(m, s.edge, r.edge, 0.0, law.cap, np.inf, law.cap, 1.0 / law.cap, curve)
        x[0], _, d[0] = part_at(m, s.down, r.down, 0.0, 1.0, law.g0, law.b0, law.f0, curve)
        # what a share costs, over its price; without a price it is the largest
        if price[1] > 0.0:
            x[1] /= price[1]
        elif s.up > 0.0:
            x[1] = 1.0
        if price[2] > 0.0:
            x[2] /= price[2]
        elif s.edge > 0.0:
            x[2] = law.cap
        if price[0] > 0.0:
            x[0] /= price[0]
        elif s.down > 0.0:
            x[0] = 1.0
        every = d[0] + d[1] + d[2]
        matched = every < 0.0 and not (kind == SUM and m == np.sqrt(weight))
        moves = kind == MAX and every < 0.0 and at == level and level < limit * weight
        for i in range(3):
            shares[i, k] = x[i]
            usage[i] += x[i]
            if d[i] < 0.0:
                own = 0.5 * m * m * m * d[i] / price[i]
                slopes[i, i] += own
                if matched:
                    for c in range(3):
                        slopes[i, c] -= own * d[c] / every
                if moves:
                    drift[i] -= m * m * d[i] / (price[i] * every * weight)
    return total - price[0] - price[1] - price[2] if kind == SUM else total


@inner
def wanted_resources(terms: Terms, option: Option, active: I) -> int:
    """Resources that somebody demands and that do not suffice for everybody's largest share, into `active` (3,)."""
    u0, u1, u2 = 0.0, 0.0, 0.0
    for k in range(option.shape[0]):
        j = option[k]
        u1 += 1.0 if terms.up[k, j] > 0.0 else 0.0
        u2 += terms.cap[k] if terms.edge[k, j] > 0.0 else 0.0
        u0 += 1.0 if terms.down[k, j] > 0.0 else 0.0
    count = 0
    if u0 > 1.0:
        active[count] = 0
        count += 1
    if u1 > 1.0:
        active[count] = 1
        count += 1
    if u2 > 1.0:
        active[count] = 2
        count += 1
    return count


@inner
def worst_of(kind: int, terms: Terms, option: Option) -> float:
    """Largest objective that hard deadlines leave; HUGE where a user has none."""
    result = 0.0
    for k in range(option.shape[0]):
        late = terms.weight[k] * terms.limit[k]
        if not late < HUGE:
            return HUGE
        result = result + late if kind == SUM else max(result, late)
    return result


@inner
def off_by(usage: F, price: F, worth: float, active: I, count: int) -> float:
    """How far the used budgets are from 1, in logarithms; what is left over of a budget that is worth nothing is no
    matter."""
    most = 0.0
    for c in range(count):
        i = active[c]
        if usage[i] <= 0.0:
            return np.inf
        if usage[i] > 1.0 or price[i] > _NOTHING * worth:
            most = max(most, abs(np.log(usage[i])))
    return most


# long: one Newton loop whose sums over users are taken in a single pass
@making
def settle(
    kind: int, terms: Terms, option: Option, ceiling: float, hint: float, price: F, shares: F
) -> tuple[int, float]:
    """Newton's method on the used budgets of given options: how it ends, and the value of the prices; for "max" the
    level, where they prove one just below it, else 0.

    `price` (3,) starts and ends as prices (for "max" with sum 1), `shares` (3, K) gets the shares. TOO_HIGH where the
    prices prove that the objective is above `ceiling`, or that the limits cannot be kept. `hint` is a level to begin
    with where there is no ceiling.
    """
    stay_whole()
    users = option.shape[0]
    active = np.zeros(3, np.int64)
    count = wanted_resources(terms, option, active)
    guess = np.empty(users)
    fill(guess, 1.0)
    usage, drift, slopes = np.zeros(3), np.zeros(3), np.zeros((3, 3))
    matrix, right, trial, start = np.zeros((4, 4)), np.zeros(4), np.zeros(3), price.copy()
    top = max(price[0], price[1], price[2])
    fill(price, 0.0)
    for c in range(count):
        price[active[c]] = max(start[active[c]], 1e-8 * top) if 0.0 < top < np.inf else 1.0
    worth = price[0] + price[1] + price[2]
    known = ceiling < 0.5 * HUGE
    # what the limits leave is no worse than this: prices that prove more prove that they cannot be kept
    worst = min(ceiling, worst_of(kind, terms, option) * (1.0 + _ENOUGH))
    level = 0.0
    if kind == MAX:
        level = ceiling if known else hint
        if worth > 0.0:
            price /= worth
    value = set_at(kind, terms, option, level, price, guess, usage, slopes, drift, shares)
    if kind == MAX:
        if known and value > price[0] + price[1] + price[2] + _MARGIN:
            return TOO_HIGH, value
        for _ in range(60):
            if value < HUGE or known:
                break
            level *= 2.0
            value = set_at(kind, terms, option, level, price, guess, usage, slopes, drift, shares)
    if value >= HUGE:
        fill_table(shares, 0.0)  # none are known: a limit is kept within rounding only
        return LOST, 0.0
    worth = max(value, worth) if kind == SUM else 1.0
    far = off_by(usage, price, worth, active, count)
    damping = _FIRM
    for _ in range(_STEPS):
        if kind == SUM and value >= worst * (1.0 + _NEAR):
            return TOO_HIGH, value
        if kind == MAX and level >= worst and value > (price[0] + price[1] + price[2]) * (1.0 + _MARGIN):
            price /= price[0] + price[1] + price[2]
            return TOO_HIGH, value
        if far <= _NEAR or far == np.inf:
            break
        fill_table(matrix, 0.0)
        fill(right, 0.0)
        for c in range(4):
            matrix[c, c] = 1.0
        for c in range(count):
            i = active[c]
            right[c] = -np.log(usage[i])
            for e in range(count):
                matrix[c, e] = slopes[i, active[e]] / usage[i]
            if kind == MAX:
                # prices scale freely: the first of them stands for the level
                matrix[c, 0] = drift[i] * level / usage[i]
            matrix[c, c] -= damping
        better = False
        if solve_four(matrix, right):
            length = 1.0
            for _turn in range(_HALVINGS):
                put(trial, price)
                moved = level
                for c in range(count):
                    if kind == MAX and c == 0:
                        moved = level * np.exp(min(max(length * right[0], -2.0), 2.0))
                    else:
                        trial[active[c]] *= np.exp(min(max(length * right[c], -4.0), 4.0))
                tried = set_at(kind, terms, option, moved, trial, guess, usage, slopes, drift, shares)
                if tried < HUGE:
                    if kind == SUM:
                        worth = max(tried, trial[0] + trial[1] + trial[2])
                    after = off_by(usage, trial, worth, active, count)
                    # the value of "sum" is concave in the prices: what raises it leads on
                    if after < far or (kind == SUM and tried > value + _CLIMBS * abs(value)):
                        put(price, trial)
                        level, far, value, better = moved, after, tried, True
                        break
                length *= 0.5
        if better:
            damping = max(0.1 * damping, _FIRM)
        elif damping >= _SOFTEST:
            break
        else:
            damping = max(10.0 * damping, _SOFT)
            set_at(kind, terms, option, level, price, guess, usage, slopes, drift, shares)
    value = set_at(kind, terms, option, level, price, guess, usage, slopes, drift, shares)
    if kind == MAX:
        total = price[0] + price[1] + price[2]
        # where limits alone use up a budget, costs hardly hang on the level, and prove none
        below = level * (1.0 - _BELOW)
        value = set_at(kind, terms, option, below, price, guess, usage, slopes, drift, np.empty_like(shares))
        value = level if value > total * (1.0 + _CLEARLY) else 0.0
        if total > 0.0:
            price /= total
        else:
            fill(price, 1.0 / 3.0)
    return (SETTLED if far <= _ENOUGH else LOST), value
