"""Figures of the tables of parties: processor time and gap of every run, one figure for each result file.

python -m experiments.benchmarks.parties_plots
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.benchmarks.record import RESULTS
from megdt_opt import plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS, OTHER = "#0072b2", "#d55e00"
"""Colours that are told apart by everybody; markers differ as well."""


def figure(rows: list[dict[str, Any]]) -> Figure:
    """Runs from top to bottom; seconds to the left, the gap that was reached beside the one asked to the right."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    rows = [{**row, "run": _name(row)} for row in rows if "gap" in row]
    names = list(dict.fromkeys(row["run"] for row in rows))
    found = Figure(figsize=(7.2, 0.7 + 0.27 * len(names)), layout="constrained")
    left, right = found.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    for row in rows:
        y, solver = names.index(row["run"]), row.get("bound") == "solver" or row["run"].endswith("HiGHS")
        ours = {"color": OTHER if solver else OURS, "marker": "s" if solver else "o", "markersize": 4.5, "lw": 0}
        left.plot(row["processor_s"], y, **ours)
        if "highs_processor_s" in row:
            left.plot(row["highs_processor_s"], y, color=OTHER, marker="s", markersize=4.5, lw=0)
        right.plot(max(row["gap"], 1e-12), y, **ours)
        if row.get("asked"):
            right.plot([row["asked"]] * 2, [y - 0.32, y + 0.32], color="0.4", lw=1.2)
    for axes, label in ((left, "processor time [s]"), (right, "proven gap [1]")):
        axes.set_xscale("log")
        axes.set_xlabel(label)
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    right.xaxis.set_major_locator(LogLocator(numticks=3))
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.plot([], [], color=OURS, marker="o", lw=0, label="prices")
    if any("HiGHS" in name for name in names) or any(row.get("bound") == "solver" for row in rows):
        left.plot([], [], color=OTHER, marker="s", lw=0, label="HiGHS")
    right.plot([], [], color="0.4", lw=1.2, label="asked")
    found.legend(loc="outside upper right", ncols=3, frameon=False)
    return found


def _name(row: dict[str, Any]) -> str:
    """A run by its name; of batches with the intercept over the slope of a step's time, and whether devices differ."""
    if "alike" not in row:
        return str(row["run"])
    return f"{row['run']}, b/a = {row['ratio']:g}, devices {'alike' if row['alike'] else 'mixed'}"


def main() -> None:
    """One figure beside each result file of parties."""
    for path in sorted(Path(RESULTS).glob("parties_*.json")):
        plot.save(figure(json.loads(path.read_text(encoding="utf-8"))["rows"]), path.with_suffix(".png"))
        print(path.with_suffix(".png").name)


if __name__ == "__main__":
    main()
