"""Why limits cannot be kept at several edge servers, and what alone would be enough: each change is tried."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from megdt_opt import Infeasible, PlacementProblem, explain, solve


def servers(**more: Any) -> PlacementProblem:
    """Two users at two servers, each near to one of them, who cannot do without."""
    fields = {
        "fixed_s": [[0.5, 0.5], [0.5, 0.5]], "edge_work_s": [[1.0, 1.0], [1.0, 1.0]],
        "downlink_bit": [[1e6, 1e6], [1e6, 1e6]], "uplink_bit": np.zeros((2, 2)), "option_server": [[0, 1], [0, 1]],
        "downlink_hz": [1e6, 1e6], "uplink_hz": [0.0, 0.0], "downlink_efficiency": [[2.0, 1.0], [1.0, 2.0]],
        "objective": "max",
    }  # fmt: skip
    return PlacementProblem(**{**fields, **more})


def test_what_can_be_kept_is_said_to_be_feasible() -> None:
    found = explain(servers(deadline_s=[2.5, 2.5]))
    assert found.feasible
    assert found.stretch == pytest.approx(2.0 / 2.5, rel=1e-3)
    assert explain(servers()).feasible


def test_deadlines_that_cannot_be_kept_have_a_least_factor_and_least_budgets() -> None:
    problem = servers(deadline_s=[1.9, 3.0])
    found = explain(problem)
    assert not found.feasible
    assert found.users == (0,)
    assert any("1.9 s" in limit for limit in found.limits)
    assert found.stretch == pytest.approx(2.0 / 1.9, rel=1e-3)
    text = str(found)
    assert "all deadlines" in text
    of = {(change.field, change.server): change for change in found.changes}
    # user 0 at server 0: 0.5 + 1 / f + 1e6 / (2 b) = 1.9, b = 1e6 -> f = 1 / 0.9; f = 1 -> b = 1e6 / 0.8
    assert of["edge_capacity", 0].needed == pytest.approx(1 / 0.9, rel=2e-3)
    assert of["downlink_hz", 0].needed == pytest.approx(1e6 / 0.8, rel=2e-3)
    assert "downlink band of server 0" in text
    assert ("uplink_hz", 0) not in of
    for (field, server), change in of.items():
        if server is not None:
            values = np.array(problem.capacities if field == "edge_capacity" else getattr(problem, field))
            values[server] = change.needed
            assert solve(replace(problem, **{field: values})).latency_s[0] <= 1.9 * (1 + 1e-9)
            values[server] = change.needed * (1 - 5e-3)
            with pytest.raises(Infeasible):
                solve(replace(problem, **{field: values}))


def test_memories_that_hold_too_little_together_are_raised_one_at_a_time() -> None:
    placing = {"user_model": [0, 1], "model_byte": [4e9, 6e9], "memory_byte": [7e9, 3e9]}
    found = explain(servers(**placing))
    assert not found.feasible
    assert found.users == (0, 1)
    needed = {change.server: change.needed for change in found.changes if change.field == "memory_byte"}
    assert needed[0] == pytest.approx(10e9, rel=2e-3)  # both models at server 0
    assert needed[1] == pytest.approx(4e9, rel=2e-3)  # the smaller one at server 1
    assert "memory of server 1: 4" in str(found)


def test_what_was_not_tried_in_time_is_named() -> None:
    found = explain(servers(deadline_s=[1.9, 3.0]), time_limit_s=1e-9)
    assert not found.feasible
    assert found.changes == ()
    assert found.untried == ("deadline_s", "downlink_hz", "edge_capacity")
