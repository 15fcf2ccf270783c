"""All routes on the same seeded instances: do they find the same optimum, and do the bounds hold?

    python experiments/agreement.py --count 200 --seed 0

Prints per route: instances, worst relative difference from the enumeration after re-evaluation, worst excess of a
certified bound over the optimum, worst violation, and how many gaps were closed. Exit code 1 on a failure.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from joblib import Parallel, delayed
from random_problems import Instance, draw
from rich.progress import Progress

from megdt_opt import Allocation, Infeasible, evaluate, solve
from megdt_opt.tolerances import BOUND, SOLVER

ORACLE = "enumerate"
LINEAR_ONLY = frozenset({"option_misocp", "option_misocp_perspective", "option_gdp", "option_gdp_bigm"})
TIME_LIMIT_S = 60.0
ROUTES = ("prices", "option_misocp", "option_gdp")


@dataclass
class Tally:
    """What one route did."""

    instances: int = 0
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
        for name in ("instances", "infeasible", "closed", "verified", "seconds", "failures"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("difference", "excess", "violation"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))


def run(
    count: int,
    seed: int,
    routes: Sequence[str] = ROUTES,
    *,
    jobs: int = 1,
    on_done: Callable[[int], None] | None = None,
) -> dict[str, Tally]:
    """Solve `count` instances by every route and compare with the enumeration; `jobs` instances at a time."""
    tallies = {route: Tally() for route in routes}
    work = Parallel(n_jobs=jobs, return_as="generator_unordered")
    for done, one in enumerate(work(delayed(run_one)(number, seed, routes) for number in range(count)), start=1):
        for route, tally in one.items():
            tallies[route].add(tally)
        if on_done is not None:
            on_done(done)
    return tallies


def run_one(number: int, seed: int, routes: Sequence[str]) -> dict[str, Tally]:
    """Solve one instance by every route that takes it."""
    instance = draw(number, seed)
    best = _try(instance, ORACLE)
    tallies = {}
    for route in routes:
        if route in LINEAR_ONLY and "shannon" in instance.traits:
            continue
        begin = time.perf_counter()
        found = _try(instance, route)
        tallies[route] = Tally(seconds=time.perf_counter() - begin)
        _compare(instance, best, found, tallies[route])
    return tallies


def _try(instance: Instance, route: str) -> Allocation | None:
    try:
        # a backend that does not end in time has failed, and is counted so
        return solve(instance.problem, method=route, time_limit_s=TIME_LIMIT_S)
    except Infeasible:
        return None


def _compare(instance: Instance, best: Allocation | None, found: Allocation | None, tally: Tally) -> None:
    tally.instances += 1
    where = f"instance {instance.number} ({', '.join(instance.traits)})"
    if best is None or found is None:
        tally.infeasible += best is None and found is None
        if best is not found:
            tally.failures.append(f"{where}: only one route finds it infeasible")
        return
    truth = evaluate(instance.problem, found.option, found.downlink_hz, found.uplink_hz, found.edge_share)
    difference = abs(truth.objective_s / best.objective_s - 1) if best.objective_s else abs(truth.objective_s)
    tally.difference = max(tally.difference, difference)
    tally.violation = max(tally.violation, truth.violation)
    if difference > SOLVER or truth.violation > BOUND:
        tally.failures.append(f"{where}: differs by {difference:.1e}, violates by {truth.violation:.1e}")
    if found.certificate is None:
        return
    tally.closed += found.gap <= SOLVER
    tally.excess = max(tally.excess, found.lower_bound_s / best.objective_s - 1)
    verdict = found.certificate.verify(instance.problem)
    tally.verified += verdict.holds
    if found.gap > SOLVER or not verdict.holds or found.lower_bound_s > best.objective_s * (1 + BOUND):
        tally.failures.append(f"{where}: gap {found.gap:.1e}, certificate {verdict.holds} {verdict.reason}")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="instances solved at a time, each in a process")
    parser.add_argument("--routes", default=",".join(ROUTES))
    args = parser.parse_args()
    with Progress() as bar:
        task = bar.add_task("instances", total=args.count)
        routes = args.routes.split(",")
        tallies = run(args.count, args.seed, routes, jobs=args.jobs, on_done=lambda n: bar.update(task, completed=n))
    print("route            instances  infeasible  difference  bound excess  violation  closed  verified  seconds")
    for route, t in tallies.items():
        print(
            f"{route:16s} {t.instances:9d}  {t.infeasible:10d}  {t.difference:10.1e}  {t.excess:12.1e}  "
            f"{t.violation:9.1e}  {t.closed:6d}  {t.verified:8d}  {t.seconds:7.1f}"
        )
        for failure in t.failures:
            print("   ", failure)
    return 1 if any(t.failures for t in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
