"""Numbers that deviate within a budget: processor time against that of the nominal problem, in one run.

python -m experiments.benchmarks.deviations [seeds]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.benchmarks.families import draw
from experiments.benchmarks.record import RESULTS, keep
from megdt_opt import AllocationProblem, solve

GAP = 1e-6


def deviating(problem: AllocationProblem, budget: float, part: float = 0.2) -> AllocationProblem:
    """The same problem whose times and payloads may each be longer by a part of themselves."""
    return replace(
        problem, deviation_budget=budget, fixed_extra_s=part * problem.fixed_s,
        downlink_extra_bit=part * problem.downlink_bit, uplink_extra_bit=part * problem.uplink_bit,
        edge_work_extra_s=part * problem.edge_work_s,
    )  # fmt: skip


def timed(run: Callable[[], Any], repeats: int = 3) -> tuple[Any, float]:
    """The last result and the least processor time [s]."""
    best, found = np.inf, None
    for _ in range(repeats):
        begin = time.process_time()
        found = run()
        best = min(best, time.process_time() - begin)
    return found, best


def row(family: str, users: int, options: int, objective: str, budget: float, seed: int) -> dict[str, Any]:
    """One instance, nominal and robust."""
    nominal = draw(family, users, options, objective, seed)
    robust = deviating(nominal, budget)
    plain, plain_s = timed(lambda: solve(nominal, gap=GAP))
    found, robust_s = timed(lambda: solve(robust, gap=GAP))
    assert found.is_proven(robust, GAP)
    return {
        "family": family, "users": users, "options": options, "objective": objective, "budget": budget, "seed": seed,
        "nominal_s": plain_s, "robust_s": robust_s, "ratio": robust_s / plain_s,
        "price_of_robustness": found.objective_s / plain.objective_s - 1.0, "message": found.message,
        "nominal_in_the_worst_case": robust.evaluate(plain).objective_s / found.objective_s - 1.0,
    }  # fmt: skip


def main(seeds: int = 5) -> None:
    """All rows, kept in results/deviations.json."""
    for objective in ("sum", "max"):  # the compiled code is there before anything is timed
        solve(draw("cuts", 200, 64, objective, 99), gap=GAP)
        solve(deviating(draw("cuts", 200, 64, objective, 99), 2.0), gap=GAP)
    rows = []
    for objective in ("sum", "max"):
        for family in ("cuts", "table"):
            for users in (20, 200):
                for budget in (1.0, 2.0, 2.5):
                    own = [row(family, users, 64, objective, budget, seed) for seed in range(seeds)]
                    ratio = sorted(one["ratio"] for one in own)
                    print(objective, family, users, budget, "ratio: median", round(float(np.median(ratio)), 2),
                          "worst", round(ratio[-1], 2), [one["message"] for one in own][:2], flush=True)  # fmt: skip
                    rows += own
    keep(RESULTS / "deviations.json", rows, gap=GAP)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
