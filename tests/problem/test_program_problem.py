"""ProgramProblem: what it takes, what it refuses and how, and its evaluation by hand-worked numbers."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.problem.task_graph import MOST_SETS


def arcs(*pairs: tuple[int, int], tasks: int = 5, options: int = 2) -> Any:
    """Option 0 with some tasks before others, the other options without."""
    found = np.zeros((1, options, tasks, tasks), bool)
    for first, then in pairs:
        found[0, 0, first, then] = True
    return found


# two uploads at once, the second after device work; then edge work; then a download beside device work
BASE: dict[str, Any] = {
    "fixed_s": [[[0.0, 0.5, 0.1, 0.0, 2.0], [9.0, 0.0, 0.0, 0.0, 0.0]]],
    "uplink_bit": [[[1e6, 0.0, 2e6, 0.0, 0.0], [0.0] * 5]],
    "edge_work_s": [[[0.0, 0.0, 0.0, 1.0, 0.0], [0.0] * 5]],
    "downlink_bit": np.zeros((1, 2, 5)),
    "before": arcs((1, 2), (0, 3), (2, 3), (1, 4)),
    "downlink_hz": 1e6,
    "uplink_hz": 1e6,
    "uplink_efficiency": [2.0],
}


def problem(**changed: Any) -> ProgramProblem:
    return ProgramProblem(**{**BASE, **changed})


def answer(**changed: Any) -> SimpleNamespace:
    base = {
        "option": [0], "downlink_hz": [0.0], "uplink_hz": [1e6], "edge_share": [0.5],
        "part": [[0.25, 1.0, 0.75, 1.0, 1.0]],
    }  # fmt: skip
    return SimpleNamespace(**{**base, **changed})


def with_(name: str, where: tuple[int, ...], value: float) -> dict[str, Any]:
    table = np.array(BASE[name])
    table[where] = value
    return {name: table}


# ---- evaluation


def test_the_latency_is_the_longest_path() -> None:
    found = problem(objective="sum", weight=[2.0]).evaluate(answer())
    # uploads at 0.5 and 1.5 Mbit/s: 2 s, and 0.5 + 4/3 + 0.1 s; then 1/0.5 s of edge work; beside 0.5 + 2 s
    assert found.latency_s.tolist() == pytest.approx([4.0], rel=1e-14)
    assert found.objective_s == pytest.approx(8.0, rel=1e-14)
    assert found.violation == 0.0
    late = problem().evaluate(answer(part=[[0.75, 1.0, 0.25, 1.0, 1.0]]))
    assert late.latency_s.tolist() == pytest.approx([0.5 + 4.0 + 0.1 + 2.0], rel=1e-14)


def test_parts_of_tasks_that_may_run_at_once_sum_to_one() -> None:
    assert problem().evaluate(answer(part=[[0.5, 1.0, 0.75, 1.0, 1.0]])).violation == pytest.approx(0.25)
    assert problem().evaluate(answer(part=[[0.25, 1.0, 0.75, 1.5, 1.0]])).violation == pytest.approx(0.5)
    # one after the other, each has all of it
    chain = problem(before=arcs((0, 1), (1, 2), (2, 3), (1, 4)))
    found = chain.evaluate(answer(part=np.ones((1, 5))))
    assert found.violation == 0.0
    assert found.latency_s.tolist() == pytest.approx([0.5 + 0.5 + 1.0 + 0.1 + 2.0], rel=1e-14)


def test_parts_of_tasks_that_ask_for_nothing_are_not_looked_at() -> None:
    assert problem().evaluate(answer(part=[[0.25, -3.0, 0.75, 1.0, 7.0]])).violation == 0.0


def test_a_link_of_shannon_divides_its_rate() -> None:
    found = problem(uplink_efficiency=None, uplink_snr_hz=[3e6]).evaluate(answer())
    rate = 1e6 * np.log2(4.0)
    assert found.latency_s[0] == pytest.approx(max(1e6 / (0.25 * rate), 0.6 + 2e6 / (0.75 * rate)) + 2.0, rel=1e-14)


def test_budgets_caps_and_closed_options_are_limits() -> None:
    assert problem().evaluate(answer(uplink_hz=[1.5e6])).violation == pytest.approx(0.5)
    assert problem(edge_share_max=[0.4]).evaluate(answer()).violation == pytest.approx(0.25)
    assert problem(edge_share_max=[np.inf]).evaluate(answer()).violation == 0.0
    assert problem(allowed=[[False, True]]).evaluate(answer()).violation == np.inf
    assert problem().evaluate(answer(edge_share=[-0.5])).violation == np.inf
    assert problem().evaluate(answer(part=[[0.25, 1.0, np.nan, 1.0, 1.0]])).violation == np.inf
    assert problem().evaluate(answer(edge_share=[0.0])).latency_s[0] == np.inf


def test_a_place_without_a_task_is_nothing() -> None:
    wider = {name: np.pad(np.array(BASE[name]), ((0, 0), (0, 0), (0, 2))) for name in
             ("fixed_s", "uplink_bit", "edge_work_s", "downlink_bit")}  # fmt: skip
    wider["before"] = np.pad(BASE["before"], ((0, 0), (0, 0), (0, 2), (0, 2)))
    found = problem(**wider).evaluate(answer(part=[[0.25, 1.0, 0.75, 1.0, 1.0, 0.0, 0.0]]))
    assert found.latency_s.tolist() == problem().evaluate(answer()).latency_s.tolist()
    assert problem(**wider).graph(0, 0).arcs == problem().graph(0, 0).arcs


# ---- what is refused


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"fixed_s": [[1.0, 2.0]]}, "fixed_s: found (1, 2); expected an array (K users", id="two axes"),
        pytest.param(with_("uplink_bit", (0, 0, 2), -1.0), "uplink_bit (user 0, option 0, task 2): found -1",
                     id="sign"),
        pytest.param({"edge_work_s": np.zeros((1, 2, 4))}, "edge_work_s: found (1, 2, 4); expected shape (1, 2, 5)",
                     id="shape"),
        pytest.param(with_("edge_work_s", (0, 0, 2), 1.0),
                     "edge_work_s (user 0, option 0, task 2): found 1.0; expected 0 [s], because the task has "
                     "uplink_bit", id="two resources"),
        pytest.param({"before": arcs((1, 2), (3, 0))}, "before (user 0, option 0, task 3, task 0): found True",
                     id="backwards"),
        pytest.param({"before": arcs((1, 1))}, "before (user 0, option 0, task 1, task 1): found True", id="itself"),
        pytest.param({"before": arcs((0, 1), tasks=4)}, "before: found (1, 2, 4, 4); expected shape (1, 2, 5, 5)",
                     id="other tasks"),
        pytest.param({"uplink_efficiency": None}, "uplink_efficiency [bit/s/Hz] or uplink_snr_hz [Hz]", id="no law"),
        pytest.param({"uplink_snr_hz": [1e6]}, "uplink_snr_hz: found 'given'; expected exactly one", id="two laws"),
        pytest.param({"uplink_hz": -1.0}, "uplink_hz: found -1", id="band"),
        pytest.param({"weight": [0.0]}, "weight (user 0): found 0", id="weight"),
        pytest.param({"objective": "mixed"}, "objective: found 'mixed'; expected one of ('max', 'sum')",
                     id="objective"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_name(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        problem(**changed)
    assert said in str(error.value)
    assert error.value.remedy


def test_too_many_sets_at_once_are_refused() -> None:
    # three chains of uploads beside each other: any one of each may run with any of the others
    tasks = 3 * 5
    before = np.zeros((1, 1, tasks, tasks), bool)
    for first in range(0, tasks, 5):
        for n in range(first, first + 4):
            before[0, 0, n, n + 1] = True
    tables = {name: np.zeros((1, 1, tasks)) for name in ("fixed_s", "edge_work_s", "downlink_bit")}
    with pytest.raises(InvalidInput, match=f"more than {MOST_SETS} sets of tasks with uplink_bit"):
        ProgramProblem(
            **tables, uplink_bit=np.full((1, 1, tasks), 1e5), before=before, downlink_hz=1e6, uplink_hz=1e6,
            uplink_efficiency=[1.0],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({"option": [2]}, "integers from 0 to 1", id="option"),
        pytest.param({"part": [[1.0] * 4]}, "part: found (1, 4); expected shape (1, 5)", id="part"),
        pytest.param({"part": None}, "part: found None", id="no part"),
        pytest.param({"uplink_hz": [1e6, 1e6]}, "uplink_hz: found (2,)", id="share"),
    ],
)
def test_answers_that_do_not_fit_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as error:
        problem().evaluate(answer(**changed))
    assert said in str(error.value)


def test_it_is_frozen_and_independent_of_what_was_given() -> None:
    given = np.array(BASE["fixed_s"])
    made = problem(fixed_s=given)
    given[0, 0, 1] = 77.0
    assert made.fixed_s[0, 0, 1] == 0.5
    with pytest.raises(FrozenInstanceError):
        made.uplink_hz = 2.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        made.fixed_s[0, 0, 0] = 1.0
