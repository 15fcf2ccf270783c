"""Certificates of groups that were formed: saved, read back, and refused where a number was altered."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import proves_no_more_than_the_truth, refuses_raised_bounds
from random_prefixes import random_groupings

from megdt_opt import SharedPrefix, SharedPrefixProblem, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Count, Cut, Leaf

CASES: dict[str, dict[str, Any]] = {
    "sum, phased": {"objective": "sum"},
    "sum, separate, limits": {"objective": "sum", "reserve": "separate", "limits": True},
    "max, phased": {"objective": "max"},
    "max, separate, Shannon": {"objective": "max", "reserve": "separate", "law": "shannon"},
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[SharedPrefixProblem, SharedPrefix]:
    problem = random_groupings(4, 4, size=2, near=1.0, cuts=(10,), **CASES[request.param])
    return problem, solve(problem, gap=1e-7)


def test_comes_back_from_a_file(case: tuple[SharedPrefixProblem, SharedPrefix], tmp_path: Path) -> None:
    problem, found = case
    assert found.certificate is not None
    found.certificate.save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == found.certificate.to_dict()
    assert again.verify(problem, exact=True).holds


def test_a_raised_bound_is_refused(case: tuple[SharedPrefixProblem, SharedPrefix]) -> None:
    problem, found = case
    assert found.certificate is not None
    refuses_raised_bounds(found.certificate, problem, found.objective_s)


@pytest.mark.long_list(of=2)
def test_no_altered_number_proves_more_than_the_truth(case: tuple[SharedPrefixProblem, SharedPrefix]) -> None:
    problem, found = case
    assert found.certificate is not None
    proves_no_more_than_the_truth(found.certificate, problem, found.objective_s)


def test_it_is_about_this_problem_alone(case: tuple[SharedPrefixProblem, SharedPrefix]) -> None:
    problem, found = case
    assert found.certificate is not None
    better = replace(problem, downlink_hz=problem.downlink_hz * 4, uplink_hz=problem.uplink_hz * 4,
                     edge_capacity=problem.edge_capacity * 4, fixed_s=problem.fixed_s / 2)  # fmt: skip
    assert not found.certificate.verify(better, exact=True).holds
    if problem.objective == "max":
        larger = replace(problem, group_size_max=4)
        best = solve(larger, gap=1e-7)
        if best.objective_s < found.objective_s * (1 - 1e-6):
            assert not found.certificate.verify(larger, exact=True).holds


@pytest.mark.parametrize("name", ["downlink_hz", "uplink_hz", "edge_share", "trunk_edge_share", "multicast_hz"])
def test_an_altered_answer_is_not_proven(case: tuple[SharedPrefixProblem, SharedPrefix], name: str) -> None:
    problem, found = case
    assert found.is_proven(problem, 1e-7)
    value = np.asarray(getattr(found, name), dtype=float)
    if not value.any():
        pytest.skip("nothing is shared here")
    assert not replace(found, **{name: value * 0.3}).is_proven(problem, 1.0)


def test_other_groups_are_not_proven(case: tuple[SharedPrefixProblem, SharedPrefix]) -> None:
    problem, found = case
    if not found.trunk.size:
        pytest.skip("nobody shares here")
    all_in_one = replace(found, group=np.zeros(4, np.int64), trunk=found.trunk[:1], trunk_uplink_hz=np.ones(1),
                         trunk_edge_share=np.ones(1), multicast_hz=np.ones(1))  # fmt: skip
    assert problem.evaluate(all_in_one).violation == math.inf
    assert not all_in_one.is_proven(problem, 1.0)
    swapped = found.group[[1, 0, 2, 3]] if found.group[0] != found.group[1] else found.group[[2, 1, 0, 3]]
    assert not replace(found, group=swapped).is_proven(problem, 1e-7)


def test_cuts_that_partitions_do_not_keep_are_refused() -> None:
    """Each would prove more than the truth if it were believed."""
    problem = random_groupings(4, 4, size=2, near=1.0, cuts=(10,))
    found = solve(problem)
    assert found.certificate is not None
    leaf = Leaf((*np.ones(3).tolist(), *np.full(4, 1e3).tolist()))
    for cut in (
        Cut((0, 1, 2), 1, 1e3), Cut((0, 0, 1), 2, 1e3), Cut((0, 1, 9), 2, 1e3), Cut((0, 1, 2), 2, -1e3),
        Cut((-1, 0, 1), 2, 1e3), Cut((), 0, 1.0),
    ):  # fmt: skip
        verdict = Certificate("sum", found.objective_s * 2, replace(leaf, cuts=(cut,))).verify(problem, exact=True)
        assert "cut" in verdict.reason
    fair = Certificate("sum", found.objective_s * 2, replace(leaf, cuts=(Cut((0, 1, 2), 2, 1e3),)))
    assert "less than the bound" in fair.verify(problem, exact=True).reason


def test_other_numbers_than_one_for_each_user_are_refused() -> None:
    problem = random_groupings(4, 4, size=2, near=1.0, cuts=(10,))
    for prices in ((1.0, 1.0, 1.0), (1.0,) * 6, (-1.0,) + (1.0,) * 6):
        assert "one for each user" in Certificate("sum", 1.0, Leaf(prices)).verify(problem).reason
    counted = Count((0, 1), (0,), 0, [Leaf((1.0,) * 7, (1.0,)), Leaf((1.0,) * 7, (1.0,))])
    assert "counts" in Certificate("sum", 1.0, counted).verify(problem).reason


def test_many_patterns_are_checked_in_floats_unless_exactness_is_asked_for() -> None:
    problem = random_groupings(1, 24, near=1.0)
    found = solve(problem, "greedy")
    assert found.certificate is not None
    verdict = found.certificate.verify(problem)
    assert verdict.holds
    assert not verdict.exact
    assert solve(random_groupings(1, 4)).certificate.verify(random_groupings(1, 4)).exact
