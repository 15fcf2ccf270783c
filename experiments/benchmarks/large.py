"""Solution times and memory of the price method for very many users, one instance a cell.

    python experiments/benchmarks/large.py [--users 100000] [--options 64] [--families cuts,table]

Prints build and solution times of `solve`, the gap, and the passes over all options; the largest memory of the process
(drawing the instance included) at the end. Compiled code is warmed up first.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from families import draw

from megdt_opt import solve


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--options", type=int, default=64)
    parser.add_argument("--families", default="cuts,variants,table,front")
    arguments = parser.parse_args()
    for objective in ("sum", "max"):
        solve(draw("table", 30, 64, objective, 0), method="prices")
    for family in arguments.families.split(","):
        for objective in ("sum", "max"):
            problem = draw(family, arguments.users, arguments.options, objective, 0)
            begin = time.perf_counter()
            found = solve(problem, method="prices", time_limit_s=300.0)
            print(
                f"{family:9s} {objective}  {arguments.users} users, {arguments.options} options: "
                f"{time.perf_counter() - begin:6.2f} s  gap {found.gap:.1e}  {found.status}  {found.message}",
                flush=True,
            )
            del problem, found
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
