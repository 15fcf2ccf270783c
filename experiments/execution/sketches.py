"""Execute plans of users who take part by sketches, one user each, from the edge and from the camera in turn.

    python experiments/execution/sketches.py [--count 6] [--out experiments/execution/results]

Paced, one run at a time, every run counted, as in several.py. Writes sketches.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from formed_groups import summary_of
from scenarios import scenario
from several import ACTORS, GAP, RESULTS, commit, run_planned

from megdt_opt import Plan, TimingProfile, plan
from megdt_opt.execution.cluster import Cluster
from megdt_opt.files import write_text
from megdt_opt.machine import environment
from megdt_opt.program.sketches import SKETCH_MECHANISMS

KIND = "sketch"


@cache
def planned(number: int) -> Plan:
    """Plan `number`, of one user whom one of the mechanisms is left."""
    found = scenario(number, 1, (SKETCH_MECHANISMS[number % len(SKETCH_MECHANISMS)],), seed=5)
    return plan(found, {"here": TimingProfile.bundled("twin-cpu")}, gap=GAP, compare=False)


def main() -> None:
    """Run the list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with Cluster(ACTORS, start_timeout_s=600) as cluster:
        for number in range(args.count):
            row = run_planned(planned(number), number, KIND, cluster)
            rows.append(row | {"load": os.getloadavg()[0]})
            print(number, row["options"], {k: round(v, 2) for k, v in row["error_percent"].items()}, flush=True)
    data = {"commit": commit(), "machine": environment(), "summary": summary_of(rows), "rows": rows}
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / "sketches.json", json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
