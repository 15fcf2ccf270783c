"""Does the stated interval hold a later session, where every session is a process of its own, spread over an evening?

    python experiments/calibration/spread.py take quiet              # one session now; again and again, minutes apart
    python experiments/calibration/spread.py take beside --beside 2  # the same while two processes keep cores busy
    python experiments/calibration/spread.py judge

`take` adds a session to results/spread_NAME.jsonl. `judge` makes of each such file a profile of the first five, asks
the sessions that began at least ten minutes after the last of these, and writes results/spread.json.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from held_out import BRIEF, LATER_S, RESULTS, coverage
from measure_cpu import load

from megdt_opt.calibration import calibrate
from megdt_opt.timing.profile import TimingProfile

CALIBRATION = 5
"""Sessions of the profile, and of the later ones at least [1]."""

SUMMARY = RESULTS / "spread.json"

WANTED, PAUSE_S = 11, 3.0


def take(name: str, beside: int) -> TimingProfile:
    """One session of the twin, while so many other processes of this script keep cores busy."""
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(10**6))"]) for _ in range(beside)]
    try:
        made = calibrate(load("twin"), held_out_batches={}, name="cpu", threads=1, **BRIEF["again"])
    finally:
        for process in neighbours:
            process.kill()
            process.wait()
    with (RESULTS / f"spread_{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(made.to_dict()) + "\n")
    return made


def left(name: str) -> int:
    """How many sessions to take now: one, or the last three of eleven [1]."""
    missing = WANTED - len(sessions_of(name)) if (RESULTS / f"spread_{name}.jsonl").is_file() else WANTED
    return missing if 1 <= missing <= 3 else 1


def sessions_of(name: str) -> list[TimingProfile]:
    """The sessions kept under a name, in their order."""
    lines = (RESULTS / f"spread_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [TimingProfile.from_dict(json.loads(line)) for line in lines]


def began_s(session: TimingProfile) -> float:
    """When a session began, by the system's clock [s]."""
    return datetime.fromisoformat(session.provenance.created).timestamp()


def ended_s(session: TimingProfile) -> float:
    """When the last sample of a session began, by the system's clock [s]."""
    return began_s(session) + max(at for cell in session.cells for at in cell.at_s)


def joined(sessions: Sequence[TimingProfile]) -> TimingProfile:
    """One profile of several sessions, as `calibrate(sessions=...)` would have made it."""
    first = sessions[0]
    cells = []
    for parts in zip(*(one.cells for one in sessions), strict=True):
        samples = [sample for part in parts for sample in part.samples_s]
        at = [
            round(began_s(one) - began_s(first) + moment, 3)
            for one, part in zip(sessions, parts, strict=True)
            for moment in part.at_s
        ]
        cells.append(
            replace(parts[0], samples_s=tuple(samples), at_s=tuple(at), sessions=tuple(len(p.samples_s) for p in parts))
        )
    said = [f"session {k}: {text}" for k, one in enumerate(sessions, 1) for text in one.provenance.texts]
    provenance = replace(
        first.provenance, texts=tuple(said), idle_share=min(one.provenance.idle_share for one in sessions)
    )
    return replace(first, cells=tuple(cells), provenance=provenance)


def judge(name: str) -> dict[str, Any]:
    """Profile of the first sessions, and how many medians of the later ones its 90 % interval holds."""
    sessions = sessions_of(name)
    profile, ended = joined(sessions[:CALIBRATION]), max(map(ended_s, sessions[:CALIBRATION]))
    later = [one for one in sessions[CALIBRATION:] if began_s(one) - ended >= LATER_S]
    return {
        "began": sessions[0].provenance.created,
        "calibrated_in_s": round(ended - began_s(sessions[0]), 1),
        "after_calibration_s": [round(began_s(one) - ended, 1) for one in later],
        "step_ms": [round(1e3 * one.stage_s("denoise"), 2) for one in sessions],
        "coverage": coverage(profile, later),  # type: ignore[arg-type]
        "windows": _windows(sessions),
    }


def judge_all() -> dict[str, Any]:
    """All loads of which sessions are kept, and all of their later medians together."""
    loads = {path.stem.removeprefix("spread_"): None for path in sorted(RESULTS.glob("spread_*.jsonl"))}
    found = {name: judge(name) for name in loads}
    medians = sum(one["coverage"]["medians"] for one in found.values())
    held = sum(sum(one["coverage"]["inside"]["by_session"]) for one in found.values())
    return {"loads": found, "together": {"medians": medians, "share": held / medians}}


def _windows(sessions: Sequence[TimingProfile]) -> dict[str, Any]:
    """The same for every five sessions in a row, asked by all that began ten minutes after them."""
    held, medians = 0, 0
    for start in range(len(sessions) - CALIBRATION):
        window = sessions[start : start + CALIBRATION]
        ended = max(map(ended_s, window))
        later = [one for one in sessions[start + CALIBRATION :] if began_s(one) - ended >= LATER_S]
        if later:
            found = coverage(joined(window), later)  # type: ignore[arg-type]
            held += sum(found["inside"]["by_session"])
            medians += found["medians"]
    return {"medians": medians, "share": held / medians if medians else math.nan}


def main() -> None:
    """Take a session, or judge those taken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("take", "judge"))
    parser.add_argument("name", nargs="?", default="", help="of the load, part of the file's name")
    parser.add_argument("--sessions", type=int, help="how many; default one, and what is left of eleven at the end")
    parser.add_argument("--beside", type=int, default=0, help="processes that keep a core busy meanwhile")
    arguments = parser.parse_args()
    if arguments.what == "take":
        for number in range(arguments.sessions or left(arguments.name)):
            if number:
                time.sleep(PAUSE_S)
            made = take(arguments.name, arguments.beside)
            print(made.provenance.created, *made.provenance.texts, f"step {1e3 * made.stage_s('denoise'):.1f} ms")
        return
    found = judge_all()
    SUMMARY.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, one in found["loads"].items():
        inside = one["coverage"]["inside"]
        print(
            f"{name}: {inside['share']:.1%} of {one['coverage']['medians']} held, by session {inside['by_session']}, "
            f"width x{inside['ratio']:.2f}; any five in a row {one['windows']}; steps {one['step_ms']}"
        )
    print(found["together"])


if __name__ == "__main__":
    main()
