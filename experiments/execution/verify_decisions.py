"""Verify the decision on seeded scenarios: is the plan measured fastest, and is the measured order the predicted one?

    python experiments/execution/verify_decisions.py [--count 10] [--repeats 2]

Writes results/decisions.json with every repeat.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from scenarios import scenario

from megdt_opt import plan
from megdt_opt.cli.calibrate import calibrate_model
from megdt_opt.execution.cluster import Cluster
from megdt_opt.files import write_text
from megdt_opt.trials.verification import verify


def main() -> None:
    """Run all scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"))
    args = parser.parse_args()
    profile = calibrate_model("twin", batches=(1,), samples=30)
    rows = []
    with Cluster(["edge", *(f"user-{k}" for k in range(4))]) as cluster:
        for number in range(args.count):
            made = plan(scenario(number, 2 + number % 3, seed=2), {"here": profile})
            found = verify(made, repeats=args.repeats, cluster=cluster)
            rows.append({"scenario": number, **found.to_dict()})
            print(number, round(found.rank_correlation, 3), found.plan_is_fastest, found.misses, flush=True)
    misses = [m for r in rows for m in r["misses"]]
    summary = {
        "machine": profile.provenance.to_dict(),
        "scenarios": len(rows),
        "rank_correlation_median": float(np.median([r["rank_correlation"] for r in rows])),
        "rank_correlation_least": float(min(r["rank_correlation"] for r in rows)),
        "plan_fastest": sum(bool(r["plan_is_fastest"]) for r in rows),
        "misses": len(misses),
        "misses_within_interval": sum(m["interval_s"][0] <= 0 for m in misses),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / "decisions.json", json.dumps({"summary": summary, "rows": rows}, indent=1) + "\n")
    print(json.dumps({k: v for k, v in summary.items() if k != "machine"}, indent=1))


if __name__ == "__main__":
    main()
