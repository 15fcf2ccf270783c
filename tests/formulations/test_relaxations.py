"""Bounds of the relaxed programs: their order, their golden values, and where they must be equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from megdt_opt import solve
from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.formulations import option_misocp, option_misocp_perspective
from megdt_opt.formulations._checks import whole_budget_s, workable_options
from megdt_opt.tolerances import BOUND, SOLVER

GOLDEN: list[dict[str, Any]] = json.loads(Path(__file__).with_name("golden_relaxations.json").read_text("utf-8"))
"""Optimum (by enumeration) and relaxation bounds [s] of seeded instances of `make_cuts`."""


def _name(row: dict[str, Any]) -> str:
    return f"{row['seed']}-{row['objective']}-{'limited' if row['limited'] else 'plain'}"


@pytest.mark.parametrize("row", GOLDEN, ids=_name)
def test_golden_relaxations(make_cuts: Any, row: dict[str, Any]) -> None:
    problem = make_cuts(row["seed"], row["objective"], limited=row["limited"])
    optimum_s = solve(problem, method="enumerate").objective_s
    compact_s = option_misocp.relaxation_bound_s(problem)
    perspective_s = option_misocp_perspective.relaxation_bound_s(problem)
    assert optimum_s == pytest.approx(row["optimum_s"], rel=SOLVER)
    assert compact_s == pytest.approx(row["compact_s"], rel=SOLVER)
    assert perspective_s == pytest.approx(row["perspective_s"], rel=SOLVER)
    # each value is some 1e-9 below its relaxation, by Clarabel's tolerance
    assert compact_s <= perspective_s * (1 + 10 * BOUND)
    assert perspective_s <= optimum_s * (1 + BOUND)


def test_the_golden_instances_tell_the_strengths_apart() -> None:
    ratios = [row["perspective_s"] / row["compact_s"] for row in GOLDEN if row["limited"]]
    loose = [row["compact_s"] / row["optimum_s"] for row in GOLDEN]
    assert min(ratios) > 1.01
    assert max(loose) < 0.999


@pytest.mark.parametrize("seed", [2, 4])
@pytest.mark.parametrize("objective", ["max", "sum"])
def test_cones_of_pairs_alone_gain_nothing(make_cuts: Any, seed: int, objective: str) -> None:
    # sequential options without limits: a compact point splits into parts that keep every cone
    problem = make_cuts(seed, objective, limited=False)
    mask = workable_options(problem)
    q = option_misocp_perspective.make_model(problem, mask, whole=False)
    cones = [c for c in option_misocp_perspective.CONSTRAINTS if c.__name__ not in ("share_limit", "stage_sum")]
    alone_s = option_misocp.relaxed_s(problem, mask, option_misocp.program(q, tuple(cones)))
    assert alone_s == pytest.approx(option_misocp.relaxation_bound_s(problem), rel=1e-7)


@pytest.mark.parametrize("seed", [2, 4])
def test_relaxation_of_the_square_root_rule(make_cuts: Any, seed: int) -> None:
    # sum without limits: shares eliminated by the square-root rule leave a quadratic program in n alone
    problem = make_cuts(seed, "sum", limited=False)
    n = cp.Variable(problem.fixed_s.shape, nonneg=True)
    weight = problem.weights[:, None]
    roots = np.sqrt(weight * whole_budget_s(problem))
    cost = cp.sum(cp.multiply(weight * problem.fixed_s, n)) + sum(cp.square(cp.sum(cp.multiply(P, n))) for P in roots)
    value_s = cp.Problem(cp.Minimize(cost), [cp.sum(n, axis=1) == 1]).solve(solver=cp.OSQP, eps_abs=1e-9, eps_rel=1e-9)
    assert option_misocp.relaxation_bound_s(problem) == pytest.approx(value_s, rel=1e-7)


def test_a_relaxation_that_is_infeasible(edge_only: Any) -> None:
    alone = edge_only(3, 0, "max")
    deadline_s = alone.fixed_s[:, 0] + 1.5 * alone.edge_work_s[:, 0] / alone.edge_capacity
    for module in (option_misocp, option_misocp_perspective):
        with pytest.raises(Infeasible):
            module.relaxation_bound_s(edge_only(3, 0, "max", deadline_s=deadline_s))


def test_refusals(make_problem: Any) -> None:
    for module in (option_misocp, option_misocp_perspective):
        with pytest.raises(InvalidInput, match="linear rates"):
            module.relaxation_bound_s(make_problem(2, 2, 0, "max", shannon=True))
