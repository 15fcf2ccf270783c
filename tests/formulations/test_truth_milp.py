"""Every constraint of the two programs on HiGHS, at a point that keeps it and at points that break it.

The points are physical (hertz, seconds), computed here and not by the formulations, so that units are tested too.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from megdt_opt.formulations import deadline_milp, square_root_milp
from megdt_opt.formulations._sets import unpayable
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate
from megdt_opt.solving.search.pool import Pool

FORMULATIONS = (square_root_milp, deadline_milp)
OFF = 1.02
"""How far the broken points are beyond a limit."""

ALL = np.ones((2, 2), dtype=bool)
FIRST = np.zeros(2, dtype=np.int64)
BOTH_SECOND = np.ones(2, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Point:
    """Physical values; tables (3, K) in the order downlink, uplink, edge."""

    problem: AllocationProblem
    taken: NDArray[np.float64]  # (K, O)
    share: NDArray[np.float64]  # [Hz, Hz, 1]
    stage_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]


def _problem(objective: str) -> AllocationProblem:
    return AllocationProblem(
        fixed_s=[[0.1, 0.3], [0.2, 0.1]], device_branch_s=[[1.0, 0.0], [9.0, 1.0]],
        downlink_bit=[[4e6, 1e6], [2e6, 3e6]], uplink_bit=[[3e5, 1e5], [2e5, 4e5]],
        edge_work_s=[[0.5, 0.2], [0.7, 0.3]], downlink_hz=4e6, uplink_hz=1e6, edge_capacity=2.0,
        edge_share_max=[0.9, 0.95], weight=[1.0, 2.0], deadline_s=[30.0, 100.0], downlink_efficiency=[2.0, 3.0],
        uplink_efficiency=[1.5, 2.5], uplink_airtime_max_s=[[5.0, 5.0], [6.0, 5.0]], objective=objective,
    )  # fmt: skip


def _budgets(problem: AllocationProblem) -> NDArray[np.float64]:
    return np.array([[problem.downlink_hz], [problem.uplink_hz], [problem.edge_capacity]])


def _at(problem: AllocationProblem, part: NDArray[np.float64]) -> Point:
    """Option 0 for both users, at parts of the budgets (3, K)."""
    share = part * _budgets(problem)
    amount = np.stack([problem.downlink_bit[:, 0], problem.uplink_bit[:, 0], problem.edge_work_s[:, 0]])
    slopes = np.stack([problem.downlink_efficiency, problem.uplink_efficiency, np.ones(2)])
    stage_s = amount / (slopes * share)
    latency_s = problem.fixed_s[:, 0] + np.maximum(problem.branch_s[:, 0], stage_s.sum(axis=0))
    return Point(
        problem=problem, taken=np.array([[1.0, 0.0], [1.0, 0.0]]), share=share, stage_s=stage_s, latency_s=latency_s
    )


def good(problem: AllocationProblem) -> Point:
    """45 % of each budget each: less than every cap and limit."""
    return _at(problem, np.full((3, 2), 0.45))


def _no_or_two_options(p: Point) -> list[Point]:
    return [replace(p, taken=np.array([[0.0, 0.0], [1.0, 0.0]])), replace(p, taken=np.array([[1.0, 0.0], [1.0, 1.0]]))]


def _faster_than_the_share(p: Point) -> list[Point]:
    broken = []
    for cell in [(i, k) for i in range(3) for k in range(2)]:
        stage_s = p.stage_s.copy()
        stage_s[cell] /= OFF
        broken.append(replace(p, stage_s=stage_s))
    return broken


def _best_parts(p: Point) -> NDArray[np.float64]:
    root = np.sqrt(p.problem.weights * p.stage_s * p.share)
    return root / root.sum(axis=1, keepdims=True)


def _over_budget(p: Point) -> list[Point]:
    broken = []
    for i in range(3):
        part = np.full((3, 2), 0.45)
        part[i] = OFF * _best_parts(p)[i]
        broken.append(_at(p.problem, part))
    return broken


def _without_the_device(p: Point) -> list[Point]:
    """The device branch is left out of the latency, at the shares that are best without it."""
    best = _at(p.problem, _best_parts(p))
    return [replace(best, latency_s=p.problem.fixed_s[:, 0] + best.stage_s.sum(axis=0))]


def _tight_deadlines(p: Point) -> list[Point]:
    """Too soon for the first user's share cap, and for the second user's device branch."""
    return [replace(p, problem=replace(p.problem, deadline_s=d)) for d in ([1.2, 100.0], [30.0, 9.1])]


def _too_fast(p: Point) -> list[Point]:
    """Sooner than any shares allow, and sooner than the device branch."""
    return [replace(p, latency_s=p.latency_s * factor) for factor in (0.5, 0.1)]


def _short_airtime(p: Point) -> list[Point]:
    """Each user alone could, with OFF times half of the uplink."""
    half_s = p.problem.uplink_bit / (p.problem.uplink_efficiency[:, None] * 0.5 * p.problem.uplink_hz)
    return [replace(p, problem=replace(p.problem, uplink_airtime_max_s=half_s / OFF))]


def _banned(p: Point) -> list[Point]:
    return [replace(p, taken=np.array([[0.0, 1.0], [0.0, 1.0]]))]


BROKEN: dict[str, Callable[[Point], list[Point]]] = {
    "square_root_milp.one_option": _no_or_two_options,
    "square_root_milp.root_sum": _faster_than_the_share,
    "square_root_milp.tangent": _over_budget,
    "square_root_milp.limit": _without_the_device,
    "square_root_milp.in_time": _tight_deadlines,
    "square_root_milp.fresh_set": _banned,
    "deadline_milp.one_option": _no_or_two_options,
    "deadline_milp.price": _too_fast,
    "deadline_milp.least_share": _short_airtime,
    "deadline_milp.fresh_set": _banned,
}
"""The registry: a constraint without an entry here fails the suite."""


def _violation_sum(constraint: Callable[[Any], Any], p: Point) -> float:
    problem, w = p.problem, p.problem.weights
    scaled = Resources.of(problem)
    c, roots = w[:, None] * problem.fixed_s, np.sqrt(w[:, None] * scaled.a)
    centre = np.array([1.1, 0.9, 1.2])
    m = square_root_milp.make_model(c, roots, ALL, centre, 1e3)
    taken = p.taken[m.user, m.option]
    total = np.sqrt(w * p.stage_s * p.share / _budgets(problem)).sum(axis=1)
    d = (total - centre) / np.sqrt(m.unit)
    z = ((w * p.stage_s).sum(axis=1) - 2 * centre * total + centre**2) / m.unit
    h = (w @ p.latency_s - m.q) / m.unit - m.C @ taken - z.sum()
    shadow = np.array([4.0, 0.5, 3.0])
    limits, times = [], []
    if constraint.__name__ == "limit":
        # where device branches set the latency, prices next to nothing are the sharp ones
        for prices in (shadow, 1e-3 * shadow, 1e-9 * shadow):
            pool = Pool(problem, scaled, None)
            pool.add(prices)
            limits.append((pool.costs_at(0)[m.user, m.option], float(prices.sum())))
    if constraint.__name__ == "in_time":
        from megdt_opt.solving.lateness import lateness_problem

        late = lateness_problem(problem)
        found = unpayable(late, FIRST, 1.0, np.ones(3))
        pool = Pool(late, Resources.of(late), 1.0)
        for prices in (np.ones(3), shadow, *([] if found is None else [found])):
            times.append(pool.costs_at(pool.add(prices))[m.user, m.option])
    m = replace(m, t=np.vstack([m.t, d]), limits=limits, times=times, sets=[BOTH_SECOND])
    return float(constraint(m).violation(np.r_[taken, d, z, h]))


def _violation_max(constraint: Callable[[Any], Any], p: Point) -> float:
    problem, scaled = p.problem, Resources.of(p.problem)
    level_s = float((problem.weights * p.latency_s).max())
    pool = Pool(problem, scaled, level_s)
    found = unpayable(problem, FIRST, level_s, np.ones(3)) if constraint.__name__ == "price" else None
    for prices in (np.ones(3), np.array([4.0, 0.5, 3.0]), *([] if found is None else [found])):
        pool.add(prices)
    q = deadline_milp.make_model(pool, ALL, [BOTH_SECOND])
    return float(constraint(q).violation(p.taken[q.user, q.option]))


VIOLATION = {"square_root_milp": (_violation_sum, "sum"), "deadline_milp": (_violation_max, "max")}


def short_name(module: Any) -> str:
    """File name of a formulation."""
    return str(module.__name__.rsplit(".", 1)[1])


def untested(module: Any) -> list[str]:
    """Constraints of a formulation that have no truth test."""
    names = [f"{short_name(module)}.{c.__name__}" for c in module.CONSTRAINTS]
    return [name for name in names if name not in BROKEN]


@pytest.mark.parametrize(
    ("name", "constraint"),
    [pytest.param(short_name(f), c, id=f"{short_name(f)}-{c.__name__}") for f in FORMULATIONS for c in f.CONSTRAINTS],
)
def test_truth(name: str, constraint: Callable[[Any], Any]) -> None:
    violation, objective = VIOLATION[name]
    point = good(_problem(objective))
    assert f"{name}.{constraint.__name__}" in BROKEN, "add points that break this constraint to the registry"
    assert violation(constraint, point) <= 1e-9
    for broken in BROKEN[f"{name}.{constraint.__name__}"](point):
        assert violation(constraint, broken) > 1e-5


def test_the_good_point_keeps_the_problem() -> None:
    for objective in ("sum", "max"):
        p = good(_problem(objective))
        found = evaluate(p.problem, FIRST, *p.share)
        assert found.violation == 0
        assert found.latency_s == pytest.approx(p.latency_s, rel=1e-14)


def test_a_new_constraint_without_truth_test_is_caught() -> None:
    def novelty(q: Any) -> Any:
        return None

    extended = types.SimpleNamespace(
        __name__="formulations.deadline_milp", CONSTRAINTS=(*deadline_milp.CONSTRAINTS, novelty)
    )
    assert untested(extended) == ["deadline_milp.novelty"]
    for module in FORMULATIONS:
        assert untested(module) == []
