"""All routes on the same instances, over the number of users: pytest-benchmark times `solve`, whole.

    pytest -p no:xdist experiments/benchmarks/bench_routes.py --benchmark-json=routes.json [-k "prices and K20"]
    python experiments/benchmarks/routes_table.py routes.json

One registry says which route takes which objective, users and families. Every route solves the same seeded instances
within one run, so that the times are read as ratios; gap, status and objective of each solution are stored beside the
times.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from families import FAMILIES, draw

from megdt_opt import solve
from megdt_opt.errors import SolverFailure

GAP = 1e-6
TIME_LIMIT_S = 20.0
SOME = ("cuts", "table")
SMALL = (2, 5)
MIDDLE = (*SMALL, 10, 20, 50)


@dataclass(frozen=True)
class Route:
    """A method with its objectives, and the users and families that it is worth waiting for."""

    method: str
    objectives: tuple[str, ...]
    users: tuple[int, ...]
    families: tuple[str, ...] = FAMILIES


ROUTES = (
    Route("prices", ("sum", "max"), (*MIDDLE, 100, 1000, 10_000, 100_000)),
    Route("prices", ("sum", "max"), (1_000_000,), ("table",)),
    Route("square_root_milp", ("sum",), MIDDLE),
    Route("deadline_milp", ("max",), MIDDLE),
    Route("option_misocp", ("sum", "max"), (*SMALL, 50), SOME),
    Route("option_misocp_perspective", ("sum", "max"), SMALL, ("table",)),
    Route("option_gdp", ("sum", "max"), SMALL, ("table",)),
    Route("option_gdp_bigm", ("sum", "max"), SMALL, ("table",)),
    Route("option_gdp_outer", ("sum", "max"), SMALL, ("table",)),
)

CASES = [
    pytest.param(route, family, objective, users, id=f"{route.method}-{family}-{objective}-K{users}")
    for route in ROUTES
    for objective in route.objectives
    for users in route.users
    for family in route.families
]


def options_of(users: int) -> int:
    """Options of each user: tables of a million users with 64 would fill the memory of a small machine."""
    return 64 if users < 1_000_000 else 32


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Compiled code is made or loaded before anything is timed."""
    for objective in ("sum", "max"):
        for users in (100, 8000):  # the second goes by the passes over very many users
            solve(draw("table", users, 64, objective, 0), method="prices")


@pytest.mark.parametrize(("route", "family", "objective", "users"), CASES)
def test_route(benchmark: Any, route: Route, family: str, objective: str, users: int) -> None:
    """Two seeded instances, one with a scarce and one with an ample edge; of a million users the scarce one."""
    options = options_of(users)
    ends = (True, False) if users < 1_000_000 else (True,)
    problems = [draw(family, users, options, objective, seed, scarce=scarce) for seed, scarce in enumerate(ends)]
    found: list[Any] = []

    def run() -> None:
        found[:] = [solve(p, method=route.method, gap=GAP, time_limit_s=TIME_LIMIT_S) for p in problems]

    rounds = 1 if route.method != "prices" else (7 if users <= 1000 else 2)
    try:
        benchmark.pedantic(run, rounds=rounds, iterations=1)
    except SolverFailure as failure:
        pytest.skip(f"{route.method} did not end: {failure}")
    benchmark.extra_info.update(
        method=route.method, family=family, objective=objective, users=users, options=options,
        instances=len(problems), gap=max(a.gap for a in found),
        closed=sum(a.gap <= GAP * (1 + 1e-6) for a in found), objective_s=[a.objective_s for a in found],
    )  # fmt: skip
