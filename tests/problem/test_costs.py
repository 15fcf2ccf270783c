"""Costs beside the latency: what is taken, what is refused, how an answer is judged, and what cannot be kept."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_costs import draw_costs

from megdt_opt import (
    AllocationProblem,
    AlphaFairProblem,
    Infeasible,
    InvalidInput,
    LexicographicProblem,
    evaluate,
    explain,
    regret,
    replan,
    shadow_prices,
    solve,
    solve_batch,
)  # fmt: skip

COST = np.array([[[3.0, 1.0], [0.5, 2.0]], [[4.0, 0.0], [1.0, 2.0]]])


def two_users(**changes: Any) -> AllocationProblem:
    """At the edge at once, or on the device later."""
    fields: dict[str, Any] = {
        "fixed_s": [[0.5, 4.0], [0.5, 6.0]], "edge_work_s": [[1.0, 0.0], [1.0, 0.0]], "downlink_hz": 1e6,
        "downlink_bit": [[1e6, 0.0], [1e6, 0.0]], "uplink_bit": np.zeros((2, 2)), "uplink_hz": 0.0,
        "downlink_efficiency": [1.0, 2.0], "objective": "sum", "option_cost": COST,
    }  # fmt: skip
    return AllocationProblem(**{**fields, **changes})


def test_an_evaluation_shows_both_parts_and_each_total() -> None:
    problem = two_users(cost_max=[6.0, math.inf], cost_weight_s=[0.1, 0.0])
    found = evaluate(problem, [0, 1], [1e6, 0.0], [0.0, 0.0], [1.0, 0.0])
    assert found.cost is not None
    assert found.cost.tolist() == [4.0, 3.0]
    assert found.cost_part_s == pytest.approx(0.4)
    assert found.latency_part_s == pytest.approx(8.5)
    assert found.objective_s == pytest.approx(8.9)
    assert found.violation == 0
    over = evaluate(problem, [0, 0], [0.5e6, 0.5e6], [0.0, 0.0], [0.5, 0.5])
    assert over.violation == pytest.approx(1 / 6)
    plain = evaluate(
        replace(problem, option_cost=None, cost_max=None, cost_weight_s=None), [0, 1], [1e6, 0], [0, 0], [1, 0]
    )
    assert (plain.cost, plain.cost_part_s, plain.latency_part_s) == (None, 0.0, plain.objective_s)


def test_a_total_that_meets_its_limit_but_for_rounding_is_within_it() -> None:
    problem = two_users(option_cost=np.full((2, 2, 1), 0.1), cost_max=[0.2])
    assert solve(problem).status == "optimal"
    three = AllocationProblem(
        fixed_s=np.ones((3, 1)), edge_work_s=np.zeros((3, 1)), downlink_bit=np.zeros((3, 1)), downlink_hz=0.0,
        uplink_bit=np.zeros((3, 1)), uplink_hz=0.0, option_cost=np.full((3, 1, 1), 0.1), cost_max=[0.3],
    )  # fmt: skip
    found = solve(three)
    assert found.is_proven(three)
    assert three.evaluate(found).violation == 0


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_a_limit_and_a_weight_change_what_is_chosen(objective: str) -> None:
    free = two_users(objective=objective, edge_work_s=[[0.1, 0.0], [0.1, 0.0]])
    assert solve(free).option.tolist() == [0, 0]
    limited = replace(free, cost_max=np.array([5.0, math.inf]))
    assert solve(limited).option.tolist() == [1, 0]
    assert solve(limited).is_proven(limited)
    weighted = two_users(objective=objective, cost_weight_s=[10.0, 0.0])
    found = solve(weighted)
    assert found.option.tolist() == [1, 1]
    seen = weighted.evaluate(found)
    assert seen.objective_s == pytest.approx(seen.latency_part_s + 15.0)
    assert found.is_proven(weighted)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("option_cost", [[1.0, 2.0], [3.0, 4.0]], "option_cost"),
        ("option_cost", np.full((2, 2, 1), -1.0), r"option_cost \(user 0, option 0, cost 0\)"),
        ("option_cost", np.where(COST == 4.0, np.nan, COST), r"option_cost \(user 1, option 0, cost 0\)"),
        ("option_cost", np.zeros((2, 2, 0)), "option_cost"),
        ("option_cost", "much", "option_cost"),
        ("cost_max", [1.0], "cost_max"),
        ("cost_max", [-1.0, 2.0], r"cost_max \(cost 0\)"),
        ("cost_max", [1.0, math.nan], r"cost_max \(cost 1\)"),
        ("cost_weight_s", [1.0, math.inf], r"cost_weight_s \(cost 1\)"),
        ("cost_weight_s", [1.0, -2.0], r"cost_weight_s \(cost 1\)"),
        ("cost_weight_s", 3.0, "cost_weight_s"),
    ],
)
def test_wrong_costs_are_refused_by_field_and_place(field: str, value: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        two_users(**{field: value})


@pytest.mark.parametrize("field", ["cost_max", "cost_weight_s"])
def test_limits_and_weights_of_no_costs_are_refused(field: str) -> None:
    with pytest.raises(InvalidInput, match=field):
        two_users(option_cost=None, **{field: [1.0, 1.0]})


def test_missed_is_refused_with_the_reason() -> None:
    with pytest.raises(InvalidInput, match="'missed', to which no seconds can be added"):
        two_users(objective="missed", deadline_s=[1.0, 1.0])


def test_a_limit_below_the_least_total_says_what_is_reached() -> None:
    with pytest.raises(
        Infeasible, match=r"cost_max of cost 0 is 1, but the total over the users is at least 1\.5"
    ) as e:
        solve(two_users(cost_max=[1.0, 9.0]))
    (conflict,) = e.value.conflicts
    assert (conflict.user, conflict.limit, conflict.value) == (None, "cost_max of cost 0", 1.0)


def test_limits_that_clash_say_how_far_they_must_be_raised() -> None:
    problem = two_users(cost_max=[5.0, 1.5])  # the least totals are 1.5 and 1, but not both
    with pytest.raises(Infeasible, match=r"together.*cost 0 5, .*cost 1 1\.5.*at least 1\.333 times") as error:
        solve(problem)
    assert [c.value for c in error.value.conflicts] == [5.0, 1.5]
    raised = replace(problem, cost_max=np.array([5.0, 1.5]) * 1.3334)
    assert solve(raised).option.tolist() == [1, 0]


def test_a_limit_and_deadlines_that_clash_are_both_named() -> None:
    problem = two_users(cost_max=[2.0, 9.0], deadline_s=[3.0, 9.0])
    with pytest.raises(Infeasible) as error:
        solve(problem)
    limits = {conflict.limit for conflict in error.value.conflicts}
    assert {"deadline", "cost_max of cost 0"} <= limits
    assert error.value.users == (0,)


def test_every_route_honours_costs_or_refuses_them_by_name() -> None:
    problem = draw_costs(4, seed=4)
    best = solve(problem, gap=1e-8)
    assert solve(problem, "enumerate").objective_s == pytest.approx(best.objective_s, rel=1e-8)
    assert solve(problem, "option_misocp", gap=1e-6).objective_s == pytest.approx(best.objective_s, rel=1e-6)
    for method in ("deadline_milp", "square_root_milp", "convex_allocation", "option_gdp", "option_gdp_bigm",
                   "option_gdp_outer", "option_misocp_perspective"):  # fmt: skip
        objective = "max" if method == "deadline_milp" else "sum"
        plain = replace(draw_costs(4, seed=4), objective=objective, device_branch_s=None, edge_share_max=None)
        with pytest.raises(InvalidInput, match=r"cost_max|option_cost|allowed"):
            solve(plain, method)
    with pytest.raises(InvalidInput, match=r"option_cost \(scenario 0\)"):
        solve_batch([problem, problem])
    for kind in (lambda p: LexicographicProblem(allocation=p), lambda p: AlphaFairProblem(allocation=p, alpha=1.0)):
        with pytest.raises(InvalidInput, match=r"allocation\.option_cost"):
            kind(problem)
    with pytest.raises(InvalidInput, match="cost_max"):
        explain(problem)


def test_what_is_asked_of_a_problem_keeps_its_costs() -> None:
    problem = draw_costs(4, seed=4)
    best = solve(problem)
    assert replan(problem, best).switched == ()
    faster = replace(problem, fixed_s=problem.fixed_s * 0.9)
    assert problem.evaluate(replan(faster, best).allocation).cost is not None
    assert replan(faster, best).allocation.objective_s == pytest.approx(solve(faster).objective_s, rel=2e-6)
    found = regret(problem, percent=10, samples=3)
    assert found.option_worst >= 0
    prices = shadow_prices(problem)
    assert prices["downlink_hz"].kept_s >= 0
