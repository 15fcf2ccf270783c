"""Certificates and answers of placement problems: saved, read back, and refused where a number was altered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutations import proves_no_more_than_the_truth, refuses_raised_bounds
from random_placements import draw_placement

from megdt_opt import Placement, PlacementProblem, solve
from megdt_opt.certificate.certificate import Certificate

CASES = {"sum": 13, "max": 8, "sum, models": 5, "max, models": 20, "sum, Shannon": 7, "max, Shannon": 22}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> tuple[PlacementProblem, Placement]:
    problem = draw_placement(request.param)
    return problem, solve(problem, gap=1e-7)


def test_comes_back_from_a_file(case: tuple[PlacementProblem, Placement], tmp_path: Path) -> None:
    problem, found = case
    assert found.certificate is not None
    found.certificate.save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == found.certificate.to_dict()
    assert again.verify(problem).holds


def test_a_raised_bound_is_refused(case: tuple[PlacementProblem, Placement]) -> None:
    problem, found = case
    assert found.certificate is not None
    refuses_raised_bounds(found.certificate, problem, found.objective_s)


def test_no_altered_number_proves_more_than_the_truth(case: tuple[PlacementProblem, Placement]) -> None:
    problem, found = case
    assert found.certificate is not None
    proves_no_more_than_the_truth(found.certificate, problem, found.objective_s)


def test_it_is_about_this_problem_alone(case: tuple[PlacementProblem, Placement]) -> None:
    problem, found = case
    assert found.certificate is not None
    better = replace(problem, downlink_hz=problem.downlink_hz * 4, uplink_hz=problem.uplink_hz * 4,
                     edge_capacity=problem.capacities * 4, fixed_s=problem.fixed_s / 2)  # fmt: skip
    assert not found.certificate.verify(better, exact=True).holds
    other = replace(problem, objective="max" if problem.objective == "sum" else "sum")
    assert "another objective" in found.certificate.verify(other).reason


REPORTED = ("downlink_hz", "uplink_hz", "edge_share", "objective_s", "latency_s", "gap", "lower_bound_s")


@pytest.mark.parametrize("name", REPORTED)
def test_an_altered_answer_is_not_proven(case: tuple[PlacementProblem, Placement], name: str) -> None:
    problem, found = case
    assert found.is_proven(problem, 1e-7)
    value = np.asarray(getattr(found, name), dtype=float)
    if name in ("gap", "lower_bound_s"):
        worse = value + 1e-3
    elif name == "objective_s":
        worse = value * (1 - 1e-6)
    else:
        if not value.any():
            pytest.skip("nothing is shared here")
        worse = value * 1.01
    changed = replace(found, **{name: worse if value.ndim else float(worse)})
    assert not changed.is_proven(problem, 1.0)


def test_another_option_or_another_placement_is_not_proven(case: tuple[PlacementProblem, Placement]) -> None:
    problem, found = case
    option = found.option.copy()
    option[0] = (option[0] + 1) % problem.options
    assert not replace(found, option=option).is_proven(problem, 1e-7)
    if found.placed is not None and (problem.option_server[np.arange(problem.users), found.option] >= 0).any():
        assert not replace(found, placed=np.zeros_like(found.placed)).is_proven(problem, 1e-7)
