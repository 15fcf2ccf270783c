"""Users of one kind are counted, not branched one by one: cells of identical or nearly identical phones close."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt import AllocationProblem, solve
from megdt_opt.certificate.tree import Count, Row
from megdt_opt.problem.outcome import BoundSource
from megdt_opt.solving.closing import prepare
from megdt_opt.solving.search.counts import none
from megdt_opt.solving.search.planes import Room, highest
from megdt_opt.tolerances import BOUND, SOLVER


def torn_between_edge_and_downlink(users: int, spread: float) -> AllocationProblem:
    """Half of them should take the edge, half the downlink: the optimum is half their number, rounded up."""
    rng = np.random.default_rng(users)
    near = 1.0 + spread * rng.random((4, users, 2))
    none, one = np.zeros((users, 2)), np.ones((users, 1))
    return AllocationProblem(
        fixed_s=none * near[0],
        edge_work_s=np.hstack([one, 0 * one]) * near[1],
        downlink_bit=np.hstack([0 * one, one]) * near[2],
        uplink_bit=none,
        downlink_hz=1.0,
        uplink_hz=1.0,
        downlink_efficiency=np.ones(users),
        objective="max",
    )


def half_integer_crowd(users: int, spread: float, down: float, up: float) -> AllocationProblem:
    """Local or edge for the sum, where the best crowd at the edge is half an integer."""
    rng = np.random.default_rng(users)
    near = 1.0 + spread * rng.random((4, users, 2))
    local_s = 2.0 * (users // 2 + 0.5) * (1.0 + down + up)
    one = np.ones((users, 1))
    return AllocationProblem(
        fixed_s=np.hstack([local_s * one, 0 * one]) * near[0],
        edge_work_s=np.hstack([0 * one, one]) * near[1],
        downlink_bit=np.hstack([0 * one, down * one]) * near[2],
        uplink_bit=np.hstack([0 * one, up * one]) * near[3],
        downlink_hz=1.0,
        uplink_hz=1.0,
        downlink_efficiency=np.ones(users),
        uplink_efficiency=np.ones(users),
        objective="sum",
    )


@pytest.mark.long_list("spread", of=3)
@pytest.mark.parametrize("users", [21, 41, 42, 200, 400, 1001])
@pytest.mark.parametrize("spread", [0.0, 1e-4])
def test_the_worst_latency_of_one_kind_closes(users: int, spread: float) -> None:
    problem = torn_between_edge_and_downlink(users, spread)
    found = solve(problem, time_limit_s=60)
    assert found.is_optimal()
    assert found.bound_source is BoundSource.CERTIFICATE
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds
    if not spread:
        assert found.objective_s == pytest.approx((users + 1) // 2, rel=2e-6)


@pytest.mark.long_list("spread", "down", of=2)
@pytest.mark.parametrize("users", [21, 41, 200, 1000])
@pytest.mark.parametrize("spread", [0.0, 1e-4])
@pytest.mark.parametrize(("down", "up"), [(0.7, 0.3), (0.0, 0.0), (0.2, 1.5)])
def test_the_sum_of_one_kind_closes(users: int, spread: float, down: float, up: float) -> None:
    problem = half_integer_crowd(users, spread, down, up)
    found = solve(problem, time_limit_s=60)
    assert found.is_optimal()
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds
    if not spread:
        # identical users: the best crowd by trying every number of them at the edge
        local_s, crowd = problem.fixed_s[0, 0], np.arange(users + 1)
        work = crowd**2 * (1.0 + down + up)
        best = float(np.min((users - crowd) * local_s + work))
        assert found.objective_s == pytest.approx(best, rel=2e-6)


@pytest.mark.parametrize("users", [21, 41, 200, 201])
def test_a_crowd_is_divided_by_its_number_first(users: int) -> None:
    """The sets on both sides of the number prove their sides with their own prices: no search for better ones."""
    crowd = half_integer_crowd(users, 0.0, 0.7, 0.3)
    for _ in range(2):  # in NumPy or compiled
        found = solve(crowd, method="prices")
        assert found.certificate is not None
        assert isinstance(found.certificate.tree, Count)
        assert found.gap <= 1e-9
        at_edge = int(found.option.sum())
        assert found.objective_s == pytest.approx(2.0 * at_edge**2 + (users - at_edge) * crowd.fixed_s[0, 0], rel=1e-9)
        prepare(crowd)


@given(st.integers(0, 2**31), st.integers(1, 7), st.integers(2, 4))
def test_the_multiplier_of_a_count_is_worth_the_most(seed: int, users: int, options: int) -> None:
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 6, (users + 1, options)).astype(float)
    cost[rng.random(cost.shape) < 0.2] = np.inf
    members = np.sort(rng.permutation(users + 1)[:users])
    counted = np.flatnonzero(np.r_[True, rng.random(options - 1) < 0.5])
    sign = int(rng.choice([-1, 1]))
    limits = none(np.ones(cost.shape, bool)).with_row(Row(members, counted, int(rng.integers(0, users + 1)), sign))

    def worth(multiplier: float) -> float:
        one = np.array([multiplier])
        return float((cost + limits.extra(one)).min(axis=1).sum()) - limits.offset(one)

    # concave, and it bends at whole numbers here; where it goes on rising, no users keep the limit
    tried = [worth(float(m)) for m in range(8)]
    (best,), value = limits.with_last(cost, np.zeros(0))
    assert value == worth(best)
    assert value >= max(tried) or tried[7] > tried[6] or np.isinf(tried).all()


def test_planes_of_many_users_counts_have_a_highest_point() -> None:
    """A multiplier at its limit makes heights of thousands; rounding there is no direction to go."""
    slopes = np.array([[0.0, 0.0, 1.9980058901215974, 501.0]])
    top = highest(slopes, np.zeros(1), Room(np.full(4, 4.0), 3), None)
    assert top is not None
    assert top.height == pytest.approx(1.9980058901215974 + 4 * 501)


@pytest.mark.long_list("kinds", of=2)
@pytest.mark.parametrize("max_weight", [0.0, 0.3, 1.0, 20.0])
@pytest.mark.parametrize("kinds", [1, 2])
def test_the_sum_with_the_worst_of_one_kind_proves_what_it_claims(max_weight: float, kinds: int) -> None:
    """Its multipliers, one a user, have a limit, so that its users are not counted; what is claimed is proven."""
    rng = np.random.default_rng(3)
    size = np.repeat(rng.uniform(0.5, 1.5, (kinds, 1)), 4 // kinds, axis=0)
    users = len(size)
    none = np.zeros((users, 1))
    problem = AllocationProblem(
        fixed_s=np.zeros((users, 3)),
        edge_work_s=np.hstack([size, none, none]),
        downlink_bit=np.hstack([none, size, none]),
        uplink_bit=np.hstack([none, none, 1.1 * size]),
        downlink_hz=1.0,
        uplink_hz=1.0,
        downlink_efficiency=np.ones(users),
        uplink_efficiency=np.ones(users),
        objective="mixed",
        max_weight=max_weight,
    )
    found, best = solve(problem), solve(problem, "enumerate").objective_s
    assert found.objective_s == pytest.approx(best, rel=SOLVER)
    assert found.lower_bound_s <= best * (1 + BOUND)
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds
