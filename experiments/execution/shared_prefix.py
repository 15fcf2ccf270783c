"""What shared first steps are worth: the bundled scenario "guided-tour" against the best plan without sharing.

    python experiments/execution/shared_prefix.py [--execute]

Every figure is an optimum, proven to 0.01 %, and the floor on the quality is kept. First with bands and edge times 0.7,
1 and 1.3; then over the slowness of the edge and of the devices, where nobody shares any more. Where the gain is
negative the best without sharing generates in parallel (PEU), which plans of groups do not offer. Writes
results/shared_prefix.csv and results/shared_prefix.png. With --execute it runs the plan, paced, and writes
results/shared_prefix_executed.json.
"""

from __future__ import annotations

import argparse
import csv
import json
from itertools import product
from pathlib import Path

from megdt_opt import Scenario, TimingProfile, execute, plan
from megdt_opt.files import write_text
from megdt_opt.planning.planner import solved
from megdt_opt.report.canvas import new_figure, png_bytes, settings
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.pictures import judge_pictures

RESULTS = Path(__file__).parent / "results"

FACTORS = (0.7, 1.0, 1.3)
EDGES = (2.0, 6.0, 18.0, 54.0)
"""Slowness of the edge [1]."""
DEVICES = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Factors of the slowness of all devices [1]."""
GAP = 1e-4
"""To which optima are proven [1]."""


def tour(*, band: float = 1.0, edge: float = 6.0, devices: float = 1.0) -> OptionTable:
    """The bundled scenario, changed: factors of bands and of devices' slowness, and the edge's slowness."""
    data = Scenario.bundled("guided-tour").model_dump(mode="json", exclude_none=True)
    for side in ("downlink", "uplink"):
        data["channel"][f"{side}_hz"] *= band
    data["edge"]["stretch"] = edge
    for user in data["users"]:
        user["device"]["stretch"] = max(1.0, devices * user["device"]["stretch"])
    return OptionTable.build(Scenario(**data), {"here": TimingProfile.bundled("twin-cpu")})


def row(**changes: float) -> dict[str, float]:
    """Both optima [s], the gain [1], and how many share how many steps."""
    table = tour(**changes)
    made, alone = solved(table, gap=GAP), solved(table.unshared(), gap=GAP)
    if not made.status == alone.status == "optimal":
        raise SystemExit(f"not proven: {made}, {alone}")
    found = {
        "band": 1.0, "edge": 6.0, "devices": 1.0, **changes, "shared_s": made.objective_s, "alone_s": alone.objective_s,
        "gain": 1 - made.objective_s / alone.objective_s, "riders": sum(len(g.riders) for g in made.groups),
        "steps": max((g.steps for g in made.groups), default=0),
    }  # fmt: skip
    print({name: round(value, 4) for name, value in found.items()}, flush=True)
    return found


def figure(rows: list[dict[str, float]]) -> bytes:
    """Gain over the slowness of edge and devices."""
    with settings():
        drawn = new_figure(6.4, 4.0)
        axes = drawn.add_subplot()
        for edge in EDGES:
            points = sorted((r["devices"], 100 * r["gain"]) for r in rows if r["band"] == 1 and r["edge"] == edge)
            axes.plot(*zip(*points, strict=True), marker="o", label=f"edge x{edge:g}")
        axes.axhline(5, color="black", lw=0.8, ls=":")
        axes.set_xscale("log")
        axes.set_xlabel("slowness of the devices, relative to the scenario [1]")
        axes.set_ylabel("gain over the best without sharing [%]")
        axes.legend(frameon=False)
        return png_bytes(drawn)


def executed() -> None:
    """Run the plan, paced."""
    made = plan(tour(), gap=GAP, compare=False)
    done = execute(made)
    pictures = judge_pictures(made.table, made.users, done.images)
    found = {
        "objective_s": made.objective_s, "predicted_s": done.predicted_s, "measured_s": done.measured_s,
        "error_percent": done.error_percent, "psnr_db": {p.user: min(p.psnr_db, 99.0) for p in pictures},
        "copies": [row.copies for row in done.rows if row.shared and row.kind == "send latent"],
    }  # fmt: skip
    write_text(RESULTS / "shared_prefix_executed.json", json.dumps(found, indent=1) + "\n")
    print(found)


def main() -> None:
    """Compute, draw and, if asked, execute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--execute", action="store_true")
    if parser.parse_args().execute:
        executed()
        return
    rows = [row(band=band, edge=6.0 / speed) for band, speed in product(FACTORS, FACTORS)]
    rows += [row(edge=edge, devices=devices) for edge, devices in product(EDGES, DEVICES)]
    with (RESULTS / "shared_prefix.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.6g}" for name, value in r.items()} for r in rows)
    (RESULTS / "shared_prefix.png").write_bytes(figure(rows))


if __name__ == "__main__":
    main()
