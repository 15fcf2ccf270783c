"""Compiled: best prices of a part of the problem, and best shares of given options.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies all arrays of a tuple at every
call, and each part of a loop is compiled on its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, making, stay_whole
from megdt_opt.solving.compiled.kernels import F, I, Terms, master, value_at
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.plain import max_shares, root_of, sum_shares, value_of_set
from megdt_opt.solving.compiled.rows import fill, fill_table, put, total_of
from megdt_opt.solving.compiled.settling import TOO_HIGH, settle, worst_of
from megdt_opt.tolerances import LIMIT_SLACK

PROVEN, SHORT, STALLED, SPENT = 0, 1, 2, 3
"""How `raise_bound` ends: the goal is reached; no prices reach it; no more progress; no passes left."""

MOST_CUTS = 96
MARGIN = 1e-10
"""What the priced cost of "max" exceeds the budgets by where it proves a level: far above rounding."""

CLOSED = 1e-10
"""How near to its bound an objective must be to count as the least, relatively."""


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
        slopes=np.empty((MOST_CUTS, 3)),
        offsets=np.empty(MOST_CUTS),
        prices=np.empty((MOST_CUTS, 3)),
        levels=np.empty(MOST_CUTS),
        chosen=np.empty((MOST_CUTS, users), np.int32),
        basis=np.zeros(4, np.int64),
        share=np.zeros(4),
    )


@inner
def ask_master(kind: int, cuts: Cuts, count: int, box: float, y: F) -> bool:
    """Run the master; where it fails, once more from a new basis."""
    if count == 1:
        fill(cuts.basis, -99)
    if master(kind, cuts.slopes, cuts.offsets, count, box, cuts.basis, y, cuts.share):
        return True
    fill(cuts.basis, -99)
    if master(kind, cuts.slopes, cuts.offsets, count, box, cuts.basis, y, cuts.share):
        return True
    fill(cuts.basis, -99)
    return False


@making
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
    precision: float,
    known: int,
) -> tuple[float, int, int]:
    """Look for prices whose value reaches the goal: cutting planes, tried between the best and the master's prices.

    Returns the best value, how it ended (PROVEN, ...) and the passes made. `best_price` (3,) gets the best prices. The
    first `known` planes and their basis hold from before, as where options have only been added since.
    """
    stay_whole()
    slopes, offsets = cuts.slopes, cuts.offsets
    usage, y, price = np.zeros(3), np.zeros(4), start.copy()
    best = -HUGE
    put(best_price, start)
    if known == 0:
        fill(cuts.basis, -99)
    turns = min(int(passes), MOST_CUTS - known)
    pull = 0.5
    for n in range(known, known + turns):
        value, _ = value_at(kind, terms, begin, end, level, price, usage, cuts.chosen[n])
        if value > best:
            best = value
            put(best_price, price)
        else:
            pull = 1.0 - pull if pull != 1.0 else 0.5
        if best >= goal:
            return best, PROVEN, n + 1 - known
        for i in range(3):
            slopes[n, i] = usage[i] - (1.0 if kind == SUM else 0.0)
        offsets[n] = 0.0
        if kind == SUM:
            offsets[n] = value - slopes[n, 0] * price[0] - slopes[n, 1] * price[1] - slopes[n, 2] * price[2]
        put(cuts.prices[n], price)
        cuts.levels[n] = level
        if not ask_master(kind, cuts, n + 1, box, y):
            return best, STALLED, n + 1 - known
        if goal < HUGE and y[0] < goal:
            return best, SHORT, n + 1 - known
        if y[0] - best <= precision * max(abs(y[0]), abs(best)):
            return best, STALLED, n + 1 - known
        for i in range(3):
            price[i] = max(pull * max(y[i + 1], 0.0) + (1.0 - pull) * best_price[i], 0.0)
    return best, SPENT, turns


@inner
def objective_of(kind: int, terms: Terms, option: NDArray[np.int32], shares: F) -> float:
    """Objective of chosen options on shares (3, K), which are first brought within the budgets and then fill them."""
    stay_whole()
    users = option.shape[0]
    for i in range(3):
        total = 0.0
        for k in range(users):
            total += shares[i, k]
        if total > 1.0 or (total > 0.0 and i != 2):
            for k in range(users):
                shares[i, k] /= total
    total = total_of(shares[2])
    if 0.0 < total < 1.0:
        for k in range(users):
            shares[2, k] = min(shares[2, k] / total, terms.cap[k])
    result = 0.0
    for k in range(users):
        j = option[k]
        branch = terms.branch[k, j] if terms.has_branch else 0.0
        low = terms.least[k, j] if terms.has_least else 0.0
        t = 0.0
        for i in range(3):
            root = root_of(terms, i, k, j)
            if root > 0.0:
                x = shares[i, k]
                if x <= 0.0:
                    return HUGE
                gamma = np.inf if i == 2 else terms.gamma[k, i]
                t += root * root / x if np.isinf(gamma) else root * root / (x * np.log1p(gamma / x))
        if terms.up[k, j] > 0.0 and shares[1, k] < low * (1.0 - LIMIT_SLACK):
            return HUGE
        latency = terms.fixed[k, j] + max(branch, t)
        if latency > terms.limit[k] * (1.0 + LIMIT_SLACK):
            return HUGE
        cost = terms.weight[k] * latency
        result = result + cost if kind == SUM else max(result, cost)
    return result


@inner
def alone_of(kind: int, terms: Terms, option: NDArray[np.int32]) -> float:
    """Objective of chosen options where every user has all: no shares do better. HUGE where that breaks a limit."""
    result = 0.0
    for k in range(option.shape[0]):
        j = option[k]
        branch = terms.branch[k, j] if terms.has_branch else 0.0
        t = terms.up[k, j] ** 2 * terms.full[k, 1] + terms.down[k, j] ** 2 * terms.full[k, 0]
        t += terms.edge[k, j] ** 2 / terms.cap[k]
        latency = terms.fixed[k, j] + max(branch, t)
        if latency > terms.limit[k] * (1.0 + LIMIT_SLACK):
            return HUGE
        cost = terms.weight[k] * latency
        result = result + cost if kind == SUM else max(result, cost)
    return result


@making
def best_of_set(
    kind: int, terms: Terms, option: NDArray[np.int32], ceiling: float, price: F, shares: F
) -> tuple[float, bool]:
    """Least objective of chosen options, and whether it is known; `price` (3,) starts and ends as prices, `shares`
    (3, K) gets the shares.

    HUGE where the options cannot keep the limits, or where the objective is proven to be above `ceiling`. It is not
    known where Newton's method does not settle, as at prices at which shares jump.
    """
    stay_whole()
    users = option.shape[0]
    if kind == SUM and terms.plain:
        return sum_shares(terms, option, price, shares), True
    alone = alone_of(kind, terms, option)
    if alone >= HUGE or (kind == MAX and alone >= ceiling):
        return HUGE, True
    demand = 0.0
    for k in range(users):
        demand += terms.down[k, option[k]] + terms.up[k, option[k]] + terms.edge[k, option[k]]
    if demand == 0.0:
        fill_table(shares, 0.0)
        return alone, True
    if kind == MAX:
        total = price[0] + price[1] + price[2]
        if 0.0 < total < np.inf:
            price /= total
        else:
            fill(price, 1.0 / 3.0)
    hint = ceiling if ceiling < HUGE / 2 else 2.0 * users * alone
    worst = worst_of(kind, terms, option)
    if ceiling >= HUGE / 2 and worst < hint:
        # where deadlines decide for everybody, the level says nothing
        hint = np.sqrt(worst * alone)
    hint = max(hint, alone * (1.0 + 1e-9))
    found = price.copy()
    if terms.plain:
        if ceiling < HUGE / 2 and value_of_set(terms, option, ceiling, price) > MARGIN:
            return HUGE, True
        if max_shares(terms, option, hint, found, shares):
            put(price, found)
            return objective_of(kind, terms, option, shares), True
        return HUGE, False
    how, value = settle(kind, terms, option, ceiling, hint, found, shares)
    put(price, found)
    if how == TOO_HIGH:
        return HUGE, True
    result = objective_of(kind, terms, option, shares)
    return result, result <= max(alone, value) * (1.0 + CLOSED)
