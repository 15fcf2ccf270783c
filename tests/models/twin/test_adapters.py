"""Adapters of the twin: files that are read with care, looks of their users' cells, and what merging changes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from megdt_opt.errors import InvalidInput
from megdt_opt.models import registry
from megdt_opt.models.planned import PlannedModel, example_adapted, with_adapter
from megdt_opt.models.registry import find_spec, load_model
from megdt_opt.models.twin import adapters
from megdt_opt.models.twin.adapters import base_layers, bundled_adapters, factor_shapes, read_adapter
from megdt_opt.models.twin.looks import PLAIN, Look
from megdt_opt.models.twin.low_rank import changed, first_factors
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import random_scene, render, scene_state
from megdt_opt.models.twin.worlds import WORLDS

DIGEST = base_layers()[1]


def own_file(path: Path, rank: int = 2, digest: str = DIGEST, **change: torch.Tensor) -> str:
    factors = first_factors(rank, torch.Generator().manual_seed(1)) | change
    path.write_bytes(save(factors, {"denoiser_sha256": digest}))
    return str(path)


@pytest.fixture(scope="module")
def twin() -> TwinModel:
    return TwinModel.load()


def test_the_bundled_ones_are_small_and_as_listed() -> None:
    listed = bundled_adapters()
    assert set(listed) == set(WORLDS)
    assert len(listed) >= 5
    assert sum(one["byte"] for one in listed.values()) <= 1_500_000
    for name, facts in listed.items():
        found = read_adapter(name)
        assert found.sha256 == facts["sha256"]
        assert found.factors.keys() == factor_shapes(base_layers()[0], found.rank).keys()


def test_layers_of_the_list_are_those_of_the_network(twin: TwinModel) -> None:
    modules = {
        name: (tuple(layer.weight.shape), layer.bias is not None)
        for name, layer in twin.denoiser.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }
    assert modules == dict(base_layers()[0])


def test_factors_that_are_zero_change_no_bit(twin: TwinModel, tmp_path: Path) -> None:
    own = with_adapter(twin, own_file(tmp_path / "own.safetensors")).adapted()
    state, tokens = twin.start(3, scheduler="ddim", steps=4), torch.zeros(1, 5, 69)
    how = {"scheduler": "ddim", "steps": 4, "first": 0, "count": 1}
    mine, theirs = (m.denoise(state, {"tokens": tokens}, **how)["latent"] for m in (own, twin))
    assert torch.equal(mine, theirs)


def test_merging_adds_the_products_and_leaves_the_base_alone(twin: TwinModel) -> None:
    before = {name: value.clone() for name, value in twin.denoiser.state_dict().items()}
    own = with_adapter(twin, "workshop").adapted()
    factors = read_adapter("workshop").factors
    name = "unet.mid_block.resnets.0.conv1"
    product = factors[f"{name}.up"].astype(float) @ factors[f"{name}.down"].astype(float)
    wanted = before[f"{name}.weight"].double() + torch.from_numpy(product).reshape(96, 96, 3, 3)
    assert torch.allclose(own.denoiser.state_dict()[f"{name}.weight"].double(), wanted, atol=1e-5)  # type: ignore[attr-defined]
    after = twin.denoiser.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert changed(twin.denoiser, {n: torch.from_numpy(v) for n, v in factors.items()}).keys() <= before.keys()


def _cut(data: bytes) -> bytes:
    return data[:-100]


def _no_header(data: bytes) -> bytes:
    return b"\xff" * 64


def _no_dictionary(data: bytes) -> bytes:
    return struct.pack("<Q", 2) + b"[]"


def _without_a_layer(data: bytes) -> bytes:
    kept = {name: value for name, value in load(data).items() if not name.startswith("unet.conv_in.up")}
    return save(kept, {"denoiser_sha256": DIGEST})


def _another_layer(data: bytes) -> bytes:
    return save({**load(data), "unet.more.up": torch.zeros(4, 2)}, {"denoiser_sha256": DIGEST})


def _other_shape(data: bytes) -> bytes:
    return save({**load(data), "unet.conv_in.up": torch.zeros(40, 2)}, {"denoiser_sha256": DIGEST})


def _two_ranks(data: bytes) -> bytes:
    return save({**load(data), "unet.conv_in.down": torch.zeros(3, 324)}, {"denoiser_sha256": DIGEST})


def _not_finite(data: bytes) -> bytes:
    return save({**load(data), "unet.conv_in.up": torch.full((48, 2), torch.nan)}, {"denoiser_sha256": DIGEST})


def _whole_numbers(data: bytes) -> bytes:
    return save({**load(data), "unet.conv_in.up": torch.ones(48, 2, dtype=torch.int32)}, {"denoiser_sha256": DIGEST})


def _other_model(data: bytes) -> bytes:
    return save(load(data), {"denoiser_sha256": "0" * 64})


def _no_model(data: bytes) -> bytes:
    return save(load(data))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_cut, "a safetensors file"),
        (_no_header, "a safetensors file"),
        (_no_dictionary, "a safetensors file"),
        (_without_a_layer, "unet.conv_in.up"),
        (_another_layer, "unet.more.up, shape"),
        (_other_shape, r"unet.conv_in.up.*expected shape \(48, 2\)"),
        (_two_ranks, "one rank"),
        (_not_finite, "finite values"),
        (_whole_numbers, "finite values"),
        (_other_model, "denoiser 000000000000"),
        (_no_model, "denoiser none"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_cannot_be_used_is_refused(spoil: Callable[[bytes], bytes], said: str, tmp_path: Path) -> None:
    path = Path(own_file(tmp_path / "own.safetensors"))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(InvalidInput, match=said):
        read_adapter(str(path))


def test_a_missing_file_an_unknown_name_and_another_digest_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.safetensors"):
        read_adapter(str(tmp_path / "gone.safetensors"))
    with pytest.raises(InvalidInput, match="foundry"):
        read_adapter("fundry")
    path = own_file(tmp_path / "own.safetensors")
    with pytest.raises(InvalidInput, match="planned with"):
        read_adapter(path, "0" * 64)
    (tmp_path / "huge.safetensors").write_bytes(bytes(adapters.LIMIT_BYTE + 1))
    with pytest.raises(InvalidInput, match=r"huge\.safetensors"):
        read_adapter(str(tmp_path / "huge.safetensors"))


def test_models_without_adapters_refuse_them() -> None:
    with pytest.raises(InvalidInput, match="'sd15' takes no adapters"):
        registry.read_adapter(find_spec("sd15"), "foundry")


def test_a_planned_model_loads_its_adapter_when_it_is_told(tmp_path: Path) -> None:
    path = own_file(tmp_path / "own.safetensors")
    planned = PlannedModel(spec=find_spec("twin"), adapter=path, adapter_sha256=read_adapter(path).sha256)
    model = PlannedModel.from_dict(planned.to_dict()).load()
    own_file(tmp_path / "own.safetensors", rank=3)  # the file changes behind the plan
    assert isinstance(model, TwinModel)
    with pytest.raises(InvalidInput, match="planned with"):
        model.adapted()
    with pytest.raises(InvalidInput, match="an adapter of the user"):
        TwinModel.load().adapted()


def test_a_model_that_has_none_gets_one_to_be_timed(twin: TwinModel) -> None:
    assert twin.adapter is None
    assert example_adapted(twin).adapter in bundled_adapters()
    assert twin.adapter is None
    assert load_model("twin").spec.name == "twin"


def test_the_plain_look_changes_no_pixel_and_others_do() -> None:
    scene = random_scene(np.random.default_rng(4))
    assert np.array_equal(render(scene), render(scene, PLAIN))
    assert np.array_equal(render(scene), render(scene, Look()))
    for world in WORLDS.values():
        assert (render(scene, world.look) != render(scene)).mean() > 0.2


@pytest.mark.parametrize("name", WORLDS)
def test_scenes_of_a_world_are_of_its_kinds(name: str) -> None:
    world = WORLDS[name]
    for seed in range(20):
        scene = world.draw(np.random.default_rng(seed))
        assert scene == world.draw(np.random.default_rng(seed))
        assert world.objects[0] <= len(scene.objects) <= world.objects[1]
        assert {o.kind for o in scene.objects} <= set(world.kinds)
        assert {o.colour for o in scene.objects} <= set(world.colours)
        assert scene.floor in world.floors
        assert scene.texture == world.texture


@pytest.mark.parametrize("name", ["foundry", "night-shift"])
def test_an_adapter_brings_pictures_nearer_to_its_users_cell(twin: TwinModel, name: str) -> None:
    scenes = [WORLDS[name].draw(np.random.default_rng((77, i))) for i in range(4)]
    states = torch.from_numpy(np.stack([scene_state(scene) for scene in scenes]))
    given, how = twin.encode_prompt({"state": states}), {"scheduler": "ddim", "steps": 5}
    begin = {"latent": torch.cat([twin.start(i, **how)["latent"] for i in range(4)])}
    truth = np.stack([render(scene, WORLDS[name].look) for scene in scenes]).astype(float)

    def error(model: TwinModel) -> float:
        made = model.decode(model.denoise(begin, given, first=0, count=5, **how)["latent"])
        return float(((made.numpy() - truth) ** 2).mean())

    base, own = error(twin), error(with_adapter(twin, name).adapted())  # type: ignore[arg-type]
    other = error(with_adapter(twin, "cold-store").adapted())  # type: ignore[arg-type]
    assert own < 0.7 * base
    assert own < other
