"""Certificates: verified, saved, and rejected when altered."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_problems import draw

from megdt_opt import InvalidInput, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.exact import log_bracket, sqrt_below
from megdt_opt.certificate.tree import Branch, Leaf

NUMBERS = (0, 1, 2, 3)


@given(st.fractions(min_value=0, max_value=10**12))
def test_square_roots_are_bracketed(value: Fraction) -> None:
    root = sqrt_below(value)
    assert root * root <= value
    if value > 0:
        assert (root * (1 + Fraction(1, 2**80))) ** 2 > value


@given(st.fractions(min_value=1, max_value=10**30))
def test_logarithms_are_bracketed(value: Fraction) -> None:
    low, high = log_bracket(value)
    reference = math.log1p(float(value - 1))
    assert float(low) <= reference * (1 + 1e-14)
    assert float(high) >= reference * (1 - 1e-14)
    assert high - low <= Fraction(1, 10**40)


@pytest.mark.parametrize("power", [3, 20, 40, 60])
def test_the_bend_of_the_logarithm_keeps_its_digits(power: int) -> None:
    """ln(1 + u) - u/(1 + u) = u^2/2 - 2u^3/3 + ...: what a Shannon rate far below its band's noise gains by band."""
    u = Fraction(3, 10**power)
    low, high = (bracket - u / (1 + u) for bracket in log_bracket(1 + u))
    series = sum(((-1) ** n * Fraction(n - 1, n) * u**n for n in range(2, 40)), Fraction(0))
    assert low <= series <= high
    assert high - low <= series / 10**30


@pytest.mark.parametrize("number", NUMBERS)
def test_verifies_exactly_and_in_floats(number: int) -> None:
    problem = draw(number, seed=6).problem
    found = solve(problem)
    assert found.certificate is not None
    for exact in (True, False):
        verdict = found.certificate.verify(problem, exact=exact)
        assert verdict.holds, verdict.reason
        assert verdict.exact == exact


def test_survives_saving(tmp_path: Path) -> None:
    problem = draw(1, seed=7).problem
    certificate = solve(problem).certificate
    assert certificate is not None
    certificate.save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == certificate.to_dict()
    assert again.verify(problem).holds


ONE = {"downlink": 1.0, "uplink": 1.0, "edge": 1.0}


