"""How long a cell of a sweep takes, the table of its options made once; baselines apart.

    python -m experiments.benchmarks.sweeps [--cells 10000] [--jobs 1] [--keep]
    python -m experiments.benchmarks.sweeps --shard [--keep]
    python -m experiments.benchmarks.sweeps --kills 10 [--keep]

The bundled factory cell with the stated number of users, its bands drawn log-uniformly from 20 kHz to 2 MHz, a trace.
Prints seconds of the clock and of this process's processor for each cell, everything counted: reading the grid, the
table, the solution of every cell, rows and frames; for one that is planned alone as well. Code is compiled before.

With --shard: a tenth of 1,000,000 cells of two users, `--shard 1/10` of 1,000 x 1,000 bands, into Parquet files, with
the largest memory of the process. With --kills: a sweep of 400 cells in chunks of 10 undisturbed, killed so many times
at random moments, and on a local cluster of Dask; how many files of rows are the same bytes. With --keep rows are kept
in `results/sweeps.json`.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.record import RESULTS, commit, keep
from megdt_opt import Scenario, TimingProfile, plan, sweep_into
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


def two_phones() -> Scenario:
    """A scenario of two users."""
    return Scenario.model_validate({
        "name": "two phones", "steps": 10, "channel": {"downlink": "60 kHz", "uplink": "60 kHz"},
        "users": [
            {"name": name, "device": {"stretch": stretch}, "downlink_efficiency": "2 bit/s/Hz",
             "uplink_efficiency": "1 bit/s/Hz", "mechanisms": ["local", "centralised", "E2U", "SEU"]}
            for name, stretch in (("phone", 20), ("tablet", 9))
        ],
    })  # fmt: skip


def squared(side: int) -> dict[str, list[str]]:
    """So many bands by as many."""
    values = [f"{band} Hz" for band in np.geomspace(2e4, 2e6, side)]
    return {"channel.downlink": values, "channel.uplink": values}


def killed(kills: int, side: int = 20, seed: int = 0) -> dict[str, Any]:
    """A sweep of side x side cells killed at random moments, and one by Dask, against an undisturbed one."""
    from distributed import Client, LocalCluster
    from joblib import parallel_config

    drawn, cut, done = random.Random(seed), 0, []
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        begin = time.perf_counter()
        _into(home / "whole", side)
        whole_s = time.perf_counter() - begin
        for _ in range(kills):
            with subprocess.Popen(
                [sys.executable, "-m", "experiments.benchmarks.sweeps", "--into", str(home / "cut")]
            ) as run:
                before = len(list((home / "cut").glob("chunk-*.json")))
                while run.poll() is None and len(list((home / "cut").glob("chunk-*.json"))) <= before:
                    time.sleep(0.001)
                time.sleep(drawn.uniform(0.0, 0.01))
                run.send_signal(signal.SIGKILL)
                cut += run.wait() != 0
            done.append(len(list((home / "cut").glob("chunk-*.json"))))
        _into(home / "cut", side)
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster),
            parallel_config("dask"),
        ):
            _into(home / "dask", side)
        rows = {path.name: path.read_bytes() for path in (home / "whole").glob("*.parquet")}
        same = {
            one: sum((home / one / name).read_bytes() == data for name, data in rows.items()) for one in ("cut", "dask")
        }
        return {
            "kills": kills, "cut_off": cut, "chunks_after_each": done, "cells": side**2, "files": len(rows),
            "same_after_kills": same["cut"], "same_by_dask": same["dask"], "undisturbed_s": whole_s,
        }  # fmt: skip


def _into(folder: Path, side: int) -> None:
    sweep_into(folder, two_phones(), squared(side), compare=False, chunk=10)


def sharded(side: int = 1000, of: int = 10) -> dict[str, Any]:
    """The first shard of side x side cells of two users: seconds, cells and memory."""
    with tempfile.TemporaryDirectory() as folder:
        begin, own = time.perf_counter(), time.process_time()
        found = sweep_into(folder, two_phones(), squared(side), compare=False, shard=(1, of))
        written = sum(path.stat().st_size for path in Path(folder).glob("*.parquet"))
        return {
            "shard": f"1/{of}", "cells_in_all": side**2, "cells": found.computed, "states": dict(found.states),
            "clock_s": time.perf_counter() - begin, "processor_s": time.process_time() - own,
            "largest_memory_byte": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "written_byte": written,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--shard", action="store_true")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--into", type=Path, help="the sweep that is killed, into a folder")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    path = RESULTS / "sweeps.json"
    if given.into:
        _into(given.into, 20)
        return
    kind = "shard" if given.shard else "kills" if given.kills else "users"
    rows = {
        "shard": lambda: [sharded()],
        "kills": lambda: [killed(given.kills)],
        "users": lambda: [measured(users, given.cells, given.jobs) for users in (6, 10)],
    }[kind]()
    for row in rows:
        print(json.dumps(row), flush=True)
    if given.keep:
        before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
        keep(path, [row for row in before if kind not in row] + [row | {"commit": commit()} for row in rows])


if __name__ == "__main__":
    main()
