"""The best shares of given options whose numbers deviate within a budget: shares and the worst case in turns.

At given numbers the best shares are known (`shares.best`), and at given shares the worst case follows from the demands
that make them best (`pricing.deviations`). What they yield at xi is at most, what they yield in the worst case at least
the optimum; where both meet, they are it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.deviations import Deviating
from megdt_opt.pricing.scaled import Array, Resources, in_units
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate_shares
from megdt_opt.shares.best import best_shares

_TURNS = 80
_CLOSE = 2e-13
_KEPT = 5e-10
"""Relative: by what a limit may be exceeded and counts as kept [1]."""


class WorstShares(NamedTuple):
    """Best shares of S option sets.

    Parameters
    ----------
    objective : array, (S,)
        In the worst case [s]; infinite where no shares were found that keep the limits.
    bound : array, (S,)
        What the shares yield at xi: no shares are better in the worst case [s].
    prices : array, (S, 3)
    x : array, (S, 3, K)
        Parts of the budgets [1].
    xi : array, (4, K, S)
        The deviations at which the prices prove the bound [1].
    """

    objective: Array
    bound: Array
    prices: Array
    x: Array
    xi: Array


def worst_shares(
    problem: AllocationProblem, deviating: Deviating, option: NDArray[np.int64], gap: float = 0.0
) -> WorstShares:
    """Shares of open option sets (S, K), to a hundredth of a relative gap [1]."""
    sets, users = option.shape
    part = deviating.picked(option)
    columns = np.broadcast_to(np.arange(sets)[:, None], option.shape)
    # everything deviates a little at first, so that what may be asked for has a share
    xi = np.full((4, users, sets), min(1.0, 0.25 * deviating.budget))
    close = max(_CLOSE, 0.01 * gap)
    objective, bound = np.full(sets, np.inf), np.zeros(sets)
    prices, x, kept = np.zeros((sets, 3)), np.zeros((sets, 3, users)), xi.copy()
    waiting = 0
    last = np.zeros_like(xi)
    for turn in range(_TURNS):
        core = part.at(xi)
        found = best_shares(core, Resources.of(core), columns)
        before = _apart(objective, bound)
        for s in range(sets):
            if not np.isfinite(found.objective[s]):
                continue
            seen = evaluate_shares(problem, option[s], in_units(problem, found.x[s])[0])
            if seen.violation <= _KEPT and seen.objective_s < objective[s]:
                objective[s], x[s] = seen.objective_s, found.x[s]
            if found.bound[s] > bound[s]:
                bound[s], prices[s], kept[:, :, s] = found.bound[s], found.prices[s], xi[:, :, s]
        good = np.isfinite(found.objective)
        done = np.isfinite(objective) & (bound >= objective * (1.0 - close))
        if done[good].all():
            break
        after = _apart(objective, bound)
        waiting = 0 if after < 0.9 * before else waiting + 1
        if waiting > 8:
            break
        following = np.where(good, part.from_shares(core, found.x), xi)
        moved = following - xi
        if turn % 3 == 2:  # where each turn goes on as the one before it, to where they lead
            following = _ahead(following, moved, last, deviating.budget)
        xi, last = following, moved
    return WorstShares(objective, bound, prices, x, kept)


def _ahead(xi: Array, moved: Array, last: Array, budget: float) -> Array:
    """Where moves that shrink evenly end, (4, K, S), of each set by itself and within the budget."""
    along, before = (moved * last).sum(axis=(0, 1)), (last * last).sum(axis=(0, 1))
    ratio = np.clip(along / np.maximum(before, 1e-300), 0.0, 0.999)
    found = np.clip(xi + moved * np.where(ratio > 0.2, ratio / (1.0 - ratio), 0.0), 0.0, 1.0)
    return np.asarray(found * np.minimum(1.0, budget / np.maximum(found.sum(axis=0), 1e-300)))


def _apart(objective: Array, bound: Array) -> float:
    """How far what was reached is from what is proven, in all [s]; infinite where nothing was reached."""
    return float((objective - bound).sum())
