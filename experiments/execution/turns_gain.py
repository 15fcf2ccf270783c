"""Where an edge in turns wins over the proven optimum of reserved shares, and where it loses.

    python experiments/execution/turns_gain.py [--execute] [--out experiments/execution/results]

The bundled inspection round with its bands, its edge and its users changed. Writes turns_gain.csv and turns_gain.md.
With --execute the scenario as it stands is planned, executed and verified against its rivals, reserved shares among
them, on the bundled profile, and added to inspection_round.json, in which every such run is kept.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from megdt_opt import Scenario, TimingProfile, plan, solve
from megdt_opt.execution.cluster import Cluster
from megdt_opt.files import write_text
from megdt_opt.machine import environment
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import execute
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.verification import verify

RESULTS = Path(__file__).with_name("results")
NAME = "inspection-round"
HERE = {"here": TimingProfile.bundled("twin-cpu")}
GAP = 1e-4
LIMIT_S = 120.0


def changed(*, band: float = 1.0, uplink: float = 1.0, edge: float = 1.0, users: int = 5) -> Scenario:
    """The scenario with factors on both bands, on the uplink alone and on the edge's speed, and its first users."""
    fields = Scenario.bundled(NAME).model_dump(mode="json", exclude_none=True)
    fields["edge"]["stretch"] /= edge
    fields["channel"]["downlink_hz"] *= band
    fields["channel"]["uplink_hz"] *= band * uplink
    fields["users"] = fields["users"][:users]
    return Scenario(**fields)


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """What is changed, in words, and how."""
    yield "as bundled", {}
    for band in (0.7, 1.3):
        for edge in (0.7, 1.3):
            yield f"bands x {band:g}, edge x {edge:g}", {"band": band, "edge": edge}
    for users in (1, 2, 3, 4):
        yield f"the first {users}" if users > 1 else "the first alone", {"users": users}
    for edge in (0.25, 4.0):
        yield f"edge x {edge:g}", {"edge": edge}
    for uplink in (0.1, 0.03, 0.01):
        yield f"uplink x {uplink:g}", {"uplink": uplink}


def row_of(words: str, change: dict[str, Any]) -> dict[str, Any]:
    """Both optima of a case."""
    table = OptionTable.build(changed(**change), HERE)
    mine = solve(table.problem(), gap=GAP, time_limit_s=LIMIT_S)
    reserved = solve(table.reserved().problem(), gap=GAP, time_limit_s=LIMIT_S)
    return {
        "case": words,
        "turns_s": mine.objective_s,
        "turns_status": str(mine.status),
        "reserved_s": reserved.objective_s,
        "reserved_bound_s": reserved.lower_bound_s,
        "reserved_status": str(reserved.status),
        # against what reserved shares were proven not to come below
        "below_percent": 100 * (1 - mine.objective_s / reserved.lower_bound_s),
        "in_turns": len(mine.order),
        "two_hand_overs": sum(table.options[int(o)].back > 0 for o in mine.option),
    }


def page(rows: list[dict[str, Any]]) -> str:
    """The Markdown page."""
    lines = [
        "# Turns against reserved shares",
        "",
        "The worst latency of the bundled scenario `inspection-round`, changed as the first column says, on the "
        "bundled profile. Below: by how much the plan in turns is below the proven bound of reserved shares, with "
        "their own options; negative where turns lose. Made by `turns_gain.py`; the rows are in `turns_gain.csv`.",
        "",
        "| case | turns [s] | reserved [s] | below [%] | users with a turn | with two hand-overs |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['case']} | {row['turns_s']:.3f} | {row['reserved_s']:.3f} | {row['below_percent']:.1f} | "
            f"{row['in_turns']} | {row['two_hand_overs']} |"
        )
    return "\n".join([*lines, ""])


def executed() -> dict[str, Any]:
    """The scenario as it stands, executed and verified."""
    made = plan(Scenario.bundled(NAME), HERE, gap=GAP)
    with Cluster(["edge", *(user.name for user in made.users)], start_timeout_s=600) as cluster:
        done = execute(made, cluster=cluster, all_or_nothing=True)
        pictures = judge_pictures(made.table, made.users, done.images)
        found = verify(made, repeats=2, cluster=cluster)
    return {
        "machine": environment(),
        "load": os.getloadavg()[0],
        "options": [user.option.name for user in made.users],
        "turns": [None if user.turn is None else user.turn.place for user in made.users],
        "proof_holds": made.certificate is not None and made.certificate.verify(made.problem).holds,
        "predicted_s": done.predicted_s,
        "measured_s": done.measured_s,
        "error_percent": done.error_percent,
        "objects_found": [[one.found, one.objects] for one in pictures],
        "verification": found.to_dict(),
    }


def main() -> None:
    """Write the table, or execute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--execute", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.execute:
        path = args.out / "inspection_round.json"
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
        write_text(path, json.dumps({"runs": [*runs, executed()]}, indent=1) + "\n")
        return
    rows = []
    for words, change in cases():
        rows.append(row_of(words, change))
        print(rows[-1], flush=True)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(args.out / "turns_gain.csv", text.getvalue())
    write_text(args.out / "turns_gain.md", page(rows))


if __name__ == "__main__":
    main()
