"""The objective "missed": closed forms, brute force, certificates and what must hold for every instance."""

from __future__ import annotations

import copy
import itertools
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from random_problems import draw

from megdt_opt import AllocationProblem, Infeasible, evaluate, solve
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.pricing.priced import grain
from megdt_opt.pricing.scaled import Resources, in_units
from megdt_opt.problem.allocation_problem import evaluate_shares
from megdt_opt.solving.engines.arrays import ArraysEngine
from megdt_opt.solving.engines.missed import MissedEngine
from megdt_opt.solving.search.on_time import OnTime
from megdt_opt.tolerances import EXACT


def knapsack(users: int, seed: int, *, load: float = 2.0, whole: bool = True) -> AllocationProblem:
    """One resource and no fixed latency: users are on time together iff their work / deadline sums to at most 1."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.2, 1.0, users)
    size *= load / size.sum()
    deadline_s = rng.uniform(1.0, 5.0, users)
    zero = np.zeros((users, 1))
    return AllocationProblem(
        fixed_s=zero, downlink_bit=zero, uplink_bit=zero, edge_work_s=(size * deadline_s)[:, None], downlink_hz=1.0,
        uplink_hz=1.0, deadline_s=deadline_s, objective="missed",
        weight=rng.integers(1, 9, users).astype(float) if whole else rng.uniform(0.5, 2.0, users),
    )  # fmt: skip


def best_knapsack(problem: AllocationProblem) -> float:
    size = problem.edge_work_s[:, 0] / problem.on_time_s
    sets = np.array(list(itertools.product((0.0, 1.0), repeat=problem.users)))
    fits = sets @ size <= 1.0
    return float(((1.0 - sets[fits]) @ problem.weights).min())


@pytest.mark.parametrize(("users", "seed", "whole"), [(9, 0, True), (9, 1, False), (12, 2, True)])
def test_one_resource_is_a_knapsack(users: int, seed: int, whole: bool) -> None:
    problem = knapsack(users, seed, whole=whole)
    found = solve(problem)
    assert found.objective_s == pytest.approx(best_knapsack(problem), rel=EXACT)
    assert found.status == "optimal"
    assert found.bound_source == "certificate"
    assert found.certificate is not None
    assert found.certificate.verify(problem).holds


def missed(number: int, seed: int = 22) -> AllocationProblem:
    problem = draw(number, seed=seed).problem
    rng = np.random.default_rng(number)
    return replace(
        problem,
        objective="missed",
        deadline_s=rng.uniform(0.5, 4.0, problem.users),
        weight=None if number % 2 else problem.weight,
        uplink_airtime_max_s=None,
    )


def part(problem: AllocationProblem, users: list[int]) -> AllocationProblem:
    """The problem of the least L / deadline among some users."""
    values: dict[str, Any] = {f.name: getattr(problem, f.name) for f in fields(problem)}
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            values[name] = value[users]
    values |= {"objective": "max", "weight": 1.0 / problem.deadline_s[users], "deadline_s": None}  # type: ignore[index]
    return AllocationProblem(**values)


def least_weight(problem: AllocationProblem) -> float:
    """Every set of late users, from the lightest on, until the others can be on time: another route than "missed"."""
    everybody = set(range(problem.users))
    sets = [set(s) for n in range(problem.users + 1) for s in itertools.combinations(range(problem.users), n)]
    for late in sorted(sets, key=lambda s: sum(problem.weights[k] for k in s)):
        rest = sorted(everybody - late)
        if not rest or solve(part(problem, rest), method="enumerate").objective_s <= 1.0:
            return float(problem.weights[sorted(late)].sum())
    raise AssertionError("everybody late is always possible")


@pytest.mark.long_list
@pytest.mark.parametrize("number", [1, 2, 5, 6, 18, 20])
def test_against_brute_force_and_the_oracle(number: int) -> None:
    problem = missed(number)
    found, oracle = solve(problem), solve(problem, method="enumerate")
    best = least_weight(problem)
    assert found.objective_s == pytest.approx(best, rel=EXACT)
    assert oracle.objective_s == pytest.approx(best, rel=EXACT)
    assert found.status == oracle.status == "optimal"
    assert found.evaluate(problem).violation <= EXACT
    late = found.latency_s > problem.on_time_s
    assert float(problem.weights[late].sum()) == found.objective_s
    assert found.certificate is not None
    for exact in (True, False):
        verdict = found.certificate.verify(problem, exact=exact)
        assert verdict.holds, verdict.reason


@pytest.mark.long_list
@pytest.mark.parametrize("number", [3, 8, 11, 16])
def test_never_more_than_other_objectives_leave_late(number: int) -> None:
    problem = missed(number)
    found = solve(problem).objective_s
    for objective in ("max", "sum"):
        other = solve(replace(problem, objective=objective, deadline_s=None))
        asked = problem.weights[other.latency_s > problem.on_time_s].sum()
        assert found <= asked * (1 + EXACT)


def test_more_of_everything_never_makes_more_users_late() -> None:
    problem = knapsack(8, 4, load=3.0)
    before = solve(problem).objective_s
    after = solve(replace(problem, edge_capacity=1.5)).objective_s
    assert after <= before
    assert solve(replace(problem, edge_capacity=3.1)).objective_s == 0.0
    assert solve(replace(problem, deadline_s=problem.deadline_s * 1e-6)).objective_s == problem.weights.sum()  # type: ignore[operator]


def test_late_users_get_what_is_left() -> None:
    problem = AllocationProblem(
        fixed_s=np.zeros((2, 1)), downlink_bit=np.zeros((2, 1)), uplink_bit=np.zeros((2, 1)),
        edge_work_s=[[0.5], [4.0]], downlink_hz=1.0, uplink_hz=1.0, deadline_s=[1.0, 2.0], objective="missed",
    )  # fmt: skip
    found = solve(problem)
    assert found.objective_s == 1.0
    assert found.latency_s == pytest.approx([1.0, 8.0], rel=EXACT)
    # nothing is left where the user on time needs everything
    tight = solve(replace(problem, edge_work_s=np.array([[1.0], [4.0]])))
    assert tight.objective_s == 1.0
    assert tight.latency_s[0] == pytest.approx(1.0, rel=EXACT)
    assert tight.latency_s[1] > 1e9


def airtime(limit_s: float) -> AllocationProblem:
    """Two users that only send: each is on time with half of the band and a little."""
    return AllocationProblem(
        fixed_s=np.zeros((2, 1)), downlink_bit=np.zeros((2, 1)), uplink_bit=[[1.0], [1.0]],
        edge_work_s=np.zeros((2, 1)), downlink_hz=1.0, uplink_hz=1.0, uplink_efficiency=[1.0, 1.0],
        uplink_airtime_max_s=[[limit_s], [limit_s]], deadline_s=[1.8, 1.8], objective="missed",
    )  # fmt: skip


@pytest.mark.parametrize(("limit_s", "late"), [(2.5, 1.0), (2.2, 2.0)])
def test_late_users_keep_their_airtime(limit_s: float, late: float) -> None:
    """On time takes 1 / 1.8 of the band, a late user at least 1 / limit."""
    problem = airtime(limit_s)
    assert (1 / 1.8 + 1 / limit_s <= 1.0) == (late == 1.0)
    for method in ("prices", "enumerate"):
        found = solve(problem, method=method)
        assert found.objective_s == late
        assert found.status == "optimal"
        assert found.evaluate(problem).violation <= EXACT


def test_airtime_that_nobody_can_keep_is_infeasible() -> None:
    for method in ("prices", "enumerate"):
        with pytest.raises(Infeasible):
            solve(airtime(1.9), method=method)


def test_an_altered_certificate_is_rejected() -> None:
    problem = knapsack(6, 3)
    found = solve(problem)
    assert found.certificate is not None
    data = found.certificate.to_dict()
    higher = copy.deepcopy(data)
    higher["bound_s"] += 1.0
    assert not Certificate.from_dict(higher).verify(problem).holds
    dearer = copy.deepcopy(data)
    leaf = next(node for node in dearer["nodes"] if "prices" in node)
    leaf["prices"] = {"downlink": 0.0, "uplink": 0.0, "edge": 100.0 * problem.weights.sum()}
    assert not Certificate.from_dict(dearer).verify(problem).holds
    assert not found.certificate.verify(replace(problem, edge_capacity=2.0)).holds
    assert not found.certificate.verify(replace(problem, objective="max", deadline_s=None)).holds


def test_a_certificate_that_forgets_being_late_is_rejected() -> None:
    problem = knapsack(6, 3)
    late = problem.options
    nodes = [{"user": 0, "groups": [[0]]}, {"prices": {"downlink": 0.0, "uplink": 0.0, "edge": 1.0}}]
    data = {"format": "megdt-opt certificate 3", "objective": "missed", "bound_s": 0.0, "nodes": nodes}
    assert "partition" in Certificate.from_dict(data).verify(problem).reason
    nodes[0]["groups"] = [[0, late]]  # type: ignore[list-item]
    nodes[1]["prices"]["edge"] = 0.0  # type: ignore[call-overload]
    assert Certificate.from_dict(data).verify(problem).holds


def test_grain() -> None:
    assert grain(np.array([6.0, 4.0, 10.0])) == 2
    assert grain(np.array([0.75, 0.5])) == Fraction(1, 4)
    third = grain(np.array([1 / 3, 1 / 3]))
    assert third == Fraction(1 / 3)
    for weight in np.random.default_rng(0).uniform(0, 1, (5, 4)):
        unit = grain(weight)
        assert all((Fraction(float(w)) / unit).denominator == 1 for w in weight)


@pytest.mark.parametrize("number", [4, 11, 18, 20])
def test_prices_and_interior_points_agree_who_is_on_time_together(number: int) -> None:
    problem = missed(number)
    engine = MissedEngine(problem, Resources.of(problem), ArraysEngine)
    rng = np.random.default_rng(number)
    choices = np.where(engine.heads, rng.random((40, *engine.heads.shape)), -1.0).argmax(axis=2)
    expected = engine.on_time.together(engine.on_time.fit(choices).objective)
    assert 0 < expected.sum() < len(choices)
    for choice, together in zip(choices, expected, strict=True):
        x, prices = engine._together(choice)
        assert (x is not None) == together
        if x is not None:
            late = choice == engine.on_time.late
            seen = evaluate_shares(problem, np.where(late, 0, choice), in_units(problem, x)[0])
            assert (seen.latency_s <= problem.on_time_s)[~late].all()
            assert (x.sum(axis=1) <= 1.0 + EXACT).all()
        elif prices is not None:
            cost = engine._needed(choice, prices).sum(axis=1) @ prices
            assert cost > prices.sum()


def test_fit_agrees_with_the_evaluation() -> None:
    problem = missed(5)
    resources = Resources.of(problem)
    option = resources.open.argmax(axis=1)
    found = OnTime(problem, resources).fit(option[None])
    x = found.x[0]
    seen = evaluate(problem, option, x[0] * problem.downlink_hz, x[1] * problem.uplink_hz, x[2] * problem.edge_capacity)
    assert (seen.latency_s / problem.on_time_s).max() == pytest.approx(found.objective[0], rel=EXACT)
