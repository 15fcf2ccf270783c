"""Execute a seeded list of plans in a world that the kernel enforces; every run counts, raw rows are kept by session.

    python experiments/execution/kernel_list.py --model twin --minutes 7 [--rehearsals 1] [--out FOLDER]

Needs root, iproute2 and processor quotas. A call is one session: processes start, stages are calibrated in their
quotas, and the list goes on where the session before stopped. Each plan is rehearsed and executed; the processor
seconds of the last rehearsal predict the run, and of several, for comparison, the median of each stage. Writes
kernel.json (one row per run) and kernel.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from several import commit

from megdt_opt import Plan, Scenario, TimingProfile, plan
from megdt_opt.execution import Execution
from megdt_opt.execution.kernel.settings import edge_actor
from megdt_opt.files import write_text
from megdt_opt.machine import environment
from megdt_opt.models.registry import DEFAULT_MODEL
from megdt_opt.program.stages import EDGE
from megdt_opt.trials.kernel import (
    KernelLaws,
    calibrate_work,
    execute_in_kernel,
    kernel_cluster,
    paired_runs,
    probes_of,
)
from megdt_opt.verdict.intervals import RollingIntervals

MECHANISMS = ("centralised", "local", "E2U", "U2E", "SEU", "SEU-UE-first", "PEU")
USERS = 4
MODELS = {"twin": DEFAULT_MODEL, "resident": "resident_model:Resident"}
KINDS = ("planned", "rehearsed", "given")
LEAST_USED_S = 0.05
"""Processor seconds of a process below which its speed is not told [s]."""


def scenario(number: int) -> Scenario:
    """Scenario of a number: 1 to 4 users in turn; every eighth is served in turns, whole chains of 1 or 2 users."""
    rng = np.random.default_rng([20_261_128, number])
    turns = number % 8 == 7
    count = 1 + (number // 8) % 2 if turns else (1, 2, 4, 1, 3, 2, 4)[number % 8]
    first = MECHANISMS[number % len(MECHANISMS)]
    names = (first, *(str(m) for m in rng.choice(MECHANISMS, count - 1)))
    names = tuple("SEU" if turns and name == "PEU" else name for name in names)  # stages side by side have no one turn
    parts = rng.dirichlet(np.full(count, 6.0)) * 0.8
    shares = np.clip(parts, 0.12, 0.6)
    shares *= min(1.0, 0.8 / shares.sum())
    users = []
    for k, (mechanism, share) in enumerate(zip(names, shares, strict=True)):
        users.append(
            {
                "name": f"user-{k}",
                "device": {"profile": "here", "stretch": float(1 / share), "compute_power": "4 W"},
                "downlink_efficiency": f"{rng.uniform(1, 4):.3f} bit/s/Hz",
                "uplink_efficiency": f"{rng.uniform(1, 3):.3f} bit/s/Hz",
                "scene": int(rng.integers(0, 10**6)),
                "seed": int(rng.integers(0, 10**6)),
                "mechanisms": [mechanism],
                "senses": mechanism == "U2E",
                "shown_at": "device",
                "precisions": [str(rng.choice(["fp32", "fp16", "int8"]))],
                "codecs": [str(rng.choice(["png", "jpeg"]))],
            }
        )
    edge = {"profile": "here", "stretch": 1.25} | ({"discipline": "in_turns"} if turns else {})
    return Scenario(
        name=f"kernel {number}",
        steps=20,
        scheduler="ddim",
        objective=str(rng.choice(["max", "sum"])),
        edge=edge,
        channel={
            "downlink": f"{count * rng.uniform(60, 200):.1f} kHz",
            "uplink": f"{count * rng.uniform(60, 200):.1f} kHz",
            "propagation": "5 ms",
        },
        users=users,
    )


def row_of(number: int, made: Plan, done: Execution) -> dict[str, Any]:
    """What is kept of a run."""
    world = done.world
    return {
        "run": number,
        "users": len(made.users),
        "options": [u.option.name for u in made.users],
        "turns": any(u.turn is not None for u in made.users),
        "factor": world["factor"],
        "measured_s": done.measured_s,
        "rehearsal_s": world["rehearsal"]["measured_s"],
        "rehearsals": world["rehearsal"]["each"],
        "prediction_s": world["prediction"],
        "plan_s": {u.name: u.latency_s for u in made.users},
        "actors": world["actors"],
        "links": world["links"],
        "cpu_s": dict(done.cpu_s),
        "faults": [fault.words for fault in done.faults],
        "stages": [
            {
                "user": r.user, "index": r.index, "stage": r.label, "actor": r.actor,
                "predicted_start_s": r.predicted_start_s, "predicted_s": r.predicted_duration_s, "start_s": r.start_s,
                "end_s": r.end_s, "cpu_s": r.cpu_s,
                "payload_byte": r.payload_byte, "wire_byte": r.wire_byte,
            }
            for r in done.rows
        ],
    }  # fmt: skip


def errors(rows: Sequence[dict[str, Any]], kind: str) -> list[float]:
    """Measured against predicted of every user of every run [%]; "rehearsed" is by the last rehearsal alone, "together"
    by all, "repeat" against the last one's own latency."""
    found = []
    for row in rows:
        for user, measured in row["measured_s"].items():
            known = row["prediction_s"] | {"repeat": row["rehearsal_s"], "together": row["prediction_s"]["rehearsed"]}
            if "rehearsals" in row:  # the first sessions had one
                known["rehearsed"] = row["rehearsals"][-1]["prediction_s"]
            found.append(100 * (measured / known[kind][user] - 1))
    return found


