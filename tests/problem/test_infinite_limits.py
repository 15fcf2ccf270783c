"""Infinity is how a program says that a user or an option has no limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, BatchProblem, InvalidInput, evaluate, solve, solve_batch

TABLES: dict[str, Any] = {
    "fixed_s": [[0.2, 4.0], [0.3, 9.0], [0.2, 3.0]],
    "edge_work_s": [[1.5, 0.0], [1.5, 0.0], [1.5, 0.0]],
    "downlink_bit": [[262e3, 0.0], [262e3, 0.0], [262e3, 0.0]],
    "uplink_bit": [[1e5, 0.0], [2e5, 0.0], [1e5, 0.0]],
    "downlink_hz": 1e6,
    "uplink_hz": 1e6,
    "downlink_efficiency": [2.0, 4.0, 1.0],
    "uplink_efficiency": [2.0, 1.0, 1.0],
}
INF = np.inf
LIMITS = {
    "deadlines": {"deadline_s": [INF, INF, INF]},
    "share caps": {"edge_share_max": [INF, INF, INF]},
    "airtimes": {"uplink_airtime_max_s": np.full((3, 2), INF)},
    "all three, as a list of NumPy scalars": {
        "deadline_s": [np.float32(INF)] * 3,
        "edge_share_max": (INF, INF, INF),
        "uplink_airtime_max_s": [[INF, INF]] * 3,
    },
}


def problem(objective: str, **limits: Any) -> AllocationProblem:
    extra = {"max_weight": 0.5} if objective == "mixed" else {}
    return AllocationProblem(**TABLES, objective=objective, **extra, **limits)


@pytest.mark.parametrize("objective", ["max", "sum", "mixed"])
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_infinite_limits_are_none(objective: str, limits: dict[str, Any]) -> None:
    limited, free = problem(objective, **limits), solve(problem(objective))
    found = solve(limited)
    assert found.objective_s == pytest.approx(free.objective_s, rel=2e-6)
    assert found.certificate is not None
    assert found.certificate.verify(limited).holds
    assert evaluate(limited, free.option, free.downlink_hz, free.uplink_hz, free.edge_share).violation <= 1e-12
    assert solve(limited, "enumerate").objective_s == pytest.approx(free.objective_s, rel=1e-9)


@pytest.mark.parametrize("objective", ["max", "sum", "mixed", "missed"])
def test_a_limit_of_one_user_binds_beside_users_without(objective: str) -> None:
    limits = {"deadline_s": [INF, 2.5, INF], "edge_share_max": [0.4, INF, INF]}
    limits["uplink_airtime_max_s"] = [[INF, INF], [0.5, INF], [INF, INF]]
    limited = problem(objective, **limits)
    found, truth = solve(limited), solve(limited, "enumerate")
    assert found.objective_s == pytest.approx(truth.objective_s, rel=2e-6, abs=1e-12)
    assert found.latency_s[1] <= 2.5 * (1 + 1e-9)
    assert found.edge_share[0] <= 0.4 * (1 + 1e-12)
    assert found.certificate is not None
    assert found.certificate.verify(limited).holds


@pytest.mark.parametrize("objective", ["max", "sum"])
def test_a_batch_takes_them_too(objective: str) -> None:
    one = {n: v if n.endswith("_hz") else np.asarray(v)[None] for n, v in TABLES.items()}
    found = solve_batch(BatchProblem(**one, objective=objective, edge_share_max=[[INF, INF, INF]]))
    assert found.objective_s[0] == pytest.approx(solve(problem(objective)).objective_s, rel=2e-6)


@pytest.mark.parametrize("change", [{"deadline_s": [-INF, 1, 1]}, {"edge_share_max": [np.nan, 1, 1]}])
def test_other_numbers_that_are_not_finite_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(change))} .user 0."):
        problem("max", **change)
