"""All formulations and methods reach the same optimum on shared instances, and no bound is above it.

`experiments/agreement.py` runs more of them by hand. A new formulation file joins by itself: the routes are those that
`methods()` lists, and each must take at least some instance.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import Tally, routes, run_one, table
from golden import load
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_problems import Instance, draw

from megdt_opt import AllocationProblem, InvalidInput, solve
from megdt_opt.tolerances import BOUND, EXACT, SOLVER

GOLDEN = load(Path(__file__).parent / "golden.json")
FORMULATIONS = tuple(route for route in routes() if route != "prices")
TAKEN = 3
"""Golden instances that each formulation solves, one without `--full`: backends take up to seconds each."""

tallies: dict[str, Tally] = {route: Tally() for route in routes()}


def add(instance: Instance, route: str, optimum: float | None) -> Tally:
    one = run_one(instance, (route,), optimum)[route]
    tallies[route].add(one)
    assert not one.failures, f"{route}: {one.failures}"
    return one


@pytest.fixture(scope="module", autouse=True)
def _shown() -> Any:
    """Print what every route did, with the worst disagreement, at the end."""
    yield
    print("\n" + table(tallies))


@pytest.mark.parametrize("number", range(len(GOLDEN)), ids=lambda n: "-".join(GOLDEN[n][0].traits))
def test_golden_optima(number: int) -> None:
    """The committed optimum is found by enumeration, and certified where there is a certificate."""
    instance, optimum, bound = GOLDEN[number]
    assert solve(instance.problem, "enumerate").objective_s == pytest.approx(optimum, rel=EXACT)
    one = add(instance, "prices", optimum)
    if bound is not None:
        assert one.verified == one.closed == 1
        assert optimum * (1 - SOLVER) <= bound <= optimum * (1 + BOUND)


@pytest.mark.parametrize("route", FORMULATIONS)
def test_formulations_reach_the_golden_optima(route: str, full: bool) -> None:
    """Each formulation walks the golden instances from a place of its own until it took some."""
    place, taken = FORMULATIONS.index(route), 0
    for step in range(len(GOLDEN)):
        # 11 and the number of instances have no common divisor: the walk visits all of them
        instance, optimum, _ = GOLDEN[(place + 11 * step) % len(GOLDEN)]
        taken += add(instance, route, optimum).instances
        if taken == (TAKEN if full else 1):
            break
    assert taken > 0, f"{route} took none of the {len(GOLDEN)} instances"


@pytest.mark.long_list
@pytest.mark.parametrize("number", range(12))
def test_random_instances(number: int) -> None:
    """Seeded ones: the price method on all, one formulation in turn on each."""
    instance = draw(number, seed=5, users=2, options=3)
    one = run_one(instance, ("prices", FORMULATIONS[number % len(FORMULATIONS)]))
    for route, tally in one.items():
        tallies[route].add(tally)
        assert not tally.failures, f"{route}: {tally.failures}"


NUMBERS = st.integers(0, 20).map(lambda n: n / 4)


@st.composite
def problems(make: st.DrawFn) -> AllocationProblem:
    """Small problems of quarters, which tie often and shrink well."""
    users, options = make(st.integers(1, 2)), make(st.integers(1, 3))

    def row(of: st.SearchStrategy[float], many: int) -> list[float]:
        return make(st.lists(of, min_size=many, max_size=many))

    fields: dict[str, Any] = {
        name: [row(NUMBERS, options) for _ in range(users)]
        for name in ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s")
    }
    above = NUMBERS.map(lambda n: n + 0.25)
    law = make(st.sampled_from(["efficiency", "snr_hz"]))
    fields |= {f"downlink_{law}": row(above, users), "uplink_efficiency": row(above, users)}
    fields |= {"downlink_hz": make(above), "uplink_hz": make(above), "objective": make(st.sampled_from(["max", "sum"]))}
    if make(st.booleans()):
        fields["device_branch_s"] = [row(NUMBERS, options) for _ in range(users)]
    if make(st.booleans()):
        fields["edge_share_max"] = row(above, users)
    return AllocationProblem(**fields)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(problems())
def test_ties_and_round_numbers(problem: AllocationProblem) -> None:
    add(Instance(0, problem, ("hypothesis",)), "prices", None)


def test_only_a_certified_gap_is_optimal() -> None:
    """A formulation's answer is "feasible", however good: only a certificate makes "optimal", at the gap asked for."""
    problem = GOLDEN[0][0].problem
    loose = solve(problem, "prices", gap=0.5)
    assert loose.status == "optimal"
    assert SOLVER < loose.gap <= 0.5
    assert not loose.is_optimal()
    for route in FORMULATIONS:
        try:
            found = solve(problem, route)
        except InvalidInput:
            continue
        assert found.status == "feasible"
        assert found.bound_source in ("solver", "none")
        assert np.isinf(found.lower_bound_s) or found.lower_bound_s <= found.objective_s
