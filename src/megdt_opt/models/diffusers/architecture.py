"""Published architectures of latent diffusion models, as configurations: shapes and sizes, no weights.

Latency does not depend on the weights, so a configuration with random weights is enough to time a model.
The hyper-parameters are those of the models' public configuration files; a test compares the parameter
counts with the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_json

Config = Mapping[str, Any]

DEFAULT_SCHEDULE: Config = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
"""Noise schedule of Stable Diffusion."""

FLOW_SCHEDULE: Config = {"num_train_timesteps": 1000, "shift": 3.0}
"""Noise schedule of flow matching models, Stable Diffusion 3."""

KINDS = ("UNet2DConditionModel", "SD3Transformer2DModel")
"""Classes of diffusers that a denoiser may have."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Configurations of a latent diffusion model's parts.

    Parameters
    ----------
    name : str
        Name of the model.
    denoiser : mapping
        Configuration of diffusers' class `kind`.
    vae : mapping
        Configuration of `diffusers.AutoencoderKL`.
    text : tuple of mapping
        Configurations of `transformers` text models, each with its class under "architectures": CLIP
        models first, then at most one T5 encoder.
    kind : str
        "UNet2DConditionModel" or "SD3Transformer2DModel".
    schedule : mapping
        Noise schedule, as diffusers' schedulers take it.
    """

    name: str
    denoiser: Config
    vae: Config
    text: tuple[Config, ...]
    kind: str = "UNet2DConditionModel"
    schedule: Config = field(default_factory=lambda: DEFAULT_SCHEDULE)

    @classmethod
    def read(cls, folder: str | Path, name: str | None = None) -> Architecture:
        """Read the configuration files of a pipeline folder; weights are not needed.

        Parameters
        ----------
        folder : str or Path
            With `unet/config.json` or `transformer/config.json`, `vae/config.json`,
            `text_encoder/config.json` and, where there are more, `text_encoder_2/config.json` and
            `text_encoder_3/config.json`; `scheduler/scheduler_config.json` if present.
        name : str, optional
            Name of the model; by default the folder's.

        Raises
        ------
        InvalidInput
            If a file is missing or no JSON object, or the denoiser is of a class that is not supported.
        """
        base = Path(folder)
        denoiser = _read(base / ("transformer" if (base / "transformer").is_dir() else "unet") / "config.json")
        kind = denoiser.get("_class_name", "UNet2DConditionModel")
        if kind not in KINDS:
            raise InvalidInput("architecture", kind, f"a denoiser of {KINDS}", "Other classes are not supported.")
        schedule = base / "scheduler" / "scheduler_config.json"
        encoders = [base / f"text_encoder{end}" / "config.json" for end in ("", "_2", "_3")]
        return cls(
            name=name if name is not None else base.name,
            kind=kind,
            denoiser=plain(denoiser),
            vae=plain(_read(base / "vae" / "config.json")),
            text=(_read(encoders[0]), *(_read(path) for path in encoders[1:] if path.is_file())),
            schedule=known_schedule(_read(schedule) if schedule.is_file() else {}, kind),
        )


def architecture(name: str | Path) -> Architecture:
    """A published architecture by its name, or that of a pipeline folder.

    Raises
    ------
    InvalidInput
        If there is neither.
    """
    if str(name) in ARCHITECTURES:
        return ARCHITECTURES[str(name)]
    if Path(name).is_dir():
        return Architecture.read(name)
    raise InvalidInput(
        "architecture",
        str(name),
        f"one of {tuple(ARCHITECTURES)} or a folder with unet/config.json, vae/config.json, ...",
        "Name one of them, or pass an Architecture.",
    )


def _read(path: Path) -> Config:
    return read_json(path, "architecture", remedy="Point to a pipeline's folder.")


def plain(config: Config) -> Config:
    """A configuration without the notes that diffusers adds to it."""
    return {key: value for key, value in config.items() if not key.startswith("_")}


def known_schedule(config: Config, kind: str) -> Config:
    """The part of a scheduler's configuration that every sampler understands, completed by defaults."""
    default = FLOW_SCHEDULE if kind == "SD3Transformer2DModel" else DEFAULT_SCHEDULE
    return {**default, **{key: config[key] for key in default if key in config}}


_CLIP_L: Config = {
    "architectures": ("CLIPTextModel",),
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
_PROJECTED: Config = {"architectures": ("CLIPTextModelWithProjection",)}
_CLIP_H: Config = {
    **_CLIP_L,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
_CLIP_G: Config = {
    **_CLIP_L,
    **_PROJECTED,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}
_T5_XXL: Config = {
    "architectures": ("T5EncoderModel",),
    "vocab_size": 32128,
    "d_model": 4096,
    "d_ff": 10240,
    "d_kv": 64,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": False,
}
_VAE: Config = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
_UNET_SD1: Config = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": (
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    ),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}

ARCHITECTURES: Mapping[str, Architecture] = {
    "sd15": Architecture(name="sd15", denoiser=_UNET_SD1, vae=_VAE, text=(_CLIP_L,)),
    "sd21": Architecture(
        name="sd21",
        denoiser={
            **_UNET_SD1,
            "cross_attention_dim": 1024,
            "attention_head_dim": (5, 10, 20, 20),
            "use_linear_projection": True,
        },
        vae=_VAE,
        text=(_CLIP_H,),
    ),
    "sdxl": Architecture(
        name="sdxl",
        denoiser={
            "sample_size": 128,
            "in_channels": 4,
            "out_channels": 4,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "block_out_channels": (320, 640, 1280),
            "layers_per_block": 2,
            "transformer_layers_per_block": (1, 2, 10),
            "cross_attention_dim": 2048,
            "attention_head_dim": (5, 10, 20),
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        vae={**_VAE, "sample_size": 1024, "scaling_factor": 0.13025},
        text=(_CLIP_L, _CLIP_G),
    ),
    "sd3": Architecture(
        name="sd3",
        kind="SD3Transformer2DModel",
        denoiser={
            "sample_size": 128,
            "patch_size": 2,
            "in_channels": 16,
            "out_channels": 16,
            "num_layers": 24,
            "attention_head_dim": 64,
            "num_attention_heads": 24,
            "joint_attention_dim": 4096,
            "caption_projection_dim": 1536,
            "pooled_projection_dim": 2048,
            "pos_embed_max_size": 192,
        },
        vae={
            **_VAE,
            "sample_size": 1024,
            "latent_channels": 16,
            "scaling_factor": 1.5305,
            "shift_factor": 0.0609,
            "use_quant_conv": False,
            "use_post_quant_conv": False,
        },
        text=({**_CLIP_L, **_PROJECTED}, _CLIP_G, _T5_XXL),
        schedule=FLOW_SCHEDULE,
    ),
}
"""Architectures by name at their native size: SD1.5 and SD2.1 (base) at 512x512, SDXL and SD3 (medium) at
1024x1024."""
