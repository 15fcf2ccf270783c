"""Payloads as bytes and back: one safetensors blob, exactly as `megdt_opt.program.wire` counts it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from megdt_opt.errors import MalformedMessage
from megdt_opt.program.precisions import PRECISION_REGISTRY, Precision, layout
from megdt_opt.program.stages import CODECS, Send, TensorSpec
from megdt_opt.program.wire import blob_byte, part_name, payload_byte, payload_span_byte, stored_tensors

Store = dict[str, dict[str, Tensor]]
"""Items of an actor: item name to its tensors."""

_TYPE = {"F32": torch.float32, "F16": torch.float16, "U8": torch.uint8}


def pack(store: Mapping[str, Mapping[str, Tensor]], tensors: Sequence[TensorSpec], precision: str) -> bytes:
    """Serialise the tensors of a send.

    Parameters
    ----------
    store : mapping
        Items of the sender.
    tensors : sequence of TensorSpec
        What the stage declares to send, named "item.tensor".
    precision : str
        "fp32", "fp16", "int8" or a registered one for float tensors, or an image codec.

    Raises
    ------
    MalformedMessage
        If the sender's items are not the declared ones, with names and shapes, or a float tensor holds NaN, infinity or
        what the precision cannot carry; names the tensor.
    """
    _check_items(store, tensors)
    numeric = _numeric(precision)
    stored: dict[str, Tensor] = {}
    for spec in tensors:
        item, _, name = spec.name.partition(".")
        value = store[item][name]
        if not spec.floating:
            stored[spec.name] = _expect(spec.name, value, spec.shape, torch.uint8)
        else:
            stored.update(_encode(spec.name, _expect(spec.name, value, spec.shape, torch.float32), numeric))
    return bytes(safetensors.torch.save({name: value.contiguous() for name, value in stored.items()}))


def unpack(data: bytes, tensors: Sequence[TensorSpec], precision: str) -> Store:
    """Items from a payload; float tensors come back as fp32.

    Raises
    ------
    MalformedMessage
        If the bytes are not exactly the declared payload.
    """
    numeric = _numeric(precision)
    coded = {spec.name for spec in tensors if spec.floating and numeric.length(spec.shape) is not None}
    if not coded and not any(spec.coded for spec in tensors):
        _expect_size(data, payload_byte(tensors, numeric.name))
    try:
        found = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise MalformedMessage(f"not a safetensors payload: {error}") from error
    due = {name for name, *_ in stored_tensors(tensors, numeric.name)}
    if set(found) != due:
        raise MalformedMessage(f"tensors {sorted(due)} were due, {sorted(found)} came")
    stored = stored_tensors(tensors, numeric.name, lambda spec: len(found[spec.name].flatten()))
    if coded:
        _expect_size(data, blob_byte(stored))
    declared = {name: (_TYPE[dtype], shape) for name, dtype, shape, _ in stored}
    for name, (dtype, shape) in declared.items():
        found[name] = _expect(name, found[name], shape, dtype)
    items: Store = {}
    for spec in tensors:
        item, _, name = spec.name.partition(".")
        items.setdefault(item, {})[name] = _decode(spec, found, numeric) if spec.floating else found[spec.name]
    return items


def most_byte(tensors: Sequence[TensorSpec], precision: str, picture: Sequence[int]) -> int:
    """Largest payload of a send [byte]: as declared; of coded pictures and sketches, an eighth more than a raw picture
    has, and of a coded latent one byte more.

    `picture` is the shape of a raw picture (rows, columns, channels).
    """
    declared = payload_span_byte(tensors, _numeric(precision).name)[2]
    return declared + math.prod(picture) * 9 // 8 + 2**12 if any(spec.coded for spec in tensors) else declared


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


def _expect(name: str, value: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if shape == (0,) and dtype == torch.uint8 and value.dim() == 1 and value.dtype == torch.uint8:
        return value  # only the codec knows how long its bytes are
    if value.dtype != dtype or tuple(value.shape) != tuple(shape):
        raise MalformedMessage(
            f"tensor {name!r}: {dtype} {tuple(shape)} was declared, {value.dtype} {tuple(value.shape)} found"
        )
    return value


def _expect_size(data: bytes, due: int) -> None:
    if len(data) != due:
        raise MalformedMessage(f"a payload of {due} byte was due, {len(data)} byte came")


def _numeric(precision: str) -> Precision:
    """The precision of float tensors; beside a coded picture there are none."""
    return PRECISION_REGISTRY.require("fp32" if precision in CODECS else precision)


def _encode(name: str, value: Tensor, precision: Precision) -> dict[str, Tensor]:
    if not bool(torch.isfinite(value).all()):
        raise MalformedMessage(f"tensor {name!r} holds NaN or infinity, of which no picture can be made")
    parts = {key: np.asarray(part) for key, part in precision.encode(value.contiguous().numpy()).items()}
    found = layout(parts)
    if found != precision.stored(tuple(value.shape), next((byte for key, *_, byte in found if key == ""), None)):
        raise MalformedMessage(f"tensor {name!r}: precision {precision.name} made other arrays than for zeros")
    if not all(np.isfinite(part).all() for part in parts.values() if part.dtype.kind == "f"):
        largest = float(value.abs().max())
        raise MalformedMessage(
            f"tensor {name!r} holds values up to {largest:.3g}, which {precision.name} cannot carry; send it in fp32"
        )
    return {part_name(name, key): torch.from_numpy(np.ascontiguousarray(part)) for key, part in parts.items()}


def _decode(spec: TensorSpec, found: Mapping[str, Tensor], precision: Precision) -> Tensor:
    stored = precision.stored(spec.shape)
    parts = {key: found[part_name(spec.name, key)].numpy() for key, *_ in stored}
    values = np.asarray(precision.decode(parts, spec.shape))
    if values.dtype != np.float32 or values.shape != spec.shape:
        raise MalformedMessage(f"tensor {spec.name!r}: precision {precision.name} gave {values.dtype} {values.shape}")
    if not np.isfinite(values).all():
        raise MalformedMessage(f"tensor {spec.name!r} came with NaN or infinity, which no sender may send")
    return torch.from_numpy(np.ascontiguousarray(values))