def _leaf(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return next(node for node in nodes if "prices" in node)


def _raise_bound(data: dict[str, Any]) -> None:
    data["bound_s"] *= 1 + 1e-4


def _lower_prices(data: dict[str, Any]) -> None:
    leaf = _leaf(data["nodes"])
    leaf["prices"] = {name: p * 0.5 if data["objective"] == "sum" else p for name, p in leaf["prices"].items()}
    if data["objective"] == "max":
        most = "edge" if leaf["prices"]["edge"] < 0.5 else "uplink"
        leaf["prices"] = {name: 1.0 if name == most else 1e-6 for name in leaf["prices"]}


def _raise_prices(data: dict[str, Any]) -> None:
    leaf = _leaf(data["nodes"])
    leaf["prices"] = {name: p * 1.5 + (1e-3 if name == "uplink" else 0) for name, p in leaf["prices"].items()}
    if data["objective"] == "max":
        leaf["prices"]["downlink"] += 10.0


@pytest.mark.parametrize("change", [_raise_bound, _lower_prices, _raise_prices])
@pytest.mark.parametrize("number", [0, 1])
def test_an_altered_number_is_rejected(number: int, change: Callable[[dict[str, Any]], None]) -> None:
    problem = draw(number, seed=8, users=3, options=4).problem
    certificate = solve(problem, gap=1e-9).certificate
    assert certificate is not None
    data = copy.deepcopy(certificate.to_dict())
    change(data)
    assert not Certificate.from_dict(data).verify(problem).holds


def test_a_missing_option_is_rejected() -> None:
    for number in range(40):
        problem = draw(number, seed=9, users=3, options=5).problem
        certificate = solve(problem).certificate
        assert certificate is not None
        data = certificate.to_dict()
        at = next((i for i, node in enumerate(data["nodes"]) if "groups" in node), None)
        if at is None:
            continue
        broken = copy.deepcopy(data)
        broken["nodes"][at]["groups"][0] = broken["nodes"][at]["groups"][0][1:]
        assert "partition" in Certificate.from_dict(broken).verify(problem).reason
        twice = copy.deepcopy(data)
        twice["nodes"][at]["groups"][0].append(twice["nodes"][at]["groups"][1][0])
        assert "partition" in Certificate.from_dict(twice).verify(problem).reason
        return
    pytest.fail("no instance needed a branch")


def test_another_problem_is_rejected() -> None:
    problem = draw(1, seed=10).problem
    certificate = solve(problem).certificate
    assert certificate is not None
    cheaper = replace(problem, fixed_s=problem.fixed_s * 0.5, downlink_hz=problem.downlink_hz * 2)
    assert not certificate.verify(cheaper).holds
    assert not certificate.verify(replace(problem, objective="max")).holds


@pytest.mark.parametrize(
    "nodes",
    [
        [],
        [{"user": 0, "groups": [[0], [1]]}],
        [{"prices": ONE}, {"prices": ONE}],
        [{"prices": [1, 1, 1]}],
        [{"prices": {"downlink": 1, "uplink": 1}}],
        [{"prices": {**ONE, "edge": -1}}],
        [{"user": 0, "groups": []}],
        [{"user": 0}],
        3,
    ],
)
def test_broken_trees_are_refused(nodes: Any) -> None:
    with pytest.raises(InvalidInput):
        Certificate.from_dict({"format": "megdt-opt certificate 3", "objective": "sum", "bound_s": 1.0, "nodes": nodes})


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"bound_s": "1"}, "certificate.bound_s: found '1'", "a finite number [s]"),
        ({"bound_s": True}, "certificate.bound_s: found True", "a finite number [s]"),
        ({"bound_s": None}, "certificate.bound_s: found None", "a finite number [s]"),
        ({"format": None}, "certificate.format: found None", "'megdt-opt certificate 3'"),
        ({"format": ["a"]}, "certificate.format: found ['a']", "'megdt-opt certificate 3'"),
        ({"objective": 1}, "certificate.objective: found 1", "as text"),
        ({"auditor": "me"}, "certificate.auditor: found 'an unknown field'", "format, objective, bound_s, nodes"),
        ({"nodes": None}, "certificate: nodes: found None", "a list of nodes"),
        ({"nodes": [None]}, "certificate: nodes[0]: found None", "prices, at_most, user"),
        ({"nodes": [{"prices": None}]}, "nodes[0].prices: found None", "prices of downlink, uplink, edge"),
        ({"nodes": [{"prices": {**ONE, "edge": "1"}}]}, "nodes[0].prices.edge: found ['1']", "finite numbers"),
        ({"nodes": [{"prices": {**ONE, "edge": True}}]}, "nodes[0].prices.edge: found [True]", "finite numbers"),
        ({"nodes": [{"prices": ONE, "counts": 1}]}, "nodes[0].counts: found 1", "finite numbers"),
        ({"nodes": [{"prices": ONE, "remark": 1}]}, "nodes[0].remark: found 'an unknown field'", "prices, removed"),
        ({"nodes": [{"prices": ONE, "removed": [0]}]}, "nodes[0].removed: found [0]", "list of its options"),
        ({"nodes": [{"user": "0", "groups": [[0]]}]}, "nodes[0].user: found ['0']", "integers of at least 0"),
        ({"nodes": [{"user": 0, "groups": [0]}]}, "nodes[0].groups: found 0", "integers of at least 0"),
        ({"nodes": [{"user": 0}]}, "nodes[0].groups: found None", "the field beside user"),
        ({"nodes": [{"at_most": 1.5, "users": [0], "options": [0]}]}, "nodes[0].at_most: found [1.5]", "integers"),
        ({"nodes": [{"prices": ONE}] * 2}, "nodes[1]: found 'a node'", "the tree is complete"),
        ({"nodes": []}, "nodes: found '0 nodes'", "more nodes"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(change: dict[str, Any], field: str, expected: str) -> None:
    data = {"format": "megdt-opt certificate 3", "objective": "sum", "bound_s": 1.0, "nodes": [{"prices": ONE}]}
    assert Certificate.from_dict(data).bound_s == 1.0
    with pytest.raises(InvalidInput) as caught:
        Certificate.from_dict(data | change)
    found, _, rest = str(caught.value).partition("; expected ")
    assert field in found
    assert expected in rest
    assert "object" not in rest.replace("objective", "")


@pytest.mark.parametrize("missing", ["format", "objective", "bound_s", "nodes"])
def test_a_missing_field_is_named(missing: str) -> None:
    data = {"format": "megdt-opt certificate 3", "objective": "sum", "bound_s": 1.0, "nodes": [{"prices": ONE}]}
    del data[missing]
    with pytest.raises(InvalidInput, match=rf"^certificate\.{missing}: found None; expected"):
        Certificate.from_dict(data)
    for other in (None, "text", [data], 3):
        with pytest.raises(InvalidInput, match="^certificate: found .*a mapping of format"):
            Certificate.from_dict(other)


def test_a_deep_tree_is_saved_whole(tmp_path: Path) -> None:
    tree: Branch | Leaf = Leaf((1.0, 1.0, 1.0))
    for user in range(5000):
        tree = Branch(user, ((0,), (1,)), [Leaf((1.0, 1.0, 1.0)), tree])
    path = tmp_path / "deep.json"
    Certificate("sum", 1.0, tree).save(path)
    assert len(Certificate.load(path).to_dict()["nodes"]) == 10_001


@pytest.mark.parametrize("text", ["", "{", "{}", '{"format": "other"}', '{"format": "megdt-opt certificate 2"}'])
def test_broken_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "proof.json"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        Certificate.load(path)


def test_format_2_is_read_in_its_own_order() -> None:
    """Its prices were lists in the order uplink, edge, downlink."""
    for number in range(4):
        problem = draw(number, seed=8, users=3, options=4).problem
        certificate = solve(problem, gap=1e-9).certificate
        assert certificate is not None
        data = certificate.to_dict()
        for node in data["nodes"]:
            if "prices" in node:
                node["prices"] = [node["prices"][name] for name in ("uplink", "edge", "downlink")]
        old = Certificate.from_dict({**data, "format": "megdt-opt certificate 2"})
        assert old.to_dict() == certificate.to_dict()
        assert old.verify(problem).holds


def test_negative_prices_are_refused() -> None:
    data = {
        "format": "megdt-opt certificate 2",
        "objective": "sum",
        "bound_s": 1.0,
        "nodes": [{"prices": [-1, 0, 0]}],
    }
    with pytest.raises(InvalidInput):
        Certificate.from_dict(json.loads(json.dumps(data)))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("bound_s", "1", "bound"),
        ("bound_s", True, "bound"),
        ("bound_s", None, "bound"),
        ("bound_s", np.array([1.0, 2.0]), "bound"),
        ("objective", np.array(["max", "sum"]), "objective"),
        ("budgets", "3", "budgets"),
        ("source", None, "node"),
        ("source", "tree", "node"),
    ],
)
def test_a_part_of_another_type_proves_nothing(field: str, value: Any, said: str) -> None:
    problem = draw(0, seed=8, users=3, options=4).problem
    certificate = solve(problem).certificate
    assert certificate is not None
    verdict = replace(certificate, **{field: value}).verify(problem)
    assert not verdict.holds
    assert said in verdict.reason
