"""Execute a seeded list of plans with shared steps, hosts and several edges, and runs that are spoiled on purpose.

    python experiments/execution/several.py [--count 25] [--alone 14] [--out experiments/execution/results]

Paced, one run at a time, every run counted. A list that was interrupted goes on where it stopped. Paced runs predict
themselves where only the sum of slots is looked at, so ten runs are spoiled: something else is executed than what was
planned, and the plan's prediction must be off by more than 5 %. Writes several.json and several.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from run_list import percentiles, row_of
from scenarios import KINDS, formed, scenario, several

from megdt_opt import Execution, Plan, TimingProfile, plan
from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.execution.cluster import Cluster
from megdt_opt.execution.job import Run
from megdt_opt.files import write_text
from megdt_opt.machine import environment
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.program.schedule import schedule
from megdt_opt.program.stages import Compute, EdgeServer, Kind, Parallel, Send, Series, Stage, is_edge, leaves
from megdt_opt.trials.costs import measured_costs
from megdt_opt.trials.execute import execute, run_options
from megdt_opt.trials.runs import user_runs

RESULTS = Path(__file__).with_name("results")
ACTORS = ("edge", "edge-2", *(f"user-{k}" for k in range(6)))
GAP = 1e-6
SPOILED_PERCENT = 5.0
"""A spoiled run is found out where a latency is off by more than this [%]."""

Leaf = Compute | Send
Change = Callable[[Leaf, bool, float], list[tuple[Leaf, float]]]
"""From a leaf, whether it is common to a group, and its pace, to the leaves that are run in its place."""


@cache
def planned(number: int) -> Plan:
    """Plan `number` of the list: the first draw in which what the kind is about is used."""
    kind, profile = KINDS[number % len(KINDS)], TimingProfile.bundled("twin-cpu")
    for attempt in range(20):
        try:
            made = plan(several(number, attempt), {"here": profile}, gap=GAP, compare=False)
        except Infeasible:
            continue
        used = {user.edge for user in made.users} - {""}
        if len(used) > 1 if kind == "edges" else any(len(group.riders) > 1 for group in made.groups):
            return made
    raise SystemExit(f"no draw of scenario {number} uses what it is about")


@cache
def planned_formed(number: int) -> Plan:
    """Plan `number` whose groups are formed: the first draw in which somebody shares steps."""
    profile = TimingProfile.bundled("twin-cpu")
    for attempt in range(20):
        made = plan(formed(number, attempt), {"here": profile}, gap=GAP, compare=False)
        if made.groups:
            return made
    raise SystemExit(f"no draw of scenario {number} forms groups")


def rewritten(made: Plan, run: Run, change: Change) -> Run:
    """A run with other leaves; slots and predictions are those of the new ones."""
    return _timed(made, replace_program(run, *changed(run, change)))


def changed(run: Run, change: Change) -> tuple[Stage, list[str], list[float]]:
    """A run's program with other leaves, and their chains and paces."""
    chains, paces = iter(run.chain), iter(run.pace)
    chain: list[str] = []
    pace: list[float] = []

    def visit(stage: Stage) -> Stage:
        if isinstance(stage, Series):
            return Series(tuple(visit(s) for s in stage.stages))
        if isinstance(stage, Parallel):
            return Parallel(tuple(visit(s) for s in stage.branches))
        name = next(chains)
        new = change(stage, name in run.shared, next(paces))
        chain.extend(name for _ in new)
        pace.extend(p for _, p in new)
        return new[0][0] if len(new) == 1 else Series(tuple(leaf for leaf, _ in new))

    return visit(run.program), chain, pace


def replace_program(run: Run, program: Stage, chain: list[str], pace: list[float]) -> dict[str, Any]:
    """Fields of a run with another program."""
    names = ("name", "chains", "scheduler", "steps", "propagation_s", "turn")
    return {n: getattr(run, n) for n in names} | {"program": program, "chain": tuple(chain), "pace": tuple(pace)}


def _timed(made: Plan, fields: dict[str, Any]) -> Run:
    table, stages = made.table, list(leaves(fields["program"]))
    names = [user.name for user in made.users]
    slots = tuple(table.seconds(s) if isinstance(s, Compute) else 0.0 for s in stages)
    chains = {c.name: c for c in fields["chains"]}
    lasts = [
        slot / pace
        if isinstance(leaf, Compute)
        else table.send_bit(leaf, names.index(chains[name].device)) / pace + fields["propagation_s"]
        for leaf, slot, pace, name in zip(stages, slots, fields["pace"], fields["chain"], strict=True)
    ]
    return Run(**fields, slot_s=slots, predicted=schedule(fields["program"], lasts))


