"""Building and loading the networks of a diffusers pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.models.diffusers.architecture import Architecture, check_fits
from megdt_opt.models.diffusers.configs import (
    AUTOENCODERS,
    CONTROLNET,
    DENOISERS,
    TEXT_MODELS,
    Config,
    check_config,
    refused,
)
from megdt_opt.models.diffusers.controlnet import open_controlnet
from megdt_opt.models.diffusers.design import text_layout, vae_scale
from megdt_opt.models.diffusers.folder import PipelineFolder
from megdt_opt.models.diffusers.location import folder_of
from megdt_opt.models.diffusers.prompts import Prompts, tokenizers_of
from megdt_opt.models.memory import PRECISION_BYTE

_TEXT: Mapping[str, tuple[Any, Any]] = {
    "CLIPTextModel": (transformers.CLIPTextModel, transformers.CLIPTextConfig),
    "CLIPTextModelWithProjection": (transformers.CLIPTextModelWithProjection, transformers.CLIPTextConfig),
    "T5EncoderModel": (transformers.T5EncoderModel, transformers.T5Config),
}


@dataclass(frozen=True)
class Parts:
    """The networks of a pipeline, what they are built from, and its prompts."""

    design: Architecture
    denoiser: Any
    vae: Any
    text: tuple[Any, ...]
    prompts: Prompts

    @property
    def kind(self) -> str:
        """Class of the denoiser."""
        return self.design.kind

    @property
    def schedule(self) -> Config:
        """Noise schedule, as diffusers' schedulers take it."""
        return self.design.schedule


def build(design: Architecture) -> Parts:
    """Networks of an architecture with random weights.

    Raises
    ------
    InvalidInput
        If a part is of another class, a field of a configuration cannot be used, or diffusers or transformers refuse
        it.
    """
    for kind, allowed in ((design.kind, DENOISERS), (design.vae_kind, AUTOENCODERS)):
        if kind not in allowed:
            raise InvalidInput("architecture", kind, f"a part of {allowed}", "Name one of them.")
    where = f"architecture {design.name}"
    check_config(design.kind, design.denoiser, f"{where}, denoiser")
    check_config(design.vae_kind, design.vae, f"{where}, vae")
    for config in design.text:
        if config["architectures"][0] not in TEXT_MODELS:
            raise InvalidInput(where, config["architectures"], f"a text model of {TEXT_MODELS}", "Name one of them.")
        check_config(config["architectures"][0], config, f"{where}, text encoder")
    check_fits(design, where)
    try:
        # through from_config, which knows the defaults and turns lists of a JSON file into what it needs
        with _quiet():
            denoiser = getattr(diffusers, design.kind).from_config(dict(design.denoiser))
            vae = getattr(diffusers, design.vae_kind).from_config(dict(design.vae))
        text = []
        for config in design.text:
            network, settings = _TEXT[config["architectures"][0]]
            text.append(network(settings(**config)))
    except Exception as error:  # their constructors raise many unrelated classes
        raise InvalidInput(
            "architecture", design.name, "configurations that diffusers and transformers accept", f"{_line(error)}."
        ) from error
    return Parts(design, denoiser, vae, tuple(text), Prompts(text_layout(design)))


def parameters_of(design: Architecture) -> dict[str, int]:
    """Parameters of each part, from the configurations alone: nothing is allocated [1].

    Returns
    -------
    dict
        "encode_prompt", "denoise", "decode" and "sense".
    """
    with torch.device("meta"):
        return parameters(build(design))


def needed_byte(design: Architecture, precision: str) -> dict[str, int]:
    """Memory of each part's weights in a precision [byte]; nothing is allocated for it.

    Examples
    --------
    >>> from megdt_opt.models.diffusers.architecture import ARCHITECTURES
    >>> need = needed_byte(ARCHITECTURES["sd15"], "fp32")
    >>> round(need["denoise"] / 1e9, 2), round(sum(need.values()) / 1e9, 2)
    (3.44, 4.26)
    """
    byte = PRECISION_BYTE.get(precision, 4)
    return {part: byte * count for part, count in parameters_of(design).items()}


def parameters(parts: Parts) -> dict[str, int]:
    """Parameters of each part of a pipeline [1]; keys as in `parameters_of`."""
    sizes = {
        "encode_prompt": sum(count for network in parts.text for _, count in _saved(network)),
        "denoise": sum(count for _, count in _saved(parts.denoiser)),
        "decode": 0,
        "sense": 0,
    }
    for name, count in _saved(parts.vae):
        sizes["sense" if name.startswith(("encoder.", "quant_conv.")) else "decode"] += count
    return sizes


