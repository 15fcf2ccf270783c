"""All routes on the same instances, over the number of users: pytest-benchmark times `solve`, whole.

    pytest experiments/benchmarks/bench_routes.py --benchmark-json=routes.json [-k "prices and K20"]
    python experiments/benchmarks/routes_table.py routes.json

One registry says which route takes which objective and up to how many users it is worth waiting for. Every route
solves the same seeded instances within one run, so that the times are read as ratios; gap, status and objective of
each solution are stored beside the times, and the machine by pytest-benchmark.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from families import draw

from megdt_opt import solve
from megdt_opt.errors import SolverFailure

GAP = 1e-6
TIME_LIMIT_S = 60.0
OPTIONS = 64
FAMILY = "table"


@dataclass(frozen=True)
class Route:
    """A method, its objectives, and the most users it is tried with."""

    method: str
    objectives: tuple[str, ...]
    most_users: int


ROUTES = (
    Route("prices", ("sum", "max"), 10**6),
    Route("square_root_milp", ("sum",), 50),
    Route("deadline_milp", ("max",), 50),
    Route("option_gdp_outer", ("sum", "max"), 10),
    Route("option_misocp", ("sum", "max"), 10),
    Route("option_misocp_perspective", ("sum", "max"), 5),
    Route("option_gdp", ("sum", "max"), 5),
)
USERS = (2, 5, 10, 20, 50, 100, 1000, 10_000, 100_000)

CASES = [
    pytest.param(route, objective, users, id=f"{route.method}-{objective}-K{users}")
    for objective in ("sum", "max")
    for users in USERS
    for route in ROUTES
    if objective in route.objectives and users <= route.most_users
]


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Compiled code is made or loaded before anything is timed."""
    for objective in ("sum", "max"):
        solve(draw(FAMILY, 30, OPTIONS, objective, 0), method="prices")


@pytest.mark.parametrize(("route", "objective", "users"), CASES)
def test_route(benchmark: Any, route: Route, objective: str, users: int) -> None:
    """Three seeded instances; caps are left out, since the square-root programs know none."""
    seeds = range(3 if users <= 1000 else 1)
    problems = [draw(FAMILY, users, OPTIONS, objective, seed, capped=False) for seed in seeds]
    found: list[Any] = []

    def run() -> None:
        found[:] = [solve(p, method=route.method, gap=GAP, time_limit_s=TIME_LIMIT_S) for p in problems]

    try:
        benchmark.pedantic(run, rounds=3 if route.method == "prices" and users <= 1000 else 1, iterations=1)
    except SolverFailure as failure:
        pytest.skip(f"{route.method} did not end: {failure}")
    benchmark.extra_info.update(
        method=route.method, objective=objective, users=users, options=OPTIONS, instances=len(problems),
        gap=max(a.gap for a in found), closed=sum(a.gap <= GAP * (1 + 1e-6) for a in found),
        objective_s=[a.objective_s for a in found],
    )  # fmt: skip
