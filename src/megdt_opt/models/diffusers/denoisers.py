"""One pass of a denoiser, for the classes of diffusers that are supported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from megdt_opt.models.diffusers.design import FLUX, PIXART, SD3, UNET


@dataclass(frozen=True)
class Given:
    """What a pass is given beside the latents and the timestep.

    Parameters
    ----------
    conditioning : mapping of str to Tensor
        "tokens", and "pooled" and "mask" where there are; of as many rows as the latents.
    image_shape : tuple of int
        (rows, columns, 3) of the picture [pixel].
    guidance : float
        Scale of the guidance [1], for denoisers that take it as an input.
    first_row : int
        Row of the whole latent that the latents begin with [row].
    unguided : int
        How many of the rows, the first ones, are of the pass without a prompt [1].
    controlnet : network or None
        The ControlNet of steps by sketch.
    control : Tensor or None
        What it is shown: pictures (rows of the latents, 3, rows, columns) from 0 to 1.
    """

    conditioning: Mapping[str, Tensor]
    image_shape: tuple[int, int, int]
    guidance: float
    first_row: int = 0
    unguided: int = 0
    controlnet: Any = None
    control: Tensor | None = None


Pass = Callable[[Any, Tensor, Tensor, Given], Tensor]
"""(network, latents, timestep, what is given) -> predicted noise or velocity."""

_AESTHETIC, _UNAESTHETIC = 6.0, 2.5
"""Scores that SDXL's refiner is given with and without the prompt, as its pipeline has them [1]."""


def _unet(network: Any, latent: Tensor, timestep: Tensor, given: Given) -> Tensor:
    config, extra, embedded = network.config, None, None
    pooled = given.conditioning.get("pooled")
    if pooled is not None:
        rows, columns, _ = given.image_shape
        width = config.projection_class_embeddings_input_dim - pooled.shape[-1]
        if width == 5 * config.addition_time_embed_dim:
            kinds = [[rows, columns, 0, 0, _UNAESTHETIC]] * given.unguided
            kinds += [[rows, columns, 0, 0, _AESTHETIC]] * (latent.shape[0] - given.unguided)
        else:
            kinds = [[rows, columns, 0, 0, rows, columns]] * latent.shape[0]
        extra = {"text_embeds": pooled, "time_ids": torch.tensor(kinds, device=latent.device, dtype=latent.dtype)}
    if config.time_cond_proj_dim is not None:
        scale = torch.full((latent.shape[0],), given.guidance - 1.0, device=latent.device)
        embedded = _sinusoids(scale, config.time_cond_proj_dim).to(latent.dtype)
    tokens, added = given.conditioning["tokens"], {}
    if given.control is not None:
        down, middle = given.controlnet(
            latent, timestep, encoder_hidden_states=tokens, controlnet_cond=given.control, return_dict=False
        )
        added = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    return network(
        latent,
        timestep,
        encoder_hidden_states=tokens,
        timestep_cond=embedded,
        added_cond_kwargs=extra,
        return_dict=False,
        **added,
    )[0]


def _sinusoids(scale: Tensor, width: int) -> Tensor:
    """Embedding of a guidance scale, as `LatentConsistencyModelPipeline.get_guidance_scale_embedding` makes it."""
    half = width // 2
    rate = torch.exp(torch.arange(half, dtype=torch.float32) * -(torch.log(torch.tensor(10000.0)) / (half - 1)))
    angle = (scale * 1000.0)[:, None] * rate.to(scale.device)[None]
    both = torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
    return torch.nn.functional.pad(both, (0, width % 2))


def _sd3(network: Any, latent: Tensor, timestep: Tensor, given: Given) -> Tensor:
    return network(
        latent,
        encoder_hidden_states=given.conditioning["tokens"],
        pooled_projections=given.conditioning["pooled"],
        timestep=timestep.expand(latent.shape[0]).to(latent.device),
        return_dict=False,
    )[0]


def _flux(network: Any, latent: Tensor, timestep: Tensor, given: Given) -> Tensor:
    batch, channels, rows, columns = latent.shape
    # two by two cells of the latent are one token
    packed = latent.view(batch, channels, rows // 2, 2, columns // 2, 2).permute(0, 2, 4, 1, 3, 5)
    packed = packed.reshape(batch, (rows // 2) * (columns // 2), channels * 4)
    places = torch.zeros(rows // 2, columns // 2, 3, device=latent.device, dtype=latent.dtype)
    places[..., 1] += torch.arange(given.first_row // 2, given.first_row // 2 + rows // 2, device=latent.device)[
        :, None
    ]
    places[..., 2] += torch.arange(columns // 2, device=latent.device)[None, :]
    tokens = given.conditioning["tokens"]
    scale = None
    if network.config.guidance_embeds:
        scale = torch.full([1], given.guidance, device=latent.device, dtype=torch.float32).expand(batch)
    made = network(
        hidden_states=packed,
        timestep=timestep.expand(batch).to(latent.device, latent.dtype) / 1000,
        guidance=scale,
        pooled_projections=given.conditioning["pooled"],
        encoder_hidden_states=tokens,
        txt_ids=torch.zeros(tokens.shape[1], 3, device=latent.device, dtype=latent.dtype),
        img_ids=places.reshape(-1, 3),
        return_dict=False,
    )[0]
    made = made.view(batch, rows // 2, columns // 2, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return made.reshape(batch, channels, rows, columns)


def _pixart(network: Any, latent: Tensor, timestep: Tensor, given: Given) -> Tensor:
    batch = latent.shape[0]
    extra: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
    if network.use_additional_conditions:
        rows, columns, _ = given.image_shape
        like = {"device": latent.device, "dtype": latent.dtype}
        extra["resolution"] = torch.tensor([rows, columns], **like).repeat(batch, 1)  # type: ignore[arg-type]
        extra["aspect_ratio"] = torch.tensor([rows / columns], **like).repeat(batch, 1)  # type: ignore[arg-type]
    made = network(
        latent,
        encoder_hidden_states=given.conditioning["tokens"],
        encoder_attention_mask=given.conditioning["mask"],
        timestep=timestep.expand(batch).to(latent.device),
        added_cond_kwargs=extra,
        return_dict=False,
    )[0]
    # a second half, where there is one, is the variance that the model has learned
    return made.chunk(2, dim=1)[0] if made.shape[1] == 2 * latent.shape[1] else made


PASSES: Mapping[str, Pass] = {UNET: _unet, SD3: _sd3, FLUX: _flux, PIXART: _pixart}
"""The pass of each class."""
