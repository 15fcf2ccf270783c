"""What follows from a pipeline's configurations alone: tensors, guidance, sizes, the spec. No torch, no weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from megdt_opt.errors import InvalidInput
from megdt_opt.models.diffusers.architecture import Architecture
from megdt_opt.models.diffusers.folder import PipelineFolder
from megdt_opt.models.memory import PRECISION_BYTE
from megdt_opt.program.model_spec import ModelSpec, with_guidance

STEPS = 20
"""Denoising steps of a generation where nothing else is asked for [1]."""

UNET, SD3, FLUX, PIXART = (
    "UNet2DConditionModel",
    "SD3Transformer2DModel",
    "FluxTransformer2DModel",
    "PixArtTransformer2DModel",
)

_T5_TOKENS = {SD3: 256, FLUX: 512, PIXART: 120}
_SCALES = {SD3: 7.0, FLUX: 3.5, PIXART: 4.5}
_CLIP_TOKENS = 77

Shapes = dict[str, tuple[int, ...]]


class OfferedSamplers(Protocol):
    """Samplers by name, and the numbers of steps that each can make."""

    names: tuple[str, ...]

    @property
    def steps_made(self) -> Mapping[str, tuple[tuple[int, int], ...]]:
        """Ranges (first, last) of numbers of steps by the names [1]."""
        ...


@dataclass(frozen=True)
class TextLayout:
    """The text side of a pipeline: what its requests and its conditioning hold.

    Parameters
    ----------
    kind : str
        Class of the denoiser.
    request : mapping of str to tuple of int
        Token numbers, "state" of the CLIP models and "t5" of the T5 encoder.
    vocabulary : mapping of str to int
        Vocabulary of each [1].
    conditioning : mapping of str to tuple of int
        Tensors of one pass; a second one has the same with "negative" in place of "tokens", and "..._negative".
    pooled : bool
        Whether the denoiser takes a pooled encoding.
    masked : bool
        Whether it takes a mask of the tokens.
    zeros : bool
        Whether the pass without a prompt takes zeros in place of the encoded empty prompt.
    last : bool
        Whether tokens are those of the CLIP models' last layer, else of the one before it.
    lower : bool
        Whether prompts are written in small letters first.
    """

    kind: str
    request: Mapping[str, tuple[int, ...]]
    vocabulary: Mapping[str, int]
    conditioning: Mapping[str, tuple[int, ...]]
    pooled: bool
    masked: bool
    zeros: bool
    last: bool
    lower: bool


def text_layout(design: Architecture) -> TextLayout:
    """The text side of an architecture."""
    clip = [config for config in design.text if config["architectures"][0] != "T5EncoderModel"]
    t5 = next((config for config in design.text if config["architectures"][0] == "T5EncoderModel"), None)
    request: Shapes = {}
    vocabulary = {}
    if clip:
        request["state"] = (int(clip[0].get("max_position_embeddings", _CLIP_TOKENS)),)
        vocabulary["state"] = min(int(config.get("vocab_size", 49408)) for config in clip)
    if t5 is not None:
        long = 300 if design.pipeline == "PixArtSigmaPipeline" else _T5_TOKENS[design.kind]
        request["t5"], vocabulary["t5"] = (long,), int(t5.get("vocab_size", 32128))
    made: Shapes
    projections = [
        int(config.get("projection_dim", 512))
        for config in clip
        if config["architectures"][0] == "CLIPTextModelWithProjection"
    ]
    pooled = sum(projections)
    if design.kind == UNET:
        made = {"tokens": (request["state"][0], int(design.denoiser["cross_attention_dim"]))}
        if design.denoiser.get("addition_embed_type") is None:
            pooled = 0
    elif design.kind == SD3:
        # what stands for T5 is as long as what it makes
        made = {
            "tokens": (request["state"][0] + _T5_TOKENS[SD3], int(design.denoiser.get("joint_attention_dim", 4096)))
        }
    elif design.kind == FLUX:
        made = {"tokens": (request["t5"][0], int(design.denoiser.get("joint_attention_dim", 4096)))}
        pooled = int(clip[0].get("hidden_size", 512))
    else:
        made = {"tokens": (request["t5"][0], int(design.denoiser["caption_channels"])), "mask": request["t5"]}
    if pooled:
        made["pooled"] = (pooled,)
    two_texts = design.kind == UNET and bool(pooled)
    return TextLayout(
        kind=design.kind,
        request=request,
        vocabulary=vocabulary,
        conditioning=made,
        pooled=bool(pooled),
        masked="mask" in made,
        zeros=two_texts and bool(design.settings.get("force_zeros_for_empty_prompt", True)),
        last=design.kind == UNET and not two_texts,
        lower=design.kind == PIXART,
    )


def guidance_of(design: Architecture) -> tuple[str, float]:
    """How guidance enters a model ("passes", "embedding" or "none"), and its usual scale [1]."""
    if design.kind == FLUX:
        embedded = bool(design.denoiser.get("guidance_embeds", False))
        return ("embedding", _SCALES[FLUX]) if embedded else ("none", 1.0)
    if design.kind == UNET:
        if design.denoiser.get("time_cond_proj_dim") is not None:
            return "embedding", 8.5
        return "passes", 5.0 if design.denoiser.get("addition_embed_type") else 7.5
    return "passes", _SCALES[design.kind]


def vae_scale(design: Architecture) -> int:
    """Pixels of a side of a latent's cell [pixel]."""
    if design.vae_kind == "AutoencoderTiny":
        return int(2 ** (len(design.vae.get("num_encoder_blocks", (1, 3, 3, 3))) - 1))
    return int(2 ** (len(design.vae["block_out_channels"]) - 1))


