"""All routes on the same seeded instances: do they find the same optimum, and do the bounds hold?

    python experiments/agreement.py --count 200 --seed 0 --log agreement.jsonl

With --log the tallies of each instance are written as they come, and a second run goes on where the first was stopped.
Prints per route: instances that it took and refused, worst relative difference from the enumeration after
re-evaluation, worst excess of a bound over the optimum, worst violation, how many gaps were closed and how many
certificates verified. Exit code 1 on a failure.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from joblib import Parallel, delayed
from random_problems import Instance, draw
from rich.progress import Progress

from megdt_opt import Allocation, Infeasible, InvalidInput, SolverFailure, evaluate, solve
from megdt_opt.solving import methods
from megdt_opt.tolerances import BOUND, SOLVER

ORACLE = "enumerate"
TIME_LIMIT_S = 60.0


def routes() -> tuple[str, ...]:
    """All routes but the oracle: new formulation files are picked up by themselves."""
    return tuple(method for method in methods("AllocationProblem") if method not in ("auto", ORACLE))


@dataclass
class Tally:
    """What one route did; `refused` are the problems that it does not take."""

    instances: int = 0
    refused: int = 0
    infeasible: int = 0
    difference: float = 0.0
    excess: float = 0.0
    violation: float = 0.0
    closed: int = 0
    verified: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take in the tally of other instances."""
        for name in ("instances", "refused", "infeasible", "closed", "verified", "seconds", "failures"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("difference", "excess", "violation"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


def run(
    count: int,
    seed: int,
    chosen: Sequence[str],
    *,
    jobs: int = 1,
    log: Path | None = None,
    on_done: Callable[[int], None] | None = None,
) -> dict[str, Tally]:
    """Solve `count` instances by every route and compare with the enumeration; `jobs` instances at a time. Those that
    a log (JSON lines) has are taken from it, and the others are added to it."""
    known = _logged(log, chosen)
    numbers = [number for number in range(count) if number not in known]
    tallies = {route: Tally() for route in chosen}
    for number in set(range(count)) - set(numbers):
        _add(tallies, known[number])
    work = Parallel(n_jobs=jobs, return_as="generator_unordered")
    for done, (number, one) in enumerate(
        work(delayed(run_drawn)(number, seed, chosen) for number in numbers), start=1 + count - len(numbers)
    ):
        _add(tallies, one)
        if log is not None:
            with log.open("a", encoding="utf-8") as file:
                routes_done = {route: asdict(tally) for route, tally in one.items()}
                file.write(json.dumps({"number": number, "routes": routes_done}) + "\n")
        if on_done is not None:
            on_done(done)
    return tallies


def _logged(log: Path | None, chosen: Sequence[str]) -> dict[int, dict[str, Tally]]:
    """Instances of a log that went by all chosen routes."""
    lines = log.read_text(encoding="utf-8").splitlines() if log is not None and log.exists() else []
    found = ((row["number"], row["routes"]) for row in map(json.loads, lines))
    return {n: {r: Tally(**done[r]) for r in chosen} for n, done in found if set(chosen) <= set(done)}


def _add(tallies: dict[str, Tally], one: dict[str, Tally]) -> None:
    for route, tally in one.items():
        tallies[route].add(tally)


def run_drawn(number: int, seed: int, chosen: Sequence[str]) -> tuple[int, dict[str, Tally]]:
    """Number of a drawn instance, and its tallies by every route."""
    return number, run_one(draw(number, seed), chosen)


def run_one(instance: Instance, chosen: Sequence[str], optimum: float | None = None) -> dict[str, Tally]:
    """Solve one instance by every route that takes it; without an `optimum` it is found by enumeration first."""
    try:
        best = solve(instance.problem, ORACLE).objective_s if optimum is None else optimum
    except Infeasible:
        best = None
    tallies = {}
    for route in chosen:
        begin = time.perf_counter()
        tallies[route] = Tally()
        try:
            # a backend that does not end in time has failed, and is counted so
            found = solve(instance.problem, method=route, time_limit_s=TIME_LIMIT_S)
        except InvalidInput:
            tallies[route].refused += 1
            continue
        except Infeasible:
            found = None
        except SolverFailure as error:
            tallies[route].failures.append(f"{_name(instance)}: {error}")
            continue
        tallies[route].seconds = time.perf_counter() - begin
        _compare(instance, best, found, tallies[route])
    return tallies


def table(tallies: dict[str, Tally]) -> str:
    """What each route did, and the worst disagreement of all."""
    lines = [
        "route                       instances  refused  infeasible  difference  bound excess  violation  closed  "
        "verified  seconds"
    ]
    for route, t in tallies.items():
        lines.append(
            f"{route:26s}  {t.instances:9d}  {t.refused:7d}  {t.infeasible:10d}  {t.difference:10.1e}  "
            f"{t.excess:12.1e}  {t.violation:9.1e}  {t.closed:6d}  {t.verified:8d}  {t.seconds:7.1f}"
        )
    lines.append(f"worst disagreement {max((t.difference for t in tallies.values()), default=0.0):.1e}")
    return "\n".join(lines)


def _name(instance: Instance) -> str:
    return f"instance {instance.number} ({', '.join(instance.traits)})"


def _compare(instance: Instance, best: float | None, found: Allocation | None, tally: Tally) -> None:
    tally.instances += 1
    where = _name(instance)
    if best is None or found is None:
        tally.infeasible += best is None and found is None
        if (best is None) != (found is None):
            tally.failures.append(f"{where}: only one route finds it infeasible")
        return
    truth = evaluate(instance.problem, found.option, found.downlink_hz, found.uplink_hz, found.edge_share)
    difference = abs(truth.objective_s / best - 1) if best else abs(truth.objective_s)
    tally.difference = max(tally.difference, difference)
    tally.violation = max(tally.violation, truth.violation)
    if difference > SOLVER or truth.violation > BOUND:
        tally.failures.append(f"{where}: differs by {difference:.1e}, violates by {truth.violation:.1e}")
    if found.status == "optimal" and (found.bound_source != "certificate" or not found.gap <= SOLVER):
        tally.failures.append(f"{where}: optimal by {found.bound_source}, gap {found.gap:.1e}")
    if np.isfinite(found.lower_bound_s):
        tally.excess = max(tally.excess, found.lower_bound_s / best - 1 if best else found.lower_bound_s)
        if found.lower_bound_s > best * (1 + BOUND):
            tally.failures.append(f"{where}: the bound {found.lower_bound_s!r} is above the optimum {best!r}")
    if found.certificate is None:
        return
    tally.closed += found.status == "optimal"
    verdict = found.certificate.verify(instance.problem)
    tally.verified += verdict.holds
    if found.status != "optimal" or not verdict.holds:
        tally.failures.append(f"{where}: gap {found.gap:.1e}, certificate {verdict.holds} {verdict.reason}")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="instances solved at a time, each in a process")
    parser.add_argument("--log", type=Path, help="JSON lines to add to, and to go on from")
    parser.add_argument("--routes", default=",".join(routes()))
    args = parser.parse_args()
    with Progress() as bar:
        task = bar.add_task("instances", total=args.count)
        chosen = args.routes.split(",")
        tallies = run(
            args.count, args.seed, chosen, jobs=args.jobs, log=args.log, on_done=lambda n: bar.update(task, completed=n)
        )
    print(table(tallies))
    for route, tally in tallies.items():
        for failure in tally.failures:
            print(f"    {route}: {failure}")
    return 1 if any(t.failures for t in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
