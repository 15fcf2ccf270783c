"""The core problem: validation and evaluation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, BatchProblem, InvalidInput, evaluate
from megdt_opt.problem.evaluation import in_units


def fields(**changes: Any) -> dict[str, Any]:
    return {
        "fixed_s": [[0.1, 1.0], [0.2, 2.0]],
        "downlink_bit": [[1e4, 0.0], [2e4, 0.0]],
        "uplink_bit": [[1e3, 0.0], [1e3, 0.0]],
        "edge_work_s": [[0.5, 0.0], [0.5, 0.0]],
        "downlink_hz": 1e4,
        "uplink_hz": 1e4,
        "downlink_efficiency": [2.0, 4.0],
        "uplink_efficiency": [1.0, 1.0],
        **changes,
    }


def test_evaluation_follows_the_formula() -> None:
    problem = AllocationProblem(**fields(objective="sum", weight=[1.0, 2.0]))
    found = evaluate(problem, [0, 1], [1e4, 0.0], [1e4, 0.0], [1.0, 0.0])
    first = 0.1 + 1e3 / 1e4 + 0.5 + 1e4 / 2e4
    assert found.latency_s == pytest.approx([first, 2.0])
    assert found.objective_s == pytest.approx(first + 2 * 2.0)
    assert found.violation == 0.0


def test_parallel_branch_is_a_maximum() -> None:
    problem = AllocationProblem(**fields(device_branch_s=[[9.0, 0.0], [0.0, 0.0]]))
    found = evaluate(problem, [0, 1], [1e4, 0.0], [1e4, 0.0], [1.0, 0.0])
    assert found.latency_s[0] == pytest.approx(0.1 + 9.0)


def test_zero_demand_takes_no_time_without_a_share() -> None:
    problem = AllocationProblem(**fields())
    assert evaluate(problem, [1, 1], [0, 0], [0, 0], [0, 0]).latency_s.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("shares", "violation"),
    [
        (([2e4, 0], [1e4, 0], [1, 0]), 1.0),
        (([1e4, 0], [1.5e4, 0], [1, 0]), 0.5),
        (([1e4, 0], [1e4, 0], [1.25, 0]), 0.25),
        (([1e4, -1], [1e4, 0], [1, 0]), np.inf),
        (([1e4, np.nan], [1e4, 0], [1, 0]), np.inf),
    ],
)
def test_violations(shares: tuple[list[float], ...], violation: float) -> None:
    assert evaluate(AllocationProblem(**fields()), [0, 1], *shares).violation == pytest.approx(violation)


def test_limits_count_as_violations() -> None:
    late = AllocationProblem(**fields(deadline_s=[0.6, 9.0]))
    assert evaluate(late, [0, 1], [1e4, 0], [1e4, 0], [1, 0]).violation == pytest.approx(1.2 / 0.6 - 1)
    capped = AllocationProblem(**fields(edge_share_max=[0.5, 1.0]))
    assert evaluate(capped, [0, 1], [1e4, 0], [1e4, 0], [1, 0]).violation == pytest.approx(1.0)
    airtime = AllocationProblem(**fields(uplink_airtime_max_s=[[0.05, 1], [1, 1]]))
    assert evaluate(airtime, [0, 1], [1e4, 0], [1e4, 0], [1, 0]).violation == pytest.approx(1.0)
    forbidden = AllocationProblem(**fields(allowed=[[False, True], [True, True]]))
    assert evaluate(forbidden, [0, 1], [1e4, 0], [1e4, 0], [1, 0]).violation == np.inf


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fixed_s": [[np.nan, 1], [0, 0]]}, r"fixed_s \(user 0, option 0\).*nan.*\[s\]"),
        ({"downlink_bit": [[1, np.inf], [0, 0]]}, r"downlink_bit \(user 0, option 1\).*inf.*\[bit\]"),
        ({"edge_work_s": [[1, 1], [-1, 0]]}, r"edge_work_s \(user 1, option 0\).*-1.*at least 0"),
        ({"uplink_bit": [[1, 1]]}, r"uplink_bit.*\(1, 2\).*\(2, 2\)"),
        ({"fixed_s": []}, "fixed_s.*users.*options"),
        ({"weight": [1, 0]}, r"weight \(user 1\).*above 0"),
        ({"downlink_hz": -1.0}, r"downlink_hz.*\[Hz\]"),
        ({"downlink_hz": None}, r"downlink_hz.*\[Hz\]"),
        ({"downlink_snr_hz": [1.0, 1.0]}, "downlink_snr_hz.*exactly one"),
        ({"downlink_efficiency": None}, "downlink_efficiency.*Add"),
        ({"downlink_efficiency": "fast"}, "downlink_efficiency"),
        ({"objective": "mean"}, "objective.*max"),
        ({"objective": "mixed"}, "max_weight"),
        ({"objective": "missed"}, "deadline_s"),
        ({"allowed": [[2, 1], [1, 1]]}, "allowed.*true or false"),
        ({"deadline_s": [0.0, 1.0]}, r"deadline_s \(user 0\)"),
    ],
)
def test_bad_input_names_field_value_unit(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        AllocationProblem(**fields(**changes))


def test_evaluate_refuses_options_that_are_not_there() -> None:
    problem = AllocationProblem(**fields())
    for bad in ([0], [0, 2], [0.0, 1.0], [-1, 0]):
        with pytest.raises(InvalidInput, match="option"):
            evaluate(problem, bad, [0, 0], [0, 0], [0, 0])


def test_arrays_cannot_be_changed() -> None:
    problem = AllocationProblem(**fields())
    with pytest.raises(ValueError, match="read-only"):
        problem.fixed_s[0, 0] = 9.0


def test_zero_budget_closes_options() -> None:
    problem = AllocationProblem(**fields(downlink_hz=0.0))
    assert problem.open_options.tolist() == [[False, True], [False, True]]


@pytest.mark.parametrize("decades", [1, 9, 25])
@pytest.mark.parametrize("users", [1, 3, 400])
def test_parts_become_shares_that_keep_their_budgets_however_far_apart_they_are(users: int, decades: int) -> None:
    """By the exact sum: at most budget (1 + 1e-12), for one problem and for many, with caps kept."""
    rng = np.random.default_rng([users, decades])
    table = np.ones((4, users, 2))
    batch = BatchProblem(
        fixed_s=table, downlink_bit=table, uplink_bit=table, edge_work_s=table,
        downlink_hz=10 ** rng.uniform(-decades, decades, 4), uplink_hz=10 ** rng.uniform(-decades, decades, 4),
        edge_capacity=10 ** rng.uniform(-decades, decades, 4), edge_share_max=10 ** rng.uniform(-1, 1, (4, users)),
        downlink_efficiency=table[:, :, 0], uplink_efficiency=table[:, :, 0],
    )  # fmt: skip
    parts = 10 ** rng.uniform(-decades, 0, (4, 3, users))
    parts[1] /= parts[1].sum(axis=1, keepdims=True)
    parts[2, 0, 0], parts[3, 1, 0] = np.nan, -1.0
    shares, _ = in_units(batch, parts)
    for s in range(4):
        for i, budget in enumerate((batch.downlink_hz, batch.uplink_hz, batch.edge_capacity)):
            assert math.fsum(shares[s, i]) <= budget[s] * (1 + 1e-12)
        assert (shares[s, 2] <= batch.edge_share_max[s]).all()
        assert (in_units(batch.problem(s), parts[s])[0] == shares[s]).all()
    assert shares[2, 0, 0] == shares[3, 1, 0] == 0


def test_a_batch_of_one_is_the_problem() -> None:
    rng = np.random.default_rng(3)
    one = AllocationProblem(
        fixed_s=rng.random((3, 2)), downlink_bit=rng.random((3, 2)), uplink_bit=rng.random((3, 2)),
        edge_work_s=rng.random((3, 2)), downlink_hz=1.0, uplink_hz=2.0, downlink_snr_hz=rng.random(3),
        uplink_efficiency=rng.random(3), device_branch_s=rng.random((3, 2)), deadline_s=[1.0, 2.0, 3.0],
        uplink_airtime_max_s=rng.random((3, 2)), allowed=[[True, False]] * 3, objective="sum",
    )  # fmt: skip
    for option in ([0, 0, 0], [0, 1, 0]):
        shares = rng.random((3, 3))
        latency, objective, violation = BatchProblem.of([one]).evaluate([option], *shares[:, None])
        single = evaluate(one, option, *shares)
        assert (latency[0] == single.latency_s).all()
        assert (objective[0], violation[0]) == (single.objective_s, single.violation)
