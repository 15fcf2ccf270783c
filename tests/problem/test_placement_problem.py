"""PlacementProblem: what it takes, what it refuses and how, and its evaluation by hand-worked numbers."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.placement_problem import PlacementProblem

BASE: dict[str, Any] = {
    "fixed_s": [[0.5, 0.25, 4.0], [0.5, 0.25, 6.0]],
    "downlink_bit": [[1e6, 1e6, 0.0], [1e6, 1e6, 0.0]],
    "uplink_bit": [[2e5, 0.0, 0.0], [2e5, 0.0, 0.0]],
    "edge_work_s": [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]],
    "option_server": [[0, 1, -1], [0, 1, -1]],
    "downlink_hz": [1e6, 2e6],
    "uplink_hz": [1e5, 1e5],
    "downlink_efficiency": [[2.0, 1.0], [1.0, 4.0]],
    "uplink_efficiency": [2.0, 1.0],
}
MODELS: dict[str, Any] = {"user_model": [0, 1], "model_byte": [4e9, 6e9], "memory_byte": [4e9, 8e9]}
HELD: dict[str, Any] = {"placed": [[1, 0], [0, 1]]}


def problem(**changed: Any) -> PlacementProblem:
    return PlacementProblem(**{**BASE, **changed})


def answer(**changed: Any) -> SimpleNamespace:
    base = {
        "option": [0, 1], "downlink_hz": [5e5, 1e6], "uplink_hz": [1e5, 0.0], "edge_share": [1.0, 0.5],
    }  # fmt: skip
    return SimpleNamespace(**{**base, **changed})


def with_(name: str, where: tuple[int, ...], value: float, **more: Any) -> dict[str, Any]:
    table = np.array({**BASE, **MODELS}[name])
    table[where] = value
    return {**more, name: table}


# ---- evaluation


def test_latencies_are_those_of_the_formula() -> None:
    found = problem(objective="sum", weight=[1.0, 2.0]).evaluate(answer())
    # user 0 at server 0: 0.5 + 2e5/(2*1e5) + 1/1 + 1e6/(2*5e5); user 1 at server 1: 0.25 + 1/0.5 + 1e6/(4*1e6)
    assert found.latency_s.tolist() == pytest.approx([0.5 + 1.0 + 1.0 + 1.0, 0.25 + 2.0 + 0.25], rel=1e-15)
    assert found.objective_s == pytest.approx(3.5 + 2 * 2.5, rel=1e-15)
    assert found.violation == 0.0
    assert problem().evaluate(answer()).objective_s == pytest.approx(3.5, rel=1e-15)


def test_rates_of_shannon_are_those_of_the_server() -> None:
    laws = {"downlink_efficiency": None, "downlink_snr_hz": [[3e6, 1e6], [1e6, 3e6]]}
    found = problem(**laws).evaluate(answer(downlink_hz=[1e6, 1e6]))
    assert found.latency_s.tolist() == pytest.approx([0.5 + 1.0 + 1.0 + 0.5, 0.25 + 2.0 + 0.5], rel=1e-14)


def test_device_branches_run_beside_the_edge() -> None:
    found = problem(device_branch_s=[[3.5, 0, 0], [0, 1.0, 0]]).evaluate(answer())
    assert found.latency_s.tolist() == pytest.approx([0.5 + 3.5, 0.25 + 2.25], rel=1e-15)


def test_each_server_has_budgets_of_its_own() -> None:
    both_at_0 = answer(option=[0, 0], downlink_hz=[5e5, 6e5], uplink_hz=[5e4, 5e4], edge_share=[0.5, 0.5])
    assert problem().evaluate(both_at_0).violation == pytest.approx(0.1, rel=1e-12)
    assert problem().evaluate(answer(edge_share=[1.0, 1.0])).violation == 0.0
    assert problem(edge_capacity=[1.0, 0.25]).evaluate(answer()).violation == pytest.approx(1.0)


def test_caps_and_memory_are_limits() -> None:
    assert problem(edge_share_max=[0.8, np.inf]).evaluate(answer()).violation == pytest.approx(0.25)
    placing = problem(**MODELS)
    assert placing.evaluate(answer(**HELD)).violation == 0.0
    assert placing.evaluate(answer(placed=[[1, 1], [0, 1]])).violation == pytest.approx(1.5)
    assert placing.evaluate(answer(placed=[[1, 0], [1, 1]])).violation == pytest.approx(0.25)


def test_deadlines_and_times_of_sending_are_limits() -> None:
    # 3.5 s and 2.5 s, of which user 0 sends for 1 s
    assert problem(deadline_s=[3.5, np.inf]).evaluate(answer()).violation == pytest.approx(0.0, abs=1e-15)
    assert problem(deadline_s=[3.5, 2.0]).evaluate(answer()).violation == pytest.approx(0.25)
    sends = [[0.8, np.inf, np.inf], [np.inf, 0.0, 0.0]]
    assert problem(uplink_airtime_max_s=sends).evaluate(answer()).violation == pytest.approx(0.25)
    assert problem(uplink_airtime_max_s=np.full((2, 3), np.inf)).evaluate(answer()).violation == 0.0
    assert problem(deadline_s=[np.inf, np.inf]).limited is False
    assert problem(uplink_airtime_max_s=np.full((2, 3), np.inf)).limited is False


@pytest.mark.parametrize(
    "changed",
    [
        {"placed": [[1, 0], [0, 0]]}, {"placed": [[0, 0], [0, 1]]}, {"downlink_hz": [-1.0, 1e6]},
        {"edge_share": [np.nan, 0.5]}, {"option": [2, 1]},
    ],
    ids=["user 1's model is not there", "user 0's model is not there", "negative", "no number", "share of no server"],
)  # fmt: skip
def test_what_cannot_be_is_infinitely_wrong(changed: dict[str, Any]) -> None:
    assert problem(**MODELS).evaluate(answer(**{**HELD, **changed})).violation == np.inf


def test_an_option_that_is_not_allowed_is_infinitely_wrong() -> None:
    allowed = [[False, True, True], [True, True, True]]
    assert problem(allowed=allowed).evaluate(answer()).violation == np.inf


def test_options_on_the_device_need_no_model_and_no_share() -> None:
    nothing = answer(
        option=[2, 2], downlink_hz=[0, 0], uplink_hz=[0, 0], edge_share=[0, 0], placed=[[False] * 2] * 2
    )  # fmt: skip
    found = problem(**MODELS).evaluate(nothing)
    assert (found.latency_s.tolist(), found.violation) == ([4.0, 6.0], 0.0)


def test_only_the_decisions_are_read() -> None:
    assert problem().evaluate(answer(latency_s="unknown", placed=None)).violation == 0
    with pytest.raises(InvalidInput, match="placed: found None"):
        problem(**MODELS).evaluate(answer(placed=None))
    with pytest.raises(InvalidInput, match="edge_share"):
        problem().evaluate(SimpleNamespace(option=[0, 1], downlink_hz=[0, 0], uplink_hz=[0, 0]))


@pytest.mark.parametrize("changed", [{"option": [0, 3]}, {"downlink_hz": [1.0]}, {"placed": [[1, 0]]}])
def test_decisions_of_another_shape_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(changed))):
        problem(**MODELS).evaluate(answer(**{**HELD, **changed}))


@pytest.mark.parametrize("placed", [HELD["placed"], [[True, True], [True, True]], "everywhere"])
def test_models_held_where_none_are_placed_are_refused(placed: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^placed: found .*nothing, because the problem places no models"):
        problem().evaluate(answer(placed=placed))
    assert problem().evaluate(answer()).violation == 0.0


@pytest.mark.parametrize(
    ("placed", "said"),
    [
        ([[2, 0], [0, 1]], r"placed \(server 0, model 0\): found 2; expected true or false for each server, model"),
        ([[1, 0], [0, 0.5]], r"placed \(server 1, model 1\): found 0.5"),
        ([[1, -1], [0, 1]], r"placed \(server 0, model 1\): found -1"),
    ],
)
def test_a_wrong_flag_is_named_with_its_place(placed: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        problem(**MODELS).evaluate(answer(placed=placed))


# ---- bad input


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "server that is not there": (with_("option_server", (1, 0), 2), r"option_server \(user 1, option 0\): found 2"),
    "server below -1": (with_("option_server", (0, 2), -2), r"option_server \(user 0, option 2\): found -2"),
    "servers that are no integers": (
        {"option_server": [[0.0, 1.0, -1.0]] * 2}, "option_server: found 'an array of float64'",
    ),
    "bits without a server": (with_("downlink_bit", (1, 2), 8.0), r"downlink_bit \(user 1, option 2\): found 8.0"),
    "uplink bits without a server": (with_("uplink_bit", (0, 2), 1.0), r"uplink_bit \(user 0, option 2\): found 1.0"),
    "work without a server": (with_("edge_work_s", (0, 2), 0.5), r"edge_work_s \(user 0, option 2\): found 0.5.*\[s\]"),
    "models of users alone": ({"user_model": [0, 1]}, "model_byte: found None"),
    "models without memory": ({**MODELS, "memory_byte": None}, "memory_byte: found None"),
    "models without users": ({**MODELS, "user_model": None}, "user_model: found None"),
    "model that is not there": ({**MODELS, "user_model": [0, 2]}, r"user_model \(user 1\): found 2"),
    "model that fits no server": (
        {**MODELS, "model_byte": [4e9, 9e9]}, r"model_byte \(model 1\): found 9000000000.0.*8e\+09 \[byte\]",
    ),
    "model that fits no server, three of them": (
        {**MODELS, "model_byte": [4e9, 8e9, 8.1e9]}, r"model_byte \(model 2\)",
    ),
    "memory below zero": ({**MODELS, "memory_byte": [4e9, -1.0]}, r"memory_byte \(server 1\): found -1.0.*\[byte\]"),
    "memory of another shape": ({**MODELS, "memory_byte": 8e9}, "memory_byte"),
    "band of another shape": ({"uplink_hz": [1e5]}, "uplink_hz"),
    "one band for all": ({"downlink_hz": 1e6}, "downlink_hz"),
    "efficiencies of another shape": ({"downlink_efficiency": np.ones((2, 3))}, "downlink_efficiency"),
    "negative efficiency": ({"downlink_efficiency": [[1, 1], [1, -1]]}, r"downlink_efficiency \(user 1, server 1\)"),
    "both laws": ({"downlink_snr_hz": [1e6, 1e6]}, "downlink_snr_hz: found 'given'"),
    "no law": ({"uplink_efficiency": None}, "uplink_efficiency: found None"),
    "weight of zero": ({"weight": [1.0, 0.0]}, r"weight \(user 1\)"),
    "cap of zero": ({"edge_share_max": [0.0, 1.0]}, r"edge_share_max \(user 0\)"),
    "deadline of zero": ({"deadline_s": [1.0, 0.0]}, r"deadline_s \(user 1\): found 0.0.*\[s\]"),
    "deadline below zero": ({"deadline_s": [-1.0, 1.0]}, r"deadline_s \(user 0\): found -1.0"),
    "deadline that is no number": ({"deadline_s": [1.0, np.nan]}, r"deadline_s \(user 1\): found nan"),
    "one deadline for all": ({"deadline_s": 3.0}, r"deadline_s: found \(\)"),
    "time of sending below zero": (
        {"uplink_airtime_max_s": [[1, 1, 1], [1, -1, 1]]},
        r"uplink_airtime_max_s \(user 1, option 1\): found -1.0.*\[s\]",
    ),
    "times of sending of another shape": ({"uplink_airtime_max_s": [1.0, 2.0]}, "uplink_airtime_max_s"),
    "objective": ({"objective": "missed"}, "objective: found 'missed'"),
    "tables of another shape": ({"edge_work_s": [[1.0, 1.0]] * 2}, "edge_work_s"),
    "users without options": ({"fixed_s": np.zeros((2, 0))}, r"fixed_s: found \(2, 0\).*one of the O options at least"),
    "no users": ({"fixed_s": np.zeros((0, 3))}, r"fixed_s: found \(0, 3\).*one of the K users at least"),
    "one axis": ({"fixed_s": np.zeros(3)}, r"fixed_s: found \(3,\).*Give it 2 axes"),
    "not a number": (with_("fixed_s", (0, 1), np.nan), r"fixed_s \(user 0, option 1\): found nan"),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "said"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_refused_by_name_value_unit_and_remedy(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as error:
        problem(**changed)
    assert error.value.remedy.endswith(".")


@pytest.mark.parametrize(
    "changed",
    [
        {"weight": [1.0, 0.0]},
        {"edge_share_max": [0.0, 1.0]},
        {"downlink_hz": [-1.0, 1.0]},
        {"downlink_efficiency": [[1, 1], [1, -1]]},
        {**MODELS, "memory_byte": [4e9, -1.0]},
        with_("fixed_s", (0, 1), np.nan),
    ],
)
def test_only_a_number_of_an_option_is_helped_by_forbidding_it(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as error:
        problem(**changed)
    assert ("allowed" in error.value.remedy) == ("option" in error.value.field)


NO_DEVICE = {"allowed": [[True, True, False], [True, True, True]]}
STRANDED: dict[str, tuple[dict[str, Any], str]] = {
    "no efficiency anywhere": ({"downlink_efficiency": [[0.0, 0.0], [1.0, 1.0]]}, r"downlink_efficiency \(user 0"),
    "no band anywhere": ({"downlink_hz": [0.0, 0.0]}, r"downlink_hz \(user 0, option 0, server 0\): found 0.0"),
    "no edge anywhere": ({"edge_capacity": [0.0, 0.0]}, r"edge_capacity \(user 0, option 0, server 0\)"),
    "no memory where it may go": (
        {"user_model": [1, 0], "model_byte": [1e9, 6e9], "memory_byte": [4e9, 8e9], "allowed": [[1, 0, 0], [1, 1, 1]]},
        r"memory_byte \(user 0, option 0, server 0\): found 4000000000.0; expected at least 6e\+09 \[byte\]",
    ),
    "nothing allowed": ({"allowed": [[False] * 3, [True] * 3]}, r"allowed \(user 0\)"),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "said"), STRANDED.values(), ids=STRANDED)
def test_a_user_whom_no_server_reaches_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        problem(**{**NO_DEVICE, **changed})


@pytest.mark.parametrize("changed", [one for one, _ in list(STRANDED.values())[:3]], ids=list(STRANDED)[:3])
def test_with_an_option_on_the_device_it_is_not(changed: dict[str, Any]) -> None:
    assert problem(**changed).open_options[0].tolist() == [False, False, True]


def test_what_only_makes_options_unusable_closes_them() -> None:
    without_uplink = problem(uplink_hz=[0.0, 1e5])
    assert without_uplink.open_options.tolist() == [[False, True, True]] * 2  # option 1 sends nothing up
    placing = problem(user_model=[1, 1], model_byte=[4e9, 6e9], memory_byte=[4e9, 8e9])
    assert placing.open_options.tolist() == [[False, True, True]] * 2  # server 0 is too small for the model


def test_is_frozen_and_keeps_copies() -> None:
    given = np.array(BASE["fixed_s"])
    made = problem(fixed_s=given)
    given[:] = 99.0
    assert made.fixed_s.max() == 6.0
    with pytest.raises(FrozenInstanceError):
        made.objective = "sum"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        made.fixed_s[0, 0] = 1.0
