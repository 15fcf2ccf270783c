"""Routes of the core problem, against closed forms and against each other."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_problems import draw

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, evaluate, solve
from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.scaled import Resources
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.engines.arrays import dominance
from megdt_opt.tolerances import EXACT, SOLVER


def one_option(users: int, objective: str, seed: int = 0, **more: object) -> AllocationProblem:
    rng = np.random.default_rng(seed)
    return AllocationProblem(
        fixed_s=rng.uniform(0, 1, (users, 1)),
        downlink_bit=rng.uniform(1e3, 1e5, (users, 1)),
        uplink_bit=rng.uniform(1e3, 1e4, (users, 1)),
        edge_work_s=rng.uniform(0.1, 1, (users, 1)),
        downlink_hz=1e5,
        uplink_hz=1e4,
        downlink_efficiency=rng.uniform(1, 4, users),
        uplink_efficiency=rng.uniform(1, 4, users),
        weight=rng.uniform(0.5, 2, users),
        objective=objective,
        **more,  # type: ignore[arg-type]
    )


def demands(problem: AllocationProblem) -> np.ndarray:
    return np.stack(
        [
            problem.uplink_bit[:, 0] / (problem.uplink_efficiency * problem.uplink_hz),
            problem.edge_work_s[:, 0] / problem.edge_capacity,
            problem.downlink_bit[:, 0] / (problem.downlink_efficiency * problem.downlink_hz),
        ]
    )


def test_square_root_rule() -> None:
    problem = one_option(6, "sum")
    a, w = demands(problem), problem.weights
    value = float((w * problem.fixed_s[:, 0]).sum() + (np.sqrt(w * a).sum(axis=1) ** 2).sum())
    found = solve(problem)
    assert found.objective_s == pytest.approx(value, rel=EXACT)
    roots = np.sqrt(w * a[2])
    assert found.downlink_hz == pytest.approx(roots / roots.sum() * problem.downlink_hz, rel=EXACT)
    # the interior point is another route to the same shares: a cap that never binds switches the rule off
    loose = one_option(6, "sum", deadline_s=np.full(6, 1e6))
    inner = best_shares(loose, Resources.of(loose), np.zeros((1, 6), dtype=np.int64))
    assert inner.objective[0] == pytest.approx(value, rel=EXACT)


def test_one_resource_max_is_the_equal_deadline_rule() -> None:
    problem = AllocationProblem(
        fixed_s=[[0.1], [0.5], [0.9]], downlink_bit=np.zeros((3, 1)), uplink_bit=np.zeros((3, 1)),
        edge_work_s=[[1.0], [2.0], [0.5]], downlink_hz=1.0, uplink_hz=1.0, objective="max",
    )  # fmt: skip
    # sum of work / (D - fixed) = 1, by bisection
    low, high = 0.9, 100.0
    for _ in range(200):
        middle = (low + high) / 2
        busy = (problem.edge_work_s[:, 0] / (middle - problem.fixed_s[:, 0])).sum()
        low, high = (middle, high) if busy > 1 else (low, middle)
    assert solve(problem).objective_s == pytest.approx(high, rel=EXACT)


@pytest.mark.long_list
@pytest.mark.parametrize("number", range(12))
def test_shares_are_optimal_by_weak_duality(number: int) -> None:
    """Whatever shares the interior point finds, prices prove that no others are better."""
    instance = draw(number, seed=1)
    problem, resources = instance.problem, Resources.of(instance.problem)
    rows = np.arange(problem.users)
    option = resources.open.argmax(axis=1)[None]
    found = best_shares(problem, resources, option)
    if not np.isfinite(found.objective[0]):
        pytest.skip("the first open options cannot keep the limits together")
    x, prices = found.x[0], found.prices[0]
    seen = evaluate(
        problem, option[0], x[0] * problem.downlink_hz, x[1] * problem.uplink_hz, x[2] * problem.edge_capacity
    )
    assert seen.violation <= EXACT
    assert seen.objective_s == pytest.approx(found.objective[0], rel=EXACT)
    if problem.objective == "sum":
        bound = priced(problem, resources, prices).cost[rows, option[0]].sum() - prices.sum()
        # where a user is torn between its branch and its share, the prices on the path are a little off
        assert seen.objective_s * (1 - SOLVER / 100) <= bound <= seen.objective_s * (1 + EXACT)
    else:
        prices = prices / prices.sum()
        below = priced(problem, resources, prices, seen.objective_s * (1 - SOLVER)).cost[rows, option[0]].sum()
        assert below > 1.0


def test_dominated_options_never_win() -> None:
    for number in range(30):
        problem = draw(number, seed=2, options=5).problem
        resources = Resources.of(problem)
        heads = dominance(problem, resources)
        k, o = np.nonzero((heads != np.arange(problem.options)) & resources.open)
        head = heads[k, o]
        assert (heads[k, head] == head).all()
        for terms in (problem.fixed_s, problem.branch_s, *resources.a, resources.lo[1]):
            assert (terms[k, head] <= terms[k, o]).all()


def test_certified_against_enumeration_with_many_options() -> None:
    for number in (0, 1):
        problem = draw(4 * number + number, seed=3, users=3, options=12).problem
        best, found = solve(problem, method="enumerate"), solve(problem)
        assert found.objective_s == pytest.approx(best.objective_s, rel=SOLVER)
        assert found.status == "optimal"
        assert found.bound_source == "certificate"
        assert found.is_optimal()


@pytest.mark.parametrize(("users", "options", "limit_s"), [(6, 30, 1e-3), (4, 12, 1e-9), (9, 20, 5e-3)])
def test_time_limit_gives_a_feasible_allocation_with_its_gap(users: int, options: int, limit_s: float) -> None:
    problem = draw(0, seed=4, users=users, options=options).problem
    found = solve(problem, time_limit_s=limit_s)
    assert found.evaluate(problem).violation <= EXACT
    assert found.lower_bound_s <= found.objective_s
    assert (found.status == "optimal") == (found.gap <= 1e-6)
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


def test_infeasible_deadlines_name_the_users_in_conflict() -> None:
    problem = one_option(3, "max", deadline_s=[0.7, 1e3, 1e3])
    with pytest.raises(Infeasible) as caught:
        solve(problem)
    assert caught.value.users == (0,)
    assert "700 ms" in str(caught.value)
    assert "times as long" in str(caught.value)
    for method in ("enumerate", "prices"):
        with pytest.raises(Infeasible):
            solve(problem, method=method)


def test_user_without_an_option() -> None:
    problem = one_option(2, "max", allowed=[[True], [False]])
    with pytest.raises(Infeasible, match="user 1.*forbidden") as caught:
        solve(problem)
    assert caught.value.users == (1,)


def test_zero_band_that_is_needed() -> None:
    base = one_option(2, "sum")
    from dataclasses import replace

    with pytest.raises(Infeasible, match="downlink_hz = 0 Hz"):
        solve(replace(base, downlink_hz=0.0))


def test_bad_arguments() -> None:
    problem = one_option(2, "max")
    with pytest.raises(InvalidInput, match="method.*option_misocp"):
        solve(problem, method="magic")
    with pytest.raises(InvalidInput, match="gap"):
        solve(problem, gap=-1.0)
    with pytest.raises(InvalidInput, match="time_limit_s"):
        solve(problem, time_limit_s=0.0)


def test_nothing_to_share() -> None:
    zeros = np.zeros((2, 1))
    problem = AllocationProblem(
        fixed_s=[[1.0], [2.0]],
        downlink_bit=zeros,
        uplink_bit=zeros,
        edge_work_s=zeros,
        downlink_hz=0.0,
        uplink_hz=0.0,
    )
    found = solve(problem)
    assert found.objective_s == 2.0
    assert found.gap <= 1e-6
    assert found.downlink_hz.tolist() == [0.0, 0.0]


def test_a_first_small_solve_loads_neither_scipy_nor_numba() -> None:
    """Each takes longer to load than a small problem to solve."""
    script = """
