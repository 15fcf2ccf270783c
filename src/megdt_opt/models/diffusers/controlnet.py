"""ControlNets of diffusers beside a pipeline: what fits, what they weigh, and what the pipeline's spec is with one.

Nothing here loads torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.models.diffusers.architecture import Architecture
from megdt_opt.models.diffusers.configs import CONTROLNET, Config, refused
from megdt_opt.models.diffusers.design import UNET, vae_scale
from megdt_opt.models.diffusers.folder import PipelineFolder
from megdt_opt.models.diffusers.location import folder_of
from megdt_opt.models.memory import PRECISION_BYTE
from megdt_opt.program.model_spec import WITH_PROMPT, ModelSpec

_SAME = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim", "down_block_types")
"""Fields in which a ControlNet is like the denoiser whose blocks it adds to."""

_USUAL: Config = {
    "in_channels": 4,
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "conditioning_embedding_out_channels": (16, 32, 96, 256),
}
"""What diffusers takes for fields that a configuration leaves out."""


def open_controlnet(path: str, design: Architecture) -> tuple[PipelineFolder, str]:
    """The folder of a ControlNet and the name of its part in it, where it fits a pipeline.

    Parameters
    ----------
    path : str
        Folder with `config.json` and safetensors.
    design : Architecture
        The pipeline.

    Raises
    ------
    InvalidInput
        Where the pipeline is of no kind that is supported with one, or the folder's is of another class or shape; names
        what.
    """
    if design.kind != UNET or design.denoiser.get("addition_embed_type") is not None:
        expected = "none with this pipeline: those of Stable Diffusion 1 and 2 are supported"
        raise InvalidInput("controlnet", path, f"{expected}, not of {design.pipeline or design.kind}", "Leave it out.")
    where = Path(path).resolve()
    folder, part = PipelineFolder(where.parent, {}), where.name
    kind, file = folder.raw_config(part).get("_class_name"), str(where / "config.json")
    if kind != CONTROLNET:
        raise refused(file, "_class_name", kind, CONTROLNET, "Give the folder of a ControlNet.")
    config = folder.config(part, CONTROLNET)
    for field in _SAME:
        mine, own = (_plain(found.get(field, _USUAL.get(field))) for found in (config, design.denoiser))
        if mine != own:
            raise refused(file, field, config.get(field), f"{own}, as the denoiser of {design.name!r} has", _FITS)
    blocks = _plain(config.get("conditioning_embedding_out_channels", _USUAL["conditioning_embedding_out_channels"]))
    if 2 ** (len(blocks) - 1) != vae_scale(design):
        expected = f"as many steps as halve a picture to latents of {vae_scale(design)} pixels a cell"
        raise refused(file, "conditioning_embedding_out_channels", list(blocks), expected, _FITS)
    return folder, part


_FITS = "Give the folder of a ControlNet that was trained for this pipeline."


def with_controlnet(spec: ModelSpec, path: str, byte: int) -> ModelSpec:
    """The spec of a pipeline with a ControlNet, which makes pictures from sketches: its profiles are of another name.

    Parameters
    ----------
    spec : ModelSpec
        The pipeline's.
    path : str
        Folder of the ControlNet.
    byte : int
        Memory of its weights [byte].
    """
    return replace(
        spec,
        name=f"{spec.name}+{PurePath(path).name}",
        sketch=WITH_PROMPT,
        controlnet=str(Path(path).resolve()),
        weight_byte={**spec.weight_byte, "read_sketch": byte},
    )


def bare_name(spec: ModelSpec) -> str:
    """Name of a pipeline without its ControlNet's."""
    return spec.name.removesuffix(f"+{PurePath(spec.controlnet).name}") if spec.controlnet else spec.name


def spec_with_controlnet(spec: ModelSpec, path: str) -> ModelSpec:
    """`with_controlnet` of a folder that is opened, and checked to fit.

    Raises
    ------
    InvalidInput
        Where the model is no pipeline's folder, or as by `open_controlnet`.
    WeightsError
        Where the ControlNet has no weights.
    """
    if not spec.source or spec.weights == "random":
        expected = f"none: the model {spec.name!r} is no pipeline's folder with its weights"
        raise InvalidInput("controlnet", path, expected, "Leave it out, or name such a folder as the model.")
    if spec.controlnet:
        expected = f"none beside {spec.controlnet!r}, which the model's spec has"
        raise InvalidInput("controlnet", path, expected, "Remove one of the two.")
    design = Architecture.read(PipelineFolder.open(folder_of(spec.source, local_files_only=True)), spec.name)
    folder, part = open_controlnet(path, design)
    byte = PRECISION_BYTE.get(spec.weight_precision, 4) * sum(count for _, count, _ in folder.tensors(part))
    return with_controlnet(spec, path, byte)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
