"""Low-rank factors of the denoiser's layers in torch (LoRA, arXiv 2106.09685): where training begins, and merging."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from megdt_opt.models.twin.adapters import BIAS, DOWN, UP, AdapterFile, base_layers, factor_shapes
from megdt_opt.models.twin.networks import Denoiser


def first_factors(rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Factors of the bundled denoiser that change nothing yet, to be trained."""
    return {
        name: torch.randn(shape, generator=generator) / math.sqrt(shape[1])
        if name.endswith(DOWN)
        else torch.zeros(shape)
        for name, shape in factor_shapes(base_layers()[0], rank).items()
    }


def changed(net: nn.Module, factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the changed layers, float32: those of the network plus what the factors make."""
    own = net.state_dict(keep_vars=True)
    weights: dict[str, Tensor] = {}
    for name, (shape, biased) in base_layers()[0].items():
        weights[f"{name}.weight"] = own[f"{name}.weight"] + (factors[name + UP] @ factors[name + DOWN]).reshape(shape)
        if biased:
            weights[f"{name}.bias"] = own[f"{name}.bias"] + factors[name + BIAS]
    return weights


@torch.no_grad()
def merged(net: Denoiser, adapter: AdapterFile) -> Denoiser:
    """A copy of the bundled denoiser, changed as an adapter says."""
    made = copy.deepcopy(net)
    made.load_state_dict(changed(net, {n: torch.from_numpy(v) for n, v in adapter.factors.items()}), strict=False)
    return made.eval().requires_grad_(False)
