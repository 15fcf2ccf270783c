"""Start a hundred actors, run all of their users at once, end them: how long each takes, and what is left.

    python experiments/execution/many_actors.py [--devices 99] [--runs 3] [--out FOLDER]

One edge and its devices, real processes of the tests' small stand-in model; every user has another mechanism in turn.
In every run but the first one device is killed: it alone has no picture. Writes many_actors.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "execution"))
sys.path.insert(0, str(Path(__file__).parent))

from several import commit
from test_failures import alive, during
from test_many_actors import OPTIONS, runs_of, started

from megdt_opt.execution import Cluster, Run
from megdt_opt.files import write_text
from megdt_opt.machine import environment

RESULTS = Path(__file__).with_name("results")
TESTS = Path(__file__).parents[2] / "tests" / "execution"
Row = dict[str, Any]


def one(cluster: Cluster, runs: list[Run], victim: int | None) -> Row:
    """A run, in which a device may be killed a tenth of a second after its start."""
    cluster.start()
    begin = time.monotonic()
    if victim is not None:
        during(cluster, lambda: os.kill(cluster.pids[f"u{victim}"], signal.SIGKILL), after_s=0.1)
    done = cluster.run(runs, OPTIONS, fallbacks={})
    lost = sorted({run.name for run in runs} - set(done.images))
    wanted = [] if victim is None else [f"user {victim}"]
    return {
        "took_s": time.monotonic() - begin, "pictures": len(done.images), "killed": wanted, "without_picture": lost,
        "told_why": [fault.words for fault in done.faults], "right": lost == wanted, "load": os.getloadavg()[0],
    }  # fmt: skip


def page_of(data: Row) -> str:
    """The page."""
    where = data["machine"]
    lines = [
        f"# {data['actors']} actors on one machine",
        "",
        f"Commit {data['commit']}; {where['cpu']}, {where['cores']} cores, {where['system']}. Made by "
        "`many_actors.py`; the rows are in `many_actors.json`.",
        "",
        f"All serve {data['start_s']:.1f} s after the order to start ({data['distinct']} processes), and all have "
        f"ended {data['end_s']:.1f} s after the order to end; {data['left']} processes are left.",
        "",
        "| run | users with a picture | killed | without a picture | lasts [s] | load |",
        "|---|---|---|---|---|---|",
        *(
            f"| {k} | {r['pictures']} | {', '.join(r['killed']) or 'none'} | "
            f"{', '.join(r['without_picture']) or 'none'} | {r['took_s']:.1f} | {r['load']:.1f} |"
            for k, r in enumerate(data["rows"])
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Start, run, end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=99)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    runs = runs_of(args.devices)
    cluster = started(runs)
    pids: set[int] = set()
    begin = time.monotonic()
    with cluster:
        start_s = time.monotonic() - begin
        rows = []
        pids |= set(cluster.pids.values())
        distinct = len(pids)
        for k in range(args.runs):
            rows.append(one(cluster, runs, None if k == 0 else 7 * k % args.devices))
            pids |= set(cluster.pids.values())
            print(k, rows[-1], flush=True)
        begin = time.monotonic()
    end_s = time.monotonic() - begin
    data: Row = {
        "commit": commit(), "machine": environment(), "actors": len(cluster.actors), "distinct": distinct,
        "start_s": start_s, "end_s": end_s, "left": sum(alive(pid) for pid in pids), "rows": rows,
    }  # fmt: skip
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / "many_actors.json", json.dumps(data, indent=1) + "\n")
    write_text(args.out / "many_actors.md", page_of(data))
    print(page_of(data))


if __name__ == "__main__":
    main()
