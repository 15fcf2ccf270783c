"""Small random problems with samples of fixed times and of work at the edge."""

from __future__ import annotations

from typing import Any

import numpy as np

from megdt_opt import AllocationProblem


def draw_samples(number: int, seed: int = 0) -> AllocationProblem:
    """Two or three users with one or two options and three to six samples; even numbers are "sum", odd
    ones "max", every third of these with deadlines; half have caps on the share of the edge.
    """
    rng = np.random.default_rng([seed, number])
    users, options, count = int(rng.integers(2, 4)), int(rng.integers(1, 3)), int(rng.integers(3, 7))
    shape = (users, options)
    work = rng.uniform(0.0, 1.0, shape) * (rng.random(shape) < 0.8)
    spread = rng.lognormal(0.0, 0.7, (*shape, count))
    more: dict[str, Any] = {}
    if number % 4 in (1, 2):
        more["edge_share_max"] = rng.uniform(0.3, 1.5, users)
    if number % 6 == 5:
        more["deadline_s"] = np.where(rng.random(users) < 0.7, rng.uniform(5.0, 12.0, users), np.inf)
    return AllocationProblem(
        fixed_samples_s=rng.uniform(0.0, 2.0, shape)[:, :, None] * rng.lognormal(0.0, 0.5, (*shape, count)),
        edge_work_samples_s=work[:, :, None] * spread, samples_kept=int(rng.integers(1, count + 1)),
        downlink_bit=rng.uniform(0.0, 1e6, shape) * (rng.random(shape) < 0.7),
        uplink_bit=rng.uniform(0.0, 1e5, shape) * (rng.random(shape) < 0.7), downlink_hz=1e6, uplink_hz=2e5,
        edge_capacity=float(rng.uniform(0.5, 2.0)), weight=rng.uniform(0.5, 2.0, users),
        objective="max" if number % 2 else "sum", downlink_efficiency=rng.uniform(0.5, 6.0, users),
        uplink_efficiency=rng.uniform(0.5, 6.0, users), **more,
    )  # fmt: skip