def causes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The error as planned, split by cause."""
    speed, laws = [], []
    for row in rows:
        planned_s, given_s = row["prediction_s"]["planned"], row["prediction_s"]["given"]
        for user, measured_s in row["measured_s"].items():
            speed.append(100 * (given_s[user] / planned_s[user] - 1))
            laws.append(100 * (measured_s / given_s[user] - 1))
    probed = [link for row in rows for link in row["links"] if "measured_s" in link]  # the first rows have no probes
    links = [100 * (link["measured_s"] / link["expected_s"] - 1) for link in probed]
    told = {
        "processor seconds that the run used, against those calibrated": speed,
        "the laws of quota and link and their composition, given the processor seconds": laws,
        "links alone, probed while nothing computes, each direction": links,
    }
    lines = ["The error as planned by cause:"]
    for name, found in told.items():
        median, high = np.percentile(np.abs(found), [50, 95])
        lines.append(f"- {name}: {median:.1f} % (median), {high:.1f} % (95th percentile)")
    return lines


def used_s(rows: Sequence[Sequence[Any]], actor_of: dict[tuple[str, int], str]) -> dict[str, float]:
    """Processor seconds of each process, from (user, index, seconds) of its stages [s]."""
    found: dict[str, float] = {}
    for user, index, seconds in rows:
        actor = actor_of.get((user, index))
        if actor is not None:
            found[actor] = found.get(actor, 0.0) + seconds
    return found


def speed(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How processor seconds of the same work change from one execution to the next, alike on one core or not; of runs
    whose rehearsals kept them."""
    changes: list[float] = []
    pairs: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for row in (row for row in rows if all("cpu_s" in each for each in row.get("rehearsals", [{}]))):
        actor_of = {(stage["user"], stage["index"]): stage["actor"] for stage in row["stages"]}
        last = [[stage["user"], stage["index"], stage["cpu_s"]] for stage in row["stages"]]
        each = [used_s(one, actor_of) for one in (*(r["cpu_s"] for r in row["rehearsals"]), last)]
        for before, after in pairwise(each):
            told = [a for a in before if before[a] > LEAST_USED_S and after.get(a, 0.0) > 0]
            logs = {a: np.log(after[a] / before[a]) for a in told}
            changes += [abs(change) for change in logs.values()]
            for one, other in combinations(logs, 2):
                same = one.startswith(EDGE) == other.startswith(EDGE)  # edges have one core, devices the other
                pairs[same] += [(logs[one], logs[other]), (logs[other], logs[one])]
    if not all(pairs.values()):
        return []
    median, high = 100 * np.expm1(np.percentile(changes, [50, 95]))
    alike, apart = (np.corrcoef(np.array(pairs[same]).T)[0, 1] for same in (True, False))
    return [
        "",
        "From one execution of a plan to the next the processor seconds of a process change by "
        f"{median:.0f} % (median), {high:.0f} % (95th percentile) of {len(changes)}; correlation between processes of "
        f"one core {alike:.2f}, of both cores {apart:.2f}.",
    ]


