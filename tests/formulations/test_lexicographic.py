"""Lexicographic allocations: decoupled resources, floors, caps, and no neighbour that is better."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, LexicographicProblem, evaluate, solve
from megdt_opt.formulations import lexicographic
from megdt_opt.tolerances import SOLVER


def edge(work_s: list[float], **fields: Any) -> AllocationProblem:
    """Users that need nothing but the edge."""
    zero = np.zeros((len(work_s), 1))
    numbers = {"fixed_s": zero, "downlink_bit": zero, "uplink_bit": zero, "edge_work_s": np.array(work_s)[:, None]}
    return AllocationProblem(**(numbers | {"downlink_hz": 1.0, "uplink_hz": 1.0} | fields))


def test_one_resource_has_one_level() -> None:
    found = solve(LexicographicProblem(allocation=edge([1.0, 2.0, 3.0])))
    assert found.latency_s == pytest.approx([6.0, 6.0, 6.0], rel=SOLVER)
    assert found.objective_s == pytest.approx(6.0, rel=SOLVER)
    assert found.method == "lexicographic"


def test_resources_that_nobody_shares_have_levels_of_their_own() -> None:
    """Users 0 and 1 compute, 2 and 3 receive, 4 does neither."""
    problem = AllocationProblem(
        fixed_s=[[0.0], [0.0], [0.5], [0.5], [3.0]], downlink_bit=[[0.0], [0.0], [1.0], [0.25], [0.0]],
        uplink_bit=np.zeros((5, 1)), edge_work_s=[[1.0], [4.0], [0.0], [0.0], [0.0]], downlink_hz=1.0, uplink_hz=1.0,
        downlink_efficiency=np.ones(5), weight=[1.0, 1.0, 1.0, 1.0, 0.5],
    )  # fmt: skip
    found = solve(LexicographicProblem(allocation=problem))
    # D with 1/D + 4/D = 1, and with 1/(D - 0.5) + 0.25/(D - 0.5) = 1
    assert found.latency_s == pytest.approx([5.0, 5.0, 1.75, 1.75, 3.0], rel=SOLVER)
    assert found.objective_s == pytest.approx(5.0, rel=SOLVER)
    assert "2 rounds" in found.message


def test_who_is_at_its_floor_gives_way() -> None:
    """User 0 waits 10 s for its device anyway, so it needs no more than 1/10 of the edge."""
    problem = edge([1.0, 1.0, 2.0], device_branch_s=[[10.0], [0.0], [0.0]])
    found = solve(LexicographicProblem(allocation=problem))
    assert found.latency_s == pytest.approx([10.0, 3 / 0.9, 3 / 0.9], rel=10 * SOLVER)
    capped = edge([1.0, 1.0, 2.0], edge_share_max=[0.1, 1.0, 1.0])
    found = solve(LexicographicProblem(allocation=capped))
    assert found.latency_s == pytest.approx([10.0, 3 / 0.9, 3 / 0.9], rel=10 * SOLVER)


@pytest.mark.parametrize(("seed", "shannon"), [(1, False), (2, True)])
def test_the_first_level_is_the_optimum_of_max(make_problem: Any, seed: int, shannon: bool) -> None:
    problem = make_problem(4, 1, seed, "max", shannon=shannon)
    best = solve(problem).objective_s
    found = solve(LexicographicProblem(allocation=problem))
    assert found.objective_s == pytest.approx(best, rel=SOLVER)
    assert found.lower_bound_s <= best * (1 + 1e-9)
    assert found.gap <= SOLVER


def test_no_neighbour_is_better() -> None:
    """Random changes of the shares never make the levels come before those found."""
    rng = np.random.default_rng(0)
    zero = np.zeros((5, 1))
    problem = AllocationProblem(
        fixed_s=rng.uniform(0, 1, (5, 1)), device_branch_s=[[2.0], [0.0], [0.0], [6.0], [0.0]],
        downlink_bit=[[1.0], [0.5], [0.0], [0.0], [1.0]], uplink_bit=zero,
        edge_work_s=[[0.0], [0.0], [1.0], [0.5], [0.2]], downlink_hz=1.0, uplink_hz=1.0,
        downlink_efficiency=np.ones(5), edge_share_max=np.full(5, 0.6),
    )  # fmt: skip
    fair = LexicographicProblem(allocation=problem)
    found = solve(fair)
    mine = fair.levels_s(found.latency_s)
    option = np.zeros(5, dtype=np.int64)
    tried = 0
    for size in (0.3, 0.03, 0.003):
        for _ in range(300):
            down = found.downlink_hz * np.exp(size * rng.normal(size=5))
            share = found.edge_share * np.exp(size * rng.normal(size=5))
            share = np.minimum(share / max(share.sum(), 1.0), 0.6)
            other = evaluate(problem, option, down / down.sum(), np.zeros(5), share)
            assert other.violation <= SOLVER
            tried += 1
            assert not lexicographic.less(fair.levels_s(other.latency_s), mine * (1 - SOLVER))
    assert tried == 900


def test_options_against_every_set() -> None:
    """User 0 decides the first level whatever the others do, so the second one chooses among their options."""
    zero = np.zeros((3, 2))
    problem = AllocationProblem(
        fixed_s=[[9.0, 9.5], [0.0, 1.0], [0.5, 0.0]], downlink_bit=zero, uplink_bit=zero,
        edge_work_s=[[0.0, 0.0], [1.0, 0.4], [0.8, 1.2]], downlink_hz=1.0, uplink_hz=1.0,
    )  # fmt: skip
    fair = LexicographicProblem(allocation=problem)
    best = None
    for chosen in itertools.product(range(2), repeat=3):
        fit = lexicographic.fit(fair, np.array(chosen))
        assert fit is not None
        if best is None or lexicographic.less(fit.levels_s, best):
            best = fit.levels_s
    found = solve(fair)
    assert best is not None
    assert fair.levels_s(found.latency_s) == pytest.approx(best, rel=10 * SOLVER)
    assert found.objective_s == pytest.approx(9.0, rel=SOLVER)
    assert "8 option sets compared, 4 of them by all levels" in found.message


def test_many_options_leave_the_choice_to_max(make_problem: Any) -> None:
    problem = make_problem(7, 4, 1, "max")
    found = solve(LexicographicProblem(allocation=problem), gap=1e-4)
    assert found.objective_s == pytest.approx(solve(problem, gap=1e-4).objective_s, rel=1e-3)
    assert found.lower_bound_s <= found.objective_s
    assert "alone" in found.message


def test_order_of_levels() -> None:
    low, high = np.array([3.0, 1.0]), np.array([3.0, 2.0])
    assert lexicographic.less(low, high)
    assert not lexicographic.less(high, low)
    assert not lexicographic.less(low, low * (1 + 1e-9))
    assert lexicographic.less(np.array([2.9, 2.9]), low)


def test_refusals(make_problem: Any) -> None:
    with pytest.raises(InvalidInput, match="missed"):
        LexicographicProblem(allocation=make_problem(2, 1, 0, "missed", deadline_s=[1.0, 1.0]))
    with pytest.raises(InvalidInput, match="lexicographic"):
        solve(LexicographicProblem(allocation=make_problem(2, 1, 0, "max")), method="enumerate")
    with pytest.raises(InvalidInput, match="LexicographicProblem"):
        solve(make_problem(2, 1, 0, "max"), method="lexicographic")
    with pytest.raises(Infeasible):
        solve(LexicographicProblem(allocation=edge([1.0, 1.0], deadline_s=[1.5, 1.5])))
    mixed = replace(edge([1.0, 1.0]), objective="mixed", max_weight=1.0)
    assert LexicographicProblem(allocation=mixed).allocation.objective == "max"
