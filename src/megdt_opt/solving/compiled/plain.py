"""Compiled: best shares of given options where only budgets and share caps bind, in closed form or by Newton's method.

Linear rates, sequential options, no deadlines, no airtime limits (`Terms.plain`). With p = sqrt(w a) the least sum of
w a / x over x within a budget of 1 is (sum p)^2, at x proportional to p (Cauchy-Schwarz); users whose share would pass
their cap get the cap, and the others share the rest. For "max" a level D is reached by the prices l at which every
budget is used up: x_i = sqrt(a_i / l_i) S / tau with S = sum_i sqrt(l_i a_i) and tau = D / w - fixed, so that Newton's
method in the logarithms of prices and level has its derivatives at hand.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, making, stay_whole
from megdt_opt.solving.compiled.kernels import F, I, Terms, solve_four
from megdt_opt.solving.compiled.rows import fill, fill_table, put

Option = NDArray[np.int32]

_STEPS = 40
_CLOSE = 1e-13


@inner
def root_of(terms: Terms, i: int, k: int, j: int) -> float:
    """Square root of the seconds that an option takes of a whole budget."""
    if i == 0:
        return terms.down[k, j]
    return terms.up[k, j] if i == 1 else terms.edge[k, j]


@inner
def caps_of(terms: Terms, option: Option) -> float:
    """Sum of the share caps of the users that demand the edge."""
    total = 0.0
    for k in range(option.shape[0]):
        if terms.edge[k, option[k]] > 0.0:
            total += terms.cap[k]
    return total


@inner
def sum_shares(terms: Terms, option: Option, price: F, shares: F) -> float:
    """Least sum of the weighted latencies of given options, with its prices (3,) and shares (3, K)."""
    stay_whole()
    users = option.shape[0]
    total = 0.0
    for k in range(users):
        total += terms.weight[k] * terms.fixed[k, option[k]]
    for i in range(3):
        roots = 0.0
        for k in range(users):
            p = np.sqrt(terms.weight[k]) * root_of(terms, i, k, option[k])
            shares[i, k] = p
            roots += p
        price[i] = 0.0
        if roots <= 0.0:
            continue
        if i == 2 and caps_of(terms, option) <= 1.0:
            # enough for everybody
            for k in range(users):
                if shares[2, k] > 0.0:
                    total += shares[2, k] * shares[2, k] / terms.cap[k]
                    shares[2, k] = terms.cap[k]
            continue
        pace = roots
        if i == 2:
            # the pace falls from turn to turn, so that a user at its cap stays there
            taken = 0.0
            for _ in range(users + 1):
                before, taken, rest = taken, 0.0, 0.0
                for k in range(users):
                    if shares[2, k] > terms.cap[k] * pace:
                        taken += terms.cap[k]
                    else:
                        rest += shares[2, k]
                if taken == before or taken >= 1.0:
                    break
                pace = rest / (1.0 - taken)
        price[i] = pace * pace
        for k in range(users):
            p = shares[i, k]
            if p > 0.0:
                shares[i, k] = min(p / pace, terms.cap[k]) if i == 2 else p / pace
                total += p * p / shares[i, k]
    return total


@making
def usage_at(
    terms: Terms, option: Option, level: float, root: F, group: I, ample: bool, usage: F, slopes: F, drift: F,
    shares: F,
) -> bool:  # fmt: skip
    """Shares that reach a level at prices root^2, their sums, and the sums' slopes; False where none reach it.

    `slopes` (3, 3) are those of the sums in the logarithms of the prices, `drift` (3,) in the level. A user that
    demands nothing but the edge, at its cap, counts as in time: its least latency is looked at elsewhere. Users that
    demand nothing of the resources in the `group` (3,) are left alone.
    """
    stay_whole()
    fill(usage, 0.0)
    fill_table(slopes, 0.0)
    fill(drift, 0.0)
    s = np.zeros(3)
    for k in range(option.shape[0]):
        j = option[k]
        s[0], s[1], s[2] = terms.down[k, j], terms.up[k, j], terms.edge[k, j]
        if not ((s[0] > 0.0 and group[0]) or (s[1] > 0.0 and group[1]) or (s[2] > 0.0 and group[2])):
            continue
        shares[0, k] = shares[1, k] = shares[2, k] = 0.0
        tau = level / terms.weight[k] - terms.fixed[k, j]
        if tau <= 0.0:
            return False
        paid = root[0] * s[0] + root[1] * s[1] + root[2] * s[2]
        if s[2] > 0.0 and (ample or s[2] * paid > terms.cap[k] * root[2] * tau):
            usage[2] += terms.cap[k]
            shares[2, k] = terms.cap[k]
            if s[0] == 0.0 and s[1] == 0.0:
                continue
            tau -= s[2] * s[2] / terms.cap[k]
            if tau <= 0.0:
                return False
            s[2] = 0.0
            paid = root[0] * s[0] + root[1] * s[1]
        pace = paid / tau
        for i in range(3):
            if s[i] > 0.0:
                x = s[i] * pace / root[i]
                shares[i, k] = x
                usage[i] += x
                drift[i] -= x / (tau * terms.weight[k])
                slopes[i, i] -= 0.5 * x
                part = 0.5 * s[i] / (root[i] * tau)
                for c in range(3):
                    slopes[i, c] += part * root[c] * s[c]
    return True


@inner
def distance(usage: F, active: NDArray[np.int64], count: int) -> float:
    """How far the used budgets are from 1, in logarithms."""
    most = 0.0
    for c in range(count):
        most = max(most, abs(np.log(usage[active[c]])))
    return most


@inner
def value_of_set(terms: Terms, option: Option, level: float, price: F) -> float:
    """Priced cost of given options at a level of "max", less the prices' sum: above 0 it proves the level too low."""
    r0, r1, r2 = np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2])
    total = 0.0
    for k in range(option.shape[0]):
        j = option[k]
        s0, s1, s2 = terms.down[k, j], terms.up[k, j], terms.edge[k, j]
        tau = level / terms.weight[k] - terms.fixed[k, j]
        paid = r0 * s0 + r1 * s1 + r2 * s2
        if s0 == 0.0 and s1 == 0.0 and s2 == 0.0:
            if tau < 0.0:
                return np.inf
            continue
        if tau <= 0.0:
            return np.inf
        if s2 * paid > terms.cap[k] * r2 * tau or (s2 > 0.0 and r2 == 0.0):
            tau -= s2 * s2 / terms.cap[k]
            paid = r0 * s0 + r1 * s1
            total += r2 * r2 * terms.cap[k]
            if tau <= 0.0:
                if tau < 0.0 or paid > 0.0:
                    return np.inf
                continue
        total += paid * paid / tau
    return total - price[0] - price[1] - price[2]


