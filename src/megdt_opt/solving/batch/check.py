"""Whether prices prove levels of "max" out of reach, for many scenarios at once and apart from the compiled kernels.

At prices p of the budgets (all scaled to 1) an option with demands a and tau seconds for them costs at least, for any
z >= 0 by weak duality,

    sum_i min over x_i (p_i x_i + z^2 a_i / x_i) - z^2 tau,      least share <= x_i <= largest share,

least shares coming from the limits on the time on the uplink. The best z is that of some set of limits that hold, so
the largest of these values is the cost, and each of them a lower bound of it. Where the users' least costs sum to more
than the prices, no allocation meets the level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.arrays import Array
from megdt_opt.problem.batch_problem import BatchProblem

MARGIN = 1e-11
"""Relative: by how much the costs must exceed the prices, and limits are loosened, far above rounding."""

_CHUNK = 1024


def prices_prove(batch: BatchProblem, prices: Array, level_s: Array) -> NDArray[np.bool_]:
    """Whether prices (S, 3) of uplink, edge and downlink prove that nothing is below a level (S,) [s], (S,)."""
    found = np.zeros(batch.scenarios, dtype=bool)
    for first in range(0, batch.scenarios, _CHUNK):
        part = slice(first, first + _CHUNK)
        found[part] = _proven(batch, part, prices[part], level_s[part])
    return found


def _proven(batch: BatchProblem, part: slice, prices: Array, level_s: Array) -> NDArray[np.bool_]:
    latest_s = np.minimum(level_s[:, None] / batch.weights[part], batch.hard_deadline_s[part])
    left_s = latest_s[:, :, None] * (1.0 + MARGIN) - batch.fixed_s[part]
    shut = left_s < (0.0 if batch.device_branch_s is None else batch.device_branch_s[part])
    if batch.allowed is not None:
        shut |= ~batch.allowed[part]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        cost = _costs(batch, part, prices, left_s)
        least = np.where(shut, np.inf, cost).min(axis=2).sum(axis=1)
        proven: NDArray[np.bool_] = least > prices.sum(axis=1) * (1.0 + MARGIN)
    return proven | ~(level_s > 0.0)


def _costs(batch: BatchProblem, part: slice, prices: Array, left_s: Array) -> Array:
    """Least costs of the options (S, K, O) that have so many seconds left for their demands."""
    budgets, speeds = batch.budgets[part, :, 0], batch.linear_speeds[part]
    amounts = (batch.uplink_bit[part], batch.edge_work_s[part], batch.downlink_bit[part])
    demands = [
        np.where(amount > 0.0, amount / (speeds[:, i] * budgets[:, i, None])[:, :, None], 0.0)
        for i, amount in zip((1, 2, 0), amounts, strict=True)
    ]
    roots = [np.sqrt(prices[:, i, None, None] * demand) for i, demand in enumerate(demands)]
    largest = np.ones((left_s.shape[0], left_s.shape[1], 1))
    if batch.edge_share_max is not None:
        largest = np.minimum(batch.edge_share_max[part] / budgets[:, 2, None], 1.0)[:, :, None]
    edge_s = demands[1] / largest
    uplink_s = np.full((1, 1, 1), np.inf)
    if batch.uplink_airtime_max_s is not None:
        uplink_s = batch.uplink_airtime_max_s[part] * (1.0 + MARGIN)
    least = np.where(demands[0] > 0.0, demands[0] / uplink_s, 0.0)
    # roots of what is free where no limit holds, where either does, and where both do, and the seconds left for it
    sums = [(roots[0] + roots[1] + roots[2], left_s)]
    if batch.uplink_airtime_max_s is not None:
        sums.append((roots[1] + roots[2], left_s - uplink_s))
    if batch.edge_share_max is not None:
        sums.append((roots[0] + roots[2], left_s - edge_s))
    if len(sums) == 3:
        sums.append((roots[2], left_s - edge_s - uplink_s))
    cost, none, whole = np.zeros(left_s.shape), np.zeros((1, 1, 1)), np.ones((1, 1, 1))
    for root, seconds in sums:
        z = np.where((seconds > 0.0) & (root > 0.0), root / seconds, 0.0)
        value = -z * z * left_s
        for i, (low, high) in enumerate(((least, whole), (none, largest), (none, whole))):
            price = prices[:, i, None, None]
            x = np.clip(np.where(price > 0.0, z * np.sqrt(demands[i] / price), high), low, high)
            value += np.where(demands[i] > 0.0, price * x + z * z * demands[i] / x, 0.0)
        cost = np.fmax(cost, value)
    return np.where(demands[0] + edge_s + demands[2] > left_s * (1.0 + MARGIN), np.inf, cost)
