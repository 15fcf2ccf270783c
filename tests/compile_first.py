"""Compiles the kernels that most tests call, before several test processes would each do so for themselves.

`make test` runs this; without it the tests compile what they need, and take a few minutes of processor time more.
"""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

from benchmarks.families import draw

from megdt_opt import BatchProblem, solve, solve_batch

SCENARIOS = 3_000
USERS, OPTIONS = 100, 64
"""Problems large enough to be compiled for at once [1]."""


def search() -> None:
    """The passes of `solve`: largest latency, sum, and both together."""
    for objective in ("max", "sum"):
        solve(draw("cuts", USERS, OPTIONS, objective, 0))
    solve(replace(draw("cuts", USERS, OPTIONS, "sum", 0), objective="mixed", max_weight=5.0), gap=0.1)


def batch() -> None:
    """The kernels of `solve_batch` and of sweeps."""
    for objective in ("max", "sum"):
        problem = draw("cuts", 4, 10, objective, 0)
        solve_batch(BatchProblem.of([problem] * SCENARIOS))


if __name__ == "__main__":
    parts = [multiprocessing.Process(target=part) for part in (search, batch)]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    sys.exit(max(abs(part.exitcode or 0) for part in parts))
