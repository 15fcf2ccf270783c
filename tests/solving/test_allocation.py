"""What an allocation says of itself: enums, proofs, judgement, pickling; and what every search may be asked for."""

from __future__ import annotations

import math
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdt_opt import (
    Allocation,
    AllocationProblem,
    InvalidInput,
    regret,
    replan,
    shadow_prices,
    solve,
    solve_batch,
)
from megdt_opt.problem.outcome import BoundSource, Method, Status
from megdt_opt.solving import methods


def three_by_two(objective: str = "sum", **more: Any) -> AllocationProblem:
    fields = {
        "fixed_s": [[3.0, 0.5], [2.0, 0.4], [4.0, 0.3]],
        "downlink_bit": [[0.0, 1e6], [0.0, 2e6], [0.0, 1e6]],
        "uplink_bit": [[0.0, 1e4]] * 3,
        "edge_work_s": [[0.0, 0.4], [0.0, 0.3], [0.0, 0.5]],
        "downlink_efficiency": [4.0, 2.0, 3.0],
        "uplink_efficiency": [2.0, 1.0, 2.0],
        "downlink_hz": 1e6,
        "uplink_hz": 1e6,
        "edge_capacity": 1.0,
        "objective": objective,
    }
    return AllocationProblem(**(fields | more))


def shannon(objective: str = "sum") -> AllocationProblem:
    return three_by_two(objective, downlink_efficiency=None, downlink_snr_hz=[1e7, 2e7, 5e6])


@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(three_by_two(), id="linear sum"),
        pytest.param(shannon("max"), id="Shannon max"),
        pytest.param(three_by_two("missed", deadline_s=[0.9, 0.9, 0.9]), id="missed deadlines"),
    ],
)
def test_a_completed_enumeration_is_a_proof(problem: AllocationProblem) -> None:
    found = solve(problem, "enumerate")
    assert (found.status, found.bound_source) == (Status.OPTIMAL, BoundSource.ENUMERATION)
    assert (found.status, found.bound_source, found.method) == ("optimal", "enumeration", "enumerate")
    assert found.is_optimal()
    assert found.certificate is None
    # nothing was written down that could be checked again
    assert not found.is_proven(problem)
    assert solve(problem).objective_s == pytest.approx(found.objective_s, rel=1e-6)


def test_a_bound_of_a_batch_is_a_proof_too() -> None:
    one = solve_batch([three_by_two(), three_by_two(edge_capacity=2.0)]).allocation(0)
    assert (one.status, one.method, one.bound_source) == ("optimal", Method.BATCH, BoundSource.LEAVES)
    assert one.is_optimal()


@pytest.mark.parametrize(
    ("field", "value"), [("status", "proven"), ("bound_source", "word of mouth"), ("method", "magic")]
)
def test_a_status_that_does_not_exist_is_refused(field: str, value: str) -> None:
    found = solve(three_by_two())
    with pytest.raises(ValueError, match=value):
        replace(found, **{field: value})


def test_methods_are_the_formulations_that_there_are() -> None:
    import megdt_opt.formulations

    files = {path.stem for path in Path(megdt_opt.formulations.__path__[0]).glob("[!_]*.py")}
    assert set(methods()) == files | {"auto", "prices", "enumerate", "greedy"}


@pytest.mark.parametrize("name", ["batch", "closed form", "PRICES", "alpha_fair"])
def test_what_is_no_route_of_this_problem_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="method"):
        solve(three_by_two(), name)


@pytest.mark.parametrize(
    ("problem", "method"),
    [
        pytest.param(shannon(), "prices", id="Shannon rates"),
        pytest.param(three_by_two("max"), "prices", id="linear rates"),
        pytest.param(three_by_two("mixed", max_weight=2.0), "prices", id="mixed"),
        pytest.param(three_by_two(), "enumerate", id="no certificate"),
    ],
)
def test_an_allocation_can_be_pickled(problem: AllocationProblem, method: str) -> None:
    found = solve(problem, method)
    again: Allocation = pickle.loads(pickle.dumps(found))
    assert again.option.tolist() == found.option.tolist()
    assert (again.objective_s, again.lower_bound_s, again.status) == (found.objective_s, found.lower_bound_s, "optimal")
    assert again.bound_source is found.bound_source
    assert again.is_proven(problem) == (method == "prices")


def test_processes_hand_allocations_back() -> None:
    rng = np.random.default_rng(3)
    users, options = 12, 24
    many = AllocationProblem(
        fixed_s=rng.uniform(0.1, 2.0, (users, options)),
        downlink_bit=rng.uniform(0.0, 1e6, (users, options)),
        uplink_bit=rng.uniform(0.0, 1e5, (users, options)),
        edge_work_s=rng.uniform(0.0, 0.5, (users, options)),
        downlink_hz=1e7,
        uplink_hz=1e7,
        edge_capacity=2.0,
        downlink_snr_hz=rng.uniform(1e7, 1e8, users),
        uplink_snr_hz=rng.uniform(1e7, 1e8, users),
        objective="sum",
    )
    with ProcessPoolExecutor(1) as pool:
        (found,) = pool.map(solve, [many])
    assert found.is_proven(many)


BAD: tuple[dict[str, Any], ...] = (
    *({"gap": value} for value in (-1e-9, math.nan, "1e-6", True)),
    *({"time_limit_s": value} for value in (0.0, math.inf, -3)),
)


class TestAsked:
    @pytest.mark.parametrize("bad", BAD, ids=str)
    @pytest.mark.parametrize("ask", [solve, shadow_prices, regret], ids=lambda f: f.__name__)
    def test_gap_and_time_limit_are_checked_everywhere(self, ask: Any, bad: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            ask(three_by_two(), **bad)

    @pytest.mark.parametrize("bad", [{"gap": -1.0}, {"time_limit_s": math.nan}])
    def test_by_those_that_take_more(self, bad: dict[str, Any]) -> None:
        problem = three_by_two()
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            replan(problem, [0, 0, 0], 0.0, **bad)
        with pytest.raises(InvalidInput, match=next(iter(bad))):
            solve_batch([problem], **bad)
