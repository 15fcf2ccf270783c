"""How good is a profile on what it has not seen?

    python experiments/calibration/held_out.py twin --sessions 5
    python experiments/calibration/held_out.py sd15
    python experiments/calibration/held_out.py twin --calibrate 5 --sessions 5 --label loaded

With `--calibrate N` a profile of N sessions is taken first, on the machine as it is, with smaller settings; the
sessions after it tell how many of their medians the stated 90 % interval of a later session holds. What a machine does
in a quarter of an hour shows in a quarter of an hour: the sessions are spread over as long a time as the later ones.

Two kinds of unseen: batches and regions that no fit used, and a run at least ten minutes after the
calibration. Every session is sandwiched between two short re-calibrations, whose mean factor corrects
for drift; the error is given without and with that correction. A sample's error is
|predicted - measured|/measured. Every raw sample goes into `results/`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from measure_cpu import load

from megdt_opt.calibration import DriftReport, calibrate, recalibrate
from megdt_opt.program.stages import Kind
from megdt_opt.timing.profile import Cell, TimingProfile

RESULTS = Path(__file__).parent / "results"
LATER_S = 600.0

CONFIG: dict[str, dict[str, Any]] = {
    "twin": {
        "again": {"batches": (1, 2, 3, 4, 6, 8), "rows": (4, 8, 12), "samples": 12, "warmup": 2},
        "drift": {"samples": 9, "warmup": 2},
        "pause_s": 120.0,
    },
    "sd15": {
        "again": {
            "kinds": (Kind.DENOISE, Kind.DECODE),
            "batches": {Kind.DENOISE: (1, 2, 3)},
            "rows": (48,),
            "samples": 3,
            "warmup": 1,
        },
        "drift": {"kinds": (Kind.DENOISE, Kind.DECODE), "samples": 2, "warmup": 1},
        "pause_s": 0.0,
    },
}
BRIEF: dict[str, Any] = {
    "again": {"batches": (1, 2, 4), "rows": (8,), "samples": 7, "warmup": 1},
    "drift": {"kinds": (Kind.DENOISE,), "samples": 3, "warmup": 1},
    "pause_s": 120.0,
}
"""Settings with `--calibrate`."""


@dataclass(frozen=True)
class Session:
    """One later run: what was measured between two re-calibrations."""

    began: str
    age_s: float
    before: DriftReport
    after: DriftReport
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]

    def factor(self, kind: Kind) -> float:
        """Mean drift of a stage over the session [1]."""
        return math.sqrt(self.before.factor_of(kind) * self.after.factor_of(kind))


def run(profile: TimingProfile, model: Any, config: dict[str, Any], number: int) -> Session:
    """One session."""
    began = datetime.now(UTC)
    age = (began - datetime.fromisoformat(profile.provenance.created)).total_seconds()
    before = recalibrate(profile, model, seed=number, **config["drift"])
    again = calibrate(
        model, threads=profile.provenance.threads or 1, held_out_batches={}, seed=number, **config["again"]
    )
    after = recalibrate(profile, model, seed=number + 100, **config["drift"])
    return Session(began.isoformat(timespec="seconds"), age, before, after, again.cells, again.provenance.texts)


def errors(profile: TimingProfile, sessions: Sequence[Session], wanted: Callable[[Cell], bool]) -> dict[str, Any]:
    """Median and 95th percentile of the errors of some cells, over all samples and over medians of cells."""
    found: dict[str, list[float]] = {"raw": [], "corrected": [], "raw_cells": [], "corrected_cells": []}
    for session in sessions:
        for cell in session.cells:
            if not wanted(cell):
                continue
            predicted = profile.stage_s(cell.kind, batch=cell.batch, rows=cell.rows, codec=cell.codec)
            for name, value in (("raw", predicted), ("corrected", predicted * session.factor(cell.kind))):
                found[name] += [abs(value - t) / t for t in cell.samples_s]
                found[f"{name}_cells"].append(abs(value - cell.median_s) / cell.median_s)
    return {
        name: {
            "median": float(np.median(values)),
            "p95": float(np.quantile(values, 0.95)),
            "count": len(values),
        }
        for name, values in found.items()
        if values
    }


def coverage(profile: TimingProfile, sessions: Sequence[Session], level: float = 0.9) -> dict[str, Any]:
    """How many medians of later sessions' cells the stated interval holds: of all sessions of the profile, and of its
    first one alone."""
    first = replace(profile, cells=tuple(c.session(0) if c.sessions else c for c in profile.cells))
    found: dict[str, Any] = {"level": level, "medians": sum(len(s.cells) for s in sessions)}
    for name, asked in (("inside", profile), ("inside_of_one_session", first)):
        inside, widths = [], []
        for session in sessions:
            hits = 0
            for cell in session.cells:
                stated = asked.stage_interval_s(
                    cell.kind, batch=cell.batch, rows=cell.rows, codec=cell.codec, level=level
                )
                low, high = stated or (math.nan, math.nan)
                hits += low <= cell.median_s <= high
                widths.append(high / low)
            inside.append(hits)
        found[name] = {"by_session": inside, "share": sum(inside) / found["medians"], "ratio": float(np.median(widths))}
    return found


def taken(model: Any, count: int, threads: int, path: Path) -> TimingProfile:
    """A profile of so many sessions on the machine as it is, stored."""
    fixed = {"pause_s": BRIEF["pause_s"], "held_out_batches": {}, "name": "cpu", "threads": threads}
    made = calibrate(model, sessions=count, **fixed, **BRIEF["again"])
    made.save(path)
    print(f"calibrated: {count} sessions, {'; '.join(made.provenance.texts)}")
    return made


def main() -> None:
    """Measure, print a table, store every row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(CONFIG))
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--calibrate", type=int, metavar="N", help="take a profile of N sessions first")
    parser.add_argument("--threads", type=int, default=1, help="of the profile that is taken")
    parser.add_argument("--label", default="", help="part of the results' names, for example the load")
    arguments = parser.parse_args()
    config = BRIEF if arguments.calibrate else CONFIG[arguments.name]
    RESULTS.mkdir(exist_ok=True)
    called = f"{arguments.name}-cpu" + (f"-{arguments.label}" if arguments.label else "")
    model = load(arguments.name)
    if arguments.calibrate:
        profile = taken(model, arguments.calibrate, arguments.threads, RESULTS / f"profile_{called}.json")
    elif arguments.profile:
        profile = TimingProfile.load(arguments.profile)
    else:
        profile = TimingProfile.bundled(f"{arguments.name}-cpu")
    created = datetime.fromisoformat(profile.provenance.created)
    ended = created.timestamp() + max(t for c in profile.cells for t in c.at_s)
    wait = ended + LATER_S - time.time()
    if wait > 0:
        print(f"waiting {wait:.0f} s: the profile is younger than {LATER_S / 60:.0f} minutes")
        time.sleep(wait)
    sessions = []
    for number in range(arguments.sessions):
        if number:
            time.sleep(config["pause_s"])
        sessions.append(run(profile, model, config, number))
        last = sessions[-1]
        print(
            f"session {number + 1}: {last.age_s / 60:.0f} min after the calibration, drift "
            f"x{last.before.factor:.3f} before, x{last.after.factor:.3f} after, {'; '.join(last.notes)}"
        )
    fitted = {(c.kind, c.batch, c.rows, c.codec) for c in profile.cells}

    def seen(cell: Cell) -> bool:
        return (cell.kind, cell.batch, cell.rows, cell.codec) in fitted

    table = {
        "denoising step, batches and regions that were fitted": lambda c: c.kind is Kind.DENOISE and seen(c),
        "denoising step, batches not fitted": lambda c: c.kind is Kind.DENOISE and not seen(c) and c.rows is None,
        "denoising step, regions not fitted": lambda c: c.kind is Kind.DENOISE and not seen(c) and c.rows is not None,
        "denoising step, all": lambda c: c.kind is Kind.DENOISE,
        "every stage, all": lambda c: True,
    }
    summary = {name: errors(profile, sessions, wanted) for name, wanted in table.items()}
    same_run = [
        {"kind": str(h.kind), "batch": h.batch, "rows": h.rows, "predicted_s": h.predicted_s,
         "measured_s": h.measured_s, "error": h.error}
        for h in profile.held_out_errors()
    ]  # fmt: skip
    for name, found in summary.items():
        for how in ("raw", "corrected"):
            if how in found:
                one, cells = found[how], found[f"{how}_cells"]
                print(
                    f"{name:55s} {how:10s} median {one['median']:6.2%}  p95 {one['p95']:6.2%}  "
                    f"(cells: {cells['median']:6.2%}, {cells['p95']:6.2%}; {one['count']} samples)"
                )
    for held in same_run:
        print(f"same run: {held['kind']} batch {held['batch']} rows {held['rows']}: {held['error']:+.2%}")
    covered = coverage(profile, sessions)
    for how in ("inside", "inside_of_one_session"):
        print(f"{how}: {covered[how]['share']:.1%} of {covered['medians']} medians in the stated 90 % interval")
    path = RESULTS / f"held_out_{called}.json"
    record = {
        "profile_created": profile.provenance.created,
        "hardware": dict(profile.provenance.hardware),
        "software": dict(profile.provenance.software),
        "summary": summary,
        "coverage": covered,
        "same_run_held_out": same_run,
        "sessions": [_plain(s) for s in sessions],
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path.name}")


def _plain(session: Session) -> dict[str, Any]:
    def report(drift: DriftReport) -> dict[str, Any]:
        return {
            "created": drift.created,
            "factor": drift.factor,
            "interval": list(drift.interval),
            "by_kind": {str(k): v for k, v in drift.by_kind.items()},
            "cells": [cell(c) for c in drift.cells],
            "other_cores": drift.other_cores,
        }

    def cell(c: Cell) -> dict[str, Any]:
        return {
            "kind": str(c.kind),
            "batch": c.batch,
            "rows": c.rows,
            "codec": c.codec,
            "samples_s": list(c.samples_s),
            "at_s": list(c.at_s),
        }

    return {
        "began": session.began,
        "age_s": session.age_s,
        "before": report(session.before),
        "after": report(session.after),
        "cells": [cell(c) for c in session.cells],
        "notes": list(session.notes),
    }


if __name__ == "__main__":
    main()
