"""A certificate or an allocation in which one number was altered is rejected, wherever that number matters."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_problems import draw

from megdt_opt import Allocation, AllocationProblem, InvalidInput, solve
from megdt_opt.certificate.certificate import Certificate

SEED = 12


def solved(number: int) -> tuple[AllocationProblem, Allocation]:
    problem = draw(number, seed=SEED, users=3, options=4).problem
    return problem, solve(problem, gap=1e-9)


@pytest.fixture(scope="module", params=[0, 1, 2, 3], ids=["max", "sum", "max-shannon", "sum-shannon"])
def case(request: pytest.FixtureRequest) -> tuple[AllocationProblem, Allocation]:
    return solved(request.param)


# ---- certificates


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the numbers of plain data are."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from places(value, (*path, key))
    elif isinstance(data, list):
        for key, value in enumerate(data):
            yield from places(value, (*path, key))
    elif isinstance(data, (int, float)):
        yield path


def altered(data: dict[str, Any], path: tuple[Any, ...], value: float) -> dict[str, Any]:
    changed = copy.deepcopy(data)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def at(data: dict[str, Any], path: tuple[Any, ...]) -> float:
    value: Any = data
    for key in path:
        value = value[key]
    return float(value)


def holds(data: dict[str, Any], problem: AllocationProblem) -> bool:
    try:
        certificate = Certificate.from_dict(data)
    except InvalidInput:
        return False
    return certificate.verify(problem, exact=True).holds


def changes(value: float, path: tuple[Any, ...]) -> tuple[float, ...]:
    if path == ("bound_s",):
        return (value * (1 + 1e-8), value * 2, math.nan, math.inf)
    if "prices" in path or "multipliers" in path:
        return (value * 0.5, value * 1.5, value + 1e-3, -value - 1e-9, math.nan, 0.0)
    return (value + 1, value - 1, 99, -1)


def test_no_alteration_proves_more_than_the_truth(case: tuple[AllocationProblem, Allocation]) -> None:
    """Every number, alone, to several values: nothing makes a bound above the optimum hold."""
    problem, found = case
    assert found.certificate is not None
    data = found.certificate.to_dict()
    assert holds(data, problem)
    above = {**data, "bound_s": found.objective_s * (1 + 1e-9)}
    assert not holds(above, problem)
    tried = 0
    listed = list(places(data))
    for path in listed[:: max(1, len(listed) // 25)]:
        for value in changes(at(data, path), path):
            if path != ("bound_s",):
                assert not holds(altered(above, path, value), problem), (path, value)
                tried += 1
            else:
                assert not holds(altered(data, path, value), problem), value
    assert tried > 0


def test_alterations_of_a_tight_leaf_are_rejected(case: tuple[AllocationProblem, Allocation]) -> None:
    """With one option a user the one leaf is tight: each price matters that is not next to nothing beside the bound."""
    problem, found = case
    only = np.zeros(problem.fixed_s.shape, bool)
    only[np.arange(problem.users), found.option] = True
    fixed = replace(problem, allowed=only)
    certificate = solve(fixed, gap=1e-9).certificate
    assert certificate is not None
    data = certificate.to_dict()
    leaves = [p for p in places(data) if "prices" in p]
    assert holds(data, fixed)
    total = sum(at(data, path) for path in leaves)
    # "sum" has prices in seconds: where no option demands anything, any tiny price proves as much
    least = max(1e-3 * total, 1e-6 * data["bound_s"] if problem.objective == "sum" else 0.0)
    for path in leaves:
        price = at(data, path)
        if price > least:
            for value in (price * 0.9, price * 1.1, -price, math.nan):
                if len([p for p in leaves if at(data, p) > 0]) == 1 and problem.objective == "max" and value > 0:
                    continue  # prices of "max" are known up to a factor
                assert not holds(altered(data, path, value), fixed), (path, price, value)


def test_alterations_of_a_partition_are_rejected() -> None:
    """An option left out, named twice or given to another user."""
    seen = 0
    for number in range(200):  # most are closed without a branch
        problem, found = solved(number)
        assert found.certificate is not None
        data = found.certificate.to_dict()
        first = next((place for place, node in enumerate(data["nodes"]) if "groups" in node), -1)
        for place, node in enumerate(data["nodes"]):
            if "groups" not in node:
                continue
            for g, group in enumerate(node["groups"]):
                for i, option in enumerate(group):
                    if not problem.open_options[node["user"], option]:
                        continue
                    path = ("nodes", place, "groups", g, i)
                    for value in (99, -1, next((o for o in range(4) if o != option), 99)):
                        broken = altered(data, path, value)
                        # only a node that still stands in the tree can break it; the first branch always does
                        if place == first:
                            assert not holds(broken, problem), (number, path, value)
                            seen += 1
            for value in (-1, 3, 99):
                if place == first:
                    assert not holds(altered(data, ("nodes", place, "user"), value), problem)
        if seen > 20:
            return
    pytest.fail("too few instances needed a branch")


# ---- allocations


def test_an_allocation_judges_itself(case: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = case
    assert found.is_proven(problem, gap=1e-8)
    assert not found.is_proven(problem, gap=1e-12)
    assert not found.is_proven(replace(problem, fixed_s=problem.fixed_s * 1.01), gap=1e-8)
    wrong_size = replace(found, option=found.option[:-1])
    assert wrong_size.residuals(problem).limits == math.inf
    assert not replace(found, certificate=None).is_proven(problem, gap=1e-8)
    assert not replace(found, bound_source="solver").is_proven(problem, gap=1e-8)


def _with(array: np.ndarray, k: int, value: float) -> np.ndarray:
    changed = np.array(array)
    changed[k] = value
    return changed


@pytest.mark.long_list(of=2)
def test_alterations_of_an_allocation_are_rejected(case: tuple[AllocationProblem, Allocation]) -> None:
    problem, found = case
    rows = np.arange(problem.users)
    demands = {
        "downlink_hz": problem.downlink_bit[rows, found.option],
        "uplink_hz": problem.uplink_bit[rows, found.option],
        "edge_share": problem.edge_work_s[rows, found.option],
    }
    altered_ones: list[tuple[str, Allocation]] = []
    for k in range(problem.users):
        for option in range(-1, problem.options + 1):
            if option != found.option[k]:
                altered_ones.append((f"option {k}", replace(found, option=_with(found.option, k, option))))
        for name, demand in demands.items():
            share = getattr(found, name)
            values = [math.nan, -1.0, share.sum() * 2 + 1e9]
            branch_binds = problem.branch_s[k, found.option[k]] > 0
            if demand[k] > 0 and not branch_binds:
                values += [share[k] * 0.999, share[k] * 1.001, 0.0]
            altered_ones += [(f"{name} {k}", replace(found, **{name: _with(share, k, v)})) for v in values]
        for factor in (1 - 1e-6, 1 + 1e-6, math.nan):
            latency = found.latency_s[k] * factor
            altered_ones.append((f"latency {k}", replace(found, latency_s=_with(found.latency_s, k, latency))))
    for factor in (1 - 1e-6, 1 + 1e-6, math.nan):
        altered_ones += [
            ("objective", replace(found, objective_s=found.objective_s * factor)),
            ("bound", replace(found, lower_bound_s=found.lower_bound_s * factor)),
        ]
    altered_ones += [("gap", replace(found, gap=gap)) for gap in (found.gap + 1e-8, -1e-8, math.nan)]
    for what, allocation in altered_ones:
        assert not allocation.is_proven(problem, gap=1e-7), what
