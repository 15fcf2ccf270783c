"""Certificates and answers of programs: saved, read back, and refused where a number was altered."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutations import altered, at, holds, places, refuses_raised_bounds
from random_programs import draw_program

from megdt_opt import Program, ProgramProblem, solve
from megdt_opt.certificate.certificate import Certificate

CASES = {"sum": 8, "max": 1, "sum, Shannon": 22, "max, Shannon": 19, "sum, caps": 24, "max, caps": 33}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> tuple[ProgramProblem, Program]:
    problem = draw_program(request.param)
    return problem, solve(problem, gap=1e-7)


def test_comes_back_from_a_file(case: tuple[ProgramProblem, Program], tmp_path: Path) -> None:
    problem, found = case
    assert found.certificate is not None
    found.certificate.save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == found.certificate.to_dict()
    assert again.verify(problem).exact
    assert again.verify(problem).holds
    assert again.verify(problem, exact=False).holds


def test_it_carries_the_flows(case: tuple[ProgramProblem, Program]) -> None:
    problem, found = case
    assert found.certificate is not None
    nodes = json.loads(json.dumps(found.certificate.to_dict()))["nodes"]
    leaves = [node for node in nodes if "prices" in node]
    assert all(node["multipliers"] for node in leaves)
    short = [{k: v[:-1] if k == "multipliers" else v for k, v in node.items()} for node in nodes]
    data = {**found.certificate.to_dict(), "nodes": short}
    assert "of flows" in Certificate.from_dict(data).verify(problem).reason


def test_a_raised_bound_is_refused(case: tuple[ProgramProblem, Program]) -> None:
    problem, found = case
    assert found.certificate is not None
    refuses_raised_bounds(found.certificate, problem, found.objective_s)


@pytest.mark.long_list(of=2)
def test_no_altered_number_proves_more_than_the_truth(case: tuple[ProgramProblem, Program]) -> None:
    problem, found = case
    assert found.certificate is not None
    data = json.loads(json.dumps(found.certificate.to_dict()))
    refused = of_flows = 0
    found_places = list(places(data))
    for path in found_places[:: 1 + len(found_places) // 80]:
        value = at(data, path)
        for other in (value * 0.5, value * 1.5, value + 1.0, -value - 1e-9, math.nan):
            changed = altered(data, path, other)
            if other == value or path == ("bound_s",):
                continue
            if holds(changed, problem):
                assert changed["bound_s"] <= found.objective_s * (1 + 1e-9)
            else:
                refused += 1
                of_flows += "multipliers" in path and other > 0
    assert refused > 0
    assert of_flows > 0


def test_any_flow_proves_a_bound(case: tuple[ProgramProblem, Program]) -> None:
    problem, found = case
    assert found.certificate is not None
    draw = np.random.default_rng(0)
    data = json.loads(json.dumps(found.certificate.to_dict()))
    for size in (0.0, 1e-3, 1.0, 1e3):
        changed = json.loads(json.dumps(data))
        for node in changed["nodes"]:
            if "multipliers" in node:
                node["multipliers"] = (size * draw.random(len(node["multipliers"]))).tolist()
        # with flows at random less is proven, and never more than the truth
        assert not holds({**changed, "bound_s": found.objective_s * (1 + 1e-8)}, problem)
        again = Certificate.from_dict(changed)
        assert again.verify(problem, exact=True).reason in ("", *SHORT)


SHORT = ("a leaf proves less than the bound", "a leaf does not rule out the bound's level")


def test_it_is_about_this_problem_alone(case: tuple[ProgramProblem, Program]) -> None:
    problem, found = case
    assert found.certificate is not None
    better = replace(problem, downlink_hz=problem.downlink_hz * 4, uplink_hz=problem.uplink_hz * 4,
                     edge_capacity=problem.edge_capacity * 4, fixed_s=problem.fixed_s / 2)  # fmt: skip
    assert not found.certificate.verify(better, exact=True).holds
    other = replace(problem, objective="max" if problem.objective == "sum" else "sum")
    assert "another objective" in found.certificate.verify(other).reason


REPORTED = ("downlink_hz", "uplink_hz", "edge_share", "part", "objective_s", "latency_s", "gap", "lower_bound_s")


@pytest.mark.parametrize("name", REPORTED)
def test_an_altered_answer_is_not_proven(case: tuple[ProgramProblem, Program], name: str) -> None:
    problem, found = case
    assert found.is_proven(problem, 1e-7)
    value = np.asarray(getattr(found, name), dtype=float)
    if name in ("gap", "lower_bound_s"):
        worse = value + 1e-3
    elif name == "objective_s":
        worse = value * (1 - 1e-6)
    else:
        if not value.any() or (name == "part" and not problem.amounts[:, np.arange(problem.users), found.option].any()):
            pytest.skip("nothing is shared here")
        worse = value * 1.01
    changed = replace(found, **{name: worse if value.ndim else float(worse)})
    assert not changed.is_proven(problem, 1.0)


def test_another_option_is_not_proven(case: tuple[ProgramProblem, Program]) -> None:
    problem, found = case
    if problem.options == 1:
        pytest.skip("there is no other")
    option = found.option.copy()
    option[0] = (option[0] + 1) % problem.options
    assert not replace(found, option=option).is_proven(problem, 1e-7)
