"""From the times of `bench_routes.py`: a table with ratios to `prices`, rows as JSON, and a figure for each objective.

python experiments/benchmarks/routes_table.py routes.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from megdt_opt import plot
from megdt_opt.atomic import write_text

HERE = Path(__file__).with_name("results")


def rows_of(record: dict[str, Any]) -> pd.DataFrame:
    """One row a route, objective and number of users: median seconds for an instance, gap, ratio to `prices`."""
    rows = []
    for one in record["benchmarks"]:
        extra = one["extra_info"]
        if "method" not in extra:
            continue  # did not end
        rows.append({**extra, "solve_s": one["stats"]["median"] / extra["instances"]})
    frame = pd.DataFrame(rows)
    frame["status"] = ["optimal" if c == n else "feasible" for c, n in zip(frame.closed, frame.instances, strict=True)]
    base = frame[frame.method == "prices"].set_index(["objective", "users"])
    keys = pd.MultiIndex.from_frame(frame[["objective", "users"]])
    frame["ratio_to_prices"] = frame.solve_s.to_numpy() / base.solve_s.reindex(keys).to_numpy()
    best = [min(o) for o in base.objective_s.reindex(keys)]
    frame["above_prices"] = [min(o) / b - 1 for o, b in zip(frame.objective_s, best, strict=True)]
    return frame


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    record = json.loads(arguments.record.read_text())
    frame = rows_of(record)
    shown = ["objective", "users", "method", "solve_s", "ratio_to_prices", "gap", "closed", "instances", "above_prices"]
    print(frame[shown].sort_values(["objective", "users", "solve_s"]).to_string(index=False))
    cpu = record["machine_info"].get("cpu", {})
    kept = {
        "measured": record["datetime"],
        "machine": {
            "cpu": cpu.get("brand_raw"),
            "cores": cpu.get("count"),
            "python": record["machine_info"]["python_version"],
        },
        "rows": json.loads(frame.to_json(orient="records")),
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_text(arguments.out / "routes.json", json.dumps(kept, indent=1) + "\n")
    for objective, part in frame.groupby("objective"):
        plot.save(plot.solve_time_figure(part, by="method"), arguments.out / f"routes_{objective}.png")


if __name__ == "__main__":
    main()
