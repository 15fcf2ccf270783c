"""Compiled: which options are worth a look, and good option sets to begin with.

Long and wide functions: arrays and numbers are handed over one by one, as numba copies all arrays of a tuple at every
call, and each part of a loop is compiled on its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.jit import inner, kernel, stay_whole
from megdt_opt.solving.compiled.kernels import ROUGHLY, F, I, Terms, law_of, plain_cost
from megdt_opt.solving.compiled.laws import HUGE, MAX, Three, guess_of, option_at

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
    order: I,
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
    """Copy the options that are open and, if `thin`, not dominated, in the `order` (K, O), the fastest alone first.

    An option dominates another that is at least as large in every term. `ids` gets the options' numbers, `head` (K, O)
    the dominating option of each (itself where there is none, -1 where it is closed), `end` (K,) how many are left.
    """
    users, options = fixed.shape
    # of those that are left: nothing is looked up by its number, which takes most of the time
    ups, edges, downs = np.empty(options), np.empty(options), np.empty(options)
    for k in range(users):
        count = 0
        for place in range(options):
            o = order[k, place] if thin else place
            head[k, o] = -1
            if not allowed[k, o]:
                continue
            closed = False
            if up[k, o] > 0.0 and not (np.isfinite(scale[k, 1]) and gamma[k, 1] > 0.0):
                closed = True
            if edge[k, o] > 0.0 and not np.isfinite(scale[k, 2]):
                closed = True
            if down[k, o] > 0.0 and not (np.isfinite(scale[k, 0]) and gamma[k, 0] > 0.0):
                closed = True
            if has_least and least[k, o] > 1.0:
                closed = True
            if closed:
                continue
            mine = branch[k, o] if has_branch else 0.0
            low = least[k, o] if has_least else 0.0
            head[k, o] = o
            for j in range(count if thin else 0):
                if (  # in order, so that it is no slower by itself
                    ups[j] <= up[k, o]
                    and edges[j] <= edge[k, o]
                    and downs[j] <= down[k, o]
                    and (not has_branch or out_branch[k, j] <= mine)
                    and (not has_least or out_least[k, j] <= low)
                ):
                    head[k, o] = ids[k, j]
                    break
            if head[k, o] != o:
                continue
            out_fixed[k, count] = fixed[k, o]
            out_up[k, count] = np.sqrt(up[k, o] * scale[k, 1]) if up[k, o] > 0.0 else 0.0
            out_edge[k, count] = np.sqrt(edge[k, o] * scale[k, 2]) if edge[k, o] > 0.0 else 0.0
            out_down[k, count] = np.sqrt(down[k, o] * scale[k, 0]) if down[k, o] > 0.0 else 0.0
            if has_branch:
                out_branch[k, count] = mine
            if has_least:
                out_least[k, count] = low
            if not np.isfinite(out_up[k, count] + out_edge[k, count] + out_down[k, count]):
                head[k, o] = -1  # more than a float holds
                continue
            ids[k, count] = o
            ups[count], edges[count], downs[count] = up[k, o], edge[k, o], down[k, o]
            count += 1
        end[k] = count


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
def general_simple_sets(
    fixed: F, branches: F, up: F, edge: F, down: F, leasts: F, gamma: F, full: F, caps: F, has_branch: bool,
    has_least: bool, begin: I, end: I, sets: Option, least_s: F,
) -> None:  # fmt: skip
    """`simple_sets` of any terms."""
    stay_whole()
    users = begin.shape[0]
    for k in range(users):
        # seconds for a unit of demand at an equal split
        f1 = float(users) if gamma[k, 1] == np.inf else users / np.log1p(users * gamma[k, 1])
        f0 = float(users) if gamma[k, 0] == np.inf else users / np.log1p(users * gamma[k, 0])
        thin = 1.0 / caps[k]
        crowd = max(float(users), thin)
        low, even, light, airtime, tie = np.inf, np.inf, np.inf, np.inf, np.inf
        for j in range(begin[k], end[k]):
            branch = branches[k, j] if has_branch else 0.0
            least = leasts[k, j] if has_least else 0.0
            a0, a1, a2 = down[k, j] * down[k, j], up[k, j] * up[k, j], edge[k, j] * edge[k, j]
            lone = max(branch, a0 * full[k, 0] + a1 * full[k, 1] + a2 * thin)
            split = fixed[k, j] + max(branch, a0 * f0 + a1 * f1 + a2 * crowd)
            if fixed[k, j] + lone < low:
                low = fixed[k, j] + lone
                sets[0, k] = j
            if split < even:
                even = split
                sets[1, k] = j
            if fixed[k, j] + branch + 1e6 * lone < light:
                light = fixed[k, j] + branch + 1e6 * lone
                sets[2, k] = j
            # if the least airtimes of all do not fit together, none do
            if least < airtime or (least == airtime and split < tie):
                airtime, tie = least, split
                sets[3, k] = j
        least_s[k] = low


@inner
def simple_sets(terms: Terms, begin: I, end: I, sets: Option, least_s: F) -> None:
    """Four option sets (4, K): fastest alone, at an equal split, with least demand, and with least airtime.

    `least_s` (K,) gets the least latency alone [s].
    """
    stay_whole()
    if terms.plain:
        plain_simple_sets(terms.fixed, terms.up, terms.edge, terms.down, terms.cap, begin, end, sets, least_s)
        return
    general_simple_sets(
        terms.fixed, terms.branch, terms.up, terms.edge, terms.down, terms.least, terms.gamma, terms.full, terms.cap,
        terms.has_branch, terms.has_least, begin, end, sets, least_s,
    )  # fmt: skip


@inner
def row_costs(
    kind: int, terms: Terms, k: int, begin: int, end: int, level: float, price: F, stop: float, out: F
) -> float:
    """Costs of a user's options, into `out`, and the least: exact where they are below `stop`, else a lower bound that
    is at least `stop`."""
    stay_whole()
    least = HUGE
    fixed, up, edge, down, caps, weight = terms.fixed, terms.up, terms.edge, terms.down, terms.cap, terms.weight[k]
    if terms.plain:
        r0, r1, r2 = np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2])
        for j in range(begin, end):
            out[j] = plain_cost(kind, weight, caps[k], level, fixed[k, j], down[k, j], up[k, j], edge[k, j], r0, r1, r2)
            least = min(least, out[j])
        return least
    branch, low, limit, curve, guess = terms.branch, terms.least, terms.limit[k], terms.curve, 1.0
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    law = law_of(caps, terms.gamma, terms.brink, terms.full, k)
    curved = kind == MAX and not (law.g1 == np.inf and law.g0 == np.inf)
    for j in range(begin, end):
        s = Three(down[k, j], up[k, j], edge[k, j])
        cost, m = option_at(
            kind, weight, fixed[k, j], branch[k, j] if terms.has_branch else 0.0, limit, level, s, r,
            low[k, j] if terms.has_least else 0.0, law, curve, guess, stop, ROUGHLY,
        )  # fmt: skip
        if curved and cost < stop:
            guess = guess_of(m, weight, fixed[k, j], limit, level, s, r)
        out[j] = cost
        least = min(least, cost)
    return least
