"""Solving shared prefixes: what is refused, corners, and what sharing is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from random_prefixes import random_prefixes

from megdt_opt import Infeasible, InvalidInput, SharedPrefixProblem, solve
from megdt_opt.solving.door import methods


def test_methods() -> None:
    assert methods("SharedPrefixProblem") == ("auto", "prices", "greedy", "shared_prefix")
    assert not {"greedy", "shared_prefix"} & set(methods("AllocationProblem"))
    with pytest.raises(InvalidInput, match="method"):
        solve(random_prefixes(0, (2,)), "enumerate")


def test_more_patterns_than_can_be_listed_are_refused() -> None:
    with pytest.raises(InvalidInput, match="patterns"):
        solve(random_prefixes(0, (12,), cuts=(2, 4, 6, 8)))


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_one_reservation_is_never_worse_than_two(objective: str) -> None:
    for seed in range(3):
        phased = random_prefixes(seed, (2, 3), objective=objective)
        separate = replace(phased, reserve="separate")
        assert solve(phased).objective_s <= solve(separate).objective_s * (1 + 1e-6)


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_without_trunks_it_is_the_core_problem(objective: str) -> None:
    problem = random_prefixes(5, (2, 2), alone=1, objective=objective)
    alone = replace(problem, compatible=np.zeros_like(problem.compatible))
    found = solve(alone, gap=1e-8)
    from megdt_opt.pricing.shared_prefix import PrefixCosts

    core = replace(PrefixCosts(problem).alone, allowed=problem.rides == 0)
    assert found.objective_s == pytest.approx(solve(core, gap=1e-8).objective_s, rel=2e-8)
    assert found.trunk.tolist() == [-1, -1]
    assert not found.multicast_hz.any()


def must_ride(**others: Any) -> SharedPrefixProblem:
    """Two groups of two who have no other option than to ride."""
    problem = random_prefixes(1, (2, 2), cuts=(10,))
    return replace(problem, allowed=problem.rides > 0, **others)


def test_limits_on_airtime_that_do_not_fit_together() -> None:
    problem = must_ride()
    whole_s = problem.trunk_uplink_bit / (problem.uplink_hz * problem.trunk_uplink_efficiency)
    assert solve(replace(problem, trunk_uplink_airtime_max_s=2.5 * whole_s)).status == "optimal"
    for method in ("auto", "shared_prefix"):
        with pytest.raises(
            Infeasible, match=r"airtime together on .*Hz uplink.*user 3: trunk 1 takes .*Hz for"
        ) as error:
            solve(replace(problem, trunk_uplink_airtime_max_s=1.5 * whole_s), method)
        assert error.value.users == (0, 1, 2, 3)


def test_what_fits_nobody_is_refused_by_name() -> None:
    problem = must_ride(downlink_hz=0.0, edge_capacity=0.0)
    with pytest.raises(InvalidInput, match="compatible"):
        solve(problem)
    with pytest.raises(Infeasible, match="options and trunks do not go together"):
        solve(problem, "shared_prefix")


@pytest.mark.parametrize("objective", ["sum", "max"])
def test_nothing_to_share(objective: str) -> None:
    problem = random_prefixes(2, (2,), alone=1, objective=objective)
    none = np.zeros_like(problem.fixed_s)
    idle = replace(problem, uplink_bit=none, downlink_bit=none, edge_work_s=none, allowed=problem.rides == 0)
    found = solve(idle)
    assert found.is_proven(idle)
    assert found.objective_s == idle.evaluate(found).objective_s
    assert solve(replace(idle, fixed_s=none)).objective_s == 0.0


def two_of_one_group(**others: Any) -> SharedPrefixProblem:
    """Two users: on the device, or the last steps after a common trunk; nobody sends anything uplink."""
    nothing = [[0.0, 0.0]] * 2
    fields: dict[str, Any] = {
        "fixed_s": [[6.0, 1.0]] * 2, "edge_work_s": [[0.0, 0.1]] * 2, "uplink_bit": nothing, "downlink_bit": nothing,
        "rides": [[0, 2]] * 2, "group": [0, 0], "trunk_group": [0], "trunk_fixed_s": [0.0], "trunk_uplink_bit": [0.0],
        "trunk_edge_work_s": [1.0], "multicast_bit": [1e6], "compatible": [[[True], [True]]] * 2, "downlink_hz": 1e6,
        "uplink_hz": 0.0, "downlink_efficiency": [1.0, 1.0], "multicast_efficiency": [1.0],
    }  # fmt: skip
    return SharedPrefixProblem(**fields | others)


@pytest.mark.parametrize(
    "laws",
    [
        {},
        {"uplink_efficiency": [1.0, 1.0]},
        {"trunk_uplink_efficiency": [1.0]},
        {"uplink_snr_hz": [1e6, 1e6], "downlink_efficiency": None},
    ],
    ids=["no uplink", "uplink of members", "uplink of trunks", "no downlink of members"],
)
def test_a_rate_that_nothing_needs_may_be_left_out(laws: dict[str, Any]) -> None:
    """One second of the trunk, one of the multicast, one of the devices, and two riders on half an edge each."""
    for objective, best_s in (("max", 3.2), ("sum", 6.4)):
        found = solve(two_of_one_group(objective=objective, **laws), "shared_prefix")
        assert found.status == "feasible"
        assert found.objective_s == pytest.approx(best_s, rel=2e-6)
        assert found.lower_bound_s <= best_s * (1 + 1e-9)
