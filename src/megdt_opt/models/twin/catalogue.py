"""What may stand in a scene: kinds, colours and floors, with their sizes."""

from __future__ import annotations

SIZE_PX = 64
"""Rows and columns of a picture [px]."""

SLOTS = 5
"""Most objects of one scene [1]."""

KINDS: tuple[str, ...] = ("robot_arm", "crate", "pallet", "agv", "person")
"""Kinds of objects, in the order of the state vector's flags."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 44, 40),
    "yellow": (242, 202, 36),
    "green": (44, 160, 70),
    "cyan": (64, 206, 224),
    "blue": (44, 78, 206),
    "magenta": (206, 64, 196),
}
"""Colours of objects as 8-bit RGB, in the order of the state vector's flags."""

FLOORS: tuple[str, ...] = ("concrete", "tiles", "lane")
"""Floors of a cell, in the order of the state vector's flags."""

RADIUS_PX: dict[str, float] = {
    "robot_arm": 8.6,
    "crate": 7.8,
    "pallet": 9.3,
    "agv": 8.8,
    "person": 6.6,
}
"""Circle around an object's centre [px]; no corner leaves it by a pixel, and circles of a scene do not overlap."""
