"""Drawing of scenes with anti-aliased signed distances; NumPy only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from megdt_opt.models.twin.catalogue import SIZE_PX
from megdt_opt.models.twin.looks import PLAIN, RGB, Look

Array = NDArray[np.float64]
Layer = tuple[Array, RGB]

_REACH_PX = 11
_DARK = (34.0, 34.0, 38.0)
_LIGHT = (236.0, 236.0, 232.0)


def render_objects(
    objects: Iterable[tuple[str, str, float, float, float]], floor: str, texture: int, look: Look = PLAIN
) -> NDArray[np.uint8]:
    """Draw objects on a floor.

    Parameters
    ----------
    objects : iterable of (kind, colour, x_px, y_px, heading_rad)
        Objects, drawn in this order.
    floor : str
        One of `catalogue.FLOORS`.
    texture : int
        Seed of the floor's stains and grain.
    look : Look
        Paints, light and floor of the cell.

    Returns
    -------
    numpy.ndarray
        Picture, (64, 64, 3) uint8.
    """
    picture = look.floor(clean_floor(floor), _dirt(texture))
    for kind, colour, x_px, y_px, heading_rad in objects:
        _draw(picture, kind, look.paint(colour), x_px, y_px, heading_rad)
    return np.clip(np.rint(look.lit(picture)), 0, 255).astype(np.uint8)


@cache
def clean_floor(name: str) -> Array:
    """Clean floor, (64, 64, 3), 0 to 255."""
    y, x = np.mgrid[0:SIZE_PX, 0:SIZE_PX] + 0.5
    floor = np.empty((SIZE_PX, SIZE_PX, 3))
    floor[:] = {"concrete": (142, 140, 136), "tiles": (128, 134, 140), "lane": (118, 116, 114)}[name]
    if name == "tiles":
        line = np.minimum(np.abs((x + 8) % 16 - 8), np.abs((y + 8) % 16 - 8))
        floor -= 26.0 * np.clip(1.5 - line, 0, 1)[..., None]
    if name == "lane":
        edge = np.minimum(np.abs(x - 14), np.abs(x - 50))
        floor += 62.0 * np.clip(2.0 - edge, 0, 1)[..., None]
    return floor


def _dirt(seed: int) -> Array:
    """Stains (some pixels wide) and grain of a floor, (64, 64), around 0."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((7, 7))
    at = np.linspace(0, 5.999, SIZE_PX)
    low = at.astype(int)
    part = at - low
    part = part * part * (3 - 2 * part)
    rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    stains = rows[:, low] * (1 - part) + rows[:, low + 1] * part
    return np.asarray(5.0 * stains + 2.0 * rng.standard_normal((SIZE_PX, SIZE_PX)))


def _draw(picture: Array, kind: str, paint: RGB, x_px: float, y_px: float, heading_rad: float) -> None:
    """Draw one object in place."""
    left, top = max(0, int(x_px) - _REACH_PX), max(0, int(y_px) - _REACH_PX)
    right, bottom = min(SIZE_PX, int(x_px) + _REACH_PX + 1), min(SIZE_PX, int(y_px) + _REACH_PX + 1)
    dx = np.arange(left, right)[None, :] + 0.5 - x_px
    dy = np.arange(top, bottom)[:, None] + 0.5 - y_px
    cosine, sine = math.cos(heading_rad), math.sin(heading_rad)
    u, v = dx * cosine + dy * sine, dy * cosine - dx * sine
    window = picture[top:bottom, left:right]
    for distance, tone in _LAYERS[kind](u, v, paint):
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        window += cover * (np.asarray(tone) - window)


def _disc(u: Array, v: Array, u0: float, v0: float, radius: float) -> Array:
    return np.hypot(u - u0, v - v0) - radius


def _box(u: Array, v: Array, u0: float, v0: float, half_u: float, half_v: float, rounding: float = 0.0) -> Array:
    a = np.abs(u - u0) - half_u + rounding
    b = np.abs(v - v0) - half_v + rounding
    outside = np.hypot(np.maximum(a, 0), np.maximum(b, 0))
    return np.asarray(outside + np.minimum(np.maximum(a, b), 0) - rounding)


def _robot_arm(u: Array, v: Array, paint: RGB) -> list[Layer]:
    """A round base, a narrow arm and an open gripper."""
    gripper = np.minimum(_box(u, v, 6.8, 2.7, 1.6, 0.9), _box(u, v, 6.8, -2.7, 1.6, 0.9))
    gripper = np.minimum(gripper, _box(u, v, 4.6, 0, 0.9, 3.6))
    return [
        (np.minimum(_disc(u, v, -3.4, 0, 5.0), gripper), paint),
        (_box(u, v, 1.0, 0, 4.4, 1.5), paint),
        (_disc(u, v, -3.4, 0, 2.4), _DARK),
    ]


def _crate(u: Array, v: Array, paint: RGB) -> list[Layer]:
    """A square box with a dark frame and one dark diagonal brace."""
    brace = np.abs(u - v) / math.sqrt(2) - 0.8
    return [
        (_box(u, v, 0, 0, 5.5, 5.5), _DARK),
        (_box(u, v, 0, 0, 4.2, 4.2), paint),
        (np.maximum(brace, _box(u, v, 0, 0, 4.2, 4.2)), _DARK),
    ]


def _pallet(u: Array, v: Array, paint: RGB) -> list[Layer]:
    """Four slats with the floor's shade between them."""
    slats = np.minimum.reduce([_box(u, v, at, 0, 1.25, 5.4) for at in (-6.0, -2.0, 2.0, 6.0)])
    return [(_box(u, v, 0, 0, 7.0, 4.4), (72.0, 70.0, 68.0)), (slats, paint)]


def _agv(u: Array, v: Array, paint: RGB) -> list[Layer]:
    """A vehicle: four dark wheels, a long body with a pointed nose, a light deck."""
    wheels = np.minimum.reduce([_box(u, v, at, side, 1.8, 1.1) for at in (-5.0, 2.4) for side in (-4.6, 4.6)])
    nose = np.maximum(u * 0.6 + np.abs(v) * 0.8 - 5.2, -u)
    body = np.minimum(_box(u, v, -2.6, 0, 5.6, 4.2, 1.0), np.maximum(nose, np.abs(v) - 4.2))
    return [(wheels, _DARK), (body, paint), (_box(u, v, -3.6, 0, 2.6, 2.0), _LIGHT)]


def _person(u: Array, v: Array, paint: RGB) -> list[Layer]:
    """Shoulders across the heading, a dark head with a light face in front."""
    shoulders = _box(u, v, -0.4, 0, 3.4, 6.2, 3.3)
    return [(shoulders, paint), (_disc(u, v, 0.2, 0, 2.9), _DARK), (_disc(u, v, 2.3, 0, 1.3), (238.0, 196.0, 160.0))]


_LAYERS: dict[str, Callable[[Array, Array, RGB], list[Layer]]] = {
    "robot_arm": _robot_arm,
    "crate": _crate,
    "pallet": _pallet,
    "agv": _agv,
    "person": _person,
}
