"""Exact size of a payload on the air, headers included, without torch.

A payload is one safetensors blob: 8 bytes of header length, a JSON header padded to 8 bytes, and the
tensors' data (format: https://huggingface.co/docs/safetensors). The serialiser of the execution
writes the same tensors, and a test proves that the sizes agree byte for byte.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from megdt_opt.program.stages import TensorSpec

_DTYPE = {"fp32": ("F32", 4), "fp16": ("F16", 2), "int8": ("U8", 1)}


def stored_tensors(tensors: Sequence[TensorSpec], precision: str) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Tensors as they are stored: (name, safetensors type, shape, bytes).

    With int8, a float tensor (B, C, ...) is stored as 8-bit codes with a scale and an offset per
    channel C, both fp32.
    """
    stored: list[tuple[str, str, tuple[int, ...], int]] = []
    for tensor in tensors:
        count = math.prod(tensor.shape)
        if not tensor.floating:
            stored.append((tensor.name, "U8", tensor.shape, count))
            continue
        dtype, width = _DTYPE[precision]
        stored.append((tensor.name, dtype, tensor.shape, count * width))
        if precision == "int8":
            affine = tensor.shape[:2]
            stored.append((f"{tensor.name}.offset", "F32", affine, math.prod(affine) * 4))
            stored.append((f"{tensor.name}.scale", "F32", affine, math.prod(affine) * 4))
    return stored


def payload_byte(tensors: Sequence[TensorSpec], precision: str) -> int:
    """Bytes of the safetensors blob of these tensors [byte].

    Parameters
    ----------
    tensors : sequence of TensorSpec
        What is sent.
    precision : str
        "fp32", "fp16" or "int8", applied to the float tensors.
    """
    # safetensors sorts by alignment (widest type first), then by name
    order = sorted(stored_tensors(tensors, precision), key=lambda t: (-_align(t[1]), t[0]))
    header: dict[str, dict[str, object]] = {}
    offset = 0
    for name, dtype, shape, size in order:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    length = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + math.ceil(length / 8) * 8 + offset


def _align(dtype: str) -> int:
    return {"F32": 4, "F16": 2, "U8": 1}[dtype]