@making
def max_shares(terms: Terms, option: Option, start: float, price: F, shares: F) -> bool:
    """Shares (3, K) at which the largest weighted latency of given options is least, and prices (3,) that sum to 1.

    `start` is a level to begin with, and `price` prices. False where Newton's method does not settle. Resources that
    no user joins are separate problems, of which the slowest alone is worth anything.
    """
    ample = caps_of(terms, option) <= 1.0
    label, needed = np.zeros(3, np.int64), np.zeros(3, np.bool_)
    label[1], label[2] = 1, 2
    for k in range(option.shape[0]):
        first = -1
        for i in range(3):
            shares[i, k] = 0.0
            if root_of(terms, i, k, option[k]) <= 0.0:
                continue
            if i == 2 and ample:
                shares[2, k] = terms.cap[k]
                continue
            needed[i] = True
            if first >= 0 and label[i] != label[first]:
                old = label[i]
                for c in range(3):
                    if label[c] == old:
                        label[c] = label[first]
            first = i
    guess, slowest = price.copy(), 0.0
    fill(price, 1.0 / 3.0)
    group, root = np.zeros(3, np.int64), np.zeros(3)
    for one in range(3):
        count = 0
        for i in range(3):
            group[i] = 1 if needed[i] and label[i] == one else 0
            count += group[i]
        if count == 0:
            continue
        level = level_of(terms, option, start, group, ample, guess, root, shares)
        if level <= 0.0:
            return False
        if level > slowest:
            slowest = level
            total = root[0] * root[0] + root[1] * root[1] + root[2] * root[2]
            for i in range(3):
                price[i] = root[i] * root[i] / total
    return True


@making
def level_of(terms: Terms, option: Option, start: float, group: I, ample: bool, price: F, root: F, shares: F) -> float:
    """Least largest weighted latency of the users of a `group` of resources, its roots of prices, and the shares.

    0 where Newton's method does not settle.
    """
    stay_whole()
    active = np.zeros(3, np.int64)
    count = 0
    top = max(price[0], price[1], price[2])
    for i in range(3):
        root[i] = 0.0
        if group[i]:
            active[count] = i
            count += 1
            root[i] = np.sqrt(max(price[i], 1e-8 * top)) if 0.0 < top < np.inf else 1.0
    usage, drift, slopes = np.zeros(3), np.zeros(3), np.zeros((3, 3))
    matrix, right, trial = np.zeros((4, 4)), np.zeros(4), np.zeros(3)
    level = start
    valid = usage_at(terms, option, level, root, group, ample, usage, slopes, drift, shares)
    for _ in range(60):
        if valid:
            break
        level *= 2.0
        valid = usage_at(terms, option, level, root, group, ample, usage, slopes, drift, shares)
    if not valid:
        return 0.0
    far = distance(usage, active, count)
    for _ in range(_STEPS):
        if far <= _CLOSE:
            break
        fill_table(matrix, 0.0)
        fill(right, 0.0)
        for r in range(4):
            matrix[r, r] = 1.0
        # prices scale freely: the first of them stands for the level
        for r in range(count):
            i = active[r]
            right[r] = -np.log(usage[i])
            matrix[r, 0] = drift[i] * level / usage[i]
            for c in range(1, count):
                matrix[r, c] = slopes[i, active[c]] / usage[i]
        if not solve_four(matrix, right):
            return 0.0
        length, better = 1.0, False
        for _turn in range(30):
            put(trial, root)
            moved = level * np.exp(min(max(length * right[0], -2.0), 2.0))
            for c in range(1, count):
                trial[active[c]] *= np.exp(0.5 * min(max(length * right[c], -4.0), 4.0))
            if usage_at(terms, option, moved, trial, group, ample, usage, slopes, drift, shares):
                after = distance(usage, active, count)
                if after < far:
                    put(root, trial)
                    level, far, better = moved, after, True
                    break
            length *= 0.5
        if not better:
            break
    # the sums' own rounding grows with the users
    if not far <= 1e-10:
        return 0.0
    # a user without a demand, or at its cap, may be the last: the level is then its own, and nobody needs more
    if not usage_at(terms, option, level, root, group, ample, usage, slopes, drift, shares):
        return 0.0
    return level
