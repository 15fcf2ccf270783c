"""Put seeded faults into runs of several users: the others finish, nothing hangs, nothing is left.

    python experiments/execution/faults.py [--seeds 10] [--minutes 4] [--out FOLDER]

Twenty kinds of faults (tests/execution/fault_cases.py and more_faults.py), ten seeds each: two edge servers, five
devices, real processes. Each case is checked as the tests check it: who may be cut off, that all others have the very
picture of an undisturbed run, that each of those who are cut off falls back or is told why; in addition the record is
written and read back. A list that was interrupted goes on where it stopped. Writes faults.json and faults.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "execution"))
sys.path.insert(0, str(Path(__file__).parent))

import torch
from fault_cases import ACTORS, KINDS
from more_faults import MORE
from several import commit
from test_containing import (
    OPTIONS,
    test_a_fault_concerns_those_alone_who_depend_on_it,
    test_whatever_else_happens_the_others_finish_and_nothing_hangs,
)
from test_failures import alive

from megdt_opt import Execution
from megdt_opt.errors import MegdtError
from megdt_opt.execution import Cluster
from megdt_opt.files import write_text
from megdt_opt.machine import environment

RESULTS = Path(__file__).with_name("results")
TESTS = Path(__file__).parents[2] / "tests" / "execution"

Row = dict[str, Any]


class Recorded:
    """A cluster whose records are written and read back.

    Parameters
    ----------
    cluster : Cluster
    folder : Path
        Where; it holds one record at the end, and no draft of one.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster, self._folder = cluster, folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    def run(self, *args: Any, **more: Any) -> Execution:
        """Run, write, read."""
        done = self._cluster.run(*args, **more)
        done.save(self._folder / "record.json")
        Execution.load(self._folder / "record.json")
        return done


def one(kind: str, seed: int, cluster: Cluster, pids: set[int]) -> Row:
    """A case, and what was wrong about it: "" where nothing was."""
    check: Any = test_a_fault_concerns_those_alone_who_depend_on_it if kind in KINDS else (
        test_whatever_else_happens_the_others_finish_and_nothing_hangs
    )  # fmt: skip
    begin, wrong = time.monotonic(), ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            check((Recorded(cluster, Path(folder)), pids), kind, seed)
        except (AssertionError, MegdtError, RuntimeError, OSError) as error:
            wrong = f"{type(error).__name__}: {error}"[:500]
        half = [file for file in os.listdir(folder) if file != "record.json"]
    took_s = time.monotonic() - begin
    orphans = [pid for pid in pids if alive(pid) and pid not in set(cluster.pids.values())]
    return {
        "kind": kind, "seed": seed, "took_s": took_s, "wrong": wrong, "hung": took_s > OPTIONS.timeout_s + 30,
        "half_files": half, "orphans": len(orphans), "load": os.getloadavg()[0],
    }  # fmt: skip


def page_of(data: Row) -> str:
    """The page of the list."""
    rows, where = data["rows"], data["machine"]
    lines = [
        "# Faults put into runs",
        "",
        f"{where['cpu']}, {where['cores']} cores, {where['system']}; load average up to "
        f"{max(r['load'] for r in rows):.1f}. Made by `faults.py`; the rows, with their commits, are in `faults.json`.",
        "",
        f"{len(rows)} cases: {sum(r['hung'] for r in rows)} hung, {sum(r['orphans'] for r in rows)} processes left, "
        f"{sum(len(r['half_files']) for r in rows)} half-written files, {sum(bool(r['wrong']) for r in rows)} with a "
        "wrong result.",
        "",
        "| fault | cases | right | longest [s] |",
        "|---|---|---|---|",
    ]
    for kind in (*KINDS, *MORE):
        mine = [r for r in rows if r["kind"] == kind]
        if mine:
            right = sum(not (r["wrong"] or r["hung"] or r["orphans"] or r["half_files"]) for r in mine)
            lines.append(f"| {kind} | {len(mine)} | {right} | {max(r['took_s'] for r in mine):.1f} |")
    lines += [f"\n{r['kind']}, seed {r['seed']}: {r['wrong']}" for r in rows if r["wrong"]]
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the list, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    end_s = time.monotonic() + 60 * args.minutes
    path = args.out / "faults.json"
    data: Row = {"machine": environment(), "rows": []}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))
    done = {(row["kind"], row["seed"]) for row in data["rows"]}
    torch.set_num_threads(1)  # sums in another order differ in the last bits
    pids: set[int] = set()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    with Cluster(ACTORS, "standin_model:Faulty", start_timeout_s=300.0) as cluster:
        for kind, seed in [(k, s) for s in range(args.seeds) for k in (*KINDS, *MORE) if (k, s) not in done]:
            if time.monotonic() > end_s:
                break
            row = one(kind, seed, cluster, pids)
            data["rows"].append(row | {"commit": commit()})
            args.out.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(data, indent=1) + "\n")
            write_text(path.with_suffix(".md"), page_of(data))
            print(kind, seed, round(row["took_s"], 1), row["wrong"] or "right", flush=True)
    left = [pid for pid in pids if alive(pid)]
    print(f"{len(data['rows'])} cases so far; processes left: {len(left)}")


if __name__ == "__main__":
    main()
