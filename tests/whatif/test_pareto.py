"""Fronts of the objective against costs: every point is proven, none is dominated, and none is missed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_costs import draw_costs

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, pareto_front, solve
from megdt_opt.tolerances import EXACT


def free_problem(number: int) -> AllocationProblem:
    return replace(draw_costs(number, seed=9), cost_max=None, cost_weight_s=None)


def true_front(problem: AllocationProblem) -> list[tuple[float, float]]:
    """Totals of the first cost and objectives of which none dominates another, by trying every option set."""
    assert problem.option_cost is not None
    found = []
    for option in itertools.product(range(problem.options), repeat=problem.users):
        only = np.zeros((problem.users, problem.options), bool)
        only[np.arange(problem.users), list(option)] = True
        total = float(problem.option_cost[np.arange(problem.users), list(option), 0].sum())
        found.append((solve(replace(problem, allowed=only), "enumerate").objective_s, total))
    front: list[tuple[float, float]] = []
    for value, total in sorted(found):
        if not front or total < front[-1][0] - 1e-12:
            front.append((total, value))
    return front[::-1]


@pytest.mark.parametrize("number", [2, 8, 9])
def test_every_point_is_on_the_true_front_and_proven(number: int) -> None:
    problem = free_problem(number)
    truth = true_front(problem)
    front = pareto_front(problem, points=12, gap=1e-7)
    for point in front.points:
        assert point.allocation.is_proven(point.problem, 1e-7)
        assert point.cost[0] <= point.limit[0] * (1 + 1e-12)
        best = min(value for total, value in truth if total <= point.limit[0] * (1 + 1e-12))
        assert point.objective_s == pytest.approx(best, rel=1e-6)
        assert point.allocation.certificate is not None
        assert point.allocation.certificate.verify(point.problem).holds
    ends = [front.points[0].cost[0], front.points[-1].cost[0]]
    assert ends == pytest.approx([truth[0][0], truth[-1][0]], rel=EXACT, abs=1e-12)


@pytest.mark.parametrize(("number", "cost"), [(3, 0), (2, (0, 1)), (8, (1, 0)), (14, 0)])
def test_costs_rise_and_objectives_fall(number: int, cost: Any) -> None:
    front = pareto_front(free_problem(number), cost, points=4)
    rows = [(*point.cost, point.objective_s) for point in front.points]
    for one, other in itertools.permutations(rows, 2):
        assert not all(a <= b for a, b in zip(one, other, strict=True))
    if isinstance(cost, int):
        assert rows == sorted(rows)
        assert [row[-1] for row in rows] == sorted((row[-1] for row in rows), reverse=True)


def test_other_limits_hold_and_limits_that_cannot_be_kept_are_said() -> None:
    problem = free_problem(2)
    assert problem.option_cost is not None
    total = problem.evaluate(pareto_front(problem, 1, points=3).points[0].allocation).cost
    assert total is not None
    bound = replace(problem, cost_max=np.array([np.inf, float(total[1])]))
    front = pareto_front(bound, 0, points=6)
    for point in front.points:
        seen = bound.evaluate(point.allocation)
        assert seen.violation == 0
    hard = replace(problem, deadline_s=np.full(problem.users, solve(replace(problem, objective="max")).objective_s * 2))
    front = pareto_front(hard, 0, points=8)
    for limit in front.beyond:
        with pytest.raises(Infeasible):
            solve(replace(hard, cost_max=np.array([limit[0], np.inf])))


@pytest.mark.parametrize(
    ("changes", "arguments", "named"),
    [
        ({"option_cost": None}, {}, "option_cost"),
        ({}, {"cost": 7}, "cost"),
        ({}, {"cost": (0, 0)}, "cost"),
        ({}, {"cost": "energy"}, "cost"),
        ({}, {"cost": ()}, "cost"),
        ({}, {"points": 1}, "points"),
        ({}, {"points": 2.5}, "points"),
        ({"cost_weight_s": [0.5, 0.0]}, {}, r"cost_weight_s \(cost 0\)"),
    ],
)
def test_what_makes_no_front_is_refused_by_name(changes: Any, arguments: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        pareto_front(replace(free_problem(2), **changes), **arguments)


def test_missed_has_no_front() -> None:
    problem = replace(free_problem(2), option_cost=None, objective="missed", deadline_s=[1.0] * free_problem(2).users)
    with pytest.raises(InvalidInput, match="missed"):
        pareto_front(problem)
