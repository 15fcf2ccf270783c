"""Pictures by sketches: planned, executed by real processes, equal to the same path in one process, and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from megdt_opt import InvalidInput, Scenario, execute, plan
from megdt_opt.planning.plan import Plan
from megdt_opt.program.sketches import SKETCH_MECHANISMS
from megdt_opt.report import write_report
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.pictures import judge_pictures

USERS = (("down", "E2U-sketch", "device"), ("up", "U2E-sketch", "edge"), ("around", "U2E-sketch", "device"))


def scenario(*users: tuple[str, str, str], **more: Any) -> Scenario:
    listed = [
        {
            "name": name,
            "device": {"profile": "twin-cpu", "stretch": 6.0},
            "downlink_efficiency": "4 bit/s/Hz",
            "uplink_efficiency": "4 bit/s/Hz",
            "mechanisms": [mechanism],
            "codecs": ["png"],
            "senses": mechanism == "U2E-sketch",
            "shown_at": shown_at,
            "scene": 4 + k,
            "seed": k,
        }
        for k, (name, mechanism, shown_at) in enumerate(users)
    ]
    given: dict[str, Any] = {
        "steps": 4,
        "edge": {"profile": "twin-cpu", "stretch": 4.0},
        "channel": {"downlink": "100 kHz", "uplink": "100 kHz", "propagation": "2 ms"},
        "users": listed,
    }
    return Scenario(**given | more)


@pytest.mark.slow
def test_executed_pictures_are_those_of_the_same_sketches_in_one_process(tmp_path: Path) -> None:
    made = plan(scenario(*USERS))
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    done = execute(str(tmp_path / "plan.json"))
    pictures = judge_pictures(again.table, again.users, done.images)
    assert all(picture.identical for picture in pictures)
    assert sum(p.found for p in pictures) >= 0.8 * sum(p.objects for p in pictures)
    sent = [row for row in done.rows if row.kind == "send sketch"]
    assert len(sent) == len(USERS)
    for row in sent:
        assert 150 < row.payload_byte < 600
    assert any("made anew from a sketch" in note for note in again.notes)
    written = write_report(tmp_path / "report", again, done, None, pictures)
    assert all(path.stat().st_size > 0 for path in written.values())


def test_lengths_are_planned_by_the_scene() -> None:
    table = OptionTable.build(scenario(USERS[1], USERS[2]))
    o = next(o for o, option in enumerate(table.options) if option.mechanism == "U2E-sketch")
    bits = [table.terms(k, next(o for o in range(len(table.options)) if table.allowed[k, o])) for k in range(2)]
    assert table.options[o].protocol == "sketch"
    assert all(terms is not None and 8 * 150 < terms.uplink_bit < 8 * 600 for terms in bits)
    assert bits[0].uplink_bit != bits[1].uplink_bit  # type: ignore[union-attr]


def test_nobody_is_offered_them_who_does_not_list_them() -> None:
    whole = scenario(*USERS).model_dump(mode="json", exclude_none=True)
    for user in whole["users"]:
        del user["mechanisms"]
    table = OptionTable.build(Scenario(**whole))
    assert not {option.mechanism for option in table.options} & set(SKETCH_MECHANISMS)
    one = OptionTable.build(scenario(("u", "E2U", "device"), ("v", "E2U-sketch", "device")))
    offered = {option.mechanism for o, option in enumerate(one.options) if one.allowed[0, o]}
    assert offered == {"E2U"}


@pytest.mark.parametrize("mechanism", SKETCH_MECHANISMS)
@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_a_model_without_a_generator_refuses_them_by_name(mechanism: str, model: str) -> None:
    with pytest.raises(InvalidInput, match=f"users.u.mechanisms: found '{mechanism}'.*'{model}' makes no pictures"):
        OptionTable.build(scenario(("u", mechanism, "device"), model=model, edge={"profile": "sd15-cpu"}))


def test_a_private_picture_sends_no_sketch() -> None:
    private = scenario(USERS[1]).model_dump(mode="json", exclude_none=True)
    private["users"][0]["private_steps"] = 1
    table = OptionTable.build(Scenario(**private))
    assert any("the camera's sketch would leave the device" in reason for reason in table.closings(0))


@pytest.mark.parametrize("discipline", ["in_turns", "batched"])
def test_disciplines_plan_them_in_turns_and_refuse_them_in_batches(discipline: str) -> None:
    chosen = scenario(USERS[0], edge={"profile": "twin-cpu", "stretch": 4.0, "discipline": discipline})
    table = OptionTable.build(chosen)
    o = next(o for o, option in enumerate(table.options) if option.mechanism == "E2U-sketch")
    assert table.allowed[0, o] == (discipline == "in_turns")
