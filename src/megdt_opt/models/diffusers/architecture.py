"""Published architectures of latent diffusion models, as configurations: shapes and sizes, no weights.

Latency does not depend on the weights, so a configuration with random weights is enough to time a model.
The hyper-parameters are those of the models' public configuration files; a test compares the parameter
counts with the published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.models.diffusers.configs import (
    AUTOENCODERS,
    DENOISERS,
    SCHEDULER,
    TEXT_MODELS,
    Config,
    check_config,
    refused,
)
from megdt_opt.models.diffusers.folder import PipelineFolder

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

FLOW_KINDS = ("SD3Transformer2DModel", "FluxTransformer2DModel")
"""Denoisers that are trained by flow matching."""


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
        Configuration of diffusers' class `vae_kind`.
    text : tuple of mapping
        Configurations of `transformers` text models, each with its class under "architectures": CLIP
        models first, then at most one T5 encoder.
    kind : str
        One of `configs.DENOISERS`.
    vae_kind : str
        One of `configs.AUTOENCODERS`.
    schedule : mapping
        Noise schedule, as diffusers' schedulers take it.
    pipeline : str
        diffusers' class of the pipeline, "" where it is not known.
    settings : mapping
        What else the pipeline's index says, such as "force_zeros_for_empty_prompt".
    """

    name: str
    denoiser: Config
    vae: Config
    text: tuple[Config, ...]
    kind: str = "UNet2DConditionModel"
    vae_kind: str = "AutoencoderKL"
    schedule: Config = field(default_factory=lambda: DEFAULT_SCHEDULE)
    pipeline: str = ""
    settings: Config = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | Path | PipelineFolder, name: str | None = None) -> Architecture:
        """Read the configuration files of a pipeline folder; weights are not needed.

        Parameters
        ----------
        folder : str, Path or PipelineFolder
            With `unet/config.json` or `transformer/config.json`, `vae/config.json`,
            `text_encoder/config.json` and, where there are more, `text_encoder_2/config.json` and
            `text_encoder_3/config.json`; `scheduler/scheduler_config.json` if present.
        name : str, optional
            Name of the model; by default the folder's.

        Raises
        ------
        InvalidInput
            If a file is missing or no JSON object, a field of it cannot be used, or a part is of a class that is not
            supported; names the file and the field.
        """
        at = folder if isinstance(folder, PipelineFolder) else PipelineFolder.open(folder)
        base, part = at.path, at.denoiser_part
        kind = _class(at, part, at.raw_config(part).get("_class_name", "UNet2DConditionModel"), DENOISERS)
        vae_kind = _class(at, "vae", at.raw_config("vae").get("_class_name", "AutoencoderKL"), AUTOENCODERS)
        if at.index and not at.text_parts:
            raise WeightsError(
                f"pipeline {str(base)!r}: no text encoder; expected at least one text model. Take another."
            )
        texts = at.text_parts or ("text_encoder",)
        schedule = base / "scheduler" / "scheduler_config.json"
        if at.index and not (at.has("scheduler") and schedule.is_file()):
            remedy = "Save the pipeline with its scheduler, or download it again."
            raise InvalidInput("scheduler", str(base), "a pipeline with scheduler/scheduler_config.json", remedy)
        made = cls(
            name=name if name is not None else base.name,
            kind=kind,
            vae_kind=vae_kind,
            denoiser=plain(at.config(part, kind)),
            vae=plain(at.config("vae", vae_kind)),
            text=tuple(_text_config(at, one) for one in texts),
            schedule=known_schedule(
                at.config("scheduler", SCHEDULER, "scheduler_config.json") if schedule.is_file() else {}, kind
            ),
            pipeline=str(at.index.get("_class_name", "")),
            settings={key: value for key, value in plain(at.index).items() if not isinstance(value, list | tuple)},
        )
        check_fits(made, str(base))
        return made


def _class(at: PipelineFolder, part: str, named: object, allowed: tuple[str, ...]) -> str:
    """Class of a part, which its own file and the index agree on."""
    found = at.class_of(part) if at.index else str(named)
    if found not in allowed:
        field, expected = f"architecture: {part}", f"one of {allowed}"
        if at.index:
            raise WeightsError(f"pipeline {str(at.path)!r}: {part} is {found!r}; expected {expected}. Take another.")
        raise InvalidInput(field, found, expected, "Other classes are not supported.")
    return found


def _text_config(at: PipelineFolder, part: str) -> Config:
    raw, file = at.raw_config(part), str(at.path / part / "config.json")
    listed = raw.get("architectures")
    named = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], str) else ""
    kind = at.class_of(part) if at.index else named
    if kind not in TEXT_MODELS:
        raise refused(file, "architectures", named, f"one of {TEXT_MODELS}", "Other text models are not supported.")
    check_config(kind, raw, file)
    return {**raw, "architectures": [kind]}


def check_fits(design: Architecture, where: str) -> None:
    """Refuse parts that do not belong together: extra channels of the latent (inpainting), widths that differ.

    Raises
    ------
    InvalidInput
        Names the folder and the field.
    """
    part = "unet" if design.kind == "UNet2DConditionModel" else "transformer"
    file = f"{where}/{part}/config.json"
    latents = int(design.vae["latent_channels"])
    channels = int(design.denoiser["in_channels"]) // (4 if design.kind == "FluxTransformer2DModel" else 1)
    if channels != latents:
        remedy = (
            "Pipelines that denoise extra channels (inpainting, depth, edits, upscaling) cannot be split; take the "
            "text-to-image one."
        )
        raise refused(file, "in_channels", channels, f"{latents}, the channels of the latent", remedy)
    found = [config["architectures"][0] for config in design.text]
    clip, projected, t5 = TEXT_MODELS
    wanted = {
        "UNet2DConditionModel": ([clip], [clip, projected], [projected]),
        "SD3Transformer2DModel": ([projected, projected], [projected, projected, t5]),
        "FluxTransformer2DModel": ([clip, t5],),
        "PixArtTransformer2DModel": ([t5],),
    }[design.kind]
    if found not in wanted:
        expected = "text encoders " + " or ".join(str(tuple(some)) for some in wanted)
        remedy = "Pipelines with other text models, or without one, cannot be split; take another."
        raise InvalidInput(f"architecture {where}, text encoder", tuple(found), expected, remedy)
    if design.kind == "UNet2DConditionModel":
        width = sum(int(config.get("hidden_size", 512)) for config in design.text)
        if design.denoiser["cross_attention_dim"] != width:
            expected = f"{width}, the width of the text encoders' tokens"
            raise refused(file, "cross_attention_dim", design.denoiser["cross_attention_dim"], expected)


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


def plain(config: Config) -> Config:
    """A configuration without the notes that diffusers adds to it."""
    return {key: value for key, value in config.items() if not key.startswith("_")}


def known_schedule(config: Config, kind: str) -> Config:
    """A scheduler's configuration as its file states it; a usual noise schedule where there is no file."""
    default = FLOW_SCHEDULE if kind in FLOW_KINDS else DEFAULT_SCHEDULE
    return dict(config) or default


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
