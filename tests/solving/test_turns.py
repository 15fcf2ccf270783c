"""Solving problems of turns: methods, limits on time, known closed forms, and what is looked at by labels."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from random_turns import draw_turns

from megdt_opt import InvalidInput, SequencedEdgeProblem, bounds, solve
from megdt_opt.pricing.turns import Steps, TurnCosts, need
from megdt_opt.shares.turns import best_sum, level_of
from megdt_opt.solving.door import methods
from megdt_opt.solving.turns.local import Moves, good_plan


def crowd(
    users: int, objective: str, *, seed: int = 0, ready: bool = False, shannon: bool = False
) -> SequencedEdgeProblem:
    """Users with 5 cuts of 10 steps each: the edge first, then the device; with `ready` the device first."""
    rng = np.random.default_rng([seed, users, ready])
    steps = np.array([0.0, 2.0, 5.0, 8.0, 10.0])
    edge, device = 0.1, 0.1 * users * rng.uniform(0.5, 1.5, users)
    at_edge, at_device = edge * steps[None] * np.ones((users, 1)), device[:, None] * (10.0 - steps)
    law: dict[str, Any] = {"downlink_efficiency": rng.uniform(1.0, 6.0, users)}
    if shannon:
        law = {"downlink_snr_hz": 10.0 ** rng.uniform(6, 7, users)}
    return SequencedEdgeProblem(
        release_s=0.05 + (at_device if ready else 0.0 * at_edge), edge_work_s=at_edge,
        after_s=0.1 + (0.0 * at_edge if ready else at_device),
        downlink_bit=np.where(at_edge > 0, 2e5, 0.0), downlink_hz=1e5 * users, objective=objective, **law,
    )  # fmt: skip


def test_methods_of_the_class() -> None:
    assert methods("SequencedEdgeProblem") == ("auto", "prices", "enumerate", "sequenced_edge")
    assert "sequenced_edge" not in methods("AllocationProblem")
    with pytest.raises(InvalidInput, match="method: found 'square_root_milp'"):
        solve(draw_turns(1, objective="sum"), "square_root_milp")
    with pytest.raises(InvalidInput, match="SequencedEdgeProblem"):
        solve(draw_turns(1, objective="sum"), "edge_placement")


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_one_option_each_is_smiths_or_lawlers_order(objective: str) -> None:
    rng = np.random.default_rng(5)
    g, w, q = rng.exponential(1.0, 6), rng.uniform(0.3, 3.0, 6), rng.exponential(2.0, 6)
    known = (bounds.sequencing_sum if objective == "sum" else bounds.sequencing_max)(g, weight=w, fixed_s=q)
    problem = SequencedEdgeProblem(
        release_s=np.zeros((6, 1)), edge_work_s=g[:, None], after_s=q[:, None], downlink_bit=np.zeros((6, 1)),
        downlink_hz=0.0, weight=w, objective=objective,
    )  # fmt: skip
    found = solve(problem, gap=1e-8)
    assert found.objective_s == pytest.approx(known.objective_s, rel=1e-12)
    assert found.is_optimal(1e-8)


def test_enumerate_looks_at_everything_and_refuses_what_is_too_large() -> None:
    problem = draw_turns(4, objective="sum")
    found = solve(problem, "enumerate", gap=1e-8)
    assert (found.bound_source, found.method, found.certificate) == ("enumeration", "enumerate", None)
    assert found.objective_s == pytest.approx(solve(problem, gap=1e-9).objective_s, rel=1e-9)
    with pytest.raises(InvalidInput, match="at most 12 chains"):
        solve(crowd(13, "max"), "enumerate")


@pytest.mark.long_list(of=4)
@pytest.mark.parametrize("shannon", [False, True])
@pytest.mark.parametrize("objective", ["sum", "max"])
@pytest.mark.parametrize("ready", [False, True])
def test_prices_of_time_are_below_what_labels_find(objective: str, ready: bool, shannon: bool) -> None:
    problem = crowd(5, objective, ready=ready, shannon=shannon)
    exact, priced = solve(problem, gap=1e-7), solve(problem, "prices", gap=1e-3)
    assert exact.status == "optimal"
    assert priced.certificate is not None
    assert priced.certificate.verify(problem, exact=True).holds
    assert priced.lower_bound_s <= exact.objective_s * (1 + 1e-9)
    assert priced.lower_bound_s >= 0.9 * exact.objective_s
    assert exact.objective_s <= priced.objective_s * (1 + 1e-12)


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_a_time_limit_leaves_an_answer_with_a_true_bound(objective: str) -> None:
    problem = crowd(30, objective, ready=objective == "sum")
    found = solve(problem, gap=1e-12, time_limit_s=0.5)
    assert problem.evaluate(found).violation <= 1e-12
    assert 0 <= found.lower_bound_s <= found.objective_s
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


def test_many_users_whose_downloads_differ() -> None:
    rng = np.random.default_rng(3)
    for users, options in ((70, 4), (12, 40)):  # too many combinations of downloads for a number of 64 bits
        shape = (users, options)
        problem = SequencedEdgeProblem(
            release_s=rng.uniform(0.0, 1.0, shape), edge_work_s=rng.uniform(0.0, 0.2, shape),
            after_s=rng.uniform(0.0, 1.0, shape), downlink_bit=rng.uniform(0.0, 1e5, shape), downlink_hz=1e5 * users,
            downlink_efficiency=rng.uniform(1.0, 3.0, users), objective="sum",
        )  # fmt: skip
        found = solve(problem, gap=0.2, time_limit_s=10.0)
        assert problem.evaluate(found).violation <= 1e-12
        assert found.certificate is not None
        assert found.certificate.verify(problem).holds
        least = (problem.release_s + problem.edge_work_s + problem.after_s).min(axis=1).sum()
        assert least <= found.objective_s


def test_no_time_at_all_is_proven() -> None:
    nothing = np.zeros((2, 1))
    for objective in ("sum", "max"):
        found = solve(SequencedEdgeProblem(
            release_s=nothing, edge_work_s=nothing, after_s=nothing, downlink_bit=nothing, downlink_hz=1.0,
            objective=objective,
        ))  # fmt: skip
        assert (found.objective_s, found.gap, found.status) == (0.0, 0.0, "optimal")
        assert found.order.tolist() == []
        assert np.isnan(found.start_s).all()


def test_without_a_turn_nothing_is_decided() -> None:
    problem = draw_turns(9, objective="max")
    found = solve(problem)
    turn = problem.edge_work_s[np.arange(problem.users), found.option] > 0
    assert np.isnan(found.start_s).tolist() == (~turn).tolist()
    assert sorted(found.order.tolist()) == np.flatnonzero(turn).tolist()
    sends = problem.downlink_bit[np.arange(problem.users), found.option] > 0
    assert not found.downlink_hz[~sends].any()


def test_integrals_of_steps() -> None:
    steps = Steps(np.array([1.0, 3.0]), np.array([2.0, 0.5]))
    assert steps.integral(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 9.0])).tolist() == [0.0, 0.0, 1.0, 2.0, 2.5, 3.0]
    assert steps.total == 3.0
    assert steps.square == pytest.approx(0.5 * (4.0 + 2 * 0.25))
    assert Steps.of(steps.prices(7.0)).height.tolist() == [2.0, 0.5]


def test_equal_steps_are_one() -> None:
    assert Steps(np.array([1.0, 2.0, 3.0]), np.array([4.0, 4.0, 1.0])).prices(0.0) == (
        0.0,
        0.0,
        0.0,
        2.0,
        4.0,
        3.0,
        1.0,
    )


@pytest.mark.parametrize("shannon", [False, True])
def test_shares_of_the_band(shannon: bool) -> None:
    rng = np.random.default_rng(3)
    a, w, end = rng.uniform(0.1, 1.0, 4), rng.uniform(0.5, 2.0, 4), rng.uniform(0.0, 2.0, 4)
    gamma = rng.uniform(0.5, 30.0, 4) if shannon else np.full(4, np.inf)

    def seconds(x: np.ndarray) -> np.ndarray:
        return np.asarray(a / (x * np.log1p(gamma / x) if shannon else x))

    x, price = best_sum(w, a, gamma)
    assert x.sum() == pytest.approx(1.0, rel=1e-12)
    value = float(w @ seconds(x))
    for i, j in itertools.permutations(range(4), 2):
        other = x.copy()
        other[i], other[j] = x[i] + 1e-3, x[j] - 1e-3
        assert float(w @ seconds(other)) > value
    grown = (w @ seconds(x * (1 + 1e-6)) - value) / -1e-6
    assert grown == pytest.approx(price, rel=1e-3)
    level, x = level_of(end, w, a, gamma)
    assert x.sum() == pytest.approx(1.0, rel=1e-12)
    assert (w * (end + seconds(x))).tolist() == pytest.approx([level] * 4, rel=1e-9)
    share, slope = need(np.array([1.0, 1.0 + 1e-6, -1.0]), np.full(3, a[0]), np.full(3, gamma[0]))
    assert slope[0] == pytest.approx((share[1] - share[0]) / 1e-6, rel=1e-4)
    assert share[2] == np.inf


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_ends_of_many_orders_are_those_of_each(objective: str) -> None:
    problem = draw_turns(5, objective=objective)
    costs = TurnCosts(problem)
    moves = Moves(costs, np.inf)
    option = costs.turn.argmax(axis=1)
    for queue in itertools.permutations(range(problem.users)):
        order = np.array(queue)
        end, _ = moves.ends(option[None], order[None])
        schedule = moves.plan(option, order).schedule
        work = problem.edge_work_s[np.arange(problem.users), option]
        turn = costs.turn[np.arange(problem.users), option]
        assert end[0][turn].tolist() == pytest.approx((schedule.start_s + work)[turn].tolist(), rel=1e-14)


def test_moves_do_not_make_a_plan_worse() -> None:
    costs = TurnCosts(crowd(8, "max"))
    plan = good_plan(costs, np.inf, 1)
    first = min(one.objective for one in Moves(costs, np.inf).starts())
    assert plan.objective <= first
    assert costs.problem.evaluate(plan.schedule).violation == 0.0
