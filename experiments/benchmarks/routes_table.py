"""From the times of `bench_routes.py`: a table with ratios to `prices`, rows as JSON, and a figure for each objective.

    python experiments/benchmarks/routes_table.py routes.json

On the machine that ran the benchmark: it is named in the results.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

from record import RESULTS, keep

from megdt_opt import plot

CELL = ["objective", "users", "family"]


def rows_of(record: dict[str, Any]) -> pd.DataFrame:
    """One row a route and cell: median seconds for an instance, gap, ratio to `prices`."""
    rows = []
    for one in record["benchmarks"]:
        extra = one["extra_info"]
        if "method" not in extra:
            continue  # did not end
        rows.append({**extra, "solve_s": one["stats"]["median"] / extra["instances"]})
    frame = pd.DataFrame(rows)
    frame["status"] = ["optimal" if c == n else "feasible" for c, n in zip(frame.closed, frame.instances, strict=True)]
    base = frame[frame.method == "prices"].set_index(CELL)
    keys = pd.MultiIndex.from_frame(frame[CELL])
    frame["ratio_to_prices"] = frame.solve_s.to_numpy() / base.solve_s.reindex(keys).to_numpy()
    frame["above_prices"] = [
        max(o / b for o, b in zip(own, best, strict=True)) - 1 if isinstance(best, list) else float("nan")
        for own, best in zip(frame.objective_s, base.objective_s.reindex(keys), strict=True)
    ]
    return frame


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Over the families: median seconds, least and largest ratio to `prices`, instances closed, worst gap."""
    groups = frame.groupby(["objective", "users", "method"], sort=False)
    table = groups.agg(
        families=("family", "nunique"), solve_s=("solve_s", "median"), least_ratio=("ratio_to_prices", "min"),
        largest_ratio=("ratio_to_prices", "max"), closed=("closed", "sum"), instances=("instances", "sum"),
        worst_gap=("gap", "max"), above_prices=("above_prices", "max"),
    )  # fmt: skip
    return table.reset_index().sort_values(["objective", "users", "solve_s"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    frame = rows_of(json.loads(arguments.record.read_text()))
    print(summary(frame).to_string(index=False))
    keep(arguments.out / "routes.json", json.loads(frame.to_json(orient="records")))
    for objective, part in frame.groupby("objective"):
        plot.save(plot.solve_time_figure(part, by="method"), arguments.out / f"routes_{objective}.png")


if __name__ == "__main__":
    main()
