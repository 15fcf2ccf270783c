"""Batched edges of many sizes: time to the target gap, and what the best blocks and schedules save.

python -m experiments.benchmarks.parties_batches [first letters of the rows' names] [seeds]

Rows are kept in results/parties_batches.json, one by one; those that this commit has measured are not measured again.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.benchmarks.record import RESULTS, Rows
from megdt_opt import BatchedEdgeProblem, solve

STEP_S, DECODE_S = 2 * 60.171e-3, 180.005e-3
"""Stable Diffusion 1.5 on a Samsung Galaxy S25: a step of two passes, and decoding [s] (data/device_timings.csv)."""

LATENT_BIT = 4 * 64 * 64 * 16.0
STEPS = 20


def crowd(
    users: int, objective: str, *, ratio: float, alike: bool = True, crowding: float = 1.0, seed: int = 0
) -> BatchedEdgeProblem:
    """Phones around an edge whose one common batch takes `crowding` times what all phones together would take.

    The intercept of a step is `ratio` times its slope. Where users are not alike, their devices are 0.5 to 1.5 times
    as slow and their weights are 0.5 to 2. Qualities grow as 1 - exp(-n / scale), with scales from 3 to 9 steps, and
    deadlines are 0.1 to 0.8 times the end of one common batch; the settings of STACKING are not published in full.
    """
    rng = np.random.default_rng([seed, users, round(10 * ratio), alike])
    own = np.full(users, STEP_S) if alike else STEP_S * rng.uniform(0.5, 1.5, users)
    slope = crowding / ((1 + ratio / users) * float((1 / own).sum()))
    fields: dict[str, Any] = {
        "steps": STEPS, "step_slope_s": slope, "step_base_s": ratio * slope, "after_s": np.full(users, DECODE_S),
        "downlink_bit": np.full(users, LATENT_BIT), "downlink_hz": 20e6,
        "downlink_efficiency": rng.uniform(1.0, 6.0, users), "objective": objective,
    }  # fmt: skip
    if not alike:
        fields["weight"] = rng.uniform(0.5, 2.0, users)
    if objective == "quality":
        scale = rng.uniform(3.0, 9.0, (users, 1))
        fields["quality"] = 1 - np.exp(-np.arange(STEPS + 1) / scale)
        common = STEPS * slope * (users + ratio) + DECODE_S
        fields["deadline_s"] = common * rng.uniform(0.1, 0.8, users)
    else:
        fields["device_step_s"] = own
    return BatchedEdgeProblem(**fields)


def common_batch_s(problem: BatchedEdgeProblem) -> float:
    """The best objective where some users make all steps in one batch and the others none: by trying how many, of those
    who gain most, with the best shares."""
    p = problem
    gain = p.weights * p.steps * p.steps_s
    best = np.inf
    for key in (-gain, -p.steps_s, p.downlink_bit / np.maximum(p.law, 1e-300)):
        order = np.argsort(key, kind="stable")
        for size in range(p.users + 1):
            at = np.zeros(p.users, dtype=bool)
            at[order[:size]] = True
            best = min(best, _together_s(p, at))
    return best


def _together_s(p: BatchedEdgeProblem, at: NDArray[np.bool_]) -> float:
    """Objective of one batch of some users: what it takes is a constant, so that users have one option each."""
    n = p.steps
    took = p.start_s + n * (p.step_slope_s * int(at.sum()) + p.step_base_s)
    allowed = np.zeros((p.users, n + 1), dtype=bool)
    allowed[at, n] = allowed[~at, 0] = True
    # a step without an intercept whose only batch is that of all: the same law of ends
    whole = replace(p, cut_allowed=allowed, step_slope_s=0.0, step_base_s=took / n, edge_start_s=0.0)
    return float(solve(whole, "batched_edge" if p.objective == "max" else "prices", gap=1e-6).objective_s)


TABLE = {
    # what is asked of each: objective, users, method, gap
    "sum, 50 users": ("sum", 50, "auto", 1e-6),
    "sum, 200 users": ("sum", 200, "auto", 1e-4),
    "max, 6 users, exact": ("max", 6, "batched_edge", 1e-6),
    "max, 6 users": ("max", 6, "prices", 1e-3),
    "max, 40 users": ("max", 40, "prices", 1e-3),
    "quality, 5 users, exact": ("quality", 5, "batched_edge", 1e-6),
    "quality, 5 users": ("quality", 5, "prices", 1e-3),
    "quality, 40 users": ("quality", 40, "prices", 1e-3),
}
SAVED = {"one batch, max, 10 users": ("max", 10), "one batch, sum, 20 users": ("sum", 20)}
"""What is compared with the best common batch."""


def row(name: str, ratio: float, alike: bool, seed: int) -> dict[str, Any]:
    """One run: the gap that was reached, and the time that it took."""
    objective, users, method, gap = TABLE[name]
    problem = crowd(users, objective, ratio=ratio, alike=alike, seed=seed)
    clocks = time.perf_counter(), time.process_time()
    found = solve(problem, method, gap=gap)
    wall_s, processor_s = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
    return {
        "run": name, "ratio": ratio, "alike": alike, "seed": seed, "asked": gap, "gap": found.gap,
        "status": str(found.status), "bound": str(found.bound_source),
        "objective": found.objective if objective == "quality" else found.objective_s,
        "wall_s": round(wall_s, 3), "processor_s": round(processor_s, 3), "message": found.message,
    }  # fmt: skip


def saved(name: str, ratio: float, alike: bool, seed: int) -> dict[str, Any]:
    """One comparison with the best common batch."""
    objective, users = SAVED[name]
    problem = crowd(users, objective, ratio=ratio, alike=alike, seed=seed)
    found = solve(problem, "prices", gap=1e-3).objective_s
    common = common_batch_s(problem)
    return {
        "run": name, "ratio": ratio, "alike": alike, "seed": seed, "objective": found, "common": common,
        "below": 1 - found / common,
    }  # fmt: skip


def main() -> None:
    """The table, or the rows whose names begin with the first argument, for as many seeds as the second says."""
    wanted, seeds = sys.argv[1] if len(sys.argv) > 1 else "", int(sys.argv[2]) if len(sys.argv) > 2 else 1
    kept = Rows(RESULTS / "parties_batches.json", "run", "ratio", "alike", "seed")
    for warm in ("sum", "max", "quality"):  # compiles
        solve(crowd(7, warm, ratio=0.5), "prices", gap=0.5)
    for name in (*TABLE, *SAVED):
        for ratio, alike, seed in product((0.2, 1.6), (True, False), range(seeds if name.startswith(wanted) else 0)):
            if not kept.measured(run=name, ratio=ratio, alike=alike, seed=seed):
                kept.add((row if name in TABLE else saved)(name, ratio, alike, seed))


if __name__ == "__main__":
    main()
