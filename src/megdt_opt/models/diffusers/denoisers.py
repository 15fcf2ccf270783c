"""One pass of a denoiser, for the classes of diffusers that are supported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Pass = Callable[[Any, Tensor, Tensor, Tensor, Tensor | None, tuple[int, int, int]], Tensor]
"""(network, latents, timestep, tokens, pooled or None, picture's shape) -> predicted noise or velocity."""


def _unet(
    network: Any,
    latent: Tensor,
    timestep: Tensor,
    tokens: Tensor,
    pooled: Tensor | None,
    image: tuple[int, int, int],
) -> Tensor:
    extra = None
    if pooled is not None:
        rows, columns, _ = image
        sizes = torch.tensor([[rows, columns, 0, 0, rows, columns]], device=latent.device, dtype=latent.dtype)
        extra = {"text_embeds": pooled, "time_ids": sizes.expand(latent.shape[0], -1)}
    return network(latent, timestep, tokens, added_cond_kwargs=extra, return_dict=False)[0]


def _sd3(
    network: Any,
    latent: Tensor,
    timestep: Tensor,
    tokens: Tensor,
    pooled: Tensor | None,
    image: tuple[int, int, int],
) -> Tensor:
    return network(
        latent,
        encoder_hidden_states=tokens,
        pooled_projections=pooled,
        timestep=timestep.expand(latent.shape[0]).to(latent.device),
        return_dict=False,
    )[0]


PASSES: Mapping[str, Pass] = {"UNet2DConditionModel": _unet, "SD3Transformer2DModel": _sd3}
"""The pass of each class."""


def token_width(network: Any) -> int:
    """Values of a conditioning token that a denoiser expects [1]."""
    config = network.config
    return int(getattr(config, "joint_attention_dim", None) or config.cross_attention_dim)


def region_multiple(network: Any) -> int:
    """Rows that a latent region must be a multiple of [rows]."""
    config = network.config
    patch = getattr(config, "patch_size", None)
    if patch is not None:
        return int(patch)
    return int(2 ** (len(config.block_out_channels) - 1))
