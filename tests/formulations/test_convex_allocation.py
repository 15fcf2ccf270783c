"""Shares for fixed options against closed forms and searches in one price, written here in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from numpy.typing import NDArray

from megdt_opt import solve
from megdt_opt.errors import Infeasible, InvalidInput, SolverFailure
from megdt_opt.formulations import convex_allocation
from megdt_opt.formulations._checks import whole_budget_s
from megdt_opt.formulations._resolve import Compiled
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.radio.rates import shannon_band
from megdt_opt.tolerances import BOUND, SOLVER

GAP = 1e-6


def solved(problem: AllocationProblem) -> float:
    """Objective of the solution [s], after checking feasibility and bound."""
    raw = convex_allocation.solve(problem, gap=GAP, time_limit_s=None)
    found = evaluate(problem, raw.option, raw.downlink_hz, raw.uplink_hz, raw.edge_share)
    assert found.violation <= SOLVER
    assert raw.bound is not None
    assert raw.bound <= found.objective_s * (1 + BOUND)
    assert found.objective_s - raw.bound <= GAP * found.objective_s
    assert raw.message.startswith("Clarabel")
    return found.objective_s


def bisect(excess: Callable[[float], float], low: float, high: float) -> float:
    """Where a decreasing function crosses zero."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def square_root_rule(problem: AllocationProblem) -> float:
    """Sum objective with linear rates, no branch, no limits [s]."""
    roots = np.sqrt(problem.weights * whole_budget_s(problem)[:, :, 0])
    return float((problem.weights * problem.fixed_s[:, 0]).sum() + (roots.sum(axis=1) ** 2).sum())


@pytest.mark.long_list("users")
@pytest.mark.parametrize("users", [1, 2, 10, 60])
@pytest.mark.parametrize("seed", range(3))
def test_sum_is_the_square_root_rule(make_problem: Any, users: int, seed: int) -> None:
    problem = make_problem(users, 1, seed, "sum")
    assert solved(problem) == pytest.approx(square_root_rule(problem), rel=SOLVER)


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_large_and_unscaled(make_problem: Any, objective: str) -> None:
    users = 400
    spread = 10 ** np.random.default_rng(3).uniform(3, 9, (users, 1))
    problem = make_problem(users, 1, 5, objective, downlink_bit=spread)
    if objective == "sum":
        assert solved(problem) == pytest.approx(square_root_rule(problem), rel=SOLVER)
    else:
        assert solved(problem) > 0


@pytest.mark.parametrize("seed", range(4))
def test_max_by_bisection(edge_only: Any, seed: int) -> None:
    problem = edge_only(8, seed, "max")
    w, fixed_s, work_s = problem.weights, problem.fixed_s[:, 0], problem.edge_work_s[:, 0]
    floor = float((w * fixed_s).max()) * (1 + 1e-12)
    best = bisect(lambda d: float((work_s / (d / w - fixed_s)).sum()) - problem.edge_capacity, floor, floor + 1e4)
    assert solved(problem) == pytest.approx(best, rel=SOLVER)


@pytest.mark.parametrize("seed", range(4))
def test_max_shannon_by_bisection(make_problem: Any, seed: int) -> None:
    zero = np.zeros((6, 1))
    problem = make_problem(6, 1, seed, "max", shannon=True, uplink_bit=zero, edge_work_s=zero)
    w, fixed_s, bits = problem.weights, problem.fixed_s[:, 0], problem.downlink_bit[:, 0]

    def excess_hz(d: float) -> float:
        return float(shannon_band(bits / (d / w - fixed_s), problem.downlink_snr_hz).sum()) - problem.downlink_hz

    floor = float((w * fixed_s).max()) * (1 + 1e-12)
    assert solved(problem) == pytest.approx(bisect(excess_hz, floor, floor + 1e4), rel=SOLVER)


@pytest.mark.parametrize("low", [1e4, 1e9, 1e13])
def test_shannon_from_power_limited_to_band_limited(make_problem: Any, low: float) -> None:
    zero = np.zeros((4, 1))
    snr_hz = low * np.array([1.0, 2.0, 3.0, 5.0])
    problem = make_problem(4, 1, 1, "max", shannon=True, uplink_bit=zero, edge_work_s=zero, downlink_snr_hz=snr_hz)
    w, fixed_s, bits = problem.weights, problem.fixed_s[:, 0], problem.downlink_bit[:, 0]
    # below this the rate is out of reach of any band
    floor = float((w * (fixed_s + bits * np.log(2) / snr_hz)).max()) * (1 + 1e-12)

    def excess_hz(d: float) -> float:
        return float(shannon_band(bits / (d / w - fixed_s), problem.downlink_snr_hz).sum()) - problem.downlink_hz

    assert solved(problem) == pytest.approx(bisect(excess_hz, floor, floor * 1e3), rel=SOLVER)


