"""Compiled: the branch tree, depth first, written down as it grows so that it can be checked without it.

A node is the users' ranges of options. Where cutting planes prove that nothing in it beats the target, it becomes a
leaf with its prices. Else options whose reduced cost alone exceeds the gap are cut off (one branch whose first child is
a leaf), and the user whose options the prices waver most between is split.

The tree is written in preorder: a row (user, options in the first child, options in the second) for a branch, whose
options' numbers follow each other in `listed`, and (-1, number of its prices, 0) for a leaf.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import MOST_CUTS, PROVEN, Cuts, raise_bound
from megdt_opt.solving.compiled.jit import inner, kernel
from megdt_opt.solving.compiled.kernels import F, I, Terms, swap, value_at
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.starting import Option, offer, row_costs

DONE, MORE, ROOM = 0, 1, 2
"""How `grow` ends: the tree is whole; its budget of nodes is spent; the arrays are full."""

FRAMES, ROWS, LISTED, PRICES, NODES, PASSES, CUT_SHORT, RESUMED, LOOSE = range(9)
"""Places in `counts`: used frames, rows, listed options and prices; nodes and passes so far; flags."""

LAST, RESTORE = 1, 2
_PASSES = 24.0
_POOL = 6
SUM_EXCESS, MAX_EXCESS = 4e-12, 1e-10
"""What a leaf's value exceeds its goal by, so that rounding cannot spoil the proof."""


class Tree(NamedTuple):
    """State of the search; all arrays are filled up to `counts`."""

    rows: NDArray[np.int32]
    listed: Option
    prices: F
    frames: I
    frame_price: F
    counts: I


@inner
def write_branch(tree: Tree, terms: Terms, k: int, begin: int, middle: int, end: int) -> None:
    """Write a branch of user k into [begin, middle) and [middle, end)."""
    row, place = tree.counts[ROWS], tree.counts[LISTED]
    tree.rows[row, 0], tree.rows[row, 1], tree.rows[row, 2] = k, middle - begin, end - middle
    for j in range(begin, end):
        tree.listed[place + j - begin] = terms.ids[k, j]
    tree.counts[ROWS] = row + 1
    tree.counts[LISTED] = place + end - begin


@inner
def write_leaf(tree: Tree, price: F) -> None:
    """Write a leaf; prices that are those of the leaf before are kept once."""
    n = tree.counts[PRICES]
    same = n > 0
    for i in range(3):
        same = same and tree.prices[n - 1, i] == price[i]
    if not same:
        tree.prices[n] = price
        n += 1
        tree.counts[PRICES] = n
    row = tree.counts[ROWS]
    tree.rows[row, 0], tree.rows[row, 1], tree.rows[row, 2] = -1, n - 1, 0
    tree.counts[ROWS] = row + 1


@inner
def push(tree: Tree, k: int, begin: int, end: int, middle: int, state: int, price: F) -> None:
    """Remember the range of a user before a branch."""
    n = tree.counts[FRAMES]
    tree.frames[n, 0], tree.frames[n, 1], tree.frames[n, 2] = k, begin, end
    tree.frames[n, 3], tree.frames[n, 4] = middle, state
    tree.frame_price[n] = price
    tree.counts[FRAMES] = n + 1


@inner
def goal_of(kind: int, target: float) -> float:
    """Value that proves that nothing is below a target."""
    return target + SUM_EXCESS * abs(target) if kind == SUM else 1.0 + MAX_EXCESS


@inner
def cut_off(
    kind: int, terms: Terms, begin: I, end: I, level: float, goal: float, price: F, tree: Tree, costs: F
) -> bool:
    """Take out the options whose reduced cost proves that they cannot be part of anything better; True where any is."""
    users = begin.shape[0]
    # the value is summed up from the very costs that are compared with the cheapest ones below
    value = -(price[0] + price[1] + price[2]) if kind == SUM else 0.0
    for k in range(users):
        value += row_costs(kind, terms, k, begin[k], end[k], level, price, HUGE, costs)
    any_out = False
    for k in range(users):
        b, e = begin[k], end[k]
        if e - b < 2:
            continue
        least = row_costs(kind, terms, k, b, e, level, price, HUGE, costs)
        middle = b
        for j in range(b, e):
            if value + (costs[j] - least) >= goal:
                if j != middle:
                    swap(terms, k, j, middle)
                    costs[j], costs[middle] = costs[middle], costs[j]
                middle += 1
        if b < middle < e:
            write_branch(tree, terms, k, b, middle, e)
            write_leaf(tree, price)
            push(tree, k, b, e, middle, RESTORE, price)
            begin[k] = middle
            any_out = True
    return any_out


