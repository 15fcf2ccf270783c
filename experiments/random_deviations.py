"""Small random problems whose numbers deviate within a budget."""

from __future__ import annotations

import numpy as np

from megdt_opt import AllocationProblem


def draw_deviations(number: int, seed: int = 0) -> AllocationProblem:
    """Two or three users with two or three options.

    Even numbers are "sum", odd ones "max"; every fifth has Shannon rates, every fourth device branches and caps on the
    share of the edge, every sixth deadlines, every seventh limits on air time. Budgets are between 0.2 and 3.8, every
    third a whole number; some amounts are 0 unless they deviate.
    """
    rng = np.random.default_rng([seed, number])
    users, options = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    shape = (users, options)

    def table(most: float, part: float) -> np.ndarray:
        return rng.uniform(0.0, most, shape) * (rng.random(shape) < part)

    side = "snr_hz" if number % 5 == 0 else "efficiency"
    low, high = (2e5, 2e7) if side == "snr_hz" else (0.5, 6.0)
    more = {}
    if number % 4 in (1, 2):
        more = {"device_branch_s": table(2.0, 0.5), "edge_share_max": rng.uniform(0.3, 1.5, users)}
    if number % 6 in (4, 5):
        more["deadline_s"] = np.where(rng.random(users) < 0.7, rng.uniform(6.0, 15.0, users), np.inf)
    if number % 7 == 0:
        more["uplink_airtime_max_s"] = np.where(rng.random(shape) < 0.7, rng.uniform(1.0, 5.0, shape), np.inf)
    return AllocationProblem(
        fixed_s=table(3.0, 0.9), downlink_bit=table(1e6, 0.7), uplink_bit=table(1e5, 0.7), edge_work_s=table(1.0, 0.7),
        downlink_hz=1e6, uplink_hz=2e5, edge_capacity=float(rng.uniform(0.5, 2.0)), weight=rng.uniform(0.5, 2.0, users),
        objective="max" if number % 2 else "sum",
        deviation_budget=float(rng.integers(1, 4)) if number % 3 == 0 else float(rng.uniform(0.2, 3.8)),
        fixed_extra_s=table(1.0, 0.7), downlink_extra_bit=table(5e5, 0.7), uplink_extra_bit=table(5e4, 0.7),
        edge_work_extra_s=table(0.5, 0.7),
        **{f"downlink_{side}": rng.uniform(low, high, users), f"uplink_{side}": rng.uniform(low, high, users)}, **more,
    )  # fmt: skip