def spoiled_latency_s(run: Run) -> dict[str, float]:
    """Latencies that a run should have [s]."""
    users = set(run.chain) - run.shared
    times = list(zip(run.chain, run.predicted, strict=True))
    return {user: max(t.start_s + t.duration_s for name, t in times if name == user) for user in users}


def prefix_twice(made: Plan, run: Run) -> Run:
    """The common steps made twice."""

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        again = shared and isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE
        return [(leaf, pace)] * (2 if again else 1)

    return rewritten(made, run, change)


def prefix_each(made: Plan, run: Run) -> Run:
    """The common steps made once for each who rides, one after another."""
    times = sum(chain.goes_on_from != "" for chain in run.chains)

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        again = shared and isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE
        return [(leaf, pace)] * (times if again else 1)

    return rewritten(made, run, change)


def unicast(made: Plan, run: Run) -> Run:
    """The common latent sent to one receiver after the other."""

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        if not isinstance(leaf, Send) or len(leaf.to) == 1:
            return [(leaf, pace)]
        return [(replace(leaf, to=(receiver,)), pace) for receiver in leaf.to]

    return rewritten(made, run, change)


def coarse(made: Plan, run: Run) -> Run:
    """The common latent sent in another precision."""

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        if isinstance(leaf, Send) and shared and not is_edge(leaf.to[0]):
            leaf = replace(leaf, precision="int8" if leaf.precision == "fp32" else "fp32")
        return [(leaf, pace)]

    return rewritten(made, run, change)


def separate(made: Plan, run: Run) -> Run:
    """The common steps on a member's share in place of the group's."""
    times = sum(chain.goes_on_from != "" for chain in run.chains)

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        own = shared and isinstance(leaf, Compute) and is_edge(leaf.at)
        return [(leaf, pace / times if own else pace)]

    return rewritten(made, run, change)


def other_step(made: Plan, run: Run) -> Run:
    """The common steps two fewer, which the members make themselves."""

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        if isinstance(leaf, Compute) and leaf.kind is Kind.DENOISE and (shared or leaf.first > 0):
            moved = 2 if leaf.first else 0
            leaf = replace(leaf, first=leaf.first - moved, amount=leaf.amount + (moved or -2))
        return [(leaf, pace)]

    return rewritten(made, run, change)


def other_host(made: Plan, run: Run) -> Run:
    """The common steps made by another member's device."""
    host = next(c.device for c in run.chains if c.name in run.shared)
    other = next(c.device for c in run.chains if c.device != host and c.goes_on_from)
    swap = {host: other, other: host}

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        if isinstance(leaf, Compute):
            return [(replace(leaf, at=swap.get(leaf.at, leaf.at)), pace)]
        to = tuple(swap.get(actor, actor) for actor in leaf.to)
        return [(replace(leaf, source=swap.get(leaf.source, leaf.source), to=to), pace)]

    chains = tuple(replace(c, device=swap.get(c.device, c.device)) for c in run.chains)
    return rewritten(made, replace(run, chains=chains), change)


def _moved(edge: str, factor: float = 1.0) -> Change:
    def there(actor: str) -> str:
        return EdgeServer(edge) if is_edge(actor) else actor

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        if isinstance(leaf, Compute):
            return [(replace(leaf, at=there(leaf.at)), pace)]
        return [(replace(leaf, source=there(leaf.source), to=tuple(there(a) for a in leaf.to)), factor * pace)]

    return change


def server_moved(made: Plan, run: Run) -> Run:
    """The work of a user at the other edge, at the same shares."""
    edge = next(user.edge for user in made.users if user.name == run.name)
    return rewritten(made, run, _moved("edge-2" if edge == "edge" else "edge"))


def member_elsewhere(made: Plan, run: Run) -> Run:
    """A user served by the other edge, at the efficiency with which this one reaches it."""
    user = next(u for u in made.scenario.users if u.name == run.name)
    edge = next(u.edge for u in made.users if u.name == run.name)
    other = "edge-2" if edge == "edge" else "edge"
    reach = user.downlink_efficiency_bit_per_s_per_hz
    return rewritten(made, run, _moved(other, reach[other] / reach[edge]))


