"""Solution times and memory of the price method for very many users, one instance a cell.

    python experiments/benchmarks/large.py [--users 100000] [--options 64] [--families cuts,table] [--kind shannon]

Prints and keeps the times of `solve`, the gap, and the passes over all options; the largest memory of the process
(drawing the instance included) at the end. Compiled code is warmed up first. Run on an idle machine.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from families import KINDS, draw
from record import RESULTS, keep

from megdt_opt import solve


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--options", type=int, default=64)
    parser.add_argument("--families", default="cuts,variants,table,front")
    parser.add_argument("--kind", default="linear", help=", ".join(KINDS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    for objective in ("sum", "max"):
        solve(draw("table", 8000, 64, objective, 0, kind=arguments.kind), method="prices")
    rows = []
    for family in arguments.families.split(","):
        for objective in ("sum", "max"):
            problem = draw(family, arguments.users, arguments.options, objective, 0, kind=arguments.kind)
            times = []
            for _ in range(arguments.repeats):
                begin = time.perf_counter()
                found = solve(problem, method="prices", time_limit_s=300.0)
                times.append(time.perf_counter() - begin)
            print(
                f"{arguments.kind} {family:9s} {objective}  {arguments.users} users, {arguments.options} options: "
                f"median {np.median(times):6.3f} s, worst {max(times):6.3f} s  gap {found.gap:.1e}  {found.status}  "
                f"{found.message}",
                flush=True,
            )
            rows.append(
                {
                    "family": family, "kind": arguments.kind, "objective": objective, "users": arguments.users,
                    "options": arguments.options,
                    "median_s": float(np.median(times)), "worst_s": max(times), "times_s": times, "gap": found.gap,
                    "status": found.status, "message": found.message,
                }
            )  # fmt: skip
            del problem, found
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"largest memory: {memory:.2f} GiB")
    keep(arguments.out / f"large_{arguments.kind}_{arguments.users}.json", rows, largest_memory_gib=memory)


if __name__ == "__main__":
    main()
