"""Every constraint of every formulation, at a point that keeps it and at points that break it alone.

The points are physical (hertz, seconds), computed here and not by the formulations, so that units are tested too.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from numpy.typing import NDArray

from megdt_opt.formulations import (
    convex_allocation,
    option_gdp,
    option_gdp_bigm,
    option_gdp_outer,
    option_misocp,
    option_misocp_perspective,
)
from megdt_opt.formulations._scaling import reference
from megdt_opt.problem.allocation_problem import AllocationProblem, evaluate

FORMULATIONS = (
    convex_allocation, option_misocp, option_misocp_perspective, option_gdp, option_gdp_bigm, option_gdp_outer,
)  # fmt: skip
SHANNON = ("convex_allocation", "option_gdp_outer")
"""Those that take Shannon rates as well."""
OFF = 1.02
"""How far the broken points are beyond a limit."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """Physical values; tables (3, K) in the order downlink, uplink, edge."""

    problem: AllocationProblem
    taken: NDArray[np.float64]  # (K, O)
    share: NDArray[np.float64]  # [Hz, Hz, 1]
    rate: NDArray[np.float64]  # [bit/s, bit/s, 1]
    stage_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    largest_s: float
    served: NDArray[np.float64]  # part of the demand that a stage serves [1]
    late: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))  # (K,), for "missed"


def _problem(*, shannon: bool, one: bool) -> AllocationProblem:
    law = (
        {"downlink_snr_hz": [2e7, 5e6], "uplink_snr_hz": [1e6, 3e7]}
        if shannon
        else {"downlink_efficiency": [2.0, 3.0], "uplink_efficiency": [1.5, 2.5]}
    )
    return AllocationProblem(
        fixed_s=[[0.1, 0.3], [0.2, 0.1]], device_branch_s=[[1.0, 0.0], [6.0, 1.0]],
        downlink_bit=[[4e6, 1e6], [2e6, 3e6]],
        uplink_bit=[[3e5, 1e5], [2e5, 4e5]], edge_work_s=[[0.5, 0.2], [0.7, 0.3]], downlink_hz=4e6, uplink_hz=1e6,
        edge_capacity=2.0, edge_share_max=[0.9, 0.8], weight=[1.0, 2.0], deadline_s=[30.0, 100.0],
        uplink_airtime_max_s=[[5.0, 5.0], [6.0, 5.0]], objective="mixed", max_weight=3.0,
        allowed=[[True, not one], [True, not one]], **law,
    )  # fmt: skip


def good(problem: AllocationProblem) -> Point:
    """Option 0 for both users, 45 % of each budget each (less than every cap and limit), a little slack everywhere."""
    share = 0.45 * np.array([[problem.downlink_hz] * 2, [problem.uplink_hz] * 2, [problem.edge_capacity * 0.8] * 2])
    if problem.linear:
        slopes = np.stack([problem.downlink_efficiency, problem.uplink_efficiency])
        rates = slopes * share[:2]
    else:
        gains = np.stack([problem.downlink_snr_hz, problem.uplink_snr_hz])
        rates = share[:2] * np.log2(1 + gains / share[:2])
    rate = np.vstack([rates, share[2]]) * 0.9999
    amount = np.stack([problem.downlink_bit[:, 0], problem.uplink_bit[:, 0], problem.edge_work_s[:, 0]])
    # slower than the full rate, so that the compact forms, which know no rate of their own, keep their slack as well
    stage_s = 1.001 * amount / rate
    latency_s = 1.001 * (problem.fixed_s[:, 0] + np.maximum(problem.branch_s[:, 0], stage_s.sum(axis=0)))
    taken = np.array([[1.0, 0.0], [1.0, 0.0]])
    largest_s = 1.001 * float((problem.weights * latency_s).max())
    return Point(
        problem=problem, taken=taken, share=share, rate=rate, stage_s=stage_s, latency_s=latency_s,
        largest_s=largest_s, served=np.ones((3, 2)),
    )  # fmt: skip


def good_late(problem: AllocationProblem) -> Point:
    """The good point with the objective "missed" and user 0 late: it takes no option, but its share stays."""
    p = good(replace(problem, objective="missed", max_weight=None))
    return replace(p, taken=np.array([[0.0, 0.0], [1.0, 0.0]]), late=np.array([1.0, 0.0]))


def good_costly(problem: AllocationProblem) -> Point:
    """The good point, with costs of 3 and 2 units for the options taken, of which 5.5 are allowed in all."""
    return good(replace(problem, option_cost=[[[3.0], [1.0]], [[2.0], [1.0]]], cost_max=[5.5]))


def _with(table: NDArray[np.float64], where: tuple[int, ...], value: float) -> NDArray[np.float64]:
    changed = table.copy()
    changed[where] = value
    return changed


CELLS = [(i, k) for i in range(3) for k in range(2)]


def _over_budget(p: Point) -> list[Point]:
    totals = (p.problem.downlink_hz, p.problem.uplink_hz, p.problem.edge_capacity)
    return [replace(p, share=_with(p.share, (i, 0), OFF * totals[i] - p.share[i, 1])) for i in range(3)]


def _faster_than_the_law(p: Point) -> list[Point]:
    return [replace(p, rate=_with(p.rate, c, OFF * p.rate[c])) for c in CELLS]


def _faster_than_the_rate(p: Point) -> list[Point]:
    return [replace(p, stage_s=_with(p.stage_s, c, p.stage_s[c] / OFF)) for c in CELLS]


def _less_than_asked(p: Point) -> list[Point]:
    return [replace(p, served=_with(p.served, c, 1 / OFF)) for c in CELLS]


def _over_cap(p: Point) -> list[Point]:
    return [replace(p, share=_with(p.share, (2, k), OFF * p.problem.share_caps[k])) for k in range(2)]


def _over_airtime(p: Point) -> list[Point]:
    limits = p.problem.uplink_airtime_max_s[:, 0]
    return [replace(p, stage_s=_with(p.stage_s, (1, k), OFF * limits[k])) for k in range(2)]


def _before_the_edge(p: Point) -> list[Point]:
    edge_s = p.problem.fixed_s[:, 0] + p.stage_s.sum(axis=0)
    return [replace(p, latency_s=_with(p.latency_s, (k,), edge_s[k] / OFF)) for k in range(2)]


def _before_the_device(p: Point) -> list[Point]:
    device_s = p.problem.fixed_s[:, 0] + p.problem.branch_s[:, 0]
    return [replace(p, latency_s=_with(p.latency_s, (k,), device_s[k] / OFF)) for k in range(2)]


def _late(p: Point) -> list[Point]:
    return [replace(p, latency_s=_with(p.latency_s, (k,), OFF * p.problem.hard_deadline_s[k])) for k in range(2)]


def _largest_too_small(p: Point) -> list[Point]:
    return [replace(p, largest_s=float((p.problem.weights * p.latency_s).max()) / OFF)]


def _no_or_two_options(p: Point) -> list[Point]:
    return [replace(p, taken=np.array([[0.0, 0.0], [1.0, 0.0]])), replace(p, taken=np.array([[1.0, 0.0], [1.0, 1.0]]))]


def _late_below_its_airtime(p: Point) -> list[Point]:
    # the option with the least uplink share of the late user: 1e5 bit at 1.5 bit/s/Hz in at most 5 s
    least_hz = 1e5 / 1.5 / 5.0
    return [replace(p, share=_with(p.share, (1, 0), least_hz / OFF))]


def _too_costly(p: Point) -> list[Point]:
    return [replace(p, problem=replace(p.problem, cost_max=[5.0 / OFF]))]


GOOD: dict[str, Callable[[AllocationProblem], Point]] = {"late_share": good_late, "cost_limit": good_costly}
"""Points that keep a constraint which others do not have."""

BROKEN: dict[str, Callable[[Point], list[Point]]] = {
    "budget": _over_budget,
    "rate_law": _faster_than_the_law,
    "stage_time": _faster_than_the_rate,
    "stage_sum": _faster_than_the_rate,
    "stage_root": _less_than_asked,
    "share_limit": _over_cap,
    "stage_limit": _over_airtime,
    "edge_branch": _before_the_edge,
    "device_branch": _before_the_device,
    "deadline": _late,
    "largest": _largest_too_small,
    "one_option": _no_or_two_options,
    "late_share": _late_below_its_airtime,
    "cost_limit": _too_costly,
}
"""The registry: a constraint without an entry here fails the suite."""


def untested(module: Any) -> list[str]:
    """Constraints of a formulation that have no truth test."""
    return [c.__name__ for c in module.CONSTRAINTS if c.__name__ not in BROKEN]


def _violation_convex(constraint: Callable[[Any], list[Any]], p: Point) -> float:
    problem = p.problem
    option = np.zeros(2, dtype=np.int64)
    scale = reference(problem, option)
    budgets = np.array([problem.downlink_hz, problem.uplink_hz, problem.edge_capacity])[:, None]
    numbers = convex_allocation.scaled_numbers(problem, scale)
    q = convex_allocation.make_model(2, "mixed", (not problem.linear, not problem.linear, False), numbers)
    amount = np.stack([problem.downlink_bit[:, 0], problem.uplink_bit[:, 0], problem.edge_work_s[:, 0]])
    for i in range(3):
        q.y[i].value = p.share[i] / budgets[i] / scale.share[i]
        q.z[i].value = p.rate[i] * scale.stage_s[i] / amount[i]
        q.s[i].value = p.stage_s[i] / scale.stage_s[i]
    q.v.value = p.latency_s / scale.latency_unit_s
    q.h.value = p.largest_s / scale.latency_unit_s / scale.weight_unit
    return max(float(np.max(one.violation())) for one in constraint(q))


def _violation_misocp(constraint: Callable[[Any], list[Any]], p: Point) -> float:
    problem = p.problem
    q = option_misocp.make_model(problem, np.ones((2, 2), dtype=bool))
    share, stage, latency, largest = _scaled(p)
    for i in range(3):
        q.x[i].value, q.t[i].value = share[i], stage[i]
    q.n.value, q.v.value, q.h.value = p.taken.ravel(), latency, largest
    if q.late is not None:
        q.late.value = p.late
    return max(float(np.max(one.violation())) for one in constraint(q))


def _violation_perspective(constraint: Callable[[Any], list[Any]], p: Point) -> float:
    q = option_misocp_perspective.make_model(p.problem, np.ones((2, 2), dtype=bool))
    share, stage, latency, largest = _scaled(p)
    for i in range(3):
        q.xs[i].value, q.ts[i].value = (share[i][:, None] * p.taken).ravel(), (stage[i][:, None] * p.taken).ravel()
    q.n.value, q.vs.value, q.h.value = p.taken.ravel(), (latency[:, None] * p.taken).ravel(), largest
    with np.errstate(invalid="ignore"):  # CVXPY divides by the norm of a cone that is zero
        return max(float(np.max(one.violation())) for one in constraint(q))


def _scaled(p: Point) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], float]:
    """Shares, stage times, latencies and the largest, in the units of a program that decides options."""
    unit = option_misocp.units(p.problem, np.ones((2, 2), dtype=bool))
    unit_s = unit.objective_unit_s / p.problem.weights.mean()
    budgets = np.array([p.problem.downlink_hz, p.problem.uplink_hz, p.problem.edge_capacity])[:, None]
    return p.share / budgets * 2, p.stage_s / unit_s, p.latency_s / unit_s, p.largest_s / unit.objective_unit_s


def _violation_gdp(constraint: Callable[[Any], None], p: Point, module: Any = option_gdp) -> float:
    q = module.make_model(p.problem, np.ones((2, 2), dtype=bool), np.full(2, 1e3))
    share, stage, latency, largest = _scaled(p)
    for k in range(2):
        for i in range(3):
            q.x[i, k].set_value(share[i, k])
            q.t[i, k].set_value(stage[i, k])
            if module is option_gdp_bigm:
                q.r[i, k].set_value(np.sqrt(p.served[i, k] * q.numbers.demand[i, k, 0]))
        q.v[k].set_value(latency[k])
        for o in range(2):
            q.choice[k, o].binary_indicator_var.set_value(p.taken[k, o])
    q.h.set_value(largest)
    constraint(q)
    if constraint.__name__ == "one_option":
        totals = [sum(pyo.value(d.binary_indicator_var) for d in q.one_option[k].disjuncts) for k in range(2)]
        return max(abs(total - 1) for total in totals)
    inside = [q.choice[k, 0] for k in range(2)]
    held = [c for block in (q, *inside) for c in block.component_data_objects(pyo.Constraint, descend_into=False)]
    assert held
    return max(-min(c.slack(), 0.0) for c in held)


def _violation_bigm(constraint: Callable[[Any], None], p: Point) -> float:
    return _violation_gdp(constraint, p, option_gdp_bigm)


def _violation_outer(constraint: Callable[[Any], Any], p: Point) -> float:
    q = option_gdp_outer.make_model(p.problem, np.ones((2, 2), dtype=bool))
    share, stage, latency, largest = _scaled(p)
    # the tangents at the point itself, where the law t(x) and its tangent agree
    q.slopes[:] = [
        (i, k, float(one.slope(share[i][one.user])[one.user == k][0]))
        for i, one in enumerate(q.stages)
        for k in range(2)
    ]
    flat = [p.taken.ravel(), share.ravel(), stage.ravel(), latency, [largest]]
    return float(constraint(q).violation(np.concatenate(flat)))


VIOLATION = {
    "convex_allocation": _violation_convex,
    "option_misocp": _violation_misocp,
    "option_misocp_perspective": _violation_perspective,
    "option_gdp": _violation_gdp,
    "option_gdp_bigm": _violation_bigm,
    "option_gdp_outer": _violation_outer,
}

ELSEWHERE = {
    "alpha_fair": "test_truth_fair.py",
    "batched_edge": "../agreement/test_batched_edge.py",
    "deadline_milp": "test_truth_milp.py",
    "edge_placement": "test_truth_parties.py",
    "energy_delay": "test_truth_energy_delay.py",
    "lexicographic": "test_truth_fair.py",
    "sequenced_edge": "../agreement/test_turns.py",
    "shared_prefix": "test_truth_parties.py",
    "square_root_milp": "test_truth_milp.py",
    "task_program": "../agreement/test_program.py",
}
"""Formulations whose points and registries are in files of their own; some are held to enumerations."""


def _cases() -> list[Any]:
    cases = []
    for module in FORMULATIONS:
        short = module.__name__.rsplit(".", 1)[1]
        for constraint in module.CONSTRAINTS:
            for shannon in (False, True) if short in SHANNON else (False,):
                law = "shannon" if shannon else "linear"
                cases.append(pytest.param(short, constraint, shannon, id=f"{short}-{constraint.__name__}-{law}"))
    return cases


@pytest.mark.parametrize(("name", "constraint", "shannon"), _cases())
def test_truth(name: str, constraint: Callable[[Any], Any], shannon: bool) -> None:
    assert constraint.__name__ in BROKEN, "add points that break this constraint to the registry"
    point = GOOD.get(constraint.__name__, good)(_problem(shannon=shannon, one=name == "convex_allocation"))
    violation = VIOLATION[name]
    assert violation(constraint, point) <= 1e-9
    for broken in BROKEN[constraint.__name__](point):
        assert violation(constraint, broken) > 1e-4


def test_the_good_point_keeps_the_problem() -> None:
    for shannon in (False, True):
        p = good(_problem(shannon=shannon, one=True))
        found = evaluate(p.problem, np.zeros(2, dtype=np.int64), *p.share)
        assert found.violation == 0
        assert (found.latency_s <= p.latency_s).all()


def test_a_new_constraint_without_truth_test_is_caught() -> None:
    def novelty(q: Any) -> list[Any]:
        return []

    extended = types.SimpleNamespace(CONSTRAINTS=(*option_misocp.CONSTRAINTS, novelty))
    assert untested(extended) == ["novelty"]
    for module in FORMULATIONS:
        assert untested(module) == []


def test_every_formulation_is_here() -> None:
    from importlib import resources

    files = {f.name for f in resources.files("megdt_opt").joinpath("formulations").iterdir() if f.name.endswith(".py")}
    public = {name.removesuffix(".py") for name in files if not name.startswith("_")}
    assert public == set(VIOLATION) | set(ELSEWHERE)
    for test in ELSEWHERE.values():
        assert (Path(__file__).parent / test).is_file()
