"""Execute a seeded list of plans for tiny pipelines of every family over all mechanisms; every run counts.

    python experiments/execution/pipelines.py [--out experiments/execution/results/pipelines.json]

Each family's folder is made with random weights, calibrated, planned from the spec that a calibration writes, and
executed paced by an edge and two devices. Ten runs are spoiled on purpose: something else is executed than what was
planned, and a latency must be off by more than 5 %. Of what takes less in pipelines this small (a second decoding,
links at half of their rates: 2 %) that cannot be asked. The file has a row for each execution with the commit it ran
on, and is written anew after each family; `--families` runs a part of the list and keeps the others' rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import tiny_pipelines
from run_list import percentiles
from several import SPOILED_PERCENT, Leaf, commit, rewritten, spoiled_latency_s, worst_percent

from megdt_opt import MegdtError, Plan, Scenario, TimingProfile, calibrate, plan
from megdt_opt.execution.cluster import Cluster
from megdt_opt.execution.job import Run
from megdt_opt.files import write_text
from megdt_opt.models.registry import load_model
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Compute, Kind, Send, is_edge, leaves
from megdt_opt.trials.execute import cluster_of, execute, run_options
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.runs import fallback_runs, user_runs

RESULTS = Path(__file__).with_name("results") / "pipelines.json"
PAIRS = (("centralised", "local"), ("E2U", "SEU"), ("SEU-UE-first", "U2E"), ("PEU", "SEU"))
PROMPTS = ("a red car, top view", "two robots and a belt", "a blue shelf", "an office, noon")
SETTINGS: dict[str, dict[str, Any]] = {
    "sdxl-turbo": {"guidance": 1.0},
    "flux": {"pixels": 32},
    "flux-schnell": {"pixels": 32},
}
START_S = 900.0


def steps_twice(made: Plan, run: Run) -> Run:
    """All denoising steps made twice."""

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        again = isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE and leaf.rows is None
        return [(leaf, pace)] * (2 if again else 1)

    return rewritten(made, run, change)


def handed_over_elsewhere(made: Plan, run: Run) -> Run:
    """The hand-over a step later, or a step earlier where one step alone is behind it."""
    by = (
        1 if any(_behind(leaf) and leaf.amount > 1 for leaf in leaves(run.program) if isinstance(leaf, Compute)) else -1
    )

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        if _behind(leaf):
            leaf = replace(leaf, first=leaf.first + by, amount=leaf.amount - by)
        elif isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE:
            leaf = replace(leaf, amount=leaf.amount + by)
        return [(leaf, pace)]

    return rewritten(made, run, change)


def _behind(leaf: Leaf) -> TypeGuard[Compute]:
    """Whether steps are made behind a hand-over."""
    return isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE and leaf.first > 0


def half_share(made: Plan, run: Run) -> Run:
    """Half of the edge's share."""
    return rewritten(made, run, lambda leaf, _, pace: [(leaf, pace / 2 if _at_edge(leaf) else pace)])


def slow_links(made: Plan, run: Run) -> Run:
    """Links at a tenth of their rates."""
    return rewritten(made, run, lambda leaf, _, pace: [(leaf, pace / 10 if isinstance(leaf, Send) else pace)])


def server_moved(made: Plan, run: Run) -> Run:
    """The device alone in place of the edge."""
    return fallback_runs(made.table)[run.name]


def _at_edge(leaf: Leaf) -> bool:
    return isinstance(leaf, Compute) and is_edge(leaf.at)


SPOILS: dict[str, tuple[str, int, int, Callable[[Plan, Run], Run]]] = {
    "steps made twice (U-Net)": ("sd1", 1, 0, steps_twice),
    "steps made twice (transformer)": ("sd3", 1, 1, steps_twice),
    "hand-over at another step": ("sd2-v", 1, 1, handed_over_elsewhere),
    "hand-over at another step, device first": ("pixart", 2, 0, handed_over_elsewhere),
    "half of the edge's share": ("sdxl", 1, 0, half_share),
    "half of the edge's share, from a picture": ("flux", 2, 1, half_share),
    "links at a tenth of their rates": ("sdxl-turbo", 0, 0, slow_links),
    "server moved": ("lcm", 0, 0, server_moved),
    "server moved, a small decoder": ("sd1-small-decoder", 0, 0, server_moved),
    "hand-over at another step, without guidance": ("flux-schnell", 1, 1, handed_over_elsewhere),
}
"""What is run in place of what was planned: family, number of the plan, number of the user, and the change."""


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
            **({"overlap_rows": 2} if spec.region_multiple else {}),
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
                "commit": commit(),
                "load": os.getloadavg()[0],
            }
        for name, (of_family, number, user, change) in SPOILS.items():
            if of_family == family:
                yield spoiled(name, plans[number], user, change, cluster) | {"family": family, "commit": commit()}


