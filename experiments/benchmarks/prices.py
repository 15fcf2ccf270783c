"""Solution times of the price method: median, 99th percentile, share closed, by family, users and objective.

    python experiments/benchmarks/prices.py [--users 2,5,10,20,50,100] [--options 64] [--seeds 25] [--kind linear]

`--kind` names what the instances have beyond the plain case (families.KINDS); it and `--families` take several, with
commas. Writes results/prices.json (every time), with a figure for each kind and objective of three sizes or more, and
prints tables. The compiled code is warmed up first; a time is that of `solve`, evaluation and certificate included. Run
on an idle machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from families import FAMILIES, KINDS, draw
from record import RESULTS, keep

from megdt_opt import plot, solve

GAP = 1e-6
TIME_LIMIT_S = 20.0


def measure(family: str, users: int, options: int, objective: str, seeds: int, kind: str) -> dict[str, Any]:
    """Solve the instances of a cell, half of them with a scarce edge."""
    times, gaps, passes, closed = [], [], [], 0
    for seed in range(seeds):
        problem = draw(family, users, options, objective, seed, scarce=seed % 2 == 0, kind=kind)
        begin = time.perf_counter()
        found = solve(problem, method="prices", gap=GAP, time_limit_s=TIME_LIMIT_S)
        times.append(time.perf_counter() - begin)
        gaps.append(found.gap)
        # "N nodes, M price vectors"
        passes.append(int(found.message.split()[2]))
        closed += found.status == "optimal"
    return {
        "family": family,
        "kind": kind,
        "users": users,
        "options": options,
        "objective": objective,
        "instances": seeds,
        "closed": closed,
        "worst_gap": max(gaps),
        "median_s": float(np.median(times)),
        "p99_s": float(np.quantile(times, 0.99)),
        "worst_s": max(times),
        "median_passes": float(np.median(passes)),
        "times_s": times,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", default="2,5,10,20,50,100")
    parser.add_argument("--options", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--kind", default="linear", help=", ".join(KINDS))
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--name", default="prices", help="of the results")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    kinds = arguments.kind.split(",")
    for objective in ("sum", "max"):  # large enough that the compiled code is used at once
        solve(draw("table", 100, 64, objective, 0), method="prices", time_limit_s=600.0)
    rows = []
    print("kind       family     objective  users  median      p99         worst       closed")
    for users in (int(n) for n in arguments.users.split(",")):
        for kind, family in product(kinds, arguments.families.split(",")):
            for objective in ("sum", "max"):
                row = measure(family, users, arguments.options, objective, arguments.seeds, kind)
                rows.append(row)
                print(
                    f"{kind:10s} {family:10s} {objective:9s} {users:6d}  {row['median_s'] * 1e3:8.2f} ms "
                    f"{row['p99_s'] * 1e3:8.2f} ms {row['worst_s'] * 1e3:8.2f} ms  {row['closed']}/{row['instances']}"
                    f"  worst gap {row['worst_gap']:.1e}  passes {row['median_passes']:.0f}",
                    flush=True,
                )
    keep(arguments.out / f"{arguments.name}.json", rows, gap=GAP)
    for (kind, objective), part in _each_solve(rows).groupby(["kind", "objective"]):
        if part.users.nunique() < 3:
            continue  # a table says as much
        figure = plot.solve_time_figure(part, by="family")
        plot.save(figure, arguments.out / f"{arguments.name}_{kind}_{objective}.png")
    print(_over_families(rows).to_string(index=False))


def _each_solve(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """One row for each solution."""
    return pd.DataFrame(
        [
            {**{name: row[name] for name in ("kind", "family", "users", "objective")}, "solve_s": time_s}
            for row in rows
            for time_s in row["times_s"]
        ]
    )


def _over_families(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Median and 99th percentile [ms] of all families together, and how many were closed."""
    times = _each_solve(rows).groupby(["kind", "users", "objective"], sort=False).solve_s
    counts = pd.DataFrame(rows).groupby(["kind", "users", "objective"], sort=False)[["closed", "instances"]].sum()
    table = pd.DataFrame({"median_ms": times.median() * 1e3, "p99_ms": times.quantile(0.99) * 1e3})
    return table.join(counts).reset_index().round(2)


if __name__ == "__main__":
    main()
