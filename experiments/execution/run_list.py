"""Execute a seeded list of plans over all mechanisms and one to four users; every run counts, raw rows are stored.

    python experiments/execution/run_list.py [--count 42] [--out experiments/execution/results]

Paced runs test the composition of stages, links and reserved shares; raw runs of one user test the calibration itself,
between two re-calibrations. Writes paced.json (one row per user and stage), raw.json and summary.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from scenarios import mechanism_list, scenario

from megdt_opt import Execution, Plan, Scenario, TimingProfile, plan
from megdt_opt.cli.calibrate import calibrate_model
from megdt_opt.execution.cluster import Cluster
from megdt_opt.files import write_text
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.trials.execute import execute
from megdt_opt.trials.raw_check import raw_check

RAW_RUNS = 5
"""Runs of each raw program, each between two re-calibrations [1]."""


def percentiles(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and worst of absolute values."""
    found = np.abs(values)
    return {
        "median": float(np.median(found)),
        "p95": float(np.percentile(found, 95)),
        "worst": float(found.max()),
        "count": len(values),
    }


def row_of(number: int, made: Plan, done: Execution) -> dict[str, Any]:
    """What is kept of a paced execution."""
    return {
        "run": number,
        "options": [u.option.name for u in made.users],
        "predicted_s": done.predicted_s,
        "measured_s": done.measured_s,
        "error_percent": done.error_percent,
        "overruns": len(done.overruns),
        "busy_fraction": done.busy_fraction,
        "stages": [
            {
                "user": r.user,
                "stage": r.label,
                "predicted_start_s": r.predicted_start_s,
                "predicted_s": r.predicted_duration_s,
                "start_s": r.start_s,
                "end_s": r.end_s,
                "busy_s": r.busy_s,
                "overrun_s": r.overrun_s,
                "payload_byte": r.payload_byte,
            }
            for r in done.rows
        ],
    }


def paced(count: int, profile: TimingProfile, cluster: Cluster) -> list[dict[str, Any]]:
    """Paced executions of the seeded list."""
    rows: list[dict[str, Any]] = []
    for number, mechanisms in enumerate(mechanism_list(count)):
        made = plan(scenario(number, len(mechanisms), mechanisms), {"here": profile}, compare=False)
        done = execute(made, cluster=cluster, all_or_nothing=True)
        rows.append(row_of(number, made, done))
        print(number, rows[-1]["options"], {k: round(v, 2) for k, v in done.error_percent.items()}, flush=True)
    return rows


def raw(count: int, profile: TimingProfile, cluster: Cluster) -> list[dict[str, Any]]:
    """Raw executions of one user without stretch, every mechanism in turn."""
    rows = []
    for number in range(count):
        mechanism = MECHANISMS[number % len(MECHANISMS)]
        base = scenario(number, 1, (mechanism,), seed=1).model_dump(mode="json", exclude_none=True)
        base["edge"]["stretch"] = 1.0
        base["users"][0]["device"]["stretch"] = 1.0
        made = plan(Scenario(**base), {"here": profile}, compare=False)
        found = raw_check(made.table, made.users[0], runs=RAW_RUNS, cluster=cluster)
        rows.append(found.to_dict())
        print(number, found.option, {k: round(v, 4) for k, v in rows[-1].items() if isinstance(v, float)}, flush=True)
    return rows


def main() -> None:
    """Run the list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=42)
    parser.add_argument("--raw", type=int, default=14)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"))
    args = parser.parse_args()
    profile = calibrate_model("twin", batches=(1,), samples=30)
    with Cluster(["edge", *(f"user-{k}" for k in range(4))]) as cluster:
        ran = paced(args.count, profile, cluster)
        unpaced = raw(args.raw, profile, cluster)
    summary = {
        "machine": profile.provenance.to_dict(),
        "paced_end_to_end_percent": percentiles([e for r in ran for e in r["error_percent"].values()]),
        "paced_overruns": sum(r["overruns"] for r in ran),
        "paced_runs": len(ran),
        "busy_fraction_median": float(np.median([r["busy_fraction"] for r in ran])),
        "raw_composition_percent": percentiles([100 * r["composition_error"] for r in unpaced]),
        "raw_calibration_percent": percentiles([100 * r["calibration_error"] for r in unpaced]),
        "raw_drift_percent": percentiles([100 * r["drift"] for r in unpaced]),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / "paced.json", json.dumps(ran))
    write_text(args.out / "raw.json", json.dumps(unpaced, indent=1))
    write_text(args.out / "summary.json", json.dumps(summary, indent=1) + "\n")
    print(json.dumps({k: v for k, v in summary.items() if k != "machine"}, indent=1))


if __name__ == "__main__":
    main()
