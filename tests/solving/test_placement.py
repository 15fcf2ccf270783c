"""Solving placement problems: methods, limits on time, many models, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_placements import draw_placement

from megdt_opt import Infeasible, InvalidInput, PlacementProblem, solve
from megdt_opt.pricing import held_models
from megdt_opt.pricing.held_models import HeldModels, maximal_sets
from megdt_opt.solving.door import methods

TWO: dict[str, Any] = {
    "fixed_s": [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]], "downlink_bit": np.zeros((3, 2)), "uplink_bit": np.zeros((3, 2)),
    "edge_work_s": np.ones((3, 2)), "option_server": [[0, 1]] * 3, "downlink_hz": [1e6, 1e6], "uplink_hz": [1e6, 1e6],
    "user_model": [0, 1, 2], "model_byte": [4e9, 5e9, 6e9],
}  # fmt: skip


def test_methods_of_the_class() -> None:
    assert methods("PlacementProblem") == ("auto", "prices", "edge_placement")
    assert "edge_placement" not in methods("AllocationProblem")
    with pytest.raises(InvalidInput, match="method: found 'enumerate'"):
        solve(draw_placement(1), "enumerate")


def test_models_that_do_not_fit_together_are_infeasible() -> None:
    crowded = PlacementProblem(**TWO, memory_byte=[6e9, 8e9])
    for method in ("auto", "edge_placement"):
        with pytest.raises(Infeasible, match="memories cannot hold together") as error:
            solve(crowded, method)
        assert error.value.users == (0, 1, 2)
        for said in ("user 0: model 0 of 4 GB", "user 2: model 2 of 6 GB", "server 1 has a memory of 8 GB"):
            assert said in str(error.value)
    roomy = PlacementProblem(**TWO, memory_byte=[6e9, 9e9])
    found = solve(roomy)
    assert found.placed is not None
    assert found.placed.tolist() == [[False, False, True], [True, True, False]]
    assert found.objective_s == pytest.approx(2.5)


def test_without_models_nothing_is_placed() -> None:
    found = solve(draw_placement(1))
    assert found.placed is None
    assert found.option.shape == found.downlink_hz.shape == (3,)


def test_on_the_device_nothing_is_shared() -> None:
    found = solve(draw_placement(5), gap=1e-9)
    problem = draw_placement(5)
    away = problem.option_server[np.arange(problem.users), found.option] >= 0
    for share in (found.downlink_hz, found.uplink_hz, found.edge_share):
        assert not share[~away].any()


@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("number", [1, 3, 5, 8, 20, 22])
def test_nothing_to_choose_leaves_the_shares(number: int, objective: str) -> None:
    drawn = draw_placement(number)
    only = np.zeros(drawn.fixed_s.shape, dtype=bool)
    only[np.arange(drawn.users), drawn.open_options.argmax(axis=1)] = True
    problem = replace(drawn, allowed=only, objective=objective)
    try:
        found = solve(problem, gap=1e-7)
    except Infeasible:
        assert problem.models > 0
        return
    assert (found.option == drawn.open_options.argmax(axis=1)).all()
    assert found.is_proven(problem, 1e-7)


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_nothing_to_share_leaves_the_options(objective: str) -> None:
    nothing = np.zeros((3, 2))
    problem = PlacementProblem(
        fixed_s=[[1.0, 2.0], [3.0, 2.5], [4.0, 4.0]], downlink_bit=nothing, uplink_bit=nothing, edge_work_s=nothing,
        option_server=[[0, -1]] * 3, downlink_hz=[0.0], uplink_hz=[0.0], objective=objective,
    )  # fmt: skip
    found = solve(problem)
    assert found.objective_s == (7.5 if objective == "sum" else 4.0)
    assert found.is_proven(problem)


def test_no_time_at_all_is_proven() -> None:
    nothing = np.zeros((2, 1))
    found = solve(
        PlacementProblem(
            fixed_s=nothing, downlink_bit=nothing, uplink_bit=nothing, edge_work_s=nothing, option_server=[[-1], [0]],
            downlink_hz=[1.0], uplink_hz=[1.0], objective="sum",
        )
    )  # fmt: skip
    assert (found.objective_s, found.gap, found.status) == (0.0, 0.0, "optimal")


def test_a_time_limit_leaves_an_answer_with_a_true_bound() -> None:
    problem = draw_placement(0, users=40, servers=3)
    found = solve(problem, gap=1e-12, time_limit_s=0.2)
    assert problem.evaluate(found).violation <= 1e-12
    assert 0 <= found.lower_bound_s <= found.objective_s
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


@pytest.mark.parametrize("number", [5, 7, 13, 20, 22, 28, 29])
def test_too_many_placements_are_relaxed_and_divided(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no room for joint placements the bound is looser, and the tree comes to the same."""
    problem = draw_placement(number)
    expected = solve(problem, gap=1e-8)
    monkeypatch.setattr(held_models, "MOST_JOINT", 1)
    found = solve(problem, gap=1e-8)
    assert found.objective_s == pytest.approx(expected.objective_s, rel=1e-7)
    assert found.is_proven(problem, 1e-8)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=7), st.integers(0, 25))
