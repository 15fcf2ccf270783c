"""Certificates and answers of problems of turns: saved, read back, and refused where a number was altered."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutations import altered, at, holds, places
from random_turns import draw_turns

from megdt_opt import SequencedEdge, SequencedEdgeProblem, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Leaf

CASES = {
    "sum, together": (4, "sum"), "sum, together, Shannon": (28, "sum"), "sum, releases": (2, "sum"),
    "sum, groups": (11, "sum"), "max": (14, "max"), "max, Shannon": (13, "max"), "max, groups": (5, "max"),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> tuple[SequencedEdgeProblem, SequencedEdge]:
    number, objective = request.param
    problem = draw_turns(number, objective=objective)
    return problem, solve(problem, "prices", gap=1e-7)


def proof_of(case: tuple[SequencedEdgeProblem, SequencedEdge]) -> Certificate:
    assert case[1].certificate is not None
    return case[1].certificate


def test_comes_back_from_a_file(case: tuple[SequencedEdgeProblem, SequencedEdge], tmp_path: Path) -> None:
    proof_of(case).save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == proof_of(case).to_dict()
    assert again.verify(case[0]).holds


def test_a_raised_bound_is_refused(case: tuple[SequencedEdgeProblem, SequencedEdge]) -> None:
    problem, found = case
    for factor in (1 + 1e-6, 1.5, 100.0):
        raised = replace(proof_of(case), bound_s=found.objective_s * factor)
        assert not raised.verify(problem, exact=True).holds
        assert not raised.verify(problem, exact=False).holds
    for value in (math.nan, math.inf):
        assert not replace(proof_of(case), bound_s=value).verify(problem).holds


def test_no_altered_number_proves_more_than_the_truth(case: tuple[SequencedEdgeProblem, SequencedEdge]) -> None:
    problem, found = case
    data = json.loads(json.dumps(proof_of(case).to_dict()))
    every = [path for path in places(data) if path != ("bound_s",)]
    refused = 0
    for path in every[:: max(len(every) // 25, 1)]:
        value = at(data, path)
        for other in (value * 0.5, value + 1.0, -value - 1e-9, math.nan):
            changed = altered(data, path, other)
            if other == value:
                continue
            if holds(changed, problem):
                assert changed["bound_s"] <= found.objective_s * (1 + 1e-9)
            else:
                refused += 1
    assert refused > 0


BAD_LEAVES = {
    "too few": (1.0,), "an odd step": (1.0, 0.0, 0.0, 1.0), "an uplink's price": (1.0, 1.0, 0.0),
    "steps that go back": (1.0, 0.0, 0.0, 2.0, 1.0, 1.0, 1.0), "a step at 0": (1.0, 0.0, 0.0, 0.0, 1.0),
    "a height below 0": (1.0, 0.0, 0.0, 1.0, -1.0), "a height that is no number": (1.0, 0.0, 0.0, 1.0, math.nan),
    "an endless step": (1.0, 0.0, 0.0, math.inf, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_LEAVES)
def test_leaves_that_are_no_prices_are_refused(name: str) -> None:
    problem = draw_turns(2, objective="sum")
    verdict = Certificate("sum", 1e-3, Leaf(BAD_LEAVES[name])).verify(problem)
    assert not verdict.holds
    assert "leaf" in verdict.reason


def test_it_is_about_this_problem_alone(case: tuple[SequencedEdgeProblem, SequencedEdge]) -> None:
    problem, _ = case
    faster = replace(
        problem, edge_work_s=problem.edge_work_s / 4, release_s=problem.release_s / 4, after_s=problem.after_s / 4,
        downlink_hz=problem.downlink_hz * 8, prefix_work_s=None if problem.groups == 0 else problem.prefix_works / 4,
    )  # fmt: skip
    assert not proof_of(case).verify(faster, exact=True).holds
    other = replace(problem, objective="max" if problem.objective == "sum" else "sum")
    assert "another objective" in proof_of(case).verify(other).reason


REPORTED = ("start_s", "downlink_hz", "objective_s", "latency_s", "gap", "lower_bound_s", "prefix_start_s")


@pytest.mark.parametrize("name", REPORTED)
def test_an_altered_answer_is_not_as_it_says(case: tuple[SequencedEdgeProblem, SequencedEdge], name: str) -> None:
    problem, found = case
    assert found.residuals(problem).true
    if getattr(found, name) is None:
        pytest.skip("there are no groups")
    value = np.asarray(getattr(found, name), dtype=float)
    if name in ("gap", "lower_bound_s"):
        worse = value + 1e-3
    elif name == "objective_s":
        worse = value * (1 - 1e-6)
    else:
        if not np.nan_to_num(value).any():
            pytest.skip("nothing is decided here")
        worse = value * 1.01
    changed = replace(found, **{name: worse if value.ndim else float(worse)})
    assert not changed.residuals(problem).true


def test_another_order_is_not_as_it_says(case: tuple[SequencedEdgeProblem, SequencedEdge]) -> None:
    problem, found = case
    if found.order.size > 1:
        assert not replace(found, order=found.order[::-1].copy()).residuals(problem).true
    assert not replace(found, order=np.zeros(0, dtype=np.int64)).residuals(problem).true