def strongest(made: Plan, run: Run) -> Run:
    """The multicast at the rate of the strongest receiver in place of the weakest."""
    reach = {u.name: float(u.downlink_efficiency_bit_per_s_per_hz) for u in made.scenario.users}

    def change(leaf: Leaf, shared: bool, pace: float) -> list[tuple[Leaf, float]]:
        if isinstance(leaf, Send) and len(leaf.to) > 1:
            found = [reach[name] for name in leaf.to]
            pace *= max(found) / min(found)
        return [(leaf, pace)]

    return rewritten(made, run, change)


def _group(made: Plan) -> int | None:
    return 0 if made.groups and not made.groups[0].hosted else None


def _receivers(made: Plan) -> int | None:
    return 0 if made.groups and not made.groups[0].hosted and len(made.groups[0].receivers) > 1 else None


def _host(made: Plan) -> int | None:
    return 0 if made.groups and made.groups[0].hosted else None


def _served(made: Plan) -> int | None:
    found = [n for n, user in enumerate(made.users) if user.edge and user.option.mechanism in ("E2U", "centralised")]
    return found[0] if len(made.table.sites) > 1 and found else None


SPOILS: dict[str, tuple[Callable[[Plan], int | None], Callable[[Plan, Run], Run]]] = {
    "prefix run twice": (_group, prefix_twice),
    "unicast in place of multicast": (_receivers, unicast),
    "server moved": (_served, server_moved),
    "hand-over at another step": (_receivers, other_step),
    "member on another edge": (_served, member_elsewhere),
    "prefix run for each member": (_host, prefix_each),
    "common latent in another precision": (_receivers, coarse),
    "common steps on a member's share": (_group, separate),
    "common steps on another host": (_host, other_host),
    "multicast at the strongest's rate": (_receivers, strongest),
}
"""What is spoiled: which of a plan's runs it needs, and what is run in its place."""


def spoiled(name: str, count: int) -> tuple[int, Plan, list[Run]]:
    """The first plan of the list that a spoiling fits, and the runs with it."""
    which, change = SPOILS[name]
    for number in range(count):
        made = planned(number)
        index = which(made)
        if index is not None:
            runs = user_runs(made.table, made.users, made.groups)
            return number, made, [change(made, r) if n == index else r for n, r in enumerate(runs)]
    raise SystemExit(f"no plan of the list for: {name}")


def worst_percent(made: Plan, latency_s: dict[str, float]) -> float:
    """By how much the latencies are off from those planned, at most [%]."""
    return max(abs(100 * (latency_s[user.name] / user.latency_s - 1)) for user in made.users)


def run_spoiled(name: str, count: int, cluster: Cluster) -> dict[str, Any]:
    """Execute a spoiled run; off by how much, or refused."""
    number, made, runs = spoiled(name, count)
    row: dict[str, Any] = {"spoiled": name, "run": number, "refused": "", "worst_percent": None}
    try:
        longest_s = max(max(spoiled_latency_s(run).values()) for run in runs)
        done = cluster.run(runs, run_options(made.table, longest_s))
        row["worst_percent"] = worst_percent(made, done.measured_s)
    except InvalidInput as error:
        row["refused"] = str(error)
    return row


COSTS = ("edge_s", "device_s", "edge_compute_j", "device_compute_j", "device_radio_j", "messages", "signals",
         "signalling_byte")  # fmt: skip
"""Costs of a user beside latency, as plans and executions name them."""


@cache
def planned_alone(number: int) -> Plan:
    """The plan of one user whom one mechanism is left, every one in turn."""
    found = scenario(number, 1, (MECHANISMS[number % len(MECHANISMS)],), seed=4)
    return plan(found, {"here": TimingProfile.bundled("twin-cpu")}, gap=GAP, compare=False)


def run_planned(made: Plan, number: int, kind: str, cluster: Cluster) -> dict[str, Any]:
    """Execute a plan; what was planned, proven and measured."""
    return row_of_run(made, number, kind, execute(made, cluster=cluster, all_or_nothing=True))