def coverage(data: dict[str, Any]) -> list[str]:
    """How many latencies lie in the 90 % intervals that the runs before them give, single users and several apart."""
    lines = ["90 % intervals (rolling conformal, from the runs before alone): width of the last, and coverage:"]
    for kind in ("rehearsed", "planned"):
        rolling = RollingIntervals()
        inside: dict[str, list[bool]] = {}
        for row in (row for row in data["rows"] if row["model"] == "twin"):
            known, relative = rolling.interval(), [error / 100 for error in errors([row], kind)]
            if known is not None:
                held = [known.low <= error <= known.high for error in relative]
                for name in ("all", "one user" if row["users"] == 1 else "several users", f"session {row['session']}"):
                    inside.setdefault(name, []).extend(held)
            rolling.add(relative)
        found = rolling.interval()
        width = "none yet" if found is None else f"{100 * found.width:.0f} %"
        said = "; ".join(f"{name} {100 * np.mean(held):.0f} % of {len(held)}" for name, held in inside.items())
        lines.append(f"- {kind}: width {width}; {said}")
    return lines


def page(data: dict[str, Any]) -> str:
    """The rows as a page."""
    machines = [each.get("machine", data["machine"]) for each in data["sessions"]]
    where = Counter(f"{each['cpu']}, {each['cores']} cores, {each['system']}" for each in machines)
    lines = [
        "# Executions in a world that the kernel enforces",
        "",
        f"{'; '.join(f'{name}: {count} sessions' for name, count in where.items())}. Made by `kernel_list.py`; the "
        "rows are in `kernel.json`. Each error is of one user's end-to-end latency, measured against predicted: as "
        "planned from a calibration at the session's start, rehearsed from the processor seconds of one run just "
        "before, given those of the run itself, and against the rehearsal's own latency (repeat).",
        "",
        "| runs | latencies | planned: median, p95 [%] | rehearsed | given | repeat |",
        "|---|---|---|---|---|---|",
    ]
    rows = data["rows"]
    parts: list[tuple[str, Callable[[dict[str, Any]], bool]]] = [("all", lambda row: True)]
    parts += [(f"{n} user{'s' if n > 1 else ''}", lambda row, n=n: row["users"] == n) for n in range(1, USERS + 1)]  # type: ignore[misc]
    parts += [("in turns", lambda row: row["turns"])]
    parts += [(f"model {m}", lambda row, m=m: row["model"] == m) for m in MODELS]  # type: ignore[misc]
    parts += [
        (f"session {s['started']}, {s['model']}", lambda row, s=s: row["session"] == s["session"])  # type: ignore[misc]
        for s in data["sessions"]
    ]
    for name, keep in parts:
        kept = [row for row in rows if keep(row)]
        if kept:
            cells = [np.percentile(np.abs(errors(kept, kind)), [50, 95]) for kind in (*KINDS, "repeat")]
            count = sum(len(row["measured_s"]) for row in kept)
            told = " | ".join(f"{a:.1f}, {b:.1f}" for a, b in cells)
            lines.append(f"| {name}: {len(kept)} | {count} | {told} |")
    several = [row for row in rows if len(row.get("rehearsals", ())) > 1]
    if several:
        cells = [np.percentile(np.abs(errors(several, kind)), [50, 95]) for kind in ("together", "rehearsed")]
        times = len(several[0]["rehearsals"])
        lines += [
            "",
            f"{len(several)} of the runs were rehearsed {times} times. Predicted from the median "
            f"of each stage: {cells[0][0]:.1f} % (median), {cells[0][1]:.1f} % (95th percentile); from the last "
            f"rehearsal alone: {cells[1][0]:.1f}, {cells[1][1]:.1f} %.",
        ]
    lines += ["", *causes(rows), *speed(rows), "", *coverage(data), "", "By mechanism, rehearsed: "]
    for mechanism in MECHANISMS:
        kept_percent = [
            abs(errors([row], "rehearsed")[list(row["measured_s"]).index(f"user-{k}")])
            for row in rows
            for k, option in enumerate(row["options"])
            if option.split()[0] == mechanism
        ]
        if kept_percent:
            median, high = np.percentile(kept_percent, [50, 95])
            lines.append(
                f"- {mechanism}: {median:.1f} % (median), {high:.1f} % (95th percentile) of {len(kept_percent)}"
            )
    return "\n".join([*lines, ""])


