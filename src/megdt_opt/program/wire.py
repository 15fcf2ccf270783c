"""Exact size of a payload on the air, headers included, without torch.

A payload is one safetensors blob: 8 bytes of header length, a JSON header padded to 8 bytes, and the
tensors' data (format: https://huggingface.co/docs/safetensors). The serialiser of the execution
writes the same tensors, and a test proves that the sizes agree byte for byte.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import lru_cache

from megdt_opt.program.precisions import PRECISION_REGISTRY, STORED
from megdt_opt.program.stages import TensorSpec

Stored = list[tuple[str, str, tuple[int, ...], int]]
"""Tensors as they are stored: (name, safetensors type, shape, bytes)."""


def stored_tensors(
    tensors: Sequence[TensorSpec], precision: str, coded_byte: Callable[[TensorSpec], int] | None = None
) -> Stored:
    """Tensors as they are stored.

    With int8, for example, a float tensor (B, C, ...) is stored as 8-bit codes with a scale and an offset per
    channel C, both fp32.

    Parameters
    ----------
    tensors : sequence of TensorSpec
        What is sent.
    precision : str
        Applied to the float tensors.
    coded_byte : callable, optional
        Length of the array of a tensor that is entropy coded [byte]; default the planned one.
    """
    coded = PRECISION_REGISTRY.require(precision)
    stored: Stored = []
    for tensor in tensors:
        count = math.prod(tensor.shape)
        if not tensor.floating:
            stored.append((tensor.name, "U8", tensor.shape, count))
            continue
        byte = None if coded_byte is None or coded.length(tensor.shape) is None else coded_byte(tensor)
        for part, dtype, shape, size in coded.stored(tensor.shape, byte):
            stored.append((part_name(tensor.name, part), STORED[dtype][0], shape, size))
    return stored


def payload_span_byte(tensors: Sequence[TensorSpec], precision: str) -> tuple[int, int, int]:
    """Least and most bytes of an honest payload, and the most that there can be [byte].

    All three are `payload_byte` but in precisions that are entropy coded, whose lengths depend on the values.

    Parameters
    ----------
    tensors : sequence of TensorSpec
        What is sent.
    precision : str
        As for `payload_byte`.

    Examples
    --------
    >>> from megdt_opt.program.stages import TensorSpec
    >>> from megdt_opt.program.wire import payload_span_byte
    >>> latent = [TensorSpec(name="state.latent", shape=(1, 4, 16, 16))]
    >>> payload_span_byte(latent, "int4")
    (696, 696, 696)
    """
    length = PRECISION_REGISTRY.require(precision).length

    def byte(of: str) -> int:
        return blob_byte(stored_tensors(tensors, precision, lambda tensor: getattr(length(tensor.shape), of)))

    return byte("least"), byte("most"), byte("bound")


def part_name(tensor: str, part: str) -> str:
    """Name in the payload of one of the arrays that a precision makes of a tensor."""
    return f"{tensor}.{part}" if part else tensor


def payload_byte(tensors: Sequence[TensorSpec], precision: str) -> int:
    """Bytes of the safetensors blob of these tensors [byte]; where they depend on the values, what is planned with.

    Parameters
    ----------
    tensors : sequence of TensorSpec
        What is sent.
    precision : str
        "fp32", "fp16", "int8" or a registered one, applied to the float tensors.
    """
    return blob_byte(stored_tensors(tensors, precision))


def blob_byte(stored: Stored) -> int:
    """Bytes of the safetensors blob of tensors as they are stored [byte]."""
    return _blob_byte(tuple(stored))


@lru_cache(maxsize=4096)
def _blob_byte(stored: tuple[tuple[str, str, tuple[int, ...], int], ...]) -> int:
    # safetensors sorts by alignment (widest type first), then by name
    order = sorted(stored, key=lambda t: (-_align(t[1]), t[0]))
    header: dict[str, dict[str, object]] = {}
    offset = 0
    for name, dtype, shape, size in order:
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    length = len(json.dumps(header, separators=(",", ":")).encode())
    return 8 + math.ceil(length / 8) * 8 + offset


def _align(dtype: str) -> int:
    return next(width for name, width in STORED.values() if name == dtype)
