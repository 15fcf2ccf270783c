"""The objective "missed" in `option_misocp`: against the price method and the oracle, constraint by constraint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from megdt_opt import solve
from megdt_opt.formulations import option_misocp
from megdt_opt.tolerances import EXACT, SOLVER

SOFT_S = np.array([3.0, 6.0, 2.5, 7.5])


def missed(make_problem: Any, **fields: Any) -> Any:
    return make_problem(4, 3, 5, "missed", deadline_s=SOFT_S, **fields)


@pytest.mark.parametrize("airtime_s", [None, 0.4])
def test_three_routes_agree(make_problem: Any, airtime_s: float | None) -> None:
    limit = None if airtime_s is None else np.full((4, 3), airtime_s)
    problem = missed(make_problem, uplink_airtime_max_s=limit)
    routes = [solve(problem, method=method) for method in ("option_misocp", "prices", "enumerate")]
    best = routes[-1].objective_s
    assert 0 < best < problem.weights.sum()
    for found in routes:
        assert found.objective_s == pytest.approx(best, rel=SOLVER)
        assert found.lower_bound_s == pytest.approx(best, rel=SOLVER)
        assert found.evaluate(problem).violation <= EXACT
    assert routes[0].bound_source == "solver"


def model(make_problem: Any) -> option_misocp.Model:
    q = option_misocp.make_model(missed(make_problem), np.ones((4, 3), dtype=bool))
    q.n.value, q.late.value = np.zeros(12), np.ones(4)
    q.v.value = np.zeros(4)
    return q


def worst(held: list[Any]) -> float:
    return max(float(np.max(one.violation())) for one in held)


def test_late_takes_the_place_of_an_option(make_problem: Any) -> None:
    q = model(make_problem)
    assert worst(option_misocp.one_option(q)) == 0.0
    q.late.value = np.array([0.0, 1.0, 1.0, 1.0])
    assert worst(option_misocp.one_option(q)) == 1.0
    q.n.value = np.eye(12)[0]
    assert worst(option_misocp.one_option(q)) == 0.0
    q.late.value = np.ones(4)
    assert worst(option_misocp.one_option(q)) == 1.0


def test_the_deadline_is_the_soft_one(make_problem: Any) -> None:
    problem = missed(make_problem)
    q = model(make_problem)
    unit = option_misocp.units(problem, np.ones((4, 3), dtype=bool))
    unit_s = unit.objective_unit_s / problem.weights.mean()
    q.v.value = SOFT_S / unit_s
    assert worst(option_misocp.deadline(q)) <= 1e-9
    q.v.value = 1.02 * SOFT_S / unit_s
    assert worst(option_misocp.deadline(q)) > 1e-2
