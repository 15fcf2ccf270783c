"""How much a compiled CVXPY program saves: solve again with new parameters against build anew and solve.

    python experiments/benchmarks/resolve.py [--users 10,50,128] [--repeats 15]

All ways solve the same seeded problems of `convex_allocation` in turns within one run; the ratio is that of the
medians of build + solve, and of build alone. "parameters" builds the same program anew for every problem; "constants"
builds one with the numbers as constants, the fastest way to build it. Writes results/resolve.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import cvxpy
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from record import RESULTS, keep

from megdt_opt import AllocationProblem
from megdt_opt.formulations import convex_allocation

GAP = 1e-6


def draw(users: int, shannon: bool, seed: int) -> AllocationProblem:
    """One problem with one option a user, objective "sum"."""
    rng = np.random.default_rng([seed, users, shannon])
    shape = (users, 1)
    law: dict[str, Any] = {
        "downlink_efficiency": rng.uniform(1, 5, users),
        "uplink_efficiency": rng.uniform(0.5, 3, users),
    }
    if shannon:
        law = {"downlink_snr_hz": rng.uniform(1e5, 1e7, users), "uplink_snr_hz": rng.uniform(1e5, 1e6, users)}
    return AllocationProblem(
        fixed_s=rng.uniform(0, 2, shape),
        downlink_bit=rng.uniform(1e3, 1e5, shape),
        uplink_bit=rng.uniform(1e3, 5e4, shape),
        edge_work_s=rng.uniform(0.1, 2, shape),
        downlink_hz=2e4 * users,
        uplink_hz=1.5e4 * users,
        edge_capacity=max(1.0, users / 8),
        edge_share_max=np.ones(users),
        weight=rng.uniform(0.5, 2, users),
        objective="sum",
        **law,
    )


def _times(problem: AllocationProblem, way: str) -> tuple[float, float, float]:
    """Build and solution time of one way [s], and the bound it proves [s]."""
    compiled = convex_allocation._COMPILED_USERS
    try:
        convex_allocation._COMPILED_USERS = 0 if way == "constants" else compiled
        if way == "parameters":
            convex_allocation._compiled.cache_clear()
        begin = time.perf_counter()
        raw = convex_allocation.solve(problem, gap=GAP, time_limit_s=None)
        total = time.perf_counter() - begin
    finally:
        convex_allocation._COMPILED_USERS = compiled
    assert raw.bound is not None
    return total - raw.solve_s, raw.solve_s, raw.bound


def measure(users: int, shannon: bool, repeats: int) -> dict[str, Any]:
    """Medians of all ways over the same problems."""
    ways = ("parameters", "constants", "again")
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for way in ways:
        _times(draw(users, shannon, 0), way)
    for seed in range(1, repeats + 1):
        problem = draw(users, shannon, seed)
        # the cache is empty after "parameters" until its own solve, so "again" finds the program compiled
        bounds = []
        for way in ways:
            build, solve, bound = _times(problem, way)
            times[way].append((build, solve))
            bounds.append(bound)
        if max(bounds) - min(bounds) > GAP * max(bounds):
            raise AssertionError(f"K = {users}, seed {seed}: the ways disagree: {bounds}")
    row: dict[str, Any] = {"users": users, "rates": "shannon" if shannon else "linear", "repeats": repeats}
    for way in ways:
        build, total = (float(np.median(v)) for v in ([b for b, _ in times[way]], [b + s for b, s in times[way]]))
        row |= {f"{way}_build_s": build, f"{way}_total_s": total}
    for way in ("constants", "parameters"):
        row[f"build_ratio_{way}"] = row[f"{way}_build_s"] / row["again_build_s"]
        row[f"total_ratio_{way}"] = row[f"{way}_total_s"] / row["again_total_s"]
    return row


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", default="10,50,128")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = []
    print("users  rates     again: build + solve   against constants: build, total   against parameters: build, total")
    for users in (int(n) for n in arguments.users.split(",")):
        for shannon in (False, True):
            row = measure(users, shannon, arguments.repeats)
            rows.append(row)
            print(
                f"{users:5d}  {row['rates']:8s}"
                f"  {row['again_build_s'] * 1e3:6.1f} ms, {row['again_total_s'] * 1e3:6.1f} ms"
                f"       x{row['build_ratio_constants']:.1f}, x{row['total_ratio_constants']:.1f}"
                f"                       x{row['build_ratio_parameters']:.1f}, x{row['total_ratio_parameters']:.1f}",
                flush=True,
            )
    keep(arguments.out / "resolve.json", rows, versions={"cvxpy": cvxpy.__version__}, gap=GAP)


if __name__ == "__main__":
    main()
