"""Pictures as PNG or JPEG files and back. Torch is loaded by those calls alone that are handed tensors."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from megdt_opt.errors import InvalidInput, MalformedMessage

if TYPE_CHECKING:
    from torch import Tensor

JPEG_QUALITY = 90
"""Quality of the JPEG encoder, 1 to 95."""


def encode(pixels: NDArray[np.uint8], codec: str) -> bytes:
    """File of one picture.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8 (rows, columns, 3).
    codec : {"png", "jpeg"}
        Codec.

    Raises
    ------
    InvalidInput
        For any other codec.
    """
    if codec not in ("png", "jpeg"):
        raise InvalidInput("codec", codec, "'png' or 'jpeg'", "A raw picture needs no compress stage.")
    target = io.BytesIO()
    extra = {"quality": JPEG_QUALITY} if codec == "jpeg" else {}
    Image.fromarray(pixels).save(target, format=codec.upper(), **extra)
    return target.getvalue()


def compress(pixels: Tensor, codec: str) -> Tensor:
    """Encode one picture.

    Parameters
    ----------
    pixels : Tensor
        uint8 (1, rows, columns, 3).
    codec : {"png", "jpeg"}
        Codec.

    Returns
    -------
    Tensor
        The file's bytes, uint8 (length,).
    """
    import torch

    if pixels.dim() != 4 or pixels.shape[0] != 1:
        raise InvalidInput("pixels", tuple(pixels.shape), "shape (1, rows, columns, 3)", "Encode one by one.")
    return torch.frombuffer(bytearray(encode(pixels[0].numpy(), codec)), dtype=torch.uint8)


def decompress(data: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Decode one picture of a known shape (rows, columns, 3) to uint8 (1, rows, columns, 3).

    Raises
    ------
    MalformedMessage
        If the bytes are no such picture.
    """
    import torch

    file = data.numpy().tobytes()
    try:
        with Image.open(io.BytesIO(file), formats=("PNG", "JPEG")) as image:
            if (image.height, image.width) != shape[:2]:
                raise MalformedMessage(f"a picture of {shape[:2]} was due, {image.height, image.width} came")
            if image.mode != "RGB":
                raise MalformedMessage(f"a picture of 8 bit red, green and blue was due, one of mode {image.mode} came")
            if image.format == "PNG":
                _check_rows(file, shape)
            return torch.from_numpy(np.array(image))[None]
    except (OSError, SyntaxError, ValueError, zlib.error, Image.DecompressionBombError) as error:
        raise MalformedMessage(f"not a PNG or JPEG picture: {error}") from error


def _check_rows(file: bytes, shape: tuple[int, int, int]) -> None:
    """Refuse a PNG that does not hold exactly the rows that it announces: the decoder would fill them up."""
    rows, columns, _ = shape
    due, packed, at = rows * (1 + 3 * columns), b"", 8
    while at + 8 <= len(file):
        length, kind = int.from_bytes(file[at : at + 4], "big"), file[at + 4 : at + 8]
        packed += file[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    found = len(zlib.decompressobj().decompress(packed, due + 1))
    if file[24:26] != b"\x08\x02" or file[28] != 0 or found != due:
        raise MalformedMessage(
            f"a PNG of {due} byte of rows, 8 bit each and not interlaced, was due, {found} byte came"
        )
