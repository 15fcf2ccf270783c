"""Wrong inputs on purpose: is each noticed, and is the right one named? Honest runs beside them: no alarm.

    python experiments/execution/mutations.py [--seeds 5] [--honest 30] [--mode paced] [--minutes 60]
        [--out FOLDER]

Six inputs of a plan are made wrong, one at a time, five seeds each: the plan (its hand-over is moved), a payload (30 %
larger), the model (noise of 0.05 on a latent), a link (30 % slower than allocated), a share (30 % less than reserved),
a profile (30 % off, up and down in turn). Payload, model, link and share are wrong in the actor's process
(`mutant.py`), the executor and the verdict do not know of it. Every case is five runs, probes of all links and the
reference kernel. A list that was interrupted goes on where it stopped. Writes mutations_MODE.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from several import commit, rewritten

from megdt_opt import Execution, Plan, Scenario, TimingProfile, plan
from megdt_opt.cli.calibrate import calibrate_model
from megdt_opt.execution.cluster import Cluster
from megdt_opt.files import write_text
from megdt_opt.machine import environment
from megdt_opt.program.stages import Compute, Kind
from megdt_opt.trials.execute import run_options
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.runs import user_runs
from megdt_opt.verdict.checking import check_inputs
from megdt_opt.verdict.limits import PROFILE_RUNS

RESULTS = Path(__file__).with_name("results")
KINDS = ("plan", "payload", "model", "link", "share", "profile")
FACTOR = 1.3
MECHANISMS = ("SEU", "SEU-UE-first", "centralised", "E2U", "SEU-UE-first")
"""Of the first user, by seed; the second one generates at the edge."""

Row = dict[str, Any]


def scenario(seed: int, mode: str) -> Scenario:
    """One or two users whose stages are long enough to tell."""
    rng = np.random.default_rng([12, seed])
    edge, device = ((4.0, 8.0), (2.0, 4.0))[seed % 2] if mode == "paced" else (1.0, 1.0)
    users = []
    for k in range(1 + seed % 2):
        users.append(
            {
                "name": f"user-{k}",
                "device": {"profile": "device", "stretch": device},
                "downlink_efficiency": f"{rng.uniform(2, 5):.3f} bit/s/Hz",
                "uplink_efficiency": f"{rng.uniform(1, 3):.3f} bit/s/Hz",
                "scene": int(rng.integers(0, 10**6)),
                "seed": int(rng.integers(0, 10**6)),
                "mechanisms": [MECHANISMS[seed % len(MECHANISMS)] if k == 0 else "E2U"],
                "precisions": [str(rng.choice(["fp32", "fp16"]))],
                "codecs": ["raw"],
            }
        )
    return Scenario(
        name=f"mutations {seed}", steps=10, edge={"profile": "edge", "stretch": edge}, users=users,
        channel={"downlink": f"{rng.uniform(60, 120):.1f} kHz", "uplink": f"{rng.uniform(60, 120):.1f} kHz"},
    )  # fmt: skip


def scaled(profile: TimingProfile, factor: float) -> TimingProfile:
    """A profile whose times are wrong, and which does not say so."""
    cells = tuple(replace(c, samples_s=tuple(factor * s for s in c.samples_s)) for c in profile.cells)
    return replace(profile, cells=cells)


def moved(made: Plan) -> list[Any]:
    """The plan's runs with a hand-over one step off, or the last step left out where there is none."""
    runs = user_runs(made.table, made.users, made.groups)
    last = [leaf for leaf in _leaves(made) if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE][-1]
    by = 1 if last.amount > 1 else -1

    def change(leaf: Any, shared: bool, pace: float) -> list[tuple[Any, float]]:
        if not isinstance(leaf, Compute) or leaf.kind is not Kind.DENOISE:
            return [(leaf, pace)]
        if leaf.first + leaf.amount < made.scenario.steps:
            return [(replace(leaf, amount=leaf.amount + by), pace)]
        if leaf.first:
            return [(replace(leaf, first=leaf.first + by, amount=leaf.amount - by), pace)]
        return [(replace(leaf, amount=leaf.amount - 1), pace)]

    return [rewritten(made, runs[0], change), *runs[1:]]


def target(made: Plan, kind: str, seed: int) -> str:
    """The actor at which an input is wrong."""
    first = made.users[0].name
    if kind == "share":
        return "edge"
    computing = {str(leaf) for leaf in ("edge", first)}
    if kind == "model":
        stages = [leaf.at for leaf in _leaves(made) if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE]
        return str(stages[0])
    return sorted(computing)[seed % 2] if _sends(made, first) else "edge"


def _leaves(made: Plan) -> list[Any]:
    from megdt_opt.program.stages import leaves

    return list(leaves(made.users[0].program))


def _sends(made: Plan, actor: str) -> bool:
    return any(not isinstance(leaf, Compute) and str(leaf.source) == actor for leaf in _leaves(made))


