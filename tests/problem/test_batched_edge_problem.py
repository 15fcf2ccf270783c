"""BatchedEdgeProblem: what it takes, what it refuses and how, and its evaluation by hand-worked numbers."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from megdt_opt import BatchedEdgeProblem, Evaluation, InvalidInput

BASE: dict[str, Any] = {
    "steps": 3, "step_slope_s": 0.25, "step_base_s": 0.5, "device_step_s": [2.0, 3.0], "after_s": [0.5, 1.0],
    "downlink_bit": [1e6, 2e6], "downlink_hz": 2e6, "downlink_efficiency": [1.0, 2.0],
}  # fmt: skip
SCORED: dict[str, Any] = {
    **{name: BASE[name] for name in BASE if name != "device_step_s"}, "objective": "quality",
    "quality": [[0.0, 1.0, 1.5, -1.0], [-2.0, 1.0, 2.0, 3.0]], "deadline_s": [4.0, 6.0],
}  # fmt: skip


def problem(**changed: Any) -> BatchedEdgeProblem:
    return BatchedEdgeProblem(**{**BASE, **changed})


def scored(**changed: Any) -> BatchedEdgeProblem:
    return BatchedEdgeProblem(**{**SCORED, **changed})


def answer(**changed: Any) -> SimpleNamespace:
    base = {"cut": [2, 3], "batches": ((0, 1), (0, 1), (1,)), "downlink_hz": [1e6, 1e6]}
    return SimpleNamespace(**{**base, **changed})


# ---- evaluation


def test_latencies_are_those_of_the_formula() -> None:
    found = problem(objective="sum", weight=[1.0, 2.0]).evaluate(answer())
    # two batches of two take 1 s each, one of one 0.75 s; user 0: 2 + one step of its device + 0.5 + 1
    assert found.latency_s.tolist() == pytest.approx([2.0 + 2.0 + 0.5 + 1.0, 2.75 + 1.0 + 1.0], rel=1e-15)
    assert isinstance(found, Evaluation)
    assert found.objective_s == pytest.approx(5.5 + 2 * 4.75, rel=1e-15)
    assert found.violation == 0.0
    largest = problem().evaluate(answer())
    assert isinstance(largest, Evaluation)
    assert largest.objective_s == pytest.approx(5.5, rel=1e-15)


def test_chains_may_pause_join_and_leave() -> None:
    found = problem().evaluate(answer(batches=((0,), (1,), (0, 1), (1,))))
    assert found.latency_s.tolist() == pytest.approx([2.5 + 3.5, 3.25 + 2.0], rel=1e-15)


def test_a_user_without_edge_steps_may_have_another_rest() -> None:
    made = problem(edge_start_s=10.0, local_after_s=[0.75, 11.0])
    found = made.evaluate(answer(cut=[0, 1], batches=((1,),)))
    assert found.latency_s.tolist() == pytest.approx([6.75, 10.75 + 6.0 + 1.0 + 1.0], rel=1e-15)
    # whom the edge never serves, or serves with all steps, may have any
    assert problem(local_after_s=[9.0, 0.0], cut_allowed=[[1, 0, 0, 1], [1, 1, 1, 1]]).local_rest_s[0] == 9.0
    assert problem(local_after_s=[9.0, 0.0], cut_allowed=[[1, 0, 0, 0], [1, 1, 1, 1]]).local_rest_s[0] == 9.0


def test_what_a_device_does_before_it_goes_on_counts_between_no_and_all_steps() -> None:
    made = problem(hand_over_s=[100.0, 200.0])
    usual = problem().evaluate(answer(batches=((0,), (1,), (0, 1), (1,))))
    found = made.evaluate(answer(batches=((0,), (1,), (0, 1), (1,))))
    assert (found.latency_s - usual.latency_s).tolist() == [100.0, 0.0]
    for cut in ([0, 3], [0, 1], [2, 2]):
        batches = tuple(tuple(k for k in (0, 1) if cut[k] > j) for j in range(max(cut)))
        more = made.evaluate(answer(cut=cut, batches=batches)).latency_s
        less = problem().evaluate(answer(cut=cut, batches=batches)).latency_s
        assert (more - less).tolist() == [(k + 1) * 100.0 * (0 < cut[k] < 3) for k in (0, 1)]
    # a device that begins later when it begins alone
    assert problem(local_after_s=[0.5, 3.0], hand_over_s=[0.0, 2.0]).local_rest_s[1] == 3.0


def test_the_edge_starts_late_for_those_whom_it_serves() -> None:
    found = problem(edge_start_s=10.0).evaluate(answer(cut=[0, 1], batches=((1,),)))
    assert found.latency_s.tolist() == pytest.approx([6.5, 10.75 + 6.0 + 1.0 + 1.0], rel=1e-15)


def test_nobody_is_served() -> None:
    found = problem(downlink_efficiency=[0.0, 0.0]).evaluate(answer(cut=[0, 0], batches=(), downlink_hz=[0, 0]))
    assert (found.latency_s.tolist(), found.violation) == ([6.5, 10.0], 0.0)


def test_rates_of_shannon() -> None:
    found = problem(downlink_efficiency=None, downlink_snr_hz=[1e6, 3e6]).evaluate(answer())
    assert found.latency_s.tolist() == pytest.approx([5.5, 2.75 + 1.0 + 1.0], rel=1e-14)


def test_quality_is_earned_by_steps_within_deadlines() -> None:
    found = scored(weight=[2.0, 1.0]).evaluate(answer())
    assert found.latency_s.tolist() == pytest.approx([3.5, 4.75], rel=1e-15)
    assert (found.objective, found.violation) == (2 * 1.5 + 3.0, 0.0)
    assert not hasattr(found, "objective_s")
    assert scored(deadline_s=[2.0, np.inf]).evaluate(answer()).violation == pytest.approx(0.75)
    idle = scored(deadline_s=[0.001, 6.0]).evaluate(answer(cut=[0, 0], batches=()))
    assert (idle.latency_s.tolist(), idle.objective, idle.violation) == ([0.0, 0.0], -2.0, 0.0)


def test_zero_stands_for_times_that_quality_does_not_have() -> None:
    assert scored(after_s=0, device_step_s=0.0).evaluate(answer()).latency_s.tolist() == pytest.approx([3.0, 3.75])
    assert scored(after_s=None).evaluate(answer()).latency_s.tolist() == pytest.approx([3.0, 3.75])


@pytest.mark.parametrize(
    "changed",
    [
        {"cut": [1, 3]}, {"cut": [2, 2]}, {"batches": ((0, 1), (1,), (1,))}, {"downlink_hz": [-1.0, 1e6]},
        {"downlink_hz": [np.nan, 1e6]}, {"batches": ((0, 1), (0, 1), (0, 1))},
    ],
    ids=["fewer steps than batches", "so for another user", "a batch left out", "negative", "no number", "one more"],
)  # fmt: skip
def test_what_cannot_be_is_infinitely_wrong(changed: dict[str, Any]) -> None:
    assert problem().evaluate(answer(**changed)).violation == np.inf


def test_limits_are_relative() -> None:
    assert problem(downlink_hz=1.6e6).evaluate(answer()).violation == pytest.approx(0.25)
    allowed = np.ones((2, 4), dtype=bool)
    allowed[0, 2] = False
    assert problem(cut_allowed=allowed).evaluate(answer()).violation == np.inf
    assert problem().evaluate(answer(downlink_hz=[0.0, 1e6])).latency_s.tolist() == [np.inf, 4.75]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"batches": ((0, 1), (), (1,))}, r"batches \(batch 1\): found \[\]"),
        ({"batches": ((1, 0), (0, 1), (1,))}, r"batches \(batch 0\): found \[1, 0\]"),
        ({"batches": ((0, 0), (0, 1), (1,))}, r"batches \(batch 0\)"),
        ({"batches": ((0, 2), (0, 1), (1,))}, r"batches \(batch 0\)"),
        ({"batches": (0, 1)}, r"batches \(batch 0\): found 0"),
        ({"batches": "01"}, "batches: found 'str'"),
        ({"batches": ((0.0, 1.0),)}, r"batches \(batch 0\)"),
        ({"batches": None}, "batches: found None"),
        ({"cut": [4, 3]}, "cut: found"),
        ({"cut": [2.0, 3.0]}, "cut: found"),
        ({"downlink_hz": [1e6]}, "downlink_hz: found"),
    ],
)
def test_decisions_that_are_none_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        problem().evaluate(answer(**changed))


def test_only_the_decisions_are_read() -> None:
    assert problem().evaluate(answer(latency_s="unknown", objective_s=None)).violation == 0
    with pytest.raises(InvalidInput, match="^batches: found None"):
        problem().evaluate(SimpleNamespace(cut=[0, 0], downlink_hz=[0.0, 0.0]))


# ---- what is refused


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 0}, r"steps: found 0; expected an integer of at least 1 \[1\]"),
        ({"steps": 2.5}, "steps: found 2.5"),
        ({"steps": 3.0}, "steps: found 3.0"),
        ({"steps": True}, "steps: found True"),
        ({"step_slope_s": -0.1}, r"step_slope_s: found -0.1; expected a finite number at least 0 \[s\]"),
        ({"step_base_s": -1e-9}, r"step_base_s: found -1e-09; expected a finite number at least 0 \[s\]"),
        ({"step_base_s": np.inf}, "step_base_s: found inf"),
        (
            {"step_slope_s": 0.0, "step_base_s": 0.0},
            r"step_slope_s: found 0.0; expected above 0 \[s\], for step_base_s",
        ),
        ({"edge_start_s": -1.0}, "edge_start_s: found -1.0"),
        ({"device_step_s": None}, "device_step_s: found None"),
        ({"device_step_s": 2.0}, r"device_step_s: found \(\)"),
        ({"device_step_s": [1.0, -2.0]}, r"device_step_s \(user 1\): found -2.0"),
        ({"after_s": [1.0]}, "after_s: found"),
        ({"local_after_s": [1.0]}, "local_after_s: found"),
        ({"local_after_s": [-0.1, 0.0]}, r"local_after_s \(user 0\): found -0.1"),
        ({"hand_over_s": [1.0]}, "hand_over_s: found"),
        ({"hand_over_s": [-0.1, 0.0]}, r"hand_over_s \(user 0\): found -0.1"),
        ({"local_after_s": [0.5, 1.1]}, r"local_after_s \(user 1\): found 1.1; expected at most 1 \[s\]"),
        (
            {"local_after_s": [0.9, 1.1], "edge_start_s": 0.2},
            r"local_after_s \(user 0\): found 0.9; expected at most 0.7",
        ),
        ({"downlink_bit": [-1.0, 0.0]}, r"downlink_bit \(user 0\)"),
        ({"downlink_bit": []}, "downlink_bit: found"),
        ({"downlink_hz": -1.0}, "downlink_hz: found -1.0"),
        ({"downlink_hz": [1e6]}, "downlink_hz: found"),
        ({"downlink_efficiency": None}, "downlink_efficiency: found None"),
        ({"downlink_snr_hz": [1e6, 1e6]}, "downlink_snr_hz: found 'given'"),
        ({"weight": [1.0, 0.0]}, r"weight \(user 1\)"),
        ({"cut_allowed": np.ones((2, 3), bool)}, r"cut_allowed: found \(2, 3\)"),
        ({"cut_allowed": [[True] * 4, [False] * 4]}, r"cut_allowed \(user 1\): found False"),
        ({"objective": "mixed"}, "objective: found 'mixed'"),
        ({"deadline_s": [5.0, 5.0]}, 'deadline_s: found .given.; expected nothing for objective "max"'),
        ({"quality": np.zeros((2, 4))}, "quality: found 'given'"),
    ],
)
def test_bad_input_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        problem(**changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"quality": None}, "quality: found None"),
        ({"quality": np.zeros((2, 3))}, r"quality: found \(2, 3\); expected finite numbers \[1\], shape \(2, 4\)"),
        ({"quality": [[0.0] * 4, [0.0, np.nan, 0.0, 0.0]]}, r"quality \(user 1, steps 1\): found nan"),
        ({"quality": [[-np.inf] * 4, [0.0] * 4]}, r"quality \(user 0, steps 0\): found -inf"),
        ({"deadline_s": None}, "deadline_s: found None"),
        ({"deadline_s": [1.0]}, "deadline_s: found"),
        ({"deadline_s": [0.0, 1.0]}, r"deadline_s \(user 0\): found 0.0"),
        ({"deadline_s": [np.nan, 1.0]}, r"deadline_s \(user 0\): found nan"),
        (
            {"device_step_s": [0.0, 1.0]},
            r'device_step_s \(user 1\): found 1.0; expected 0 \[s\] for objective "quality"',
        ),
    ],
)
def test_bad_qualities_and_deadlines_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        scored(**changed)


def test_a_user_whom_nobody_can_serve_is_refused() -> None:
    must = [[True] * 4, [False, False, True, True]]
    # alone: two steps of 0.75 s, 1 s afterwards and a download of 0.5 s
    with pytest.raises(
        InvalidInput, match=r"deadline_s \(user 1\): found 2.9; expected at least 3 \[s\].*if the user is"
    ):
        scored(cut_allowed=must, deadline_s=[4.0, 2.9])
    assert scored(cut_allowed=must, deadline_s=[4.0, 3.0]).open_cuts[1].tolist() == [False, False, True, False]
    with pytest.raises(InvalidInput, match=r"downlink_efficiency \(user 1\): found 0.0; expected above 0 \[bit/s/Hz\]"):
        problem(cut_allowed=must, downlink_efficiency=[1.0, 0.0])
    with pytest.raises(InvalidInput, match=r"downlink_hz: found 0.0; expected above 0 \[Hz\], for user 1 must"):
        problem(cut_allowed=must, downlink_hz=0.0)
    assert problem(downlink_hz=0.0).open_cuts.tolist() == [[True, False, False, False]] * 2


def test_it_is_frozen_and_keeps_its_own_numbers() -> None:
    steps = np.array([2.0, 3.0])
    made = problem(device_step_s=steps)
    steps[0] = 9.0
    assert made.steps_s.tolist() == [2.0, 3.0]
    with pytest.raises(FrozenInstanceError):
        made.steps = 5  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        made.steps_s[0] = 1.0
    assert repr(made) == "<BatchedEdgeProblem: 2 users, 3 steps, max>"
    with pytest.raises(TypeError):
        BatchedEdgeProblem(3, 0.25, 0.5)  # type: ignore[misc]