@inner
def most_torn(cuts: Cuts, begin: I, end: I) -> tuple[int, int, int]:
    """User whose weight lies most on more than one option, and the first two of them; -1 where nobody is torn."""
    chosen, basis, share = cuts.chosen, cuts.basis, cuts.share
    most, who, first, second = 1e-9, -1, -1, -1
    for k in range(begin.shape[0]):
        if end[k] - begin[k] < 2:
            continue
        top, top_weight, next_, next_weight = -1, 0.0, -1, 0.0
        for c in range(4):
            if basis[c] < 0:
                continue
            j = chosen[basis[c], k]
            weight = 0.0
            fresh = True
            for d in range(4):
                if basis[d] >= 0 and chosen[basis[d], k] == j:
                    weight += max(share[d], 0.0)
                    fresh = fresh and d >= c
            if not fresh:
                continue
            if weight > top_weight:
                next_, next_weight = top, top_weight
                top, top_weight = j, weight
            elif weight > next_weight:
                next_, next_weight = j, weight
        if next_ >= 0 and next_weight > most:
            most, who, first, second = next_weight, k, top, next_
    return who, first, second


@inner
def part(terms: Terms, k: int, begin: int, end: int, first: int, second: int) -> int:
    """Reorder a user's options so that those nearer to `first` come first; returns where the others begin."""
    spread = np.zeros(5)
    low, high = np.full(5, np.inf), np.full(5, -np.inf)
    unit = np.zeros((5, end - begin))
    for j in range(begin, end):
        unit[0, j - begin] = terms.fixed[k, j]
        unit[1, j - begin] = terms.up[k, j]
        unit[2, j - begin] = terms.edge[k, j]
        unit[3, j - begin] = terms.down[k, j]
        unit[4, j - begin] = terms.branch[k, j] if terms.has_branch else 0.0
        for i in range(5):
            low[i], high[i] = min(low[i], unit[i, j - begin]), max(high[i], unit[i, j - begin])
    for i in range(5):
        spread[i] = high[i] - low[i] if high[i] > low[i] else 1.0
    along = np.zeros(end - begin)
    for j in range(end - begin):
        for i in range(5):
            step = (unit[i, second - begin] - unit[i, first - begin]) / spread[i]
            along[j] += step * unit[i, j] / spread[i]
    middle = 0.5 * (along[first - begin] + along[second - begin])
    place = begin
    left = np.zeros(end - begin, np.bool_)
    for j in range(end - begin):
        left[j] = along[j] <= middle
    left[first - begin] = True
    left[second - begin] = False
    for j in range(end - begin):
        if left[j]:
            if begin + j != place:
                swap(terms, k, begin + j, place)
                left[j], left[place - begin] = left[place - begin], left[j]
            place += 1
    return place


