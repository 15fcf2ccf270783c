"""Sketches of the twin: layouts are read off pictures, coded, and pictures are made of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput, MalformedMessage
from megdt_opt.models.registry import find_spec
from megdt_opt.models.requests import reference_byte
from megdt_opt.models.sketches import as_tensor, encode_map, sketching
from megdt_opt.models.split_model import SketchModel
from megdt_opt.models.twin.catalogue import COLOURS, FLOORS
from megdt_opt.models.twin.detector import detect_all, match
from megdt_opt.models.twin.layout import PALETTE, decode_layout, drawn, encode_layout, layout_of
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, render, scene_state

STEPS = 8
HOW = {"scheduler": "ddim", "steps": STEPS}


def _share(pictures: Tensor, scenes: list[Scene]) -> float:
    found = sum(match(d, s) for d, s in zip(detect_all(pictures), scenes, strict=True))
    return found / sum(len(s.objects) for s in scenes)


def test_a_layout_shows_floor_colours_and_objects(scenes: list[Scene]) -> None:
    layouts = [layout_of(render(scene)) for scene in scenes]
    for layout, scene in zip(layouts, scenes, strict=True):
        assert {tuple(PALETTE)[n] for n in np.unique(layout)} & set(FLOORS) == {scene.floor}
        painted = {tuple(PALETTE)[n] for n in np.unique(layout)} & set(COLOURS)
        assert painted >= {thing.colour for thing in scene.objects}
        assert np.array_equal(decode_layout(encode_layout(render(scene))), layout)
    assert _share(torch.from_numpy(np.stack([drawn(layout) for layout in layouts])), scenes) >= 0.97


def test_a_coded_layout_is_shorter_than_any_coded_picture(scenes: list[Scene]) -> None:
    for scene in scenes:
        request = {"state": scene_state(scene)[None]}
        sketch, jpeg = (reference_byte("twin", request, codec) for codec in ("sketch", "jpeg"))
        assert 0 < 3 * (sketch or 0) < (jpeg or 0)


@pytest.mark.parametrize("down", [False, True], ids=["of the camera's picture", "of a generated picture"])
def test_objects_are_read_through_a_sketch(model: TwinModel, scenes: list[Scene], down: bool) -> None:
    scenes = scenes[:12]
    sources = torch.from_numpy(np.stack([render(scene) for scene in scenes]))
    if down:
        state = torch.from_numpy(np.stack([scene_state(scene) for scene in scenes]))
        sources = model.chain({"state": state}, 3, **HOW)[0]
    guides = [model.read_sketch(model.sketch(picture[None])) for picture in sources]
    given = {name: torch.cat([guide[name] for guide in guides]) for name in guides[0]}
    noise = {"latent": model.start(5, **HOW)["latent"].expand(len(scenes), -1, -1, -1).contiguous()}
    latent = model.denoise(noise, given, first=0, count=STEPS, **HOW)["latent"]
    assert _share(model.decode(latent), scenes) >= 0.90


def test_a_chain_by_sketch_is_the_same_wherever_it_is_cut(model: TwinModel, scenes: list[Scene]) -> None:
    guide = model.read_sketch(model.sketch(torch.from_numpy(render(scenes[0]))[None]))
    begin = model.start(1, **HOW)
    whole = model.denoise(begin, guide, first=0, count=STEPS, **HOW)["latent"]
    part = model.denoise(begin, guide, first=0, count=3, **HOW)
    assert torch.equal(model.denoise(part, guide, first=3, count=STEPS - 3, **HOW)["latent"], whole)


def test_bytes_that_are_no_layout_are_refused(model: TwinModel) -> None:
    beyond = np.full((64, 64), len(PALETTE), dtype=np.uint8)
    for data in (b"", b"a picture", encode_map(beyond, 4), encode_map(beyond[:32], 4)):
        with pytest.raises(MalformedMessage):
            model.read_sketch(as_tensor(data) if data else torch.zeros(0, dtype=torch.uint8))


def test_a_model_without_a_reader_is_refused_by_name(model: TwinModel) -> None:
    assert isinstance(model, SketchModel)
    assert sketching(model) is model
    plain = TwinModel(
        replace(model.spec, sketch=""), model._tokens, model.denoiser, model._autoencoder,
        model._mean[:, 0, 0], model._std[:, 0, 0],
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="'twin'.*generator from sketches"):
        sketching(plain)
    with pytest.raises(InvalidInput, match="'twin'.*reader of layouts"):
        plain.read_sketch(torch.zeros(3, dtype=torch.uint8))
    assert (find_spec("twin").sketch, find_spec("sd15").sketch) == ("alone", "")
