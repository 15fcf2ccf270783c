"""How a user's own cell looks: paints, light and floor that differ from those of every other cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from megdt_opt.models.twin.catalogue import COLOURS, SIZE_PX

Array = NDArray[np.float64]
RGB = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is particular about the pictures of one cell; the default changes nothing.

    Parameters
    ----------
    paints : mapping of str to tuple
        Paint that the cell uses for a colour of the catalogue, 8-bit RGB; the others are the catalogue's.
    light : tuple of float
        Factor of the light on red, green and blue [1].
    slope : tuple of float
        How much brighter it is at the right and at the lower border than in the middle [1].
    stains : float
        Strength of the floor's stains and grain [1].
    mark : tuple or None
        A round that is painted on the floor: x [px], y [px], radius [px] and 8-bit RGB.
    """

    paints: Mapping[str, RGB] = field(default_factory=dict)
    light: RGB = (1.0, 1.0, 1.0)
    slope: tuple[float, float] = (0.0, 0.0)
    stains: float = 1.0
    mark: tuple[float, float, float, RGB] | None = None

    def paint(self, colour: str) -> RGB:
        """Paint of a colour, 8-bit RGB."""
        red, green, blue = self.paints.get(colour, COLOURS[colour])
        return float(red), float(green), float(blue)

    def floor(self, clean: Array, dirt: Array) -> Array:
        """The floor, (64, 64, 3), from the clean one and its dirt (64, 64)."""
        floor = clean + self.stains * dirt[..., None]
        if self.mark is not None:
            x_px, y_px, radius_px, tone = self.mark
            y, x = np.mgrid[0:SIZE_PX, 0:SIZE_PX] + 0.5
            cover = 0.6 * np.clip(0.5 - (np.hypot(x - x_px, y - y_px) - radius_px), 0, 1)[..., None]
            floor += cover * (np.asarray(tone) - floor)
        return np.asarray(floor)

    def lit(self, picture: Array) -> Array:
        """The picture, (64, 64, 3), in the cell's light."""
        if (self.light, self.slope) == (Look.light, Look.slope):
            return picture
        at = (np.arange(SIZE_PX) + 0.5) / (SIZE_PX / 2) - 1
        slope = 1 + self.slope[0] * at[None, :] + self.slope[1] * at[:, None]
        return np.asarray(picture * np.asarray(self.light) * slope[..., None])


PLAIN = Look()
"""The look that the twin was trained on."""
