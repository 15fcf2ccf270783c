"""The class `SharedPrefixProblem`: what it takes and refuses, and what its evaluation says."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from random_prefixes import random_prefixes

from megdt_opt import InvalidInput, SharedPrefixProblem


def two(**others: Any) -> SharedPrefixProblem:
    """Two users of a group and one alone, on the device, at the edge, or after a trunk on the device or at the edge."""
    rides = np.array([[0, 0, 2, 1]] * 3)
    fields: dict[str, Any] = {
        "fixed_s": [[8.0, 0.5, 4.0, 0.25]] * 3,
        "uplink_bit": [[0.0, 1e5, 0.0, 0.0]] * 3,
        "edge_work_s": [[0.0, 2.0, 0.0, 1.0]] * 3,
        "downlink_bit": [[0.0, 1e6, 0.0, 1e6]] * 3,
        "rides": rides,
        "group": [0, 0, -1],
        "trunk_group": [0],
        "trunk_fixed_s": [0.5],
        "trunk_uplink_bit": [1e5],
        "trunk_edge_work_s": [1.0],
        "multicast_bit": [5e5],
        "compatible": np.broadcast_to(np.array([True, True, False])[:, None, None], (3, 4, 1)),
        "downlink_hz": 4e6,
        "uplink_hz": 1e6,
        "edge_capacity": 1.0,
        "downlink_efficiency": [1.0, 2.0, 1.0],
        "uplink_efficiency": [1.0, 1.0, 1.0],
        "trunk_uplink_efficiency": [2.0],
        "multicast_efficiency": [1.0],
    }
    return SharedPrefixProblem(**(fields | others))


def answer(**others: Any) -> SimpleNamespace:
    """The trunk runs: user 0 finishes on its device, user 1 at the edge, user 2 stays on its device."""
    fields: dict[str, Any] = {
        "option": [2, 3, 0], "trunk": [0], "uplink_hz": [0.0] * 3, "edge_share": [0.0, 0.5, 0.0],
        "downlink_hz": [0.0, 1e6, 0.0], "trunk_uplink_hz": [1e6], "trunk_edge_share": [1.0], "multicast_hz": [1e6],
    }  # fmt: skip
    return SimpleNamespace(**(fields | others))


PREFIX_S = 0.5 + 1e5 / 2e6 + 1.0


def test_latencies_are_those_of_the_formula() -> None:
    found = two().evaluate(answer())
    assert found.latency_s.tolist() == pytest.approx([4.0 + PREFIX_S + 0.5, 0.25 + PREFIX_S + 1 / 0.5 + 0.5, 8.0])
    assert found.objective_s == pytest.approx(8.0)
    assert found.violation == 0.0
    assert replace(two(), objective="sum").evaluate(answer()).objective_s == pytest.approx(found.latency_s.sum())


def test_riders_divide_the_share_of_a_phased_group_and_reserve_their_own_otherwise() -> None:
    assert two().evaluate(answer(edge_share=[0.0, 1.0, 0.0])).violation == 0.0
    assert two().evaluate(answer(trunk_edge_share=[0.4])).violation == pytest.approx(0.25)
    separate = replace(two(), reserve="separate")
    assert separate.evaluate(answer()).violation == pytest.approx(0.5)
    assert separate.evaluate(answer(trunk_edge_share=[0.5])).violation == 0.0


def test_a_group_has_a_share_where_its_trunk_has_no_edge_work() -> None:
    without = two(trunk_edge_work_s=[0.0])
    assert without.evaluate(answer(trunk_edge_share=[0.5])).violation == 0.0
    assert without.evaluate(answer(trunk_edge_share=[0.0])).violation == np.inf


def test_a_trunk_that_nobody_rides_costs_and_binds_nothing() -> None:
    closed = np.array(two().compatible)
    closed[0, 0] = False
    local = answer(option=[0, 0, 0], edge_share=[0.0] * 3, downlink_hz=[0.0] * 3)
    found = replace(two(), compatible=closed).evaluate(local)
    assert found.violation == 0.0
    assert found.latency_s.tolist() == [8.0] * 3


def test_every_member_is_bound_by_a_trunk_that_runs() -> None:
    closed = np.array(two().compatible)
    closed[0, 0] = False
    problem = replace(two(), compatible=closed)
    assert problem.evaluate(answer(option=[0, 3, 0])).violation == np.inf
    assert two().evaluate(answer(option=[0, 3, 0])).violation == 0.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"trunk": [-1]},
        {"option": [2, 3, 2]},
        {"edge_share": [0.0, -0.1, 0.0]},
        {"multicast_hz": [np.nan]},
        {"trunk_uplink_hz": [np.inf]},
    ],
    ids=["a rider without a trunk", "a rider in no group", "negative", "not a number", "infinite"],
)
def test_what_does_not_go_together_is_no_answer(wrong: dict[str, Any]) -> None:
    assert two().evaluate(answer(**wrong)).violation == np.inf


def test_caps_and_limits_on_airtime() -> None:
    capped = two(trunk_edge_share_max=[0.5])
    assert capped.evaluate(answer()).latency_s[0] == pytest.approx(4.0 + PREFIX_S + 1.0 + 0.5)
    assert capped.evaluate(answer()).violation == 0.0
    assert two(edge_share_max=[1.0, 0.25, 1.0]).evaluate(answer()).violation == pytest.approx(1.0)
    assert two(trunk_uplink_airtime_max_s=[0.04]).evaluate(answer()).violation == pytest.approx(0.25)
    nothing_sent = two(trunk_uplink_bit=[0.0], trunk_uplink_airtime_max_s=[0.0])
    assert nothing_sent.evaluate(answer()).violation == 0.0


def test_shannon_rates_of_members_and_trunks() -> None:
    shannon = two(
        downlink_efficiency=None, multicast_efficiency=None, downlink_snr_hz=[1e6] * 3, multicast_snr_hz=[3e6]
    )
    late = shannon.evaluate(answer()).latency_s
    assert late[0] == pytest.approx(4.0 + PREFIX_S + 5e5 / (1e6 * np.log2(1 + 3)))
    assert late[1] == pytest.approx(0.25 + PREFIX_S + 2.0 + 1.0)


def test_a_budget_of_zero_closes_only_what_demands_it() -> None:
    problem = two(uplink_hz=0.0)
    assert problem.open_options[0].tolist() == [True, False, True, True]
    assert problem.open_trunks.tolist() == [False]
    assert two(downlink_hz=0.0).open_multicasts.tolist() == [False]
    assert two().open_options[2].tolist() == [True, True, False, False]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a group of one": ({"group": [0, -1, -1]}, "group (group 0)"),
    "a group of one among others": ({"group": [0, 0, 1]}, "group (group 1)"),
    "a hole in the groups": ({"group": [1, 1, -1]}, "group (group 0)"),
    "a hole above the first group": ({"group": [0, 2, -1]}, "group (group 1)"),
    "two holes": ({"group": [3, 3, 0]}, "group (group 1)"),
    "trunks of another number": ({"trunk_fixed_s": [0.0, 0.0]}, "trunk_fixed_s"),
    "a field of trunks left out": ({"multicast_bit": None}, "multicast_bit"),
    "no constant times of trunks": ({"trunk_fixed_s": []}, "trunk_fixed_s"),
    "uplinks of another number of trunks": ({"trunk_uplink_bit": [0.0, 0.0]}, "trunk_uplink_bit"),
    "neither true nor false": ({"compatible": np.full((3, 4, 1), 2)}, "compatible (user 0, option 0, trunk 0)"),
    "no users": ({"fixed_s": np.zeros((0, 4))}, "fixed_s"),
    "a group below -1": ({"group": [0, 0, -2]}, "group (user 2)"),
    "groups that are no integers": ({"group": [0.5, 0.5, -1.0]}, "group"),
    "a trunk of a stranger": ({"compatible": np.ones((3, 4, 1))}, "compatible (user 2, option 0, trunk 0)"),
    "a trunk of no group": ({"trunk_group": [1]}, "trunk_group (trunk 0)"),
    "no group for the trunks": ({"trunk_group": None}, "trunk_group"),
    "rides of 3": ({"rides": [[0, 0, 3, 1]] * 3}, "rides"),
    "rides of another shape": ({"rides": [[0, 0, 2, 1]] * 2}, "rides"),
    "negative work of a trunk": ({"trunk_edge_work_s": [-1.0]}, "trunk_edge_work_s (trunk 0)"),
    "a cap of zero": ({"trunk_edge_share_max": [0.0]}, "trunk_edge_share_max (trunk 0)"),
    "both laws": ({"multicast_snr_hz": [1e6]}, "multicast_snr_hz"),
    "another law than the members": ({"multicast_efficiency": None, "multicast_snr_hz": [1e6]}, "multicast_snr_hz"),
    "no rate for what is sent": ({"trunk_uplink_efficiency": None}, "trunk_uplink_efficiency"),
    "an unknown reservation": ({"reserve": "both"}, "reserve"),
    "an unknown objective": ({"objective": "mixed"}, "objective"),
    "a similarity beside groups": ({"similarity": np.ones((3, 3))}, "similarity"),
    "a lead of a trunk beside groups": ({"trunk_lead": [0]}, "trunk_lead"),
    "a user without options": ({"allowed": [[True] * 4, [False] * 4, [True] * 4]}, "allowed (user 1)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_refused_by_name(case: str) -> None:
    fields, named = WRONG[case]
    with pytest.raises(InvalidInput) as error:
        two(**fields)
    assert error.value.field == named


TOO_SIMILAR = np.array([[1.0, 1.5, 0.2], [1.5, 1.0, 0.4], [0.2, 0.4, 1.0]])
SIMILAR = np.array([[1.0, 0.8, 0.2], [0.8, 1.0, 0.4], [0.2, 0.4, 1.0]])


def formed(**others: Any) -> SharedPrefixProblem:
    """The same with groups to be formed."""
    return two(
        **({"group": None, "trunk_group": None, "compatible": np.ones((3, 4, 1)), "similarity": SIMILAR} | others)
    )


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"similarity": TOO_SIMILAR}, "similarity (users 0 and 1)"),
        ({"similarity": -SIMILAR}, "similarity (users 0 and 0)"),
        ({"similarity": np.where(np.eye(3), np.nan, SIMILAR)}, "similarity (users 0 and 0)"),
        ({"similarity": SIMILAR + np.triu(np.full((3, 3), 0.1), 1)}, "similarity (users 0 and 1)"),
        ({"similarity": SIMILAR[:2]}, "similarity"),
        ({"similarity": None}, "similarity"),
        ({"similarity_min": 1.1}, "similarity_min"),
        ({"similarity_min": -0.1}, "similarity_min"),
        ({"group_size_max": 1}, "group_size_max"),
        ({"group_size_max": 2.5}, "group_size_max"),
        ({"trunk_similarity_min": [1.5]}, "trunk_similarity_min (trunk 0)"),
        ({"trunk_lead": [3]}, "trunk_lead (trunk 0)"),
        ({"trunk_lead": [-2]}, "trunk_lead (trunk 0)"),
        ({"trunk_lead": [0.5]}, "trunk_lead"),
        ({"trunk_lead": [0, 1]}, "trunk_lead"),
        ({"trunk_group": [0]}, "trunk_group"),
    ],
)  # fmt: skip
def test_similarities_that_mean_nothing_are_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput) as error:
        formed(**fields)
    assert error.value.field == named


def test_formed_groups_keep_size_and_similarity() -> None:
    problem = formed(similarity_min=0.5, group_size_max=2, trunk_similarity_min=[0.8])
    assert problem.evaluate(answer(group=[0, 0, -1])).violation == 0.0
    assert problem.evaluate(answer(group=[0, 0, 0])).violation == np.inf
    assert problem.evaluate(answer(option=[0, 3, 2], group=[-1, 0, 0])).violation == np.inf
    strict = replace(problem, trunk_similarity_min=[0.9])
    assert strict.evaluate(answer(group=[0, 0, -1])).violation == np.inf
    for lead, violation in ((-1, 0.0), (1, 0.0), (2, np.inf)):
        led = replace(problem, trunk_lead=[lead])
        assert led.evaluate(answer(group=[0, 0, -1])).violation == violation


@pytest.mark.parametrize(
    "wrong", [{"option": [2, 3, 4]}, {"trunk": [1]}, {"trunk": [0, 0]}, {"edge_share": [0.0] * 2}, {"trunk": [0.5]}]
)
def test_answers_that_name_what_is_not_there_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        two().evaluate(answer(**wrong))


def test_a_missing_decision_is_named() -> None:
    lacking = answer()
    del lacking.multicast_hz
    with pytest.raises(InvalidInput, match=r"^multicast_hz: found None; expected an answer with option, trunk"):
        two().evaluate(lacking)


def test_arrays_are_copied_and_cannot_be_written() -> None:
    problem = random_prefixes(0, (2, 3), alone=1)
    for name in ("fixed_s", "rides", "group", "compatible", "trunk_fixed_s"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(problem, name)[...] = 0