@kernel
def grow(
    kind: int,
    terms: Terms,
    begin: I,
    end: I,
    gap: float,
    budget: int,
    tree: Tree,
    pool: F,
    best: F,
    best_ids: Option,
    best_price: F,
    best_shares: F,
    shares: F,
    cuts: Cuts,
    scratch: Cuts,
) -> int:
    """Go on with the search for at most `budget` nodes; `pool` (n, 3) holds prices that proved much, best first."""
    users, options = terms.fixed.shape
    price, start, usage = np.zeros(3), np.zeros(3), np.zeros(3)
    costs = np.zeros(options)
    option = np.empty(users, np.int32)
    count = tree.counts
    entering = count[RESUMED] == 0
    count[RESUMED] = 0
    room = 0
    for k in range(users):
        room += end[k] - begin[k]
    for _ in range(budget):
        if not entering:
            # go back to the nearest branch with a child to do
            while count[FRAMES] > 0:
                n = count[FRAMES] - 1
                k = tree.frames[n, 0]
                if tree.frames[n, 4] == 0:
                    tree.frames[n, 4] = LAST
                    begin[k], end[k] = tree.frames[n, 3], tree.frames[n, 2]
                    entering = True
                    break
                begin[k], end[k] = tree.frames[n, 1], tree.frames[n, 2]
                count[FRAMES] = n
            if not entering:
                return DONE
        # a node adds at most a branch and a leaf a user, and its own
        if (
            count[ROWS] + 2 * users + 4 > tree.rows.shape[0]
            or count[LISTED] + 2 * room > tree.listed.shape[0]
            or count[PRICES] + users + 4 > tree.prices.shape[0]
            or count[FRAMES] + users + 4 > tree.frames.shape[0]
        ):
            count[RESUMED] = 0
            return ROOM
        count[NODES] += 1
        entering = False
        start[:] = tree.frame_price[count[FRAMES] - 1] if count[FRAMES] > 0 else pool[0]
        if count[CUT_SHORT] > 0:
            write_leaf(tree, start)
            count[LOOSE] = 1
            continue
        target = best[0] * (1.0 - gap)
        level = target if kind == MAX else 0.0
        goal = goal_of(kind, target)
        proven = False
        for p in range(-1, pool.shape[0]):
            price[:] = start if p < 0 else pool[p]
            value, _ = value_at(kind, terms, begin, end, level, price, usage, option)
            count[PASSES] += 1
            if value >= goal:
                proven = True
                break
        if not proven:
            for _round in range(4):
                box = 4.0 * best[0] if kind == SUM else 1.0
                value, how, passes = raise_bound(kind, terms, begin, end, level, goal, box, _PASSES, start, price, cuts)
                count[PASSES] += passes
                if how == PROVEN:
                    proven = True
                    break
                value_at(kind, terms, begin, end, level, price, usage, option)
                start[:] = price
                if not offer(kind, terms, option, start, best, best_ids, best_price, best_shares, shares, scratch, gap):
                    break
                target = best[0] * (1.0 - gap)
                level = target if kind == MAX else 0.0
                goal = goal_of(kind, target)
                start[:] = price
        if proven:
            # what proves a node may prove its neighbours
            for p in range(pool.shape[0] - 1, 1, -1):
                pool[p] = pool[p - 1]
            if pool.shape[0] > 1:
                pool[1] = price
            write_leaf(tree, price)
            continue
        if cut_off(kind, terms, begin, end, level, goal, price, tree, costs):
            # positions moved: wavering is looked up anew, on what is left
            value, how, passes = raise_bound(
                kind, terms, begin, end, level, goal, 4.0 * best[0] if kind == SUM else 1.0, _PASSES, price.copy(),
                price, cuts,
            )  # fmt: skip
            count[PASSES] += passes
            if how == PROVEN:
                write_leaf(tree, price)
                continue
        who, first, second = most_torn(cuts, begin, end)
        if who < 0:
            widest = 1
            for k in range(users):
                if end[k] - begin[k] > widest:
                    widest, who = end[k] - begin[k], k
            if who < 0:
                # one set is left: its own prices prove its value
                for k in range(users):
                    option[k] = begin[k]
                start[:] = price
                offer(kind, terms, option, start, best, best_ids, best_price, best_shares, shares, scratch, gap)
                target = best[0] * (1.0 - gap)
                level = target if kind == MAX else 0.0
                value, _ = value_at(kind, terms, begin, end, level, start, usage, option)
                if value < goal_of(kind, target):
                    value, how, passes = raise_bound(
                        kind, terms, begin, end, level, goal_of(kind, target), 256.0 * best[0] if kind == SUM else 1.0,
                        float(MOST_CUTS), start.copy(), start, cuts,
                    )  # fmt: skip
                    if how != PROVEN:
                        count[LOOSE] = 1
                write_leaf(tree, start)
                continue
            first = begin[who]
            second = end[who] - 1
        b, e = begin[who], end[who]
        middle = part(terms, who, b, e, first, second)
        write_branch(tree, terms, who, b, middle, e)
        push(tree, who, b, e, middle, 0, price)
        end[who] = middle
        entering = True
    count[RESUMED] = 0 if entering else 1
    return MORE if entering or count[FRAMES] > 0 else DONE
