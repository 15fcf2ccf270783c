"""Plans with a quality floor, made and then run on scenes that no table was measured on: is the mean above the floor?

    PYTHONPATH=src python experiments/quality_floors.py [--scenes 50] [--seconds 240] [--execute]

Ten settings of the bundled factory cell with a floor on every user's pictures. Each option that a plan takes runs on 50
scenes in this process: stages as actors run them, payloads packed as they are sent. With --execute every setting is
executed by real processes too, each user's own scene once. Rows in experiments/results/quality_floors.json, kept after
each option, so that a run goes on where the last one stopped; a table in quality_floors.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from megdt_opt import Scenario, TimingProfile, execute, plan
from megdt_opt.files import write_text
from megdt_opt.models.registry import find_spec, load_model
from megdt_opt.planning.plan import Plan
from megdt_opt.program.mechanisms import Option, Setting
from megdt_opt.quality.factors import Factors
from megdt_opt.quality.measure import DEVICE, Bench, Remembering, judged
from megdt_opt.quality.statistic import METRICS
from megdt_opt.quality.table import Row
from megdt_opt.trials.pictures import judge_pictures

FIRST_SCENE, FIRST_SEED = 9_200_000, 500
"""Scenes and seeds of noise that no table and no training used."""
RESULTS = Path(__file__).with_name("results") / "quality_floors.json"

SETTINGS: dict[str, dict[str, Any]] = {
    "PSNR 36 dB": {"floor": {"psnr": "36 dB"}},
    "PSNR 42 dB": {"floor": {"psnr": "42 dB"}},
    "PSNR 50 dB": {"floor": {"psnr": "50 dB"}},
    "PSNR 60 dB": {"floor": {"psnr": "60 dB"}},
    "PSNR 38 dB reached by 95 of 100": {"floor": {"psnr": "38 dB", "at": "p05"}},
    "SSIM 0.995": {"floor": {"ssim": 0.995}},
    "PSNR 42 dB, a third of the band": {"floor": {"psnr": "42 dB"}, "band": "20 kHz"},
    "PSNR 50 dB, a third of the band": {"floor": {"psnr": "50 dB"}, "band": "20 kHz"},
    "read 0.95, truth 28 dB": {"floor": {"read": 0.95, "psnr_truth": "28 dB"}},
    "PSNR 42 dB, 10 steps": {"floor": {"psnr": "42 dB"}, "steps": 10},
}
"""Floor of every user, the band of each side, and the denoising steps."""


def cell(name: str, *, floor: bool = True) -> Scenario:
    """The factory cell in a setting, with the floor or without."""
    asked, demo = SETTINGS[name], Scenario.bundled("demo")
    steps = asked.get("steps", demo.steps)
    data = demo.model_dump(exclude_none=True)
    for user in data["users"]:
        user["private_steps"] = min(user["private_steps"], steps // 3)
        if floor:
            user["quality_min"] = asked["floor"]
    band = asked.get("band")
    if band:
        data["channel"] = {k: v for k, v in data["channel"].items() if k not in ("downlink_hz", "uplink_hz")}
        data["channel"] |= {"downlink": band, "uplink": band}
    return Scenario(**{**data, "steps": steps})


def planned(name: str, *, floor: bool = True) -> Plan:
    """The plan of a setting, on the bundled timings."""
    return plan(cell(name, floor=floor), {"here": TimingProfile.bundled("twin-cpu")}, compare=False)


def missed(row: Row, made: Plan, number: int) -> dict[str, Any]:
    """What an option's pictures have of a user's floor."""
    asked = made.scenario.users[number].quality_min
    assert asked is not None
    found = {}
    for metric, floor in asked.asked.items():
        value = getattr(row.metrics[metric], asked.at)
        short = floor - value if METRICS[metric].rising else value - floor
        found[metric] = {"floor": floor, "at": asked.at, "found": round(float(value), 4), "above": bool(short <= 0)}
    return found


class Check:
    """Runs options on the check's scenes, each option once."""

    def __init__(self, scenes: int) -> None:
        self.spec, model = find_spec("twin"), Remembering(load_model("twin"))
        subjects = [FIRST_SCENE + i for i in range(scenes)]
        self.bench = Bench(
            spec=self.spec, models={"": model}, subjects=subjects, whole=model, first_seed=FIRST_SEED, batch=25
        )

    def row(self, option: Option, scenario: Scenario, shown_at: str) -> tuple[Row, list[dict[str, float]]]:
        """What an option does to the pictures, and the figures of each; "edge" where they are shown at the edge."""
        steps, scheduler = scenario.steps, scenario.scheduler
        setting = Setting(spec=self.spec, scheduler=scheduler, steps=steps, device=DEVICE, shown_at=shown_at)
        found = self.bench.pictures(option, setting)
        whole = self.bench.pictures(self.bench.reference(option), setting, plain=True)
        factors = Factors.of(option, steps=steps, scheduler=scheduler)
        singles = []
        for n, (picture, reference) in enumerate(zip(found, whole, strict=True)):
            one = Bench(spec=self.spec, models={}, subjects=[self.bench.subjects[n]], whole=self.bench.whole)
            singles.append({k: v.mean for k, v in judged(one, factors, [picture], [reference]).metrics.items()})
        return judged(self.bench, factors, found, whole), singles


