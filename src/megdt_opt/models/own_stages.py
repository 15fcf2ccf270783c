"""Compute stages that users registered, on a model's items."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from megdt_opt.errors import ExecutionError
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.kinds import OwnStage

Items = Mapping[str, Mapping[str, Tensor]]


def run_own_stage(stage: OwnStage, model: SplitModel, items: Items) -> dict[str, dict[str, Tensor]]:
    """The items that a user's stage makes.

    Raises
    ------
    ExecutionError
        Where it needs an item that is not there, or makes others than it declares.
    """
    missing = [name for name in stage.takes if name not in items]
    if missing:
        raise ExecutionError(f"stage {stage.name} needs the items {missing}; there are {sorted(items)}")
    made = stage.work(model, {name: items[name] for name in stage.takes})
    found = {name: dict(tensors) for name, tensors in made.items()}
    if set(found) != set(stage.makes) or not all(
        isinstance(t, Tensor) for item in found.values() for t in item.values()
    ):
        raise ExecutionError(f"stage {stage.name} makes the items {list(stage.makes)} of tensors, not {sorted(found)}")
    return found


def rehearsal(stage: OwnStage, model: SplitModel, request: Mapping[str, Tensor]) -> Callable[[], object]:
    """The stage on items as an execution would have them, to be timed by itself."""
    items = {name: _ITEMS[name](model, request) for name in stage.takes}
    return lambda: run_own_stage(stage, model, items)


def _latent(model: SplitModel, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
    at = next(iter(request.values())).device
    generator = torch.Generator().manual_seed(0)
    return {"latent": torch.randn(1, *model.spec.latent_shape, generator=generator).to(at)}


def _image(model: SplitModel, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        return {"pixels": model.decode(_latent(model, request)["latent"])}


def _camera(model: SplitModel, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"image": torch.full((1, *model.spec.image_shape), 127, dtype=torch.uint8)}


def _conditioning(model: SplitModel, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
    with torch.no_grad():
        return model.encode_prompt(request)


_ITEMS: dict[str, Callable[[SplitModel, Mapping[str, Tensor]], Mapping[str, Tensor]]] = {
    "request": lambda model, request: request,
    "camera": _camera,
    "conditioning": _conditioning,
    "sensed": _latent,
    "state": _latent,
    "image": _image,
}
