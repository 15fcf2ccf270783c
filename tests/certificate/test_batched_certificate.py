"""Certificates and answers of batched edges: saved, read back, and refused where a number was altered."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutations import altered, at, holds, places
from random_batches import draw_batches

from megdt_opt import BatchedEdgeProblem, InvalidInput, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.quality import QualityCertificate
from megdt_opt.certificate.tree import Branch, Leaf, Part, Prune
from megdt_opt.pricing.batched_times import TimePrices

CASES = {
    "sum": ("sum", 0), "sum, Shannon": ("sum", 2), "sum, cuts in between": ("sum", 17), "sum, two leaves": ("sum", 9),
    "max": ("max", 0), "max, Shannon": ("max", 5), "max, cuts forbidden": ("max", 1), "max, hand-overs": ("max", 3),
}  # fmt: skip
QUALITY = {"linear": 0, "Shannon": 2, "cuts forbidden": 1, "late start": 12}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> tuple[BatchedEdgeProblem, Any]:
    objective, number = request.param
    problem = draw_batches(number, objective)
    return problem, solve(problem, "prices", gap=1e-7)


@pytest.fixture(scope="module", params=QUALITY.values(), ids=QUALITY)
def scored(request: pytest.FixtureRequest) -> tuple[BatchedEdgeProblem, Any]:
    problem = draw_batches(request.param, "quality")
    return problem, solve(problem, "prices", gap=1e-7)


def test_comes_back_from_a_file(case: tuple[BatchedEdgeProblem, Any], tmp_path: Path) -> None:
    problem, found = case
    found.certificate.save(tmp_path / "proof.json")
    again = Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == found.certificate.to_dict()
    assert again.verify(problem).holds


def test_a_raised_bound_is_refused(case: tuple[BatchedEdgeProblem, Any]) -> None:
    problem, found = case
    for bound in (found.objective_s * (1 + 1e-9), found.objective_s * 1.5, math.nan, math.inf):
        assert not replace(found.certificate, bound_s=bound).verify(problem, exact=True).holds
        assert not replace(found.certificate, bound_s=bound * (1 + 1e-9)).verify(problem, exact=False).holds
    if found.gap > 1e-6:  # what is proven is not far below what the prices prove
        assert not replace(found.certificate, bound_s=found.lower_bound_s * (1 + 1e-4)).verify(problem).holds


@pytest.mark.long_list(of=4)
def test_no_altered_number_proves_more_than_the_truth(case: tuple[BatchedEdgeProblem, Any]) -> None:
    problem, found = case
    data = json.loads(json.dumps(found.certificate.to_dict()))
    refused = 0
    rng = np.random.default_rng(0)
    every = [path for path in places(data) if path != ("bound_s",)]
    for n in rng.permutation(len(every))[:20]:
        number = at(data, every[n])
        for other in (number * 0.5, number * 1.5, number + 1.0, -number - 1e-9, math.nan):
            changed = altered(data, every[n], other)
            if other == number:
                continue
            if holds(changed, problem):
                assert changed["bound_s"] <= found.objective_s * (1 + 1e-9)
            else:
                refused += 1
    assert refused > 0


def test_it_is_about_this_problem_alone(case: tuple[BatchedEdgeProblem, Any]) -> None:
    problem, found = case
    better = replace(
        problem, step_slope_s=problem.step_slope_s / 2, step_base_s=problem.step_base_s / 2, edge_start_s=0.0,
        device_step_s=problem.steps_s / 2, after_s=problem.rest_s / 2, downlink_hz=problem.downlink_hz * 4,
    )  # fmt: skip
    assert not found.certificate.verify(better, exact=True).holds
    other = replace(problem, objective="max" if problem.objective == "sum" else "sum")
    assert "another objective" in found.certificate.verify(other).reason


@pytest.mark.long_list("name", of=4)
@pytest.mark.parametrize("name", ["downlink_hz", "objective_s", "latency_s", "gap", "lower_bound_s", "cut", "batches"])
def test_an_altered_answer_is_not_proven(case: tuple[BatchedEdgeProblem, Any], name: str) -> None:
    problem, found = case
    assert found.is_proven(problem, 1.0)
    worse: Any
    if name == "batches":
        worse = found.batches[1:]
    elif name == "cut":
        worse = (found.cut + 1) % (problem.steps + 1)
    else:
        worse = np.asarray(getattr(found, name), dtype=float)
        worse = worse + 1e-3 if name in ("gap", "lower_bound_s") else worse * (1.01 if worse.ndim else 1 - 1e-6)
        if not np.asarray(getattr(found, name)).any() and name == "downlink_hz":
            pytest.skip("nothing is shared here")
        worse = worse if worse.ndim else float(worse)
    assert not replace(found, **{name: worse}).is_proven(problem, 2.0)


# ---- quality: an upper bound


def test_an_upper_bound_comes_back_from_a_file(scored: tuple[BatchedEdgeProblem, Any], tmp_path: Path) -> None:
    problem, found = scored
    found.certificate.save(tmp_path / "proof.json")
    again = QualityCertificate.load(tmp_path / "proof.json")
    assert again == found.certificate
    assert again.verify(problem).holds
    assert again.verify(problem).bound <= again.bound


def test_a_lowered_bound_is_refused(scored: tuple[BatchedEdgeProblem, Any]) -> None:
    problem, found = scored
    size = abs(found.objective)
    for bound in (found.objective - 1e-9 * size, found.objective - size, -1e6, math.nan, -math.inf, math.inf):
        assert not replace(found.certificate, bound=bound).verify(problem, exact=True).holds
        assert not replace(found.certificate, bound=bound - 1e-6 * size).verify(problem, exact=False).holds
    if found.gap > 1e-5:
        lowered = found.bound - 1e-6 * size
        assert not replace(found.certificate, bound=lowered).verify(problem).holds
    assert replace(found.certificate, bound=found.bound + 1.0).verify(problem).holds


@pytest.mark.long_list(of=4)
def test_no_altered_price_proves_less_than_the_truth(scored: tuple[BatchedEdgeProblem, Any]) -> None:
    problem, found = scored
    prices, refused = found.certificate.prices, 0
    for n in range(len(prices)):
        for other in (prices[n] * 0.5, prices[n] * 1.5, prices[n] + 1.0, -prices[n] - 1e-9, math.nan):
            changed = (*prices[:n], other, *prices[n + 1 :])
            verdict = replace(found.certificate, prices=changed).verify(problem, exact=n % 5 == 0)
            if verdict.holds:
                assert found.certificate.bound >= found.objective - 1e-9 * abs(found.objective)
                assert verdict.bound >= found.objective - 1e-9 * abs(found.objective)
            else:
                refused += 1
    assert refused > 0
    for wrong in ((), prices[:-1], ("a",), (math.inf, *prices[1:])):
        assert not replace(found.certificate, prices=wrong).verify(problem).holds


def test_an_altered_quality_is_not_proven(scored: tuple[BatchedEdgeProblem, Any]) -> None:
    problem, found = scored
    assert found.is_proven(problem, math.inf)
    changes: dict[str, Any] = {
        "objective": found.objective + 1e-3, "bound": found.bound - 1e-3, "gap": found.gap + 1e-3,
        "batches": found.batches[1:], "latency_s": found.latency_s + 1e-3, "certificate": None,
    }  # fmt: skip
    for name, worse in changes.items():
        assert not replace(found, **{name: worse}).is_proven(problem, math.inf), name


def test_each_kind_of_certificate_is_refused_by_the_other_objective(scored: tuple[BatchedEdgeProblem, Any]) -> None:
    problem, found = scored
    assert not found.certificate.verify(draw_batches(0, "max")).holds
    for objective in ("quality", "max"):
        assert not Certificate(objective, -1.0, Leaf(found.certificate.prices)).verify(problem).holds
    with pytest.raises(InvalidInput, match="problem"):
        found.evaluate(draw_batches(0, "max"))
    assert not found.is_proven(draw_batches(0, "max"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": "other"}, r"certificate\.format"), ({"bound": "1"}, r"certificate\.bound"),
        ({"prices": [1.0, -1.0]}, r"certificate\.prices"), ({"more": 1}, r"certificate\.more"),
        ({"prices": 3}, r"certificate\.prices"),
    ],
)  # fmt: skip
def test_what_is_no_certificate_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    data = QualityCertificate(1.0, (0.0, 0.0, 0.0, 1.0, 1.0, 0.5, 0.5)).to_dict()
    with pytest.raises(InvalidInput, match=said):
        QualityCertificate.from_dict({**data, **changed})
    with pytest.raises(InvalidInput, match="certificate"):
        QualityCertificate.from_dict([])
    del data["bound"]
    with pytest.raises(InvalidInput, match=r"certificate\.bound"):
        QualityCertificate.from_dict(data)


# ---- trees of time prices, as nobody but a forger or a later search makes them


def test_parts_of_a_tree_are_bounded_by_their_masks() -> None:
    from megdt_opt.certificate.batched_times import TimesProof

    problem = draw_batches(0, "max")
    found = solve(problem, "prices")
    assert found.certificate is not None
    leaf = found.certificate.tree
    assert isinstance(leaf, Leaf)
    options = tuple(range(problem.steps + 1))
    branch = Branch(0, (options[:1], options[1:]), [leaf, leaf])
    assert replace(found.certificate, source=branch).verify(problem, exact=True).holds
    proof = TimesProof(problem)
    mask = proof.to_partition(True)
    removed = np.zeros_like(mask)
    removed[0, 0] = True
    for exact in (True, False):
        valuer = proof.valuer(exact)
        whole = valuer.value(Part(leaf, mask, ()), found.lower_bound_s)
        part = valuer.value(Part(leaf, mask, (), removed), found.lower_bound_s)
        assert part >= whole > 0
    prune = Prune(leaf, np.array([[0, 0]]), [leaf])
    assert replace(found.certificate, source=prune).verify(problem, exact=True).holds
    bad = Leaf(leaf.prices[:-1])
    assert "a leaf's prices are not" in replace(found.certificate, source=bad).verify(problem).reason


def test_any_numbers_of_at_least_zero_are_prices() -> None:
    rng = np.random.default_rng(3)
    for number in range(30):
        problem = draw_batches(number, "max")
        best = solve(problem, "batched_edge", gap=1e-6)
        pieces = int(rng.integers(1, 6))
        prices = TimePrices(
            rng.exponential(), rng.uniform(0, 3, pieces), rng.exponential(1, pieces),
            rng.exponential(1, (pieces, problem.users)) * (rng.random((pieces, problem.users)) < 0.5),
            rng.uniform(0, 2, problem.users),
        )  # fmt: skip
        above = best.objective_s * (1 + 1e-9)
        for exact in (True, False):
            assert not Certificate("max", above, Leaf(prices.numbers())).verify(problem, exact=exact).holds
