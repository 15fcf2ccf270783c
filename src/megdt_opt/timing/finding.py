"""Finding the timing profiles and the model spec that a scenario names."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from megdt_opt.errors import InvalidInput
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.timing.profile import TimingProfile


def find_profile(name: str, known: Mapping[str, TimingProfile] | None = None) -> TimingProfile:
    """The profile of this name.

    Parameters
    ----------
    name : str
        A key of `known`, "published: DEVICE / MODEL", the path of a JSON file, or a bundled profile.
    known : mapping of str to TimingProfile, optional
        Profiles at hand, for example those just measured; they go first.

    Raises
    ------
    ProfileError
        If there is none, or it cannot be trusted.
    """
    if known and name in known:
        return known[name]
    if name.startswith("published:"):
        from megdt_opt.timing.published import published_profile

        device, _, model = (part.strip() for part in name.removeprefix("published:").partition("/"))
        if not device or not model:
            raise InvalidInput(
                "profile", name, '"published: DEVICE / MODEL"', "See `megdt-opt show published` for the pairs."
            )
        return published_profile(device, model)
    if name.endswith(".json") or "/" in name:
        return TimingProfile.load(Path(name))
    return TimingProfile.bundled(name)


def find_spec(name: str) -> ModelSpec:
    """The model spec of this name: "twin", "sd15", "sdxl", or the path of a JSON file.

    Raises
    ------
    InvalidInput
        If there is none.
    """
    if name == "twin":
        text = resources.files("megdt_opt.models.twin").joinpath("weights", "spec.json").read_text(encoding="utf-8")
        return ModelSpec.from_json(text)
    if name in PUBLISHED_SPECS:
        return PUBLISHED_SPECS[name]
    if not Path(name).is_file():
        raise InvalidInput("model", name, f"one of {('twin', *PUBLISHED_SPECS)} or a spec file", "Mend the name.")
    return ModelSpec.from_json(Path(name).read_text(encoding="utf-8"))


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
