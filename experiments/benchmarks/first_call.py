"""Time from the start of a new process to its first solution: imports, compiled code and `solve` included.

    python experiments/benchmarks/first_call.py [--processes 15]

Each process draws one small instance, solves it and ends. It runs with the compiled code kept on disk, and with an
empty folder for it, where small problems are solved in NumPy. Beside the wall time stand the processor seconds, user
and system, which other work on the machine hardly changes. Writes results/first_call.json and prints a table.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from record import RESULTS, keep

GOAL_S = 0.5

CALL = """
import sys
sys.path.insert(0, {home!r})
from families import draw
from megdt_opt import solve
found = solve(draw({family!r}, {users}, {options}, {objective!r}, 0), method="prices")
assert found.status == "optimal", found
"""


def once(code: str, cache: str | None) -> tuple[float, float]:
    """Wall and processor seconds of one new process; `cache` is the folder for compiled code, if not the usual one."""
    environment = dict(os.environ) if cache is None else {**os.environ, "NUMBA_CACHE_DIR": cache}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(what: str, code: str, processes: int, *, kept: bool) -> dict[str, Any]:
    """Run so many processes one after the other; without kept code each begins with an empty folder."""
    times = []
    for _ in range(processes):
        with tempfile.TemporaryDirectory() as empty:
            times.append(once(code, None if kept else empty))
    wall, processor = (np.array(column) for column in zip(*times, strict=True))
    return {
        "what": what,
        "kept": kept,
        "processes": processes,
        "wall_median_s": float(np.median(wall)),
        "wall_worst_s": float(wall.max()),
        "processor_median_s": float(np.median(processor)),
        "processor_worst_s": float(processor.max()),
        "times_s": [list(pair) for pair in times],
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--options", type=int, default=32)
    parser.add_argument("--family", default="table")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    # compiled code is kept once a problem above its least size has been solved
    ready = CALL.format(home=str(Path(__file__).parent), family="table", users=100, options=64, objective="sum")
    subprocess.run([sys.executable, "-c", ready], check=True)
    cases = [("import numpy", "import numpy", True), ("import megdt_opt.solving", "import megdt_opt.solving", True)]
    for objective in ("sum", "max"):
        code = CALL.format(
            home=str(Path(__file__).parent), family=arguments.family, users=arguments.users,
            options=arguments.options, objective=objective,
        )  # fmt: skip
        cases += [(f"first {objective}", code, kept) for kept in (True, False)]
    rows = []
    print("what                       compiled code  wall median   worst   processor median   worst")
    for what, code, kept in cases:
        row = measure(what, code, arguments.processes, kept=kept)
        rows.append(row)
        print(
            f"{what:26s} {'kept' if kept else 'not there':13s}  {row['wall_median_s']:9.3f} s "
            f"{row['wall_worst_s']:7.3f} s {row['processor_median_s']:15.3f} s {row['processor_worst_s']:7.3f} s",
            flush=True,
        )
    instance = {"family": arguments.family, "users": arguments.users, "options": arguments.options}
    keep(arguments.out / "first_call.json", rows, instance=instance, goal_s=GOAL_S)


if __name__ == "__main__":
    main()
