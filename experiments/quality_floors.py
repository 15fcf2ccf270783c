"""Plans with a quality floor, made and then run on scenes that no table was measured on: is the mean above the floor?

    PYTHONPATH=src python experiments/quality_floors.py [--scenes 50] [--seconds 240] [--execute]

Bundled scenarios with a floor on every user's pictures, as `SETTINGS` says. Each option that a plan takes runs on 50
scenes in this process: stages as actors run them, payloads packed as they are sent. With --execute every setting is
executed by real processes too, each user's own scene once. Rows in experiments/results/quality_floors.json, kept after
each option, so that a run goes on where the last one stopped; a table in quality_floors.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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

MERGED = ("fp32", "fp16", "int8", "int8+merge25", "int8+merge50", "int4", "int4+merge50+coded")
"""Precisions of users who accept merged, 4-bit and coded latents beside the usual ones."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A setting: a bundled scenario, the floor of every user, and what is set beside it.

    Parameters
    ----------
    scenario : str
        Name of a bundled scenario.
    floor : mapping
        `quality_min` of every user.
    users, fields : mapping
        Further fields of every user, and of the scenario.
    decoder : str, optional
        Decoder of every device.
    band : float
        Bands in times the scenario's [1].
    """

    scenario: str
    floor: Mapping[str, Any]
    users: Mapping[str, Any] = field(default_factory=lambda: {"precisions": MERGED})
    fields: Mapping[str, Any] = field(default_factory=dict)
    decoder: str | None = None
    band: float = 1.0


CAMERAS = {"senses": True, "shown_at": "edge", "mechanisms": ("U2E", "U2E-sketch")}
HALVES = {"mechanisms": ("PEU", "local", "centralised"), "precisions": ("fp32", "fp16", "int8")}
ONCE = {"mechanisms": ("centralised", "local", "E2U", "SEU", "SEU-UE-first"), "precisions": MERGED}
"""What is handed over twice was never measured, so a floor closes all of it: it is not offered."""

SETTINGS: dict[str, Asked] = {
    "factory cell: PSNR 48 dB": Asked(scenario="demo", floor={"psnr": "48 dB"}),
    "factory cell, a third of the band: PSNR 50 dB": Asked(scenario="demo", floor={"psnr": "50 dB"}, band=1 / 3),
    "factory cell: PSNR 45 dB reached by 95 of 100": Asked(scenario="demo", floor={"psnr": "45 dB", "at": "p05"}),
    "factory cell: SSIM 0.998": Asked(scenario="demo", floor={"ssim": 0.998}),
    "factory cell, 10 steps: PSNR 50 dB": Asked(scenario="demo", floor={"psnr": "50 dB"}, fields={"steps": 10}),
    "two halls: PSNR 48 dB": Asked(scenario="two-halls", floor={"psnr": "48 dB"}),
    "two halls, pictures in two parts: PSNR 50 dB": Asked(scenario="two-halls", floor={"psnr": "50 dB"}, users=HALVES),
    "inspection round, in turns, handed over once: PSNR 50 dB": Asked(
        scenario="inspection-round", floor={"psnr": "50 dB"}, users=ONCE
    ),
    "merged seeds: PSNR 50 dB": Asked(scenario="merged-seeds", floor={"psnr": "50 dB"}),
    "cameras that may send sketches, a tenth of the band: PSNR 45 dB": Asked(
        scenario="merged-seeds", floor={"psnr": "45 dB"}, users=CAMERAS, band=0.1
    ),
}
"""Settings by their names; where no users' fields are named, every user accepts `MERGED`."""