LIMITS: dict[str, Callable[[NDArray[np.float64]], dict[str, Any]]] = {
    "none": lambda _: {},
    "branch": lambda even_s: {"device_branch_s": (even_s * np.linspace(0.1, 1.6, even_s.size))[:, None]},
    "cap": lambda even_s: {"edge_share_max": np.linspace(0.05, 0.2, even_s.size)},
    "deadline": lambda even_s: {"deadline_s": even_s * np.linspace(1.05, 1.6, even_s.size) + 1.0},
}


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("seed", range(2))
def test_sum_with_limits_by_one_price(edge_only: Any, limits: str, seed: int) -> None:
    # minimise sum w max(branch, work / f): f(price) = sqrt(w work / price), clipped where a limit acts
    plain = edge_only(8, seed, "sum")
    even_s = plain.edge_work_s[:, 0] * plain.users / plain.edge_capacity
    problem = edge_only(8, seed, "sum", **LIMITS[limits](even_s))
    w, fixed_s, work_s = problem.weights, problem.fixed_s[:, 0], problem.edge_work_s[:, 0]
    branch_s = problem.branch_s[:, 0]
    with np.errstate(divide="ignore"):
        most = np.minimum(problem.share_caps, np.where(branch_s > 0, work_s / branch_s, np.inf))
    least = np.where(np.isfinite(problem.hard_deadline_s), work_s / (problem.hard_deadline_s - fixed_s), 0.0)
    assert least.sum() < problem.edge_capacity

    def shares(price: float) -> NDArray[np.float64]:
        return np.clip(np.sqrt(w * work_s / price), least, np.maximum(most, least))

    price = np.exp(bisect(lambda p: float(shares(np.exp(p)).sum()) - problem.edge_capacity, -40.0, 40.0))
    best = float((w * (fixed_s + np.maximum(branch_s, work_s / shares(price)))).sum())
    assert solved(problem) == pytest.approx(best, rel=SOLVER)


def test_airtime_binds(make_problem: Any) -> None:
    # two equal users, the first with a limit that wants 4/5 of the uplink
    problem = AllocationProblem(
        fixed_s=[[0.0], [0.0]], downlink_bit=[[0.0], [0.0]], uplink_bit=[[4e5], [4e5]], edge_work_s=[[0.0], [0.0]],
        downlink_hz=1e6, uplink_hz=1e6, uplink_efficiency=[1.0, 1.0], uplink_airtime_max_s=[[0.5], [9.0]],
        objective="sum",
    )  # fmt: skip
    assert solved(problem) == pytest.approx(0.5 + 2.0, rel=SOLVER)


@pytest.mark.parametrize("shannon", [False, True])
def test_mixed_is_between_and_cannot_be_improved(make_problem: Any, shannon: bool) -> None:
    parts = {goal: make_problem(6, 1, 2, goal, shannon=shannon) for goal in ("sum", "max", "mixed")}
    mixed = solved(parts["mixed"])
    assert mixed >= (solved(parts["sum"]) + 2.0 * solved(parts["max"])) * (1 - SOLVER)
    raw = convex_allocation.solve(parts["mixed"], gap=GAP, time_limit_s=None)
    r = np.random.default_rng(0)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(100):
            moved = []
            for share in (raw.downlink_hz, raw.uplink_hz, raw.edge_share):
                nudged = share * (1 + size * r.uniform(-1, 1, share.size))
                moved.append(nudged * share.sum() / nudged.sum())
            assert evaluate(parts["mixed"], raw.option, *moved).objective_s >= mixed * (1 - SOLVER)


def test_single_user_mixed(make_problem: Any) -> None:
    alone = make_problem(1, 1, 4, "sum")
    assert solved(make_problem(1, 1, 4, "mixed")) == pytest.approx(3 * square_root_rule(alone), rel=SOLVER)


