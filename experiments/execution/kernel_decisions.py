"""Verify decisions in a world that the kernel enforces: is the plan measured fastest, is the order the predicted one?

    python experiments/execution/kernel_decisions.py --minutes 7 [--count 12] [--repeats 3] [--out FOLDER]

Needs root, iproute2 and processor quotas. Every scenario is planned from a calibration taken now, and is executed with
its rivals, all stretched by one factor, in an order shuffled again in every round; scenarios whose plan has a share
that no quota holds are passed over. Pairs of sets whose predictions
differ by less than the 90 % interval of rehearsed latencies (of `kernel_list.py`'s rows) are ties; Kendall's tau is
over the others. Predictions are those of the kernel's laws, which know what the plan does not: a quota's saved-up
start, headers, a link's bucket. A list that was interrupted goes on where it stopped. Writes
kernel_decisions.json and .md. Each row says on which machine it was made, and is predicted from a calibration there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from kernel_list import errors
from several import commit

from megdt_opt import Scenario, TimingProfile, plan
from megdt_opt.cli.calibrate import calibrate_model
from megdt_opt.errors import InvalidInput
from megdt_opt.execution.kernel.settings import edge_actor
from megdt_opt.files import write_text
from megdt_opt.machine import environment
from megdt_opt.models.registry import DEFAULT_MODEL
from megdt_opt.program.stages import EDGE
from megdt_opt.trials.kernel import KernelCluster, KernelLaws, calibrate_work, kernel_cluster
from megdt_opt.trials.kernel_verification import KernelSets, verify_in_kernel
from megdt_opt.trials.verification import VerifiedSet, kendall_tau

RESULTS = Path(__file__).with_name("results")
USERS = 3
LEAST_PAIRS = 4
"""Pairs that differ by more than the interval, below which a scenario has no rank correlation [1]."""

Row = dict[str, Any]


def scenario(number: int) -> Scenario:
    """Scenario of a number: 1 to 3 users, links and devices that differ by a factor of a few."""
    rng = np.random.default_rng([20_261_129, number])
    count = 1 + number % USERS
    users = []
    for k in range(count):
        users.append(
            {
                "name": f"user-{k}",
                "device": {"profile": "here", "stretch": float(count * rng.uniform(1.3, 5.0))},
                "downlink_efficiency": f"{rng.uniform(1, 4):.3f} bit/s/Hz",
                "uplink_efficiency": f"{rng.uniform(1, 3):.3f} bit/s/Hz",
                "scene": int(rng.integers(0, 10**6)),
                "seed": int(rng.integers(0, 10**6)),
                "codecs": ["png"],
            }
        )
    return Scenario(
        name=f"kernel decision {number}", steps=20, scheduler="ddim", objective=("sum", "max")[number % 2], users=users,
        edge={"profile": "here", "stretch": 1.25},
        channel={
            "downlink": f"{count * rng.uniform(40, 200):.1f} kHz", "uplink": f"{count * rng.uniform(40, 200):.1f} kHz",
            "propagation": "5 ms",
        },
    )  # fmt: skip


def interval_width() -> float:
    """Width of the 90 % interval of rehearsed latencies, from the rows of the list of executions [1]."""
    rows = json.loads((RESULTS / "kernel.json").read_text(encoding="utf-8"))["rows"]
    low, high = np.percentile(errors(rows, "rehearsed"), [5, 95])
    return float(high - low) / 100


def one(number: int, profile: TimingProfile, processes: KernelCluster, laws: KernelLaws, repeats: int) -> Row:
    """Verify a scenario's plan; `laws` grow by what was not calibrated yet."""
    known = KernelSets(plan(scenario(number), {"here": profile}))
    missing = [probe for probe in known.probes if not any(probe == p for _, p in laws.work)]
    if missing:
        more = calibrate_work(processes, missing)
        laws.work.update(more.work)  # type: ignore[attr-defined]  # a dict
    found = verify_in_kernel(known, processes, laws, repeats=repeats, seed=number)
    return {"scenario": number, "factor": known.factor, "left_out": list(known.left_out), **found.to_dict()}


def beaten(row: Row, width: float) -> bool:
    """Whether a set that keeps every limit was faster than the plan, though predicted slower by more than the width."""
    mine, *rivals = row["sets"]
    slower = [r for r in rivals if not r["breaks"] and r["predicted_s"] > (1 + width) * mine["predicted_s"]]
    return any(np.median(r["measured_s"]) < np.median(mine["measured_s"]) for r in slower)


