"""The samplers of a pipeline, as its class and its scheduler's file have them."""

from __future__ import annotations

from megdt_opt.models.diffusers.architecture import Architecture
from megdt_opt.models.diffusers.design import FLUX, SD3, UNET
from megdt_opt.models.sampling import Samplers
from megdt_opt.models.sampling.kinds import KINDS


def samplers_of(design: Architecture, latent_size: tuple[int, int]) -> Samplers:
    """The samplers of a pipeline whose latents have this size (rows, columns).

    Raises
    ------
    InvalidInput
        If the pipeline's own scheduler or a setting of it is none that can be honoured; names the setting.
    """
    patch = {SD3: int(design.denoiser.get("patch_size", 2)), FLUX: 2}.get(design.kind)
    tokens = None if patch is None else (latent_size[0] // patch) * (latent_size[1] // patch)
    pipeline = design.pipeline or _usual(design)
    kinds = {"lcm": KINDS["lcm"]} if pipeline.startswith("LatentConsistencyModel") else KINDS  # it takes no other
    return Samplers(design.schedule, kinds, pipeline=pipeline, tokens=tokens)


def _usual(design: Architecture) -> str:
    """Class of the pipeline where no index names it."""
    if design.kind == FLUX:
        return "FluxPipeline"
    plain = design.kind == UNET and design.denoiser.get("addition_embed_type") is None
    return "StableDiffusionPipeline" if plain and design.denoiser.get("time_cond_proj_dim") is None else ""
