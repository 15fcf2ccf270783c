"""Tensors that a model is handed, checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.program.samplers import GENERATOR, GENERATOR_BYTE


def checked(name: str, value: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """The tensor itself, if it can be used.

    Parameters
    ----------
    name : str
        What it is, for the message.
    value : Tensor
        (B, *shape) with B of at least 1.
    shape : sequence of int
        Shape without the batch dimension.
    dtype : torch.dtype
        Type of its values. Floats must be finite; on an accelerator, where looking would hold up every stage, that is
        left to whoever reads the picture.

    Raises
    ------
    InvalidInput
        If shape, type or a value is another.
    """
    if value.ndim != len(shape) + 1 or tuple(value.shape[1:]) != tuple(shape) or value.shape[0] < 1:
        wanted = ", ".join(str(n) for n in shape)
        raise InvalidInput(name, tuple(value.shape), f"shape (batch, {wanted})", "Pass a tensor of this shape.")
    if value.dtype != dtype:
        wanted = str(dtype).removeprefix("torch.")
        raise InvalidInput(name, str(value.dtype), f"{wanted} values", f"Convert it to {wanted}.")
    if value.is_floating_point() and value.device.type == "cpu" and not torch.isfinite(value).all():
        raise InvalidInput(name, "NaN or infinity", "finite values", "Look for what made them.")
    return value


def checked_part(name: str, given: Mapping[str, Tensor], shape: Sequence[int]) -> Tensor:
    """The tensor of this name among those given, checked as by `checked`, which also says what is raised."""
    if name not in given:
        raise InvalidInput(name, sorted(given), f"a tensor named {name!r}", "Add it.")
    return checked(name, given[name], shape)


def checked_state(state: Mapping[str, Tensor], shape: Sequence[int]) -> dict[str, Tensor]:
    """A chain's state, whose tensors have the latent's shape (without the batch dimension), but for `GENERATOR`.

    Raises
    ------
    InvalidInput
        If there is no latent, or as by `checked`.
    """
    if "latent" not in state:
        raise InvalidInput("state", sorted(state), "a tensor named 'latent'", "Pass the state that start gives.")
    return {
        name: checked(name, value, (GENERATOR_BYTE,), torch.uint8) if name == GENERATOR else checked(name, value, shape)
        for name, value in state.items()
    }


def check_batch(name: str, value: Tensor, batch: int) -> None:
    """Refuse a tensor of another batch than the latents' with InvalidInput."""
    if value.shape[0] != batch:
        raise InvalidInput(name, tuple(value.shape), f"a batch of {batch}", "Pass one set for each latent.")
