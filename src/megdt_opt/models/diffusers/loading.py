"""Building and loading the networks of a diffusers pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import transformers
from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.models.diffusers.architecture import KINDS, Architecture, Config, known_schedule

# diffusers' and transformers' constructors and loaders carry no types
_Vae: Any = diffusers.AutoencoderKL
_Pipeline: Any = diffusers.DiffusionPipeline
_Scheduler: Any = diffusers.DDIMScheduler
_Tokenizer: Any = transformers.AutoTokenizer
_TEXT: Mapping[str, tuple[Any, Any]] = {
    "CLIPTextModel": (transformers.CLIPTextModel, transformers.CLIPTextConfig),
    "CLIPTextModelWithProjection": (transformers.CLIPTextModelWithProjection, transformers.CLIPTextConfig),
    "T5EncoderModel": (transformers.T5EncoderModel, transformers.T5Config),
}

HUB_WAIT_S = 10.0
"""How long to wait for a hub's answer whether it has a model [s]."""


@dataclass(frozen=True)
class Parts:
    """The networks of a pipeline, and the tokenisers where there are any."""

    denoiser: Any
    vae: Any
    text: tuple[Any, ...]
    schedule: Config
    tokenizers: tuple[Any, ...] | None = None

    @property
    def kind(self) -> str:
        """Class of the denoiser."""
        return type(self.denoiser).__name__


def build(design: Architecture) -> Parts:
    """Networks of an architecture with random weights.

    Raises
    ------
    InvalidInput
        If the denoiser or a text model is of another class, or diffusers or transformers refuse a
        configuration.
    """
    if design.kind not in KINDS:
        raise InvalidInput("architecture", design.kind, f"a denoiser of {KINDS}", "Name one of them.")
    try:
        # through from_config, which knows the defaults and turns lists of a JSON file into what it needs
        denoiser = getattr(diffusers, design.kind).from_config(dict(design.denoiser))
        vae = _Vae.from_config(dict(design.vae))
        text = []
        for config in design.text:
            network, settings = _TEXT[config["architectures"][0]]
            text.append(network(settings(**config)))
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidInput(
            "architecture", design.name, "configurations that diffusers and transformers accept", f"{error}."
        ) from error
    return Parts(denoiser, vae, tuple(text), design.schedule)


def load_parts(path: str, options: Mapping[str, Any]) -> Parts:
    """Networks of a pipeline folder or hub id with its weights, from safetensors only.

    Raises
    ------
    WeightsError
        If it cannot be found or loaded, or is of a kind that is not supported.
    """
    options = _answered(path, options)
    try:
        index = dict(_Pipeline.load_config(path, **_hub_only(options)))
    except Exception as error:  # the loaders raise many unrelated classes for "not there"
        raise _not_found(path, type(error).__name__) from error
    part = "transformer" if _present(index.get("transformer")) else "unet"
    kind = _named(index, part)
    names = [n for n in ("text_encoder", "text_encoder_2", "text_encoder_3") if _present(index.get(n))]
    found = {part: kind, "vae": _named(index, "vae"), **{n: _named(index, n) for n in names}}
    allowed: dict[str, tuple[str, ...]] = {part: KINDS, "vae": ("AutoencoderKL",)}
    for name, named in found.items():
        if named not in allowed.get(name, tuple(_TEXT)):
            raise WeightsError(
                f"pipeline {path!r}: {name} is {named!r}; expected one of {allowed.get(name, tuple(_TEXT))}. "
                "Supported are SD1.x, SD2.x, SDXL, SD3 and their kin."
            )
    if "text_encoder" not in names:
        raise WeightsError(f"pipeline {path!r}: no text encoder; expected at least one CLIP text model.")
    try:
        denoiser = getattr(diffusers, kind).from_pretrained(path, subfolder=part, use_safetensors=True, **options)
        vae = _Vae.from_pretrained(path, subfolder="vae", use_safetensors=True, **options)
        text = tuple(
            _TEXT[found[n]][0].from_pretrained(path, subfolder=n, use_safetensors=True, **options) for n in names
        )
        schedule = _Scheduler.load_config(path, subfolder="scheduler", **_hub_only(options))
        tokenizers = _tokenizers(path, index, [n for n in names if found[n] == "T5EncoderModel"], options)
    except Exception as error:
        raise WeightsError(
            f"pipeline {path!r}: cannot be loaded ({type(error).__name__}: {_line(error)}). It needs "
            "complete safetensors weights of denoiser, vae and text encoders; save or download it again."
        ) from error
    return Parts(denoiser, vae, text, known_schedule(dict(schedule), kind), tokenizers)


def _answered(path: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with which to look for a pipeline, without a long wait for a hub that does not have it.

    The loaders would ask for a file again and again. Where the hub does not answer one question, what is cached is
    taken; where nothing is, that is said.
    """
    if path and Path(path).is_dir():
        return options
    try:
        validate_repo_id(path)
        owned = "/" in path
    except HFValidationError:
        owned = False
    if not owned:
        raise _not_found(path, "neither a folder nor an id of the form OWNER/MODEL")
    if options.get("local_files_only") or constants.HF_HUB_OFFLINE:
        return options
    try:
        HfApi().model_info(path, timeout=HUB_WAIT_S, revision=options.get("revision"), token=options.get("token"))
    except HfHubHTTPError as error:
        if error.response.status_code < 500:
            raise _not_found(path, f"the hub says {type(error).__name__}") from error
        return _cached(path, options, error)
    except Exception as error:  # what a network can do
        return _cached(path, options, error)
    return options


def _cached(path: str, options: Mapping[str, Any], error: Exception) -> Mapping[str, Any]:
    """The options with which to load what is on this machine, for want of the hub."""
    found = try_to_load_from_cache(
        path, "model_index.json", cache_dir=options.get("cache_dir"), revision=options.get("revision")
    )
    if not isinstance(found, str):
        reason = f"not cached, and {constants.ENDPOINT} gave no answer within {HUB_WAIT_S:g} s: {type(error).__name__}"
        raise _not_found(path, reason) from error
    return {**options, "local_files_only": True}


def _not_found(path: str, reason: str) -> WeightsError:
    return WeightsError(
        f"pipeline {path!r}: not found ({reason}). Pass a folder saved by diffusers, or the id of a model that this "
        "machine can download or has cached."
    )


def _tokenizers(
    path: str, index: Mapping[str, Any], t5: list[str], options: Mapping[str, Any]
) -> tuple[Any, ...] | None:
    """Tokeniser of the CLIP models, and of the T5 encoder where there is one; None without."""
    folders = ["tokenizer", *(name.replace("text_encoder", "tokenizer") for name in t5)]
    if not all(_present(index.get(folder)) for folder in folders):
        return None
    return tuple(_Tokenizer.from_pretrained(path, subfolder=f, **_hub_only(options)) for f in folders)


def _named(index: Mapping[str, Any], part: str) -> str:
    entry: Any = index.get(part)
    return str(entry[1]) if _present(entry) else "missing"


def _present(entry: Any) -> bool:
    return isinstance(entry, list | tuple) and len(entry) == 2 and entry[0] is not None


def _hub_only(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that concern finding a file, not the weights in it."""
    return {k: v for k, v in options.items() if k in ("revision", "local_files_only", "cache_dir", "token")}


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else ""