def region_multiple(design: Architecture) -> int:
    """Rows that a latent region must be a multiple of [rows]; 0 where the architecture allows no regions."""
    if design.kind == UNET:
        return int(2 ** (len(design.denoiser["block_out_channels"]) - 1))
    if design.kind == PIXART:  # its positions are stretched over the rows that it is given
        return 0
    return 2 if design.kind == FLUX else int(design.denoiser.get("patch_size", 2))


def latent_size(design: Architecture, pixels: int | tuple[int, int] | None) -> tuple[int, int]:
    """Rows and columns of the latent, of the native picture or of one of this size [pixel].

    Raises
    ------
    InvalidInput
        Where a side is no multiple of what the networks need.
    """
    scale = vae_scale(design)
    multiple = region_multiple(design) or int(design.denoiser.get("patch_size", 2))
    if pixels is None:
        native = design.denoiser.get("sample_size", 128)
        rows, columns = native if isinstance(native, list | tuple) else (native, native)
        pixels = (int(rows) * scale, int(columns) * scale)
    sides = (pixels, pixels) if isinstance(pixels, int) else pixels
    if len(sides) != 2 or any(side < 1 or side % (scale * multiple) for side in sides):
        expected = f"a multiple of {scale * multiple} [pixel]"
        raise InvalidInput("pixels", pixels, expected, "Round it.")
    return sides[0] // scale, sides[1] // scale


def spec_of(  # wide: each is one setting of a model, by keyword
    design: Architecture,
    *,
    weight_byte: Mapping[str, int],
    precision: str,
    samplers: OfferedSamplers,
    pixels: int | tuple[int, int] | None = None,
    guidance: float | None = None,
    source: str = "",
    weights: str = "trained",
) -> ModelSpec:
    """The spec of an architecture.

    Parameters
    ----------
    design : Architecture
    weight_byte : mapping of str to int
        Memory of each part's weights in that precision [byte].
    precision : str
        "fp32", "fp16" or "bf16".
    samplers : OfferedSamplers
        Those that fit it.
    pixels : int or tuple of int, optional
        Sides of the picture, or (rows, columns) [pixel]; by default the native size.
    guidance : float, optional
        Scale of the guidance [1]; by default the family's. Up to 1 there is one pass in a step.
    source : str
        Where execution finds it.
    weights : str
        "trained" or "random".
    """
    rows, columns = latent_size(design, pixels)
    scale, layout = vae_scale(design), text_layout(design)
    by, usual = guidance_of(design)
    twice = {name.replace("tokens", "negative") if name == "tokens" else f"{name}_negative": shape
             for name, shape in layout.conditioning.items()}  # fmt: skip
    conditioning: Shapes = {}
    for (name, shape), other in zip(layout.conditioning.items(), twice, strict=True):
        conditioning[name] = shape
        if by == "passes":
            conditioning[other] = shape
    spec = ModelSpec(
        name=design.name,
        latent_shape=(int(design.vae["latent_channels"]), rows, columns),
        image_shape=(rows * scale, columns * scale, 3),
        conditioning=conditioning,
        request=dict(layout.request),
        passes_per_step=2 if by == "passes" else 1,
        steps_default=4 if by == "embedding" and design.kind == UNET else STEPS,
        schedulers=samplers.names,
        weight_byte=dict(weight_byte),
        weight_precision=precision,
        region_multiple=region_multiple(design),
        guidance=usual,
        guidance_by=by,
        source=source,
        weights=weights,
        steps_made=samplers.steps_made,
    )
    return spec if guidance is None else with_guidance(spec, guidance)


def folder_weights(folder: PipelineFolder, precision: str, variant: str | None = None) -> dict[str, int]:
    """Memory of each part's weights in a precision, from the files' headers [byte].

    Raises
    ------
    WeightsError
        Where a part has none; names the part.
    """
    size = PRECISION_BYTE[precision]
    text = sum(count for part in folder.text_parts for _, count, _ in folder.tensors(part, variant))
    denoise = sum(count for _, count, _ in folder.tensors(folder.denoiser_part, variant))
    vae = {"decode": 0, "sense": 0}
    for name, count, _ in folder.tensors("vae", variant):
        vae["sense" if name.startswith(("encoder.", "quant_conv.")) else "decode"] += count
    return {"encode_prompt": size * text, "denoise": size * denoise, **{k: size * v for k, v in vae.items()}}
