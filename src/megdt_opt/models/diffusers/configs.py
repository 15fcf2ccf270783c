"""Configuration files of a pipeline's parts: what each field may be, refused by file and field before building.

Nothing here loads torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from megdt_opt.errors import InvalidInput

Config = Mapping[str, Any]

LARGEST = 2**20
"""Largest whole number of a field that has no limit of its own [1]."""

LONGEST = 128
"""Most entries of a list [1]."""

_REMEDY = "Point to the folder of a pipeline that diffusers saved, and download a damaged file again."


@dataclass(frozen=True)
class Rule:
    """What a field may hold.

    Parameters
    ----------
    words : str
        The same in words, for messages.
    holds : callable
        Whether a value is such.
    needed : bool
        Whether the field must be there.
    remedy : str
        What to do where it is not.
    """

    words: str
    holds: Callable[[Any], bool]
    needed: bool = False
    remedy: str = _REMEDY


def _is_whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def whole(high: int, *, low: int = 1, needed: bool = False) -> Rule:
    """A whole number from `low` to `high`."""
    return Rule(f"a whole number from {low} to {high}", lambda v: _is_whole(v, low, high), needed)


def wholes(high: int, *, most: int = 16, single: bool = True, needed: bool = False) -> Rule:
    """A list of whole numbers from 1 to `high`, or where `single` one alone."""

    def holds(value: Any) -> bool:
        if single and _is_whole(value, 1, high):
            return True
        listed = isinstance(value, list | tuple) and 0 < len(value) <= most
        return listed and all(_is_whole(entry, 1, high) for entry in value)

    return Rule(f"{'a whole number or ' if single else ''}a list of at most {most} from 1 to {high}", holds, needed)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(low: float = 0.0, high: float = 1e6, *, empty: bool = False) -> Rule:
    """A finite number from `low` to `high`, or where `empty` null."""
    words = f"a number from {low:g} to {high:g}{' or null' if empty else ''}"
    return Rule(words, lambda v: (empty and v is None) or (_is_number(v) and low <= v <= high))


def _empty(what: str) -> Rule:
    return Rule("null", lambda v: v is None, remedy=f"Pipelines with {what} cannot be split; take another.")


def _size(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return _is_whole(value, 1, 1024) or (pair and all(_is_whole(side, 1, 1024) for side in value))


_SIZE = Rule("latent rows and columns from 1 to 1024, one number or [rows, columns]", _size)
_FLAG = Rule("true or false", lambda v: isinstance(v, bool))
_LAYERS, _HEADS, _WIDTH = whole(256), whole(512), whole(65536)
_ONE_WIDTH = Rule(
    "one whole number from 1 to 65536", lambda v: _is_whole(v, 1, 65536), needed=True,
    remedy="Networks whose blocks attend to tokens of several widths are not supported; take another.",
)  # fmt: skip
_ADDED = Rule(
    "null or 'text_time'", lambda v: v in (None, "text_time"),
    remedy="Other added embeddings are not supported; take another pipeline.",
)  # fmt: skip

_COLOURS = Rule(
    "3, the colours of a picture", lambda v: v == 3 and not isinstance(v, bool),
    remedy="Autoencoders of other channels are not supported; take another.",
)  # fmt: skip

_UNET: Mapping[str, Rule] = {
    "class_embed_type": _empty("class embeddings"),
    "num_class_embeds": _empty("class embeddings"),
    "encoder_hid_dim": _empty("projected embeddings"),
    "encoder_hid_dim_type": _empty("projected embeddings"),
    "addition_embed_type": _ADDED,
    "sample_size": Rule(_SIZE.words, _SIZE.holds, needed=True),
    "in_channels": whole(256, needed=True),
    "out_channels": whole(256),
    "block_out_channels": wholes(16384, single=False, needed=True),
    "layers_per_block": wholes(64),
    "cross_attention_dim": _ONE_WIDTH,
    "attention_head_dim": wholes(1024),
    "num_attention_heads": Rule("null or counts of heads", lambda v: v is None or wholes(1024).holds(v)),
    "transformer_layers_per_block": wholes(64),
    "norm_num_groups": whole(1024),
    "addition_time_embed_dim": Rule("null or a width", lambda v: v is None or _WIDTH.holds(v)),
    "projection_class_embeddings_input_dim": Rule("null or a width", lambda v: v is None or _WIDTH.holds(v)),
    "time_cond_proj_dim": Rule("null or a width", lambda v: v is None or _WIDTH.holds(v)),
}
_CONTROLNET: Mapping[str, Rule] = {
    **{
        name: rule for name, rule in _UNET.items() if name not in ("sample_size", "out_channels", "addition_embed_type")
    },
    "addition_embed_type": _empty("added embeddings"),
    "conditioning_channels": _COLOURS,
    "conditioning_embedding_out_channels": wholes(16384, single=False),
    "controlnet_conditioning_channel_order": Rule("'rgb'", lambda v: v == "rgb"),
    "global_pool_conditions": Rule("false", lambda v: v is False),
}
_SD3: Mapping[str, Rule] = {
    "sample_size": whole(1024, needed=True),
    "patch_size": whole(16),
    "in_channels": whole(256, needed=True),
    "out_channels": whole(256),
    "num_layers": _LAYERS,
    "attention_head_dim": whole(1024),
    "num_attention_heads": _HEADS,
    "joint_attention_dim": _WIDTH,
    "caption_projection_dim": _WIDTH,
    "pooled_projection_dim": _WIDTH,
    "pos_embed_max_size": whole(1024),
}
_FLUX: Mapping[str, Rule] = {
    "patch_size": Rule("1", lambda v: v == 1),
    "in_channels": Rule("a multiple of 4 from 4 to 1024", lambda v: _is_whole(v, 4, 1024) and v % 4 == 0, needed=True),
    "num_layers": _LAYERS,
    "num_single_layers": _LAYERS,
    "attention_head_dim": whole(1024),
    "num_attention_heads": _HEADS,
    "joint_attention_dim": _WIDTH,
    "pooled_projection_dim": _WIDTH,
    "guidance_embeds": _FLAG,
    "axes_dims_rope": wholes(1024, most=3, single=False),
}
_PIXART: Mapping[str, Rule] = {
    "sample_size": whole(1024, needed=True),
    "patch_size": whole(16),
    "in_channels": whole(256, needed=True),
    "out_channels": whole(256),
    "num_layers": _LAYERS,
    "attention_head_dim": whole(1024),
    "num_attention_heads": _HEADS,
    "cross_attention_dim": _WIDTH,
    "caption_channels": _WIDTH,
}
_KL: Mapping[str, Rule] = {
    "in_channels": _COLOURS,
    "out_channels": _COLOURS,
    "latent_channels": whole(256, needed=True),
    "block_out_channels": wholes(16384, single=False, needed=True),
    "layers_per_block": whole(64),
    "norm_num_groups": whole(1024),
    "scaling_factor": number(1e-6, 1e6),
    "shift_factor": number(-1e6, 1e6, empty=True),
    "force_upcast": Rule("true, false or null", lambda v: v is None or isinstance(v, bool)),
    "latents_mean": _empty("a mean of the latents"),
    "latents_std": _empty("a standard deviation of the latents"),
}
_TINY: Mapping[str, Rule] = {
    "in_channels": _COLOURS,
    "out_channels": _COLOURS,
    "latent_channels": whole(256, needed=True),
    "encoder_block_out_channels": wholes(16384, single=False),
    "decoder_block_out_channels": wholes(16384, single=False),
    "scaling_factor": number(1e-6, 1e6),
    "shift_factor": number(-1e6, 1e6, empty=True),
}
_CLIP: Mapping[str, Rule] = {
    "vocab_size": whole(LARGEST, low=4),
    "hidden_size": _WIDTH,
    "intermediate_size": whole(262144),
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": _HEADS,
    "max_position_embeddings": whole(8192),
    "projection_dim": _WIDTH,
}
_T5: Mapping[str, Rule] = {
    "vocab_size": whole(LARGEST, low=4),
    "d_model": _WIDTH,
    "d_ff": whole(262144),
    "d_kv": whole(4096),
    "num_layers": _LAYERS,
    "num_heads": _HEADS,
}
_SCHEDULE: Mapping[str, Rule] = {
    "num_train_timesteps": whole(100_000),
    "beta_start": number(0.0, 1.0),
    "beta_end": number(0.0, 1.0),
    "beta_schedule": Rule("the name of a schedule", lambda v: isinstance(v, str)),
    "prediction_type": Rule("the name of what is predicted", lambda v: isinstance(v, str)),
    "timestep_spacing": Rule("the name of a spacing", lambda v: isinstance(v, str)),
    "steps_offset": whole(1000, low=0),
    "shift": number(0.0, 1e3, empty=True),
}

DENOISERS = ("UNet2DConditionModel", "SD3Transformer2DModel", "FluxTransformer2DModel", "PixArtTransformer2DModel")
"""Classes of diffusers that a denoiser may have."""

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")
"""Classes of diffusers that an autoencoder may have."""

TEXT_MODELS = ("CLIPTextModel", "CLIPTextModelWithProjection", "T5EncoderModel")
"""Classes of transformers that a text model may have."""

CONTROLNET = "ControlNetModel"
"""Class of diffusers that a ControlNet may have."""

SCHEDULER = "scheduler"
"""Stands for any scheduler's class."""

