"""Where batches win over reserved shares, and where they lose: the bundled scenario "shared-passes", varied.

    python experiments/execution/batched_region.py [--out experiments/execution/results]

Below reserved = 1 - found / (proven optimum of reserved shares of the same scenario). Plans only; nothing is executed.
Writes batched_region.json and batched_region.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from several import commit

from megdt_opt import Scenario, TimingProfile, solve
from megdt_opt.files import write_text
from megdt_opt.planning.in_batches import solved_in_batches
from megdt_opt.scenario.options import OptionTable

RESULTS = Path(__file__).with_name("results")
LONGEST_S = 4.0
"""What each search is given [s]."""

FACTORS = (0.7, 1.0, 1.3)
"""Of bands and of the edge's speed, over which a bundled scenario must go on winning [1]."""


def law(ratio: float) -> TimingProfile:
    """The bundled profile, its batches of another law: intercept over slope is `ratio`, one chain takes what it did."""
    bundled = TimingProfile.bundled("twin-cpu")
    one_s = bundled.stage_s("denoise")
    slope_s = one_s / (1 + ratio)

    def changed(cell: Any) -> Any:
        if cell.kind != "denoise" or cell.rows is not None:
            return cell
        return replace(cell, samples_s=(slope_s * cell.batch + ratio * slope_s,) * 3, at_s=())

    return replace(bundled, cells=tuple(changed(cell) for cell in bundled.cells))


def varied(band: float, speed: float, device: float, objective: str) -> Scenario:
    """The bundled scenario with factors of its bands, its edge's speed and its devices' step times [1]."""
    data = Scenario.bundled("shared-passes").model_dump(mode="json", exclude_none=True)
    data["objective"] = objective
    for side in ("downlink_hz", "uplink_hz"):
        data["channel"][side] *= band
    data["edge"]["stretch"] /= speed
    for user in data["users"]:
        user["device"]["stretch"] *= device
    return Scenario(**data)


def row(
    band: float = 1.0, speed: float = 1.0, device: float = 1.0, ratio: float = 0.0, to: str = "max"
) -> dict[str, Any]:
    """What batches and reserved shares come to; `ratio` 0 is the law that was measured."""
    profile = law(ratio) if ratio else TimingProfile.bundled("twin-cpu")
    table = OptionTable.build(varied(band, speed, device, to), {"here": profile})
    problem = table.problem()
    found = solved_in_batches(table, problem, "auto", 1e-6, LONGEST_S)
    reserved: Any = solve(table.reserved().problem(), gap=1e-6, time_limit_s=60.0)
    return {
        "band": band, "speed": speed, "device": device, "ratio": ratio, "objective": to,
        "batched_s": found.objective_s, "bound_s": found.lower_bound_s, "gap": found.gap,
        "reserved_s": reserved.objective_s, "proven": reserved.status == "optimal",
        "below_percent": 100 * (1 - found.objective_s / reserved.objective_s),
        "cut": [int(n) for n in found.cut],
        "mechanisms": sorted({table.reserved().options[int(o)].mechanism for o in reserved.option}),
    }  # fmt: skip


def rows() -> Iterator[dict[str, Any]]:
    """All variations, each by its part of the table."""
    for to in ("max", "sum"):
        for band in FACTORS:
            for speed in FACTORS:
                yield {"part": f"{to}: bands and speed of the edge"} | row(band, speed, to=to)
    for band in (0.02, 0.03, 0.05, 0.1, 0.2, 10.0):
        yield {"part": "bands"} | row(band=band)
    for device in (0.2, 0.4, 3.0, 8.0, 20.0, 60.0):
        yield {"part": "slower devices"} | row(device=device)
    for device in (8.0, 20.0, 60.0):
        yield {"part": "slower devices, bands 30 times as wide"} | row(band=30.0, device=device)
    for ratio in (0.01, 0.2, 0.5, 1.6, 4.0):
        yield {"part": "law of batches"} | row(ratio=ratio)


def page(data: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = [
        "# Where batches win over reserved shares, and where they lose",
        "",
        f"Commit {data['commit']}; the bundled scenario `shared-passes` with the bundled profile of the twin, by "
        "factors of its bands, of its edge's speed and of the step times of its devices; b/a: intercept over slope of "
        "the law of batches, as measured (about 1) where it is empty, else with a single chain's step as it was. Below "
        "reserved: 1 - found / (proven optimum of reserved shares of the same scenario); negative where batches lose. "
        "Gap: what the certificate of the batches leaves open. Made by `batched_region.py`.",
        "",
    ]
    head = [
        "| bands | edge speed | device times | b/a | batched [s] | gap [%] | reserved [s] | below reserved [%] | "
        "reserved runs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for part in dict.fromkeys(r["part"] for r in data["rows"]):
        lines += [f"## {part[0].upper()}{part[1:]}", "", *head]
        lines += [
            f"| {r['band']:g} | {r['speed']:g} | {r['device']:g} | {r['ratio'] or ''} | {r['batched_s']:.3f} | "
            f"{100 * r['gap']:.2g} | {r['reserved_s']:.3f}{'' if r['proven'] else ' (not proven)'} | "
            f"{r['below_percent']:.1f} | {', '.join(r['mechanisms'])} |"
            for r in data["rows"]
            if r["part"] == part
        ]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Plan all variations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    data: dict[str, Any] = {"commit": commit(), "rows": []}
    for one in rows():
        data["rows"].append(one)
        print(
            one["part"],
            one["band"],
            one["speed"],
            one["device"],
            one["ratio"],
            round(one["below_percent"], 1),
            flush=True,
        )
        write_text(args.out / "batched_region.json", json.dumps(data, indent=1) + "\n")
        write_text(args.out / "batched_region.md", page(data))


if __name__ == "__main__":
    main()
