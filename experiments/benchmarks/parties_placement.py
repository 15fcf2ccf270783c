"""Placement problems of many sizes: time to the target gap, and HiGHS on the same model.

python -m experiments.benchmarks.parties_placement [sum|max|placement|highs] [K] [E]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from megdt_opt import PlacementProblem, solve


def crowded(users: int, servers: int, objective: str, *, models: int = 0, seed: int = 0) -> PlacementProblem:
    """Users of servers that are short of everything, so that about half of the users stay on their devices.

    Each user has one option at each server, with an efficiency of its own there, and one on its device. With `models`,
    each server's memory holds all but one of them.
    """
    rng = np.random.default_rng([seed, users, servers])
    options = servers + 1
    server = np.broadcast_to(np.r_[np.arange(servers), -1], (users, options))
    away = server >= 0
    each = users / servers
    fields: dict[str, Any] = {}
    if models:
        fields = {
            "user_model": rng.integers(0, models, users), "model_byte": rng.uniform(4e9, 5e9, models),
            "memory_byte": rng.uniform(5.0, 5.9, servers) * 1e9 * (models - 1),
        }  # fmt: skip
    return PlacementProblem(
        fixed_s=np.where(away, rng.uniform(0.1, 0.6, (users, options)), rng.uniform(2.0, 9.0, (users, 1))),
        downlink_bit=np.where(away, rng.uniform(0.5e6, 2e6, (users, 1)), 0.0),
        uplink_bit=np.where(away, rng.uniform(0.1e6, 0.5e6, (users, 1)), 0.0),
        edge_work_s=np.where(away, rng.uniform(0.5, 2.0, (users, 1)), 0.0),
        option_server=server.copy(),
        downlink_hz=each * rng.uniform(0.15, 0.3, servers) * 1e6,
        uplink_hz=each * rng.uniform(0.1, 0.2, servers) * 1e6,
        edge_capacity=each * rng.uniform(0.3, 0.6, servers),
        downlink_efficiency=rng.uniform(1.0, 6.0, (users, servers)),
        uplink_efficiency=rng.uniform(0.5, 3.0, (users, servers)),
        weight=rng.uniform(0.5, 2.0, users),
        objective=objective,
        **fields,
    )


TARGETS = {"sum": 1e-6, "max": 1e-3, "placement": 1e-4}


def main() -> None:
    """One line a run."""
    kind, users, servers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    gap = float(sys.argv[4]) if len(sys.argv) > 4 else TARGETS[kind]
    problem = crowded(users, servers, "max" if kind == "max" else "sum", models=3 * (kind == "placement"))
    for _ in range(2):
        begin = time.perf_counter()
        found = solve(problem, gap=gap, time_limit_s=60.0)
        print(kind, users, servers, found.status, f"gap {found.gap:.2e}", f"{time.perf_counter() - begin:.3f} s",
              f"{found.objective_s:.6f}", found.message, flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
