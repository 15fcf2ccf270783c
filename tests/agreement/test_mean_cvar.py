"""Mean and conditional value at risk against an enumeration that shares nothing with the package."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
from numpy.typing import NDArray
from random_costs import draw_costs

from megdt_opt import AllocationProblem, InvalidInput, evaluate, solve
from megdt_opt.tolerances import BOUND, SOLVER

Array = NDArray[np.float64]


def draw(number: int, *, costs: bool = False) -> AllocationProblem:
    """A random problem with linear rates, a level and a weight of its own."""
    rng = np.random.default_rng([6, number])
    level, weight = float(rng.uniform(0.0, 0.95)), float(rng.uniform(0.1, 3.0))
    problem = draw_costs(5 * (number // 4) + number % 4 + 1, seed=6)
    more = {} if costs else {"option_cost": None, "cost_max": None, "cost_weight_s": None}
    return replace(problem, objective="mean_cvar", cvar_level=level, cvar_weight=weight, **more)


def tables(problem: AllocationProblem, options: tuple[int, ...]) -> tuple[Array, Array, Array, Array]:
    """Times on the whole budgets, (3, K), caps, (3, K), fixed times and branches, (K,)."""
    k, o = np.arange(problem.users), list(options)
    a = np.stack([
        problem.downlink_bit[k, o] / (problem.downlink_efficiency * problem.downlink_hz),
        problem.uplink_bit[k, o] / (problem.uplink_efficiency * problem.uplink_hz),
        problem.edge_work_s[k, o] / problem.edge_capacity,
    ])  # fmt: skip
    cap = np.ones(a.shape)
    if problem.edge_share_max is not None:
        cap[2] = np.minimum(problem.edge_share_max / problem.edge_capacity, 1.0)
    branch = np.zeros(problem.users) if problem.device_branch_s is None else problem.device_branch_s[k, o]
    return a, cap, problem.fixed_s[k, o], branch


def parts(problem: AllocationProblem) -> Array:
    weight = np.ones(problem.users) if problem.weight is None else np.array(problem.weight)
    return weight / weight.sum()


def value(problem: AllocationProblem, late: Array) -> float:
    """The objective of latencies, by trying every latency as the quantile."""
    p, level, weight = parts(problem), problem.cvar_level, problem.cvar_weight
    assert level is not None
    assert weight is not None
    return float(p @ late + weight * min(t + p @ np.maximum(late - t, 0.0) / (1 - level) for t in late))


def least(problem: AllocationProblem, options: tuple[int, ...]) -> float:
    """The least objective of these options, by a convex program of its own."""
    a, cap, fixed, branch = tables(problem, options)
    if not a.any():
        return value(problem, fixed + branch)
    x, t, p = cp.Variable(a.shape), cp.Variable(), parts(problem)
    late = []
    for j in range(problem.users):
        busy = sum((a[i, j] * cp.inv_pos(x[i, j]) for i in range(3) if a[i, j] > 0), cp.Constant(0.0))
        late.append(fixed[j] + cp.maximum(busy, branch[j]))
    over = cp.hstack(late)
    assert problem.cvar_level is not None
    tail = t + p @ cp.pos(over - t) / (1 - problem.cvar_level)
    limits = [x >= 1e-9, x <= np.maximum(cap, 1e-9), cp.sum(x, axis=1) <= 1]
    program = cp.Problem(cp.Minimize(p @ over + problem.cvar_weight * tail), limits)
    tight = {"tol_gap_rel": 1e-11, "tol_gap_abs": 1e-11, "tol_feas": 1e-11}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an answer that is a little less accurate than asked
        return float(program.solve(solver=cp.CLARABEL, **tight))


def enumerated(problem: AllocationProblem) -> float:
    """The optimum, by trying every option set whose users would not be too late with everything for themselves."""
    found = []
    for options in itertools.product(range(problem.options), repeat=problem.users):
        a, cap, fixed, branch = tables(problem, options)
        found.append((value(problem, fixed + np.maximum(branch, (a / cap).sum(axis=0))), options))
    best = np.inf
    for alone, options in sorted(found):
        if alone > best:
            break
        best = min(best, least(problem, options))
    return best


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", range(200))
def test_the_search_reaches_the_enumerated_optimum_and_proves_it(number: int) -> None:
    problem = draw(number)
    optimum = enumerated(problem)
    found = solve(problem, gap=5e-8)
    assert found.status == "optimal"
    assert found.objective_s == pytest.approx(optimum, rel=1e-7)
    assert found.lower_bound_s <= optimum * (1 + 1e-8)
    assert found.objective_s == pytest.approx(value(problem, found.latency_s), rel=1e-12)
    assert found.is_proven(problem, 5e-8)
    assert found.certificate is not None
    verdict = found.certificate.verify(problem, exact=True)
    assert verdict.holds, verdict.reason
    assert found.certificate.verify(problem, exact=False).holds
    assert not replace(found.certificate, bound_s=found.objective_s * (1 + 1e-6)).verify(problem, exact=True).holds


@pytest.mark.parametrize("number", [1, 2, 6, 9])
def test_the_convex_program_finds_the_same_shares(number: int) -> None:
    problem = draw(number)
    found = solve(problem, gap=1e-7)
    only = np.zeros((problem.users, problem.options), bool)
    only[np.arange(problem.users), found.option] = True
    fixed = solve(replace(problem, allowed=only), "convex_allocation", gap=SOLVER / 10)
    assert fixed.objective_s == pytest.approx(found.objective_s, rel=SOLVER)
    assert fixed.lower_bound_s <= found.objective_s * (1 + SOLVER)


@pytest.mark.parametrize("number", [1, 5, 10])
def test_costs_are_limited_and_weighted_beside_it(number: int) -> None:
    problem = draw(number, costs=True)
    found, best = solve(problem, gap=1e-7), solve(problem, "enumerate")
    assert found.objective_s == pytest.approx(best.objective_s, rel=2e-7)
    assert found.is_proven(problem, 1e-7)


def test_its_ends_are_the_mean_and_the_maximum() -> None:
    problem = draw(3)
    mean = solve(replace(problem, cvar_weight=0.0), gap=1e-8).objective_s
    total = solve(replace(problem, objective="sum", cvar_level=None, cvar_weight=None), gap=1e-8).objective_s
    assert problem.weight is not None
    assert mean == pytest.approx(total / problem.weight.sum(), rel=2e-8)
    twice = solve(replace(problem, cvar_level=0.0, cvar_weight=1.0), gap=1e-7).objective_s
    assert twice == pytest.approx(2 * mean, rel=2e-7)
    even = replace(problem, weight=None, cvar_level=1 - 1e-9, cvar_weight=2.0)
    mixed = replace(even, objective="mixed", max_weight=2.0 * problem.users, cvar_level=None, cvar_weight=None)
    worst = solve(mixed, gap=1e-7).objective_s / problem.users
    assert solve(even, gap=1e-6).objective_s == pytest.approx(worst, rel=1e-5)


def test_an_altered_multiplier_is_refused() -> None:
    problem = draw(2)
    found = solve(problem, gap=1e-7)
    assert found.certificate is not None
    data = found.certificate.to_dict()
    leaf = next(node for node in data["nodes"] if "prices" in node)
    most = (problem.cvar_weight or 0.0) / (1 - (problem.cvar_level or 0.0))
    for changed, reason in (([most * 1.01] + [0.0] * (problem.users - 1), "more than it may be"),
                            ([most * 0.999] * problem.users, "cvar_weight")):  # fmt: skip
        leaf["multipliers"] = changed
        verdict = type(found.certificate).from_dict(data).verify(problem)
        assert not verdict.holds
        assert reason in verdict.reason
    assert found.lower_bound_s <= found.objective_s * (1 + BOUND)


def test_a_latency_without_end_is_an_objective_without_end() -> None:
    problem = draw(2)
    none = np.zeros(problem.users)
    options = (problem.downlink_bit > 0).argmax(axis=1)
    assert evaluate(problem, options, none, none, none).objective_s == np.inf


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"cvar_level": None}, "cvar_level"),
        ({"cvar_weight": None}, "cvar_weight"),
        ({"cvar_level": 1.0}, "cvar_level"),
        ({"cvar_level": -0.1}, "cvar_level"),
        ({"cvar_level": np.nan}, "cvar_level"),
        ({"cvar_weight": -1.0}, "cvar_weight"),
        ({"cvar_weight": np.inf}, "cvar_weight"),
        ({"objective": "sum"}, "cvar_level"),
        ({"max_weight": 1.0}, "max_weight"),
    ],
)
def test_wrong_levels_and_weights_are_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        replace(draw(2), **changes)


@pytest.mark.parametrize("method", ["option_misocp", "option_gdp", "deadline_milp", "square_root_milp"])
def test_programs_that_do_not_know_it_refuse_it_by_name(method: str) -> None:
    with pytest.raises(InvalidInput, match="mean_cvar"):
        solve(draw(2), method)
