"""Execute a seeded list of plans whose edge makes batches, runs that are spoiled on purpose, and verified decisions.

    python experiments/execution/in_batches.py [--count 14] [--decisions 6] [--plans FOLDER] [--out FOLDER]

Paced, one run at a time, every run counted, in the format of several.json. A list that was interrupted goes on where it
stopped. Every third plan minimises the largest latency, in which chains join and leave between steps, the others the
sum. Writes in_batches.json and in_batches.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from kept_list import HURRY, KeptList, head, hurried, kept_plan, tail
from scenarios import user
from several import commit, rewritten, row_of_run, worst_percent

from megdt_opt import Plan, Scenario, TimingProfile, plan
from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.cluster import Cluster
from megdt_opt.execution.job import Run
from megdt_opt.machine import environment
from megdt_opt.planning.baselines import COMMON, RESERVED_SHARES, baselines
from megdt_opt.program.blocks import denoise
from megdt_opt.program.stages import Compute, Kind, Send, is_edge
from megdt_opt.trials.execute import execute, run_options
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.runs import batch_schedule, user_runs
from megdt_opt.trials.verification import verify

RESULTS = Path(__file__).with_name("results")
KINDS = {"sum": "in batches, sum", "max": "in batches, largest"}
GAP = 1e-6
LONGEST_S = 5.0
"""What a plan's search is given [s]."""
STEPS = 10
USERS = 5
ACTORS = ("edge", *(f"user-{k}" for k in range(USERS)))

Leaf = Compute | Send
Spoiled = tuple[list[Run], BatchSchedule | None]


def objective(number: int) -> str:
    """What plan `number` minimises."""
    return "max" if number % 3 == 2 else "sum"


def drawn(number: int, attempt: int) -> Scenario:
    """Scenario `number`; further attempts draw it anew."""
    rng = np.random.default_rng([7, number, attempt])
    users = [user(rng, k) for k in range(int(rng.integers(3, USERS + 1)))]
    for fields in users:
        fields["device"]["stretch"] = float(rng.uniform(60, 200))
        fields["precisions"] = [str(rng.choice(["fp32", "fp16", "int8"]))]
    bands = {side: f"{rng.uniform(40, 120):.1f} kHz" for side in ("downlink", "uplink")}
    return Scenario(
        name=f"seeded {number}: {KINDS[objective(number)]}",
        steps=STEPS,
        scheduler=str(rng.choice(["ddim", "euler"])),
        objective=objective(number),
        edge={"profile": "here", "stretch": float(rng.uniform(16, 32)), "discipline": "batched"},
        channel={**bands, "propagation": "5 ms"},
        users=users,
    )


@cache
def planned(number: int) -> Plan:
    """Plan `number` of the list: the first draw in which a batch has several members, and not all are the same."""
    for attempt in range(40):
        found = {"here": TimingProfile.bundled("twin-cpu")}
        made = plan(drawn(number, attempt), found, gap=GAP, time_limit_s=LONGEST_S, compare=False)
        if len(set(made.batches)) > 1 and max(map(len, made.batches)) > 1:
            return made
    raise SystemExit(f"no draw of scenario {number} uses what it is about")


def executed(number: int, cluster: Cluster) -> dict[str, Any]:
    """Execute a plan; what was planned, proven and measured, with batches, pictures and rivals."""
    made = planned(number)
    done = execute(made, cluster=cluster, all_or_nothing=True)
    row = row_of_run(made, number, KINDS[objective(number)], done)
    pictures = judge_pictures(made.table, made.users, done.images, done.faults)
    rivals = {b.name: b for b in baselines(made.table, made.options, gap=1e-6, time_limit_s=30.0)}
    return row | {
        "objective": objective(number),
        "objective_s": made.objective_s,
        "batches": [list(batch) for batch in made.batches],
        "psnr_db": [None if np.isinf(p.psnr_db) else p.psnr_db for p in pictures],
        "reserved": [rivals[RESERVED_SHARES].objective_s, rivals[RESERVED_SHARES].proven],
        "common_batch_s": rivals[COMMON].objective_s,
    }


def parts(made: Plan) -> tuple[list[Run], BatchSchedule]:
    """What a plan executes."""
    planned_batches = batch_schedule(made.table, made.users)
    assert planned_batches is not None  # what the list is about
    return user_runs(made.table, made.users), planned_batches


