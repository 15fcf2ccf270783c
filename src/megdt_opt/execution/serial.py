"""Payloads as bytes and back: one safetensors blob, exactly as `megdt_opt.program.wire` counts it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from megdt_opt.errors import MalformedMessage
from megdt_opt.program.stages import PRECISIONS, Send, TensorSpec
from megdt_opt.program.wire import payload_byte, stored_tensors

Store = dict[str, dict[str, Tensor]]
"""Items of an actor: item name to its tensors."""

_TYPE = {"F32": torch.float32, "F16": torch.float16, "U8": torch.uint8}
_ENCODED = ("png", "jpeg")


def pack(store: Mapping[str, Mapping[str, Tensor]], tensors: Sequence[TensorSpec], precision: str) -> bytes:
    """Serialise the tensors of a send.

    Parameters
    ----------
    store : mapping
        Items of the sender.
    tensors : sequence of TensorSpec
        What the stage declares to send, named "item.tensor".
    precision : str
        "fp32", "fp16" or "int8" for float tensors, or an image codec.

    Raises
    ------
    MalformedMessage
        If the sender's items are not the declared ones, with names and shapes.
    """
    _check_items(store, tensors)
    numeric = precision if precision in PRECISIONS else "fp32"
    stored: dict[str, Tensor] = {}
    for spec in tensors:
        item, _, name = spec.name.partition(".")
        value = store[item][name]
        if not spec.floating:
            stored[spec.name] = _expect(spec.name, value, spec.shape, torch.uint8, precision)
        else:
            stored.update(_encode(spec.name, _expect(spec.name, value, spec.shape, torch.float32, ""), numeric))
    return bytes(safetensors.torch.save({name: value.contiguous() for name, value in stored.items()}))


def unpack(data: bytes, tensors: Sequence[TensorSpec], precision: str) -> Store:
    """Items from a payload; float tensors come back as fp32.

    Raises
    ------
    MalformedMessage
        If the bytes are not exactly the declared payload.
    """
    numeric = precision if precision in PRECISIONS else "fp32"
    expected = payload_byte(tensors, numeric)
    if precision not in _ENCODED and len(data) != expected:
        raise MalformedMessage(f"a payload of {expected} byte was due, {len(data)} byte came")
    try:
        found = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise MalformedMessage(f"not a safetensors payload: {error}") from error
    declared = {name: (_TYPE[dtype], shape) for name, dtype, shape, _ in stored_tensors(tensors, numeric)}
    if set(found) != set(declared):
        raise MalformedMessage(f"tensors {sorted(declared)} were due, {sorted(found)} came")
    for name, (dtype, shape) in declared.items():
        found[name] = _expect(name, found[name], shape, dtype, precision)
    items: Store = {}
    for spec in tensors:
        item, _, name = spec.name.partition(".")
        value = found[spec.name]
        items.setdefault(item, {})[name] = _decode(spec.name, found, numeric) if spec.floating else value
    return items


def rehearse(leaf: Send) -> None:
    """Pack and unpack zeros of a stage's shapes: the first time in a process is slow."""
    store: Store = {}
    for spec in leaf.tensors:
        item, _, name = spec.name.partition(".")
        store.setdefault(item, {})[name] = torch.zeros(
            spec.shape, dtype=torch.float32 if spec.floating else torch.uint8
        )
    for _ in range(3):
        unpack(pack(store, leaf.tensors, leaf.precision), leaf.tensors, leaf.precision)


def _check_items(store: Mapping[str, Mapping[str, Tensor]], tensors: Sequence[TensorSpec]) -> None:
    # an item travels whole or not at all: a multistep history left behind would change the picture silently
    declared: dict[str, set[str]] = {}
    for spec in tensors:
        item, _, name = spec.name.partition(".")
        declared.setdefault(item, set()).add(name)
    for item, names in declared.items():
        if item not in store:
            raise MalformedMessage(f"the sender has no item {item!r}; it has {sorted(store)}")
        if set(store[item]) != names:
            raise MalformedMessage(
                f"item {item!r} holds {sorted(store[item])}, but the stage declares to send {sorted(names)}"
            )


def _expect(name: str, value: Tensor, shape: tuple[int, ...], dtype: torch.dtype, precision: str) -> Tensor:
    if precision in _ENCODED and value.dim() == 1 and value.dtype == torch.uint8:
        return value  # only the codec knows how long its bytes are
    if value.dtype != dtype or tuple(value.shape) != tuple(shape):
        raise MalformedMessage(
            f"tensor {name!r}: {dtype} {tuple(shape)} was declared, {value.dtype} {tuple(value.shape)} found"
        )
    return value


def _encode(name: str, value: Tensor, precision: str) -> dict[str, Tensor]:
    if precision == "fp32":
        return {name: value}
    if not bool(torch.isfinite(value).all()):
        raise MalformedMessage(f"tensor {name!r} holds NaN or infinity, which {precision} cannot carry")
    if precision == "fp16":
        return {name: value.to(torch.float16)}
    flat = value.reshape(*value.shape[:2], math.prod(value.shape[2:]))
    low = flat.amin(dim=-1)
    span = flat.amax(dim=-1) - low
    scale = torch.where(span > 0, span / 255, torch.ones_like(span))
    codes = ((flat - low[..., None]) / scale[..., None]).round().clamp(0, 255).to(torch.uint8)
    return {name: codes.reshape(value.shape), f"{name}.offset": low, f"{name}.scale": scale}


def _decode(name: str, found: Mapping[str, Tensor], precision: str) -> Tensor:
    value = found[name]
    if precision != "int8":
        return value.to(torch.float32)
    tail = (1,) * (value.dim() - 2)
    offset, scale = found[f"{name}.offset"], found[f"{name}.scale"]
    return value.to(torch.float32) * scale.reshape(*scale.shape, *tail) + offset.reshape(*offset.shape, *tail)
