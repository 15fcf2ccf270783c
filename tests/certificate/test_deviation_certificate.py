"""Certificates of the worst case: saved, read back, and refused where a number was altered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mutations import proves_no_more_than_the_truth, refuses_raised_bounds
from random_deviations import draw_deviations
from random_samples import draw_samples

from megdt_opt import Allocation, AllocationProblem, solve
from megdt_opt.certificate.certificate import Certificate

CASES = {"sum": 8, "max": 3, "sum, Shannon": 20, "max, caps and branches": 9, "sum, air time": 14, "max, deadlines": 17}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> tuple[AllocationProblem, Allocation]:
    problem = draw_deviations(request.param, seed=4)
    return problem, solve(problem, gap=1e-7)


@pytest.mark.long_list(of=2)
def test_comes_back_from_a_file(case: tuple[AllocationProblem, Allocation], tmp_path: Path) -> None:
    problem, found = case
    assert found.certificate is not None
    found.certificate.save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == found.certificate.to_dict()
    assert again.verify(problem).holds


def test_a_raised_bound_is_refused(case: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = case
    assert found.certificate is not None
    refuses_raised_bounds(found.certificate, problem, found.objective_s)


def test_no_altered_number_proves_more_than_the_truth(case: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = case
    assert found.certificate is not None
    proves_no_more_than_the_truth(found.certificate, problem, found.objective_s)


def test_it_proves_less_of_a_larger_budget_and_nothing_of_a_smaller_one(
    case: tuple[AllocationProblem, Allocation],
) -> None:
    problem, found = case
    assert found.certificate is not None
    assert problem.deviation_budget is not None
    larger = replace(problem, deviation_budget=problem.deviation_budget + 0.1)
    assert found.certificate.verify(larger).holds  # the worst case of more deviations is no better
    nominal = replace(problem, deviation_budget=0.0)
    best = solve(nominal, gap=1e-7)
    assert found.lower_bound_s > best.objective_s
    assert not found.certificate.verify(nominal).holds


@pytest.fixture(scope="module", params=[8, 1, 3, 5], ids=["sum", "max", "max, more", "max, deadlines"])
def sampled(request: pytest.FixtureRequest) -> tuple[AllocationProblem, Allocation]:
    problem = draw_samples(request.param, seed=4)
    return problem, solve(problem, gap=1e-7)


def test_a_raised_bound_of_samples_is_refused(sampled: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = sampled
    assert found.certificate is not None
    refuses_raised_bounds(found.certificate, problem, found.objective_s)


def test_no_altered_number_proves_more_of_samples(sampled: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = sampled
    assert found.certificate is not None
    proves_no_more_than_the_truth(found.certificate, problem, found.objective_s)
