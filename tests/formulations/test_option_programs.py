"""The programs that decide options, against enumeration in NumPy and against each other."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from megdt_opt import solve
from megdt_opt.errors import Infeasible, InvalidInput
from megdt_opt.formulations import (
    _disjunctive,
    convex_allocation,
    option_gdp,
    option_gdp_bigm,
    option_gdp_outer,
    option_misocp,
    option_misocp_perspective,
)
from megdt_opt.formulations._checks import fix_options, whole_budget_s, workable_options
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.tolerances import BOUND, SOLVER

GAP = 1e-6
LINEAR = [option_misocp, option_misocp_perspective, option_gdp, option_gdp_bigm]
PROGRAMS = [*LINEAR, option_gdp_outer]
by_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda m: m.__name__.rsplit(".", 1)[1])


def solved(program: Any, problem: AllocationProblem) -> tuple[float, Any]:
    raw = program.solve(problem, gap=GAP, time_limit_s=30.0)
    found = evaluate(problem, raw.option, raw.downlink_hz, raw.uplink_hz, raw.edge_share)
    assert found.violation <= SOLVER
    assert raw.bound is not None
    assert raw.bound <= found.objective_s * (1 + BOUND)
    assert found.objective_s - raw.bound <= 5 * GAP * found.objective_s
    return found.objective_s, raw


def square_root_enumeration(problem: AllocationProblem) -> float:
    """Least sum over all option sets by the square-root rule [s]."""
    roots = np.sqrt(problem.weights[:, None] * whole_budget_s(problem))
    fixed = problem.weights[:, None] * problem.fixed_s
    users = np.arange(problem.users)
    return min(
        float(fixed[users, o].sum() + (roots[:, users, o].sum(axis=1) ** 2).sum())
        for o in map(np.array, itertools.product(range(problem.options), repeat=problem.users))
    )


@functools.lru_cache  # the same problem comes once for every program
def convex_enumeration(problem: AllocationProblem) -> float:
    """Least objective over all option sets, shares by the convex program [s]; infinite where none is feasible."""
    best = np.inf
    for o in itertools.product(*[np.flatnonzero(row) for row in workable_options(problem)]):
        try:
            raw = convex_allocation.solve(fix_options(problem, np.array(o)), gap=GAP, time_limit_s=None)
        except Infeasible:
            continue
        found = evaluate(problem, raw.option, raw.downlink_hz, raw.uplink_hz, raw.edge_share)
        best = min(best, found.objective_s)
    return best


@pytest.mark.long_list("program")
@by_program
@pytest.mark.parametrize("seed", range(2))
def test_sum_against_closed_form_enumeration(make_problem: Any, program: Any, seed: int) -> None:
    problem = make_problem(3, 4, seed, "sum")
    assert solved(program, problem)[0] == pytest.approx(square_root_enumeration(problem), rel=SOLVER)


@by_program
def test_max_against_bisection(make_problem: Any, program: Any) -> None:
    # one resource: at a value D each user takes the open option that asks least of the edge
    zero = np.zeros((4, 3))
    problem = make_problem(4, 3, 1, "max", downlink_bit=zero, uplink_bit=zero)
    low, high = 0.0, 1e3
    for _ in range(100):
        middle = 0.5 * (low + high)
        left_s = middle / problem.weights[:, None] - problem.fixed_s
        with np.errstate(divide="ignore"):
            asked = np.where(left_s > 0, problem.edge_work_s / left_s, np.inf).min(axis=1).sum()
        low, high = (middle, high) if asked > problem.edge_capacity else (low, middle)
    assert solved(program, problem)[0] == pytest.approx(high, rel=SOLVER)


@functools.lru_cache
def _everything(make_problem: Any, objective: str) -> AllocationProblem:
    r = np.random.default_rng(7)
    allowed = np.ones((3, 3), dtype=bool)
    allowed[1, 2] = False
    return make_problem(
        3, 3, 4, objective, device_branch_s=r.uniform(0.0, 8.0, (3, 3)), deadline_s=[60.0, 30.0, 40.0],
        edge_share_max=[0.05, 0.2, 0.2], uplink_airtime_max_s=np.full((3, 3), 0.15), allowed=allowed,
    )  # fmt: skip


@pytest.mark.long_list("objective", of=5)
@by_program
@pytest.mark.parametrize("objective", ["max", "sum", "mixed"])
def test_all_limits_against_enumeration(make_problem: Any, program: Any, objective: str) -> None:
    problem = _everything(make_problem, objective)
    value, raw = solved(program, problem)
    assert value == pytest.approx(convex_enumeration(problem), rel=SOLVER)
    assert raw.option[1] != 2


def test_the_two_agree(make_problem: Any) -> None:
    problem = make_problem(5, 4, 11, "max")
    assert solved(option_misocp, problem)[0] == pytest.approx(solved(option_gdp, problem)[0], rel=SOLVER)


@by_program
def test_conflicting_deadlines(edge_only: Any, program: Any) -> None:
    alone = edge_only(3, 0, "max")
    deadline_s = alone.fixed_s[:, 0] + 1.5 * alone.edge_work_s[:, 0] / alone.edge_capacity
    with pytest.raises(Infeasible) as caught:
        solve(edge_only(3, 0, "max", deadline_s=deadline_s), program.__name__.rsplit(".", 1)[1], GAP, 30.0)
    # any two of the three clash already, and the door names two of them
    assert len(caught.value.users) == 2
    assert {c.limit for c in caught.value.conflicts} == {"deadline"}


@by_program
def test_refusals(make_problem: Any, program: Any) -> None:
    if program in LINEAR:
        with pytest.raises(InvalidInput, match="downlink_snr_hz.*linear rates"):
            program.solve(make_problem(2, 2, 0, "max", shannon=True), gap=GAP, time_limit_s=None)
    if program is not option_misocp:
        with pytest.raises(InvalidInput, match="missed"):
            program.solve(make_problem(2, 2, 0, "missed", deadline_s=[1.0, 1.0]), gap=GAP, time_limit_s=None)


def test_a_variant_replaces_one_entry(make_problem: Any) -> None:
    def stage_time_perspective(q: option_misocp.Model) -> list[Any]:
        """t' x' >= D n^2 for each pair, t = Σ t', x = Σ x'."""
        held: list[Any] = []
        for t, x, D in zip(q.t, q.x, q.D, strict=True):
            ts, xs = cp.Variable(q.n.size, nonneg=True), cp.Variable(q.n.size, nonneg=True)
            held += [cp.SOC(ts + xs, cp.vstack([2 * cp.multiply(np.sqrt(D), q.n), ts - xs]), axis=0)]
            held += [t >= q.A @ ts, x >= q.A @ xs]
        return held

    problem = make_problem(2, 2, 3, "sum")
    q = option_misocp.make_model(problem, workable_options(problem))
    variant = tuple(stage_time_perspective if c is option_misocp.stage_time else c for c in option_misocp.CONSTRAINTS)
    value = option_misocp.program(q, variant).solve(solver=cp.SCIP)
    unit_s = option_misocp.units(problem, workable_options(problem)).objective_unit_s
    assert value * unit_s * problem.users == pytest.approx(square_root_enumeration(problem), rel=1e-4)


def test_a_ceiling_is_proven_where_equal_shares_miss_a_deadline(make_problem: Any) -> None:
    # equal shares miss the deadline, so the feasible point behind the ceiling comes from the convex program
    zero = np.zeros((2, 1))
    problem = make_problem(
        2, 1, 0, "sum", downlink_bit=zero, uplink_bit=zero, edge_work_s=[[1.0], [1.0]], fixed_s=zero,
        edge_capacity=1.0, deadline_s=[1.25, 1e6], weight=[1.0, 1.0],
    )  # fmt: skip
    mask = workable_options(problem)
    u = option_gdp.units(problem, mask)
    ceiling_s = _disjunctive.ceilings(problem, mask, u) * u.objective_unit_s
    assert ceiling_s[0] == pytest.approx(1.25)
    # user 0 takes at least 1 s, so user 1 has at most 0.25 s more than at the optimum
    assert 5.0 <= ceiling_s[1] <= 5.26
    assert solved(option_gdp, problem)[0] == pytest.approx(1.25 + 5.0, rel=SOLVER)


def test_no_ceiling_where_a_deadline_conflict_leaves_others_free(edge_only: Any) -> None:
    # two deadlines clash; the third user has none, and so no ceiling of its own
    alone = edge_only(3, 0, "sum")
    deadline_s = alone.fixed_s[:, 0] + 1.5 * alone.edge_work_s[:, 0] / alone.edge_capacity
    deadline_s[2] = 1e9
    problem = edge_only(3, 0, "sum", deadline_s=deadline_s)
    for program in (option_gdp, option_gdp_bigm, option_gdp_outer):
        with pytest.raises(Infeasible):
            program.solve(problem, gap=GAP, time_limit_s=30.0)


@pytest.mark.parametrize("program", [option_gdp_bigm, option_gdp_outer], ids=["bigm", "outer"])
def test_weights_over_eight_decades_and_tiny_budgets(make_problem: Any, program: Any) -> None:
    r = np.random.default_rng(8)
    problem = make_problem(
        4, 3, 8, "sum", weight=[1e-4, 1e-2, 10.0, 1e4], downlink_hz=1e-5, uplink_hz=3e7, edge_capacity=1e8,
        downlink_bit=r.uniform(1e-6, 1e-4, (4, 3)), edge_work_s=r.uniform(1e6, 1e9, (4, 3)),
    )  # fmt: skip
    assert solved(program, problem)[0] == pytest.approx(square_root_enumeration(problem), rel=SOLVER)


ZEROS: dict[str, tuple[dict[str, Any], float]] = {
    # fields, and the optimum
    "no air time for who sends": ({"uplink_airtime_max_s": [[0.0, 0.0], [1.0, 1.0]]}, 1.8),
    "no air time and nothing to send": (
        {"uplink_airtime_max_s": np.zeros((2, 2)), "uplink_bit": np.zeros((2, 2))},
        1.6,
    ),
    "no demand at all": ({name: np.zeros((2, 2)) for name in ("uplink_bit", "downlink_bit", "edge_work_s")}, 0.3),
    "no signal for who sends nothing": ({"uplink_bit": [[0, 0], [0, 1e5]], "uplink_efficiency": [0.0, 1.0]}, 1.6),
}


@pytest.mark.long_list("zero", of=8)
@by_program
@pytest.mark.parametrize("zero", ZEROS)
def test_zeros_divide_nothing(program: Any, zero: str) -> None:
    """A limit or a demand of zero closes what it closes, without a warning (which would be an error here)."""
    given, total = ZEROS[zero]
    numbers: dict[str, Any] = {
        "fixed_s": [[1.0, 0.2], [0.8, 0.1]], "downlink_bit": [[0, 1e5], [0, 2e5]], "uplink_bit": [[0, 1e5], [0, 1e5]],
        "edge_work_s": [[0, 0.5], [0, 0.4]], "downlink_hz": 1e6, "uplink_hz": 1e6, "downlink_efficiency": [1, 1],
        "uplink_efficiency": [1, 1], "objective": "sum",
    }  # fmt: skip
    assert solved(program, AllocationProblem(**(numbers | given)))[0] == pytest.approx(total, rel=SOLVER)


def test_no_signal_under_the_shannon_law_divides_nothing() -> None:
    problem = AllocationProblem(
        fixed_s=[[0.9], [0.5]], downlink_bit=np.zeros((2, 1)), uplink_bit=[[0.0], [1e5]], edge_work_s=np.zeros((2, 1)),
        downlink_hz=0.0, uplink_hz=1e6, uplink_snr_hz=[0.0, 1e6], objective="sum",
    )  # fmt: skip
    assert solved(option_gdp_outer, problem)[0] == pytest.approx(0.9 + 0.5 + 0.1, rel=SOLVER)
