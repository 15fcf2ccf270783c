"""Compiled: what the search asks for. Options go in and out by their numbers, whatever their places in the terms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import PROVEN, SPENT, Cuts, best_of_set, objective_of, raise_bound
from megdt_opt.solving.compiled.jit import inner, kernel, making, stay_whole
from megdt_opt.solving.compiled.kernels import CLOSE, F, I, Terms, law_of, swap, value_at
from megdt_opt.solving.compiled.laws import HUGE, SUM, Three, option_at, shares_at
from megdt_opt.solving.compiled.narrowing import narrow_prices
from megdt_opt.solving.compiled.rows import fill, fill_table, put
from megdt_opt.solving.compiled.starting import row_costs, simple_sets

Option = NDArray[np.int32]


class Here(NamedTuple):
    """A part of the problem: user k has the options at places begin[k] to end[k] - 1; `left` (K,) are there at all."""

    begin: I
    end: I
    left: I


class Out(NamedTuple):
    """Where answers go: best prices (3,), prices that rule options out (3,), used budgets (3,), the options that cost
    least at the best prices (K,), options (4, K) with their weights (4,), shares (3, K)."""

    price: F
    ruling: F
    usage: F
    picked: Option
    chosen: Option
    weight: F
    shares: F


class Sets(NamedTuple):
    """What given options are worth, of each of S: objectives and whether they are known (S,), prices (S, 3), shares
    (S, 3, K)."""

    worth: F
    known: NDArray[np.bool_]
    prices: F
    shares: F


def new_sets(count: int, users: int) -> Sets:
    """Room for the worth of so many sets."""
    return Sets(np.empty(count), np.empty(count, np.bool_), np.empty((count, 3)), np.empty((count, 3, users)))


_EXACT = 1e-13
"""How near the best value is to come to the highest point of the planes, relatively [1]."""


@inner
def bring(terms: Terms, mask: NDArray[np.bool_], here: Here) -> None:
    """Bring the options of a mask, (K, O), to the front of their rows."""
    stay_whole()
    for k in range(mask.shape[0]):
        n = 0
        for j in range(here.left[k]):
            if mask[k, terms.ids[k, j]]:
                if j != n:
                    swap(terms, k, j, n)
                n += 1
        here.end[k] = n


@kernel
def enter(terms: Terms, mask: NDArray[np.bool_], here: Here) -> None:
    """`bring`."""
    bring(terms, mask, here)


@inner
def numbers_of(terms: Terms, places: Option, out: Option) -> None:
    """Numbers of the options at these places, (K,)."""
    for k in range(places.shape[0]):
        out[k] = terms.ids[k, places[k]]


@inner
def places_of(terms: Terms, here: Here, option: Option, out: Option) -> bool:
    """Places of options by their numbers; False where one is not there."""
    for k in range(option.shape[0]):
        out[k] = -1
        for j in range(here.left[k]):
            if terms.ids[k, j] == option[k]:
                out[k] = j
                break
        if out[k] < 0:
            return False
    return True


@inner
def tell(terms: Terms, cuts: Cuts, out: Out) -> None:
    """The master's basic planes: their options and weights, those above 0 first."""
    place = 0
    fill(out.weight, 0.0)
    for c in range(4):
        j = cuts.basis[c]
        if j >= 0 and cuts.share[c] > 0.0:
            out.weight[place] = cuts.share[c]
            numbers_of(terms, cuts.chosen[j], out.chosen[place])
            place += 1


@kernel
def value(kind: int, terms: Terms, here: Here, level: float, goal: float, prices: F, out: Out) -> tuple[float, int]:
    """Best value of some prices, (n, 3), and which; the first that reach the goal. Options and usage are the last's."""
    best, at = -HUGE, 0
    last = 0.0
    for n in range(prices.shape[0]):
        last, _ = value_at(kind, terms, here.begin, here.end, level, prices[n], out.usage, out.picked)
        if last > best:
            best, at = last, n
        if best >= goal:
            break
    if last < HUGE:
        numbers_of(terms, out.picked.copy(), out.picked)
    return best, at