def session(data: dict[str, Any], model: str, minutes: float, rehearsals: int, save: Callable[[], None]) -> None:
    """One session: calibrate, and execute until the time is over."""
    end_s = time.monotonic() + 60 * minutes  # with the processes' start
    profile = {"here": TimingProfile.bundled("twin-cpu")}
    devices = [f"user-{k}" for k in range(USERS)]
    actors = [*devices, *(edge_actor(EDGE, device, None) for device in devices), EDGE]
    first = max((row["run"] for row in data["rows"] if row["model"] == model), default=-1) + 1
    probes = {p for number in range(8) for p in probes_of(paired_runs(plan(scenario(number), profile, compare=False)))}
    with kernel_cluster(dict.fromkeys(actors, MODELS[model]), devices, start_timeout_s=300.0, wait_s=60.0) as processes:
        laws: KernelLaws = calibrate_work(processes, sorted(probes, key=str))
        stamp = datetime.now(UTC).isoformat(timespec="seconds")
        name = f"{stamp} {model}"
        work = [[edge, str(p.kind), p.rows, law.a_s, law.b_s] for (edge, p), law in sorted(laws.work.items(), key=str)]
        about = {"session": name, "started": stamp, "model": model, "commit": commit(), "work": work}
        about |= {"rehearsals": rehearsals, "machine": environment()}
        data["sessions"].append(about)
        number = first
        while time.monotonic() < end_s:
            made = plan(scenario(number), profile, compare=False)
            missing = probes_of(paired_runs(made)) - {probe for _, probe in laws.work}
            if missing:
                more = calibrate_work(processes, sorted(missing, key=str))
                laws = KernelLaws(work={**laws.work, **more.work}, wire=laws.wire)
            done = execute_in_kernel(made, processes, laws, rehearsals=rehearsals)
            row = row_of(number, made, done) | {"session": name, "model": model, "load": os.getloadavg()[0]}
            data["rows"].append(row)
            save()
            told = {kind: [round(e, 1) for e in errors([row], kind)] for kind in (*KINDS, "repeat")}
            print(number, row["options"], told, flush=True)
            number += 1


def main() -> None:
    """Run a session."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(MODELS), default="twin")
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--rehearsals", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results"))
    args = parser.parse_args()
    path = args.out / "kernel.json"
    data: dict[str, Any] = {"machine": environment(), "sessions": [], "rows": []}
    if path.exists():
        data = json.loads(path.read_text(encoding="utf-8"))

    def save() -> None:
        args.out.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(data) + "\n")
        write_text(args.out / "kernel.md", page(data))

    session(data, args.model, args.minutes, args.rehearsals, save)


if __name__ == "__main__":
    main()
