"""Alpha-fair allocations: closed forms, brute force, and the two ends of alpha."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from megdt_opt import AllocationProblem, AlphaFairProblem, Infeasible, InvalidInput, solve
from megdt_opt.formulations import alpha_fair
from megdt_opt.formulations._option_sets import MOST_SETS
from megdt_opt.tolerances import EXACT, SOLVER


def edge(work_s: list[float], **fields: Any) -> AllocationProblem:
    """Users that need nothing but the edge."""
    zero = np.zeros((len(work_s), 1))
    numbers = {"fixed_s": zero, "downlink_bit": zero, "uplink_bit": zero, "edge_work_s": np.array(work_s)[:, None]}
    return AllocationProblem(**(numbers | {"downlink_hz": 1.0, "uplink_hz": 1.0, "objective": "sum"} | fields))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0, 10.0])
def test_one_resource(alpha: float) -> None:
    """w p a^p f^(-p - 1) is the same for all users: f is proportional to (w a^p)^(1 / (p + 1))."""
    work, weight = np.array([0.3, 1.0, 2.0, 0.7]), np.array([1.0, 0.5, 2.0, 1.3])
    p = 1 + alpha
    part = (weight * work**p) ** (1 / (p + 1))
    share = part / part.sum()
    best = float((weight * (work / share) ** p).sum() / p)
    found = solve(AlphaFairProblem(allocation=edge(work.tolist(), weight=weight), alpha=alpha))
    assert found.objective_s == pytest.approx(best, rel=SOLVER)
    assert found.lower_bound_s <= best * (1 + EXACT)
    assert found.gap <= 10 * p * SOLVER
    assert found.edge_share == pytest.approx(share, rel=1e-3)
    assert found.method == "alpha_fair"
    assert found.bound_source == "solver"


@pytest.mark.parametrize("shannon", [False, True])
def test_alpha_zero_is_the_sum(make_problem: Any, shannon: bool) -> None:
    problem = make_problem(4, 1, 3, "sum", shannon=shannon)
    found = solve(AlphaFairProblem(allocation=problem, alpha=0))
    assert found.objective_s == pytest.approx(solve(problem).objective_s, rel=SOLVER)


def test_equal_users_share_equally() -> None:
    found = solve(AlphaFairProblem(allocation=edge([1.0] * 5), alpha=3.0))
    assert found.edge_share == pytest.approx(np.full(5, 0.2), rel=1e-4)
    assert found.objective_s == pytest.approx(5 * 5.0**4 / 4, rel=SOLVER)


def test_large_alpha_approaches_the_largest_latency(make_problem: Any) -> None:
    problem = make_problem(4, 1, 8, "max", weight=None)
    least_s = solve(problem).objective_s
    above = []
    for alpha in (1.0, 10.0, 100.0):
        fair = AlphaFairProblem(allocation=problem, alpha=alpha)
        latency_s = solve(fair).latency_s
        # max / K^(1 / p) <= norm <= max, and no norm is above the norm of the allocation that "max" chooses
        assert fair.norm_s(latency_s) <= least_s * (1 + SOLVER)
        assert latency_s.max() <= 4 ** (1 / fair.power) * least_s * (1 + SOLVER)
        assert latency_s.max() >= least_s * (1 - SOLVER)
        above.append(latency_s.max() / least_s - 1)
    assert above[2] < 0.02 < above[0]


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_two_users_by_direct_search(make_problem: Any, alpha: float) -> None:
    problem = make_problem(2, 1, 9, "sum", uplink_bit=[[4e5], [1e5]])
    fair = AlphaFairProblem(allocation=problem, alpha=alpha)

    def norm(logit: np.ndarray) -> float:
        part = 1 / (1 + np.exp(-logit))
        shares = np.stack([part, 1 - part], axis=1)
        bits = np.stack([problem.downlink_bit[:, 0], problem.uplink_bit[:, 0], problem.edge_work_s[:, 0]])
        slope = np.stack([problem.downlink_efficiency, problem.uplink_efficiency, np.ones(2)])
        budget = np.array([problem.downlink_hz, problem.uplink_hz, problem.edge_capacity])
        time_s = bits / (slope * shares * budget[:, None])
        return fair.norm_s(problem.fixed_s[:, 0] + time_s.sum(axis=0))

    best = minimize(norm, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000})
    assert fair.norm_s(solve(fair).latency_s) == pytest.approx(best.fun, rel=SOLVER)


@pytest.mark.parametrize("alpha", [0.0, 2.0, 20.0])
def test_options_against_every_set(make_problem: Any, alpha: float) -> None:
    problem = make_problem(3, 2, 10, "sum")
    fair = AlphaFairProblem(allocation=problem, alpha=alpha)
    sets = [np.array(s) for s in itertools.product(range(2), repeat=3)]
    fits = [alpha_fair.fit(fair, s) for s in sets]
    best = min(f.norm_s for f in fits if f is not None)
    found = solve(fair)
    assert fair.norm_s(found.latency_s) == pytest.approx(best, rel=SOLVER)
    assert found.lower_bound_s <= fair.of_norm(best * (1 + EXACT))


def test_limits_hold(make_problem: Any) -> None:
    problem = make_problem(3, 1, 11, "sum")
    free = solve(AlphaFairProblem(allocation=problem, alpha=1.0))
    slow = int(free.latency_s.argmax())
    deadline_s = np.full(3, 1e3)
    deadline_s[slow] = 0.8 * free.latency_s[slow]
    held = solve(AlphaFairProblem(allocation=replace(problem, deadline_s=deadline_s), alpha=1.0))
    assert held.latency_s[slow] <= deadline_s[slow] * (1 + SOLVER)
    assert held.objective_s > free.objective_s
    with pytest.raises(Infeasible):
        solve(AlphaFairProblem(allocation=edge([1.0, 1.0], deadline_s=[1.5, 1.5]), alpha=1.0))


def test_refusals(make_problem: Any) -> None:
    problem = make_problem(2, 1, 0, "sum")
    for alpha in (-0.1, 101.0, float("nan"), "one"):
        with pytest.raises(InvalidInput, match="alpha"):
            AlphaFairProblem(allocation=problem, alpha=alpha)
    with pytest.raises(InvalidInput, match="missed"):
        AlphaFairProblem(allocation=make_problem(2, 1, 0, "missed", deadline_s=[1.0, 1.0]), alpha=1.0)
    with pytest.raises(InvalidInput, match="an AllocationProblem"):
        AlphaFairProblem(allocation="none", alpha=1.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="alpha_fair"):
        solve(AlphaFairProblem(allocation=problem, alpha=1.0), method="prices")
    with pytest.raises(InvalidInput, match="AlphaFairProblem"):
        solve(problem, method="alpha_fair")
    with pytest.raises(InvalidInput, match=str(MOST_SETS)):
        solve(AlphaFairProblem(allocation=make_problem(7, 4, 0, "sum"), alpha=1.0))
