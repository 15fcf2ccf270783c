"""Pipelines with a ControlNet: pictures from sketches are diffusers' own, and what does not fit is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import tiny_pipelines
import torch
from PIL import Image
from pipeline_oracle import STEPS, WORDS, End, Family, picture_for

from megdt_opt import InvalidInput, Scenario, calibrate
from megdt_opt.models.diffusers.model import DiffusersModel
from megdt_opt.models.planned import load_planned
from megdt_opt.models.registry import find_spec, load_model
from megdt_opt.models.sketches import edges_of
from megdt_opt.program.mechanisms import Option
from megdt_opt.scenario.options import OptionTable

pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' and transformers' own
SEED = 5


def save_controlnet(folder: Path, pipeline: Path, **more: Any) -> Path:
    """A ControlNet with random weights for a tiny pipeline; none of its outputs is zero."""
    torch.manual_seed(7)
    unet = diffusers.UNet2DConditionModel.from_pretrained(pipeline / "unet")
    how = {"conditioning_embedding_out_channels": (4, 8), "conditioning_channels": 3, **more}
    same = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim", "down_block_types",
            "attention_head_dim", "norm_num_groups")  # fmt: skip
    made = diffusers.ControlNetModel(**{**{name: unet.config[name] for name in same}, **how})
    for value in made.parameters():
        torch.nn.init.normal_(value, std=0.1)
    made.save_pretrained(folder)
    return folder


class Controlled(Family):
    """A tiny pipeline with a ControlNet, ours and diffusers'."""

    def __init__(self, base: Path, name: str = "sd1") -> None:
        super().__init__(name, base / name)
        self.folder, self.controlnet = base / name, save_controlnet(base / "edges", base / name)
        self.model = DiffusersModel.from_pretrained(self.folder, controlnet=str(self.controlnet))
        self.spec = self.model.spec
        parts = {k: v for k, v in self.pipeline.components.items() if k not in ("image_encoder",)}
        self.controlled: Any = diffusers.StableDiffusionControlNetPipeline(
            **parts,
            controlnet=diffusers.ControlNetModel.from_pretrained(self.controlnet),
            requires_safety_checker=False,
        )
        self.controlled.set_progress_bar_config(disable=True)

    def theirs_by(self, picture: np.ndarray, sampler: str) -> End:
        """What diffusers' own pipeline makes of the prompt and the edges of a picture."""
        shown = Image.fromarray(np.repeat(255 * edges_of(picture[0])[..., None], 3, axis=-1).astype(np.uint8))
        return self._theirs(self._with(self.controlled, sampler), sampler, SEED, STEPS, image=shown)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Controlled]:
    base = tmp_path_factory.mktemp("controlled")
    return cache(lambda: Controlled(base))


@pytest.mark.long_list("sampler")
@pytest.mark.parametrize("sampler", ["pndm", "ddim", "euler", "dpmpp", "euler_ancestral", "dpmpp_2s"])
def test_pictures_are_those_of_diffusers_own_pipeline(family: Callable[[], Controlled], sampler: str) -> None:
    here, picture = family(), picture_for(family())
    assert 0 < edges_of(picture[0]).mean() < 0.5
    theirs = here.theirs_by(picture, sampler)
    ours, sent = here.ours(Option(mechanism="U2E-sketch", codec="raw"), sampler, SEED, picture=picture)
    assert ours.equals(theirs)
    assert any("sketch" in label for label in sent)
    assert not np.array_equal(theirs.picture, here.theirs(sampler, SEED).picture)
    first, _ = here.ours(Option(mechanism="local"), sampler, SEED)
    down, _ = here.ours(Option(mechanism="E2U-sketch"), sampler, SEED)
    assert np.array_equal(down.picture, here.theirs_by(first.picture, sampler).picture)


def test_the_spec_says_so_and_loads_again(family: Callable[[], Controlled]) -> None:
    here = family()
    spec = find_spec(str(here.folder), controlnet=str(here.controlnet))
    assert (spec.name, spec.sketch) == ("sd1+edges", "prompt")
    assert spec.controlnet == str(here.controlnet.resolve())
    assert spec == here.spec
    count = sum(v.numel() for v in diffusers.ControlNetModel.from_pretrained(here.controlnet).parameters())
    assert spec.weight_byte["read_sketch"] == 4 * count
    assert load_planned(spec).spec == spec


def test_a_scenario_plans_them_with_a_profile_of_both(family: Callable[[], Controlled]) -> None:
    here = family()
    model = load_model(str(here.folder), controlnet=str(here.controlnet))
    profile = calibrate(model, batches=(1,), held_out_batches=(), rows=(), samples=2, warmup=1)
    assert {"sketch", "read_sketch", "denoise_sketch"} <= set(profile.kinds)
    user = {"name": "u", "device": {"profile": "own", "stretch": 4.0}, "downlink_efficiency": "4 bit/s/Hz",
            "uplink_efficiency": "4 bit/s/Hz", "mechanisms": ["E2U-sketch", "local"], "prompt": WORDS}  # fmt: skip
    given: dict[str, Any] = {
        "model": str(here.folder), "controlnet": str(here.controlnet), "steps": 4, "scheduler": "ddim",
        "edge": {"profile": "own"}, "channel": {"downlink": "1 MHz", "uplink": "1 MHz"}, "users": [user],
    }  # fmt: skip
    for more, kept in (({}, {"local"}), ({"unmeasured_quality": "accept"}, {"local", "E2U-sketch"})):
        table = OptionTable.build(Scenario(**given, **more), {"own": profile})
        open_ones = {option.mechanism for o, option in enumerate(table.options) if table.allowed[0, o]}
        assert open_ones == kept


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cross_attention_dim": 8}, "field 'cross_attention_dim'"),
        ({"block_out_channels": (16, 16)}, "field 'block_out_channels'"),
        ({"conditioning_embedding_out_channels": (4, 8, 8)}, "field 'conditioning_embedding_out_channels'"),
        ({"conditioning_channels": 1}, "field 'conditioning_channels'"),
    ],
)
def test_a_controlnet_that_does_not_fit_is_refused(
    family: Callable[[], Controlled], tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    other = save_controlnet(tmp_path / "other", family().folder, **changed)
    with pytest.raises(InvalidInput, match=said):
        find_spec(str(family().folder), controlnet=str(other))
    with pytest.raises(InvalidInput, match=said):
        load_model(str(family().folder), controlnet=str(other))


def test_what_is_no_controlnet_or_has_none_is_refused(family: Callable[[], Controlled], tmp_path: Path) -> None:
    here = family()
    with pytest.raises(InvalidInput, match="field '_class_name'.*ControlNetModel"):
        find_spec(str(here.folder), controlnet=str(here.folder / "vae"))
    with pytest.raises(InvalidInput, match="controlnet.*'twin' is no pipeline's folder"):
        find_spec("twin", controlnet=str(here.controlnet))
    with pytest.raises(InvalidInput, match="controlnet.*none with random weights"):
        load_model(str(here.folder), weights="random", controlnet=str(here.controlnet))
    large = tiny_pipelines.save(tmp_path / "sdxl", "sdxl")
    with pytest.raises(InvalidInput, match="controlnet.*Stable Diffusion 1 and 2 are supported"):
        find_spec(str(large), controlnet=str(here.controlnet))
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(here.spec.to_dict()))
    assert find_spec(str(file)).sketch == "prompt"
    with pytest.raises(InvalidInput, match="controlnet.*none beside"):
        find_spec(str(file), controlnet=str(here.controlnet))
