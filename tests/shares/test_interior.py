"""Interior points: bounds against a conic solver, batches against single sets, limits that can be met or cannot."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from benchmarks.families import KINDS, draw

from megdt_opt import AllocationProblem
from megdt_opt.pricing.scaled import Resources
from megdt_opt.shares.goal import Goal
from megdt_opt.shares.interior import Shares, interior, latencies
from megdt_opt.tolerances import EXACT

GOALS = {"sum": (1.0, 0.0, None), "max": (0.0, 1.0, None), "mixed": (1.0, 3.0, None), "cvar": (1.0, 0.0, (0.8, 2.0))}
OPTIONS = 12


class Drawn:
    """Option sets of a problem whose options are open, as the interior method takes them."""

    def __init__(self, kind: str, goal: str, users: int, sets: int, family: str = "table") -> None:
        self.problem = draw(family, users, OPTIONS, "max" if goal == "max" else "sum", 1, kind=kind)
        weights = self.problem.weights
        self.goal = Goal(weights / weights.sum() if goal == "cvar" else weights, *GOALS[goal])
        resources = Resources.of(self.problem)
        rng = np.random.default_rng(users)
        choices = [np.flatnonzero(row) for row in resources.open]
        option = np.array([[rng.choice(choice) for choice in choices] for _ in range(sets)])
        rows = np.arange(users)
        self.a, self.gamma, self.lo, self.hi = resources.pick(option)
        self.fixed, self.branch = self.problem.fixed_s[rows, option], self.problem.branch_s[rows, option]
        self.limit = self.problem.hard_deadline_s - self.fixed

    def solved(self, some: slice = slice(None), limit: np.ndarray | None = None) -> Shares:
        """Best shares of some of the sets, with other limits where some are given."""
        arrays = (self.a, self.gamma, self.lo, self.hi, self.fixed, self.branch)
        picked = [array[some] for array in arrays]
        limit = self.limit[some] if limit is None else limit
        return interior(self.goal, *picked, limit, np.ones(len(limit), bool))


def by_cone(drawn: Drawn, s: int) -> float:
    """The least goal of a set, with every rate as the cone that it is."""
    users = drawn.fixed.shape[1]
    x, late = cp.Variable((3, users), nonneg=True), cp.Variable(users)
    limits = [cp.sum(x, axis=1) <= 1, late >= drawn.branch[s]]
    spent = [[] for _ in range(users)]
    for i in range(3):
        for k in range(users):
            if drawn.a[s, i, k] == 0:
                continue
            gamma = drawn.gamma[s, i, k]
            # x log1p(gamma / x), whose perspective is a relative entropy
            rate = x[i, k] if np.isinf(gamma) else -cp.rel_entr(x[i, k], x[i, k] + gamma)
            spent[k].append(drawn.a[s, i, k] * cp.inv_pos(rate))
            limits += [x[i, k] >= drawn.lo[s, i, k], x[i, k] <= drawn.hi[s, i, k]]
    limits += [late[k] >= sum(spent[k]) for k in range(users) if spent[k]]
    limits += [late[k] <= drawn.limit[s, k] for k in range(users) if np.isfinite(drawn.limit[s, k])]
    whole, weight = late + drawn.fixed[s], drawn.goal.weight
    value = drawn.goal.sum_weight * (weight @ whole)
    if drawn.goal.max_weight > 0:
        value += drawn.goal.max_weight * cp.max(cp.multiply(weight, whole))
    if drawn.goal.cvar is not None:
        level, worth = drawn.goal.cvar
        quantile = cp.Variable(nonneg=True)
        value += worth * (quantile + weight @ cp.pos(whole - quantile) / (1 - level))
    problem = cp.Problem(cp.Minimize(value), limits)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    assert problem.status == cp.OPTIMAL
    return float(problem.value)


@pytest.mark.long_list("kind", of=2)
@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_is_the_objective_and_no_conic_solver_finds_less(kind: str, goal: str) -> None:
    drawn = Drawn(kind, goal, users=5, sets=40)
    found = drawn.solved()
    settled = np.isfinite(found.objective)
    assert (found.bound[~settled] == np.inf).all()
    assert np.allclose(found.bound[settled], found.objective[settled], rtol=1e-10)
    for s in np.flatnonzero(settled)[:2]:
        assert found.objective[s] == pytest.approx(by_cone(drawn, s), rel=1e-6)


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("kind", ["mixture", "parallel", "airtime"])
def test_shares_keep_all_limits_and_are_worth_what_is_said(kind: str, goal: str) -> None:
    drawn = Drawn(kind, goal, users=9, sets=30, family="cuts")
    found = drawn.solved()
    settled = np.isfinite(found.objective)
    x = found.x[settled]
    assert (x.sum(axis=2) <= 1 + EXACT).all()
    assert (x <= drawn.hi[settled] * (1 + EXACT)).all()
    assert (x >= drawn.lo[settled] * (1 - 1e-10) * (drawn.a[settled] > 0)).all()
    late = latencies(drawn.a[settled], drawn.gamma[settled], x, drawn.fixed[settled], drawn.branch[settled])
    assert (late - drawn.fixed[settled] <= drawn.limit[settled] * (1 + 1e-10)).all()
    assert np.allclose(drawn.goal.value(late), found.objective[settled], rtol=EXACT)
    if drawn.goal.max_weight > 0:
        assert np.allclose(found.tilts[settled].sum(axis=1), drawn.goal.max_weight, rtol=1e-6)


@pytest.mark.parametrize("goal", GOALS)
def test_a_set_among_others_is_solved_as_it_is_alone(goal: str) -> None:
    drawn = Drawn("deadline", goal, users=6, sets=25)
    together = drawn.solved()
    for s in range(25):
        alone = drawn.solved(slice(s, s + 1))
        assert np.allclose(alone.objective, together.objective[s], rtol=1e-11)
        assert np.allclose(alone.prices, together.prices[s], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["linear", "shannon", "airtime"])
def test_deadlines_are_met_as_soon_as_they_can_be(kind: str) -> None:
    drawn = Drawn(kind, "sum", users=6, sets=12)
    asked = np.random.default_rng(0).uniform(0.5, 20.0, drawn.fixed.shape)
    none = np.zeros((1, 6))
    for s in range(12):
        arrays = [array[s : s + 1] for array in (drawn.a, drawn.gamma, drawn.lo, drawn.hi)]
        late = Goal(1.0 / asked[s], 0.0, 1.0)
        least = interior(late, *arrays, none, none, none + np.inf, np.ones(1, bool)).objective[0]
        scale = float(least) * asked[s : s + 1]
        assert np.isfinite(drawn.solved(slice(s, s + 1), limit=scale * (1 + 1e-7)).objective[0])
        beyond = drawn.solved(slice(s, s + 1), limit=scale * (1 - 1e-7))
        assert beyond.objective[0] == beyond.bound[0] == np.inf


def test_a_kink_where_device_and_edge_end_together_is_reached() -> None:
    """The edge ends with the first user's device: more of it would be of no use to that user."""
    problem = AllocationProblem(
        fixed_s=np.zeros((2, 1)), device_branch_s=np.full((2, 1), 5.0),
        downlink_bit=np.zeros((2, 1)), uplink_bit=np.zeros((2, 1)), edge_work_s=np.array([[1.0], [8.0]]),
        downlink_hz=1.0, uplink_hz=1.0, edge_capacity=1.0, downlink_efficiency=np.ones(2), uplink_efficiency=np.ones(2),
        objective="sum",
    )  # fmt: skip
    resources = Resources.of(problem)
    option = np.zeros((1, 2), np.int64)
    none = np.zeros((1, 2))
    found = interior(
        Goal(problem.weights, 1.0, 0.0), *resources.pick(option), none, none + 5.0, none + np.inf, np.ones(1, bool)
    )
    assert found.x[0, 2] == pytest.approx([0.2, 0.8], rel=1e-9)
    assert found.objective[0] == pytest.approx(15.0, rel=1e-12)
    # to the second user alone more edge is worth something: 8 / x²
    assert found.prices[0, 2] == pytest.approx(12.5, rel=1e-6)


def test_no_time_leaves_shares_that_keep_all_limits() -> None:
    drawn = Drawn("deadline", "sum", users=6, sets=10)
    arrays = (drawn.a, drawn.gamma, drawn.lo, drawn.hi, drawn.fixed, drawn.branch, drawn.limit)
    found = interior(drawn.goal, *arrays, np.ones(10, bool), deadline=0.0)
    done = np.isfinite(found.objective)
    late = latencies(drawn.a, drawn.gamma, found.x, drawn.fixed, drawn.branch)
    assert (late - drawn.fixed <= drawn.limit * (1 + 1e-10))[done].all()
    assert (found.bound <= found.objective).all()
    assert (found.bound[~done] < np.inf).all()
