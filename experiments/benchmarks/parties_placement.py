"""Placement problems of many sizes: time to the target gap, and HiGHS on the same model.

python -m experiments.benchmarks.parties_placement [sum|max|placement|highs] [K] [E]
"""

from __future__ import annotations

import json
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


TABLE = {
    # what is asked of each: objective, users, servers, models, gap
    "sum, 10,000 users": ("sum", 10_000, 10, 0, 1e-6),
    "max, 200 users": ("max", 200, 5, 0, 5e-3),
    "max, 10,000 users": ("max", 10_000, 10, 0, 1e-3),
    "placement, 10,000 users": ("sum", 10_000, 10, 3, 1e-4),
    "placement, 200 users": ("sum", 200, 4, 3, 1e-4),
    "placement, 200 users, HiGHS": ("sum", 200, 4, 3, 1e-4),
}


def row(name: str, seed: int, time_limit_s: float | None = None) -> dict[str, Any]:
    """One run: the gap that was reached, and the time that it took."""
    objective, users, servers, models, gap = TABLE[name]
    problem = crowded(users, servers, objective, models=models, seed=seed)
    clocks = time.perf_counter(), time.process_time()
    found = solve(problem, "edge_placement" if "HiGHS" in name else "auto", gap=gap, time_limit_s=time_limit_s)
    wall_s, processor_s = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
    return {
        "run": name, "seed": seed, "asked": gap, "gap": found.gap, "status": str(found.status),
        "objective_s": found.objective_s, "wall_s": round(wall_s, 3), "processor_s": round(processor_s, 3),
        "message": found.message,
    }  # fmt: skip


def main() -> None:
    """The table, or the rows whose names begin with the first argument, for as many seeds as the second says."""
    wanted, seeds = sys.argv[1] if len(sys.argv) > 1 else "", int(sys.argv[2]) if len(sys.argv) > 2 else 1
    limit = float(sys.argv[3]) if len(sys.argv) > 3 else 600.0
    row("placement, 200 users", 0)  # imports
    for name in TABLE:
        if name.startswith(wanted):
            for seed in range(seeds):
                print(json.dumps(row(name, seed, limit)), flush=True)


if __name__ == "__main__":
    main()
