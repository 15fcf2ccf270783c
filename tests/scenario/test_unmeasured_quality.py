"""Precisions of a model whose pictures were never compared with those of fp32 are closed, unless a scenario accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from megdt_opt import Infeasible, InvalidInput, Plan, Scenario, TimingProfile, plan
from megdt_opt.models.registry import MODELS, find_spec, register_model
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.report.plan_grids import plan_grid
from megdt_opt.scenario.options import OptionTable

A100 = "published: A100 (compiled) / SD1.5"
ACCEPT = {"unmeasured_quality": "accept"}


def cell(model: str = "sd15", edge: str = "sd15-cpu", device: str = "sd15-cpu", **more: Any) -> Scenario:
    user = {"name": "phone", "downlink_efficiency": "4 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz"}
    wishes = {key: more.pop(key) for key in ("precisions", "mechanisms", "private_steps", "shown_at") if key in more}
    return Scenario(
        model=model, steps=4, cuts=(2,), edge={"profile": edge}, channel={"downlink": "1 MHz", "uplink": "1 MHz"},
        users=[{**user, "device": {"profile": device, "stretch": 3.0}, **wishes}], **more,
    )  # fmt: skip


def precisions(table: OptionTable) -> set[str]:
    """Precisions of the options that are open."""
    return {table.options[o].precision for o in range(len(table.options)) if table.allowed[0, o]}


def timed_in(precision: str) -> TimingProfile:
    """A profile of SD1.5 that says so of its arithmetic."""
    own = TimingProfile.bundled("sd15-cpu")
    return replace(own, provenance=replace(own.provenance, precision=precision))


@pytest.fixture
def mine() -> Iterator[str]:
    """A model of a user's own, which was compared in fp16."""

    def load(device: str, precision: str) -> Any:
        raise NotImplementedError

    register_model("mine", load, replace(find_spec("sd15"), name="mine"), measured=("fp16",))
    yield "mine"
    del MODELS._own["mine"]


def test_features_of_an_unmeasured_model_are_sent_in_fp32_alone() -> None:
    table = OptionTable.build(cell())
    assert precisions(table) == {"", "fp32"}
    assert precisions(OptionTable.build(cell(**ACCEPT))) == {"", "fp32", "fp16", "int8"}
    closed = table.closed_by(0, table.index("SEU 2 int8"))
    assert closed == ("quality: int8 of 'sd15' was never compared with fp32 (unmeasured_quality: accept opens it)",)


def test_the_twins_measured_precisions_stay_open() -> None:
    assert precisions(OptionTable.build(cell("twin", "twin-cpu", "twin-cpu"))) == {"", "fp32", "fp16", "int8"}


def test_a_model_of_ones_own_says_what_was_compared(mine: str) -> None:
    profile = replace(TimingProfile.bundled("sd15-cpu"), model=mine)
    assert precisions(OptionTable.build(cell(mine, "p", "p"), {"p": profile})) == {"", "fp32", "fp16"}
    with pytest.raises(InvalidInput, match="measured of the model other: found 'fp8'"):
        register_model(
            "other", lambda device, precision: None, replace(find_spec("sd15"), name="other"), measured=["fp8"]
        )  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("precision", ["fp16", "bf16", "w8a16"])
def test_a_profile_in_another_precision_is_closed_with_all_that_it_computes(precision: str) -> None:
    given = {"half": timed_in(precision)}
    table = OptionTable.build(cell(edge="half"), given)
    open_ones = {option.mechanism for o, option in enumerate(table.options) if table.allowed[0, o]}
    assert open_ones == {"local"}
    with pytest.raises(Infeasible, match=f"quality: {precision} of 'sd15' was never compared with fp32"):
        plan(cell(edge="half", device="half"), given)
    assert plan(cell(edge="half", device="half", **ACCEPT), given, compare=False).users


@pytest.mark.parametrize("wish", ["int8", "fp16"])
def test_a_users_wish_for_a_precision_does_not_open_it(wish: str) -> None:
    asked: dict[str, Any] = {"precisions": [wish], "mechanisms": ["SEU", "SEU-UE-first"], "private_steps": 1}
    with pytest.raises(Infeasible, match=f"quality: {wish} of 'sd15'"):
        plan(cell(**asked))
    assert plan(cell(**asked, **ACCEPT), compare=False).users[0].option.precision == wish


def test_plan_and_report_repeat_that_it_was_accepted(tmp_path: Path) -> None:
    made = plan(cell(**ACCEPT), compare=False)
    (said,) = [note for note in made.notes if "unmeasured_quality: accept" in note]
    assert said.startswith("Quality unmeasured, as the scenario accepts")
    assert "'sd15' in fp16, int8" in said
    assert said in plan_grid(made).notes
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert said in again.notes
    assert again.restated == ()


def test_a_plan_says_what_was_closed() -> None:
    made = plan(cell(), compare=False)
    assert any(
        note.startswith("Closed, as pictures of the model 'sd15'") and "fp16, int8" in note for note in made.notes
    )
    twin = plan(cell("twin", "twin-cpu", "twin-cpu"), compare=False)
    assert not any("never compared" in note for note in twin.notes)


@pytest.mark.parametrize("wish", ["int8", "fp16"])
def test_a_plan_file_whose_acceptance_was_taken_out_is_refused(wish: str, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"precisions": [wish, "fp32"], "mechanisms": ["SEU-UE-first"], "private_steps": 1}
    made = plan(cell(**asked, **ACCEPT), compare=False)
    assert made.users[0].option.precision == wish
    data = made.to_dict()
    del data["scenario"]["unmeasured_quality"]
    (tmp_path / "plan.json").write_text(json.dumps(data))
    with pytest.raises(InvalidInput):
        Plan.load(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("model", "profile", "wishes"),
    [
        ("twin", "twin-cpu", {}),
        ("sd15", "sd15-cpu", {"precisions": ["fp32"]}),
        ("twin", "twin-cpu", {"precisions": ["int8"]}),
    ],
    ids=["all measured", "fp32 alone", "a measured one alone"],
)
def test_accepting_where_nothing_is_unmeasured_is_refused(model: str, profile: str, wishes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="unmeasured_quality: found 'accept'; expected nothing where"):
        OptionTable.build(cell(model, profile, profile, **wishes, **ACCEPT))


def test_any_other_word_than_accept_is_refused() -> None:
    for word in ("yes", "refuse", True, ""):
        with pytest.raises(InvalidInput, match="unmeasured_quality"):
            cell(unmeasured_quality=word)


def test_rivals_are_of_open_precisions_too() -> None:
    """Baselines waive a user's limits, not the quality of pictures."""
    made = plan(cell(mechanisms=list(MECHANISMS)))
    offered = {made.table.options[o].precision for o in range(len(made.table.options)) if made.table._possible[0, o]}
    assert offered == {"", "fp32"}