def test_maximal_sets_are_all_and_none_too_many(sizes: list[int], memory: int) -> None:
    memory = max(memory, max(sizes))
    users = len(sizes)
    problem = PlacementProblem(
        fixed_s=np.ones((users, 1)), downlink_bit=np.zeros((users, 1)), uplink_bit=np.zeros((users, 1)),
        edge_work_s=np.ones((users, 1)), option_server=np.zeros((users, 1), int), downlink_hz=[1.0], uplink_hz=[1.0],
        user_model=range(users), model_byte=sizes, memory_byte=[memory],
    )  # fmt: skip
    found = {tuple(row) for row in maximal_sets(problem, 0, np.arange(users)).tolist()}
    every = itertools.product([False, True], repeat=users)
    fitting = {one for one in every if sum(itertools.compress(sizes, one)) <= memory}

    def inside(one: tuple[bool, ...], other: tuple[bool, ...]) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    expected = {one for one in fitting if not any(inside(one, other) for other in fitting)}
    assert found == expected


def test_too_many_sets_are_refused_by_name() -> None:
    users = 26
    problem = PlacementProblem(
        fixed_s=np.ones((users, 1)), downlink_bit=np.zeros((users, 1)), uplink_bit=np.zeros((users, 1)),
        edge_work_s=np.ones((users, 1)), option_server=np.zeros((users, 1), int), downlink_hz=[1.0], uplink_hz=[1.0],
        user_model=range(users), model_byte=np.arange(users) + 100.0, memory_byte=[1460.0],
    )  # fmt: skip
    with pytest.raises(InvalidInput, match=r"memory_byte \(server 0\).*maximal sets"):
        HeldModels(problem)


CELL = {
    "fixed_s": np.zeros((3, 2)), "downlink_bit": np.zeros((3, 2)), "uplink_bit": [[1.0, 0.0]] * 3,
    "edge_work_s": [[1.0, 0.0]] * 3, "option_server": [[0, -1]] * 3, "downlink_hz": [1.0], "uplink_hz": [1.0],
    "uplink_efficiency": np.ones(3), "allowed": [[True, False], [True, False], [True, True]], "objective": "sum",
}  # fmt: skip


def test_a_smallest_set_of_users_who_cannot_keep_their_deadlines_together_is_named() -> None:
    # 1 + 1 seconds with everything; two users need 4 s each, if both stay within one
    for late, users in (([3.0, 3.0, np.inf], [0, 1]), ([2.5, 4.5, 9.0], [0, 1])):
        with pytest.raises(Infeasible, match="cannot be kept together.*deadline") as refused:
            solve(PlacementProblem(**CELL, deadline_s=late))
        assert list(refused.value.users) == users
    assert solve(PlacementProblem(**CELL, deadline_s=[4.001, 4.001, 4.0])).option.tolist() == [0, 0, 1]
    with pytest.raises(Infeasible, match="no option is left: user 1: deadline 1.99 s"):
        solve(PlacementProblem(**CELL, deadline_s=[9.0, 1.99, np.inf]))


def test_a_time_of_sending_that_the_band_does_not_allow_is_named() -> None:
    limits = np.where(np.array(CELL["uplink_bit"]) > 0, [[0.5], [9.0], [9.0]], np.inf)
    with pytest.raises(Infeasible, match="no option is left: user 0: uplink airtime at most 500 ms"):
        solve(PlacementProblem(**CELL, uplink_airtime_max_s=limits))
    sent = solve(PlacementProblem(**CELL, uplink_airtime_max_s=np.where(limits < 9, 1.25, limits)), gap=1e-9)
    assert sent.uplink_hz[0] == pytest.approx(0.8, rel=1e-9)
    assert sent.is_proven(PlacementProblem(**CELL, uplink_airtime_max_s=np.where(limits < 9, 1.25, limits)), 1e-9)
