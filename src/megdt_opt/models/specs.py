"""Specs of public models at their native size, and of the bundled one: shapes and sizes, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources

from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.samplers import ranges_without, trailing_gaps

_SCHEDULERS = (
    "ddim",
    "euler",
    "dpmpp",
    "ddim_eta1",
    "euler_ancestral",
    "dpmpp_2m_sde",
    "dpmpp_2s",
    "dpmpp_sde",
    "pndm",
    "lcm",
)


_TRAINED = 1000
"""Timesteps of the training, of every model here [1]."""

_MOST = {
    **dict.fromkeys(_SCHEDULERS, _TRAINED - 1),
    **dict.fromkeys(("dpmpp", "dpmpp_2m_sde"), _TRAINED - 2),
    **dict.fromkeys(("pndm", "flow_euler"), _TRAINED),
    "lcm": 50,
}
"""Most steps of each sampler with the noise schedules of the public models [1]."""


def bundled_spec() -> ModelSpec:
    """The spec that lies beside the twin's weights."""
    text = resources.files("megdt_opt.models.twin").joinpath("weights", "spec.json").read_text(encoding="utf-8")
    return spaced_trailing(ModelSpec.from_json(text))


def spaced_trailing(spec: ModelSpec) -> ModelSpec:
    """The spec with the numbers of steps that the spacing "trailing" allows its samplers."""
    made = ranges_without(_TRAINED, trailing_gaps(_TRAINED))
    return replace(spec, steps_made=dict.fromkeys(spec.schedulers, made))


def _published(  # wide: each is one setting of a model
    name: str,
    pixels: int,
    tokens: dict[str, tuple[int, ...]],
    weights: dict[str, int],
    *,
    guidance: float = 7.5,
    channels: int = 4,
    schedulers: tuple[str, ...] = _SCHEDULERS,
    request: dict[str, tuple[int, ...]] | None = None,
    region_multiple: int = 8,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        latent_shape=(channels, pixels // 8, pixels // 8),
        image_shape=(pixels, pixels, 3),
        conditioning=tokens,
        request=request or {"state": (77,)},
        passes_per_step=2,
        steps_default=20,
        schedulers=schedulers,
        weight_byte=weights,
        weight_precision="fp16",
        region_multiple=region_multiple,
        guidance=guidance,
        guidance_by="passes",
        weights="random",
        steps_made={name: ranges_without(_MOST[name], [2] if name == "pndm" else ()) for name in schedulers},
    )


# parameters x 2 byte (fp16) as published in the model cards' configurations: SD1.5 U-Net 860 M, VAE 84 M,
# CLIP ViT-L/14 123 M; SD2.1 U-Net 866 M, OpenCLIP ViT-H/14 340 M; SDXL U-Net 2,567 M, VAE 84 M, both text encoders
# 817 M; SD3 medium transformer 2,028 M and its table of positions, VAE 84 M, two CLIP and T5-XXL encoders 5,581 M
PUBLISHED_SPECS: Mapping[str, ModelSpec] = {
    "sd15": _published(
        "sd15",
        512,
        {"tokens": (77, 768), "negative": (77, 768)},
        {"encode_prompt": 246_000_000, "denoise": 1_719_000_000, "decode": 99_000_000, "sense": 68_000_000},
    ),
    "sd21": _published(
        "sd21",
        512,
        {"tokens": (77, 1024), "negative": (77, 1024)},
        {"encode_prompt": 681_000_000, "denoise": 1_732_000_000, "decode": 99_000_000, "sense": 68_000_000},
    ),
    "sdxl": _published(
        "sdxl",
        1024,
        {"tokens": (77, 2048), "negative": (77, 2048), "pooled": (1280,), "pooled_negative": (1280,)},
        {"encode_prompt": 1_634_000_000, "denoise": 5_135_000_000, "decode": 99_000_000, "sense": 68_000_000},
        guidance=5.0,
    ),
    "sd3": _published(
        "sd3",
        1024,
        {"tokens": (333, 4096), "negative": (333, 4096), "pooled": (2048,), "pooled_negative": (2048,)},
        {"encode_prompt": 11_161_000_000, "denoise": 4_170_000_000, "decode": 99_000_000, "sense": 69_000_000},
        guidance=7.0,
        channels=16,
        schedulers=("flow_euler",),
        request={"state": (77,), "t5": (256,)},
    ),
}
"""Specs of public models, at their native size."""