import sys
from megdt_opt import AllocationProblem, solve
row = [[float(k + o + 1) for o in range(8)] for k in range(3)]
solve(AllocationProblem(fixed_s=row, downlink_bit=row, uplink_bit=row[::-1], edge_work_s=row, downlink_hz=1.0,
                        uplink_hz=1.0, downlink_efficiency=[1.0] * 3, uplink_efficiency=[1.0] * 3))
print(sorted({"scipy", "numba", "pydantic", "pandas", "torch", "cvxpy", "pyomo", "matplotlib"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("make", [lambda: None, lambda: "problem", lambda: solve(draw(1).problem), int])
def test_nothing_is_proven_of_what_is_no_problem(make: Callable[[], Any]) -> None:
    found, other = solve(draw(0).problem), make()
    assert not found.is_proven(other)
    assert found.residuals(other).limits == math.inf
    assert found.certificate is not None
    for ask in (found.evaluate, found.certificate.verify):
        with pytest.raises(InvalidInput, match=r"^problem: found .*Give the problem that was solved"):
            ask(other)


@pytest.mark.parametrize("value", [None, "1", [None], np.array(["a", "b"])], ids=["none", "text", "list", "array"])
@pytest.mark.parametrize("field", ["latency_s", "objective_s", "lower_bound_s", "gap", "certificate"])
def test_a_figure_that_is_no_number_is_not_proven(field: str, value: Any) -> None:
    problem = draw(0).problem
    found = solve(problem)
    assert found.is_proven(problem)
    wrong = replace(found, **{field: value})
    assert not wrong.is_proven(problem)
    assert not wrong.residuals(problem).true
