"""Two versions of the package on the same instances, in turn within one run: times, ratios, instances newly open.

    python experiments/benchmarks/before_after.py --before OTHER/src [--only solve,many] [--kernels FOLDER]

`--before` is the source folder of another version, as of a git worktree of an earlier commit; `--after` is this one
unless given. Each version has a process of its own; they get every instance one after the other, so that their times
are read as ratios. Without `--kernels`, a folder in which compiled code is kept from run to run, both versions compile
first, which takes minutes. Writes results/before_after.json and .md; with `--only` the other sections stay as they are.
Run on an idle machine; the whole takes less than half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from families import ALIKE, EVERY, FAMILIES, FORMS, KINDS, alike, draw, with_objective
from record import RESULTS, keep, machine
from versions import Version, write_instance

from megdt_opt import AllocationProblem
from megdt_opt.files import write_text

GAP = 1e-6
OBJECTIVES = ("sum", "max")
SIDES = ("before", "after")

REPEATS, ROUNDS = 4, 12
"""Runs of one problem at a time, each less than a second, and how often the versions take turns at it: the least time
counts, since most take a millisecond and the machine has its phases [1]."""

_SHORT_S = 0.2
"""Up to here a time is taken in rounds [s]."""

Row = dict[str, Any]


class Run:
    """What the sections share: both versions, a folder for instances, and the settings."""

    def __init__(self, versions: dict[str, Version], folder: Path, arguments: argparse.Namespace) -> None:
        self.versions, self.folder, self.arguments = versions, folder, arguments
        self._turn = 0

    def file(self, problem: AllocationProblem, name: str = "instance") -> Path:
        """The instance as a file; the one before it is written over."""
        return write_instance(self.folder / f"{name}.npz", problem)

    def both(self, task: str, path: Path, **settings: Any) -> dict[str, Row]:
        """What both versions answer, now one first and then the other; what is repeated is so in rounds."""
        found: dict[str, Row] = {}
        for _ in range(ROUNDS if "repeats" in settings else 1):
            self._turn += 1
            for side in SIDES if self._turn % 2 else SIDES[::-1]:
                answer = self.versions[side].ask(task, path, **settings)
                if side not in found or _time_of(answer) < _time_of(found[side]):
                    found[side] = answer
            if max(map(_time_of, found.values())) > _SHORT_S:
                break
        return found

    def warm(self, users: tuple[int, ...] = (100,), others: Sequence[AllocationProblem] = ()) -> None:
        """Have all compiled code loaded before anything is timed, with that of other problems."""
        paths = [
            self.file(draw("table", n, 64, objective, 0, kind=kind), f"warm_{n}_{kind}_{objective}")
            for n, kind, objective in product(users, KINDS, OBJECTIVES)
        ]
        paths += [self.file(problem, f"warm_other_{n}") for n, problem in enumerate(others)]
        for version in self.versions.values():
            version.warm(paths)


def _time_of(answer: Row) -> float:
    """Processor time of an answer; infinite where there is none [s]."""
    return float(answer.get("processor_s", np.inf))


def _ratio(first: float | None, second: float | None) -> float | None:
    return None if not first or second is None else second / first


def _open(answer: Row) -> bool:
    """Whether an instance was not closed."""
    return str(answer.get("status")) != "optimal"


def _median(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None


def _cell(answers: list[dict[str, Row]], **what: Any) -> Row:
    """One row from the answers for the instances of a cell."""
    ratios = [_ratio(a["before"].get("time_s"), a["after"].get("time_s")) for a in answers]
    used = [_ratio(a["before"].get("processor_s"), a["after"].get("processor_s")) for a in answers]
    known = [r for r in ratios if r is not None]
    return {
        **what,
        "before_s": _median([a["before"].get("time_s") for a in answers]),
        "after_s": _median([a["after"].get("time_s") for a in answers]),
        "ratio": _median(ratios),
        "processor_ratio": _median(used),
        "worst_ratio": max(known) if known else None,
        "open_before": sum(_open(a["before"]) for a in answers),
        "newly_open": sum(_open(a["after"]) and not _open(a["before"]) for a in answers),
        "instances": len(answers),
        "answers": answers,
    }


# ---- sections


def section_compile(run: Run) -> Iterator[Row]:
    """First compiling with nothing kept: processor seconds of a process that solves every kind, and the code's size."""
    run.warm((100, 8000))
    for side in SIDES:
        version = run.versions[side]
        with tempfile.TemporaryDirectory(dir=run.folder) as empty:
            usual, version.kernels = version.kernels, Path(empty) / "kernels"
            taken = []
            for _ in range(2):  # the second process finds the code kept
                begin = _processor_s()
                version.ask("solve", run.file(draw("table", 100, 64, "sum", 0)), limit_s=60.0)
                version.close()
                taken.append(_processor_s() - begin)
            size = sum(path.stat().st_size for path in version.kernels.rglob("*") if path.is_file())
            fresh, version.kernels = version.kernels, usual
            if fresh.exists() and not usual.exists():
                usual.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(fresh, usual)
        yield {
            "version": side, "processor_s": taken[0], "kept_processor_s": taken[1],
            "compiling_s": taken[0] - taken[1], "kept_mb": size / 1e6,
        }  # fmt: skip


