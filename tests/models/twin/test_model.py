"""The bundled model: stages, regions, sensing and bad input."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.sampling import SCHEDULERS
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, render
from megdt_opt.program.mechanisms import split_rows
from megdt_opt.program.samplers import HISTORY

STEPS = 6


def test_shapes_are_those_of_the_spec(model: TwinModel, request_states: dict[str, Tensor]) -> None:
    spec = model.spec
    conditioning = model.encode_prompt(request_states)
    assert {k: tuple(v.shape[1:]) for k, v in conditioning.items()} == spec.conditioning
    assert {k: tuple(v.shape[1:]) for k, v in request_states.items()} == spec.request
    state = model.start(0, scheduler="ddim", steps=4)
    assert tuple(state["latent"].shape) == (1, *spec.latent_shape)
    picture = model.decode(state["latent"])
    assert tuple(picture.shape) == (1, *spec.image_shape)
    assert picture.dtype == torch.uint8
    assert tuple(model.sense(picture).shape) == (1, *spec.latent_shape)
    assert set(spec.weight_byte) == {"encode_prompt", "denoise", "decode", "sense", "read_sketch"}


def test_the_conditioning_that_travels_is_small(model: TwinModel) -> None:
    values = sum(torch.Size(shape).numel() for shape in model.spec.conditioning.values())
    assert 4 * values <= 2048


def test_the_same_seed_gives_the_same_picture(model: TwinModel, request_states: dict[str, Tensor]) -> None:
    one = {"state": request_states["state"][:1]}
    first, latent = model.chain(one, 5, "dpmpp", 5)
    again, _ = model.chain(one, 5, "dpmpp", 5)
    other, _ = model.chain(one, 6, "dpmpp", 5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first, model.decode(latent))


@pytest.mark.parametrize("rows", [None, (4, 12)])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_cut_changes_no_bit(
    model: TwinModel, request_states: dict[str, Tensor], scheduler: str, rows: tuple[int, int] | None
) -> None:
    conditioning = model.encode_prompt({"state": request_states["state"][:1]})
    chain: dict[str, Any] = {"scheduler": scheduler, "steps": STEPS, "rows": rows}
    begin = model.start(11, **chain)
    whole = model.denoise(begin, conditioning, first=0, count=STEPS, **chain)
    assert set(whole) == {"latent"}
    for cut in range(STEPS + 1):
        before = model.denoise(begin, conditioning, first=0, count=cut, **chain)
        assert (HISTORY in before) == (scheduler == "dpmpp" and 0 < cut < STEPS)
        arrived = load(save(before))
        after = model.denoise(arrived, conditioning, first=cut, count=STEPS - cut, **chain)
        assert torch.equal(after["latent"], whole["latent"]), cut


def test_step_by_step_changes_no_bit(model: TwinModel, request_states: dict[str, Tensor]) -> None:
    conditioning = model.encode_prompt({"state": request_states["state"][:2]})
    start = model.start(3, scheduler="dpmpp", steps=STEPS)["latent"].expand(2, -1, -1, -1).contiguous()
    state = {"latent": start}
    for i in range(STEPS):
        state = model.denoise(state, conditioning, scheduler="dpmpp", steps=STEPS, first=i, count=1)
    whole = model.denoise({"latent": start}, conditioning, scheduler="dpmpp", steps=STEPS, first=0, count=STEPS)
    assert torch.equal(state["latent"], whole["latent"])


def test_sides_draw_the_same_noise(model: TwinModel) -> None:
    whole = model.start(9, scheduler="euler", steps=8)["latent"]
    band = model.start(9, scheduler="euler", steps=8, rows=(6, 14))["latent"]
    assert torch.equal(band, whole[:, :, 6:14])


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp"])
def test_a_sensed_picture_survives_its_regeneration(
    model: TwinModel, scenes: list[Scene], request_states: dict[str, Tensor], scheduler: str
) -> None:
    """Noised to a late step and denoised again, the latent comes back near to where it was."""
    sensed = model.sense(torch.from_numpy(render(scenes[0]))[None])
    chain: dict[str, Any] = {"scheduler": scheduler, "steps": 10}
    conditioning = model.encode_prompt({"state": request_states["state"][:1]})
    errors = []
    for first in (10, 8, 4):
        state = model.start_from(sensed, 2, first=first, **chain)
        assert set(state) == {"latent"}
        end = model.denoise(state, conditioning, first=first, count=10 - first, **chain)["latent"]
        errors.append(float((end - sensed).square().mean().sqrt()))
    assert errors[0] == 0.0
    assert errors[1] < errors[2] < 0.6


def test_fusing_parts_of_one_latent_gives_it_back(model: TwinModel) -> None:
    latent = model.start(1, scheduler="ddim", steps=4)["latent"]
    for share in (0.25, 0.5, 0.75):
        a, b = split_rows(model.spec, share, 4)
        fused = model.fuse(latent[:, :, a[0] : a[1]], a, latent[:, :, b[0] : b[1]], b)
        assert torch.allclose(fused, latent, atol=1e-6)


def test_the_overlap_is_blended_linearly(model: TwinModel) -> None:
    fused = model.fuse(torch.zeros(1, 4, 10, 16), (0, 10), torch.ones(1, 4, 10, 16), (6, 16))
    assert fused[0, 0, :, 0].tolist() == [0.0] * 6 + [0.125, 0.375, 0.625, 0.875] + [1.0] * 6


def test_bands_of_one_side_may_touch(model: TwinModel) -> None:
    fused = model.fuse(torch.zeros(1, 4, 8, 16), (0, 8), torch.ones(1, 4, 8, 16), (8, 16))
    assert fused[0, 0, :, 0].tolist() == [0.0] * 8 + [1.0] * 8


@pytest.mark.parametrize(
    ("rows_a", "rows_b", "height_a"),
    [((0, 8), (10, 16), 8), ((2, 10), (6, 16), 8), ((0, 10), (6, 16), 8)],
)
def test_bands_that_do_not_join_are_refused(
    model: TwinModel, rows_a: tuple[int, int], rows_b: tuple[int, int], height_a: int
) -> None:
    b = torch.zeros(1, 4, rows_b[1] - rows_b[0], 16)
    with pytest.raises(InvalidInput):
        model.fuse(torch.zeros(1, 4, height_a, 16), rows_a, b, rows_b)


@pytest.mark.parametrize("rows", [(1, 9), (8, 8), (0, 18), (-2, 6)])
def test_odd_regions_are_refused(model: TwinModel, rows: tuple[int, int]) -> None:
    with pytest.raises(InvalidInput, match="rows"):
        model.start(0, scheduler="ddim", steps=4, rows=rows)


def test_bad_tensors_are_named(model: TwinModel, request_states: dict[str, Tensor]) -> None:
    with pytest.raises(InvalidInput, match="state"):
        model.encode_prompt({})
    with pytest.raises(InvalidInput, match="state"):
        model.encode_prompt({"state": torch.zeros(1, 4, 19)})
    with pytest.raises(InvalidInput, match="float32"):
        model.encode_prompt({"state": request_states["state"].double()})
    with pytest.raises(InvalidInput, match="finite"):
        model.decode(torch.full((1, 4, 16, 16), float("nan")))
    with pytest.raises(InvalidInput, match="uint8"):
        model.sense(torch.zeros(1, 64, 64, 3))
    with pytest.raises(InvalidInput, match="seed"):
        model.start(-1, scheduler="ddim", steps=4)
    tokens = model.encode_prompt(request_states)
    with pytest.raises(InvalidInput, match="batch"):
        model.denoise(model.start(0, scheduler="ddim", steps=4), tokens, scheduler="ddim", steps=4, first=0, count=1)
    with pytest.raises(InvalidInput, match="latent"):
        model.denoise({}, tokens, scheduler="ddim", steps=4, first=0, count=1)
