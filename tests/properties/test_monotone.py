"""What must hold for every problem, whatever its numbers: by the price method in NumPy and in compiled code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_problems import draw

from megdt_opt import Allocation, AllocationProblem, Infeasible, solve
from megdt_opt.solving import compiled

NUMBERS = st.integers(0, 10**6)
EXAMPLES = 4
FEW = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SLACK = 2.1e-6  # two gaps of 1e-6
TABLES = ("fixed_s", "device_branch_s", "downlink_bit", "uplink_bit", "edge_work_s", "allowed", "uplink_airtime_max_s")


@pytest.fixture(params=["numpy", pytest.param("compiled", marks=pytest.mark.slow)], scope="module", autouse=True)
def _form(request: pytest.FixtureRequest) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(compiled, "usable", lambda problem: request.param == "compiled")
    yield
    patch.undo()


def solved(problem: AllocationProblem) -> Allocation | None:
    try:
        return solve(problem)
    except Infeasible:
        return None


def best(problem: AllocationProblem) -> float:
    found = solved(problem)
    return np.inf if found is None else found.objective_s


def small(number: int) -> AllocationProblem:
    return draw(number, seed=11, users=2, options=3).problem


def arrays(problem: AllocationProblem) -> list[str]:
    return [n for n in problem.__dataclass_fields__ if isinstance(getattr(problem, n), np.ndarray)]


def scaled(problem: AllocationProblem, names: tuple[str, ...], factor: float) -> dict[str, Any]:
    return {n: getattr(problem, n) * factor for n in names if getattr(problem, n) is not None}


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
    turned = replace(problem, **{n: getattr(problem, n)[::-1] for n in arrays(problem)})
    one, other = solved(problem), solved(turned)
    assert (one is None) == (other is None)
    if one is None or other is None:
        return
    assert other.objective_s == pytest.approx(one.objective_s, rel=SLACK)
    # the options too, where no other set comes near
    if unique(problem, one):
        assert other.option[::-1].tolist() == one.option.tolist()


@FEW
@given(NUMBERS)
def test_permuting_options_permutes_the_choice(number: int) -> None:
    problem = small(number)
    turned = replace(problem, **{n: getattr(problem, n)[:, ::-1] for n in TABLES if getattr(problem, n) is not None})
    one, other = solved(problem), solved(turned)
    assert (one is None) == (other is None)
    if one is None or other is None:
        return
    assert other.objective_s == pytest.approx(one.objective_s, rel=SLACK)
    if unique(problem, one):
        assert (problem.options - 1 - other.option).tolist() == one.option.tolist()


def unique(problem: AllocationProblem, found: Allocation) -> bool:
    """Whether every set that differs from the one found is clearly worse."""
    for k in range(problem.users):
        allowed = problem.allowed_mask.copy()
        allowed[k, found.option[k]] = False
        if best(replace(problem, allowed=allowed)) <= found.objective_s * (1 + 1e-4):
            return False
    return True


@FEW
@given(NUMBERS, st.sampled_from([1e-3, 60.0, 1e3]))
def test_the_unit_of_time_does_not_matter(number: int, factor: float) -> None:
    problem = small(number)
    times = ("fixed_s", "device_branch_s", "edge_work_s", "deadline_s", "uplink_airtime_max_s")
    rates = ("downlink_efficiency", "uplink_efficiency")
    if not problem.linear:
        rates = ("downlink_hz", "uplink_hz", "downlink_snr_hz", "uplink_snr_hz")
    changed = replace(problem, **scaled(problem, times, factor), **scaled(problem, rates, 1 / factor))
    assert best(changed) == pytest.approx(factor * best(problem), rel=SLACK)


@FEW
@given(NUMBERS, st.sampled_from([1e-6, 1e-3, 1e3]))
def test_the_unit_of_bandwidth_does_not_matter(number: int, factor: float) -> None:
    """Hertz to megahertz: bands and SNR products by the factor, efficiencies by its inverse, and bits stay."""
    problem = small(number)
    bands = ("downlink_hz", "uplink_hz", "downlink_snr_hz", "uplink_snr_hz")
    if not problem.linear:
        # Shannon's rate is in the unit of the band: bits go with it
        bands += ("downlink_bit", "uplink_bit")
    rates = ("downlink_efficiency", "uplink_efficiency") if problem.linear else ()
    changed = replace(problem, **scaled(problem, bands, factor), **scaled(problem, rates, 1 / factor))
    assert best(changed) == pytest.approx(best(problem), rel=SLACK)


@FEW
@given(NUMBERS, st.sampled_from([1e-6, 0.3, 1e6]))
def test_the_unit_of_weights_does_not_matter(number: int, factor: float) -> None:
    problem = small(number)
    changed = replace(problem, weight=problem.weights * factor)
    assert best(changed) == pytest.approx(factor * best(problem), rel=SLACK)


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
    twice = replace(
        problem, **{n: np.concatenate([getattr(problem, n), getattr(problem, n)[:1]]) for n in arrays(problem)}
    )
    assert best(twice) >= best(problem) * (1 - SLACK)


@FEW
@given(NUMBERS, st.floats(0.0, 2.0))
def test_a_dominated_option_changes_nothing(number: int, worse: float) -> None:
    """One more option, as good as the first in nothing and worse in some."""
    problem = small(number)
    more: dict[str, Any] = {}
    for name in TABLES:
        table = getattr(problem, name)
        if table is None:
            continue
        # an airtime limit is no worse when it is shorter
        factor = 1.0 if name in ("allowed", "uplink_airtime_max_s") else 1.0 + worse
        added = table[:, :1] if name == "allowed" else table[:, :1] * factor
        more[name] = np.concatenate([table, added], axis=1)
    assert best(replace(problem, **more)) == pytest.approx(best(problem), rel=SLACK)


@FEW
@given(NUMBERS, st.floats(0.5, 1.0), st.floats(1.0, 1.5))
def test_tightening_a_deadline_never_helps(number: int, tighter: float, room: float) -> None:
    problem = replace(small(number), deadline_s=None)
    free = solved(problem)
    assume(free is not None)
    assert free is not None
    limited = replace(problem, deadline_s=free.latency_s * room)
    tight = replace(problem, deadline_s=free.latency_s * room * np.array([tighter, 1.0]))
    assert free.objective_s * (1 - SLACK) <= best(limited)
    assert best(limited) * (1 - SLACK) <= best(tight)


@FEW
@given(NUMBERS)
def test_the_sum_lies_between_one_and_all_users_times_the_maximum(number: int) -> None:
    problem = small(number)
    largest, total = best(replace(problem, objective="max")), best(replace(problem, objective="sum"))
    assert largest * (1 - SLACK) <= total
    assert total <= problem.users * largest * (1 + SLACK) or np.isinf(largest)
