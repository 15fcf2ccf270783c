"""Certificates and answers of shared prefixes: saved, read back, and refused where a number was altered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import proves_no_more_than_the_truth, refuses_raised_bounds
from random_prefixes import foreign_prefixes, random_prefixes

from megdt_opt import SharedPrefix, SharedPrefixProblem, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Count, Leaf

CASES: dict[str, dict[str, Any]] = {
    "sum, phased": {"objective": "sum"},
    "sum, separate": {"objective": "sum", "reserve": "separate"},
    "sum, limits": {"objective": "sum", "limits": True, "hosts": True},
    "max, phased": {"objective": "max"},
    "max, separate, Shannon": {"objective": "max", "reserve": "separate", "law": "shannon"},
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[SharedPrefixProblem, SharedPrefix]:
    problem = random_prefixes(4, (3,), cuts=(10,), **CASES[request.param])
    return problem, solve(problem, gap=1e-7)


def test_comes_back_from_a_file(case: tuple[SharedPrefixProblem, SharedPrefix], tmp_path: Path) -> None:
    problem, found = case
    assert found.certificate is not None
    found.certificate.save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == found.certificate.to_dict()
    assert again.verify(problem).holds


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
    other = replace(problem, objective="max" if problem.objective == "sum" else "sum")
    assert "another objective" in found.certificate.verify(other).reason


REPORTED = (
    "downlink_hz", "uplink_hz", "edge_share", "multicast_hz", "trunk_uplink_hz", "trunk_edge_share", "objective_s",
    "latency_s", "gap", "lower_bound_s",
)  # fmt: skip


@pytest.mark.long_list("name", of=5)
@pytest.mark.parametrize("name", REPORTED)
def test_an_altered_answer_is_not_proven(case: tuple[SharedPrefixProblem, SharedPrefix], name: str) -> None:
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
        worse = value * 0.3
    changed = replace(found, **{name: worse if value.ndim else float(worse)})
    assert not changed.is_proven(problem, 1.0)


def test_another_option_or_trunk_is_not_proven(case: tuple[SharedPrefixProblem, SharedPrefix]) -> None:
    problem, found = case
    option = found.option.copy()
    option[0] = (option[0] + 1) % problem.options
    assert not replace(found, option=option).is_proven(problem, 1e-7)
    if problem.trunks > 1 and (problem.rides[np.arange(problem.users), found.option] > 0).any():
        other = np.where(found.trunk >= 0, (found.trunk + 1) % problem.trunks, -1)
        assert not replace(found, trunk=other).is_proven(problem, 1e-7)
        assert not replace(found, trunk=np.full_like(found.trunk, -1)).is_proven(problem, 1e-7)


def test_limits_on_counts_prove_nothing_here() -> None:
    problem = random_prefixes(4, (2,), alone=1, cuts=(10,))
    found = solve(problem)
    assert found.certificate is not None
    prices = found.certificate.to_dict()["nodes"][0]["prices"]
    counted = Count((0, 1), (0,), 0, [Leaf(tuple(prices.values()), (1e6,)), Leaf(tuple(prices.values()), (1e6,))])
    verdict = Certificate("sum", found.objective_s * 2, counted).verify(problem)
    assert "counts" in verdict.reason


@pytest.mark.parametrize("seed", [4, 22, 34])
def test_a_rise_without_limit_is_no_number_too_large(seed: int) -> None:
    """What no choice of a part can be in: its rise is infinite."""
    problem = foreign_prefixes(seed)
    found = solve(problem)
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=True).holds


@pytest.mark.parametrize("weight", [None, [1.0, 1.0], [2.0, 1.0], [3.0, 2.0]])
@pytest.mark.parametrize("reserve", ["phased", "separate"])
def test_whole_weights_are_no_numbers_of_options(weight: list[float] | None, reserve: str) -> None:
    """What is kept of riders and of trunks stays apart, whatever numbers users, options and weights have."""
    two = np.zeros((2, 2))
    tables = {
        "fixed_s": [[6.0, 1.0]] * 2, "edge_work_s": two, "uplink_bit": two, "downlink_bit": two, "rides": [[0, 1]] * 2,
        "trunk_fixed_s": [0.0], "trunk_uplink_bit": [5e5], "trunk_edge_work_s": [1.0], "multicast_bit": [0.0],
        "compatible": np.ones((2, 2, 1), bool), "downlink_hz": 1e6, "uplink_hz": 1e6, "uplink_efficiency": [1.0, 1.0],
        "trunk_uplink_efficiency": [1.0], "objective": "sum", "weight": weight, "reserve": reserve,
    }  # fmt: skip
    for groups in ({"group": [0, 0], "trunk_group": [0]}, FORMED):
        problem = SharedPrefixProblem(**tables, **groups)
        found = solve(problem)
        assert found.certificate is not None
        assert found.certificate.verify(problem, exact=True).holds
        assert found.objective_s == pytest.approx(2.5 * (sum(weight) if weight else 2.0))


FORMED = {"similarity": np.ones((2, 2)), "similarity_min": 0.5, "group_size_max": 2}
