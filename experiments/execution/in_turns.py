"""Execute a seeded list of plans whose edge serves in turns, runs that are spoiled on purpose, and verified decisions.

    python experiments/execution/in_turns.py [--count 13] [--decisions 6] [--plans FOLDER] [--out FOLDER]

Paced, one run at a time, every run counted, in the format of several.json. A list that was interrupted goes on where it
stopped. Every third plan has a user who is left two hand-overs; every fourth minimises the sum. Writes in_turns.json
and in_turns.md. The gap of a row is that of the certificate, the distance to the optimum being zero by enumeration.
"""

from __future__ import annotations

import argparse
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
from several import commit, rewritten, run_planned, worst_percent

from megdt_opt import Plan, Scenario, TimingProfile, plan
from megdt_opt.execution.cluster import Cluster
from megdt_opt.execution.job import Run
from megdt_opt.planning.baselines import reserved_shares
from megdt_opt.program.stages import Compute, Kind, Send, is_edge
from megdt_opt.program.turns import TWICE
from megdt_opt.trials.execute import run_options
from megdt_opt.trials.runs import user_runs
from megdt_opt.trials.verification import verify

RESULTS = Path(__file__).with_name("results")
KIND = "in turns"
GAP = 1e-6
STEPS = 10
USERS = 5
ACTORS = ("edge", *(f"user-{k}" for k in range(USERS)))

Leaf = Compute | Send


def drawn(number: int, attempt: int) -> Scenario:
    """Scenario `number`; further attempts draw it anew."""
    rng = np.random.default_rng([6, number, attempt])
    users = [user(rng, k) for k in range(int(rng.integers(3, USERS + 1)))]
    for k, fields in enumerate(users):
        fields["device"]["stretch"] = float(rng.uniform(80, 260))
        fields["precisions"] = [str(rng.choice(["fp32", "fp16", "int8"]))]
        fields["codecs"] = [str(rng.choice(["png", "jpeg"]))]
        fields["senses"] = bool(rng.random() < 0.2)
        if k == 0 and number % 3 == 0:
            fields["mechanisms"] = [TWICE]
    bands = {side: f"{rng.uniform(20, 60):.1f} kHz" for side in ("downlink", "uplink")}
    return Scenario(
        name=f"seeded {number}: {KIND}",
        steps=STEPS,
        scheduler=str(rng.choice(["ddim", "euler", "dpmpp"])),
        cuts=[2, 4, 6, 8],
        objective="sum" if number % 4 == 3 else "max",
        edge={"profile": "here", "stretch": float(rng.uniform(24, 48)), "discipline": "in_turns"},
        channel={**bands, "propagation": "5 ms"},
        users=users,
    )


@cache
def planned(number: int) -> Plan:
    """Plan `number` of the list: the first draw in which two users or more have turns, and one waits for its own."""
    for attempt in range(20):
        made = plan(drawn(number, attempt), {"here": TimingProfile.bundled("twin-cpu")}, gap=GAP, compare=False)
        turns = [user.turn for user in made.users if user.turn is not None]
        if len(turns) > 1 and any(turn.waiting_s > 0.05 * made.objective_s for turn in turns):
            return made
    raise SystemExit(f"no draw of scenario {number} uses what it is about")


def executed(number: int, cluster: Cluster) -> dict[str, Any]:
    """Execute a plan; what was planned, proven and measured, with the waiting for turns."""
    made = planned(number)
    row = run_planned(made, number, KIND, cluster)
    certificate = made.certificate
    row["bound_source"] = made.bound_source
    row["gap"] = 1.0 if certificate is None else 1 - min(certificate.bound_s / made.objective_s, 1.0)
    row["turns"] = [None if u.turn is None else u.turn.place for u in made.users]
    row["waiting_s"] = [None if u.turn is None else u.turn.waiting_s for u in made.users]
    rivals = reserved_shares(made.table, gap=1e-4, time_limit_s=60.0)  # none where a user is left two hand-overs alone
    row["reserved"] = [{"objective": b.objective_s, "proven": b.proven, "mine": made.objective_s} for b in rivals]
    return row


def swapped(made: Plan, runs: list[Run]) -> list[Run]:
    """The first turn and the last change places."""
    last = max(run.turn for run in runs if run.turn is not None)
    places = {0: last, last: 0}
    return [run if run.turn is None else replace(run, turn=places.get(run.turn, run.turn)) for run in runs]


def handed_over_later(made: Plan, runs: list[Run]) -> list[Run]:
    """Who has its turn first makes all its steps before it hands over, at the edge or on its device."""

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        return [(leaf, pace)] if not (isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE) else moved(leaf, pace)

    def moved(leaf: Compute, pace: float) -> list[tuple[Leaf, float]]:
        # one step more where the chain is first, one fewer behind it
        if leaf.first == 0:
            return [(replace(leaf, amount=min(leaf.amount + 1, STEPS)), pace)]
        if leaf.amount == 1:
            return []
        return [(replace(leaf, first=leaf.first + 1, amount=leaf.amount - 1), pace)]

    return [rewritten(made, run, change) if _two_sided(made, run) else run for run in runs]


