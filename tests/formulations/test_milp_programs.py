"""The two programs on HiGHS, against enumeration, against the price method, and their own first relaxations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from megdt_opt import Allocation, AllocationProblem, Infeasible, InvalidInput, SolverFailure, evaluate, solve
from megdt_opt.formulations import deadline_milp, square_root_milp
from megdt_opt.formulations._checks import workable_options
from megdt_opt.formulations._sets import shares_of, value_of
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import Evaluation
from megdt_opt.shares.best import best_shares
from megdt_opt.shares.goal import Goal
from megdt_opt.shares.interior import interior
from megdt_opt.solving.highs import Clock, Program, Rows
from megdt_opt.tolerances import BOUND, EXACT, SOLVER

METHOD = {"sum": "square_root_milp", "max": "deadline_milp"}
ROUTE = {"sum": square_root_milp, "max": deadline_milp}
GOLDEN_SUM, GOLDEN_MAX = 0.9520343099, 0.7340213376
both = pytest.mark.parametrize("objective", ["sum", "max"])


def agrees(problem: AllocationProblem, best: Allocation, gap: float = 1e-6) -> Evaluation:
    """The route's own answer, evaluated: its objective is the best one's, its bound is below and within the gap."""
    raw = ROUTE[problem.objective].solve(problem, gap=gap, time_limit_s=None)
    own = evaluate(problem, raw.option, raw.downlink_hz, raw.uplink_hz, raw.edge_share)
    assert own.violation <= BOUND
    assert own.objective_s == pytest.approx(best.objective_s, rel=SOLVER)
    assert raw.bound is not None
    assert raw.bound <= best.objective_s * (1 + BOUND)
    assert raw.bound >= own.objective_s * (1 - gap) * (1 - EXACT)
    assert "gap proven" in raw.message
    assert "programs" in raw.message
    return own


FIRST_DEADLINE_S = {0: 5.2, 1: 8.2, 3: 7.5}


def limited(make_problem: Any, seed: int, objective: str, *, shannon: bool = False) -> AllocationProblem:
    """Three users with every limit that the core problem knows."""
    r = np.random.default_rng([seed, 7])
    allowed = r.random((3, 4)) < 0.8
    allowed[:, 0] = True
    return make_problem(
        3, 4, seed, objective, shannon=shannon, device_branch_s=r.uniform(0.0, 12.0, (3, 4)) * (r.random((3, 4)) < 0.5),
        deadline_s=[FIRST_DEADLINE_S[seed], 40.0, 40.0], edge_share_max=[0.08, 0.15, 0.3], allowed=allowed,
        uplink_airtime_max_s=np.full((3, 4), 0.3),
    )  # fmt: skip


@pytest.mark.long_list("objective")
@both
@pytest.mark.parametrize("seed", range(4))
def test_plain_against_enumeration(make_problem: Any, objective: str, seed: int) -> None:
    problem = make_problem(3, 4, seed, objective)
    agrees(problem, solve(problem, method="enumerate"))


@pytest.mark.long_list("objective", "shannon")
@pytest.mark.parametrize("seed", FIRST_DEADLINE_S)
@pytest.mark.parametrize(("objective", "shannon"), [("sum", False), ("max", False), ("max", True)])
def test_all_limits_against_enumeration(make_problem: Any, seed: int, objective: str, shannon: bool) -> None:
    problem = limited(make_problem, seed, objective, shannon=shannon)
    agrees(problem, solve(problem, method="enumerate"))


@pytest.mark.parametrize(
    ("seed", "limit"), [(3, "device_branch_s"), (0, "edge_share_max"), (1, "uplink_airtime_max_s"), (0, "deadline_s")]
)
def test_each_limit_matters_in_these_instances(make_problem: Any, seed: int, limit: str) -> None:
    problem = limited(make_problem, seed, "sum")
    free = replace(problem, **{limit: None})
    values = [solve(p, method="square_root_milp").objective_s for p in (free, problem)]
    assert values[0] < values[1] * (1 - 1e-4)


@both
def test_through_the_door(make_problem: Any, objective: str) -> None:
    problem = make_problem(3, 3, 9, objective)
    found = solve(problem, method=METHOD[objective])
    assert found.method == METHOD[objective]
    assert found.bound_source == "solver"
    assert found.gap <= 1e-6
    assert found.objective_s == pytest.approx(solve(problem, method="enumerate").objective_s, rel=SOLVER)


@both
def test_one_user(make_problem: Any, objective: str) -> None:
    problem = make_problem(1, 6, 3, objective)
    agrees(problem, solve(problem, method="enumerate"))


@pytest.mark.long_list("objective")
@both
@pytest.mark.parametrize("seed", range(2))
def test_twenty_users_against_prices(make_problem: Any, objective: str, seed: int) -> None:
    problem = make_problem(20, 10, seed, objective)
    best = solve(problem, method="prices", gap=1e-7)
    assert best.certificate is not None
    found = agrees(problem, best)
    assert found.objective_s >= best.lower_bound_s * (1 - BOUND)


@both
def test_many_users_share_an_option_table(make_problem: Any, objective: str) -> None:
    # users that are alike have many optima, which whole numbers see as many different points
    one = make_problem(1, 3, 5, objective, edge_capacity=0.4)
    tables = ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s")
    rates = {name: np.repeat(getattr(one, name), 4) for name in ("downlink_efficiency", "uplink_efficiency", "weight")}
    alike = replace(one, **{name: np.repeat(getattr(one, name), 4, axis=0) for name in tables}, **rates)
    agrees(alike, solve(alike, method="enumerate"))


@both
def test_nothing_to_share(make_problem: Any, objective: str) -> None:
    zero = np.zeros((3, 2))
    problem = make_problem(3, 2, 1, objective, downlink_bit=zero, uplink_bit=zero, edge_work_s=zero)
    least = problem.weights * problem.fixed_s.min(axis=1)
    found = agrees(problem, solve(problem, method="enumerate"))
    assert found.objective_s == pytest.approx(least.sum() if objective == "sum" else least.max(), rel=EXACT)


def test_a_cap_that_does_not_bind_changes_nothing(make_problem: Any) -> None:
    problem = make_problem(4, 4, 2, "sum")
    free = solve(problem, method="square_root_milp")
    share = free.edge_share.max()
    capped = replace(problem, edge_share_max=np.full(4, share * (1 + 1e-9)))
    assert solve(capped, method="square_root_milp").objective_s == pytest.approx(free.objective_s, rel=EXACT)
    tight = replace(problem, edge_share_max=np.full(4, 0.9 * share))
    assert agrees(tight, solve(tight, method="enumerate")).objective_s > free.objective_s * (1 + 1e-6)


def test_the_first_relaxation_of_the_sum_is_golden(make_problem: Any) -> None:
    problem = make_problem(4, 3, 11, "sum")
    mask = workable_options(problem)
    search = square_root_milp.Search(problem, Resources.of(problem), mask, Clock(None))
    search.start()
    m = square_root_milp.make_model(search.c, search.p, mask, np.zeros(3), search.objective)
    relaxed = square_root_milp.program(m, Clock(None)).run(relaxed=True)
    value = m.q + m.unit * relaxed.bound
    best = solve(problem, method="enumerate").objective_s
    assert value <= best
    assert value / best == pytest.approx(GOLDEN_SUM, rel=SOLVER)


def test_the_first_relaxation_of_a_deadline_is_golden(make_problem: Any) -> None:
    # what the cheapest needs cost at the optimum's level, at equal prices: 1 would say that the level is tight
    problem = make_problem(4, 3, 11, "max")
    best = solve(problem, method="enumerate").objective_s
    pool = deadline_milp.Pool(problem, Resources.of(problem), best)
    pool.add(np.ones(3))
    q = deadline_milp.make_model(pool, workable_options(problem), [])
    columns = q.user.size
    program = Program(q.c[0], np.zeros(columns), np.ones(columns), np.ones(columns, dtype=bool), Clock(None))
    program.add(deadline_milp.one_option(q))
    value = program.run(relaxed=True).bound
    assert value <= 1
    assert value == pytest.approx(GOLDEN_MAX, rel=SOLVER)


def test_refusals(make_problem: Any) -> None:
    for method, objective in (("square_root_milp", "max"), ("deadline_milp", "sum"), ("deadline_milp", "mixed")):
        with pytest.raises(InvalidInput, match=f"objective.*{objective}.*{method}.*Use"):
            solve(make_problem(2, 2, 0, objective), method=method)
    with pytest.raises(InvalidInput, match="downlink_snr_hz.*linear rates.*square_root_milp"):
        solve(make_problem(2, 2, 0, "sum", shannon=True), method="square_root_milp")


@both
def test_a_deadline_that_one_user_cannot_keep(make_problem: Any, objective: str) -> None:
    with pytest.raises(Infeasible, match="user 1") as caught:
        solve(make_problem(2, 2, 0, objective, deadline_s=[60.0, 0.001]), method=METHOD[objective])
    assert caught.value.users == (1,)


@both
def test_deadlines_that_clash(edge_only: Any, objective: str) -> None:
    alone = edge_only(3, 0, objective)
    least_s = alone.edge_work_s[:, 0] / alone.edge_capacity
    clash = edge_only(3, 0, objective, deadline_s=alone.fixed_s[:, 0] + 2.99 * least_s)
    with pytest.raises(Infeasible) as caught:
        solve(clash, method=METHOD[objective])
    assert caught.value.users == (0, 1, 2)
    # three thirds of the edge are just enough
    fits = edge_only(3, 0, objective, deadline_s=alone.fixed_s[:, 0] + 3.01 * least_s)
    agrees(fits, solve(fits, method="enumerate"))


@both
def test_air_times_that_clash(make_problem: Any, objective: str) -> None:
    problem = make_problem(3, 1, 0, objective, uplink_bit=np.full((3, 1), 1e5))
    whole_s = problem.uplink_bit / (problem.uplink_efficiency[:, None] * problem.uplink_hz)
    with pytest.raises(Infeasible):
        solve(replace(problem, uplink_airtime_max_s=2.99 * whole_s), method=METHOD[objective])
    fits = replace(problem, uplink_airtime_max_s=3.01 * whole_s)
    agrees(fits, solve(fits, method="enumerate"))


@both
def test_time_that_is_up_leaves_a_solution_and_a_bound(make_problem: Any, objective: str) -> None:
    problem = make_problem(8, 8, 0, objective)
    best = solve(problem, method="prices")
    found = solve(problem, method=METHOD[objective], time_limit_s=1e-9)
    assert found.status == "feasible"
    assert 0 < found.lower_bound_s <= best.objective_s * (1 + BOUND)
    assert best.objective_s * (1 - SOLVER) <= found.objective_s < np.inf
    assert "time limit" in found.message


@both
def test_a_gap_of_zero_ends(make_problem: Any, objective: str) -> None:
    problem = make_problem(3, 4, 6, objective)
    found = solve(problem, method=METHOD[objective], gap=0.0)
    assert found.gap <= 2e-8
    assert found.objective_s == pytest.approx(solve(problem, method="enumerate").objective_s, rel=SOLVER)


@pytest.mark.parametrize("seed", range(6))
def test_closed_forms_of_a_set_against_the_interior_method(make_problem: Any, seed: int) -> None:
    # from ample caps to caps that bind for everybody
    cap = [10.0, 0.5, 0.12, 0.11, 0.08, 0.05][seed]
    for objective in ("sum", "max"):
        problem = make_problem(6, 1, seed, objective, edge_share_max=np.full(6, cap))
        scaled, option = Resources.of(problem), np.zeros(6, dtype=np.int64)
        picked = np.arange(6), option[None]
        goal = Goal(problem.weights, *((1.0, 0.0) if objective == "sum" else (0.0, 1.0)))
        fixed, none = problem.fixed_s[picked], np.zeros((1, 6))
        found = interior(goal, *scaled.pick(option[None]), fixed, none, none + np.inf, np.ones(1, bool))
        if objective == "sum":
            closed = best_shares(problem, scaled, option[None])
            value = float(closed.objective[0])
            assert closed.prices[0] == pytest.approx(found.prices[0], rel=1e-4, abs=1e-4 * value)
        else:
            value, _ = value_of(problem, scaled, option, np.inf, np.ones(3))
        assert value == pytest.approx(found.objective[0], rel=EXACT)
        shares = evaluate(problem, option, *shares_of(problem, option))
        assert shares.violation <= BOUND
        assert shares.objective_s == pytest.approx(value, rel=EXACT)


def test_work_that_is_lost_in_the_rounding_of_the_fixed_part(make_problem: Any) -> None:
    zero = np.zeros((2, 1))
    problem = make_problem(
        2, 1, 0, "max", fixed_s=[[1e9], [1e9]], edge_work_s=[[1e-12], [1e-11]], downlink_bit=zero, uplink_bit=zero
    )  # fmt: skip
    value, _ = value_of(problem, Resources.of(problem), np.zeros(2, dtype=np.int64), np.inf, np.ones(3))
    assert value == pytest.approx(1e9 * problem.weights.max(), rel=EXACT)


@both
def test_an_optimum_of_zero_divides_nothing(objective: str) -> None:
    none = np.zeros((2, 2))
    problem = AllocationProblem(
        fixed_s=[[0.0, 1.0], [2.0, 0.0]], downlink_bit=none, uplink_bit=none, edge_work_s=none, downlink_hz=1.0,
        uplink_hz=1.0, objective=objective,
    )  # fmt: skip
    found = solve(problem, method=METHOD[objective])
    assert (found.objective_s, found.lower_bound_s, found.option.tolist()) == (0.0, 0.0, [0, 1])


def test_highs_is_silent_and_its_other_endings_are_failures(capfd: Any) -> None:
    program = Program(np.array([-1.0]), np.zeros(1), np.array([np.inf]), np.array([True]), Clock(None))
    program.add(Rows(matrix=csr_array(np.array([[1.0]])), lower=np.array([0.5]), upper=np.array([np.inf])))
    with pytest.raises(SolverFailure, match="HiGHS: .*nbounded"):
        program.run()
    assert capfd.readouterr() == ("", "")
