"""Execute a seeded list of plans for tiny pipelines of every family over all mechanisms; every run counts.

    python experiments/execution/pipelines.py [--out experiments/execution/results/pipelines.json]

Each family's folder is made with random weights, calibrated, planned from the spec that a calibration writes, and
executed paced by an edge and two devices. The file has a row for each execution and is written anew after each family.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny_pipelines
from run_list import percentiles

from megdt_opt import Plan, Scenario, TimingProfile, calibrate, plan
from megdt_opt.files import write_text
from megdt_opt.models.registry import load_model
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.trials.execute import cluster_of, execute
from megdt_opt.trials.pictures import judge_pictures

RESULTS = Path(__file__).with_name("results") / "pipelines.json"
PAIRS = (("centralised", "local"), ("E2U", "SEU"), ("SEU-UE-first", "U2E"), ("PEU", "SEU"))
PROMPTS = ("a red car, top view", "two robots and a belt", "a blue shelf", "an office, noon")
SETTINGS: dict[str, dict[str, Any]] = {
    "sdxl-turbo": {"guidance": 1.0},
    "flux": {"pixels": 32},
    "flux-schnell": {"pixels": 32},
}
START_S = 900.0


def prepared(family: str, folder: Path) -> tuple[Path, ModelSpec, TimingProfile]:
    """The spec file, the spec and a profile of a family whose folder is made here."""
    torch.set_num_threads(1)
    model = load_model(str(tiny_pipelines.save(folder / family, family)), **SETTINGS.get(family, {}))
    kinds = ["encode_prompt", "denoise", "decode", "sense", *(["fuse"] if model.spec.region_multiple else [])]
    profile = calibrate(model, kinds=kinds, batches=(1,), held_out_batches=(), samples=8)
    file = folder / f"{family}.spec.json"
    file.write_text(json.dumps(model.spec.to_dict()))
    return file, model.spec, profile


def scenarios(family: str, file: Path, spec: ModelSpec) -> Iterator[Scenario]:
    """The scenarios of a family, by a seed: every mechanism, several samplers and hand-overs."""
    rng = np.random.default_rng(list(family.encode()))
    for number, pair in enumerate(PAIRS):
        mechanisms = tuple("E2U" if m == "PEU" and not spec.region_multiple else m for m in pair)
        steps = int(rng.integers(4, 7))
        samplers = [name for name in spec.schedulers if name != "pndm" or steps > 3]
        yield Scenario(
            name=f"{family}, {number}",
            model=str(file),
            steps=steps,
            scheduler=str(rng.choice(samplers)),
            cuts=(int(rng.integers(1, steps)),),
            overlap_rows=2,
            edge={"profile": "here", "stretch": 20.0},
            channel={"downlink": "200 kHz", "uplink": "200 kHz", "propagation": "2 ms"},
            users=[
                {
                    "name": f"user-{k}",
                    "device": {"profile": "here", "stretch": 30.0},
                    "downlink_efficiency": f"{rng.uniform(2, 5):.2f} bit/s/Hz",
                    "uplink_efficiency": f"{rng.uniform(2, 4):.2f} bit/s/Hz",
                    "mechanisms": [mechanism],
                    "precisions": ["fp32"],
                    "codecs": ["raw"],
                    "senses": mechanism == "U2E",
                    "prompt": PROMPTS[int(rng.integers(len(PROMPTS)))],
                    "seed": int(rng.integers(2**31)),
                }
                for k, mechanism in enumerate(mechanisms)
            ],
        )


def rows_of(family: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Executions of a family's list, one after another by the same processes."""
    file, spec, profile = prepared(family, folder)
    plans: list[Plan] = [plan(s, {"here": profile}, compare=False) for s in scenarios(family, file, spec)]
    with cluster_of(plans[0].table, start_timeout_s=START_S) as cluster:
        for made in plans:
            done = execute(Plan.from_dict(json.loads(json.dumps(made.to_dict()))), cluster=cluster, all_or_nothing=True)
            pictures = judge_pictures(made.table, made.users, done.images)
            yield {
                "family": family,
                "sampler": made.scenario.scheduler,
                "steps": made.scenario.steps,
                "passes_per_step": spec.passes_per_step,
                "options": [user.option.name for user in made.users],
                "predicted_s": done.predicted_s,
                "measured_s": done.measured_s,
                "error_percent": done.error_percent,
                "overruns": len(done.overruns),
                "identical": [p.identical for p in pictures],
                "psnr_db": [p.psnr_db if np.isfinite(p.psnr_db) else None for p in pictures],
            }


def summary_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the list says in short."""
    pairs = [(o, same) for row in rows for o, same in zip(row["options"], row["identical"], strict=True)]
    return {
        "executions": len(rows),
        "families": list(dict.fromkeys(row["family"] for row in rows)),
        "end_to_end_percent": percentiles([e for row in rows for e in row["error_percent"].values()]),
        "overruns": sum(row["overruns"] for row in rows),
        "pictures": sum(not o.startswith("PEU") for o, _ in pairs),
        "pictures_equal": sum(same for o, same in pairs if not o.startswith("PEU")),
    }


def main() -> None:
    """Run the list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--families", nargs="*", help="Run these, and keep the others' rows.")
    args = parser.parse_args()
    families = args.families or list(tiny_pipelines.FAMILIES)
    rows: list[dict[str, Any]] = []
    if args.families and args.out.is_file():
        rows = [row for row in json.loads(args.out.read_text())["rows"] if row["family"] not in families]
    with tempfile.TemporaryDirectory() as folder:
        for family in families:
            for row in rows_of(family, Path(folder)):
                rows.append(row)
                errors = {user: round(value, 2) for user, value in row["error_percent"].items()}
                print(family, row["sampler"], row["options"], errors, row["overruns"], row["identical"], flush=True)
            about = {"machine": {"cores": os.cpu_count(), "torch": torch.__version__}, **summary_of(rows)}
            write_text(args.out, json.dumps({"summary": about, "rows": rows}, indent=1) + "\n")
    print(json.dumps(summary_of(rows), indent=1))


if __name__ == "__main__":
    main()
