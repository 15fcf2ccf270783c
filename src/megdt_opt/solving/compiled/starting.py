"""Compiled: which options are worth a look, and good option sets to begin with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import Cuts, best_of_set
from megdt_opt.solving.compiled.jit import inner, kernel, stay_whole
from megdt_opt.solving.compiled.kernels import HUGE, MAX, SUM, F, I, Terms, cost_at, load, one_resource, plain_cost

Option = NDArray[np.int32]


@kernel
def gather(
    fixed: F,
    branch: F,
    up: F,
    edge: F,
    down: F,
    least: F,
    allowed: NDArray[np.bool_],
    scale: F,
    gamma: F,
    has_branch: bool,
    has_least: bool,
    thin: bool,
    out_fixed: F,
    out_branch: F,
    out_up: F,
    out_edge: F,
    out_down: F,
    out_least: F,
    ids: Option,
    head: Option,
    end: I,
) -> None:
    """Copy the options that are open and, if `thin`, not dominated, the fastest alone first.

    An option dominates another that is at least as large in every term. `ids` gets the options' numbers, `head` (K, O)
    the dominating option of each (itself where there is none, -1 where it is closed), `end` (K,) how many are left.
    """
    users, options = fixed.shape
    for k in range(users):
        count = 0
        order = np.argsort(fixed[k]) if thin else np.arange(options)
        for place in range(options):
            o = order[place]
            head[k, o] = -1
            if not allowed[k, o]:
                continue
            closed = False
            if up[k, o] > 0.0 and not (np.isfinite(scale[k, 0]) and gamma[k, 0] > 0.0):
                closed = True
            if edge[k, o] > 0.0 and not np.isfinite(scale[k, 1]):
                closed = True
            if down[k, o] > 0.0 and not (np.isfinite(scale[k, 2]) and gamma[k, 1] > 0.0):
                closed = True
            if has_least and least[k, o] > 1.0:
                closed = True
            if closed:
                continue
            mine = branch[k, o] if has_branch else 0.0
            low = least[k, o] if has_least else 0.0
            head[k, o] = o
            for j in range(count if thin else 0):
                if (
                    out_fixed[k, j] <= fixed[k, o]
                    and up[k, ids[k, j]] <= up[k, o]
                    and edge[k, ids[k, j]] <= edge[k, o]
                    and down[k, ids[k, j]] <= down[k, o]
                    and (not has_branch or out_branch[k, j] <= mine)
                    and (not has_least or out_least[k, j] <= low)
                ):
                    head[k, o] = ids[k, j]
                    break
            if head[k, o] != o:
                continue
            out_fixed[k, count] = fixed[k, o]
            out_up[k, count] = np.sqrt(up[k, o] * scale[k, 0]) if up[k, o] > 0.0 else 0.0
            out_edge[k, count] = np.sqrt(edge[k, o] * scale[k, 1]) if edge[k, o] > 0.0 else 0.0
            out_down[k, count] = np.sqrt(down[k, o] * scale[k, 2]) if down[k, o] > 0.0 else 0.0
            if has_branch:
                out_branch[k, count] = mine
            if has_least:
                out_least[k, count] = low
            if not np.isfinite(out_up[k, count] + out_edge[k, count] + out_down[k, count]):
                head[k, o] = -1  # more than a float holds
                continue
            ids[k, count] = o
            count += 1
        end[k] = count


@inner
def alone_s(terms: Terms, k: int, j: int, crowd: float, a: F) -> float:
    """Latency of an option where its user has a `crowd`-th of every budget [s]."""
    branch, _ = load(terms, k, j, a)
    t = 0.0
    for i in range(3):
        if a[i] > 0.0:
            gamma = np.inf if i == 1 else terms.gamma[k, i // 2]
            high = min(terms.cap[k], 1.0 / crowd) if i == 1 else 1.0 / crowd
            _, one, _ = one_resource(0.0, a[i], 1.0, 0.0, high, gamma)
            t += one
    return terms.fixed[k, j] + max(branch, t)


@inner
def plain_simple_sets(fixed: F, up: F, edge: F, down: F, caps: F, begin: I, end: I, sets: Option, least: F) -> None:
    """`simple_sets` of plain terms, whose least airtime is none, and the least latency alone, `least` (K,) [s].

    Takes the arrays it needs: a call with all terms for each option would copy them.
    """
    users = begin.shape[0]
    for k in range(users):
        low, even, light = np.inf, np.inf, np.inf
        thin = 1.0 / caps[k]
        crowd = max(float(users), thin)
        for j in range(begin[k], end[k]):
            links = up[k, j] * up[k, j] + down[k, j] * down[k, j]
            work = edge[k, j] * edge[k, j]
            alone = links + work * thin
            split = fixed[k, j] + users * links + crowd * work
            if fixed[k, j] + alone < low:
                low = fixed[k, j] + alone
                sets[0, k] = j
            if split < even:
                even = split
                sets[1, k] = j
            if fixed[k, j] + 1e6 * alone < light:
                light = fixed[k, j] + 1e6 * alone
                sets[2, k] = j
        sets[3, k] = sets[1, k]
        least[k] = low


@inner
def simple_sets(terms: Terms, begin: I, end: I, sets: Option) -> None:
    """Four option sets (4, K): fastest alone, at an equal split, with least demand, and with least airtime."""
    stay_whole()
    users = begin.shape[0]
    if terms.plain:
        plain_simple_sets(terms.fixed, terms.up, terms.edge, terms.down, terms.cap, begin, end, sets, np.empty(users))
        return
    a = np.zeros(3)
    for k in range(users):
        best = np.full(4, np.inf)
        tie = np.inf
        for j in range(begin[k], end[k]):
            split = alone_s(terms, k, j, float(users), a)
            lone = alone_s(terms, k, j, 1.0, a)
            low = terms.least[k, j] if terms.has_least else 0.0
            branch = terms.branch[k, j] if terms.has_branch else 0.0
            light = terms.fixed[k, j] + branch + 1e6 * (lone - terms.fixed[k, j])
            scores = (lone, split, light)
            for s in range(3):
                if scores[s] < best[s]:
                    best[s] = scores[s]
                    sets[s, k] = j
            # if the least airtimes of all do not fit together, none do
            if low < best[3] or (low == best[3] and split < tie):
                best[3], tie = low, split
                sets[3, k] = j


# numbers that kernels hand to each other are floats: numba compiles anew for each whole number or truth value
@kernel
def offer(
    kind: int,
    terms: Terms,
    option: Option,
    price: F,
    best: F,
    best_ids: Option,
    best_price: F,
    best_shares: F,
    shares: F,
    scratch: Cuts,
    gap: float,
    rough: float,
) -> bool:
    """Evaluate an option set by positions; True where it becomes the best. `best` (1,) holds the objective."""
    stay_whole()
    found = best_of_set(kind, terms, option, best[0] * (1.0 - 0.01 * gap), rough, price, shares, scratch)
    if not found < best[0]:
        return False
    best[0] = found
    for k in range(option.shape[0]):
        best_ids[k] = terms.ids[k, option[k]]
    best_price[:] = price
    best_shares[:] = shares
    return True


@kernel
def positions(terms: Terms, begin: I, end: I, ids: Option, option: Option) -> bool:
    """Positions of options by number; False where one is not among the ranges."""
    for k in range(ids.shape[0]):
        option[k] = -1
        for j in range(begin[k], end[k]):
            if terms.ids[k, j] == ids[k]:
                option[k] = j
        if option[k] < 0:
            return False
    return True


@inner
def switch_users(
    kind: int,
    terms: Terms,
    begin: I,
    end: I,
    gap: float,
    tries: int,
    best: F,
    best_ids: Option,
    best_price: F,
    best_shares: F,
    shares: F,
    scratch: Cuts,
) -> bool:
    """Switch one user of the best set to an option that its prices leave hope for; True where it helped."""
    stay_whole()
    users = begin.shape[0]
    option, trial = np.empty(users, np.int32), np.empty(users, np.int32)
    a, x, price = np.zeros(3), np.zeros(3), np.zeros(3)
    if not positions(terms, begin, end, best_ids, option):
        return False
    level = best[0] * (1.0 - gap)
    price[:] = best_price
    total = 0.0
    own = np.empty(users)
    for k in range(users):
        own[k], _ = cost_at(kind, terms, k, option[k], best[0], price, a, x)
        total += own[k]
    slack = best[0] * (1.0 - gap) + price[0] + price[1] + price[2] if kind == SUM else 1.0
    # the switches with the least lower bound, found anew after each trial: there are few
    hope = np.full(tries, np.inf)
    who, what = np.zeros(tries, np.int64), np.zeros(tries, np.int64)
    r0, r1, r2 = np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2])
    fixed, up, edge, down, cap, weight = terms.fixed, terms.up, terms.edge, terms.down, terms.cap, terms.weight
    for k in range(users):
        for j in range(begin[k], end[k]):
            if j == option[k]:
                continue
            if terms.plain:
                cost = plain_cost(
                    kind, weight[k], cap[k], level, fixed[k, j], up[k, j], edge[k, j], down[k, j], r0, r1, r2
                )
            else:
                cost, _ = cost_at(kind, terms, k, j, level if kind == MAX else 0.0, price, a, x)
            estimate = total - own[k] + cost
            if estimate < slack and estimate < hope[tries - 1]:
                p = tries - 1
                while p > 0 and hope[p - 1] > estimate:
                    hope[p], who[p], what[p] = hope[p - 1], who[p - 1], what[p - 1]
                    p -= 1
                hope[p], who[p], what[p] = estimate, k, j
    for p in range(tries):
        if hope[p] == np.inf:
            break
        trial[:] = option
        trial[who[p]] = what[p]
        price[:] = best_price
        if offer(kind, terms, trial, price, best, best_ids, best_price, best_shares, shares, scratch, gap, 0.0):
            return True
    return False


@inner
def reduced_costs(
    kind: int, terms: Terms, k: int, begin: int, end: int, level: float, price: F, a: F, x: F, out: F
) -> float:
    """Costs of a user's options above the cheapest, into `out`; returns the cheapest."""
    least = HUGE
    r0, r1, r2 = np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2])
    fixed, up, edge, down, cap, weight = terms.fixed, terms.up, terms.edge, terms.down, terms.cap, terms.weight
    for j in range(begin, end):
        if terms.plain:
            cost = plain_cost(kind, weight[k], cap[k], level, fixed[k, j], up[k, j], edge[k, j], down[k, j], r0, r1, r2)
        else:
            cost, _ = cost_at(kind, terms, k, j, level, price, a, x)
        out[j] = cost
        least = min(least, cost)
    for j in range(begin, end):
        out[j] -= least
    return least
