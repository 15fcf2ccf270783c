"""Very many users: what the sample and the passes find is what the general search finds, and is proven."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.families import EVERY, FAMILIES, draw

from megdt_opt import AllocationProblem, solve
from megdt_opt.certificate.tree import Leaf
from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.scaled import Resources
from megdt_opt.solving import closing
from megdt_opt.solving.compiled import large
from megdt_opt.solving.compiled.engine import CompiledEngine

USERS, OPTIONS = 4200, 48
GAP = 1e-6
_SEARCHED = closing._searched


@pytest.fixture
def general(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Not empty once the general search has been called."""
    called: list[bool] = []

    def search(*args: object) -> closing.Closed:
        called.append(True)
        return _SEARCHED(*args)  # type: ignore[arg-type]

    closing.prepare(draw("table", USERS, OPTIONS, "sum", 0))  # which solves small problems
    monkeypatch.setattr(closing, "_searched", search)
    return called


def by_the_general_search(problem: AllocationProblem, gap: float) -> closing.Closed:
    resources = Resources.of(problem)
    return _SEARCHED(CompiledEngine(problem, resources), problem, resources, gap, np.inf, None)


def proves(problem: AllocationProblem, prices: np.ndarray, bound: float) -> bool:
    """Whether prices prove a bound, by the package's NumPy form of the priced costs, all options at once."""
    resources = Resources.of(problem)
    level = None if problem.objective == "sum" else bound
    least = priced(problem, resources, prices, level).cost.min(axis=1)
    if problem.objective == "sum":
        return bool(least.sum() - prices.sum() >= bound)
    return bool(least.sum() > prices.sum())


def check(problem: AllocationProblem) -> None:
    found = solve(problem, "prices", gap=GAP)
    assert found.status == "optimal"
    assert found.certificate is not None
    top = found.certificate.tree
    assert isinstance(top, Leaf)
    assert proves(problem, np.array(top.prices), found.certificate.bound_s)
    verdict = found.certificate.verify(problem, exact=False)
    assert verdict.holds, verdict.reason
    closed = by_the_general_search(problem, GAP)
    assert abs(found.objective_s / closed.objective - 1) <= GAP
    assert found.lower_bound_s <= closed.objective


@pytest.mark.slow
@pytest.mark.long_list("objective", of=2)
@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_the_general_search(family: str, objective: str, general: list[bool]) -> None:
    check(draw(family, USERS, OPTIONS, objective, 3))
    assert not general


@pytest.mark.slow
@pytest.mark.long_list("kind", of=2)
@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("kind", ["shannon", "parallel", "deadline", "mixture"])
def test_so_it_does_with_every_law_and_limit(
    kind: str, objective: str, general: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    # NumPy takes long to price these: fewer users have to do
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr(large, "_LEAST_USERS", 1)
    check(draw("table", 1500, 16, objective, 3, kind=kind))
    assert not general


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few users there are, they are very many."""
    monkeypatch.setattr(large, "LARGE", 1)
    monkeypatch.setattr(large, "_LEAST_USERS", 1)


def closed_to(problem: AllocationProblem, gap: float) -> float:
    """What this way finds, which it must, and proves with prices alone."""
    found = large.search_large(problem, gap=gap, deadline=np.inf)
    assert found is not None
    assert found.whole
    assert proves(problem, found.price, found.target)
    assert found.objective * (1 - gap) <= found.target * (1 + 1e-12)
    general = by_the_general_search(problem, gap)
    assert found.target <= general.objective
    assert general.bound <= found.objective
    return found.objective


@pytest.mark.slow
@pytest.mark.long_list("family", of=3)
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", ["linear", "shannon", "parallel"])
@pytest.mark.parametrize("family", EVERY)
def test_largest_latency_with_every_family_and_law(family: str, kind: str, seed: int) -> None:
    closed_to(draw(family, 2500, 16, "max", seed, kind=kind), 1e-4)


@pytest.mark.long_list(of=3)
@pytest.mark.slow
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("budget", [0.03, 0.3, 3.0])
@pytest.mark.parametrize("kind", ["linear", "shannon", "parallel"])
def test_tables_over_decades_with_scarce_and_ample_budgets(kind: str, budget: float) -> None:
    problem = draw("decades", 2500, 16, "max", 2, kind=kind)
    scaled = {name: budget * getattr(problem, name) for name in ("downlink_hz", "uplink_hz", "edge_capacity")}
    closed_to(replace(problem, **scaled), 1e-4)


@pytest.mark.slow
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("kind", ["linear", "shannon", "parallel"])
def test_a_user_who_is_late_even_alone_decides_for_all(kind: str) -> None:
    """Whatever the others do, nothing is below what this user takes with everything."""
    problem = draw("decades", 2500, 16, "max", 3, kind=kind)
    fixed_s = problem.fixed_s.copy()
    fixed_s[1234] += 30.0
    slow = replace(problem, fixed_s=fixed_s)
    branch_s = 0.0 if slow.device_branch_s is None else slow.device_branch_s[1234]
    assert closed_to(slow, 1e-6) >= slow.weights[1234] * (fixed_s[1234] + branch_s).min() * (1 - 1e-12)


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_a_time_limit_leaves_what_was_found_with_its_bound() -> None:
    problem = draw("cuts", 2500, 32, "max", 5)
    cut_short = large.search_large(problem, gap=1e-12, deadline=0.0)
    assert cut_short is not None
    assert not cut_short.whole
    found = solve(problem, "prices", time_limit_s=1e-9)
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=False).holds
    assert found.lower_bound_s <= solve(problem, "prices").objective_s <= found.objective_s * (1 + GAP)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_forbidden_options_stay_out(objective: str, general: list[bool]) -> None:
    problem = draw("variants", USERS, OPTIONS, objective, 4, scarce=False)
    allowed = np.random.default_rng(4).random((USERS, OPTIONS)) < 0.5
    allowed[:, -1] = True
    limited = replace(problem, allowed=allowed)
    found = solve(limited, "prices")
    assert allowed[np.arange(USERS), found.option].all()
    assert found.objective_s > solve(problem, "prices").objective_s
    check(limited)
    assert not general


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_a_few_users_with_nearly_all_the_work(objective: str) -> None:
    """The sample misses them, and one choice of theirs moves the prices."""
    problem = draw("table", USERS, OPTIONS, objective, 5)
    heavy = np.ones((USERS, 1))
    heavy[::420] = 1e5
    uneven = replace(
        problem,
        edge_work_s=problem.edge_work_s * heavy,
        uplink_bit=problem.uplink_bit * heavy,
        downlink_bit=problem.downlink_bit * heavy,
    )
    assert solve(uneven, "prices").status == "optimal"


@pytest.mark.slow
def test_what_it_does_not_close_goes_to_the_general_search(
    general: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = draw("cuts", USERS, OPTIONS, "max", 5)
    monkeypatch.setattr(large, "_ROUNDS", 0)
    found = solve(problem, "prices")
    assert found.status == "optimal"
    assert general


@pytest.mark.slow
@pytest.mark.parametrize("part", ["threads", "one"])
def test_threads_change_nothing(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = draw("front", USERS, OPTIONS, "max", 6)
    if part == "one":
        monkeypatch.setattr(large.os, "cpu_count", lambda: 1)
    else:
        monkeypatch.setattr(large.os, "cpu_count", lambda: 4)
    found = large.search_large(problem, gap=GAP, deadline=np.inf)
    assert found is not None
    monkeypatch.undo()
    assert found.objective == pytest.approx(solve(problem, "prices").objective_s, rel=1e-9)
