"""The closed forms against interior points, and their prices against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.families import FAMILIES, draw

from megdt_opt import AllocationProblem
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.shares.closed_forms import EqualDeadlines, equal_deadlines, square_root
from megdt_opt.shares.goal import Goal
from megdt_opt.shares.interior import interior, latencies
from megdt_opt.tolerances import EXACT

SETS = 12


def found(problem: AllocationProblem, option: np.ndarray) -> tuple[EqualDeadlines, Array, Array]:
    """Shares of option sets in closed form, their objectives, and those of interior points."""
    resources = Resources.of(problem)
    a, gamma, lo, hi = resources.pick(option)
    fixed = problem.fixed_s[np.arange(problem.users), option]
    none = np.zeros_like(fixed)
    equal = equal_deadlines(a, hi, fixed, problem.weights)
    goal = Goal(problem.weights, 0.0, 1.0)
    other = interior(goal, a, gamma, lo, hi, fixed, none, none + np.inf, np.ones(len(option), bool))
    return equal, goal.value(latencies(a, gamma, equal.x, fixed, none)), other.objective


@pytest.mark.long_list("family", of=2)
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
    assert settled == 3 * SETS


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
        equal = equal_deadlines(a, np.ones((1, 3, 2)), np.zeros((1, 2)), np.ones(2))
    assert not equal.settled.any() or np.isfinite(equal.x).all()


@pytest.mark.parametrize("users", [1, 2, 7])
def test_square_root_shares_with_caps_against_interior_points(users: int) -> None:
    for seed in range(3):
        problem = draw("table", users, 8, "sum", seed, scarce=True, capped=True)
        problem = replace(problem, edge_share_max=np.full(users, problem.edge_capacity / (users + seed)))
        option = np.random.default_rng(seed).integers(0, 8, (SETS, users))
        a, gamma, lo, hi = Resources.of(problem).pick(option)
        fixed, none = problem.fixed_s[np.arange(users), option], np.zeros(option.shape)
        x, _ = square_root(np.sqrt(problem.weights * a), hi)
        goal = Goal(problem.weights, 1.0, 0.0)
        other = interior(goal, a, gamma, lo, hi, fixed, none, none + np.inf, np.ones(SETS, bool))
        assert (x <= hi).all()
        assert (x.sum(axis=2) <= 1 + 1e-12).all()
        assert np.allclose(goal.value(latencies(a, gamma, x, fixed, none)), other.objective, rtol=1e-9)


@pytest.mark.parametrize("decades", [2, 9, 30])
def test_equal_deadlines_over_many_decades_reach_their_level_or_say_so(decades: int) -> None:
    rng = np.random.default_rng(decades)
    settled = 0
    for _ in range(60):
        a = 10 ** rng.uniform(-decades, decades, (4, 3, 5)) * (rng.random((4, 3, 5)) < 0.7)
        fixed, weight = 10 ** rng.uniform(-decades, decades, (4, 5)), 10 ** rng.uniform(-1, 1, 5)
        hi = np.ones((4, 3, 5))
        hi[:, 1] = rng.uniform(0.1, 1.0, 5)
        found = equal_deadlines(a, hi, fixed, weight)
        with np.errstate(divide="ignore"):
            late = fixed + np.where(a > 0, a / np.where(a > 0, found.x, 1.0), 0.0).sum(axis=1)
        reached = (weight * late).max(axis=1)
        done = found.settled
        assert np.allclose(reached[done], found.level[done], rtol=EXACT)
        settled += int(done.sum())
    assert settled >= 0.95 * 240
