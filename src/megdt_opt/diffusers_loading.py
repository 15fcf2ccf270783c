"""Building and loading the networks of a diffusers pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import transformers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from megdt_opt.diffusers_architecture import Architecture, Config, known_schedule
from megdt_opt.errors import InvalidInput, WeightsError

# diffusers' constructors and loaders carry no types
_UNet: Any = diffusers.UNet2DConditionModel
_Vae: Any = diffusers.AutoencoderKL
_Pipeline: Any = diffusers.DiffusionPipeline
_Scheduler: Any = diffusers.DDIMScheduler
_Tokenizer: Any = transformers.CLIPTokenizer


@dataclass(frozen=True)
class Parts:
    """The networks of a pipeline, and the tokeniser where there is one."""

    unet: Any
    vae: Any
    text: tuple[Any, ...]
    schedule: Config
    tokenizer: Any = None


def build(design: Architecture) -> Parts:
    """Networks of an architecture with random weights.

    Raises
    ------
    InvalidInput
        If diffusers or transformers refuse a configuration.
    """
    try:
        # through from_config, which knows the defaults and turns lists of a JSON file into what it needs
        unet = _UNet.from_config(dict(design.unet))
        vae = _Vae.from_config(dict(design.vae))
        text = []
        for number, config in enumerate(design.text):
            # every text encoder after the first gives the pooled conditioning through its projection
            kind = CLIPTextModel if number == 0 else CLIPTextModelWithProjection
            text.append(kind(CLIPTextConfig(**config)))
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidInput(
            "architecture", design.name, "configurations that diffusers and transformers accept", f"{error}."
        ) from error
    return Parts(unet, vae, tuple(text), design.schedule)


def load_parts(path: str, options: Mapping[str, Any]) -> Parts:
    """Networks of a pipeline folder or hub id with its weights, from safetensors only.

    Raises
    ------
    WeightsError
        If it cannot be found or loaded, or is of a kind that is not supported.
    """

    try:
        index = dict(_Pipeline.load_config(path, **_hub_only(options)))
    except Exception as error:  # the loaders raise many unrelated classes for "not there"
        raise WeightsError(
            f"pipeline {path!r}: not found ({type(error).__name__}). Pass a folder saved by diffusers, or "
            "the id of a model that this machine can download or has cached."
        ) from error
    wanted = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"}
    for part, kind in wanted.items():
        named = index.get(part)
        if not isinstance(named, list | tuple) or named[1] != kind:
            raise WeightsError(
                f"pipeline {path!r}: {part} is {named!r}; expected {kind}. Only U-Net pipelines with an "
                "AutoencoderKL and CLIP text encoders (SD1.x, SD2.x, SDXL and their kin) are supported."
            )
    names = [n for n in ("text_encoder", "text_encoder_2") if _present(index.get(n))]
    if not names:
        raise WeightsError(f"pipeline {path!r}: no text encoder; expected one or two CLIP text models.")
    kinds: dict[str, Any] = {
        "CLIPTextModel": CLIPTextModel,
        "CLIPTextModelWithProjection": CLIPTextModelWithProjection,
    }
    try:
        unet = _UNet.from_pretrained(path, subfolder="unet", use_safetensors=True, **options)
        vae = _Vae.from_pretrained(path, subfolder="vae", use_safetensors=True, **options)
        text = tuple(
            kinds[index[n][1]].from_pretrained(path, subfolder=n, use_safetensors=True, **options)
            for n in names
        )
        schedule = _schedule(path, options)
        tokenizer = (
            _Tokenizer.from_pretrained(path, subfolder="tokenizer", **_hub_only(options))
            if _present(index.get("tokenizer"))
            else None
        )
    except Exception as error:
        raise WeightsError(
            f"pipeline {path!r}: cannot be loaded ({type(error).__name__}: {_line(error)}). It needs "
            "complete safetensors weights of unet, vae and text encoders; save or download it again."
        ) from error
    return Parts(unet, vae, text, schedule, tokenizer)


def _schedule(path: str, options: Mapping[str, Any]) -> Config:
    return known_schedule(dict(_Scheduler.load_config(path, subfolder="scheduler", **_hub_only(options))))


def _present(entry: Any) -> bool:
    return isinstance(entry, list | tuple) and len(entry) == 2 and entry[0] is not None


def _hub_only(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that concern finding a file, not the weights in it."""
    return {k: v for k, v in options.items() if k in ("revision", "local_files_only", "cache_dir", "token")}


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else ""
