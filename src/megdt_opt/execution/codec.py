"""Pictures as PNG or JPEG bytes and back."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from megdt_opt.errors import InvalidInput, MalformedMessage
from megdt_opt.models.codec import encode


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
    try:
        with Image.open(io.BytesIO(data.numpy().tobytes()), formats=("PNG", "JPEG")) as image:
            if (image.height, image.width) != shape[:2]:
                raise MalformedMessage(f"a picture of {shape[:2]} was due, {image.height, image.width} came")
            return torch.from_numpy(np.array(image.convert("RGB")))[None]
    except (OSError, SyntaxError, ValueError) as error:
        raise MalformedMessage(f"not a PNG or JPEG picture: {error}") from error
