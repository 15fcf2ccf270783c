"""Verify the decisions of the list of several users: is the plan measured fastest, is the order the predicted one?

    python experiments/execution/verify_several.py [--count 25] [--formed 6] [--repeats 2] [--out FOLDER]

Rivals of a plan: its single mechanisms, single edges, what is had with nothing shared, other common steps and fewer who
share them, other options; of formed groups also other groups, as large or smaller. Paced, in an order shuffled again in
every round. A list that was interrupted goes on where it stopped. Writes results/several_decisions.json with every
repeat.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scenarios import KINDS
from several import ACTORS, GAP, RESULTS, commit, planned, planned_formed

from megdt_opt import Plan, Scenario, plan
from megdt_opt.execution.cluster import Cluster
from megdt_opt.files import write_text
from megdt_opt.machine import environment
from megdt_opt.planning.baselines import baselines
from megdt_opt.scenario.groups import Group
from megdt_opt.trials.verification import verify

Row = dict[str, Any]


def with_rivals(made: Plan) -> Plan:
    """The plan with its baselines."""
    return replace(made, baselines=baselines(made.table, made.options, gap=made.asked_gap))


def other_groups(made: Plan) -> dict[str, Plan]:
    """Plans of the same users in other groups: one member changes places with somebody else, and one leaves."""
    first, rest = made.groups[0], made.groups[1:]
    outside = [user.name for user in made.users if user.name not in first.riders]
    kept = [list(group.riders) for group in rest]
    found = {}
    if outside:
        leaves, comes = first.riders[-1], outside[-1]
        swapped = [[leaves if name == comes else name for name in group] for group in kept]
        found["other groups"] = [[*first.riders[:-1], comes], *swapped]
    if len(first.riders) > 2:
        found["smaller groups"] = [list(first.riders[:-1]), *kept]
    return {name: _with_groups(made, groups) for name, groups in found.items()}


def _with_groups(made: Plan, members: list[list[str]]) -> Plan:
    group = made.scenario.groups[0]  # type: ignore[index]  # a plan that formed groups has some
    groups = tuple(Group(members=tuple(names), reserve=group.reserve, steps=group.steps) for names in members)
    scenario: Scenario = made.scenario.model_copy(update={"groups": groups})
    return plan(scenario, made.table.profiles, gap=GAP, compare=False)


def summary_of(rows: list[Row]) -> Row:
    """The figures of the list."""
    misses = [m for r in rows for m in r["misses"]]
    correlations = [r["rank_correlation"] for r in rows]
    return {
        "plans": len(rows),
        "sets": sum(len(r["sets"]) for r in rows),
        "executions": sum(len(s["measured_s"]) for r in rows for s in r["sets"]),
        "rank_correlation_median": float(np.median(correlations)),
        "rank_correlation_least": float(min(correlations)),
        "plan_fastest": sum(bool(r["plan_is_fastest"]) for r in rows),
        "misses": len(misses),
        "misses_within_interval": sum(m["interval_s"][0] <= 0 for m in misses),
        "load_largest": max(r["load"] for r in rows),
    }


def main() -> None:
    """Verify the list, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=25)
    parser.add_argument("--formed", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    path = args.out / "several_decisions.json"
    data: dict[str, Any] = {"commit": commit(), "machine": environment(), "repeats": args.repeats, "rows": []}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))
    done = {(row["kind"], row["run"]) for row in data["rows"]}
    listed = [("formed", n) for n in range(args.formed)] + [(KINDS[n % len(KINDS)], n) for n in range(args.count)]
    with Cluster(ACTORS, start_timeout_s=600) as cluster:
        for kind, number in (each for each in listed if each not in done):
            made = planned_formed(number) if kind == "formed" else planned(number)
            others = other_groups(made) if kind == "formed" else {}
            found = verify(with_rivals(made), repeats=args.repeats, cluster=cluster, others=others)
            row = {"kind": kind, "run": number, "load": os.getloadavg()[0], **json.loads(json.dumps(found.to_dict()))}
            data["rows"].append(row)
            data["summary"] = summary_of(data["rows"])
            args.out.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(data, indent=1) + "\n")
            rivals = {s.name: (round(s.predicted_s, 3), round(s.median_s, 3)) for s in found.sets}
            print(kind, number, round(found.rank_correlation, 3), found.plan_is_fastest, rivals, flush=True)


if __name__ == "__main__":
    main()
