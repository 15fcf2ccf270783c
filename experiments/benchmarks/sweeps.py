"""How long a cell of a sweep takes, the table of its options made once; baselines apart.

    python experiments/benchmarks/sweeps.py [--cells 10000] [--jobs 1]

The bundled factory cell with the stated number of users, its bands drawn log-uniformly from 20 kHz to 2 MHz, a trace.
Prints seconds of the clock and of this process's processor for each cell, everything counted: reading the grid, the
table, the solution of every cell, rows and frames; for one that is planned alone as well. Code is compiled before.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from megdt_opt import Scenario, TimingProfile, plan
from megdt_opt.sweeping.runner import run_sweep

PROFILES = {"here": TimingProfile.bundled("twin-cpu")}


def bands(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """A trace of so many rows."""
    drawn = np.exp(np.random.default_rng(seed).uniform(np.log(2e4), np.log(2e6), (count, 2)))
    return [{"channel.downlink": f"{down} Hz", "channel.uplink": f"{up} Hz"} for down, up in drawn]


def measured(users: int, cells: int, jobs: int | None) -> dict[str, Any]:
    """Seconds of a cell [s]."""
    over: dict[str, Any] = {"users": [users], "rows": bands(cells)}
    run_sweep("demo", {"users": [users], "rows": bands(64, seed=1)}, profiles=PROFILES, compare=False)
    begin, own = time.perf_counter(), time.process_time()
    found = run_sweep("demo", over, profiles=PROFILES, compare=False, jobs=jobs)
    clock_s, processor_s = time.perf_counter() - begin, time.process_time() - own
    scenario = Scenario.named("demo")
    begin = time.process_time()
    for _ in range(3):
        plan(scenario, PROFILES, compare=False)
    return {
        "users": users,
        "cells": cells,
        "clock_s": clock_s,
        "clock_ms_a_cell": 1e3 * clock_s / cells,
        "processor_ms_a_cell": 1e3 * processor_s / cells,
        "solve_ms_a_cell": 1e3 * float(found.cells["solve_s"].mean()),
        "optimal": int((found.cells["status"] == "optimal").sum()),
        "processor_ms_a_plan_alone": 1e3 * (time.process_time() - begin) / 3,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=None)
    given = parser.parse_args()
    for users in (6, 10):
        print(json.dumps(measured(users, given.cells, given.jobs)), flush=True)


if __name__ == "__main__":
    main()
