"""Solving batched edges: methods, corners, limits on time, many users, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_batches import draw_batches

from megdt_opt import (
    BatchedEdge,
    BatchedEdgeProblem,
    BatchedQuality,
    Infeasible,
    InvalidInput,
    SolverFailure,
    TimingProfile,
    solve,
)  # fmt: skip
from megdt_opt.pricing import batched_band
from megdt_opt.pricing.batched_band import Band, blocks_suffice
from megdt_opt.pricing.batched_blocks import best_blocks
from megdt_opt.scenario.options import OptionTable
from megdt_opt.solving.batched_schedules import Schedules, least_max
from megdt_opt.solving.door import methods


def cell(users: int, objective: str, *, ratio: float = 0.5, seed: int = 0, **more: object) -> BatchedEdgeProblem:
    """An edge that is as fast as all devices together, with every chain in one batch."""
    rng = np.random.default_rng([seed, users])
    own = rng.uniform(0.5, 1.5, users)
    slope = 1.0 / ((1 + ratio / users) * float((1 / own).sum()))
    fields: dict[str, object] = {
        "steps": 20, "step_slope_s": slope, "step_base_s": ratio * slope, "after_s": rng.uniform(0, 0.3, users),
        "downlink_bit": rng.uniform(2e5, 6e5, users), "downlink_hz": 2e7, "weight": rng.uniform(0.5, 2.0, users),
        "downlink_efficiency": rng.uniform(1.0, 6.0, users), "objective": objective,
    }  # fmt: skip
    if objective == "quality":
        fields["quality"] = np.cumsum(rng.exponential(1.0, (users, 21)) / np.arange(1, 22), axis=1)
        fields["deadline_s"] = rng.uniform(3.0, 12.0, users)
    else:
        fields["device_step_s"] = own
    return BatchedEdgeProblem(**{**fields, **more})  # type: ignore[arg-type]


def test_methods_of_the_class() -> None:
    assert methods("BatchedEdgeProblem") == ("auto", "prices", "batched_edge")
    assert "batched_edge" not in methods("AllocationProblem")
    for method in ("enumerate", "edge_placement"):
        with pytest.raises(InvalidInput, match=f"method: found '{method}'"):
            solve(draw_batches(1, "max"), method)


@pytest.mark.parametrize("ratio", [0.2, 1.6])
def test_fifty_users_are_closed_for_the_sum(ratio: float) -> None:
    problem = cell(50, "sum", ratio=ratio)
    found = solve(problem, gap=1e-6)
    assert isinstance(found, BatchedEdge)
    assert found.status == "optimal"
    assert found.is_proven(problem)
    assert set(found.cut.tolist()) <= {0, 20}
    blocks = [found.batches[i] for i in range(0, len(found.batches), 20)]
    assert found.batches == tuple(batch for batch in blocks for _ in range(20))
    weights = [[float(problem.weights[k]) for k in block] for block in blocks]
    assert all(min(a) >= max(b) for a, b in pairwise(weights))


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("ratio", [0.2, 1.6])
@pytest.mark.parametrize("objective", ["max", "quality"])
def test_many_users_have_a_schedule_and_a_certified_bound(objective: str, ratio: float) -> None:
    problem = cell(20, objective, ratio=ratio)
    found = solve(problem, gap=0.1)
    assert found.method == "prices"
    assert problem.evaluate(found).violation <= 1e-9
    assert 0 <= found.gap < 0.2
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=True).holds
    assert found.is_proven(problem, math.inf)


@pytest.mark.parametrize("number", [0, 2, 7, 14])
def test_more_blocks_than_are_told_apart_leave_a_true_bound(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = draw_batches(number, "sum", users=4, steps=2)
    assert blocks_suffice(problem)
    best = solve(problem, gap=1e-9)
    monkeypatch.setattr(batched_band, "BLOCKS", 1)
    found = solve(problem, gap=1e-9)
    assert isinstance(found, BatchedEdge)
    assert found.objective_s == pytest.approx(best.objective_s, rel=1e-9)
    assert found.lower_bound_s <= best.objective_s * (1 + 1e-12)
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


def test_one_user_alone_takes_the_better_of_both() -> None:
    problem = BatchedEdgeProblem(
        steps=4, step_slope_s=0.1, step_base_s=0.1, device_step_s=[1.0], after_s=[0.0], downlink_bit=[1e6],
        downlink_hz=1e6, downlink_efficiency=[2.0], objective="max",
    )  # fmt: skip
    found = solve(problem)
    assert isinstance(found, BatchedEdge)
    assert (found.cut.tolist(), found.downlink_hz.tolist()) == ([4], [1e6])
    assert found.objective_s == pytest.approx(0.8 + 0.5)
    late = solve(replace(problem, edge_start_s=3.0))
    assert isinstance(late, BatchedEdge)
    assert (late.cut.tolist(), late.batches, late.objective_s) == ([0], (), 4.0)


@pytest.mark.parametrize("method", ["auto", "prices", "batched_edge"])
@pytest.mark.parametrize("objective", ["max", "sum"])
def test_no_time_at_all_and_no_band(objective: str, method: str) -> None:
    problem = BatchedEdgeProblem(
        steps=2, step_slope_s=0.1, step_base_s=0.0, device_step_s=[0.0, 0.0], after_s=[0.0, 0.0],
        downlink_bit=[1e6, 0.0], downlink_hz=0.0, downlink_efficiency=[1.0, 1.0], objective=objective,
    )  # fmt: skip
    found = solve(problem, method)
    assert isinstance(found, BatchedEdge)
    assert (found.objective_s, found.gap) == (0.0, 0.0)
    assert found.downlink_hz.tolist() == [0.0, 0.0]
    waiting = solve(replace(problem, device_step_s=[1.0, 1.0]), method)
    assert isinstance(waiting, BatchedEdge)
    assert waiting.objective_s == pytest.approx(2.0 if objective == "max" else 2.2)
    assert waiting.cut[0] == 0
    assert waiting.downlink_hz.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("objective", ["max", "quality", "sum"])
@pytest.mark.parametrize("method", ["prices", "batched_edge"])
def test_a_time_limit_leaves_an_answer_with_a_true_bound(objective: str, method: str) -> None:
    problem = cell(6 if method == "batched_edge" else 15, objective)
    found = solve(problem, method, gap=1e-9, time_limit_s=1.0)
    assert problem.evaluate(found).violation <= 1e-9
    if isinstance(found, BatchedQuality):
        assert found.bound >= found.objective
    else:
        assert found.lower_bound_s <= found.objective_s


def test_deadlines_that_cannot_be_kept_together_are_infeasible() -> None:
    fields = {
        "steps": 2, "step_slope_s": 1.0, "step_base_s": 0.0, "downlink_bit": [0.0, 0.0], "downlink_hz": 1.0,
        "objective": "quality", "quality": [[0, 1, 2], [0, 1, 2]], "deadline_s": [2.0, 2.0],
        "cut_allowed": [[False, False, True]] * 2,
    }  # fmt: skip
    problem = BatchedEdgeProblem(**fields)  # type: ignore[arg-type]
    with pytest.raises(Infeasible, match="cannot be kept together") as error:
        solve(problem)
    assert error.value.users == (0, 1)
    assert "user 1: deadline 2 s" in str(error.value)
    with pytest.raises(SolverFailure, match="deadlines"):
        solve(problem, "prices")
    found = solve(replace(problem, deadline_s=[2.0, 4.0]))
    assert isinstance(found, BatchedQuality)
    assert (found.batches, found.objective) == (((0,), (0,), (1,), (1,)), 4.0)


def test_a_quality_of_zero_has_a_gap_of_zero_or_none() -> None:
    problem = BatchedEdgeProblem(
        steps=1, step_slope_s=1.0, step_base_s=0.0, downlink_bit=[0.0], downlink_hz=1.0, objective="quality",
        quality=[[0.0, -1.0]], deadline_s=[2.0],
    )  # fmt: skip
    found = solve(problem, "prices")
    assert isinstance(found, BatchedQuality)
    assert (found.cut.tolist(), found.objective) == ([0], 0.0)
    assert found.gap == (0.0 if found.bound == 0.0 else math.inf)
    assert not hasattr(found, "objective_s")
    assert not hasattr(found, "lower_bound_s")


def test_a_deadline_that_is_none_needs_a_share_all_the_same() -> None:
    problem = cell(4, "quality", deadline_s=[np.inf, 3.0, np.inf, 5.0])
    for method in ("prices", "batched_edge"):
        found = solve(problem, method, gap=1e-6)
        assert isinstance(found, BatchedQuality)
        assert np.isfinite(found.latency_s).all()
        assert problem.evaluate(found).violation <= 1e-9


def test_what_pauses_is_no_better() -> None:
    """The best schedule of a problem is contiguous, and evaluates as any other answer does."""
    problem = cell(3, "max")
    found = solve(problem)
    assert isinstance(found, BatchedEdge)
    for k in range(3):
        places = [j for j, batch in enumerate(found.batches) if k in batch]
        assert places == list(range(places[0], places[0] + len(places))) if places else True
    same = SimpleNamespace(cut=found.cut, batches=found.batches, downlink_hz=found.downlink_hz)
    assert problem.evaluate(same).latency_s.tolist() == found.latency_s.tolist()


@given(
    st.lists(st.floats(0.1, 5.0), min_size=1, max_size=7), st.floats(0.0, 2.0), st.floats(0.0, 4.0)
)  # fmt: skip
def test_blocks_are_the_best_partition_in_order(weights: list[float], slope: float, base: float) -> None:
    weight = np.sort(weights)[::-1]
    count = len(weight)

    def total(sizes: list[int]) -> float:
        now, value, at = 0.0, 0.0, 0
        for size in sizes:
            now += slope * size + base
            value += now * float(weight[at : at + size].sum())
            at += size
        return value

    every = []
    for code in range(2 ** (count - 1)):
        sizes, size = [], 1
        for bit in range(count - 1):
            if code >> bit & 1:
                sizes.append(size)
                size = 0
            size += 1
        every.append(total([*sizes, size]))
    assert total(best_blocks(weight, slope, base)) == pytest.approx(min(every), rel=1e-12, abs=1e-12)


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize("part", [0.7, 1.0, 1.3])
def test_no_schedule_without_one_of_its_own_cuts_is_better(part: float) -> None:
    """What a search finds with fewer options it finds with all of them."""
    problem = OptionTable.build("shared-passes", {"here": TimingProfile.bundled("twin-cpu")}).problem()
    assert isinstance(problem, BatchedEdgeProblem)
    problem = replace(problem, downlink_hz=part * problem.downlink_hz)

    def least(allowed: np.ndarray) -> tuple[float, np.ndarray]:
        found = least_max(Schedules(fewer := replace(problem, cut_allowed=allowed), Band(fewer)), 0.0, math.inf)
        return found.objective, found.cut

    best, cut = least(problem.allowed_mask)
    for k in (0, 2, 4):
        left = problem.allowed_mask.copy()
        left[k, cut[k]] = False
        assert least(left)[0] >= best * (1 - 1e-9)