def summary_of(rows: list[Row], width: float) -> Row:
    """The figures of the list."""
    misses = [m for row in rows for m in row["misses"]]
    taus = [kendall_tau([VerifiedSet(**s) for s in row["sets"]], width) for row in rows]
    told = [tau for tau, pairs in taus if pairs >= LEAST_PAIRS]
    return {
        "interval_width": width,
        "scenarios": len(rows),
        "sets": sum(len(row["sets"]) for row in rows),
        "executions": sum(len(s["measured_s"]) for row in rows for s in row["sets"]),
        "pairs": [pairs for _, pairs in taus],
        "kendall_tau": [tau if np.isfinite(tau) else None for tau, _ in taus],
        "kendall_tau_median": float(np.median(told)) if told else None,
        "kendall_tau_least": float(min(told)) if told else None,
        "scenarios_with_tau": len(told),
        "plan_fastest": sum(bool(row["plan_is_fastest"]) for row in rows),
        "plan_fastest_ties_aside": sum(not beaten(row, width) for row in rows),
        "misses": len(misses),
        "misses_within_interval": sum(m["interval_s"][0] <= 0 for m in misses),
        "load_largest": max(row["load"] for row in rows),
    }


def machine_of(row: Row, data: Row) -> str:
    """Where a row was made; rows of the first session say so together."""
    where = row.get("machine", data["machine"])
    return f"{where['cpu']}, {where['cores']} cores, {where['system']}"


def told(tau: float | None) -> str:
    """A correlation, where there is one."""
    return "none" if tau is None else f"{tau:.3f}"


def page_of(data: Row) -> str:
    """The list as a page."""
    s = data["summary"]
    where = Counter(machine_of(row, data) for row in data["rows"])
    lines = [
        "# Decisions verified in a world that the kernel enforces",
        "",
        f"{'; '.join(f'{name}: {count} scenarios' for name, count in where.items())}; load average up to "
        f"{s['load_largest']:.1f}. Each machine's scenarios are predicted from its own calibration. Made by "
        "`kernel_decisions.py`; the rows, with their commits, are in `kernel_decisions.json`.",
        "",
        f"{s['scenarios']} plans, {s['sets']} sets, {s['executions']} executions. Sets whose predictions differ by "
        f"less than {100 * s['interval_width']:.0f} % (the 90 % interval of rehearsed latencies) are ties. Kendall's "
        f"tau over the other pairs, where there are at least {LEAST_PAIRS} ({s['scenarios_with_tau']} scenarios): "
        f"median {told(s['kendall_tau_median'])}, least {told(s['kendall_tau_least'])}. The plan was measured fastest "
        f"in {s['plan_fastest']} of {s['scenarios']}, ties (as above) aside in {s['plan_fastest_ties_aside']}; "
        f"{s['misses_within_interval']} of {s['misses']} misses lie inside their intervals.",
        "",
        "| scenario | sets | pairs | tau | fastest | plan: predicted, measured [s] | rivals: predicted, measured [s] |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, pairs, tau in zip(data["rows"], s["pairs"], s["kendall_tau"], strict=True):
        mine, *rivals = row["sets"]
        others = [f"{r['name']} {r['predicted_s']:.3f}, {np.median(r['measured_s']):.3f}" for r in rivals]
        lines.append(
            f"| {row['scenario']} | {len(row['sets'])} | {pairs} | {told(tau)} | "
            f"{'yes' if row['plan_is_fastest'] else 'no'} | {mine['predicted_s']:.3f}, "
            f"{np.median(mine['measured_s']):.3f} | {'; '.join(others)} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Verify the list, or what is left of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    end_s = time.monotonic() + 60 * args.minutes
    path, width = args.out / "kernel_decisions.json", interval_width()
    data: Row = {"machine": environment(), "repeats": args.repeats, "rows": []}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))
    done = {row["scenario"] for row in data["rows"]}
    profile = calibrate_model("twin", batches=(1,), samples=20, wait_s=5.0)
    about = {"commit": commit(), "machine": environment()}
    devices = [f"user-{k}" for k in range(USERS)]
    actors = [*devices, *(edge_actor(EDGE, device, None) for device in devices)]
    models = dict.fromkeys(actors, DEFAULT_MODEL)
    with kernel_cluster(models, devices, start_timeout_s=300.0, wait_s=60.0) as processes:
        laws = KernelLaws(work={})
        for number in (n for n in range(3 * args.count) if n not in done):
            if time.monotonic() > end_s or len(data["rows"]) >= args.count:
                break
            try:
                row = one(number, profile, processes, laws, args.repeats)
            except InvalidInput as error:  # a share below what a quota holds
                print(number, error, flush=True)
                continue
            data["rows"].append(json.loads(json.dumps(row)) | about | {"load": os.getloadavg()[0]})
            data["summary"] = summary_of(data["rows"], width)
            args.out.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps(data, indent=1) + "\n")
            write_text(path.with_suffix(".md"), page_of(data))
            each = [
                (s["name"], round(s["predicted_s"], 3), round(float(np.median(s["measured_s"])), 3))
                for s in row["sets"]
            ]
            print(number, data["summary"]["kendall_tau"][-1], row["plan_is_fastest"], each, flush=True)


if __name__ == "__main__":
    main()