def _saved(network: Any) -> Iterator[tuple[str, int]]:
    """Name and values of each tensor that a network's files hold, shared ones once."""
    shared = dict(network.named_parameters(remove_duplicate=False))
    yield from ((name, value.numel()) for name, value in network.named_parameters())
    yield from ((name, value.numel()) for name, value in network.state_dict().items() if name not in shared)


def load_parts(path: str, options: Mapping[str, Any], name: str | None = None) -> Parts:
    """Networks of a pipeline folder or hub id with its weights, from safetensors only; none of its code is run.

    Raises
    ------
    WeightsError
        If it cannot be found or loaded, lacks a tensor, or is of a kind that is not supported.
    InvalidInput
        Where a configuration cannot be used; names its file and field.
    """
    folder = PipelineFolder.open(folder_of(path, **options))
    if not folder.index:
        what = "there is no model_index.json"
        raise WeightsError(f"pipeline {path!r}: not found ({what}). Pass a folder saved by diffusers' save_pretrained.")
    design = Architecture.read(folder, name if name is not None else path.rstrip("/").rsplit("/", 1)[-1])
    variant = options.get("variant")
    for part in (folder.denoiser_part, "vae", *folder.text_parts):
        tuple(folder.tensors(part, variant))  # there and whole, before anything is taken
    network = getattr(diffusers, design.kind)
    denoiser = _loaded(folder, folder.denoiser_part, network, variant)
    vae = _loaded(folder, "vae", getattr(diffusers, design.vae_kind), variant)
    texts = zip(folder.text_parts, design.text, strict=True)
    text = tuple(_loaded(folder, part, _TEXT[config["architectures"][0]][0], variant) for part, config in texts)
    layout = text_layout(design)
    return Parts(design, denoiser, vae, text, Prompts(layout, tokenizers_of(folder, layout)))


def load_decoder(path: str, design: Architecture) -> tuple[Any, str]:
    """An autoencoder that decodes a pipeline's latents in place of its own, and its class.

    Parameters
    ----------
    path : str
        Its folder, with `config.json` and safetensors.
    design : Architecture
        The pipeline.

    Raises
    ------
    InvalidInput, WeightsError
        Where it is none, or is one of other latents.
    """
    where = Path(path).resolve()
    folder, part = PipelineFolder(where.parent, {}), where.name
    kind, file = folder.raw_config(part).get("_class_name"), str(where / "config.json")
    if kind not in AUTOENCODERS:
        raise refused(file, "_class_name", kind, f"one of {AUTOENCODERS}", "Give the folder of such an autoencoder.")
    config = folder.config(part, kind)
    own, theirs = vae_scale(design), vae_scale(replace(design, vae=config, vae_kind=kind))
    channels = design.vae["latent_channels"]
    if (config["latent_channels"], theirs) != (channels, own):
        found = f"{config['latent_channels']} channels at {theirs} pixels a cell"
        expected = f"{channels} channels at {own} pixels a cell, the latents of {design.name!r}"
        raise InvalidInput("decoder", found, expected, "Give the small decoder of this family.")
    return _loaded(folder, part, getattr(diffusers, kind), None), kind


def load_controlnet(path: str, design: Architecture) -> Any:
    """A ControlNet that fits a pipeline.

    Parameters
    ----------
    path : str
        Its folder, with `config.json` and safetensors.
    design : Architecture
        The pipeline.

    Raises
    ------
    InvalidInput, WeightsError
        Where it is none, or does not fit.
    """
    folder, part = open_controlnet(path, design)
    tuple(folder.tensors(part))  # there and whole, before anything is taken
    return _loaded(folder, part, getattr(diffusers, CONTROLNET), None)


def _loaded(folder: PipelineFolder, part: str, network: Any, variant: str | None) -> Any:
    """A part with its weights, none of which is missing."""
    try:
        with _quiet():
            made, report = network.from_pretrained(
                str(folder.path / part),
                use_safetensors=True,
                variant=variant,
                local_files_only=True,
                output_loading_info=True,
                **({"low_cpu_mem_usage": False} if issubclass(network, diffusers.ModelMixin) else {}),
            )
    except Exception as error:
        raise WeightsError(
            f"pipeline {str(folder.path)!r}: {part} cannot be loaded ({type(error).__name__}: {_line(error)}). It "
            "needs complete safetensors weights; save or download it again."
        ) from error
    missing = sorted(str(name) for name in report["missing_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise WeightsError(
            f"pipeline {str(folder.path)!r}: {part} lacks the tensor {missing[0]!r}{more}. Random numbers would stand "
            "in its place; save or download the part again."
        )
    return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the loaders' progress bars, and warnings of fields that their own classes write."""
    before = diffusers.utils.logging.get_verbosity()
    bar = transformers.utils.logging.is_progress_bar_enabled()
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers.utils.logging.set_verbosity(before)
        if bar:
            transformers.utils.logging.enable_progress_bar()


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160].rstrip(".") if text else type(error).__name__
