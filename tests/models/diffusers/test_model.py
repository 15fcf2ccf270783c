"""Diffusers models: published architectures, stages that can be cut anywhere, and loading."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.models.diffusers import location
from megdt_opt.models.diffusers.architecture import ARCHITECTURES, Architecture
from megdt_opt.models.diffusers.loading import build
from megdt_opt.models.diffusers.model import DiffusersModel, _spec
from megdt_opt.models.registry import find_spec
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.mechanisms import split_rows


@pytest.mark.parametrize(
    ("name", "unet", "vae", "text"),
    [  # parameters as published with the models
        ("sd15", 859_520_964, 83_653_863, [123_060_480]),
        ("sd21", 865_910_724, 83_653_863, [340_387_840]),
        ("sdxl", 2_567_463_684, 83_653_863, [123_060_480, 694_659_840]),
    ],
)
def test_the_architectures_have_the_published_parameter_counts(name: str, unet: int, vae: int, text: list[int]) -> None:
    with torch.device("meta"):
        parts = build(ARCHITECTURES[name])
    assert sum(p.numel() for p in parts.denoiser.parameters()) == unet
    assert sum(p.numel() for p in parts.vae.parameters()) == vae
    assert [sum(p.numel() for p in t.parameters()) for t in parts.text] == text


def test_sd3_is_about_as_large_as_published() -> None:
    with torch.device("meta"):
        parts = build(ARCHITECTURES["sd3"])
    assert sum(p.numel() for p in parts.denoiser.parameters()) == pytest.approx(2.03e9, rel=0.01)
    assert sum(p.numel() for p in parts.text[2].parameters()) == pytest.approx(4.76e9, rel=0.01)


def test_it_is_a_model_that_the_executor_can_split(model: DiffusersModel) -> None:
    as_split: SplitModel = model
    assert as_split.spec.passes_per_step == 2
    assert as_split.spec.region_multiple == 2
    assert as_split.spec.latent_shape == (4, 8, 8)
    assert as_split.spec.image_shape == (16, 16, 3)
    assert set(as_split.spec.weight_byte) == {"encode_prompt", "denoise", "decode", "sense"}


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp"])
def test_a_chain_cut_anywhere_ends_in_the_same_bits(model: DiffusersModel, scheduler: str) -> None:
    conditioning = model.encode_prompt(model.example_requests(1)[0])
    how = {"scheduler": scheduler, "steps": 5}
    begin = model.start(3, **how)  # type: ignore[arg-type]
    whole = model.denoise(begin, conditioning, first=0, count=5, **how)  # type: ignore[arg-type]
    assert set(whole) == {"latent"}
    assert torch.isfinite(whole["latent"]).all()
    for cut in (1, 2, 4):
        half = model.denoise(begin, conditioning, first=0, count=cut, **how)  # type: ignore[arg-type]
        rest = model.denoise(half, conditioning, first=cut, count=5 - cut, **how)  # type: ignore[arg-type]
        assert torch.equal(rest["latent"], whole["latent"])


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp"])
def test_a_sampler_gives_what_diffusers_gives(model: DiffusersModel, scheduler: str) -> None:
    import diffusers

    kinds = {
        "ddim": diffusers.DDIMScheduler,
        "euler": diffusers.EulerDiscreteScheduler,
        "dpmpp": diffusers.DPMSolverMultistepScheduler,
    }
    options = {"clip_sample": False, "set_alpha_to_one": False} if scheduler == "ddim" else {}
    reference = kinds[scheduler](**ARCHITECTURES["sd15"].schedule, **options)
    reference.set_timesteps(4)
    conditioning = model.encode_prompt(model.example_requests(1)[0])
    begin = model.start(0, scheduler=scheduler, steps=4)
    ours = model.denoise(begin, conditioning, scheduler=scheduler, steps=4, first=0, count=4)["latent"]
    latent = begin["latent"]
    embedded = torch.cat([conditioning["negative"], conditioning["tokens"]])
    with torch.no_grad():
        for t in reference.timesteps:
            noise = model._parts.denoiser(
                reference.scale_model_input(torch.cat([latent, latent]), t), t, embedded, return_dict=False
            )[0]
            free, told = noise.chunk(2)
            latent = reference.step(free + 7.5 * (told - free), t, latent, return_dict=False)[0]
    assert torch.allclose(ours, latent, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("design", ["tiny", "tiny_xl", "tiny_3"])
def test_chains_in_one_pass_at_steps_of_their_own_end_as_they_do_alone(
    design: str, request: pytest.FixtureRequest
) -> None:
    model = DiffusersModel.from_config(request.getfixturevalue(design))
    scheduler, steps, begins = model.spec.schedulers[-1], 4, (0, 1, 3)
    conditionings = [model.encode_prompt(one) for one in model.example_requests(3, seed=5)]
    states = [model.start(seed, scheduler=scheduler, steps=steps) for seed in range(3)]
    for now in range(max(begins) + steps):
        here = [k for k, begin in enumerate(begins) if begin <= now < begin + steps]
        after = model.denoise_together(
            [states[k] for k in here], [conditionings[k] for k in here], schedulers=[scheduler] * len(here),
            steps=steps, at=[now - begins[k] for k in here],
        )  # fmt: skip
        for k, state in zip(here, after, strict=True):
            states[k] = state
    for k, state in enumerate(states):
        begin = model.start(k, scheduler=scheduler, steps=steps)
        alone = model.denoise(begin, conditionings[k], scheduler=scheduler, steps=steps, first=0, count=steps)
        difference = (state["latent"] - alone["latent"]).abs().max() / alone["latent"].abs().max()
        assert difference < 1e-5


def test_regions_are_fused_to_the_whole(model: DiffusersModel) -> None:
    a, b = split_rows(model.spec, 0.5, 4)
    conditioning = model.encode_prompt(model.example_requests(1)[0])
    parts = []
    for rows in (a, b):
        begin = model.start(0, scheduler="ddim", steps=2, rows=rows)
        assert begin["latent"].shape == (1, 4, rows[1] - rows[0], 8)
        part = model.denoise(begin, conditioning, scheduler="ddim", steps=2, first=0, count=2, rows=rows)
        parts.append(part["latent"])
    fused = model.fuse(parts[0], a, parts[1], b)
    assert fused.shape == (1, 4, 8, 8)
    assert torch.equal(fused[:, :, : b[0]], parts[0][:, :, : b[0]])
    assert torch.equal(fused[:, :, a[1] :], parts[1][:, :, a[1] - b[0] :])
    whole = model.start(0, scheduler="ddim", steps=2)["latent"]
    assert torch.equal(model.start(0, scheduler="ddim", steps=2, rows=b)["latent"], whole[:, :, b[0] :])


def test_a_picture_can_be_sensed_decoded_and_continued(model: DiffusersModel) -> None:
    image = torch.randint(0, 256, (2, 16, 16, 3), dtype=torch.uint8)
    latent = model.sense(image)
    assert latent.shape == (2, 4, 8, 8)
    assert model.decode(latent).dtype == torch.uint8
    for scheduler in model.spec.schedulers:
        state = model.start_from(latent, 0, scheduler=scheduler, steps=4, first=2)
        assert state["latent"].shape == latent.shape
        assert torch.equal(model.start_from(latent, 0, scheduler=scheduler, steps=4, first=4)["latent"], latent)


def test_two_text_encoders_and_other_precisions(tiny_xl: Architecture) -> None:
    xl = DiffusersModel.from_config(tiny_xl, precision="bf16")
    conditioning = xl.encode_prompt(xl.example_requests(1)[0])
    assert {n: tuple(t.shape[1:]) for n, t in conditioning.items()} == dict(xl.spec.conditioning)
    assert set(conditioning) == {"tokens", "negative", "pooled", "pooled_negative"}
    state = xl.denoise(
        xl.start(0, scheduler="euler", steps=2), conditioning, scheduler="euler", steps=2, first=0, count=2
    )
    assert state["latent"].dtype == torch.float32
    assert xl.decode(state["latent"]).shape == (1, 16, 16, 3)
    assert next(xl._parts.vae.parameters()).dtype == torch.float32
    assert next(xl._parts.denoiser.parameters()).dtype == torch.bfloat16


def test_a_transformer_with_flow_matching_and_three_text_encoders(tiny_3: Architecture) -> None:
    three = DiffusersModel.from_config(tiny_3)
    assert three.spec.request == {"state": (8,), "t5": (256,)}
    assert three.spec.conditioning["tokens"] == (8 + 256, 40)
    assert three.spec.schedulers == ("flow_euler",)
    conditioning = three.encode_prompt(three.example_requests(1)[0])
    assert {n: tuple(t.shape[1:]) for n, t in conditioning.items()} == dict(three.spec.conditioning)
    how = {"scheduler": "flow_euler", "steps": 4}
    begin = three.start(0, **how)  # type: ignore[arg-type]
    whole = three.denoise(begin, conditioning, first=0, count=4, **how)  # type: ignore[arg-type]
    half = three.denoise(begin, conditioning, first=0, count=1, **how)  # type: ignore[arg-type]
    rest = three.denoise(half, conditioning, first=1, count=3, **how)  # type: ignore[arg-type]
    assert torch.equal(rest["latent"], whole["latent"])
    region = three.start(0, rows=(0, 4), **how)  # type: ignore[arg-type]
    part = three.denoise(region, conditioning, first=0, count=1, rows=(0, 4), **how)  # type: ignore[arg-type]
    assert part["latent"].shape == (1, 4, 4, 8)
    picture = three.decode(whole["latent"])
    assert picture.shape == (1, 16, 16, 3)
    assert three.start_from(three.sense(picture), 0, first=2, **how)["latent"].shape == (1, 4, 8, 8)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="scheduler"):
        three.start(0, scheduler="ddim", steps=4)


def test_without_its_t5_encoder_the_transformer_gets_zeros(tiny_3: Architecture) -> None:
    two = DiffusersModel.from_config(replace(tiny_3, text=tiny_3.text[:2]))
    assert two.spec.request == {"state": (8,)}
    conditioning = two.encode_prompt(two.example_requests(1)[0])
    assert {n: tuple(t.shape[1:]) for n, t in conditioning.items()} == dict(two.spec.conditioning)
    assert not conditioning["tokens"][:, 8:].any()


def test_example_tokens_lie_within_each_encoders_vocabulary(tiny_3: Architecture) -> None:
    """Stable Diffusion 3's own, and tiny encoders of which each in turn has the smallest vocabulary."""
    clip, second, t5 = tiny_3.text
    designs = {
        "sd3": ARCHITECTURES["sd3"],
        "small T5": replace(tiny_3, text=(clip, second, {**t5, "vocab_size": 20})),
        "small second CLIP": replace(tiny_3, text=(clip, {**second, "vocab_size": 30}, t5)),
    }
    for name, design in designs.items():
        with torch.device("meta"):
            text = build(design).prompts
        limits = {"state": min(c["vocab_size"] for c in design.text[:2]), "t5": design.text[2]["vocab_size"]}
        for request in text.examples(8, seed=0):
            assert all(0 <= request[n].min() <= request[n].max() < limit for n, limit in limits.items()), name
        assert text.empty(1)["state"].max() < limits["state"]


