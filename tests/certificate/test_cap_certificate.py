"""Certificates of "mixed" that are split by the largest weighted latency: sound, exact, saved, refused when altered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_problems import draw

from megdt_opt import AllocationProblem, InvalidInput, evaluate, solve
from megdt_opt.certificate.allocation import AllocationProof, ExactValuer, FloatValuer
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Cap, Leaf, Part
from megdt_opt.pricing.scaled import Resources
from megdt_opt.tolerances import SOLVER

NUMBERS = (0, 2, 3, 6, 9, 14)


def mixed(number: int, max_weight: float = 2.0) -> AllocationProblem:
    return replace(draw(number, seed=31).problem, objective="mixed", max_weight=max_weight)


def in_capped_tree(problem: AllocationProblem, caps_s: list[float], prices: tuple[float, ...]) -> Cap:
    """One leaf for each part of the range of the largest latency, all with the same prices."""
    tree: Cap | Leaf = Leaf(prices)
    for cap_s in reversed(caps_s):
        tree = Cap(cap_s, [Leaf(prices), tree])
    assert isinstance(tree, Cap)
    return tree


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("number", NUMBERS)
def test_no_part_proves_more_than_an_allocation_within_it_is_worth(number: int) -> None:
    """Any options on any shares, at random prices and multipliers, in a range around their largest latency."""
    problem, rng = mixed(number), np.random.default_rng(number)
    resources = Resources.of(problem)
    mask = AllocationProof(problem).to_partition(False)
    floats, exact = FloatValuer(problem, resources), ExactValuer(problem, resources)
    tried = 0
    for turn in range(60):
        option = np.array([rng.choice(np.flatnonzero(row)) for row in mask])
        shares = rng.dirichlet(np.ones(problem.users), 3) * np.reshape(problem.budgets, (3, 1))
        found = evaluate(problem, option, shares[0], shares[1], np.minimum(shares[2], problem.share_caps))
        if found.violation > 0 or not np.isfinite(found.objective_s):
            continue
        tried += 1
        worst = float((problem.weights * found.latency_s).max())
        span = (worst * rng.choice([0.0, 0.5, 0.99, 1.0]), worst * rng.choice([1.0, 1.01, 2.0, np.inf]))
        tilts = 2.0 * rng.dirichlet(np.full(problem.users, 0.3)) * rng.choice([0.0, 0.4, 1.0]) * (1.0 - 1e-14)
        leaf = Leaf((*(found.objective_s * rng.uniform(0.0, 0.6, 3)).tolist(), *tilts.tolist()))
        part = Part(leaf, mask, (), None, span)
        value = floats.value(part, None)
        assert value <= found.objective_s
        assert floats.value(part._replace(span=(0.0, np.inf)), None) <= value + 1e-11 * (1.0 + abs(value))
        if turn % 6 == 0:
            assert float(exact.value(part, None)) <= found.objective_s
            assert float(exact.value(part, None)) == pytest.approx(value, rel=1e-9, abs=1e-9)
    assert tried >= 5


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_cap_proves_no_less_and_is_kept_when_saved(number: int) -> None:
    problem = mixed(number)
    found = solve(problem)
    leaf = found.certificate.tree
    while not isinstance(leaf, Leaf):
        leaf = leaf.children[0]
    worst = float((problem.weights * found.latency_s).max())
    proof, resources = AllocationProof(problem), Resources.of(problem)
    tree = in_capped_tree(problem, [0.9 * worst, 0.99 * worst, 1.05 * worst], leaf.prices)
    mask, valuer = proof.to_partition(False), FloatValuer(problem, resources)
    plain = Certificate.seal(proof, leaf, mask, found.objective_s, valuer).bound_s
    capped = Certificate.seal(proof, tree, mask, found.objective_s, valuer)
    assert plain * (1 - SOLVER) <= capped.bound_s <= found.objective_s
    again = Certificate.from_dict(capped.to_dict())
    assert again.to_dict() == capped.to_dict()
    for exact in (True, False):
        assert again.verify(problem, exact=exact).holds


def test_what_is_altered_proves_nothing() -> None:
    problem = mixed(3)
    found = solve(problem)
    worst = float((problem.weights * found.latency_s).max())
    prices = (
        (*found.certificate.tree.prices,)
        if isinstance(found.certificate.tree, Leaf)
        else (0.1,) * 3 + (0.0,) * problem.users
    )
    tree = in_capped_tree(problem, [0.9 * worst, 1.1 * worst], prices)
    proof = AllocationProof(problem)
    mask, valuer = proof.to_partition(False), FloatValuer(problem, Resources.of(problem))
    data = Certificate.seal(proof, tree, mask, found.objective_s, valuer).to_dict()

    def reason(change: dict[int, object]) -> str:
        nodes = [dict(node) for node in data["nodes"]]
        for place, value in change.items():
            nodes[place]["cap_s"] = value
        verdict = Certificate.from_dict({**data, "nodes": nodes}).verify(problem)
        assert not verdict.holds
        return verdict.reason

    assert [i for i, node in enumerate(data["nodes"]) if "cap_s" in node] == [0, 2]
    assert "not within those above it" in reason({2: 0.5 * worst})
    assert "not within those above it" in reason({0: 0.0})
    assert "not within those above it" in reason({0: 1.2 * worst})
    for bad in (-1.0, float("nan"), float("inf"), "1", None, True):
        with pytest.raises(InvalidInput, match="cap_s"):
            reason({0: bad})


@pytest.mark.parametrize("objective", ["sum", "max", "missed"])
def test_other_objectives_gain_nothing_by_caps(objective: str) -> None:
    """What does not know of the range proves each of its parts as if it were the whole."""
    problem = draw(3, seed=31).problem
    deadline_s = np.full(problem.users, 50.0) if objective == "missed" else None
    problem = replace(problem, objective=objective, max_weight=None, deadline_s=deadline_s)
    proof = AllocationProof(problem)
    mask, prices = proof.to_partition(False), (0.1, 0.2, 0.3)
    for exact in (True, False):
        valuer = proof.valuer(exact)
        level = 0.1 if objective == "max" else None
        whole = valuer.value(Part(Leaf(prices), mask, ()), level)
        assert valuer.value(Part(Leaf(prices), mask, (), None, (3.0, 4.0)), level) == whole
