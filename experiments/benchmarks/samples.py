"""Latencies at a level of 1,000 samples: 20 users with 16 options, what is found and proven in 30 s.

python -m experiments.benchmarks.samples [seeds]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from experiments.benchmarks.families import draw
from experiments.benchmarks.record import RESULTS, keep
from megdt_opt import AllocationProblem, solve

USERS, OPTIONS, SAMPLES, KEPT = 20, 16, 1000, 960


def sampled(family: str, objective: str, seed: int) -> AllocationProblem:
    """A nominal instance whose times were measured: most within a few per cent, one in fifty a half longer."""
    nominal = draw(family, USERS, OPTIONS, objective, seed)
    rng = np.random.default_rng([seed, 7])
    shape = (USERS, OPTIONS, SAMPLES)

    def factor() -> np.ndarray:
        return rng.lognormal(0.0, 0.05, shape) * np.where(rng.random(shape) < 0.02, 1.5, 1.0)

    return AllocationProblem(
        fixed_samples_s=nominal.fixed_s[:, :, None] * factor(),
        edge_work_samples_s=nominal.edge_work_s[:, :, None] * factor(), samples_kept=KEPT,
        downlink_bit=nominal.downlink_bit, uplink_bit=nominal.uplink_bit, downlink_hz=nominal.downlink_hz,
        uplink_hz=nominal.uplink_hz, edge_capacity=nominal.edge_capacity, edge_share_max=nominal.edge_share_max,
        weight=nominal.weight, downlink_efficiency=nominal.downlink_efficiency,
        uplink_efficiency=nominal.uplink_efficiency, objective=objective,
    )  # fmt: skip


def main(seeds: int = 3) -> None:
    """All rows, kept in results/samples.json."""
    rows: list[dict[str, Any]] = []
    for objective in ("sum", "max"):
        for family in ("cuts", "table"):
            for seed in range(seeds):
                problem = sampled(family, objective, seed)
                begin, wall = time.process_time(), time.monotonic()
                found = solve(problem, gap=1e-4)
                own, wall = time.process_time() - begin, time.monotonic() - wall
                row = {
                    "family": family, "objective": objective, "seed": seed, "users": USERS, "options": OPTIONS,
                    "samples": SAMPLES, "kept": KEPT, "gap": found.gap, "status": str(found.status),
                    "processor_s": own, "wall_s": wall, "holds": bool(found.certificate.verify(problem).holds),
                    "message": found.message,
                }  # fmt: skip
                print(row, flush=True)
                rows.append(row)
    keep(RESULTS / "samples.json", rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