def reserved(made: Plan, runs: list[Run]) -> list[Run]:
    """Equal shares of the edge in place of turns."""
    count = sum(run.turn is not None for run in runs)

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        return [(leaf, pace / count if isinstance(leaf, Compute) and is_edge(leaf.at) else pace)]

    return [run if run.turn is None else replace(rewritten(made, run, change), turn=None) for run in runs]


def twice(made: Plan, runs: list[Run]) -> list[Run]:
    """The steps of the first turn made twice."""

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        again = isinstance(leaf, Compute) and is_edge(leaf.at) and leaf.kind is Kind.DENOISE
        return [(leaf, pace)] * (2 if again else 1)

    return [rewritten(made, run, change) if run.turn == 0 else run for run in runs]


def half_speed(made: Plan, runs: list[Run]) -> list[Run]:
    """Turns on half of the edge in place of the whole."""

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        return [(leaf, pace / 2 if isinstance(leaf, Compute) and is_edge(leaf.at) else pace)]

    return [rewritten(made, run, change) for run in runs]


def _two_sided(made: Plan, run: Run) -> bool:
    return next(u for u in made.users if u.name == run.name).option.mechanism in ("SEU", "SEU-UE-first")


SPOILS: dict[str, Callable[[Plan, list[Run]], list[Run]]] = {
    "first and last turn swapped": swapped,
    "hand-overs at another step": handed_over_later,
    "reserved shares in place of turns": reserved,
    "steps of the first turn made twice": twice,
    "turns on half of the edge": half_speed,
}
"""What is run in place of what was planned."""


def run_spoiled(name: str, number: int, cluster: Cluster) -> dict[str, Any]:
    """Execute a spoiled run; off by how much."""
    made = planned(number)
    runs = SPOILS[name](made, user_runs(made.table, made.users))
    longest_s = 4 * max(user.latency_s for user in made.users)
    done = cluster.run(runs, run_options(made.table, longest_s))
    return {"spoiled": name, "run": number, "refused": "", "worst_percent": worst_percent(made, done.measured_s)}


def decided(number: int, folder: Path | None) -> Plan:
    """Plan `number` with its rivals, hurried."""
    scenario, found = hurried(planned(number).scenario), {"here": TimingProfile.bundled("twin-cpu")}
    return kept_plan(folder, f"turns-{number}", lambda: plan(scenario, found, gap=1e-4))


def decision(number: int, folder: Path | None, cluster: Cluster) -> dict[str, Any]:
    """A plan and its rivals, reserved shares among them, each executed twice."""
    found = verify(decided(number, folder), repeats=2, seed=number, cluster=cluster)
    return {"run": number, "commit": commit(), "hurry": HURRY} | found.to_dict()


def page(data: dict[str, Any]) -> str:
    """The Markdown page."""
    lines = [
        *head(data, "Executions of an edge in turns", "in_turns"),
        "Reserved: by how much the proven optimum of reserved shares of the same scenario is slower than the plan; "
        "empty where a user is left two hand-overs alone, which reserved shares do not offer.",
        "",
        "| plan | objective | options | order | gap of the certificate | reserved [%] | worst error [%] |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in data["rows"]:
        order = [f"user-{k}" for k in np.argsort([1e9 if t is None else t for t in row["turns"]])]
        order = order[: sum(t is not None for t in row["turns"])]
        said = ""
        for one in row["reserved"]:
            said = f"{100 * (one['objective'] / one['mine'] - 1):.1f}" + ("" if one["proven"] else " (not proven)")
        worst = max(abs(e) for e in row["error_percent"].values())
        lines.append(
            f"| {row['run']} | {'sum' if row['run'] % 4 == 3 else 'max'} | {', '.join(row['options'])} | "
            f"{', '.join(order)} | {row['gap']:.0e} | {said} | {worst:.2g} |"
        )
    return "\n".join([*lines, *tail(data)])


def main() -> None:
    """Run the list, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=13)
    parser.add_argument("--decisions", type=int, default=6)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--plans", type=Path, help="folder in which the plans of decisions are kept")
    args = parser.parse_args()
    kept = KeptList(args.out, "in_turns", page)
    data = kept.data

    with Cluster(ACTORS, start_timeout_s=600) as cluster:
        for number in range(len(data["rows"]), args.count):
            kept.add("rows", executed(number, cluster))
            row = data["rows"][-1]
            off = {k: round(v, 2) for k, v in row["error_percent"].items()}
            print(number, row["options"], off, row["reserved"], flush=True)
        for number, name in kept.missing(SPOILS):
            kept.add("spoiled", run_spoiled(name, 2 * number, cluster))
            print(data["spoiled"][-1], flush=True)
        both = [row["run"] for row in data["rows"] if row["reserved"]]
        for number in both[len(data["decisions"]) : args.decisions]:
            kept.add("decisions", decision(number, args.plans, cluster))
            print(data["decisions"][-1], flush=True)


if __name__ == "__main__":
    main()
