"""A small change of the denoiser's weights: low-rank factors and biases of its layers (LoRA, arXiv 2106.09685)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

DOWN, UP, BIAS = ".down", ".up", ".bias"
"""Ends of the names of a layer's factors: W + up @ down, and what its bias changes by."""


def layers(net: nn.Module) -> Iterator[tuple[str, nn.Linear | nn.Conv2d]]:
    """The layers that are changed, by their names: every linear one and every convolution."""
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            yield name, layer


def shapes(net: nn.Module, rank: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the factors of a network at a rank."""
    found: dict[str, tuple[int, ...]] = {}
    for name, layer in layers(net):
        outside, *inside = layer.weight.shape
        found[name + DOWN] = (rank, math.prod(inside))
        found[name + UP] = (outside, rank)
        if layer.bias is not None:
            found[name + BIAS] = (outside,)
    return found


def first_factors(net: nn.Module, rank: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Factors that change nothing yet, to be trained."""
    factors = {}
    for name, shape in shapes(net, rank).items():
        factors[name] = torch.zeros(shape)
        if name.endswith(DOWN):
            factors[name] = torch.randn(shape, generator=generator) / math.sqrt(shape[1])
    return factors


def changed(net: nn.Module, factors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the changed layers, float32: those of the network and the factors' products."""
    weights: dict[str, Tensor] = {}
    for name, layer in layers(net):
        product = factors[name + UP] @ factors[name + DOWN]
        weights[f"{name}.weight"] = layer.weight + product.reshape(layer.weight.shape)
        if layer.bias is not None:
            weights[f"{name}.bias"] = layer.bias + factors[name + BIAS]
    return weights
