"""A user's adapter in a scenario: who may have one, what it costs, what of a program uses it, and what it opens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from megdt_opt import Infeasible, InvalidInput, Scenario, plan
from megdt_opt.models.twin.adapters import base_layers, read_adapter
from megdt_opt.models.twin.low_rank import first_factors
from megdt_opt.program.groups import Trunk, tail
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option, program
from megdt_opt.program.stages import Compute, Kind, Parallel, Send, Series, is_edge, leaves
from megdt_opt.scenario.adapters import steps_with_adapter, uses_adapter
from megdt_opt.scenario.groups import Group
from megdt_opt.scenario.offered import setting_of
from megdt_opt.scenario.options import OptionTable

LINK = {"downlink_efficiency": "4 bit/s/Hz", "uplink_efficiency": "4 bit/s/Hz"}


def cell(user: dict[str, Any] | None = None, device: dict[str, Any] | None = None, **more: Any) -> Scenario:
    own = {"name": "phone", "adapter": "foundry", **LINK, **(user or {})}
    own["device"] = {"profile": "twin-cpu", "stretch": 4.0, **(device or {})}
    edge = {"profile": "twin-cpu", "stretch": 2.0}
    fields = {"channel": {"downlink": "100 kHz", "uplink": "100 kHz"}, "edge": edge, "steps": 6, "cuts": (2, 4)}
    return Scenario(**{**fields, "users": [own], **more})


@pytest.fixture
def own_file(tmp_path: Path) -> str:
    path = tmp_path / "own.safetensors"
    factors = first_factors(1, torch.Generator().manual_seed(1))
    path.write_bytes(save(factors, {"denoiser_sha256": base_layers()[1]}))
    return str(path)


def test_exactly_the_steps_on_the_device_have_the_adapter() -> None:
    table = OptionTable.build(cell())
    for o, option in enumerate(table.options):
        parts = list(leaves(table.program(0, o)))
        loads = [leaf for leaf in parts if isinstance(leaf, Compute) and leaf.kind is Kind.ADAPT]
        own = [x for x in parts if isinstance(x, Compute) and x.kind is Kind.DENOISE and not is_edge(x.at)]
        assert [leaf.at for leaf in loads] == (["phone"] if own else []), option.name
        if own:
            assert parts.index(loads[0]) < parts.index(own[0])
    assert {o.mechanism for i, o in enumerate(table.options) if uses_adapter(table.program(0, i))} >= {
        "local", "SEU", "SEU-UE-first", "PEU",
    }  # fmt: skip


def test_nothing_that_is_sent_is_of_the_adapter() -> None:
    table = OptionTable.build(cell())
    plain = OptionTable.build(cell({"adapter": None}))
    for o in range(len(table.options)):
        own, theirs = ([leaf for leaf in leaves(t.program(0, o)) if isinstance(leaf, Send)] for t in (table, plain))
        assert own == theirs
        assert not any(tensor.name.startswith("adapt") for leaf in own for tensor in leaf.tensors)


def test_only_the_devices_branch_of_a_parallel_generation_loads_it() -> None:
    setting = setting_of(cell(), OptionTable.build(cell()).spec, 0)
    found = program(Option(mechanism="PEU", share=0.5, precision="fp32"), setting)
    (both,) = (stage for stage in found.stages if isinstance(stage, Parallel))
    assert [uses_adapter(branch) for branch in both.branches] == [False, True]


def test_its_loading_takes_time_and_its_weights_memory() -> None:
    with_it, without = OptionTable.build(cell()), OptionTable.build(cell({"adapter": None}))
    o = next(i for i, option in enumerate(with_it.options) if option.mechanism == "local")
    mine, theirs = with_it.terms(0, o), without.terms(0, o)
    assert mine is not None
    assert theirs is not None
    load_s = with_it.machines.devices[0].stage_s(Kind.ADAPT)
    assert mine.fixed_s == pytest.approx(theirs.fixed_s + load_s)
    held = with_it.costs(0, o).device_byte - without.costs(0, o).device_byte  # type: ignore[union-attr]
    assert held == read_adapter("foundry").resident_byte
    least = without.costs(0, o).device_byte  # type: ignore[union-attr]
    tight = OptionTable.build(cell(device={"memory": f"{least + 1000} B"}))
    closed = {
        option.mechanism for i, option in enumerate(tight.options) if "device memory" in str(tight.closed_by(0, i))
    }
    assert "local" in closed
    assert "centralised" not in closed


@pytest.mark.parametrize(
    ("user", "more", "said"),
    [
        ({"adapter": "fundry"}, {}, "users.phone.*adapter.*fundry.*foundry"),
        ({"adapter": "gone.safetensors"}, {}, "gone.safetensors"),
        ({"mechanisms": ("centralised",)}, {}, "users.phone.adapter.*no denoising step can run at the device"),
        ({"mechanisms": ("E2U",)}, {}, "users.phone.adapter.*no denoising step can run at the device"),
        ({"mechanisms": ("U2E", "centralised"), "senses": True}, {}, "no denoising step can run at the device"),
        (
            {"mechanisms": ("cooperative", "local")},
            {"groups": [{"members": ["phone", "other"], "host": "phone", "steps": [2], "d2d_rate": "1 Mbit/s"}]},
            "none of a group's host",
        ),
    ],
)
def test_an_adapter_that_would_not_be_used_is_refused(user: dict[str, Any], more: dict[str, Any], said: str) -> None:
    made = cell(user)
    if "groups" in more:
        users = (made.users[0], made.users[0].model_copy(update={"name": "other", "adapter": None}))
        made = made.model_copy(update={"users": users, "groups": (Group(**more["groups"][0]),)})
    with pytest.raises(InvalidInput, match=said):
        OptionTable.build(made)


def test_a_model_without_adapters_refuses_one() -> None:
    made = cell(model="sd15", edge={"profile": "sd15-cpu"}, steps=4, cuts=(2,))
    phone = made.users[0]
    own = phone.model_copy(update={"device": phone.device.model_copy(update={"profile": "sd15-cpu"})})
    with pytest.raises(InvalidInput, match="'sd15' takes no adapters.*'twin'"):
        OptionTable.build(made.model_copy(update={"users": (own,)}))


def test_an_adapter_of_the_users_own_is_open_where_its_quality_is_accepted(own_file: str) -> None:
    wishes = {"adapter": own_file, "mechanisms": ("local", "SEU")}
    with pytest.raises(Infeasible, match="pictures with the user's own adapter were never measured"):
        plan(cell(wishes))
    made = plan(cell(wishes, unmeasured_quality="accept"))
    assert any("was not measured" in note and own_file in note for note in made.notes)
    still = OptionTable.build(cell({"adapter": own_file}))
    open_ones = {option.mechanism for o, option in enumerate(still.options) if still.allowed[0, o]}
    assert open_ones == {"centralised", "E2U"}


def test_a_bundled_one_is_measured_and_the_plan_says_who_uses_it() -> None:
    made = plan(cell({"mechanisms": ("SEU",)}, cuts=(4,)))
    assert (
        "phone's adapter foundry stays on the device: used in 2 of 6 denoising steps, by none at the edge."
        in made.notes
    )
    left = plan(cell({"mechanisms": ("SEU", "E2U")}, {"stretch": 60.0}))
    assert any("foundry stays on the device: not used by this option" in note for note in left.notes)
    with pytest.raises(InvalidInput, match="unmeasured_quality"):
        OptionTable.build(cell(unmeasured_quality="accept"))


def test_devices_whose_profile_lacks_the_stage_are_told_so() -> None:
    table = OptionTable.build(cell())
    profile = table.profiles["twin-cpu"]
    lacking = replace(profile, cells=tuple(c for c in profile.cells if c.kind is not Kind.ADAPT))
    without = OptionTable.build(cell(), {"twin-cpu": lacking})
    o = next(i for i, option in enumerate(without.options) if option.mechanism == "local")
    assert any("not timed" in reason and "adapt" in reason for reason in without.closed_by(0, o))


def test_common_steps_of_a_group_are_made_without_anybodys_adapter() -> None:
    table = OptionTable.build(cell())
    lead = setting_of(table.scenario, table.spec, 0)
    for hosted in (False, True):
        assert not uses_adapter(Series(Trunk(lead=lead, steps=3, hosted=hosted).stages))
    mine = tail(Option(mechanism="shared-device", cut=3, precision="fp32"), lead)
    assert uses_adapter(mine)
    assert not uses_adapter(tail(Option(mechanism="shared-edge", cut=3, codec="raw"), lead))
    assert MECHANISM_REGISTRY.require("shared-device").grouped


def test_a_floor_on_the_steps_with_the_adapter_moves_the_cut_to_the_device() -> None:
    path = Path(__file__).parents[2] / "experiments" / "twin" / "own-cell.yaml"
    scenario = Scenario.load(path)
    made = plan(scenario)
    assert made.users[0].option.mechanism == "SEU"
    assert made.users[0].option.cut == 10
    free = scenario.model_copy(update={"users": (scenario.users[0].model_copy(update={"adapter_steps": 0}),)})
    assert plan(free).users[0].option.cut == 20
    table = OptionTable.build(scenario)
    for o in range(len(table.options)):
        too_few = steps_with_adapter(table.program(0, o)) < 10
        assert too_few == any("adapter steps" in reason for reason in table.closed_by(0, o)) or not table.allowed[0, o]


@pytest.mark.parametrize(("user", "said"), [({"adapter": None}, "without an adapter"), ({}, "at most 6 steps")])
def test_a_floor_on_steps_that_cannot_be_is_refused(user: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=f"adapter_steps.*{said}"):
        cell({**user, "adapter_steps": 7})


FLOOR = {"psnr_truth": "28 dB"}
"""Kept by bundled adapters where the edge makes at most about half of the steps (experiments/twin/adapters.md)."""


def open_to(user: dict[str, Any]) -> set[str]:
    """Options of 20 steps in fp32 that a floor against what should be shown leaves open."""
    asked = {"quality_min": FLOOR, "precisions": ["fp32"], "mechanisms": ["local", "E2U", "SEU", "SEU-UE-first"]}
    table = OptionTable.build(cell(asked | user, steps=20, cuts=(5, 10, 18), unmeasured_quality=None))
    return {option.name for o, option in enumerate(table.options) if table.allowed[0, o]}


def test_a_floor_is_compared_with_what_was_measured_with_adapters() -> None:
    assert open_to({}) == {"local", "SEU 5 fp32", "SEU 10 fp32"}


@pytest.mark.parametrize("metric", [{"psnr_truth": "25 dB"}, {"ssim_truth": 0.85}, {"read": 0.9}])
def test_steps_without_the_adapter_are_not_known_on_its_users_own_scenes(metric: dict[str, Any]) -> None:
    assert "E2U fp32" not in open_to({"quality_min": metric})
    assert "E2U fp32" in open_to({"quality_min": metric, "adapter": None})


def test_rows_with_adapters_are_of_those_that_were_measured(own_file: str) -> None:
    asked = {"quality_min": FLOOR, "adapter": own_file, "mechanisms": ["local"]}
    with pytest.raises(Infeasible, match="was never measured"):
        plan(cell(asked, steps=20, cuts=(10,), unmeasured_quality="accept"), compare=False)
