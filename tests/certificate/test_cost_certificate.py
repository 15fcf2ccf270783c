"""Certificates and answers of problems with costs: saved, read back, and refused where a number was altered."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutations import proves_no_more_than_the_truth, refuses_raised_bounds
from random_costs import draw_costs

from megdt_opt import Allocation, AllocationProblem, InvalidInput, solve
from megdt_opt.certificate.certificate import Certificate

CASES = {
    "sum, limits": 6, "max, limits": 1, "sum, weights": 2, "max, weights": 3, "sum, both": 4, "max, both": 11,
    "sum, Shannon": 10, "max, Shannon": 5,
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> tuple[AllocationProblem, Allocation]:
    problem = draw_costs(request.param, seed=4)
    return problem, solve(problem, gap=1e-7)


def test_comes_back_from_a_file(case: tuple[AllocationProblem, Allocation], tmp_path: Path) -> None:
    problem, found = case
    assert found.certificate is not None
    found.certificate.save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == found.certificate.to_dict()
    assert again.verify(problem).holds
    assert pickle.loads(pickle.dumps(found.certificate)).verify(problem).holds
    limited = 0 if problem.cost_max is None else int(np.isfinite(problem.cost_max).sum())
    assert again.costs == limited
    leaves = [node for node in again.to_dict()["nodes"] if "prices" in node]
    assert all(len(node.get("costs", ())) == limited for node in leaves)


def test_a_raised_bound_is_refused(case: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = case
    assert found.certificate is not None
    refuses_raised_bounds(found.certificate, problem, found.objective_s)


def test_no_altered_number_proves_more_than_the_truth(case: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = case
    assert found.certificate is not None
    proves_no_more_than_the_truth(found.certificate, problem, found.objective_s)


def test_it_is_about_this_problem_alone(case: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = case
    assert found.certificate is not None
    better = replace(problem, downlink_hz=problem.downlink_hz * 4, uplink_hz=problem.uplink_hz * 4,
                     edge_capacity=problem.edge_capacity * 4, fixed_s=problem.fixed_s / 2,
                     option_cost=problem.option_cost / 2)  # fmt: skip
    assert not found.certificate.verify(better, exact=True).holds
    for other in (
        replace(problem, objective="max" if problem.objective == "sum" else "sum"),
        replace(problem, option_cost=None, cost_max=None, cost_weight_s=None, fixed_s=problem.fixed_s / 2),
    ):
        assert not found.certificate.verify(other, exact=True).holds


def test_a_proof_is_refused_where_looser_limits_or_lower_weights_make_the_optimum_fall() -> None:
    fell = 0
    for number in range(1, 12):
        problem = draw_costs(number, seed=4)
        found = solve(problem, gap=1e-7)
        assert found.certificate is not None
        looser = replace(
            problem, cost_max=None if problem.cost_max is None else problem.cost_max * 3,
            cost_weight_s=None if problem.cost_weight_s is None else problem.cost_weight_s / 3,
        )  # fmt: skip
        again = solve(looser, gap=1e-7)
        if again.objective_s < found.objective_s * (1 - 1e-6):
            fell += 1
            assert not found.certificate.verify(looser, exact=True).holds
    assert fell >= 6


REPORTED = ("downlink_hz", "uplink_hz", "edge_share", "objective_s", "latency_s", "gap", "lower_bound_s")


@pytest.mark.parametrize("name", REPORTED)
def test_an_altered_answer_is_not_proven(case: tuple[AllocationProblem, Allocation], name: str) -> None:
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


def test_another_option_is_not_proven(case: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = case
    for user in range(problem.users):
        option = found.option.copy()
        option[user] = (option[user] + 1) % problem.options
        assert not replace(found, option=option).is_proven(problem, 1e-7)


@pytest.mark.parametrize("costs", [[-1.0], [math.nan], ["much"], 3.0], ids=["negative", "no number", "text", "no list"])
def test_prices_of_costs_that_are_none_are_refused_by_their_place(costs: object) -> None:
    found = solve(draw_costs(6, seed=4)).certificate
    assert found is not None
    data = json.loads(json.dumps(found.to_dict()))
    data["nodes"][-1]["costs"] = costs
    with pytest.raises(InvalidInput, match="costs"):
        Certificate.from_dict(data)
