"""What a scenario says to be shown is used by its model, or refused by its field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from megdt_opt import InvalidInput, Scenario, TimingProfile
from megdt_opt.models.registry import find_spec
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.scenario.options import OptionTable


def table(model: str, spec: ModelSpec | None = None, user: dict[str, Any] | None = None, **more: Any) -> OptionTable:
    base = TimingProfile.bundled("twin-cpu" if model == "twin" else "sd15-cpu")
    one = {"name": "phone", "downlink_efficiency": "4 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz"}
    made = Scenario(
        model=model, edge={"profile": "here"}, channel={"downlink": "1 MHz", "uplink": "1 MHz"},
        users=[{**one, "device": {"profile": "here"}, **(user or {})}], **{"steps": 4, "cuts": (1,), **more},
    )  # fmt: skip
    shapes = {} if spec is None else {"latent_shape": spec.latent_shape, "image_shape": spec.image_shape}
    return OptionTable.build(made, {"here": replace(base, provenance=replace(base.provenance, **shapes))}, spec=spec)


@pytest.mark.parametrize(
    ("field", "value"), [("prompt", "a red car"), ("prompt", "two robots"), ("scene", 3), ("seed", 7)]
)
def test_a_model_that_is_planned_by_its_timings_alone_shows_nothing(field: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=f"users.phone: {field}: found.*'sd15' is planned by its timings alone"):
        table("sd15", user={field: value})


@pytest.mark.parametrize("scene", [{"objects": []}, {"seed": 3}, {"room": "lab"}])
def test_a_scene_of_a_pipeline_is_refused_when_it_is_planned(scene: dict[str, Any]) -> None:
    pipeline = replace(find_spec("sd15"), source="/nowhere/sd15")
    with pytest.raises(InvalidInput, match=r"users.phone: scene.*a pipeline shows prompts, not scenes"):
        table("sd15", pipeline, user={"scene": scene})


def test_a_number_that_draws_a_pipelines_example_is_taken() -> None:
    assert table("sd15", replace(find_spec("sd15"), source="/nowhere/sd15"), user={"scene": 3, "seed": 7}).options


@pytest.mark.parametrize("scene", [{"objects": "none"}, {"unknown": 1}, {"room": 5}])
def test_a_scene_that_the_twin_cannot_show_is_refused_when_it_is_planned(scene: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="users.phone"):
        table("twin", user={"scene": scene})


@pytest.mark.parametrize(("field", "value"), [("peu_shares", (0.5,)), ("overlap_rows", 8), ("peu_shares", ())])
def test_settings_of_regions_are_refused_where_the_architecture_makes_none(field: str, value: object) -> None:
    without = replace(find_spec("sd15"), region_multiple=0)
    with pytest.raises(InvalidInput, match=f"{field}: found.*whose architecture makes no regions"):
        table("sd15", without, **{field: value})


# ---- numbers of steps


@pytest.mark.parametrize(
    ("model", "scheduler", "steps", "near"),
    [
        ("sd15", "ddim", 1000, "next 999"),
        ("sd15", "ddim_eta0.5", 1000, "next 999"),
        ("sd15", "dpmpp", 999, "next 998"),
        ("sd15", "lcm", 51, "next 50"),
        ("sd15", "pndm", 2, "next 1 and 3"),
        ("twin", "ddim", 61, "next 60 and 62"),
        ("twin", "dpmpp", 1000, None),
        ("twin", "euler", 122, "next 120 and 123"),
    ],
)
def test_more_steps_than_a_sampler_makes_are_refused_when_they_are_planned(
    model: str, scheduler: str, steps: int, near: str | None
) -> None:
    """One step too many for each."""
    if near is None:
        assert table(model, scheduler=scheduler, steps=steps, cuts=(1,)).options
        return
    with pytest.raises(InvalidInput, match=f"^steps: found {steps}; expected a number.*{near}"):
        table(model, scheduler=scheduler, steps=steps)