def test_a_model_with_a_small_t5_vocabulary_can_be_timed(tiny_3: Architecture) -> None:
    three = DiffusersModel.from_config(replace(tiny_3, text=(*tiny_3.text[:2], {**tiny_3.text[2], "vocab_size": 20})))
    for request in three.example_requests(4):
        assert torch.isfinite(three.encode_prompt(request)["tokens"]).all()


def test_another_size_than_the_native_one(tiny: Architecture) -> None:
    assert DiffusersModel.from_config(tiny, pixels=32).spec.latent_shape == (4, 16, 16)
    with pytest.raises(InvalidInput, match="pixels"):
        DiffusersModel.from_config(tiny, pixels=18)


def _save(model: DiffusersModel, folder: Path) -> Path:
    model._parts.denoiser.save_pretrained(folder / "unet")
    model._parts.vae.save_pretrained(folder / "vae")
    model._parts.text[0].save_pretrained(folder / "text_encoder")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(dict(model._parts.schedule)))
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "scheduler": ["diffusers", "PNDMScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def test_a_saved_pipeline_is_loaded_with_its_weights(model: DiffusersModel, tmp_path: Path) -> None:
    again = DiffusersModel.from_pretrained(_save(model, tmp_path / "own"))
    assert again.weights == "trained"
    assert again.spec.name == "own"
    assert not again.real_requests
    request = model.example_requests(1)[0]
    ours, theirs = model.encode_prompt(request), again.encode_prompt(request)
    assert torch.equal(ours["tokens"], theirs["tokens"])
    state = model.start(0, scheduler="ddim", steps=2)
    arguments = {"scheduler": "ddim", "steps": 2, "first": 0, "count": 1}
    assert torch.equal(
        model.denoise(state, ours, **arguments)["latent"],  # type: ignore[arg-type]
        again.denoise(state, theirs, **arguments)["latent"],  # type: ignore[arg-type]
    )


def test_a_folder_of_configurations_is_enough_for_random_weights(model: DiffusersModel, tmp_path: Path) -> None:
    folder = _save(model, tmp_path / "own")
    for weights in folder.rglob("*.safetensors"):
        weights.unlink()
    assert DiffusersModel.from_config(folder).spec.latent_shape == model.spec.latent_shape
    with pytest.raises(WeightsError, match="cannot be loaded"):
        DiffusersModel.from_pretrained(folder)


def test_pipelines_that_cannot_be_loaded_say_why(model: DiffusersModel, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not found"):
        DiffusersModel.from_pretrained(tmp_path / "nowhere", local_files_only=True)
    folder = _save(model, tmp_path / "own")
    weights = next((folder / "unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cannot be loaded"):
        DiffusersModel.from_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": [None, None]}))
    with pytest.raises(WeightsError, match="unet"):
        DiffusersModel.from_pretrained(folder)
    del index["text_encoder"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="text encoder"):
        DiffusersModel.from_pretrained(folder)


@pytest.mark.parametrize(
    "path", ["twinn", "owner/model/part", "own er/model", "own--er/model", "owner/", "~/nowhere", "../gone", ""]
)
def test_what_is_no_folder_and_no_id_asks_no_hub(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(None, monkeypatch) as asked, pytest.raises(WeightsError, match="not found.*OWNER/MODEL"):
        DiffusersModel.from_pretrained(path)
    assert not asked


@pytest.mark.parametrize(("answer", "said"), [(None, "no answer within 0.2 s"), (404, "NotFound"), (503, "no answer")])
def test_a_hub_is_asked_once_whether_it_has_a_model(
    answer: int | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is silent, one that does not have it, and one that is out of order."""
    with hub(answer, monkeypatch) as asked, pytest.raises(WeightsError, match=f"not found.*{said}"):
        DiffusersModel.from_pretrained("owner/mistyped", cache_dir=tmp_path)
    assert asked == ["/api/models/owner/mistyped"]


def test_what_is_cached_is_loaded_where_the_hub_is_silent(
    model: DiffusersModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = tmp_path / "models--owner--own"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    _save(model, cached / "snapshots" / ("0" * 40))
    with hub(None, monkeypatch) as asked:
        again = DiffusersModel.from_pretrained("owner/own", cache_dir=tmp_path)
    assert again.spec == replace(model.spec, name="own", source="owner/own", weights="trained")
    assert len(asked) == 1


@contextmanager
def hub(answer: int | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub on this machine that gives an HTTP status as its answer, or none; what it was asked."""
    asked: list[str] = []
    over = Event()

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "/models/" in self.path:  # its library asks about itself too
                asked.append(self.path)
            if answer is None:
                over.wait(20)
                return
            self.send_response(answer)
            if answer == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(location, "HUB_WAIT_S", 0.2)
        try:
            yield asked
        finally:
            over.set()
            server.shutdown()


def test_what_cannot_be_used_is_refused(model: DiffusersModel, tiny: Architecture, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="architecture"):
        DiffusersModel.from_config("sd99")
    with pytest.raises(InvalidInput, match="architecture"):
        DiffusersModel.from_config(tmp_path)
    broken = Architecture(
        name="x", denoiser={**tiny.denoiser, "block_out_channels": (3,)}, vae=tiny.vae, text=tiny.text
    )
    with pytest.raises(InvalidInput, match="architecture"):
        DiffusersModel.from_config(broken)
    with pytest.raises(InvalidInput, match="precision"):
        DiffusersModel.from_config(tiny, precision="fp8")
    with pytest.raises(InvalidInput, match="prompt"):
        model.request("a cat")
    conditioning = model.encode_prompt(model.example_requests(1)[0])
    state = model.start(0, scheduler="ddim", steps=2)
    good = {"scheduler": "ddim", "steps": 2, "first": 0, "count": 1}
    for change, field in (
        ({"scheduler": "lms"}, "scheduler"),
        ({"steps": 0}, "steps"),
        ({"count": 3}, "first and count"),
        ({"rows": (0, 3)}, "rows"),
    ):
        with pytest.raises(InvalidInput, match=field):
            model.denoise(state, conditioning, **{**good, **change})  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="latent"):
        model.denoise({}, conditioning, **good)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="negative"):
        model.denoise(state, {"tokens": conditioning["tokens"]}, **good)  # type: ignore[arg-type]
    two = {name: torch.cat([t, t]) for name, t in conditioning.items()}
    with pytest.raises(InvalidInput, match="batch of 1"):
        model.denoise(state, two, **good)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="state"):
        model.encode_prompt({})
    with pytest.raises(InvalidInput, match="rows"):
        model.fuse(state["latent"], (0, 4), state["latent"], (6, 8))


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl", "sd3"])
def test_the_specs_that_planning_uses_are_those_of_the_architectures(name: str) -> None:
    planned = find_spec(name)
    with torch.device("meta"):
        built = _spec(name, build(ARCHITECTURES[name]), None)
    for field in (
        "latent_shape",
        "image_shape",
        "conditioning",
        "request",
        "passes_per_step",
        "schedulers",
        "guidance",
        "guidance_by",
    ):
        assert getattr(built, field) == getattr(planned, field), field
    assert planned.region_multiple % built.region_multiple == 0
    for part, size in planned.weight_byte.items():  # planned in fp16, built in fp32
        assert built.weight_byte[part] / 2 == pytest.approx(size, rel=0.02), part
