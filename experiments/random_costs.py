"""Small random problems whose options have costs beside the latency, limited, weighted or both."""

from __future__ import annotations

import numpy as np

from megdt_opt import AllocationProblem

KINDS = ("limits", "weights", "both")


def draw_costs(number: int, seed: int = 0) -> AllocationProblem:
    """Two to four users with two to four options and one or two costs.

    Even numbers are "sum", odd ones "max"; every third has limits, weights, or both; every fifth Shannon rates, every
    fourth device branches and caps. Limits are between the least total and the largest, some exactly at a total.
    """
    rng = np.random.default_rng([seed, number])
    users, options, costs = int(rng.integers(2, 5)), int(rng.integers(2, 5)), int(rng.integers(1, 3))
    shape = (users, options)
    kind = KINDS[number // 2 % 3]

    def table(most: float, part: float) -> np.ndarray:
        return rng.uniform(0.0, most, shape) * (rng.random(shape) < part)

    cost = rng.uniform(0.0, 2.0, (*shape, costs)) * (rng.random((*shape, costs)) < 0.8)
    if number % 7 == 0:
        cost = np.round(cost, 1)  # totals that meet a limit but for rounding
    least, most = cost.min(axis=1).sum(axis=0), cost.max(axis=1).sum(axis=0)
    limit = least + (most - least) * rng.uniform(0.1, 0.7, costs)
    if number % 7 == 0:
        limit = np.round(limit + 0.05, 1)
    if costs == 2 and number % 11 == 0:
        limit[1] = np.inf
    side = "snr_hz" if number % 5 == 0 else "efficiency"
    low, high = (2e5, 2e7) if side == "snr_hz" else (0.5, 6.0)
    more = {}
    if number % 4 in (1, 2):
        more = {"device_branch_s": table(2.0, 0.5), "edge_share_max": rng.uniform(0.3, 1.5, users)}
    return AllocationProblem(
        fixed_s=table(3.0, 0.9), downlink_bit=table(1e6, 0.7), uplink_bit=table(1e5, 0.7), edge_work_s=table(1.0, 0.7),
        downlink_hz=1e6, uplink_hz=2e5, edge_capacity=float(rng.uniform(0.5, 2.0)), weight=rng.uniform(0.5, 2.0, users),
        objective="max" if number % 2 else "sum", option_cost=cost,
        cost_max=None if kind == "weights" else limit,
        cost_weight_s=None if kind == "limits" else rng.uniform(0.0, 1.0, costs),
        **{f"downlink_{side}": rng.uniform(low, high, users), f"uplink_{side}": rng.uniform(low, high, users)}, **more,
    )  # fmt: skip
