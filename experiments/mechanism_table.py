"""README's table of mechanisms, made from committed rows: what is planned, proven, executed, measured and agreed on.

    python experiments/mechanism_table.py [--agree] [--write]

With --agree the problems of the executed list are solved by formulations of their own, as far as that has not been
done, and written to results/agreement.json. With --write the table is put into README. A cell is the count and the
worst figure of the rows named below the table; where one of its rows fails, or there is none, it stays empty.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from megdt_opt.program.mechanisms import MECHANISM_REGISTRY
from megdt_opt.program.sketches import SKETCH_MECHANISMS
from megdt_opt.quality.pictures import MOST_DB
from megdt_opt.quality.table import QualityTable

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "experiments" / "execution"
RESULTS = FOLDER / "results"
README = ROOT / "README.md"
BEGIN, END = "<!-- mechanism table -->", "<!-- end of the mechanism table -->"

GAP = 1e-7
"""To which the problems are solved for agreement, by both routes [1]."""
AGREES = 1e-5
"""Largest difference of objectives that counts as agreement, relative [1]."""
PROVEN = 1e-3
"""Largest gap that counts as proven, relative [1]."""
BY_CERTIFICATE = 1e-2
"""The same of a certificate beside an enumeration that looked at all orders of turns, relative [1]."""
LISTS = ("in_turns", "in_batches", "formed_groups", "sketches")
"""Further lists of executions, by the names of their files, in the format of several.json."""
PLANNED = 1e-9
"""Largest difference between a plan's objective and that of its stages' schedule, relative [1]."""
SIGNALLING = 5.0
"""Largest difference between predicted and measured signalling [%]."""
EXECUTED = {"median": 1.0, "p95": 3.0}
"""Largest median and 95th percentile of the error of executed latencies [%]."""

NOTE = """Counts and worst figures of `experiments/execution/results/several.json` (commit {rows}){more} and
`agreement.json` (commit {agreement}), by `experiments/mechanism_table.py`. Planned: plans, and by how much the
problem's objective differs from that of the stages' schedule. Proven: plans whose certificate holds when it is
checked, and the largest gap; of turns that of the certificate, for plans whose optimality a look at all orders has
shown. Executed: latencies, and the error of their prediction, paced. Costs: users of whom latency, seconds and
joules on each side, messages and signalling were measured, and by how much the bytes of signalling were off.
Quality: points of the bundled model's table (`experiments/twin/curves.md`), least mean PSNR against the picture of
one place, and least share of objects read back. Formulation: problems that a program of its own solved too, and by
how much the optima differ. Empty: no passing result."""

Row = dict[str, Any]


def rows_of(data: Row) -> list[Row]:
    """All executions of the lists; rows of further ones say of which."""
    more = [row | {"list": name} for name, other in data.get("more", {}).items() for row in other["rows"]]
    return [*data["rows"], *data["alone"], *more]


@dataclass(frozen=True)
class Mechanism:
    """A line of the table: its name, and whether a user of an execution, by number, runs it."""

    name: str
    runs: Callable[[Row, int], bool]

    def users(self, rows: Sequence[Row]) -> list[tuple[Row, int]]:
        """Executions and users that run it."""
        return [(row, k) for row in rows for k in range(len(row["mechanisms"])) if self.runs(row, k)]


def _is(name: str, of: str = "") -> Callable[[Row, int], bool]:
    """Who runs a mechanism in the list of several users, or in another one."""
    return lambda row, k: bool(row["mechanisms"][k] == name and row.get("list", "") == of)


def _batched(row: Row, k: int) -> bool:
    return any(k in batch for batch in row["batches"])


def _shares(row: Row, k: int) -> bool:
    return bool(row["mechanisms"][k].startswith("shared"))


MECHANISMS = (
    *(Mechanism(n, _is(n)) for n in ("centralised", "local", "E2U", "SEU", "SEU-UE-first", "PEU", "U2E")),
    *(Mechanism(n, _is(n, "sketches")) for n in SKETCH_MECHANISMS),
    Mechanism("shared steps, members go on at the edge", _is("shared-edge")),
    Mechanism("shared steps, multicast to devices", _is("shared-device")),
    Mechanism("shared steps on a member's device", _is("cooperative")),
    Mechanism("shared steps, groups that the plan forms", lambda row, k: row["kind"] == "formed" and _shares(row, k)),
    Mechanism("edge in turns", lambda row, k: row.get("turns", {k: None})[k] is not None),
    Mechanism("two hand-overs, in turns", _is("SEU-twice", "in_turns")),
    *(
        Mechanism(f"edge in batches, {words}", lambda row, k, kind=kind: row["kind"] == kind and _batched(row, k))
        for words, kind in (("sum", "in batches, sum"), ("largest latency", "in batches, largest"))
    ),
    Mechanism("several edges", lambda row, k: len(row["edges"]) > 1 and "@" in row["options"][k]),
)


def planned(users: list[tuple[Row, int]]) -> str:
    """Plans, and the largest difference between their objective and that of the stages' schedule."""
    worst = max(row["planned_off"] for row, _ in users)
    return f"{_plans(users)}, {worst:.0e}" if worst <= PLANNED else ""


