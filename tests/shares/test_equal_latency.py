"""Newton's method for "max" against interior points, and its prices against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.families import FAMILIES, draw

from megdt_opt import AllocationProblem
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.shares.equal_latency import Equal, equal_latency
from megdt_opt.shares.interior import Goal, interior, latencies
from megdt_opt.tolerances import EXACT

SETS = 12


def found(problem: AllocationProblem, option: np.ndarray) -> tuple[Equal, Array, Array]:
    """Newton's shares of option sets, their objectives, and those of interior points."""
    resources = Resources.of(problem)
    a, gamma, lo, hi = resources.pick(option)
    fixed = problem.fixed_s[np.arange(problem.users), option]
    none = np.zeros_like(fixed)
    equal = equal_latency(a, hi[:, 2], fixed, problem.weights)
    goal = Goal(problem.weights, 0.0, 1.0)
    other = interior(goal, a, gamma, lo, hi, fixed, none, none + np.inf, np.ones(len(option), bool))
    return equal, goal.value(latencies(a, gamma, equal.x, fixed, none)), other.objective


@pytest.mark.parametrize("users", [1, 2, 5, 12])
@pytest.mark.parametrize("family", FAMILIES)
def test_agrees_with_interior_points(family: str, users: int) -> None:
    settled = 0
    for seed in range(3):
        problem = draw(family, users, 16, "max", seed, scarce=seed != 1, capped=seed != 2)
        option = np.random.default_rng(seed).integers(0, 16, (SETS, users))
        equal, objective, other = found(problem, option)
        x, done = equal.x[equal.settled], equal.settled
        assert (x >= 0).all()
        assert (x.sum(axis=2) <= 1 + EXACT).all()
        assert (x[:, 2] <= Resources.of(problem).hi[2] * (1 + EXACT)).all()
        assert np.allclose(objective[done], other[done], rtol=1e-9)
        settled += int(done.sum())
    assert settled >= 0.8 * 3 * SETS


def test_prices_are_what_more_of_a_budget_is_worth() -> None:
    problem = draw("table", 6, 16, "max", 4)
    option = np.random.default_rng(4).integers(0, 16, (SETS, 6))
    equal, _, _ = found(problem, option)
    step = 1e-5
    for i, budget in enumerate(("downlink_hz", "uplink_hz", "edge_capacity")):
        more, less = (
            found(replace(problem, **{budget: getattr(problem, budget) * (1 + sign * step)}), option)[0].level
            for sign in (1, -1)
        )
        assert np.allclose((less - more) / (2 * step), equal.prices[:, i], rtol=1e-4, atol=1e-6)


def test_numbers_near_the_ends_of_the_floating_range_are_not_settled_wrongly() -> None:
    a = np.array([[[1e-300, 1e300], [0.0, 1e-300], [1e300, 0.0]]])
    with np.errstate(all="raise"):
        equal = equal_latency(a, np.ones((1, 2)), np.zeros((1, 2)), np.ones(2))
    assert not equal.settled.any() or np.isfinite(equal.x).all()
