"""Picture files (PNG, JPEG): encoding, and how long the file of a request's picture will be."""

from __future__ import annotations

import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput

JPEG_QUALITY = 90
"""Quality of the JPEG encoder, 1 to 95."""

LONGEST = 1.5
"""A predicted length stays within the measured ones, widened by this factor [1]."""


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
    from PIL import Image

    target = io.BytesIO()
    extra = {"quality": JPEG_QUALITY} if codec == "jpeg" else {}
    Image.fromarray(pixels).save(target, format=codec.upper(), **extra)
    return target.getvalue()


def reference_byte(model: str, request: Mapping[str, NDArray[Any]], codec: str) -> int | None:
    """Length of the file of a request's reference picture [byte].

    The reference of a request to the twin model is the drawing of the scene that the request describes. It
    is known before anything is generated, and a busy scene makes a long file both times. Requests to other
    models have no reference: None.
    """
    if model != "twin":
        return None
    from megdt_opt.models.twin.scenes import render, state_scene

    return len(encode(render(state_scene(request["state"][0])), codec))


def expected_byte(byte: Sequence[int], reference: Sequence[int], of: int | None) -> int:
    """Expected length of a generated picture's file [byte].

    Parameters
    ----------
    byte : sequence of int
        Lengths of generated pictures' files [byte].
    reference : sequence of int
        Lengths of the same requests' reference files [byte]; may be empty.
    of : int, optional
        Length of the request's own reference file [byte]. With it, and references, a line through the
        samples is used, fitted by least squares of the relative error; without it, the median.
    """
    if of is None or len(set(reference)) < 2:
        return round(statistics.median(byte))
    measured = np.array(byte, dtype=np.float64)
    columns = np.stack([np.ones(len(byte)), np.array(reference, dtype=np.float64)], axis=1)
    (offset, slope), *_ = np.linalg.lstsq(columns / measured[:, None], np.ones(len(byte)), rcond=None)
    return round(float(np.clip(offset + slope * of, measured.min() / LONGEST, measured.max() * LONGEST)))
