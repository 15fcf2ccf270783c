"""What must hold for every problem, whatever its numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_problems import draw

from megdt_opt import AllocationProblem, Infeasible, solve

NUMBERS = st.integers(0, 10**6)
FEW = settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SLACK = 2.1e-6  # two gaps of 1e-6


def best(problem: AllocationProblem) -> float:
    try:
        return solve(problem).objective_s
    except Infeasible:
        return np.inf


def small(number: int) -> AllocationProblem:
    return draw(number, seed=11, users=2, options=3).problem


@FEW
@given(NUMBERS, st.sampled_from(["downlink_hz", "uplink_hz", "edge_capacity"]), st.floats(1.0, 3.0))
def test_more_of_a_resource_never_hurts(number: int, resource: str, factor: float) -> None:
    problem = small(number)
    more = replace(problem, **{resource: getattr(problem, resource) * factor})
    assert best(more) <= best(problem) * (1 + SLACK)


@FEW
@given(NUMBERS)
def test_permuting_users_permutes_the_plan(number: int) -> None:
    problem = small(number)
    names = [n for n in problem.__dataclass_fields__ if isinstance(getattr(problem, n), np.ndarray)]
    turned = replace(problem, **{n: getattr(problem, n)[::-1] for n in names})
    assert best(turned) == pytest.approx(best(problem), rel=SLACK)


@FEW
@given(NUMBERS, st.sampled_from([1e-3, 60.0, 1e3]))
def test_the_unit_of_time_does_not_matter(number: int, factor: float) -> None:
    problem = small(number)
    times = ("fixed_s", "device_branch_s", "edge_work_s", "deadline_s", "uplink_airtime_max_s")
    scaled = {n: getattr(problem, n) * factor for n in times if getattr(problem, n) is not None}
    rates = ("downlink_efficiency", "uplink_efficiency")
    if not problem.linear:
        rates = ("downlink_hz", "uplink_hz", "downlink_snr_hz", "uplink_snr_hz")
    scaled |= {n: getattr(problem, n) / factor for n in rates if getattr(problem, n) is not None}
    assert best(replace(problem, **scaled)) == pytest.approx(factor * best(problem), rel=SLACK)


@FEW
@given(NUMBERS)
def test_a_forbidden_option_never_helps(number: int) -> None:
    problem = small(number)
    allowed = problem.allowed_mask.copy()
    allowed[0, int(allowed[0].argmax())] = False
    assert best(replace(problem, allowed=allowed)) >= best(problem) * (1 - SLACK)


@FEW
@given(NUMBERS)
def test_doubling_a_user_is_at_least_as_costly(number: int) -> None:
    problem = small(number)
    names = [n for n in problem.__dataclass_fields__ if isinstance(getattr(problem, n), np.ndarray)]
    twice = replace(problem, **{n: np.concatenate([getattr(problem, n), getattr(problem, n)[:1]]) for n in names})
    assert best(twice) >= best(problem) * (1 - SLACK)
