"""One option set: its value, its shares and prices that it cannot pay; problems with fewer options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.evaluation import in_units
from megdt_opt.shares.best import best_shares, closed_form
from megdt_opt.solving.search.pool import Pool

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_PASSES = 40


def restrict(problem: AllocationProblem, order: NDArray[np.int64], mask: Mask) -> AllocationProblem:
    """The problem with the options in `order` (K, M), of which those in `mask` (K, M) are allowed."""

    def take(table: Any) -> Any:
        return None if table is None else np.take_along_axis(table, order, axis=1)

    names = ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s", "device_branch_s", "uplink_airtime_max_s")
    return replace(problem, allowed=mask, **{name: take(getattr(problem, name)) for name in names})


def value_of(
    problem: AllocationProblem, resources: Resources, option: NDArray[np.int64], level_s: float, start: Array
) -> tuple[float, Array | None]:
    """Least largest weighted latency of an option set (K,) [s], and prices (3,) that it cannot pay at a level.

    The value is infinite where the set is known to be later than the level but not by how much. The prices are None
    where none were found, as for a set that fits.

    Where no limit binds the value has a closed form, with its prices. Elsewhere prices are looked for, from `start`,
    and only a set without any goes to the interior method.
    """
    found = closed_form(problem, resources, option[None])
    if found is not None and np.isfinite(found.objective[0]):
        value, prices = float(found.objective[0]), found.prices[0]
        return value, prices if value > level_s and prices.any() else None
    sharp = unpayable(problem, option, level_s, start) if np.isfinite(level_s) else None
    if sharp is not None:
        return np.inf, sharp
    return float(best_shares(problem, resources, option[None]).objective[0]), None


def shares_of(problem: AllocationProblem, option: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Best shares of an option set (K,): downlink [Hz], uplink [Hz], edge [1]."""
    down, up, edge = in_units(problem, best_shares(problem, Resources.of(problem), option[None]).x[0])[0]
    return down, up, edge


def unpayable(problem: AllocationProblem, option: NDArray[np.int64], level_s: float, start: Array) -> Array | None:
    """Prices (3,) that an option set cannot pay at a level; None where there are none."""
    mask = np.ones((option.size, 1), dtype=bool)
    one = restrict(problem, option[:, None], mask)
    pool = Pool(one, Resources.of(one), level_s)
    pool.add(start)
    target, found = 1e-9, -1
    while True:
        value, sharpest, _, _ = pool.improve(mask, target, 1.0, _PASSES)
        if value < target:
            return pool.prices[found] if found >= 0 else None
        # overspent: go on for as long as twice as much is to be had
        target, found = 2 * value, sharpest
