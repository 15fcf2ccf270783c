"""`replan` from the last plan against `solve` anew, with and without a cost of switching, in one run.

python -m experiments.benchmarks.replanning [seeds]

30 users with 161 options, whose rates change by up to a tenth; processor time, the least of five runs each. "asked": to
be no slower; at most 1.2 times counts as that.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.benchmarks.deviations import timed
from experiments.benchmarks.families import draw
from experiments.benchmarks.record import RESULTS, keep
from megdt_opt import replan, solve

USERS, OPTIONS, GAP, REPEATS = 30, 161, 1e-6, 5


def row(family: str, objective: str, cost_s: float, seed: int) -> dict[str, Any]:
    """One instance: `solve` of the new problem without switching costs, and `replan` with them."""
    before = draw(family, USERS, OPTIONS, objective, seed)
    rng = np.random.default_rng([seed, USERS])
    after = replace(
        before,
        downlink_efficiency=before.downlink_efficiency * rng.uniform(0.9, 1.1, USERS),
        uplink_efficiency=before.uplink_efficiency * rng.uniform(0.9, 1.1, USERS),
    )
    previous = solve(before, gap=GAP)
    _, solve_s = timed(lambda: solve(after, gap=GAP), REPEATS)
    found, replan_s = timed(lambda: replan(after, previous, cost_s, gap=GAP), REPEATS)
    return {
        "family": family, "objective": objective, "switch_cost_s": cost_s, "seed": seed, "solve_s": solve_s,
        "replan_s": replan_s, "ratio": replan_s / solve_s, "asked_ratio": 1.2, "gap": found.allocation.gap,
        "warm": found.warm, "switched": len(found.switched),
    }  # fmt: skip


def main(seeds: int = 10) -> None:
    """All rows, kept in results/replanning.json."""
    for objective in ("sum", "max"):  # the compiled code is there before anything is timed
        row("table", objective, 0.05, 99)
    rows: list[dict[str, Any]] = []
    for family in ("cuts", "table"):
        for objective in ("sum", "max"):
            for cost_s in (0.0, 0.05):
                own = [row(family, objective, cost_s, seed) for seed in range(seeds)]
                ratio = [one["ratio"] for one in own]
                print(family, objective, cost_s, "median", np.median(ratio), "worst", max(ratio), flush=True)
                rows += own
    keep(RESULTS / "replanning.json", rows, gap=GAP)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