_RULES: Mapping[str, Mapping[str, Rule]] = {
    **dict(zip(DENOISERS, (_UNET, _SD3, _FLUX, _PIXART), strict=True)),
    **dict(zip(AUTOENCODERS, (_KL, _TINY), strict=True)),
    **dict(zip(TEXT_MODELS, (_CLIP, _CLIP, _T5), strict=True)),
    CONTROLNET: _CONTROLNET,
    SCHEDULER: _SCHEDULE,
}


def check_config(kind: str, config: Config, file: str) -> None:
    """Refuse a configuration that is malformed, oversized, or of what cannot be split.

    Parameters
    ----------
    kind : str
        Class of the part, or `SCHEDULER`.
    config : mapping
        Its fields.
    file : str
        The file that they are from, for messages.

    Raises
    ------
    InvalidInput
        Names the file, the field, what was expected and what to do.
    """
    for name, rule in _RULES[kind].items():
        if name not in config and rule.needed:
            raise refused(file, name, "nothing", rule.words, rule.remedy)
        if name in config and not rule.holds(config[name]):
            raise refused(file, name, config[name], rule.words, rule.remedy)
    for name, value in config.items():
        _check_any(file, str(name), value)


def refused(file: str, field: str, value: Any, expected: str, remedy: str = _REMEDY) -> InvalidInput:
    """The refusal of a field; numbers are shown, and of anything else the kind alone."""
    plain = value is None or value == "nothing" or isinstance(value, bool | int | float)
    numbers = isinstance(value, list | tuple) and len(value) <= 16 and all(isinstance(v, int | float) for v in value)
    found = value if plain or numbers else f"a {type(value).__name__}"
    return InvalidInput(f"{file}, field {field!r}", found, expected, remedy)


def _check_any(file: str, field: str, value: Any, depth: int = 0) -> None:
    """Refuse what no configuration needs, in fields without a rule: no network of such a size is ever begun."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
        raise refused(file, field, value, f"at most {LARGEST}")
    if isinstance(value, list | tuple | Mapping):
        if depth > 3 or len(value) > 4096:
            raise refused(file, field, f"{len(value)} entries", "a short list")
        for entry in value.values() if isinstance(value, Mapping) else value:
            _check_any(file, field, entry, depth + 1)