@making
def rule_out(
    kind: int, terms: Terms, here: Here, head: Option, level: float, goal: float, price: F, costs: F,
    gone: NDArray[np.bool_],
) -> bool:  # fmt: skip
    """Take out the options whose reduced cost at prices alone reaches the goal, and note them in `gone` (K, O), with
    those that they are the `head` of; False where there are none, or where the prices reach it by themselves."""
    stay_whole()
    value = -(price[0] + price[1] + price[2]) if kind == SUM else 0.0
    users, least = costs.shape[0], np.empty(costs.shape[0])
    for k in range(users):
        least[k] = row_costs(kind, terms, k, here.begin[k], here.end[k], level, price, HUGE, costs[k])
        value += least[k]
    fill_table(gone, False)
    found = False
    for k in range(users):
        j = here.begin[k]
        while j < here.end[k]:
            if value < goal and costs[k, j] - least[k] >= goal - value:
                gone[k, terms.ids[k, j]] = True
                here.end[k] -= 1
                swap(terms, k, j, here.end[k])
                costs[k, j] = costs[k, here.end[k]]
                found = True
            else:
                j += 1
        for o in range(head.shape[1] if found else 0):
            if head[k, o] >= 0 and gone[k, head[k, o]]:
                gone[k, o] = True
    return found


# wide: all that a node of the tree asks for in one call, as each call takes as long as a pass over few users
@kernel
def narrow(
    kind: int, terms: Terms, mask: NDArray[np.bool_], here: Here, level: float, goal: float, box: float, passes: float,
    tried: F, ruling: bool, cuts: Cuts, head: Option, costs: F, gone: NDArray[np.bool_], out: Out,
) -> tuple[float, int, bool, bool]:  # fmt: skip
    """`value` of the prices that are tried, `raise_bound` from the first, with `ruling` the options that are ruled out
    there and `raise_bound` for the rest; then the options that the best prices waver between, and those that cost least
    there, in `picked`.

    Returns the last value, the passes, whether options were ruled out, and whether the goal is proven."""
    bring(terms, mask, here)
    spent = 0
    if tried.shape[0] > 1:
        spent = 1
        for n in range(tried.shape[0]):
            found, _ = value_at(kind, terms, here.begin, here.end, level, tried[n], out.usage, out.picked)
            if found >= goal:
                put(out.price, tried[n])
                return found, spent, False, True
    put(out.price, tried[0])
    found, how, any_out = -HUGE, SPENT, False
    for turn in range(2):
        put(out.ruling, out.price)
        found, how, count = raise_bound(
            kind, terms, here.begin, here.end, level, goal, box, passes, out.ruling, out.price, cuts, _EXACT, 0
        )
        spent += count
        if how == PROVEN:
            return found, spent, any_out, True
        if turn or not ruling or not rule_out(kind, terms, here, head, level, goal, out.price, costs, gone):
            break
        any_out = True
    tell(terms, cuts, out)
    value_at(kind, terms, here.begin, here.end, level, out.price, out.usage, out.picked)
    numbers_of(terms, out.picked.copy(), out.picked)
    return found, spent, any_out, False


@kernel
def peak(
    kind: int, terms: Terms, here: Here, ceiling: float, box: float, gap: float, start: F, cuts: Cuts, out: Out
) -> int:
    """`narrow_prices`, and the options that the best prices waver between."""
    count = narrow_prices(kind, terms, here.begin, here.end, ceiling, box, gap, start, out.price, cuts)
    tell(terms, cuts, out)
    return count


@kernel
def table(kind: int, terms: Terms, here: Here, level: float, price: F, costs: F) -> None:
    """Costs of all options, (K, O); infinite where one is closed or not there."""
    row = np.empty(costs.shape[1])
    fill_table(costs, np.inf)
    for k in range(costs.shape[0]):
        row_costs(kind, terms, k, here.begin[k], here.end[k], level, price, HUGE, row)
        for j in range(here.begin[k], here.end[k]):
            if row[j] < HUGE:
                costs[k, terms.ids[k, j]] = row[j]