def spoiled(name: str, made: Plan, user: int, change: Callable[[Plan, Run], Run], cluster: Cluster) -> dict[str, Any]:
    """Execute a spoiled run; off by how much, or refused."""
    runs = [change(made, run) if k == user else run for k, run in enumerate(user_runs(made.table, made.users))]
    row: dict[str, Any] = {"spoiled": name, "options": [u.option.name for u in made.users]}
    longest_s = max(max(spoiled_latency_s(run).values()) for run in runs)
    try:
        done = cluster.run(runs, run_options(made.table, longest_s))
    except MegdtError as error:
        return row | {"refused": str(error), "worst_percent": None}
    return row | {"refused": "", "worst_percent": worst_percent(made, done.measured_s)}


def summary_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the list says in short."""
    wrong = [row for row in rows if "spoiled" in row]
    rows = [row for row in rows if "spoiled" not in row]
    pairs = [(o, same) for row in rows for o, same in zip(row["options"], row["identical"], strict=True)]
    return {
        "executions": len(rows),
        "families": list(dict.fromkeys(row["family"] for row in rows)),
        "end_to_end_percent": percentiles([e for row in rows for e in row["error_percent"].values()]),
        "overruns": sum(row["overruns"] for row in rows),
        "pictures": sum(not o.startswith("PEU") for o, _ in pairs),
        "pictures_equal": sum(same for o, same in pairs if not o.startswith("PEU")),
        "commits": sorted({row["commit"] for row in [*rows, *wrong] if "commit" in row}),
        "load_largest": max((row["load"] for row in rows if "load" in row), default=None),
        "spoiled": len(wrong),
        "spoiled_found": sum(bool(r["refused"]) or abs(r["worst_percent"]) > SPOILED_PERCENT for r in wrong),
    }


def page(rows: list[dict[str, Any]]) -> str:
    """The rows as a page."""
    found = summary_of(rows)
    error = found["end_to_end_percent"]
    lines = [
        "# Executions of pipelines",
        "",
        "Tiny pipelines with random weights, paced, made by `experiments/execution/pipelines.py` on commit "
        f"{', '.join(found['commits'])}; load average up to {found['load_largest']:.1f}. Rows: `pipelines.json`.",
        "",
        f"{found['executions']} executions of {len(found['families'])} families, {error['count']} end-to-end "
        f"latencies, all counted: error {error['median']:.3g} % (median), {error['p95']:.3g} % (95th percentile), "
        f"{error['worst']:.3g} % (worst); {found['overruns']} stages overran their slot. {found['pictures_equal']} of "
        f"{found['pictures']} pictures without parallel generation are those of the unsplit run to the last bit.",
        "",
        "| family | sampler | options | worst error [%] | equal |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        if "spoiled" not in row:
            worst = max(abs(e) for e in row["error_percent"].values())
            same = ", ".join("yes" if s else "PEU" for s in row["identical"])
            lines.append(f"| {row['family']} | {row['sampler']} | {'; '.join(row['options'])} | {worst:.2f} | {same} |")
    lines += [
        "",
        f"Spoiled on purpose: {found['spoiled_found']} of {found['spoiled']} are off by more than "
        f"{SPOILED_PERCENT:g} %, or refused.",
        "",
        "| spoiled | family | options | off by [%] |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {r['spoiled']} | {r['family']} | {'; '.join(r['options'])} | "
        f"{r['refused'] or format(r['worst_percent'], '.3g')} |"
        for r in rows
        if "spoiled" in r
    ]
    return "\n".join([*lines, ""])


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
                if "spoiled" in row:
                    print(row, flush=True)
                    continue
                errors = {user: round(value, 2) for user, value in row["error_percent"].items()}
                print(family, row["sampler"], row["options"], errors, row["overruns"], row["identical"], flush=True)
            about = {"machine": {"cores": os.cpu_count(), "torch": torch.__version__}, **summary_of(rows)}
            write_text(args.out, json.dumps({"summary": about, "rows": rows}, indent=1) + "\n")
            write_text(args.out.with_suffix(".md"), page(rows))
    print(json.dumps(summary_of(rows), indent=1))


if __name__ == "__main__":
    main()
