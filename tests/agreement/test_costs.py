"""Problems with limited and weighted costs against an enumeration that shares nothing with the package."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from barrier_method import barrier
from random_costs import draw_costs

from megdt_opt import AllocationProblem, Infeasible, solve
from megdt_opt.tolerances import BOUND, EXACT, SOLVER


def latency_part(problem: AllocationProblem, options: tuple[int, ...], bound: float) -> float:
    """Least latency objective of these options; infinite where that of users who had everything is above a bound."""
    k, o = np.arange(problem.users), list(options)
    fixed = np.array(problem.fixed_s)[k, o]
    branch = np.zeros(problem.users)
    weight = np.ones(problem.users) if problem.weight is None else np.array(problem.weight)
    a, gamma, cap = np.zeros((3, problem.users)), np.full((3, problem.users), np.inf), np.ones((3, problem.users))
    for i, side in enumerate(("downlink", "uplink")):
        band, bit = float(getattr(problem, f"{side}_hz")), np.array(getattr(problem, f"{side}_bit"))[k, o]
        efficiency, snr = getattr(problem, f"{side}_efficiency"), getattr(problem, f"{side}_snr_hz")
        a[i] = bit / (efficiency * band) if snr is None else bit * np.log(2) / band
        gamma[i] = np.inf if snr is None else snr / band
    a[2] = np.array(problem.edge_work_s)[k, o] / problem.edge_capacity
    if problem.device_branch_s is not None:
        branch = np.array(problem.device_branch_s)[k, o]
    if problem.edge_share_max is not None:
        cap[2] = np.minimum(np.array(problem.edge_share_max) / problem.edge_capacity, 1.0)
    speed = np.where(np.isfinite(gamma), cap * np.log1p(np.where(np.isfinite(gamma), gamma, 1.0) / cap), cap)
    alone = weight * (fixed + np.maximum(branch, (a / speed).sum(axis=0)))
    largest = problem.objective == "max"
    if (alone.max() if largest else alone.sum()) > bound:
        return np.inf
    if not a.any():
        late = weight * (fixed + branch)
        return float(late.max() if largest else late.sum())
    none = np.full(problem.users, np.inf)
    return barrier(a, gamma, np.zeros(a.shape), cap, fixed, branch, weight, none, largest)[0]


def enumerated(problem: AllocationProblem) -> float:
    """The optimum, by trying everything; infinite where no options keep the limits."""
    assert problem.option_cost is not None
    cost, k = np.array(problem.option_cost), np.arange(problem.users)
    weight = np.zeros(cost.shape[2]) if problem.cost_weight_s is None else problem.cost_weight_s
    found = []
    for options in itertools.product(range(problem.options), repeat=problem.users):
        total = cost[k, list(options)].sum(axis=0)
        if problem.cost_max is None or (total <= problem.cost_max * (1 + 1e-12)).all():
            found.append((float(weight @ total), options))
    best = np.inf
    for paid, options in sorted(found):
        best = min(best, paid + latency_part(problem, options, best - paid))
    return best


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", range(200))
def test_the_search_reaches_the_enumerated_optimum_and_proves_it(number: int) -> None:
    problem = draw_costs(number)
    optimum = enumerated(problem)
    precision, gap = (1e-9, 5e-10) if problem.objective == "sum" else (1e-7, 5e-8)
    if not np.isfinite(optimum):
        with pytest.raises(Infeasible, match="cost"):
            solve(problem, gap=gap)
        return
    found = solve(problem, gap=gap)
    assert found.status == "optimal"
    assert found.objective_s == pytest.approx(optimum, rel=precision)
    assert found.lower_bound_s <= optimum * (1 + BOUND)
    assert found.is_proven(problem, gap)
    assert found.certificate is not None
    verdict = found.certificate.verify(problem, exact=True)
    assert verdict.holds, verdict.reason
    assert verdict.exact
    assert found.certificate.verify(problem, exact=False).holds
    raised = replace(found.certificate, bound_s=found.objective_s * (1 + 1e-6))
    assert not raised.verify(problem, exact=True).holds


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", [n for n in range(75) if n % 5])
def test_the_formulation_reaches_the_enumerated_optimum(number: int) -> None:
    problem = draw_costs(number, seed=1)
    optimum = enumerated(problem)
    if not np.isfinite(optimum):
        with pytest.raises(Infeasible):
            solve(problem, "option_misocp", gap=SOLVER / 2)
        return
    found = solve(problem, "option_misocp", gap=SOLVER / 2)
    assert problem.evaluate(found).violation <= EXACT
    assert found.objective_s == pytest.approx(optimum, rel=SOLVER)
    assert found.lower_bound_s <= optimum * (1 + SOLVER)
    assert (found.status, found.bound_source, found.certificate) == ("feasible", "solver", None)


@pytest.mark.parametrize("number", range(0, 40, 3))
def test_mixed_agrees_with_trying_every_option_set(number: int) -> None:
    problem = replace(draw_costs(number, seed=2), objective="mixed", max_weight=1.5)
    try:
        best = solve(problem, "enumerate")
    except Infeasible:
        with pytest.raises(Infeasible, match="cost"):
            solve(problem)
        return
    found = solve(problem, gap=1e-7)
    assert found.objective_s == pytest.approx(best.objective_s, rel=2e-7)
    assert found.is_proven(problem, 1e-7)