def _processor_s() -> float:
    """Processor seconds, user and system, of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def section_process(run: Run) -> Iterator[Row]:
    """Wall time of new processes: a first plain call, imports, --help and --version, against `import numpy`."""
    run.warm()
    for objective in OBJECTIVES:  # whatever is to be kept is kept by then
        run.both("solve", run.file(draw("table", 100, 64, objective, 0)))
    first = run.file(draw("table", 10, 32, "sum", 0), "first")
    read = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import versions"
    codes: list[tuple[str, Callable[[Version], list[str]]]] = [
        ("import numpy", lambda _: ["-c", "import numpy"]),
        ("import megdt_opt", lambda _: ["-c", "import megdt_opt"]),
        ("--help", lambda version: ["-c", version.command_line(), "--help"]),
        ("--version", lambda version: ["-c", version.command_line(), "--version"]),
        ("first call", lambda _: ["-c", f"{read}; versions.do_solve({str(first)!r}, {GAP}, 20.0, 1)"]),
    ]
    codes.append(("first call, nothing kept", codes[-1][1]))
    times: dict[tuple[str, str], list[float]] = {}
    for turn in range(run.arguments.processes + 1):
        for (what, code), side in product(codes, SIDES):
            version = run.versions[side]
            kernels = run.folder / f"empty_{side}_{turn}" if "nothing" in what else None
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-P", *code(version)], env=version.environment(kernels), capture_output=True,
                timeout=300,
            )  # fmt: skip
            if turn and done.returncode == 0:  # the first turn brings the files into memory
                times.setdefault((what, side), []).append(time.perf_counter() - begin)
    numpy_s = float(np.median(times["import numpy", "before"] + times["import numpy", "after"]))
    for what, _ in codes:
        # nothing where a version has no such command
        before_s, after_s = (_median([*times.get((what, side), [])]) for side in SIDES)
        yield {
            "what": what, "before_s": before_s, "after_s": after_s, "ratio": _ratio(before_s, after_s),
            "after_to_numpy": _ratio(numpy_s, after_s),
        }  # fmt: skip


def section_solve(run: Run) -> Iterator[Row]:
    """`solve`, 5 to 100 users, every kind, family and objective."""
    run.warm()
    for users, kind, family, objective in product((5, 20, 50, 100), KINDS, FAMILIES, OBJECTIVES):
        answers = []
        for seed in range(run.arguments.seeds):
            problem = draw(family, users, 64, objective, seed, scarce=seed % 2 == 0, kind=kind)
            answers.append(run.both("solve", run.file(problem), limit_s=run.arguments.limit, repeats=REPEATS))
        yield _cell(answers, users=users, kind=kind, family=family, objective=objective)


def section_objectives(run: Run) -> Iterator[Row]:
    """ "mixed" and "missed" against "sum": the same instances with another objective.

    Where a single price vector proves "missed" to 1e-3 (a tree of one node does, in either version), times count; else
    the gap after 2 s, against that of the version before after 20 s.
    """
    run.warm(others=[with_objective(draw("table", 100, 64, "sum", 0), "mixed", 0)])
    cells = [(users, family) for users in (5, 20, 100) for family in ("cuts", "table")]
    for users, family, seed in [(n, f, s) for n, f in cells for s in range(run.arguments.few if n < 100 else 1)]:
        problem = draw(family, users, 64, "sum", seed, scarce=seed % 2 == 0)
        plain: dict[str, Row] = {}
        for objective in ("sum", "mixed", "missed"):
            path = run.file(with_objective(problem, objective, seed))
            rough = run.both("solve", path, limit_s=2.0, gap=1e-3) if objective == "missed" else {}
            one_vector = objective != "missed" or any(a.get("nodes") == 1 and not _open(a) for a in rough.values())
            limits = {"before": 20.0, "after": 2.0} if not one_vector else dict.fromkeys(SIDES, run.arguments.limit)
            answers = {side: run.versions[side].ask("solve", path, limit_s=limits[side]) for side in SIDES}
            if not one_vector or any(_open(a) for a in answers.values()):
                repeated = answers
            else:
                repeated = run.both("solve", path, repeats=REPEATS)
            plain = plain or repeated
            yield {
                "users": users, "family": family, "seed": seed, "objective": objective, "one_vector": one_vector,
                "before_s": repeated["before"].get("time_s"), "after_s": repeated["after"].get("time_s"),
                "after_to_sum": _ratio(plain["after"].get("time_s"), repeated["after"].get("time_s")),
                "before_to_sum": _ratio(plain["before"].get("time_s"), repeated["before"].get("time_s")),
                "gap_before": answers["before"].get("gap"), "gap_after": answers["after"].get("gap"),
            }  # fmt: skip


def section_alike(run: Run) -> Iterator[Row]:
    """Users of one kind: identical and nearly identical ones against different ones."""
    run.warm()
    for maker, users in product(ALIKE, (21, 41, 200, 1000)):
        cell: Row = {"maker": maker, "users": users}
        for form in FORMS:
            seeds = range(1 if form == "identical" else run.arguments.few)
            answers = [
                run.both(
                    "solve", run.file(alike(maker, users, form, seed)), limit_s=run.arguments.limit, repeats=REPEATS
                )
                for seed in seeds
            ]
            for side in SIDES:
                cell[f"{form}_{side}_s"] = _median([a[side].get("time_s") for a in answers])
                cell[f"{form}_{side}_gap"] = max(a[side].get("gap", np.inf) for a in answers)
        for form in FORMS[:2]:
            cell[f"{form}_to_different"] = _ratio(cell["different_after_s"], cell[f"{form}_after_s"])
        yield cell


def section_many(run: Run) -> Iterator[Row]:
    """Very many users: 10^5 over all families and laws, and the linear law at 10^6; memory is the process's most."""
    run.warm((100, 8000))
    users = run.arguments.many
    laws = ("linear", "shannon", "parallel")
    cells = [(users, kind, family, objective) for family, objective, kind in product(EVERY, OBJECTIVES, laws)]
    cells += [(10 * users, "linear", "table", objective) for objective in OBJECTIVES]
    linear: dict[tuple[Any, ...], float | None] = {}
    for n, kind, family, objective in cells:
        options = 32 if family == "decades" or n > users else 64
        path = run.file(draw(family, n, options, objective, 0, kind=kind))
        answers = run.both("solve", path, limit_s=run.arguments.long, repeats=2)
        row = _cell([answers], users=n, kind=kind, family=family, objective=objective)
        linear.setdefault((n, family, objective), row["after_s"])
        passes = {f"passes_{side}": answers[side].get("passes") for side in SIDES}
        gaps = {f"gap_{side}": answers[side].get("gap") for side in SIDES}
        memory = {f"memory_{side}_gib": answers[side].get("memory_gib") for side in SIDES}
        yield {
            **row,
            **passes,
            **gaps,
            **memory,
            "after_to_linear": _ratio(linear[n, family, objective], row["after_s"]),
        }