def proven(users: list[tuple[Row, int]]) -> str:
    """Plans whose certificate holds, and the largest gap."""
    worst = max(row["gap"] for row, _ in users)
    holds = all(row["proof_holds"] and row["status"] == "optimal" for row, _ in users)
    limits = {row.get("bound_source") == "enumeration" for row, _ in users}
    return (
        f"{_plans(users)}, {worst:.0e}" if holds and worst <= (BY_CERTIFICATE if limits == {True} else PROVEN) else ""
    )


def executed(users: list[tuple[Row, int]]) -> str:
    """Latencies, and the largest error."""
    errors = np.abs([list(row["error_percent"].values())[_place(row, k)] for row, k in users])
    good = np.median(errors) <= EXECUTED["median"] and np.percentile(errors, 95) <= EXECUTED["p95"]
    return f"{len(errors)}, {errors.max():.2g} %" if good else ""


def paid(users: list[tuple[Row, int]]) -> str:
    """Users of whom seconds, joules, messages and signalling were measured, and by how much the last was off."""
    off = []
    for row, k in users:
        costs = row["costs"][k]
        if any(costs[name][1] is None for name in ("edge_s", "device_s", "device_compute_j", "messages")):
            return ""
        if costs["messages"][0] != costs["messages"][1]:
            return ""
        expected, found = costs["signalling_byte"]
        off.append(100 * abs(found - expected) / max(expected, 1))
    return f"{len(off)}, {max(off):.2g} %" if max(off) <= SIGNALLING else ""


def agreed(users: list[tuple[Row, int]], agreement: Row) -> str:
    """Problems that a formulation of their own solved too, within its time, and the largest difference of the
    objectives."""
    of = {(row["kind"], row["run"]): row for row in agreement["rows"]}
    found = [of.get(key) for key in dict.fromkeys((row["kind"], row["run"]) for row, _ in users)]
    # rows of an answer that its program could not close in time say so
    solved = [row for row in found if row is not None and _closed(row.get("other_gap", 0.0))]
    if not solved or any(row["off"] > AGREES for row in solved):
        return ""
    by = {row["formulation"] for row in solved}
    return f"{', '.join(f'`{name}`' for name in sorted(by))}: {len(solved)}, {max(row['off'] for row in solved):.0e}"


def _closed(gap: float | None) -> bool:
    return gap is not None and gap <= AGREES


def _place(row: Row, k: int) -> int:
    """Where user k stands among the errors, which are in the order of the run."""
    return list(row["error_percent"]).index(f"user-{k}")


def _plans(users: list[tuple[Row, int]]) -> int:
    return len({(row["kind"], row["run"]) for row, _ in users})


def protocol(name: str) -> str:
    """What a mechanism of one user sends; "" for other lines, whose users have mechanisms of every kind."""
    sends = {"centralised": "image", "local": "none", **dict.fromkeys(SKETCH_MECHANISMS, "sketch")}
    return sends.get(name, "seed" if name in MECHANISM_REGISTRY.built_in else "")


def measured(name: str) -> str:
    """Points of a mechanism in the bundled table, least mean PSNR, and least share of objects that are read back.

    The PSNR is against the unsplit picture; of points that have none but that against the truth, as those of users with
    adapters, only the objects count.
    """
    bundled = QualityTable.bundled("twin")
    rows = [] if bundled is None else [row for row in bundled.rows if row.factors.mechanism == name]
    if not rows:
        return ""
    least = min(row.metrics["psnr_db"].mean for row in rows if "psnr_db" in row.metrics)
    read = min(row.metrics["read"].mean for row in rows)
    return f"{len(rows)}, {'equal' if least >= MOST_DB else f'{least:.0f} dB'}, read {math.floor(100 * read)} %"


