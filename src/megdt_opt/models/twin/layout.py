"""Layout of a picture in a few colours: an interpretable sketch of a scene, read off the picture itself; NumPy only."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import MalformedMessage
from megdt_opt.models.sketches import decode_map, encode_map
from megdt_opt.models.twin.catalogue import COLOURS, FLOORS, SIZE_PX
from megdt_opt.models.twin.rendering import clean_floor

PALETTE: dict[str, tuple[int, int, int]] = {
    "concrete": (142, 140, 136),
    "tiles": (128, 134, 140),
    "lane": (118, 116, 114),
    **COLOURS,
    "dark": (34, 34, 38),
    "light": (236, 236, 232),
    "face": (238, 196, 160),
    "slate": (72, 70, 68),
}
"""What a pixel of a layout may stand for, with its colour: the floor, an object's paint, or its other parts."""

BITS = 4
"""Bits of a pixel of a coded layout [bit]."""

_BARE = ((142, 140, 136), (128, 134, 140), (118, 116, 114), (104, 108, 114), (180, 178, 176), (155, 153, 150))
"""Shades of bare floor, its joints and lines among them."""


def layout_of(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Layout of a picture.

    Every pixel becomes the nearest colour of the palette; all bare floor becomes the floor whose clean drawing is
    nearest to it.

    Parameters
    ----------
    picture : numpy.ndarray
        (64, 64, 3) uint8.

    Returns
    -------
    numpy.ndarray
        Number of each pixel's entry of `PALETTE`, (64, 64) uint8.
    """
    pixels = picture.astype(np.float32)
    known = np.array([*_BARE, *tuple(PALETTE.values())[len(FLOORS) :]], dtype=np.float32)
    # |pixel - colour|^2 without what is the same for every colour; whole numbers, exact in float32
    nearest = (np.square(known).sum(axis=-1) - 2 * pixels @ known.T).argmin(axis=-1)
    bare = nearest < len(_BARE)
    found = nearest - len(_BARE) + len(FLOORS)
    found[bare] = _floor_of(pixels, bare)
    return found.astype(np.uint8)


def encode_layout(picture: NDArray[np.uint8]) -> bytes:
    """Layout of a picture, coded without loss; `picture` is (64, 64, 3) uint8."""
    return encode_map(layout_of(picture), BITS)


def decode_layout(data: bytes) -> NDArray[np.uint8]:
    """The layout, (64, 64) uint8, that `encode_layout` coded.

    Raises
    ------
    MalformedMessage
        If the bytes are no coded layout.
    """
    found = decode_map(data, (SIZE_PX, SIZE_PX), BITS)
    if found.max() >= len(PALETTE):
        raise MalformedMessage(f"a layout of the {len(PALETTE)} colours was due, one with colour {found.max()} came")
    return found


def drawn(layout: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A layout in its colours, (64, 64, 3) uint8."""
    return np.array(tuple(PALETTE.values()), dtype=np.uint8)[layout]


def _floor_of(pixels: NDArray[np.float32], bare: NDArray[np.bool_]) -> int:
    """Number of the floor whose clean drawing differs least from the bare pixels."""
    if not bare.any():
        return 0
    return int(np.argmin([np.abs(pixels[bare] - floor[bare]).mean() for floor in _floors()]))


@cache
def _floors() -> tuple[NDArray[np.float64], ...]:
    return tuple(clean_floor(name) for name in FLOORS)
