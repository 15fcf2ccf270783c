"""Fuzzing: malformed and extreme problems by every route; is every answer right, or a clear error?

    python experiments/fuzz.py --count 10000 --seed 0 --jobs 2 --log fuzz.jsonl [--limited]

With --limited they are of ordinary numbers, of every objective, with limits that are just kept or just not, and an
answer whose gap is not closed is wrong as well.

Each problem is judged in a child process that is ended when one problem takes longer than --limit-s. With --log the
reports are written as they come, and a second run goes on where the first was stopped. Prints a table of outcomes and
everything that was wrong; exit code 1 where anything was.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing as mp
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_judge import ROUTES, Report, judge
from fuzz_problems import draw_case
from rich.progress import Progress

NUMPY_EVERY = 8
"""One case in so many goes by the NumPy form of the price method too, which takes the longest."""


def routes_of(number: int) -> tuple[str, ...]:
    """Routes that a case goes by: the price method in NumPy, and `explain`, only now and then."""
    turn = number // 5 % NUMPY_EVERY
    skipped = {"numpy"} if turn else set()
    if turn != 1:
        skipped.add("explain")
    return tuple(r for r in ROUTES if r not in skipped)


def _child(pipe: Connection, seed: int, limited: bool) -> None:
    while (number := pipe.recv()) is not None:
        pipe.send(judge(draw_case(number, seed, limited=limited), routes_of(number)))


class _Worker:
    """One child with the case that it judges."""

    def __init__(self, seed: int, limited: bool) -> None:
        self.pipe, end = mp.get_context("spawn").Pipe()
        self.process = mp.get_context("spawn").Process(target=_child, args=(end, seed, limited), daemon=True)
        self.process.start()
        end.close()
        self.number: int | None = None
        self.since = 0.0

    def give(self, number: int) -> None:
        self.number, self.since = number, time.monotonic()
        self.pipe.send(number)

    def end(self) -> None:
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def run(numbers: list[int], seed: int, jobs: int, limit_s: float, limited: bool) -> Iterator[Report]:
    """Reports on the cases as they come; a case over the limit, or one that ends its process, is wrong."""
    waiting = list(reversed(numbers))
    workers = [_Worker(seed, limited) for _ in range(jobs)]
    try:
        while waiting or any(w.number is not None for w in workers):
            for place, worker in enumerate(workers):
                if worker.number is not None and time.monotonic() - worker.since > limit_s:
                    yield Report(worker.number, "without end", {"process": "WRONG"}, [f"no end within {limit_s:g} s"])
                    worker.end()
                    workers[place] = worker = _Worker(seed, limited)
                if worker.number is None and waiting:
                    worker.give(waiting.pop())
            ready = wait([w.pipe for w in workers if w.number is not None], timeout=1.0)
            for place, worker in enumerate(workers):
                if worker.pipe not in ready or worker.number is None:
                    continue
                try:
                    yield worker.pipe.recv()
                    worker.number = None
                except EOFError:
                    yield Report(worker.number, "without end", {"process": "WRONG"}, ["its process ended"])
                    worker.end()
                    workers[place] = _Worker(seed, limited)
    finally:
        for worker in workers:
            worker.end()


def table(reports: list[Report]) -> str:
    """Counts of outcomes per kind and route."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for report in reports:
        for route, outcome in report.outcomes.items():
            counts[report.kind, route][outcome] += 1
        if report.wrong and "WRONG" not in report.outcomes.values():
            counts[report.kind, "judge"]["WRONG"] += 1
    names = sorted({name for counter in counts.values() for name in counter}, key=lambda n: (n == "WRONG", n))
    lines = [f"{'kind':10s} {'route':10s} " + " ".join(f"{n:>15s}" for n in names)]
    for (kind, route), counter in sorted(counts.items()):
        lines.append(f"{kind:10s} {route:10s} " + " ".join(f"{counter[n]:15d}" for n in names))
    wrong = sum(bool(r.wrong) for r in reports)
    seconds = sum(r.seconds for r in reports)
    lines.append(f"{len(reports)} problems, {wrong} with something wrong, {seconds:.0f} s in all")
    return "\n".join(lines)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="child processes")
    parser.add_argument("--limit-s", type=float, default=120.0, help="after this a case counts as without end")
    parser.add_argument("--limited", action="store_true", help="ordinary problems with limits that are just kept")
    parser.add_argument("--log", type=Path, help="JSON lines to add to, and to go on from")
    args = parser.parse_args()
    reports: list[Report] = []
    if args.log is not None and args.log.exists():
        reports = [Report(**json.loads(line)) for line in args.log.read_text(encoding="utf-8").splitlines()]
    known = {r.number for r in reports}
    numbers = [n for n in range(args.first, args.first + args.count) if n not in known]
    with Progress() as bar:
        task = bar.add_task("problems", total=len(numbers))
        for report in run(numbers, args.seed, args.jobs, args.limit_s, args.limited):
            reports.append(report)
            bar.update(task, advance=1)
            if args.log is not None:
                with args.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(report)) + "\n")
    print(table(reports))
    for report in reports:
        for text in report.wrong:
            print(f"  {report.number}: {text}")
    return 1 if any(r.wrong for r in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
