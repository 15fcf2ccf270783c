"""Wrong inputs on purpose: is each noticed, and is the right one named? Honest runs beside them: no alarm.

    python experiments/execution/mutations.py [--seeds 5] [--honest 30] [--first 0] [--mode paced] [--minutes 60]
        [--out FOLDER]

Six inputs of a plan are made wrong, one at a time, five seeds each: the plan (its hand-over is moved), a payload (30 %
larger), the model (noise on a latent: of 0.05, or of 0.2 where the hand-over rounds to less than 32 bit, which alone
changes a picture as much as 0.05 does), a link (30 % slower than allocated), a share (30 % less than reserved),
a profile (30 % off, up and down in turn). Payload and model are wrong in the actor's process (`mutant.py`), and so are
link and share where slots are paced; in kernel mode those two are wrong in the kernel (`mutant_kernel.py`). The
executor and the verdict do not know of it. Every case is five runs, probes of all links and the reference kernel. A
list that was interrupted goes on where it stopped, with a calibration of its own. Writes mutations_MODE.json and .md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from mutant_kernel import MutantKernel, Wrong, mutant_kernel
from several import Change, commit, rewritten

from megdt_opt import Execution, Plan, Scenario, TimingProfile, plan
from megdt_opt.cli.calibrate import calibrate_model
from megdt_opt.execution.cluster import Cluster
from megdt_opt.execution.kernel.settings import edge_actor
from megdt_opt.files import write_text
from megdt_opt.machine import environment
from megdt_opt.program.stages import EDGE, Compute, Kind, leaves
from megdt_opt.trials.execute import run_options
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.runs import user_runs
from megdt_opt.verdict.checking import check_inputs
from megdt_opt.verdict.limits import LINK, PROFILE, PROFILE_RUNS, SHARE
from megdt_opt.verdict.verdict import Verdict

RESULTS = Path(__file__).with_name("results")
KINDS = ("plan", "payload", "model", "link", "share", "profile")
FACTOR = 1.3
NOISE = 0.05
"""Standard deviation of what a wrong model adds to a latent [1]."""

MODEL = "mutant:Mutant"
MECHANISMS = ("SEU", "SEU-UE-first", "centralised", "E2U", "SEU-UE-first")
"""Of the first user, by seed; the second one generates at the edge."""

Row = dict[str, Any]


def scenario(seed: int, mode: str) -> Scenario:
    """One or two users whose stages are long enough to tell."""
    rng = np.random.default_rng([12, seed])
    edge, device = {"paced": ((4.0, 8.0), (2.0, 4.0))[seed % 2], "kernel": (2.5, 4.0), "raw": (1.0, 1.0)}[mode]
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
        name=f"mutations {seed}", steps=20 if mode == "kernel" else 10, users=users,
        edge={"profile": "edge", "stretch": edge},
        channel={"downlink": f"{rng.uniform(60, 120):.1f} kHz", "uplink": f"{rng.uniform(60, 120):.1f} kHz"},
    )  # fmt: skip


def scaled(profile: TimingProfile, factor: float) -> TimingProfile:
    """A profile whose times are wrong, and which does not say so."""
    cells = tuple(replace(c, samples_s=tuple(factor * s for s in c.samples_s)) for c in profile.cells)
    return replace(profile, cells=cells)


def moved(made: Plan) -> Change:
    """What moves the first user's hand-over by one step, or leaves out the last step where there is none."""
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

    return change


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
    return list(leaves(made.users[0].program))


def _sends(made: Plan, actor: str) -> bool:
    return any(not isinstance(leaf, Compute) and str(leaf.source) == actor for leaf in _leaves(made))


class Processes:
    """Processes beside this one, slots paced or not; what is wrong, the actors' processes are told by a file."""

    def __init__(self, cluster: Cluster, mode: str, said: Path) -> None:
        self._cluster, self._mode, self._said = cluster, mode, said

    def judged(self, made: Plan, kind: str, at: str) -> tuple[list[Execution], Verdict]:
        """Execute a plan as often as a verdict takes, with this wrong, and judge it."""
        runs = user_runs(made.table, made.users, made.groups)
        if kind == "plan":
            runs = [rewritten(made, runs[0], moved(made)), *runs[1:]]
        options = run_options(made.table, max(u.latency_s for u in made.users), self._mode, made.users)  # type: ignore[arg-type]
        with mutated(self._said, made, kind if kind in ("payload", "model", "link", "share") else "", at):
            done = [self._cluster.run(runs, options) for _ in range(PROFILE_RUNS)]
            pictures = judge_pictures(made.table, made.users, done[0].images)
            return done, check_inputs(made, done, self._cluster, pictures)


class Kernel:
    """The same in a world that the kernel enforces."""

    def __init__(self, kernel: MutantKernel, said: Path) -> None:
        self._kernel, self._said = kernel, said

    def judged(self, made: Plan, kind: str, at: str) -> tuple[list[Execution], Verdict]:
        """As `Processes.judged`."""
        self._kernel.calibrate([made])
        first = made.users[0].name
        wrong = Wrong(kind=kind, sender=at, device=first, factor=FACTOR, change=moved(made) if kind == "plan" else None)
        process = str(edge_actor(EDGE, first, None)) if at == "edge" else at
        with mutated(self._said, made, kind if kind in ("payload", "model") else "", process):
            return self._kernel.judged(made, wrong)


@contextmanager
def mutated(said: Path, made: Plan, kind: str, actor: str) -> Iterator[None]:
    """Have an actor's process do something wrong meanwhile; "" for nothing."""
    factor = NOISE if kind == "model" else FACTOR
    if kind:
        said.write_text(json.dumps({"kind": kind, "actor": actor, "factor": factor}), encoding="utf-8")
    try:
        yield
    finally:
        said.write_text("", encoding="utf-8")


