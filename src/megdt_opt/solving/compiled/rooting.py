"""Compiled: the first good set and the first good prices."""

from __future__ import annotations

import numpy as np

from megdt_opt.solving.compiled.bounding import Cuts
from megdt_opt.solving.compiled.jit import inner, kernel
from megdt_opt.solving.compiled.kernels import F, I, Terms, value_at
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.narrowing import narrow_prices
from megdt_opt.solving.compiled.starting import Option, offer, simple_sets, switch_users
from megdt_opt.solving.compiled.tree import goal_of

_ROUNDS = 3
_TRIES = 12
_SWITCHES = 40


@inner
def mixed(cuts: Cuts, option: Option) -> bool:
    """For every user the option that the master's weights lie on most; False where the master has none."""
    chosen, basis, share = cuts.chosen, cuts.basis, cuts.share
    if max(basis[0], basis[1], basis[2], basis[3]) < 0:
        return False
    for k in range(option.shape[0]):
        most = -1.0
        for c in range(4):
            if basis[c] >= 0:
                weight = 0.0
                for d in range(4):
                    if basis[d] >= 0 and chosen[basis[d], k] == chosen[basis[c], k]:
                        weight += max(share[d], 0.0)
                if weight > most:
                    most = weight
                    option[k] = chosen[basis[c], k]
    return True


@kernel
def first_sets(
    kind: int,
    terms: Terms,
    begin: I,
    end: I,
    gap: float,
    best: F,
    best_ids: Option,
    best_price: F,
    best_shares: F,
    shares: F,
    scratch: Cuts,
) -> bool:
    """Simple rules; False where none of them keeps the limits."""
    users = begin.shape[0]
    sets = np.zeros((4, users), np.int32)
    simple_sets(terms, begin, end, sets, np.empty(users))
    price = np.zeros(3)
    for s in range(4):
        price[:] = 1.0
        if best[0] < HUGE:
            price[:] = best_price
        offer(kind, terms, sets[s], price, best, best_ids, best_price, best_shares, shares, scratch, gap)
    return best[0] < HUGE


@kernel
def root(
    kind: int,
    terms: Terms,
    begin: I,
    end: I,
    gap: float,
    pool: F,
    best: F,
    best_ids: Option,
    best_price: F,
    best_shares: F,
    shares: F,
    cuts: Cuts,
    scratch: Cuts,
) -> tuple[float, int]:
    """Best prices, and good sets by rounding and by switches; the value of the prices, and the passes made.

    `pool[0]` gets these prices; for "max" their value is at the level to be proven out of reach.
    """
    users = begin.shape[0]
    price, start, usage = np.zeros(3), np.zeros(3), np.zeros(3)
    option = np.empty(users, np.int32)
    passes, bound = 0, 0.0
    for _ in range(_ROUNDS):
        before = best[0]
        start[:] = best_price
        box = 4.0 * best[0] if kind == SUM else 1.0
        passes += narrow_prices(kind, terms, begin, end, best[0], box, gap, start, price, cuts)
        pool[0] = price
        for turn in range(5):
            if turn == 0:
                if not mixed(cuts, option):
                    continue
            else:
                if cuts.basis[turn - 1] < 0:
                    continue
                option[:] = cuts.chosen[cuts.basis[turn - 1]]
            start[:] = price
            offer(kind, terms, option, start, best, best_ids, best_price, best_shares, shares, scratch, gap)
        for _turn in range(_SWITCHES):
            target = best[0] * (1.0 - gap)
            bound, _ = value_at(kind, terms, begin, end, target, price, usage, option)
            passes += 1
            if bound >= goal_of(kind, target):
                return bound, passes
            if not switch_users(
                kind, terms, begin, end, gap, _TRIES, best, best_ids, best_price, best_shares, shares, scratch
            ):
                break
        if kind == MAX or best[0] >= before * (1.0 - 1e-3) or max(price[0], price[1], price[2]) < 0.5 * box:
            # the best prices hang on the incumbent by the box of "sum" alone
            break
    return bound, passes
