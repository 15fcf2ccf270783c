"""Sketches as coded bytes: maps of a few bits a pixel, packed and coded without loss by zlib; and who reads them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput, MalformedMessage
from megdt_opt.models.split_model import SketchModel, SplitModel
from megdt_opt.program.model_spec import WITH_PROMPT

if TYPE_CHECKING:
    from torch import Tensor

LEVEL = 9
"""Effort of the coder, 0 to 9."""


def encode_map(values: NDArray[np.uint8], bits: int) -> bytes:
    """Code a map.

    Parameters
    ----------
    values : numpy.ndarray
        Whole numbers below 2**bits, (rows, columns) uint8.
    bits : int
        Bits of a pixel: 1, 2, 4 or 8 [bit].

    Returns
    -------
    bytes
        Its length depends on the values.

    Raises
    ------
    InvalidInput
        Where a value does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt.models.sketches import decode_map, encode_map
    >>> edges = np.eye(8, dtype=np.uint8)
    >>> bool((decode_map(encode_map(edges, 1), (8, 8), 1) == edges).all())
    True
    """
    if bits not in (1, 2, 4, 8) or values.dtype != np.uint8 or values.max(initial=0) >> bits:
        expected = "whole numbers below 2**bits of type uint8, with 1, 2, 4 or 8 bit a pixel"
        raise InvalidInput("sketch", (str(values.dtype), int(values.max(initial=0)), bits), expected, "Take more bits.")
    flags = np.unpackbits(values.reshape(-1, 1), axis=1)[:, 8 - bits :]
    return zlib.compress(np.packbits(flags).tobytes(), LEVEL)


def decode_map(data: bytes, shape: tuple[int, int], bits: int) -> NDArray[np.uint8]:
    """The map of these rows and columns that `encode_map` coded.

    Raises
    ------
    MalformedMessage
        If the bytes are no such map.
    """
    due = -(-shape[0] * shape[1] * bits // 8)
    coder = zlib.decompressobj()
    try:
        packed = coder.decompress(data, due + 1)
    except zlib.error as error:
        raise MalformedMessage(f"not a coded sketch: {error}") from error
    if len(packed) != due or not coder.eof or coder.unused_data:
        raise MalformedMessage(f"a sketch of {due} byte, {shape} pixels of {bits} bit, was due, another came")
    flags = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))[: shape[0] * shape[1] * bits]
    whole = np.zeros((shape[0] * shape[1], 8), dtype=np.uint8)
    whole[:, 8 - bits :] = flags.reshape(-1, bits)
    return np.packbits(whole, axis=1).reshape(shape)


def edges_of(picture: NDArray[np.uint8], least: float = 100.0) -> NDArray[np.uint8]:
    """Edges of a picture, one pixel wide: where its brightness changes most.

    Sobel's differences; a pixel is an edge where they are at least `least` and not smaller than at the two neighbours
    across the edge, as in Canny's detector (Canny 1986) with one threshold.

    Parameters
    ----------
    picture : numpy.ndarray
        (rows, columns, 3) uint8.
    least : float
        Smallest change of brightness between the two sides, as Sobel's operator weighs it [1].

    Returns
    -------
    numpy.ndarray
        1 at edges and 0 elsewhere, (rows, columns) uint8.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt.models.sketches import edges_of
    >>> halves = np.zeros((4, 6, 3), dtype=np.uint8)
    >>> halves[:, 3:] = 255
    >>> edges_of(halves)[0].tolist()
    [0, 0, 1, 1, 0, 0]
    """
    grey = np.pad(picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32), 1, mode="edge")
    over = grey[:-2] + 2 * grey[1:-1] + grey[2:]
    across = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]
    x, y = over[:, 2:] - over[:, :-2], across[2:] - across[:-2]
    size = np.hypot(x, y)
    around = np.pad(size, 1)
    beside = np.maximum(around[1:-1, :-2], around[1:-1, 2:])
    above = np.maximum(around[:-2, 1:-1], around[2:, 1:-1])
    largest = size >= np.where(np.abs(x) >= np.abs(y), beside, above)
    return (largest & (size >= least)).astype(np.uint8)


def as_tensor(data: bytes) -> Tensor:
    """Bytes as a tensor, uint8 (length,)."""
    import torch

    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def guidance(model: SplitModel, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a step by sketch takes, of a grey picture and a request: its time does not depend on what they show."""
    import torch

    grey = torch.full((1, *model.spec.image_shape), 127, dtype=torch.uint8)
    guide = sketching(model).read_sketch(sketching(model).sketch(grey))
    return {**(model.encode_prompt(request) if model.spec.sketch == WITH_PROMPT else {}), **guide}


def sketching(model: SplitModel) -> SketchModel:
    """The model as one that reads sketches.

    Raises
    ------
    InvalidInput
        Where it has no generator from sketches; names it.
    """
    if not model.spec.sketch or not isinstance(model, SketchModel):
        expected = "a model with a generator from sketches"
        raise InvalidInput("model", model.spec.name, expected, "Take the twin, or a pipeline with a ControlNet.")
    return model
