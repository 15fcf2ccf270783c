""" "mixed" divided by the largest weighted latency: the same optimum as by multipliers alone, and what proves it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.families import draw as family
from random_problems import draw

from megdt_opt import AllocationProblem, Infeasible, solve
from megdt_opt.certificate.allocation import AllocationProof, FloatValuer
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.tree import Cap, Leaf, Node, Part
from megdt_opt.pricing.scaled import Resources
from megdt_opt.solving import closing
from megdt_opt.solving.compiled.engine import CompiledEngine
from megdt_opt.solving.engines import mixed as engines
from megdt_opt.solving.engines.mixed import MixedEngine
from megdt_opt.tolerances import BOUND, SOLVER

KINDS = ("linear", "shannon", "parallel", "deadline", "airtime", "mixture")


def searched(problem: AllocationProblem, gap: float = 1e-6, limit_s: float = 20.0) -> closing.Closed:
    resources = Resources.of(problem)
    engine = MixedEngine(problem, resources, CompiledEngine)
    return closing._searched(engine, problem, resources, gap, time.monotonic() + limit_s, None)


def caps(tree: Node) -> int:
    if isinstance(tree, Leaf):
        return 0
    return isinstance(tree, Cap) + sum(caps(child) for child in tree.children)


@pytest.mark.long_list
@pytest.mark.parametrize("number", range(0, 60, 3))
def test_divided_by_levels_it_is_what_enumeration_finds(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_MANY", 1)
    max_weight = [0.5, 2.0, 20.0][number % 3]
    problem = replace(draw(number, seed=17).problem, objective="mixed", max_weight=max_weight)
    try:
        best = solve(problem, method="enumerate").objective_s
    except Infeasible:
        return
    found = searched(problem)
    assert found.objective == pytest.approx(best, rel=SOLVER)
    assert found.bound <= best * (1 + BOUND)
    assert found.bound >= best * (1 - 1e-6)
    for exact in (True, False):
        verdict = found.certificate.verify(problem, exact=exact)
        assert verdict.holds, verdict.reason


@pytest.mark.long_list
@pytest.mark.parametrize("draw", ["cuts", "table"])
@pytest.mark.parametrize("kind", KINDS)
def test_by_levels_and_by_multipliers_close_the_same(kind: str, draw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = replace(family(draw, 32, 12, "sum", 1, kind=kind), objective="mixed", max_weight=16.0)
    by_levels = searched(problem)
    monkeypatch.setattr(engines, "_MANY", 1000)
    by_multipliers = searched(problem)
    assert by_levels.objective == pytest.approx(by_multipliers.objective, rel=2e-6)
    for found in (by_levels, by_multipliers):
        assert found.bound >= found.objective * (1 - 1e-6)
    assert caps(by_multipliers.certificate.tree) == 0
    assert by_levels.certificate.verify(problem, exact=False).holds
    again = Certificate.from_dict(by_levels.certificate.to_dict())
    assert again.verify(problem, exact=(kind, draw) == ("linear", "table")).holds


def test_some_are_divided_by_levels() -> None:
    problem = replace(family("table", 100, 64, "sum", 1), objective="mixed", max_weight=50.0)
    found = searched(problem)
    assert caps(found.certificate.tree) >= 1
    raised = replace(found.certificate, bound_s=found.objective * (1 + 1e-9))
    assert not raised.verify(problem, exact=False).holds


@pytest.mark.parametrize("draw", ["cuts", "table"])
@pytest.mark.parametrize("kind", ["linear", "shannon", "parallel", "deadline", "airtime"])
def test_compiled_bounds_of_ranges_are_those_in_numpy(kind: str, draw: str) -> None:
    """At random prices, multipliers and ranges; neither says more than the other beyond rounding."""
    problem = replace(family(draw, 6, 9, "sum", 3, kind=kind), objective="mixed", max_weight=3.0)
    resources, rng = Resources.of(problem), np.random.default_rng(5)
    engine = CompiledEngine(problem, resources)
    compiled, floats = engine.valuer(), FloatValuer(problem, resources)
    mask = AllocationProof(problem, resources).to_partition(False)
    worst = float((problem.weights * solve(problem).latency_s).max())
    for _ in range(12):
        prices = rng.uniform(0.0, 20.0, 3)
        tilts = 3.0 * rng.dirichlet(np.ones(6)) * rng.choice([0.3, 1.0]) * (1.0 - 1e-14)
        low = worst * float(rng.choice([0.0, 0.7, 0.95]))
        span = (low, worst * float(rng.choice([1.0, 1.2, np.inf])))
        part = Part(Leaf((*prices.tolist(), *tilts.tolist())), mask, (), None, span)
        here, there = compiled.value(part, None), floats.value(part, None)
        if np.isfinite(there) or np.isfinite(here):
            assert here == pytest.approx(there, rel=1e-8, abs=1e-8 * float(prices.sum()))


def test_cut_short_it_proves_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = replace(family("cuts", 60, 24, "sum", 0), objective="mixed", max_weight=30.0)
    searched(problem, limit_s=5.0)  # whatever has to be compiled
    found = searched(problem, gap=1e-9, limit_s=0.0)
    assert 0.0 <= found.bound <= found.objective
    assert found.certificate.verify(problem, exact=False).holds


@pytest.mark.parametrize(("users", "seed"), [(20, 0), (40, 0), (40, 2)])
def test_latencies_that_prices_waver_between_are_searched_apart(users: int, seed: int) -> None:
    """Local options of the slowest users open at levels far apart, each with a valley of its own, and the best prices
    of the whole range do for none; within one a single price vector proves all."""
    problem = replace(family("cuts", users, 64, "sum", seed), objective="mixed", max_weight=users / 2)
    found = searched(problem)
    assert found.bound >= found.objective * (1 - 1e-6)
    assert found.nodes <= 8
    assert caps(found.certificate.tree) >= 2
    assert found.certificate.verify(problem, exact=users == 20).holds


def test_a_range_is_divided_below_what_opens_in_it() -> None:
    """Of two users one may do its work alone in 3 s, which the other, who is never as late, makes room for: below 3 s
    that option is closed, and no more than a few parts prove it."""
    problem = AllocationProblem(
        fixed_s=[[0.0, 3.0], [0.0, 5.0]], edge_work_s=[[4.0, 0.0], [1.0, 0.0]], downlink_bit=np.zeros((2, 2)),
        uplink_bit=np.zeros((2, 2)), downlink_hz=1.0, uplink_hz=1.0, edge_capacity=1.0, objective="mixed",
        max_weight=1.0,
    )  # fmt: skip
    found = searched(problem)
    assert found.objective == pytest.approx(7.0)
    assert found.bound >= 7.0 * (1 - 1e-6)
    assert found.certificate.verify(problem, exact=True).holds
    assert caps(found.certificate.tree) <= 4