def test_compiled_once_and_with_constants(make_problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    convex_allocation._compiled.cache_clear()
    first = [solved(make_problem(5, 1, seed, "max")) for seed in range(3)]
    assert convex_allocation._compiled.cache_info().misses == 1
    monkeypatch.setattr(convex_allocation, "_COMPILED_USERS", 0)
    again = [solved(make_problem(5, 1, seed, "max")) for seed in range(3)]
    assert first == pytest.approx(again, rel=SOLVER)
    assert len({round(value, 6) for value in first}) == 3


def test_no_share_without_demand(make_problem: Any) -> None:
    bits = np.array([[0.0], [4e6], [1e6]])
    raw = convex_allocation.solve(make_problem(3, 1, 0, "max", downlink_bit=bits), gap=GAP, time_limit_s=None)
    assert raw.downlink_hz[0] == 0
    assert (raw.downlink_hz[1:] > 0).all()


def test_nothing_to_share() -> None:
    zero = np.zeros((2, 1))
    problem = AllocationProblem(
        fixed_s=[[1.0], [2.0]], downlink_bit=zero, uplink_bit=zero, edge_work_s=zero, downlink_hz=0.0, uplink_hz=0.0,
        edge_capacity=0.0, edge_share_max=[1.0, 1.0], objective="sum",
    )  # fmt: skip
    assert solved(problem) == pytest.approx(3.0, rel=SOLVER)


def test_several_options_are_refused(make_problem: Any) -> None:
    with pytest.raises(InvalidInput, match="user 0.*option_misocp"):
        convex_allocation.solve(make_problem(2, 3, 0, "sum"), gap=GAP, time_limit_s=None)


def test_missed_is_refused(make_problem: Any) -> None:
    with pytest.raises(InvalidInput, match="missed"):
        convex_allocation.solve(make_problem(2, 1, 0, "missed", deadline_s=[1.0, 1.0]), gap=GAP, time_limit_s=None)


def test_deadlines_that_conflict(edge_only: Any) -> None:
    alone = edge_only(3, 0, "max")
    deadline_s = alone.fixed_s[:, 0] + 1.5 * alone.edge_work_s[:, 0] / alone.edge_capacity
    with pytest.raises(Infeasible) as caught:
        solve(edge_only(3, 0, "max", deadline_s=deadline_s), "convex_allocation", GAP)
    # any two of the three clash already
    assert len(caught.value.users) == 2
    assert all("deadline" in limit for limit in caught.value.limits)


def test_a_deadline_that_is_hopeless_alone(make_problem: Any) -> None:
    with pytest.raises(Infeasible, match="user 1") as caught:
        solve(make_problem(3, 1, 0, "sum", deadline_s=[1e3, 1e-3, 1e3]), "convex_allocation", GAP)
    assert caught.value.users == (1,)


def test_time_limit_is_a_failure(make_problem: Any) -> None:
    with pytest.raises(SolverFailure, match="MaxTime"):
        convex_allocation.solve(make_problem(50, 1, 0, "max"), gap=GAP, time_limit_s=1e-7)


@pytest.mark.parametrize("goal", ["sum", "max", "mixed"])
@pytest.mark.parametrize("shannon", [(False, False, False), (True, True, False)])
def test_a_compiled_program_is_the_program(make_problem: Any, goal: str, shannon: tuple[bool, bool, bool]) -> None:
    """DPP holds, and what is compiled gives CVXPY's own data for new parameters."""
    more = {"max_weight": 2.0} if goal == "mixed" else {}
    problem = make_problem(5, 1, 3, goal, shannon=shannon[0], **more)
    q, compiled = convex_allocation._compiled(5, goal, shannon)
    assert compiled.program.is_dcp(dpp=True)
    numbers = convex_allocation.scaled_numbers(
        problem, convex_allocation.reference(problem, convex_allocation.only_options(problem))
    )
    values = convex_allocation.parameter_values(q, numbers)
    data = compiled.data(values)
    for parameter in compiled.program.parameters():
        parameter.value = values[parameter.id]
    own, _, _ = compiled.program.get_problem_data(cp.CLARABEL, solver_opts={})
    for name in ("c", "b"):
        assert np.array_equal(data[name], own[name])
    assert (data["A"] != own["A"]).nnz == 0


def test_a_program_that_cannot_be_compiled_is_refused() -> None:
    one, two, variable = cp.Parameter(nonneg=True), cp.Parameter(nonneg=True), cp.Variable()
    with pytest.raises(SolverFailure, match="DPP"):
        Compiled(cp.Problem(cp.Minimize(variable), [variable >= one * two]))