def section_replan(run: Run) -> Iterator[Row]:
    """`replan` against `solve`: 30 users, 161 options, rates that have changed by up to a tenth."""
    run.warm()
    for family, objective, cost_s in product(("cuts", "table"), OBJECTIVES, (0.0, 0.05)):
        for seed in range(run.arguments.few):
            problem = draw(family, 30, 161, objective, seed)
            rng = np.random.default_rng([seed, 30])
            new = replace(
                problem,
                downlink_efficiency=problem.downlink_efficiency * rng.uniform(0.9, 1.1, 30),
                uplink_efficiency=problem.uplink_efficiency * rng.uniform(0.9, 1.1, 30),
            )
            found = run.both(
                "replan", run.file(problem), then=str(run.file(new, "then")), cost_s=cost_s, repeats=REPEATS,
                limit_s=run.arguments.limit,
            )  # fmt: skip
            row: Row = {"family": family, "objective": objective, "cost_s": cost_s, "seed": seed}
            for side in SIDES:
                row |= {f"{key}_{side}": found[side].get(key) for key in ("solve_s", "replan_s", "status", "error")}
                row[f"replan_to_solve_{side}"] = _ratio(found[side].get("solve_s"), found[side].get("replan_s"))
            yield row


def section_loop(run: Run) -> Iterator[Row]:
    """The README's example of 3 users and 2 options, over and over in a new process."""
    run.warm()
    run.both("solve", run.file(draw("table", 100, 64, "sum", 0)))
    zero = np.zeros((3, 2))
    example = AllocationProblem(
        fixed_s=[[0.2, 4.0], [0.3, 9.0], [0.2, 3.0]], edge_work_s=[[1.5, 0.0]] * 3, downlink_bit=[[262e3, 0]] * 3,
        uplink_bit=zero, downlink_hz=1e6, uplink_hz=1e6, downlink_efficiency=[2.0, 4.0, 1.0], objective="max",
    )  # fmt: skip
    for version in run.versions.values():
        version.warm([])
    found = run.both("loop", run.file(example), repeats=run.arguments.calls)
    yield {"calls": run.arguments.calls, **{f"{key}_{side}": found[side].get(key) for side in SIDES for key in
           ("total_s", "median_later_s", "worst_s")}}  # fmt: skip
    for version in run.versions.values():
        version.close()


