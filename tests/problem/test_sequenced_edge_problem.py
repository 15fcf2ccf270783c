"""SequencedEdgeProblem: what it takes, what it refuses and how, and its evaluation by hand-worked numbers."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem

BASE: dict[str, Any] = {
    "release_s": [[0.5, 4.0], [1.0, 6.0], [0.0, 3.0]],
    "edge_work_s": [[2.0, 0.0], [1.0, 0.0], [1.5, 0.0]],
    "after_s": [[0.25, 0.0], [0.0, 0.5], [1.0, 0.0]],
    "downlink_bit": [[1e6, 0.0], [1e6, 0.0], [0.0, 0.0]],
    "downlink_hz": 1e6,
    "downlink_efficiency": [2.0, 4.0, 1.0],
}
GROUPS: dict[str, Any] = {"group": [0, 0, -1], "prefix_work_s": [0.75]}


def problem(**changed: Any) -> SequencedEdgeProblem:
    return SequencedEdgeProblem(**{**BASE, **changed})


def answer(**changed: Any) -> SimpleNamespace:
    base = {
        "option": [0, 0, 1], "order": [0, 1], "start_s": [0.5, 2.5, np.nan], "downlink_hz": [5e5, 5e5, 0.0],
    }  # fmt: skip
    return SimpleNamespace(**{**base, **changed})


def grouped(**changed: Any) -> SimpleNamespace:
    base = {"order": [3, 0, 1], "start_s": [0.75, 2.75, np.nan], "prefix_start_s": [0.0]}
    return answer(**{**base, **changed})


# ---- evaluation


def test_latencies_are_those_of_the_formula() -> None:
    found = problem(objective="sum", weight=[1.0, 2.0, 1.0]).evaluate(answer())
    # user 0: 0.5 + 2 + 0.25 + 1e6/(2*5e5); user 1: 2.5 + 1 + 1e6/(4*5e5); user 2 on its device: 3
    assert found.latency_s.tolist() == pytest.approx([3.75, 4.0, 3.0], rel=1e-15)
    assert found.objective_s == pytest.approx(3.75 + 8.0 + 3.0, rel=1e-15)
    assert found.violation == 0.0
    assert problem().evaluate(answer()).objective_s == pytest.approx(4.0, rel=1e-15)


def test_shannon_rates() -> None:
    laws = {"downlink_efficiency": None, "downlink_snr_hz": [1.5e6, 5e5, 1.0]}
    found = problem(**laws).evaluate(answer())
    assert found.latency_s.tolist() == pytest.approx([2.75 + 1.0, 3.5 + 2.0, 3.0], rel=1e-14)


def test_the_server_may_wait() -> None:
    assert problem().evaluate(answer(start_s=[0.75, 3.0, np.nan])).violation == 0.0


def test_prefixes_are_served_first_and_their_ends_are_counted() -> None:
    found = problem(**GROUPS, prefix_weight=[2.0], objective="sum").evaluate(grouped())
    assert found.violation == 0.0
    assert found.objective_s == pytest.approx(4.0 + 4.25 + 3.0 + 2.0 * 0.75, rel=1e-15)
    assert problem(**GROUPS, prefix_weight=[2.0]).evaluate(grouped()).objective_s == pytest.approx(4.25)


VIOLATIONS: dict[str, tuple[dict[str, Any], float]] = {
    "before the release": ({"start_s": [0.4, 2.5, np.nan]}, 0.2),
    "before the end of the one before": ({"start_s": [0.5, 2.0, np.nan]}, 0.2),
    "more than the band": ({"downlink_hz": [5e5, 6e5, 0.0]}, 0.1),
    "a share below 0": ({"downlink_hz": [5e5, -1.0, 0.0]}, np.inf),
    "a start that is no number": ({"start_s": [np.nan, 2.5, np.nan]}, np.inf),
    "a start below 0": ({"start_s": [-0.5, 2.5, np.nan]}, np.inf),
    "work without a turn": ({"order": [0]}, np.inf),
    "a turn without work": ({"order": [0, 1, 2]}, np.inf),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_is_broken_counts(name: str) -> None:
    changed, expected = VIOLATIONS[name]
    assert problem().evaluate(answer(**changed)).violation == pytest.approx(expected, rel=1e-12)


PREFIXES: dict[str, dict[str, Any]] = {
    "a member before its prefix": {"order": [0, 3, 1], "start_s": [0.5, 3.25, np.nan], "prefix_start_s": [2.5]},
    "no prefix": {"order": [0, 1], "start_s": [0.5, 2.5, np.nan], "prefix_start_s": [np.nan]},
    "a prefix that nobody follows": {"option": [1, 1, 1], "order": [3], "start_s": [np.nan] * 3},
}


@pytest.mark.parametrize("name", PREFIXES)
def test_prefixes_that_are_out_of_place_break_the_plan(name: str) -> None:
    assert problem(**GROUPS).evaluate(grouped(**PREFIXES[name])).violation == np.inf


def test_a_prefix_that_nobody_follows_is_not_served() -> None:
    idle = grouped(option=[1, 1, 1], order=[], start_s=[np.nan] * 3, downlink_hz=[0.0] * 3, prefix_start_s=[np.nan])
    found = problem(**GROUPS, prefix_weight=[5.0], objective="sum").evaluate(idle)
    assert (found.violation, found.objective_s) == (0.0, pytest.approx(4.0 + 6.5 + 3.0))


def test_options_that_are_not_allowed_break_the_plan() -> None:
    closed = problem(allowed=[[False, True], [True, True], [True, True]])
    assert closed.evaluate(answer()).violation == np.inf


def test_only_what_an_answer_decides_is_read() -> None:
    told = problem().evaluate(answer(latency_s=[9.0] * 3, objective_s=1.0))
    assert told.objective_s == pytest.approx(4.0)


DECISIONS = {
    "a missing order": {"order": None},
    "a chain twice": {"order": [0, 0]},
    "a chain that is not there": {"order": [0, 3]},
    "halves of chains": {"order": [0.5, 1.0]},
    "an option that is not there": {"option": [0, 0, 2]},
    "too few starts": {"start_s": [0.5, 2.5]},
    "shares in another shape": {"downlink_hz": [[5e5, 5e5, 0.0]]},
}


@pytest.mark.parametrize("name", DECISIONS)
def test_decisions_that_are_none_are_refused_by_name(name: str) -> None:
    (field,) = DECISIONS[name]
    with pytest.raises(InvalidInput, match=field):
        problem().evaluate(answer(**DECISIONS[name]))


# ---- what is refused


def with_(name: str, where: tuple[int, ...], value: float) -> dict[str, Any]:
    table = np.array({**BASE, **GROUPS}[name], dtype=float)
    table[where] = value
    return {name: table}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a release before time zero": (
        with_("release_s", (1, 0), -0.5), r"release_s \(user 1, option 0\): found -0.5.*\[s\]",
    ),
    "work below 0": (with_("edge_work_s", (0, 1), -1.0), r"edge_work_s \(user 0, option 1\): found -1"),
    "work that is no number": (with_("edge_work_s", (2, 0), np.nan), r"edge_work_s \(user 2, option 0\)"),
    "an endless tail": (with_("after_s", (0, 0), np.inf), r"after_s \(user 0, option 0\).*\[s\]"),
    "bits below 0": (with_("downlink_bit", (0, 0), -1.0), r"downlink_bit \(user 0, option 0\).*\[bit\]"),
    "a table of another shape": ({"after_s": [[0.0, 0.0]]}, r"after_s.*shape \(3, 2\)"),
    "no table": ({"downlink_bit": None}, "downlink_bit"),
    "one axis": ({"release_s": [0.0, 1.0]}, "release_s.*2 axes"),
    "a band below 0": ({"downlink_hz": -1.0}, r"downlink_hz.*\[Hz\]"),
    "a list of bands": ({"downlink_hz": [1e6, 1e6]}, "downlink_hz"),
    "both laws": ({"downlink_snr_hz": [1e6] * 3}, "downlink_snr_hz.*Remove one"),
    "no law": ({"downlink_efficiency": None}, "downlink_efficiency.*Add one"),
    "a weight of 0": ({"weight": [1.0, 0.0, 1.0]}, r"weight \(user 1\): found 0"),
    "an objective that is none": ({"objective": "mean"}, "objective.*one of"),
    "a group without prefixes": ({"group": [0, 0, 0]}, "prefix_work_s.*for group is given"),
    "prefixes without groups": ({"prefix_work_s": [1.0]}, "group: .*for prefix_work_s is given"),
    "weights of no prefixes": ({"prefix_weight": [1.0]}, "prefix_work_s.*for prefix_weight is given"),
    "a group that has no prefix": ({**GROUPS, "group": [0, 1, -1]}, r"group \(user 1\): found 1.*from 0 to 0"),
    "a group below -1": ({**GROUPS, "group": [0, -2, -1]}, r"group \(user 1\): found -2"),
    "groups of halves": ({**GROUPS, "group": [0.5, 0.0, 0.0]}, "group.*integers"),
    "a prefix below 0": ({**GROUPS, "prefix_work_s": [-1.0]}, r"prefix_work_s \(group 0\): found -1.*\[s\]"),
    "prefixes in a table": ({**GROUPS, "prefix_work_s": [[1.0]]}, "prefix_work_s.*shape"),
    "weights of other prefixes": ({**GROUPS, "prefix_weight": [1.0, 1.0]}, "prefix_weight.*shape"),
    "nothing allowed": ({"allowed": [[True, True], [False, False], [True, True]]}, r"allowed \(user 1\)"),
    "no band and no other option": (
        {"downlink_hz": 0.0, "allowed": [[True, False], [True, True], [True, True]]}, "downlink_hz.*user 0",
    ),
    "out of reach": (
        {"downlink_efficiency": [0.0, 1.0, 1.0], "allowed": [[True, False], [True, True], [True, True]]},
        r"downlink_efficiency \(user 0\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_by_name(name: str) -> None:
    changed, message = REFUSED[name]
    with pytest.raises(InvalidInput, match=message):
        problem(**changed)


def test_fields_that_the_class_does_not_have_are_none() -> None:
    with pytest.raises(TypeError, match="deadline_s"):
        problem(deadline_s=[1.0, 1.0, 1.0])


def test_it_is_frozen_and_has_copies_of_its_own() -> None:
    table = np.array(BASE["release_s"])
    one = problem(release_s=table)
    table[:] = 9.0
    assert one.release_s[0, 0] == 0.5
    with pytest.raises(FrozenInstanceError):
        one.objective = "sum"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        one.release_s[0, 0] = 1.0


def test_a_band_of_zero_closes_what_needs_it() -> None:
    closed = problem(downlink_hz=0.0)
    assert closed.open_options.tolist() == [[False, True], [False, True], [True, True]]