@kernel
def removed(
    kind: int, terms: Terms, here: Here, mask: NDArray[np.bool_], gone: NDArray[np.bool_], level: float, price: F
) -> float:
    """Least sum of costs in a mask, (K, O), where a user takes one of the options that are `gone`, (K, O); HUGE where
    none can."""
    bring(terms, mask, here)
    row, total, rise = np.empty(mask.shape[1]), 0.0, HUGE
    for k in range(mask.shape[0]):
        least = row_costs(kind, terms, k, here.begin[k], here.end[k], level, price, HUGE, row)
        if least >= HUGE:
            return HUGE
        total += least
        for j in range(here.begin[k], here.end[k]):
            if gone[k, terms.ids[k, j]]:
                rise = min(rise, row[j] - least)
    return total + rise


@inner
def most_torn(weight: F, chosen: Option, begin: I, end: I) -> tuple[int, int, int]:
    """User whose weight lies most on more than one option, and the numbers of the first two; -1 where nobody's does."""
    most, who, first, second = 1e-9, -1, -1, -1
    for k in range(begin.shape[0]):
        if end[k] - begin[k] < 2:
            continue
        top, top_weight, next_, next_weight = -1, 0.0, -1, 0.0
        for c in range(weight.shape[0]):
            on_it, fresh = 0.0, True
            for d in range(weight.shape[0]):
                if chosen[d, k] == chosen[c, k]:
                    on_it += weight[d]
                    fresh = fresh and d >= c
            if fresh and on_it > top_weight:
                next_, next_weight = top, top_weight
                top, top_weight = chosen[c, k], on_it
            elif fresh and on_it > next_weight:
                next_, next_weight = chosen[c, k], on_it
        if next_ >= 0 and next_weight > most:
            most, who, first, second = next_weight, k, top, next_
    return who, first, second


@kernel
def split(
    terms: Terms, mask: NDArray[np.bool_], here: Here, weight: F, chosen: Option, middle: float,
    near: NDArray[np.bool_],
) -> int:  # fmt: skip
    """The user that options (W, K) with weights (W,) leave undecided most; its options `near` (O,) the first of two, up
    to the `middle`, as a part of the way."""
    bring(terms, mask, here)
    who, first, second = most_torn(weight, chosen, here.begin, here.end)
    fill(near, False)
    if who < 0:
        who = 0
        for k in range(1, here.end.shape[0]):
            if here.end[k] - here.begin[k] > here.end[who] - here.begin[who]:
                who = k
        first = second = int(terms.ids[who, here.begin[who]])
        for j in range(here.begin[who], here.end[who]):
            first, second = min(first, int(terms.ids[who, j])), max(second, int(terms.ids[who, j]))
    begin, end = here.begin[who], here.end[who]
    term, along, far = np.empty(end - begin), np.zeros(end - begin), 0.0
    for i in range(5 if terms.has_branch else 4):
        at_first, at_second, least, most = 0.0, 0.0, np.inf, -np.inf
        for j in range(begin, end):
            if i == 0:
                term[j - begin] = terms.fixed[who, j]
            elif i == 1:
                term[j - begin] = terms.up[who, j] ** 2
            elif i == 2:
                term[j - begin] = terms.edge[who, j] ** 2
            elif i == 3:
                term[j - begin] = terms.down[who, j] ** 2
            else:
                term[j - begin] = terms.branch[who, j]
            least, most = min(least, term[j - begin]), max(most, term[j - begin])
            if terms.ids[who, j] == first:
                at_first = term[j - begin]
            if terms.ids[who, j] == second:
                at_second = term[j - begin]
        spread = most - least
        if spread > 0.0:
            step = (at_second - at_first) / spread / spread
            far += step * (at_second - at_first)
            for j in range(end - begin):
                along[j] += step * (term[j] - at_first)
    for j in range(begin, end):
        number = terms.ids[who, j]
        near[number] = number == first or (number != second and along[j - begin] <= middle * far)
    return who


