"""An edge that serves chains in turns: time to the target gap, the gain over reserved shares, and HiGHS on the model.

python -m experiments.benchmarks.parties_turns [beginning of a row's name] [seeds] [time limit in s]

Rows are kept in results/parties_turns.json, one by one; those that this commit has measured are not measured again.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.benchmarks.deviations import timed
from experiments.benchmarks.families import draw
from experiments.benchmarks.record import RESULTS, Rows
from megdt_opt import AllocationProblem, SequencedEdgeProblem, solve
from megdt_opt.problem.allocation_problem import evaluate

STEPS = 20
EDGE_S = 0.05
"""One denoising step on the whole server [s]."""

_SIDES = ("edge first", "device first", "one cut")


def crowd(users: int, objective: str, side: str, *, rho: float = 1.0, seed: int = 0) -> SequencedEdgeProblem:
    """Users of one server, which is as fast as all their devices together at rho = 1.

    Each user may stay on its device, download the finished image, or divide its steps: the edge first and the device
    afterwards, the device first and the edge afterwards, or ("one cut") with 63 random options without waiting.
    """
    rng = np.random.default_rng([seed, users, _SIDES.index(side)])
    speed = rng.uniform(0.5, 1.5, users)
    device = EDGE_S * (1.0 / speed).sum() * speed / rho  # sum of EDGE_S / device = rho
    decode_edge, decode = 1.5 * EDGE_S, 2.0 * device
    cut = np.arange(1, STEPS + 1.0)
    bits = np.full((users, STEPS), 2.6e5)  # a latent in half precision
    work, rest = EDGE_S * cut * np.ones((users, 1)), device[:, None] * (STEPS - cut)
    ready, after = np.full_like(work, 0.02), rest + decode[:, None]
    if side == "device first":
        ready, after = ready + rest, decode[:, None] * np.ones(STEPS)
    if side == "one cut":
        work = rng.uniform(0.0, STEPS * EDGE_S, (users, 62))
        ready, bits = np.zeros_like(work), rng.uniform(1e5, 1e6, work.shape)
        after = device[:, None] * (STEPS - work / EDGE_S) * rng.uniform(0.9, 1.1, work.shape) + decode[:, None]
    local, image = np.zeros((users, 1)), np.full((users, 1), 1.2e6)
    whole = np.full((users, 1), STEPS * EDGE_S + decode_edge)
    start = float(ready.min()) if side != "one cut" else 0.0
    return SequencedEdgeProblem(
        release_s=np.hstack([device[:, None] * (STEPS + 2.0), np.full((users, 1), start), ready]),
        edge_work_s=np.hstack([local, whole, work]),
        after_s=np.hstack([local, local, after]),
        downlink_bit=np.hstack([local, image, bits]),
        downlink_hz=20e6 * users / 20,
        downlink_efficiency=rng.uniform(0.5, 5.0, users),
        weight=rng.uniform(0.5, 2.0, users) if side == "one cut" else None,
        objective=objective,
    )


def reserved(problem: SequencedEdgeProblem) -> AllocationProblem:
    """The same options with reserved shares of the server."""
    return AllocationProblem(
        fixed_s=problem.release_s + problem.after_s, edge_work_s=problem.edge_work_s, downlink_bit=problem.downlink_bit,
        uplink_bit=np.zeros(problem.release_s.shape), downlink_hz=problem.downlink_hz, uplink_hz=0.0,
        downlink_efficiency=problem.downlink_efficiency, weight=problem.weight, objective=problem.objective,
    )  # fmt: skip


TABLE = {
    # what is asked of each: objective, side, users, gap, method
    "sum, 200 users": ("sum", "one cut", 200, 1e-6, "auto"),
    "sum, 10,000 users": ("sum", "one cut", 10_000, 1e-8, "auto"),
    "max, cuts, 6 users": ("max", "edge first", 6, 1e-6, "auto"),
    "max, cuts, 50 users": ("max", "edge first", 50, 1e-2, "auto"),
    "max, cuts, 200 users": ("max", "edge first", 200, 5e-3, "auto"),
    "device first, sum, 5 users": ("sum", "device first", 5, 1e-6, "auto"),
    "device first, sum, 40 users": ("sum", "device first", 40, 1e-2, "auto"),
    "device first, max, 6 users": ("max", "device first", 6, 1e-6, "auto"),
    "device first, max, 40 users": ("max", "device first", 40, 1e-2, "auto"),
    "HiGHS, max, cuts, 6 users": ("max", "edge first", 6, 1e-4, "sequenced_edge"),
    "HiGHS, device first, sum, 5 users": ("sum", "device first", 5, 1e-4, "sequenced_edge"),
}


def row(name: str, seed: int, time_limit_s: float | None = None) -> dict[str, Any]:
    """One run: the gap that was reached, the time that it took, and how much less than reserved shares it needs."""
    objective, side, users, gap, method = TABLE[name]
    problem = crowd(users, objective, side, seed=seed)
    clocks = time.perf_counter(), time.process_time()
    found = solve(problem, method, gap=gap, time_limit_s=time_limit_s)
    wall_s, processor_s = time.perf_counter() - clocks[0], time.process_time() - clocks[1]
    begin = time.process_time()
    other = solve(reserved(problem), gap=min(gap, 1e-3), time_limit_s=20.0)
    reserved_s = time.process_time() - begin
    assert (
        evaluate(reserved(problem), other.option, other.downlink_hz, other.uplink_hz, other.edge_share).violation < 1e-9
    )
    return {
        "run": name, "seed": seed, "asked": gap, "gap": found.gap, "status": str(found.status),
        "bound": str(found.bound_source), "objective_s": found.objective_s, "wall_s": round(wall_s, 3),
        "processor_s": round(processor_s, 3), "message": found.message,
        "below_reserved": 1.0 - found.objective_s / other.lower_bound_s, "reserved_processor_s": round(reserved_s, 3),
    }  # fmt: skip


BESIDE = ("beside reserved: sum, 200 users, cuts", "beside reserved: sum, 200 users, random options")
"""Turns against the reserved `solve` of the same size, to the same gap, both warm, in one run."""


def in_turns(problem: AllocationProblem) -> SequencedEdgeProblem:
    """A problem of reserved shares without uplinks as one of turns: the edge first, the device afterwards."""
    at_edge = problem.edge_work_s > 0
    return SequencedEdgeProblem(
        release_s=np.where(at_edge, 0.0, problem.fixed_s), edge_work_s=problem.edge_work_s,
        after_s=np.where(at_edge, problem.fixed_s, 0.0), downlink_bit=problem.downlink_bit,
        downlink_hz=problem.downlink_hz, downlink_efficiency=problem.downlink_efficiency, weight=problem.weight,
        objective=problem.objective,
    )  # fmt: skip


def beside(name: str, seed: int) -> dict[str, Any]:
    """One comparison of processor times, the least of five runs each."""
    if name == BESIDE[0]:
        drawn = draw("cuts", 200, 64, "sum", seed)
        other = replace(drawn, uplink_bit=np.zeros(drawn.uplink_bit.shape))
        problem = in_turns(other)
    else:
        problem = crowd(200, "sum", "one cut", seed=seed)
        other = reserved(problem)
    found, own_s = timed(lambda: solve(problem, gap=1e-6), repeats=5)
    known, reserved_s = timed(lambda: solve(other, gap=1e-6), repeats=5)
    return {
        "run": name, "seed": seed, "asked_ratio": 5.0, "ratio": own_s / reserved_s, "turns_s": own_s,
        "reserved_s": reserved_s, "turns_gap": found.gap, "reserved_gap": known.gap, "message": found.message,
    }  # fmt: skip


def main() -> None:
    """The table, or the rows whose names begin with the first argument, for as many seeds as the second says."""
    wanted, seeds = sys.argv[1] if len(sys.argv) > 1 else "", int(sys.argv[2]) if len(sys.argv) > 2 else 1
    limit = float(sys.argv[3]) if len(sys.argv) > 3 else 600.0
    kept = Rows(RESULTS / "parties_turns.json", "run", "seed")
    for name in ("device first, sum, 5 users", "sum, 200 users", "max, cuts, 6 users"):  # imports and compiled code
        row(name, 99)
    for name in (*TABLE, *BESIDE):
        for seed in range(seeds if name.startswith(wanted) else 0):
            if not kept.measured(run=name, seed=seed):
                kept.add(row(name, seed, limit) if name in TABLE else beside(name, seed))


if __name__ == "__main__":
    main()