def cell(name: str, *, floor: bool = True) -> Scenario:
    """The scenario of a setting, with the floor or without."""
    asked = SETTINGS[name]
    data = Scenario.bundled(asked.scenario).model_dump(exclude_none=True) | dict(asked.fields)
    for side in ("downlink_hz", "uplink_hz"):
        data["channel"][side] *= asked.band
    for user in data["users"]:
        user["private_steps"] = min(user["private_steps"], data["steps"] // 3)
        user.pop("quality_min", None)  # the scenario's own
        user.update(({"quality_min": asked.floor} if floor else {}) | dict(asked.users))
        if asked.scenario == "merged-seeds" and "precisions" not in asked.users:
            user.pop("precisions", None)
        if asked.decoder is not None:
            user["device"]["decoder"] = asked.decoder
    return Scenario(**data)


def planned(name: str, *, floor: bool = True) -> Plan:
    """The plan of a setting, on the bundled timings."""
    return plan(cell(name, floor=floor), {"here": TimingProfile.bundled("twin-cpu")}, compare=False)


def closed(made: Plan, free: Plan) -> dict[str, list[int]]:
    """Of the options that are open to each user without a floor: how many there are, how many have measured pictures
    that are below it, and how many it closes because nothing was measured of them."""
    found: dict[str, list[int]] = {"open": [], "below": [], "unknown": []}
    for k in range(len(made.users)):
        shut = [o for o in np.flatnonzero(free.table.allowed[k]) if made.table.below_floor(k, int(o))]
        unknown = sum(made.table.quality(k, int(o)) is None for o in shut)
        figures = {"open": int(free.table.allowed[k].sum()), "below": len(shut) - unknown, "unknown": unknown}
        for key, value in figures.items():
            found[key].append(value)
    return found


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


def key_of(option: Option, scenario: Scenario, user: int) -> str:
    """What an option's pictures depend on, in words; where it is made does not count."""
    own = scenario.users[user]
    decoder = "" if own.device.decoder is None else f", decoder {own.device.decoder}"
    return f"{replace(option, edge='').name} of {scenario.steps}, at the {own.shown_at}{decoder}"


class Check:
    """Runs options on the check's scenes, each option once."""

    def __init__(self, scenes: int) -> None:
        self.spec, model = find_spec("twin"), Remembering(load_model("twin"))
        subjects = [FIRST_SCENE + i for i in range(scenes)]
        self.bench = Bench(
            spec=self.spec, models={"": model}, subjects=subjects, whole=model, first_seed=FIRST_SEED, batch=25
        )
        self.by_decoder = {None: self.bench}

    def row(self, option: Option, scenario: Scenario, user: int) -> tuple[Row, list[dict[str, float]]]:
        """What a user's option does to the pictures, and the figures of each."""
        steps, scheduler, option = scenario.steps, scenario.scheduler, replace(option, edge="")
        shown_at, decoder = scenario.users[user].shown_at, scenario.users[user].device.decoder
        setting = Setting(spec=self.spec, scheduler=scheduler, steps=steps, device=DEVICE, shown_at=shown_at)
        if decoder not in self.by_decoder:
            models = {**self.bench.models, DEVICE: Remembering(load_model("twin", decoder=decoder))}
            self.by_decoder[decoder] = replace(self.bench, models=models)
        found = self.by_decoder[decoder].pictures(option, setting)
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
        entry = {
            "objective_s": made.objective_s, "without_s": free.objective_s, **closed(made, free),
            "changed": sum(a.option != b.option for a, b in zip(made.users, free.users, strict=True)),
            "users": [user.option.name for user in made.users], "without": [user.option.name for user in free.users],
        }  # fmt: skip
        entry["rows"] = []
        for k, user in enumerate(made.users):
            key = key_of(user.option, made.scenario, k)
            if key not in data["options"]:
                if time.monotonic() > end_s:
                    continue
                row, singles = check.row(user.option, made.scenario, k)
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
        "Bundled scenarios with a floor on every user's pictures. Unless something else is said, every user accepts "
        f"the precisions {', '.join(MERGED)}. Options closed: of those that are open without the floor, how many have "
        "measured pictures below it, least share over the users; options of which nothing was measured are closed "
        "too and counted apart. Then how many users take another option, what the objective becomes, and what the "
        "plan's options have on scenes that no table was measured on, run in one process with the stages of actors. "
        "Executed: pictures of the users' own scenes by real processes, and how many of them are below the floor by "
        "themselves. "
        f"Commit {data['commit']}, `experiments/quality_floors.py`.",
        "",
        "| scenario and floor | options closed | not measured, most | users who change | objective without [s] | "
        "with [s] | users, means above | scenes below, most | executed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, entry in data["settings"].items():
        rows, shares = entry.get("rows", []), np.divide([entry["below"], entry["unknown"]], entry["open"])
        above = sum(all(f["above"] for f in row["figures"].values()) for row in rows)
        below = max([share for row in rows for share in row["below"].values()], default=float("nan"))
        real = entry.get("executed", [])
        asked = SETTINGS[name].floor
        alone = float(str(asked["psnr"]).split()[0]) if "psnr" in asked else None
        low = sum(one["psnr_db"] < alone for one in real) if alone is not None else None
        by_processes = f"{len(real)}" + ("" if low is None or not real else f", {low} below")
        cells = (
            name, f"{shares[0].min():.0%}", f"{shares[1].max():.0%}", f"{entry['changed']} of {len(entry['users'])}",
            f"{entry['without_s']:.3g}", f"{entry['objective_s']:.3g}", f"{above} of {len(rows)}", f"{below:.0%}",
            by_processes,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
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
