"""Scenarios a second of `solve_batch`, by family and objective, with the share closed and a check against `solve`.

    python experiments/benchmarks/batch.py [--scenarios 20000] [--users 10] [--options 32] [--check 200]

Half of the scenarios have a scarce edge. A time is that of a call of `solve_batch` on arrays, evaluation included,
compilation not; the median of three. Drawing is slow in Python, so `--drawn` scenarios are drawn and repeated. Writes
results/batch.json. Run on an idle machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from families import FAMILIES, draw
from record import RESULTS, keep

from megdt_opt import BatchProblem, solve, solve_batch

GAP = 1e-6


def repeated(batch: BatchProblem, scenarios: int) -> BatchProblem:
    """The scenarios of a batch over and over."""
    index = np.arange(scenarios) % batch.scenarios
    arrays = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name != "objective"}
    return replace(batch, **{name: array[index] for name, array in arrays.items() if array is not None})


def measure(family: str, objective: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One family."""
    problems = [
        draw(family, arguments.users, arguments.options, objective, seed, scarce=seed % 2 == 0)
        for seed in range(arguments.drawn)
    ]
    batch = repeated(BatchProblem.of(problems), arguments.scenarios)
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        found = solve_batch(batch, GAP)
        times.append(time.perf_counter() - begin)
    worst = 0.0
    checked = min(arguments.check, len(problems))
    for s in range(checked):
        one = solve(problems[s], "prices", GAP)
        worst = max(worst, abs(float(found.objective_s[s]) / one.objective_s - 1))
        if found.lower_bound_s[s] > one.objective_s * (1 + 1e-9) or one.lower_bound_s > found.objective_s[s] * (
            1 + 1e-9
        ):
            raise AssertionError(f"{family}, {objective}, seed {s}: a bound exceeds an objective")
    return {
        "family": family,
        "objective": objective,
        "scenarios": arguments.scenarios,
        "drawn": arguments.drawn,
        "per_s": arguments.scenarios / float(np.median(times)),
        "share_closed": found.share_closed,
        "share_handed_on": float(found.handed_on.mean()),
        "passes_mean": float(found.passes.mean()),
        "nodes_mean": float(found.nodes.mean()),
        "checked": checked,
        "worst_difference": worst,
        "times_s": times,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", type=int, default=20_000)
    parser.add_argument("--drawn", type=int, default=1_000)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--options", type=int, default=32)
    parser.add_argument("--check", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = []
    for objective in ("sum", "max"):
        warm = BatchProblem.of([draw("table", arguments.users, arguments.options, objective, s) for s in range(2)])
        begin = time.perf_counter()
        solve_batch(repeated(warm, 1_000), GAP)
        print(f"{objective}: first call {time.perf_counter() - begin:.1f} s")
        for family in FAMILIES:
            row = measure(family, objective, arguments)
            rows.append(row)
            print(
                f"{family:10s} {objective:4s} {row['per_s']:9,.0f} /s  closed {row['share_closed']:.5f}  handed on "
                f"{row['share_handed_on']:.5f}  passes {row['passes_mean']:.1f}  nodes {row['nodes_mean']:.1f}  "
                f"worst difference from solve {row['worst_difference']:.1e} ({row['checked']})",
                flush=True,
            )
    keep(arguments.out / "batch.json", rows, gap=GAP, users=arguments.users, options=arguments.options)


if __name__ == "__main__":
    main()
