"""Plans of an edge that serves in turns: turns and schedules, files, baselines, and what is refused."""

from __future__ import annotations

import copy
import itertools
import json
from functools import cache
from typing import Any

import numpy as np
import pytest

from megdt_opt import InvalidInput, Plan, Scenario, SequencedEdgeProblem, plan
from megdt_opt.planning.baselines import EQUAL_SHARES, RESERVED_SHARES, next_best
from megdt_opt.program.stages import Compute, is_edge, leaves
from megdt_opt.program.turns import TWICE
from megdt_opt.trials.runs import baseline_parts

TEXT = """
steps: 8
cuts: [2, 4, 6]
objective: max
edge: {profile: twin-cpu, stretch: 4, discipline: in_turns}
channel: {downlink: 60 kHz, uplink: 60 kHz, propagation: 5 ms}
x-device: &device {profile: twin-cpu, stretch: 14, compute_power: 4 W}
users:
  - {name: tablet, device: *device, downlink_efficiency: 3 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz, scene: 1, seed: 1}
  - {name: phone, device: *device, downlink_efficiency: 2 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz, scene: 2, seed: 2}
  - {name: glasses, device: *device, downlink_efficiency: 1 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz, scene: 3, seed: 3}
"""


@cache
def made() -> Plan:
    return plan(Scenario.from_yaml(TEXT))


def test_turns_follow_one_another_and_the_stages_keep_to_them() -> None:
    found = made()
    assert isinstance(found.problem, SequencedEdgeProblem)
    served = sorted((user.turn for user in found.users if user.turn is not None), key=lambda turn: turn.place)
    assert len(served) > 1
    assert [turn.place for turn in served] == list(range(len(served)))
    for before, after in itertools.pairwise(served):
        assert after.start_s >= before.end_s - 1e-9
    for user in found.users:
        assert max(t.start_s + t.duration_s for t in user.stages) == pytest.approx(user.latency_s)
        at_edge = [
            time
            for leaf, time in zip(leaves(user.program), user.stages, strict=True)
            if isinstance(leaf, Compute) and is_edge(leaf.at)
        ]
        if user.turn is None:
            assert not at_edge
            continue
        assert user.turn.waiting_s >= -1e-12
        assert at_edge[0].start_s == pytest.approx(user.turn.start_s)
        assert at_edge[-1].start_s + at_edge[-1].duration_s == pytest.approx(user.turn.end_s)
    assert found.objective_s == pytest.approx(max(user.latency_s for user in found.users))


def test_the_certificate_proves_the_plan_and_the_uplinks_are_stated() -> None:
    found = made()
    assert found.status == "optimal"
    assert found.certificate is not None
    assert found.certificate.verify(found.problem).holds
    assert found.certificate.bound_s >= found.objective_s * (1 - 1e-2)
    assert any("3 of 3 users may send, so each has 20 kHz of the uplink's 60 kHz" in note for note in found.notes)
    assert {user.uplink_hz for user in found.users} <= {0.0, 20e3}


def test_baselines_have_the_proven_optimum_of_reserved_shares_which_is_slower() -> None:
    found, named = made(), {b.name: b for b in made().baselines}
    reserved = named[RESERVED_SHARES]
    fields = found.scenario.model_dump(mode="json", exclude_none=True)
    fields["edge"]["discipline"] = "reserved"
    there = plan(Scenario(**fields), compare=False)
    assert reserved.proven
    assert reserved.objective_s == pytest.approx(there.objective_s, rel=1e-6)
    assert reserved.objective_s > found.objective_s
    assert found.baselines[-1].name == EQUAL_SHARES
    rivals = (*found.baselines, *next_best(found.table, found.options))
    for rival in rivals:
        users, _ = baseline_parts(found.table, rival)
        assert [u.latency_s for u in users] == pytest.approx(list(rival.latency_s), rel=1e-9)
        assert rival.objective_s >= found.objective_s * (1 - 1e-6)


