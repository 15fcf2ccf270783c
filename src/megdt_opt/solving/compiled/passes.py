"""Compiled: what the search asks for. Options go in and out by their numbers, whatever their places in the terms."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.bounding import PROVEN, Cuts, best_of_set, objective_of, raise_bound
from megdt_opt.solving.compiled.jit import inner, kernel, stay_whole
from megdt_opt.solving.compiled.kernels import CLOSE, F, I, Terms, law_of, swap, value_at
from megdt_opt.solving.compiled.laws import HUGE, Three, option_at, shares_at
from megdt_opt.solving.compiled.narrowing import narrow_prices
from megdt_opt.solving.compiled.starting import row_costs, simple_sets

Option = NDArray[np.int32]


class Here(NamedTuple):
    """A part of the problem: user k has the options at places begin[k] to end[k] - 1; `left` (K,) are there at all."""

    begin: I
    end: I
    left: I


class Out(NamedTuple):
    """Where answers go: best prices (3,), used budgets (3,), the options that cost least there (K,), options (4, K)
    with their weights (4,), shares (3, K)."""

    price: F
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
    """The master's basic planes: their options and weights."""
    for c in range(4):
        j = cuts.basis[c]
        out.weight[c] = 0.0
        if j >= 0 and cuts.share[c] > 0.0:
            out.weight[c] = cuts.share[c]
            numbers_of(terms, cuts.chosen[j], out.chosen[c])


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


@kernel
def climb(
    kind: int, terms: Terms, here: Here, level: float, goal: float, box: float, passes: float, start: F, cuts: Cuts,
    out: Out,
) -> tuple[float, int, int]:  # fmt: skip
    """`raise_bound`, the options that the best prices waver between, and those that cost least there, in `picked`."""
    found, how, count = raise_bound(
        kind, terms, here.begin, here.end, level, goal, box, passes, start, out.price, cuts, _EXACT
    )
    tell(terms, cuts, out)
    if how != PROVEN:
        value_at(kind, terms, here.begin, here.end, level, out.price, out.usage, out.picked)
        numbers_of(terms, out.picked.copy(), out.picked)
    return found, how, count


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
    costs[:] = np.inf
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


@kernel
def settle(kind: int, terms: Terms, here: Here, options: Option, ceiling: float, first: bool, sets: Sets) -> int:
    """`best_of_set` of options by their numbers, (S, K), whose prices start and end in `sets`; how many were looked at:
    with `first` none after one that is below the ceiling."""
    places = np.empty(options.shape[1], np.int32)
    for n in range(options.shape[0]):
        sets.worth[n], sets.known[n] = HUGE, True
        if places_of(terms, here, options[n], places):
            sets.worth[n], sets.known[n] = best_of_set(kind, terms, places, ceiling, sets.prices[n], sets.shares[n])
        if first and sets.known[n] and sets.worth[n] < ceiling:
            return n + 1
    return options.shape[0]


@kernel
def given(kind: int, terms: Terms, here: Here, option: Option, level: float, price: F, out: Out) -> None:
    """Shares (3, K) at which given options cost least at prices; 0 for users without one."""
    r = Three(np.sqrt(price[0]), np.sqrt(price[1]), np.sqrt(price[2]))
    out.shares[:] = 0.0
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
