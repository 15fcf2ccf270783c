"""Groups that are formed: what is refused, corners, and what they are worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_prefixes import random_groupings, random_prefixes

from megdt_opt import Infeasible, InvalidInput, SharedPrefix, SharedPrefixProblem, solve
from megdt_opt.solving.engines import partition
from megdt_opt.solving.engines.partition import Partition


def given(problem: SharedPrefixProblem, found: SharedPrefix) -> SharedPrefixProblem:
    """The problem with the groups that were formed, each with its own copy of all trunks."""
    groups, trunks = len(found.trunk), problem.trunks
    of = np.repeat(np.arange(groups), trunks)
    own: dict[str, Any] = {
        name: None if getattr(problem, name) is None else np.tile(getattr(problem, name), groups)
        for name in ("trunk_fixed_s", "trunk_uplink_bit", "trunk_edge_work_s", "multicast_bit", "multicast_efficiency",
                     "trunk_uplink_efficiency", "trunk_edge_share_max", "trunk_uplink_airtime_max_s")
    }  # fmt: skip
    compatible = np.tile(problem.compatible, groups) & (found.group[:, None, None] == of)
    return replace(
        problem, group=found.group, trunk_group=of, compatible=compatible, similarity=None, similarity_min=None,
        group_size_max=None, trunk_similarity_min=None, **own,
    )  # fmt: skip


@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("reserve", ["phased", "separate"])
def test_with_the_groups_that_were_formed_nothing_is_better(objective: str, reserve: str) -> None:
    problem = random_groupings(3, 6, objective=objective, reserve=reserve)
    found = solve(problem, gap=1e-6)
    assert (found.group >= 0).any()
    assert len(found.trunk) == found.group.max() + 1
    again = solve(given(problem, found), gap=1e-6)
    assert again.objective_s == pytest.approx(found.objective_s, rel=3e-6)
    assert problem.evaluate(found).violation <= 1e-9


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_who_resembles_nobody_stays_alone(objective: str) -> None:
    problem = replace(random_groupings(1, 5, objective=objective), similarity=np.eye(5), similarity_min=0.5)
    found = solve(problem, gap=1e-7)
    assert found.group.tolist() == [-1] * 5
    assert found.trunk.size == found.multicast_hz.size == 0
    lone = random_prefixes(1, (5,), objective=objective)
    lone = replace(lone, compatible=np.zeros_like(lone.compatible))
    assert found.objective_s == pytest.approx(solve(lone, gap=1e-7).objective_s, rel=2e-7)
    assert found.is_proven(problem, 1e-7)


def test_a_trunk_that_asks_for_more_similarity_than_there_is_does_not_run() -> None:
    problem = random_groupings(2, 4, near=1.0)
    assert (solve(problem).group >= 0).any()
    none = replace(problem, trunk_similarity_min=np.ones(problem.trunks), similarity=0.5 + 0.5 * np.eye(4))
    assert (solve(none).group < 0).all()


@pytest.mark.long_list(of=2)
@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_never_worse_than_merging(objective: str, seed: int) -> None:
    problem = random_groupings(seed, 9, objective=objective)
    merged, found = solve(problem, "greedy"), solve(problem, gap=1e-3)
    assert (merged.method, merged.bound_source) == ("greedy", "certificate")
    assert found.objective_s <= merged.objective_s
    assert merged.lower_bound_s <= found.objective_s
    for one in (merged, found):
        assert problem.evaluate(one).violation <= 1e-9
        assert one.certificate is not None
        assert one.certificate.verify(problem).holds


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_the_order_of_users_means_nothing(objective: str) -> None:
    problem = random_groupings(5, 5, objective=objective)
    order = np.array([3, 0, 4, 1, 2])
    tables = {name: getattr(problem, name)[order] for name in OF_USERS}
    turned = replace(problem, **tables, similarity=problem.similarity[np.ix_(order, order)])
    assert solve(turned, gap=1e-7).objective_s == pytest.approx(solve(problem, gap=1e-7).objective_s, rel=2e-7)


OF_USERS = (
    "fixed_s", "uplink_bit", "edge_work_s", "downlink_bit", "rides", "compatible", "weight", "downlink_efficiency",
    "uplink_efficiency",
)  # fmt: skip


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_in_too_little_time_there_is_an_answer_with_the_bound_that_is_proven_by_then(objective: str) -> None:
    problem = random_groupings(4, 12, objective=objective)
    found = solve(problem, gap=1e-9, time_limit_s=0.3)
    assert problem.evaluate(found).violation <= 1e-9
    assert 0 < found.lower_bound_s <= found.objective_s
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


def test_methods_that_do_not_form_groups_are_refused_by_name() -> None:
    problem = random_groupings(0, 3)
    with pytest.raises(InvalidInput, match=r"method.*group=None"):
        solve(random_prefixes(0, (2,)), "greedy")
    with pytest.raises(InvalidInput, match="method"):
        solve(problem, "enumerate")


def test_more_sets_or_patterns_than_can_be_listed_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"group_size_max.*Lower it, or raise similarity_min"):
        solve(random_groupings(0, 60, size=5, near=1.0))
    with pytest.raises(InvalidInput, match="patterns"):
        solve(random_groupings(0, 14, size=7, near=1.0, cuts=(2, 4, 6, 8)))


def test_a_user_whom_nothing_fits_is_refused_by_name() -> None:
    problem = random_groupings(1, 3)
    allowed = np.ones_like(problem.rides, dtype=bool)
    allowed[2] = problem.rides[2] > 0
    with pytest.raises(InvalidInput, match=r"allowed \(user 2\)"):
        solve(replace(problem, allowed=allowed, similarity=np.eye(3), similarity_min=0.5))


def test_limits_on_airtime_that_do_not_fit_together() -> None:
    problem = random_groupings(1, 2, near=1.0, cuts=(10,))
    problem = replace(problem, allowed=problem.rides > 0)
    whole_s = problem.trunk_uplink_bit / (problem.uplink_hz * problem.trunk_uplink_efficiency)
    assert solve(replace(problem, trunk_uplink_airtime_max_s=2.5 * whole_s)).group.tolist() == [0, 0]
    with pytest.raises(Infeasible, match="airtime"):
        solve(replace(problem, trunk_uplink_airtime_max_s=0.5 * whole_s + 1e-9))


def cheapest_by_highs(inside: np.ndarray, cost: np.ndarray) -> float:
    from scipy.optimize import linprog

    found = linprog(cost, A_eq=inside.T.astype(float), b_eq=np.ones(inside.shape[1]))
    return float(found.fun)


@pytest.mark.parametrize("seed", range(5))
def test_fractional_partitions_cost_what_a_linear_program_says(seed: int) -> None:
    draw = np.random.default_rng(seed)
    inside = np.vstack([np.eye(7, dtype=bool), draw.random((60, 7)) < 0.4])
    inside = inside[inside.any(axis=1)]
    program = Partition(inside)
    for _ in range(5):  # each starts from the last
        cost = draw.uniform(0.5, 1.5, len(inside)) * inside.sum(axis=1) ** 0.7
        found = program.cheapest(cost, 100.0)
        assert found.value == pytest.approx(cheapest_by_highs(inside, cost), rel=1e-9)
        assert (inside @ found.duals <= cost + 1e-9).all()
        assert inside[found.sets].T @ found.parts == pytest.approx(np.ones(7))


def test_cuts_close_what_threes_of_pairs_leave_open() -> None:
    """Three users of whom any two share: half of each pair costs least, but no whole partition does so."""
    inside = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=bool)
    cost = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    program = Partition(inside)
    first = program.cheapest(cost, 50.0)
    assert first.value == pytest.approx(3.0)
    cuts = program.separate(first.sets, first.parts)
    assert ((0, 1, 2), 2) in cuts
    for users, divisor in cuts:
        program.add(users, divisor)
    last = program.cheapest(cost, 50.0)
    assert last.value == pytest.approx(4.0)
    assert (last.prices >= 0).all()
    assert program.separate(last.sets, last.parts) == []
    assert len(program.cuts) < partition.MOST_CUTS