# wide: numba copies all arrays of a tuple at every call
@kernel
def switches(
    kind: int, terms: Terms, here: Here, option: I, own_level: float, level: float, below: float, price: F,
    user: I, other: I, rise: F,
) -> int:  # fmt: skip
    """Options that a `user` can take instead of its own, (K,), at the least rise of the total, the least first, as far
    as the arrays reach and the total, less the prices, stays below a value; how many there are."""
    row, own_cost, count, sum_ = np.empty(terms.ids.shape[1]), np.empty(option.shape[0]), 0, 0.0
    for k in range(option.shape[0]):
        row_costs(kind, terms, k, here.begin[k], here.end[k], own_level, price, HUGE, row)
        own_cost[k] = HUGE
        for j in range(here.begin[k], here.end[k]):
            if terms.ids[k, j] == option[k]:
                own_cost[k] = row[j]
        sum_ += own_cost[k]
    room = below + price[0] + price[1] + price[2] - sum_
    for k in range(option.shape[0]):
        row_costs(kind, terms, k, here.begin[k], here.end[k], level, price, HUGE, row)
        for j in range(here.begin[k], here.end[k]):
            o, more = terms.ids[k, j], row[j] - own_cost[k]
            if o == option[k] or not more < room:
                continue
            # of equal ones the first user's first option
            place = count
            while place > 0 and (
                more < rise[place - 1] or (more == rise[place - 1] and user[place - 1] == k and o < other[place - 1])
            ):
                place -= 1
            if place == rise.shape[0]:
                continue
            count = min(count + 1, rise.shape[0])
            for i in range(count - 1, place, -1):
                user[i], other[i], rise[i] = user[i - 1], other[i - 1], rise[i - 1]
            user[place], other[place], rise[place] = k, o, more
    return count


@kernel
def settle(kind: int, terms: Terms, here: Here, options: Option, ceiling: float, first: bool, sets: Sets) -> int:
    """`best_of_set` of options by their numbers, (S, K), whose prices start and end in `sets`; how many were looked at:
    with `first` none after one that is below the ceiling. What is known of one is the ceiling of those behind it."""
    places = np.empty(options.shape[1], np.int32)
    for n in range(options.shape[0]):
        sets.worth[n], sets.known[n] = HUGE, True
        if places_of(terms, here, options[n], places):
            sets.worth[n], sets.known[n] = best_of_set(kind, terms, places, ceiling, sets.prices[n], sets.shares[n])
        if sets.known[n] and sets.worth[n] < ceiling:
            ceiling = sets.worth[n]
            if first:
                return n + 1
    return options.shape[0]


@kernel
def given(kind: int, terms: Terms, here: Here, option: Option, level: float, price: F, out: Out) -> None:
    """Shares (3, K) at which given options cost least at prices; 0 for users without one."""
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    fill_table(out.shares, 0.0)
    for k in range(option.shape[0]):
        for j in range(here.left[k]):
            if terms.ids[k, j] != option[k]:
                continue
            law = law_of(terms.cap, terms.gamma, terms.brink, terms.full, k)
            s = Three(terms.down[k, j], terms.up[k, j], terms.edge[k, j])
            low = terms.least[k, j] if terms.has_least else 0.0
            cost, m = option_at(
                kind, terms.weight[k], terms.fixed[k, j], terms.branch[k, j] if terms.has_branch else 0.0,
                terms.limit[k], level, s, r, low, law, terms.curve, 1.0, HUGE, CLOSE,
            )  # fmt: skip
            if cost < HUGE:
                x = shares_at(m, s, r, low, law, terms.curve)
                out.shares[0, k], out.shares[1, k], out.shares[2, k] = x.down, x.up, x.edge
            break


@kernel
def objective(kind: int, terms: Terms, here: Here, option: Option, out: Out) -> float:
    """`objective_of` of options by their numbers, on the shares in `out`."""
    places = np.empty(option.shape[0], np.int32)
    if not places_of(terms, here, option, places):
        return HUGE
    return objective_of(kind, terms, places, out.shares)


@kernel
def first_sets(terms: Terms, here: Here, sets: Option) -> None:
    """`simple_sets` by the options' numbers, (4, K)."""
    simple_sets(terms, here.begin, here.left, sets, np.empty(sets.shape[1]))
    for s in range(sets.shape[0]):
        numbers_of(terms, sets[s].copy(), sets[s])