def split(made: Plan) -> Spoiled:
    """Each batch of several members is made in two halves, one after the other."""
    runs, batches = parts(made)
    halves = [(b[: len(b) // 2], b[len(b) // 2 :]) if len(b) > 1 else (b,) for b in batches.batches]
    return runs, replace(batches, batches=tuple(half for pair in halves for half in pair))


def one_by_one(made: Plan) -> Spoiled:
    """One chain after another, whole, in the order of the first batches."""
    runs, batches = parts(made)
    order = list(dict.fromkeys(name for batch in batches.batches for name in batch))
    alone = tuple((name,) for name in order for _ in batches.numbers(name))
    return runs, replace(batches, batches=alone)


def reversed_order(made: Plan) -> Spoiled:
    """The last batch first."""
    runs, batches = parts(made)
    return runs, replace(batches, batches=batches.batches[::-1])


def handed_over_earlier(made: Plan) -> Spoiled:
    """Two steps of each chain are made by its device in place of the edge."""
    runs, batches = parts(made)
    fewer = {name: len(batches.numbers(name)) > 2 for batch in batches.batches for name in batch}
    left = {name: batches.numbers(name)[: -2 if fewer[name] else None] for name in fewer}
    kept = [tuple(n for n in batch if number in left[n]) for number, batch in enumerate(batches.batches)]
    found = []
    for run in runs:
        if not fewer.get(run.name, False):
            found.append(run)
            continue
        cut = len(left[run.name])

        def change(leaf: Leaf, shared: bool, pace: float, cut: int = cut, run: Run = run) -> list[tuple[Leaf, float]]:
            if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE:
                return [(replace(leaf, amount=cut), pace)] if is_edge(leaf.at) else []
            if isinstance(leaf, Send) and is_edge(leaf.source):
                return [(leaf, pace), (denoise(run.chains[0].device, cut, STEPS - cut), 1.0)]
            return [(leaf, pace)]

        found.append(_with_conditioning(made, rewritten(made, run, change)))
    return found, replace(batches, batches=tuple(batch for batch in kept if batch))


def _with_conditioning(made: Plan, run: Run) -> Run:
    """The run with the prompt encoded on the device too, where it is not."""
    device = run.chains[0].device
    if any(isinstance(x, Compute) and x.kind is Kind.ENCODE_PROMPT and x.at == device for x in run.stages_of(run.name)):
        return run

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        if isinstance(leaf, Send) and not is_edge(leaf.source):
            return [(Compute(at=device, kind=Kind.ENCODE_PROMPT, item="conditioning"), 1.0), (leaf, pace)]
        return [(leaf, pace)]

    return rewritten(made, run, change)


def reserved(made: Plan) -> Spoiled:
    """Equal shares of the edge in place of batches."""
    return parts(made)[0], None


SPOILS: dict[str, Callable[[Plan], Spoiled]] = {
    "each batch split in two": split,
    "one chain after another": one_by_one,
    "the last batch first": reversed_order,
    "hand-overs at another step": handed_over_earlier,
    "equal shares in place of batches": reserved,
}
"""What is run in place of what was planned."""


def run_spoiled(name: str, number: int, cluster: Cluster) -> dict[str, Any]:
    """Execute a spoiled run; off by how much."""
    made = planned(number)
    runs, batches = SPOILS[name](made)
    done = cluster.run(runs, run_options(made.table, 6 * max(u.latency_s for u in made.users)), batches=batches)
    return {"spoiled": name, "run": number, "refused": "", "worst_percent": worst_percent(made, done.measured_s)}


def decided(number: int, folder: Path | None) -> Plan:
    """Plan `number` with its rivals, hurried."""
    scenario, found = hurried(planned(number).scenario), {"here": TimingProfile.bundled("twin-cpu")}
    return kept_plan(folder, f"batches-{number}", lambda: plan(scenario, found, time_limit_s=LONGEST_S))


def decision(number: int, folder: Path | None, cluster: Cluster) -> dict[str, Any]:
    """A plan and its rivals, reserved shares and one common batch among them, each executed twice."""
    found = verify(decided(number, folder), repeats=2, seed=number, cluster=cluster)
    where = {"commit": commit(), "machine": environment()["cpu"], "load": os.getloadavg()[0]}
    return {"run": number, "hurry": HURRY, **where} | found.to_dict()


def page(data: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = [
        *head(data, "Executions of an edge that makes batches", "in_batches"),
        "Below reserved, below one common batch: 1 - found / (proven optimum of reserved shares of the same scenario), "
        "and 1 - found / (best found in which those who are served make all steps in one batch). PSNR: the least, "
        "executed against unsplit pictures.",
        "",
        "| plan | objective | options | gap | batches | below reserved [%] | below one common batch [%] | PSNR [dB] | "
        "worst error [%] |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in data["rows"]:
        best, proven = row["reserved"]
        below = f"{100 * (1 - row['objective_s'] / best):.1f}" + ("" if proven else " (not proven)")
        known = [p for p in row["psnr_db"] if p is not None]
        sizes = [len(batch) for batch in row["batches"]]
        lines.append(
            f"| {row['run']} | {row['objective']} | {', '.join(row['options'])} | {row['gap']:.0e} | {len(sizes)} of "
            f"{min(sizes)} to {max(sizes)} | {below} | {100 * (1 - row['objective_s'] / row['common_batch_s']):.1f} | "
            f"{min(known, default=np.inf):.0f} | {max(abs(e) for e in row['error_percent'].values()):.2g} |"
        )
    return "\n".join([*lines, *tail(data)])


def main() -> None:
    """Run the list, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=14)
    parser.add_argument("--decisions", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--plans", type=Path, help="folder in which the plans of decisions are kept")
    args = parser.parse_args()
    kept = KeptList(args.out, "in_batches", page)
    data = kept.data

    with Cluster(ACTORS, start_timeout_s=900) as cluster:
        for number in range(len(data["rows"]), args.count):
            kept.add("rows", executed(number, cluster))
            row = data["rows"][-1]
            off = {k: round(v, 2) for k, v in row["error_percent"].items()}
            print(number, row["options"], off, row["reserved"], row["objective_s"], flush=True)
        for number, name in kept.missing(SPOILS):
            kept.add("spoiled", run_spoiled(name, number, cluster))
            print(data["spoiled"][-1], flush=True)
        for number in range(len(data["decisions"]), args.decisions):
            kept.add("decisions", decision(2 * number, args.plans, cluster))
            print(data["decisions"][-1], flush=True)


if __name__ == "__main__":
    main()