SECTIONS: dict[str, Callable[[Run], Iterator[Row]]] = {
    "compile": section_compile,
    "process": section_process,
    "solve": section_solve,
    "objectives": section_objectives,
    "alike": section_alike,
    "many": section_many,
    "replan": section_replan,
    "loop": section_loop,
}


# ---- what is written


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table(rows: list[Row]) -> list[str]:
    """Rows as a Markdown table."""
    names = [name for name in rows[0] if name != "answers"]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    return lines + ["| " + " | ".join(_shown(row.get(name)) for name in names) + " |" for row in rows]


def summary(name: str, rows: list[Row]) -> list[str]:
    """What the cells of a section come to."""
    if name not in ("solve", "many"):
        return []
    lines = []
    for key, what in (("ratio", "wall clock"), ("processor_ratio", "processor time")):
        ratios = [row[key] for row in rows if row[key] is not None]
        worst = max(rows, key=lambda row: row[key] or 0.0)
        cell = ", ".join(str(worst[part]) for part in ("users", "kind", "family", "objective"))
        lines += [
            f"Ratio of a cell (median of its instances) by {what}: median {np.median(ratios):.2f} over {len(rows)} "
            f"cells, {sum(r > 2 for r in ratios)} above 2, worst {max(ratios):.2f} ({cell}).",
            "",
        ]
    return [
        *lines,
        f"Newly open: {sum(row['newly_open'] for row in rows)} of {sum(row['instances'] for row in rows)}; open "
        f"before: {sum(row['open_before'] for row in rows)}.",
        "",
    ]


def page(sections: dict[str, list[Row]], heads: dict[str, str]) -> str:
    """All sections in Markdown, each with its own machine and versions."""
    lines = ["# Before and after, each section in one run", ""]
    for name, section in SECTIONS.items():
        if sections.get(name):
            about = " ".join((section.__doc__ or "").split())
            lines += [
                f"## {name}",
                "",
                about,
                "",
                heads[name],
                "",
                *summary(name, sections[name]),
                *table(sections[name]),
                "",
            ]
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="source folder of the other version")
    parser.add_argument("--after", type=Path, default=Path(__file__).resolve().parents[2] / "src")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas: " + ", ".join(SECTIONS))
    parser.add_argument("--kernels", type=Path, help="folder for the compiled code of both versions")
    parser.add_argument("--seeds", type=int, default=3, help="instances of a cell of `solve`")
    parser.add_argument("--few", type=int, default=2, help="instances of a cell of the other sections")
    parser.add_argument("--limit", type=float, default=5.0, help="time limit of a call [s]")
    parser.add_argument("--long", type=float, default=30.0, help="time limit with very many users [s]")
    parser.add_argument("--many", type=int, default=100_000, help="very many users")
    parser.add_argument("--processes", type=int, default=20)
    parser.add_argument("--calls", type=int, default=300, help="of the loop")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    unknown = set(arguments.only.split(",")) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


def main() -> None:
    """Run the sections and write what they find after each."""
    arguments = parsed()
    target = arguments.out / "before_after.json"
    sections: dict[str, list[Row]] = {}
    heads: dict[str, str] = {}
    if target.exists():
        held = json.loads(target.read_text(encoding="utf-8"))
        (sections,), heads = held["rows"], held["heads"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kernels = arguments.kernels or folder
        versions = {side: Version(side, getattr(arguments, side), kernels / side) for side in SIDES}
        run = Run(versions, folder, arguments)
        try:
            for name in (name for name in SECTIONS if name in arguments.only.split(",")):
                begin = time.perf_counter()
                rows: list[Row] = []
                for row in SECTIONS[name](run):
                    rows.append(row)
                    print(name, {k: _shown(v) for k, v in row.items() if k != "answers"}, flush=True)
                print(f"{name}: {time.perf_counter() - begin:.0f} s", flush=True)
                sections[name] = rows
                load = [round(one, 1) for one in os.getloadavg()]
                commits = {side: versions[side].commit() for side in SIDES}
                here = machine(**commits)
                heads[name] = (
                    f"{here['processor']}, {here['cores']} cores, Python {here['python']}; gap {GAP:g}. "
                    f"Before is commit {commits['before']}, after {commits['after']}. Load of the machine in the last "
                    f"1, 5 and 15 minutes: {load}; where it is above the number of cores, processor time counts."
                )
                keep(target, [sections], versions=commits, gap=GAP, heads=heads)
                write_text(arguments.out / "before_after.md", page(sections, heads))
        finally:
            for version in versions.values():
                version.close()


if __name__ == "__main__":
    main()
