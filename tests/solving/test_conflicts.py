"""An infeasibility is data: who, which limit, its value and unit; its message is printed from them."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from megdt_opt import AllocationProblem, Conflict, Infeasible, solve


def edge_only(**more: Any) -> AllocationProblem:
    """Two users who each need half a second of the one edge server."""
    fields = {
        "fixed_s": [[0.1], [0.2]],
        "downlink_bit": [[0.0], [0.0]],
        "uplink_bit": [[0.0], [0.0]],
        "edge_work_s": [[0.5], [0.5]],
        "downlink_hz": 1e6,
        "uplink_hz": 2e6,
        "edge_capacity": 1.0,
        "objective": "max",
    }
    return AllocationProblem(**(fields | more))


def refused(problem: AllocationProblem, method: str = "prices") -> Infeasible:
    with pytest.raises(Infeasible) as caught:
        solve(problem, method)
    return caught.value


AIRTIME = {"uplink_bit": [[2e6], [2e6]], "uplink_efficiency": [1.0, 1.0], "uplink_airtime_max_s": [[1.5], [1.6]]}


@pytest.mark.parametrize(
    ("problem", "expected", "said"),
    [
        pytest.param(
            edge_only(deadline_s=[0.9, 0.8]),
            [(0, "deadline", 0.9, "s"), (1, "deadline", 0.8, "s")],
            "these limits cannot be kept together on 2 MHz uplink, 1 MHz downlink, 1 edge servers: "
            "user 0: deadline 900 ms; user 1: deadline 800 ms",
            id="deadlines that clash",
        ),
        pytest.param(
            edge_only(**AIRTIME),
            [(0, "uplink airtime", 1.5, "s"), (1, "uplink airtime", 1.6, "s")],
            "user 0: uplink airtime at most 1.5 s; user 1: uplink airtime at most 1.6 s",
            id="airtimes that clash",
        ),
        pytest.param(
            edge_only(edge_capacity=0.0, allowed=[[True], [False]]),
            [(0, "edge_capacity", 0.0, ""), (1, "allowed", 0.0, "options")],
            "user 0: edge_capacity = 0, which 1 options need; user 1: every option is forbidden by `allowed`",
            id="no option",
        ),
        pytest.param(
            edge_only(downlink_bit=[[1e3], [1e3]], downlink_snr_hz=[0.0, 1e7]),
            [(0, "downlink_snr_hz", 0.0, "Hz")],
            "user 0: downlink_snr_hz = 0 Hz, which 1 options need",
            id="no signal",
        ),
    ],
)
def test_conflicts_are_data(problem: AllocationProblem, expected: list[tuple[Any, ...]], said: str) -> None:
    error = refused(problem)
    assert [(c.user, c.limit, c.value, c.unit) for c in error.conflicts] == expected
    assert error.users == tuple(sorted({user for user, *_ in expected}))
    assert said in str(error)
    # the limits are the same data in words, one text a user, and the message holds them
    assert len(error.limits) == len(error.users)
    assert "; ".join(error.limits) in str(error)


@pytest.mark.parametrize("method", ["prices", "enumerate", "option_misocp", "deadline_milp", "convex_allocation"])
@pytest.mark.parametrize(
    "problem",
    [
        pytest.param(edge_only(deadline_s=[0.9, 0.8]), id="together"),
        pytest.param(edge_only(deadline_s=[0.2, 9.0]), id="alone"),
    ],
)
def test_names_replace_row_numbers_in_every_route(method: str, problem: AllocationProblem) -> None:
    error = refused(problem, method)
    assert error.conflicts
    # names that look like row numbers, or like words of the message, are said as they are
    for names in (["alice", "bob"], ["1", "0"], ["user 7", "deadline"]):
        named = error.with_names(names)
        assert (named.users, named.conflicts) == (error.users, error.conflicts)
        for k in error.users:
            assert f"user {names[k]}" in str(named)
        assert named.with_names(["0", "1"]).limits == error.limits


def test_an_infeasibility_can_be_pickled() -> None:
    error = refused(edge_only(deadline_s=[0.9, 0.8])).with_names(["alice", "bob"])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.users, again.limits, again.conflicts) == (error.users, error.limits, error.conflicts)


def test_a_conflict_alone_can_be_read() -> None:
    assert str(Conflict(3, "deadline", 0.9, "s")) == "user 3: deadline 900 ms"
    assert str(Conflict(None, "uplink budget", 2e6, "Hz")) == "uplink budget 2 MHz"
    assert str(Conflict(1, "energy", 0.5, "J", "{limit} of at most {value}")) == "user 1: energy of at most 500 mJ"