def test_a_plan_comes_back_from_its_file() -> None:
    data = json.loads(json.dumps(made().to_dict()))
    again = Plan.from_dict(data)
    assert again.users == made().users
    assert again.restated == ()
    assert again.certificate is not None


def _swapped(data: dict[str, Any]) -> None:
    data["order"] = data["order"][::-1]


def _earlier(data: dict[str, Any]) -> None:
    data["start_s"][-1] *= 0.9


def _no_order(data: dict[str, Any]) -> None:
    del data["order"], data["start_s"]


def _unknown(data: dict[str, Any]) -> None:
    data["order"][0] = 7


def _uplink(data: dict[str, Any]) -> None:
    data["uplink_hz"] = [2 * hz for hz in data["uplink_hz"]]


def _raised(data: dict[str, Any]) -> None:
    data["certificate"]["bound_s"] *= 1.01


@pytest.mark.parametrize("spoil", [_swapped, _earlier, _no_order, _unknown, _uplink, _raised])
def test_a_file_that_does_not_follow_from_itself_is_refused(spoil: Any) -> None:
    data = copy.deepcopy(json.loads(json.dumps(made().to_dict())))
    spoil(data)
    with pytest.raises(InvalidInput):
        Plan.from_dict(data)


def test_turns_of_an_edge_that_reserves_shares_are_refused() -> None:
    fields = made().scenario.model_dump(mode="json", exclude_none=True)
    fields["edge"]["discipline"] = "reserved"
    data = json.loads(json.dumps(plan(Scenario(**fields), compare=False).to_dict()))
    with pytest.raises(InvalidInput, match="order, start_s"):
        Plan.from_dict(data | {"order": [0], "start_s": [0.0]})


def test_deadlines_that_the_plan_keeps_change_nothing_and_others_are_searched_for() -> None:
    fields = made().scenario.model_dump(mode="json", exclude_none=True)
    latest_s = made().users[1].latency_s
    fields["users"][1]["deadline_s"] = latest_s * 1.001
    kept = plan(Scenario(**fields), compare=False)
    assert kept.objective_s == pytest.approx(made().objective_s)
    fields["objective"] = "sum"
    fields["users"][1]["weight"] = 0.01
    fields["users"][1]["deadline_s"] = latest_s * 0.8
    late = plan(Scenario(**{**fields, "users": [u | {"deadline_s": None} for u in fields["users"]]}), compare=False)
    found = plan(Scenario(**fields), compare=False, time_limit_s=2.0)
    assert late.users[1].latency_s > 0.8 * latest_s >= found.users[1].latency_s * (1 - 1e-9)
    assert late.lower_bound_s * (1 - 1e-9) <= found.lower_bound_s <= found.objective_s
    assert found.certificate is not None
    assert found.certificate.verify(found.problem).holds
    data = json.loads(json.dumps(found.to_dict()))
    assert Plan.from_dict(data).objective_s == found.objective_s
    # a stated plan that is late is refused with its figure
    data["scenario"]["users"][1]["deadline_s"] = found.users[1].latency_s * 0.99
    with pytest.raises(InvalidInput, match=r"users\.phone\.deadline: found '\d\.\d+ s'; expected at least .* s"):
        Plan.from_dict(data)


def test_the_table_of_users_has_the_turns() -> None:
    frame = made().to_frame()
    waiting = [None if u.turn is None else u.turn.waiting_s for u in made().users]
    for shown, own in zip(frame["turn_waiting_s"], waiting, strict=True):
        assert shown == own or (own is None and np.isnan(shown))
    assert list(frame["back"]) == [u.option.back for u in made().users]


def test_a_chain_of_two_hand_overs_says_where_its_steps_run() -> None:
    text = TEXT.replace("seed: 1}", f"seed: 1, mechanisms: [{TWICE}]}}")
    found = plan(Scenario.from_yaml(text), compare=False)
    user = found.users[0]
    cut, back = user.option.cut, user.option.back
    assert user.hand_over == f"{cut} steps on the device, then {back - cut} at the edge, then {8 - back} on the device"