def share_below(singles: list[dict[str, float]], asked: dict[str, float]) -> dict[str, float]:
    """Share of the scenes below each figure [1]."""
    return {
        metric: float(np.mean([(one[metric] < floor) == METRICS[metric].rising for one in singles]))
        for metric, floor in asked.items()
        if metric in singles[0]
    }


def run(scenes: int, seconds: float) -> dict[str, Any]:
    """All rows that are missing, for a while."""
    end_s, check = time.monotonic() + seconds, Check(scenes)
    data: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {"settings": {}, "options": {}}
    data |= {"scenes": scenes, "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()[:10]}
    for name in SETTINGS:
        made, free = planned(name), planned(name, floor=False)
        options = len(made.table.options)
        closed = [sum(made.table.below_floor(k, o) for o in range(options)) for k in range(len(made.users))]
        entry = {
            "objective_s": made.objective_s, "without_s": free.objective_s, "closed": closed, "options": options,
            "changed": sum(a.option != b.option for a, b in zip(made.users, free.users, strict=True)),
            "users": [user.option.name for user in made.users], "without": [user.option.name for user in free.users],
        }  # fmt: skip
        entry["rows"] = []
        for k, user in enumerate(made.users):
            shown_at = made.scenario.users[k].shown_at
            key = f"{user.option.name} of {made.scenario.steps}, at the {shown_at}"
            if key not in data["options"]:
                if time.monotonic() > end_s:
                    continue
                row, singles = check.row(user.option, made.scenario, shown_at)
                data["options"][key] = {"row": row.to_dict(), "singles": singles}
                write_text(RESULTS, json.dumps(data) + "\n")
                print(key, flush=True)
            known = data["options"][key]
            asked = made.scenario.users[k].quality_min
            assert asked is not None
            below = share_below(known["singles"], asked.asked)
            figures = missed(Row.from_dict(known["row"]), made, k)
            entry["rows"].append({"user": user.name, "option": user.option.name, "figures": figures, "below": below})
        data["settings"][name] = {**data["settings"].get(name, {}), **entry}
    write_text(RESULTS, json.dumps(data) + "\n")
    return data


def executed(name: str) -> list[dict[str, Any]]:
    """A setting's plan by real processes: its users' own scenes."""
    made = planned(name)
    done = execute(made)
    found = judge_pictures(made.table, made.users, done.images, done.faults)
    return [{"user": p.user, "psnr_db": min(p.psnr_db, 99.0), "read": p.found, "objects": p.objects} for p in found]


def page(data: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        f"# Plans with a quality floor on {data['scenes']} scenes of their own",
        "",
        "The factory cell with a floor on every user's pictures: how many options it closes to each of them, what the "
        "largest latency becomes, and what the plan's options have on scenes that no table was measured on, run in one "
        "process with the stages of actors. Executed: pictures of the users' own scenes by real processes, and how "
        "many of them are below the floor by themselves. "
        f"Commit {data['commit']}, `experiments/quality_floors.py`.",
        "",
        "| floor | options closed, least share | users who change | latency without [s] | with [s] | users, means above"
        " | scenes below, most | executed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in data["settings"].items():
        rows, closed = entry.get("rows", []), min(entry["closed"]) / entry["options"]
        above = sum(all(f["above"] for f in row["figures"].values()) for row in rows)
        below = max([share for row in rows for share in row["below"].values()], default=float("nan"))
        real = entry.get("executed", [])
        asked = SETTINGS[name]["floor"]
        alone = float(str(asked["psnr"]).split()[0]) if "psnr" in asked else None
        low = sum(one["psnr_db"] < alone for one in real) if alone is not None else None
        by_processes = f"{len(real)}" + ("" if low is None or not real else f", {low} below")
        lines.append(
            f"| {name} | {closed:.0%} | {entry['changed']} | {entry['without_s']:.3g} | "
            f"{entry['objective_s']:.3g} | {above} of {len(rows)} | {below:.0%} | {by_processes} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Run what is asked and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--execute", action="store_true")
    args = parser.parse_args()
    begin_s = time.monotonic()
    data = run(args.scenes, args.seconds)
    for name, entry in data["settings"].items():
        if args.execute and "executed" not in entry and time.monotonic() - begin_s < args.seconds:
            entry["executed"] = executed(name)
            write_text(RESULTS, json.dumps(data) + "\n")
            print("executed", name, flush=True)
    write_text(RESULTS.with_suffix(".md"), page(data))


if __name__ == "__main__":
    main()