def table(data: Row, agreement: Row) -> str:
    """The Markdown between the markers."""
    heads = ("mechanism", "protocol", "planned", "proven", "executed", "three costs measured", "quality measured")
    lines = [f"| {' | '.join((*heads, 'formulation that agrees'))} |", "|---" * (len(heads) + 1) + "|"]
    for mechanism in MECHANISMS:
        users, name = mechanism.users(rows_of(data)), mechanism.name
        cells = [planned(users), proven(users), executed(users), paid(users)] if users else [""] * 4
        last = agreed(users, agreement) if users else ""
        lines.append(f"| {' | '.join([name, protocol(name), *cells, measured(name), last])} |")
    more = "".join(f", `{name}.json` (commit {other['commit'][:7]})" for name, other in data.get("more", {}).items())
    below = NOTE.format(rows=data["commit"][:7], more=more, agreement=agreement["commit"][:7])
    return "\n".join([*lines, "", textwrap.fill(below, 120, break_on_hyphens=False)])


def with_table(text: str, made: str) -> str:
    """README with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}"


def load() -> tuple[Row, Row]:
    """The committed rows."""
    data, agreement, *more = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("several", "agreement", *LISTS)
    )
    return data | {"more": dict(zip(LISTS, more, strict=True))}, agreement


def agree() -> None:
    """Solve the problems of the list by formulations, as far as that has not been done."""
    sys.path.insert(0, str(FOLDER))
    import in_batches
    import in_turns
    import sketches
    from several import KINDS, commit, planned, planned_alone, planned_formed

    from megdt_opt import solve
    from megdt_opt.files import write_text
    from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
    from megdt_opt.problem.placement_problem import PlacementProblem
    from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
    from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem

    path = RESULTS / "agreement.json"
    data = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"commit": commit(), "rows": []}
    done = {(row["kind"], row["run"]) for row in data["rows"]}
    lists = {"alone": planned_alone, "formed": planned_formed, in_turns.KIND: in_turns.planned}
    lists[sketches.KIND] = sketches.planned
    asked = [*((KINDS[n % len(KINDS)], n) for n in range(25)), *(("alone", n) for n in range(14))]
    asked += [*((in_turns.KIND, n) for n in range(13)), *(("formed", n) for n in range(6))]
    asked += [(sketches.KIND, n) for n in range(6)]
    lists |= dict.fromkeys(in_batches.KINDS.values(), in_batches.planned)
    asked += [(in_batches.KINDS[in_batches.objective(n)], n) for n in range(14)]
    for kind, number in asked:
        if (kind, number) in done:
            continue
        made = lists.get(kind, planned)(number)
        names = {PlacementProblem: "edge_placement", SharedPrefixProblem: "shared_prefix"}
        names |= {SequencedEdgeProblem: "sequenced_edge", BatchedEdgeProblem: "batched_edge"}
        name = names.get(type(made.problem), "option_gdp_outer")
        # of batches the plan itself: for few users "auto" would ask the formulation
        mine = made if name == "batched_edge" else solve(made.problem, gap=GAP)
        other = solve(made.problem, method=name, gap=GAP, time_limit_s=60.0)
        if other.gap > AGREES:  # not solved in time
            print(kind, number, "not solved in time", other.gap, flush=True)
            continue
        data["rows"].append(
            {
                "kind": kind,
                "run": number,
                "formulation": name,
                "objective_s": mine.objective_s,
                "other_s": other.objective_s,
                "other_gap": other.gap if math.isfinite(other.gap) else None,
                "off": abs(other.objective_s / mine.objective_s - 1),
            }
        )
        print(data["rows"][-1], flush=True)
        write_text(path, json.dumps(data, indent=1) + "\n")


def main() -> None:
    """Print the table, or put it into README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agree", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if args.agree:
        agree()
        return
    made = table(*load())
    if args.write:
        README.write_text(with_table(README.read_text(encoding="utf-8"), made), encoding="utf-8")
    else:
        print(made)


if __name__ == "__main__":
    main()
