"""Specs of public models at their native size, and of the bundled one: shapes and sizes, read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from megdt_opt.program.model_spec import ModelSpec


def bundled_spec() -> ModelSpec:
    """The spec that lies beside the twin's weights."""
    text = resources.files("megdt_opt.models.twin").joinpath("weights", "spec.json").read_text(encoding="utf-8")
    return ModelSpec.from_json(text)


def _stable_diffusion(name: str, pixels: int, tokens: dict[str, tuple[int, ...]], weights: dict[str, int]) -> ModelSpec:
    return ModelSpec(
        name=name,
        latent_shape=(4, pixels // 8, pixels // 8),
        image_shape=(pixels, pixels, 3),
        conditioning=tokens,
        request={"state": (77,)},
        passes_per_step=2,
        steps_default=20,
        schedulers=("ddim", "euler", "dpmpp"),
        weight_byte=weights,
        weight_precision="fp16",
        region_multiple=8,
    )


# parameters x 2 byte (fp16) as published in the model cards' configurations: SD1.5 U-Net 860 M, VAE 84 M,
# CLIP ViT-L/14 123 M; SDXL U-Net 2,567 M, VAE 84 M, both text encoders 817 M
PUBLISHED_SPECS: Mapping[str, ModelSpec] = {
    "sd15": _stable_diffusion(
        "sd15",
        512,
        {"tokens": (77, 768), "negative": (77, 768)},
        {"encode_prompt": 246_000_000, "denoise": 1_719_000_000, "decode": 99_000_000, "sense": 68_000_000},
    ),
    "sdxl": _stable_diffusion(
        "sdxl",
        1024,
        {"tokens": (77, 2048), "negative": (77, 2048), "pooled": (1280,), "pooled_negative": (1280,)},
        {"encode_prompt": 1_634_000_000, "denoise": 5_135_000_000, "decode": 99_000_000, "sense": 68_000_000},
    ),
}
"""Specs of public models, at their native size."""