def one(kind: str, seed: int, profile: TimingProfile, cluster: Cluster, mode: str, said: Path) -> Row:
    """Execute a case five times and judge it; `kind` is "honest" or what is wrong."""
    factor = FACTOR if seed % 2 else 1 / FACTOR
    wrong_side = ("edge", "device")[seed // 2 % 2]
    profiles = {
        side: scaled(profile, factor) if kind == "profile" and side == wrong_side else profile
        for side in ("edge", "device")
    }
    made = plan(scenario(seed, mode), profiles, compare=False)
    at = target(made, kind, seed)
    if kind == "profile" and not any(
        isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE and (str(leaf.at) == "edge") == (wrong_side == "edge")
        for leaf in _leaves(made)
    ):
        other = "device" if wrong_side == "edge" else "edge"
        profiles = {**profiles, wrong_side: profile, other: scaled(profile, factor)}
        made, wrong_side = plan(scenario(seed, mode), profiles, compare=False), other  # fmt: skip
    begin = time.monotonic()
    if kind in ("payload", "model", "link", "share"):
        said.write_text(json.dumps({"kind": kind, "actor": at, "factor": FACTOR}), encoding="utf-8")
    runs = moved(made) if kind == "plan" else user_runs(made.table, made.users, made.groups)
    options = run_options(made.table, max(u.latency_s for u in made.users), mode, made.users)  # type: ignore[arg-type]
    try:
        done: list[Execution] = [cluster.run(runs, options) for _ in range(PROFILE_RUNS)]
        pictures = judge_pictures(made.table, made.users, done[0].images)
        found = check_inputs(made, done, cluster, pictures)
    finally:
        said.write_text("", encoding="utf-8")
    return {
        "kind": kind,
        "seed": seed,
        "at": wrong_side if kind == "profile" else at,
        "options": [u.option.name for u in made.users],
        "noticed": not found.ok,
        "cause": None if found.cause is None else str(found.cause),
        "headline": found.headline,
        "error_percent": [list(run.error_percent.values()) for run in done],
        "figures": [
            [str(f.cause), f.subject, f.measured, f.stated, f.distance if np.isfinite(f.distance) else None]
            for f in found.figures
        ],
        "not_judged": [one.words for one in found.unjudged],
        "load": os.getloadavg()[0],
        "took_s": time.monotonic() - begin,
    }


def summary_of(rows: list[Row]) -> Row:
    """The figures of the list."""
    honest = [r for r in rows if r["kind"] == "honest"]
    wrong = [r for r in rows if r["kind"] != "honest"]
    return {
        "mutations": len(wrong),
        "noticed": sum(r["noticed"] for r in wrong),
        "right_cause": sum(r["cause"] == r["kind"] for r in wrong),
        "by_kind": {k: [sum(r["cause"] == k for r in wrong if r["kind"] == k), sum(r["kind"] == k for r in wrong)]
                    for k in KINDS},
        "honest": len(honest),
        "false_alarms": sum(r["noticed"] for r in honest),
        "load_largest": max(r["load"] for r in rows),
    }  # fmt: skip


def page_of(data: Row, mode: str) -> str:
    """The page of the list."""
    s, where = data["summary"], data["machine"]
    lines = [
        f"# Wrong inputs, {mode}",
        "",
        f"Commit {data['commit']}; {where['cpu']}, {where['cores']} cores, {where['system']}; load average up to "
        f"{s['load_largest']:.1f}. Made by `mutations.py`; the rows are in `mutations_{mode}.json`.",
        "",
        f"{s['noticed']} of {s['mutations']} mutations noticed, the right cause named in {s['right_cause']}; "
        f"{s['false_alarms']} false alarms in {s['honest']} honest cases (five runs each).",
        "",
        "| input | right cause named |",
        "|---|---|",
        *(f"| {kind} | {right} of {count} |" for kind, (right, count) in s["by_kind"].items()),
        "",
        "| case | seed | at | verdict |",
        "|---|---|---|---|",
        *(f"| {r['kind']} | {r['seed']} | {r['at'] if r['kind'] != 'honest' else ''} | {r['headline']} |"
          for r in data["rows"]),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Run the list, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--honest", type=int, default=30)
    parser.add_argument("--mode", choices=("paced", "raw"), default="paced")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    end_s = time.monotonic() + 60 * args.minutes
    path = args.out / f"mutations_{args.mode}.json"
    data: Row = {"commit": commit(), "machine": environment(), "rows": []}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))
    done = {(row["kind"], row["seed"]) for row in data["rows"]}
    listed = [(kind, seed) for seed in range(args.seeds) for kind in KINDS]
    honest = [("honest", seed) for seed in range(args.honest)]
    # honest cases among the others, so that a machine that drifts drifts for both
    order = [case for pair in zip(listed, honest, strict=False) for case in pair]
    order += [case for case in (*listed, *honest) if case not in order]
    if args.profile is None:
        profile = calibrate_model("twin", batches=(1,), samples=20, wait_s=5.0)
    else:
        profile = TimingProfile.load(args.profile)
    said = Path(tempfile.mkdtemp()) / "mutation.json"
    os.environ["MEGDT_MUTATION"] = str(said)
    with Cluster(["edge", "user-0", "user-1"], "mutant:Mutant") as cluster:
        for kind, seed in (case for case in order if case not in done):
            if time.monotonic() > end_s:
                break
            row = one(kind, seed, profile, cluster, args.mode, said)
            data["rows"].append(row)
            data["summary"] = summary_of(data["rows"])
            args.out.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(data, indent=1) + "\n")
            write_text(path.with_suffix(".md"), page_of(data, args.mode))
            print(kind, seed, row["options"], round(row["took_s"], 1), row["headline"], flush=True)


if __name__ == "__main__":
    main()
