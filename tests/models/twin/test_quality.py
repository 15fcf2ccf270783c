"""What the pictures show: the detector reads the objects that were asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.twin.detector import detect, detect_all, match, score
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, SceneObject, render
from megdt_opt.program.mechanisms import split_rows

STEPS = 8


def _share(pictures: Tensor, scenes: list[Scene]) -> float:
    found = sum(match(d, s) for d, s in zip(detect_all(pictures), scenes, strict=True))
    return found / sum(len(s.objects) for s in scenes)


def _psnr_db(a: Tensor, b: Tensor) -> float:
    return float(-10 * torch.log10(((a.double() - b.double()) / 255).square().mean()))


def _truth(scenes: list[Scene]) -> Tensor:
    return torch.from_numpy(np.stack([render(s) for s in scenes]))


def test_renders_are_read(scenes: list[Scene]) -> None:
    assert _share(_truth(scenes), scenes) >= 0.97
    assert score(render(scenes[0]), scenes[0])[1] == len(scenes[0].objects)


def test_the_autoencoder_keeps_the_picture(model: TwinModel, scenes: list[Scene]) -> None:
    truth = _truth(scenes)
    coded = model.decode(model.sense(truth))
    assert _share(coded, scenes) >= 0.95
    assert _psnr_db(coded, truth) >= 31.0


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp"])
def test_generated_objects_are_read(
    model: TwinModel, scenes: list[Scene], request_states: dict[str, Tensor], scheduler: str
) -> None:
    pictures, _ = model.chain(request_states, 42, scheduler, STEPS)
    assert _share(pictures, scenes) >= 0.90
    assert _psnr_db(pictures, _truth(scenes)) >= 27.0
    read = sum(len(d) for d in detect_all(pictures))
    assert read <= 1.1 * sum(len(s.objects) for s in scenes), "objects were read that nobody asked for"


@pytest.fixture(scope="module")
def unsplit(model: TwinModel, request_states: dict[str, Tensor]) -> Tensor:
    """Pictures of the first eight scenes, made on one side."""
    return model.chain({"state": request_states["state"][:8]}, 3, "ddim", STEPS)[0]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_objects_of_parallel_generation_are_read(
    model: TwinModel, scenes: list[Scene], request_states: dict[str, Tensor], unsplit: Tensor, share: float
) -> None:
    few, states = scenes[:8], request_states["state"][:8]
    conditioning = model.encode_prompt({"state": states})
    rows = split_rows(model.spec, share, 4)
    parts = []
    for band in rows:
        begin = model.start(3, scheduler="ddim", steps=STEPS, rows=band)["latent"].expand(8, -1, -1, -1)
        end = model.denoise(
            {"latent": begin}, conditioning, scheduler="ddim", steps=STEPS, first=0, count=STEPS, rows=band
        )
        parts.append(end["latent"])
    picture = model.decode(model.fuse(parts[0], rows[0], parts[1], rows[1]))
    assert _share(picture, few) >= 0.90
    assert _psnr_db(picture, unsplit) >= 24.0


def test_the_score_is_strict() -> None:
    spot = SceneObject(kind="agv", colour="blue", x_px=30.0, y_px=30.0)
    scene = Scene(objects=(spot,))
    picture = render(scene)
    assert score(picture, scene) == (1, 1)
    for wrong in (replace(spot, colour="red"), replace(spot, kind="pallet"), replace(spot, x_px=34.0)):
        assert score(picture, Scene(objects=(wrong,))) == (0, 1)


def test_a_wrong_picture_is_refused() -> None:
    with pytest.raises(InvalidInput, match="image"):
        detect(np.zeros((32, 32, 3), dtype=np.uint8))
    with pytest.raises(InvalidInput, match="image"):
        detect(np.zeros((64, 64, 3), dtype=np.float32))
