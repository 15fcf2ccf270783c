"""Inputs that stages are timed on: requests, batched states, and generated pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from megdt_opt.models.split_model import SplitModel

Tensors = dict[str, Tensor]


def batched(items: Sequence[Mapping[str, Tensor]], device: torch.device) -> Tensors:
    """Items of batch 1 joined into one batch, on a device."""
    return {name: torch.cat([item[name] for item in items]).to(device) for name in items[0]}


def example_requests(model: SplitModel, count: int, seed: int = 0) -> list[Tensors]:
    """Requests to time a model on.

    What the model itself offers as `example_requests(count, seed)`, else zeros of the shapes that its spec states (a
    stage's time does not depend on the values).
    """
    offered = getattr(model, "example_requests", None)
    if offered is not None:
        return [dict(request) for request in offered(count, seed)]
    shapes = model.spec.request
    return [{name: torch.zeros(1, *shape) for name, shape in shapes.items()} for _ in range(count)]


def has_real_requests(model: SplitModel) -> bool:
    """Whether `example_requests` are such as users send, so that pictures made from them are typical."""
    return bool(getattr(model, "real_requests", False))


def pictures(model: SplitModel, requests: Sequence[Mapping[str, Tensor]], *, scheduler: str) -> list[Tensor]:
    """One generated picture for each request, uint8 (1, rows, columns, 3), on the CPU."""
    steps = model.spec.steps_default
    made = []
    with torch.no_grad():
        for seed, request in enumerate(requests):
            state = model.denoise(
                model.start(seed, scheduler=scheduler, steps=steps),
                model.encode_prompt(request),
                scheduler=scheduler,
                steps=steps,
                first=0,
                count=steps,
            )
            made.append(model.decode(state["latent"]).cpu())
    return made
