"""Execute plans whose groups were formed: who shares steps with whom is left to the plan.

    python experiments/execution/formed_groups.py [--count 6] [--out experiments/execution/results]

Paced, one run at a time, every run counted, as in several.py. Writes formed_groups.json.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from run_list import percentiles
from several import ACTORS, RESULTS, commit, planned_formed, run_planned

from megdt_opt import Plan
from megdt_opt.execution.cluster import Cluster
from megdt_opt.files import write_text
from megdt_opt.machine import environment

KIND = "formed"


def summary_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the list."""
    return {
        "runs": len(rows),
        "end_to_end_percent": percentiles([e for r in rows for e in r["error_percent"].values()]),
        "overruns": sum(r["overruns"] for r in rows),
        "load_largest": max(r["load"] for r in rows),
    }


def run_list(name: str, kind: str, planned: Callable[[int], Plan], about: str | None) -> None:
    """Execute the plans of a list, as many as the command line says, and keep their rows under a name."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with Cluster(ACTORS, start_timeout_s=600) as cluster:
        for number in range(args.count):
            row = run_planned(planned(number), number, kind, cluster)
            rows.append(row | {"load": os.getloadavg()[0]})
            print(number, row["options"], {k: round(v, 2) for k, v in row["error_percent"].items()}, flush=True)
    data = {"commit": commit(), "machine": environment(), "summary": summary_of(rows), "rows": rows}
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / f"{name}.json", json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    run_list("formed_groups", KIND, planned_formed, __doc__)