def row_of_run(made: Plan, number: int, kind: str, done: Execution) -> dict[str, Any]:
    """What was planned, proven and measured of a plan that was executed."""
    verdict = None if made.certificate is None else made.certificate.verify(made.problem)
    recomputed_s = made.scenario.objective_of([user.latency_s for user in made.users])
    return row_of(number, made, done) | {
        "kind": kind,
        "mechanisms": [user.option.mechanism for user in made.users],
        "status": made.status,
        "gap": made.gap,
        "proof_holds": verdict is not None and verdict.holds,
        "planned_off": abs(recomputed_s / made.objective_s - 1),
        "costs": [
            {name: [getattr(predicted, name), getattr(measured, name)] for name in COSTS}
            for predicted, measured in zip((u.costs for u in made.users), measured_costs(made, done), strict=True)
        ],
        "riders": sum(len(group.riders) for group in made.groups),
        "steps": [group.steps for group in made.groups],
        "edges": sorted({user.edge for user in made.users} - {""}),
    }


def summary_of(rows: list[dict[str, Any]], wrong: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of the list."""
    kinds = {
        kind: percentiles([e for r in rows if r["kind"] == kind for e in r["error_percent"].values()])
        for kind in dict.fromkeys(r["kind"] for r in rows)
    }
    found = [r for r in wrong if r["refused"] or abs(r["worst_percent"]) > SPOILED_PERCENT]
    return {
        "runs": len(rows),
        "end_to_end_percent": percentiles([e for r in rows for e in r["error_percent"].values()]),
        "kinds": kinds,
        "overruns": sum(r["overruns"] for r in rows),
        "load_largest": max(r["load"] for r in rows),
        "spoiled": len(wrong),
        "spoiled_found": len(found),
    }


def page(data: dict[str, Any]) -> str:
    """The Markdown page."""
    s, where = data["summary"], data["machine"]
    total = s["end_to_end_percent"]
    lines = [
        "# Executions of shared steps, hosts and several edges",
        "",
        f"Commit {data['commit']}; {where['cpu']}, {where['cores']} cores, {where['system']}; load average up to "
        f"{s['load_largest']:.1f}. Made by `several.py`; the rows are in `several.json`.",
        "",
        f"{s['runs']} paced runs, {total['count']} end-to-end latencies, all counted: error {total['median']:.3g} % "
        f"(median), {total['p95']:.3g} % (95th percentile), {total['worst']:.3g} % (worst); {s['overruns']} stages "
        "overran their slot.",
        "",
        "| kind | latencies | median [%] | 95th percentile [%] | worst [%] |",
        "|---|---|---|---|---|",
        *(
            f"| {kind} | {f['count']} | {f['median']:.3g} | {f['p95']:.3g} | {f['worst']:.3g} |"
            for kind, f in s["kinds"].items()
        ),
        "",
        f"Spoiled on purpose: {s['spoiled_found']} of {s['spoiled']} are off by more than {SPOILED_PERCENT:g} % or "
        "refused.",
        "",
        "| spoiled | plan | off by [%] |",
        "|---|---|---|",
        *(
            f"| {r['spoiled']} | {r['run']} | {r['refused'] or format(r['worst_percent'], '.3g')} |"
            for r in data["spoiled"]
        ),
        "",
    ]
    return "\n".join(lines)


def commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, cwd=RESULTS.parent
    )
    return found.stdout.strip() or "unknown"


def main() -> None:
    """Run the list, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--alone", type=int, default=14, help="runs of one user, for the costs of each mechanism")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    path = args.out / "several.json"
    data: dict[str, Any] = {"commit": commit(), "machine": environment(), "rows": [], "alone": [], "spoiled": []}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))

    def keep() -> None:
        data["summary"] = summary_of(data["rows"], data["spoiled"])
        args.out.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(data, indent=1) + "\n")
        write_text(args.out / "several.md", page(data))

    with Cluster(ACTORS, start_timeout_s=600) as cluster:
        for number in range(len(data["rows"]), args.count):
            row = run_planned(planned(number), number, KINDS[number % len(KINDS)], cluster)
            data["rows"].append(row | {"load": os.getloadavg()[0]})
            off = {k: round(v, 2) for k, v in row["error_percent"].items()}
            print(number, row["kind"], row["options"], off, flush=True)
            keep()
        for number in range(len(data["alone"]), args.alone):
            row = run_planned(planned_alone(number), number, "alone", cluster)
            data["alone"].append(row | {"load": os.getloadavg()[0]})
            print(number, row["options"], row["error_percent"], flush=True)
            keep()
        done = {row["spoiled"] for row in data["spoiled"]}
        for name in (name for name in SPOILS if name not in done):
            data["spoiled"].append(run_spoiled(name, args.count, cluster))
            print(data["spoiled"][-1], flush=True)
            keep()


if __name__ == "__main__":
    main()