@contextmanager
def world_of(mode: str, said: Path) -> Iterator[Processes | Kernel]:
    """The processes of a list."""
    devices = ["user-0", "user-1"]
    if mode == "kernel":
        actors = [*devices, *(str(edge_actor(EDGE, device, None)) for device in devices)]
        with mutant_kernel(dict.fromkeys(actors, MODEL), devices) as kernel:
            yield Kernel(kernel, said)
    else:
        with Cluster(["edge", *devices], MODEL) as cluster:
            yield Processes(cluster, mode, said)


def case_of(kind: str, seed: int, profile: TimingProfile, mode: str) -> tuple[Plan, str]:
    """A plan, its profile wrong where that is what is wrong, and at which actor or side something is."""
    side = ("edge", "device")[seed // 2 % 2]
    factor = FACTOR if seed % 2 else 1 / FACTOR

    def planned(wrong_side: str) -> Plan:
        profiles = {name: scaled(profile, factor) if name == wrong_side else profile for name in ("edge", "device")}
        return plan(scenario(seed, mode), profiles, compare=False)

    made = planned(side if kind == "profile" else "")
    if kind != "profile":
        return made, target(made, kind, seed)
    denoising = [leaf for leaf in _leaves(made) if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE]
    if any((str(leaf.at) == "edge") == (side == "edge") for leaf in denoising):
        return made, side
    other = "device" if side == "edge" else "edge"
    return planned(other), other


def one(kind: str, seed: int, profile: TimingProfile, world: Processes | Kernel, mode: str) -> Row:
    """Execute a case five times and judge it; `kind` is "honest" or what is wrong."""
    made, at = case_of(kind, seed, profile, mode)
    begin = time.monotonic()
    done, found = world.judged(made, kind, at)
    return {
        "kind": kind,
        "seed": seed,
        "at": at,
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


def spread_of(rows: list[Row]) -> list[str]:
    """How far apart the figures of profile, link and share lie where nothing of theirs is wrong and where it is."""
    told = []
    for cause, limit in (("profile", PROFILE), ("link", LINK), ("share", SHARE)):
        right, wrong = [], []
        for row in rows:
            ratios = [f[2] / f[3] for f in row["figures"] if f[0] == cause]
            if row["kind"] == cause and ratios:
                wrong.append(max(ratios, key=lambda ratio: abs(math.log(ratio))))
            elif row["kind"] not in (cause, "plan", "payload"):  # other blocks and bytes take other times
                right += ratios
        said = ", ".join(f"{ratio:.3f}" for ratio in sorted(wrong))
        if right:
            told.append(
                f"- {cause}: {min(right):.3f} to {max(right):.3f} of the stated ({len(right)} figures) where it is "
                f"right, {said or 'no case'} where it is wrong; limits 1/{limit:g} and {limit:g}"
            )
    return told


def page_of(data: Row, mode: str) -> str:
    """The page of the list."""
    s = data["summary"]
    commits = sorted({one["commit"] for one in data["pieces"]})
    machines = sorted({"{cpu}, {cores} cores, {system}".format(**one["machine"]) for one in data["pieces"]})
    lines = [
        f"# Wrong inputs, {mode}",
        "",
        f"Commit {', '.join(commits)}; {'; '.join(machines)}; load average up to {s['load_largest']:.1f}; "
        f"{len(data['pieces'])} calibrations. Made by `mutations.py`; the rows are in "
        f"`mutations_{mode}.json`.",
        "",
        f"{s['noticed']} of {s['mutations']} mutations noticed, the right cause named in {s['right_cause']}; "
        f"{s['false_alarms']} false alarms in {s['honest']} honest cases (five runs each).",
        "",
        *spread_of(data["rows"]),
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


def order_of(seeds: range, honest: range) -> list[tuple[str, int]]:
    """All cases: honest ones among the others, so that a machine that drifts drifts for both."""
    listed = [(kind, seed) for seed in seeds for kind in KINDS]
    honestly = [("honest", seed) for seed in honest]
    order = [case for pair in zip(listed, honestly, strict=False) for case in pair]
    return order + [case for case in (*listed, *honestly) if case not in order]


def main() -> None:
    """Run the list, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--honest", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--mode", choices=("paced", "raw", "kernel"), default="paced")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    end_s = time.monotonic() + 60 * args.minutes
    path = args.out / f"mutations_{args.mode}.json"
    data: Row = {"pieces": [], "rows": []}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))
    done = {(row["kind"], row["seed"]) for row in data["rows"]}
    seeds, honest = (range(args.first, args.first + count) for count in (args.seeds, args.honest))
    if args.profile is None:
        profile = calibrate_model("twin", batches=(1,), samples=20, wait_s=5.0)
    else:
        profile = TimingProfile.load(args.profile)
    data["pieces"].append(
        {"commit": commit(), "machine": environment(), "profile": profile.to_dict()["provenance"]["created"]}
    )
    said = Path(tempfile.mkdtemp()) / "mutation.json"
    os.environ["MEGDT_MUTATION"] = str(said)
    with world_of(args.mode, said) as world:
        for kind, seed in (case for case in order_of(seeds, honest) if case not in done):
            if time.monotonic() > end_s:
                break
            row = one(kind, seed, profile, world, args.mode) | {"piece": len(data["pieces"]) - 1}
            data["rows"].append(row)
            data["summary"] = summary_of(data["rows"])
            args.out.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(data, indent=1) + "\n")
            write_text(path.with_suffix(".md"), page_of(data, args.mode))
            print(kind, seed, row["options"], round(row["took_s"], 1), row["headline"], flush=True)


if __name__ == "__main__":
    main()
