"""A device with a refiner goes on from the hand-over: planned, executed, and refused where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny_pipelines

from megdt_opt import Infeasible, InvalidInput, Plan, ProfileError, Scenario, TimingProfile, calibrate, execute, plan
from megdt_opt.models.planned import PlannedModel
from megdt_opt.models.registry import load_model
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import planned_models
from megdt_opt.trials.pictures import judge_pictures

Both = tuple[str, str, dict[str, TimingProfile]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Both]:
    """The base's spec file, the refiner's folder, and a profile of each."""
    at = tmp_path_factory.mktemp("refined")

    @cache
    def made() -> Both:
        profiles = {}
        for name in ("sdxl", "sdxl-refiner"):
            model = load_model(str(tiny_pipelines.save(at / name, name)), guidance=5.0)
            kinds = ["encode_prompt", "denoise", "decode"]
            profiles[name] = calibrate(
                model, kinds=kinds, batches=(1,), held_out_batches=(), rows=(), samples=2, warmup=1
            )
            (at / f"{name}.spec.json").write_text(json.dumps(model.spec.to_dict()))
        return str(at / "sdxl.spec.json"), str(at / "sdxl-refiner"), profiles

    return made


def scenario(base: str, refiner: str, device: dict[str, Any] | None = None, **more: Any) -> Scenario:
    user = {"name": "phone", "downlink_efficiency": "4 bit/s/Hz", "uplink_efficiency": "4 bit/s/Hz"}
    if base.endswith(".json"):
        user["prompt"] = "a red car"
    own = {"profile": "sdxl-refiner", "stretch": 8.0, "refiner": refiner, **(device or {})}
    return Scenario(
        **{"model": base, "steps": 5, "cuts": (3,), "scheduler": "euler", "edge": {"profile": "sdxl", "stretch": 4.0},
           "channel": {"downlink": "400 kHz", "uplink": "400 kHz"}, "users": [{**user, "device": own}], **more},
    )  # fmt: skip


def test_only_hand_overs_to_the_refiner_are_open(both: Callable[[], Both]) -> None:
    base, refiner, profiles = both()
    table = OptionTable.build(scenario(base, refiner), profiles)
    open_ones = {option.name for o, option in enumerate(table.options) if table.allowed[0, o]}
    assert open_ones == {"SEU 3 fp32"}
    assert table.alone(0)[0] is None
    assert "refiner" in table.alone(0)[1][0]
    assert planned_models(table)["phone"].refiner == refiner
    assert planned_models(table)["edge"].refiner is None
    loaded = PlannedModel.from_dict(planned_models(table)["phone"].to_dict()).load()
    assert loaded.spec.conditioning["tokens"] != table.spec.conditioning["tokens"]
    made = plan(scenario(base, refiner), profiles)
    assert any("goes on from the hand-over with" in note and "a refiner" in note for note in made.notes)
    assert made.users[0].stages[-1].duration_s == pytest.approx(8 * profiles["sdxl-refiner"].stage_s("decode"))


@pytest.mark.parametrize(
    ("device", "more", "said"),
    [
        ({}, {"scheduler": "dpmpp"}, "refiner.*none with 'dpmpp'"),
        ({}, {"scheduler": "euler_ancestral"}, "refiner.*none with 'euler_ancestral'"),
        ({}, {"scheduler": "pndm"}, "refiner.*none with 'pndm'"),
        ({"decoder": "small"}, {}, "decoder.*none beside a refiner"),
        ({}, {"model": "sdxl"}, "refiner.*'sdxl' is no pipeline's folder"),
    ],
)
def test_a_refiner_that_cannot_go_on_is_refused(
    device: dict[str, Any], more: dict[str, Any], said: str, both: Callable[[], Both]
) -> None:
    base, refiner, profiles = both()
    large = {
        name: replace(
            one,
            model="sdxl",
            provenance=replace(one.provenance, latent_shape=(4, 128, 128), image_shape=(1024, 1024, 3)),
        )
        for name, one in profiles.items()
    }
    given, named = (large if "model" in more else profiles), dict(more)
    with pytest.raises(InvalidInput, match=said):
        OptionTable.build(scenario(named.pop("model", base), refiner, device, **named), given)


def test_the_base_models_profile_is_none_of_the_refiner(both: Callable[[], Both]) -> None:
    base, refiner, profiles = both()
    with pytest.raises(ProfileError, match="user phone.*model 'sdxl'.*one of model 'sdxl-refiner'"):
        OptionTable.build(scenario(base, refiner, {"profile": "sdxl"}), {"sdxl": profiles["sdxl"]})
    local = scenario(base, refiner).model_dump(mode="json", exclude_none=True)
    local["users"][0]["mechanisms"] = ["local"]
    alone = Scenario(**local)
    with pytest.raises(Infeasible, match="refiner: the device makes the steps behind a hand-over"):
        plan(alone, profiles)


@pytest.mark.slow
def test_a_refined_generation_is_executed_by_the_plans_file(both: Callable[[], Both], tmp_path: Path) -> None:
    base, refiner, profiles = both()
    plan(scenario(base, refiner), profiles, compare=False).save(tmp_path / "plan.json")
    done = execute(tmp_path / "plan.json", all_or_nothing=True, start_timeout_s=900)
    again = Plan.load(tmp_path / "plan.json")
    (picture,) = judge_pictures(again.table, again.users, done.images)
    assert picture.identical
    assert picture.option == "SEU 3 fp32"
