"""Digital-twin scenes: a factory cell seen from above, as plain data.

A scene holds one to five objects on a floor. Positions are pixels of the picture: x grows to the right,
y downwards, and the centre of the first pixel is (0.5, 0.5). Headings are radians, clockwise in the picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.models.twin.catalogue import COLOURS, FLOORS, KINDS, RADIUS_PX, SIZE_PX, SLOTS
from megdt_opt.models.twin.looks import PLAIN, Look
from megdt_opt.models.twin.rendering import render_objects

STATE_SHAPE = (SLOTS, 1 + len(KINDS) + len(COLOURS) + 4 + len(FLOORS))
"""Shape of a state array: slots, features."""

_TOUCH_PX = 0.05


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One object of a scene.

    Parameters
    ----------
    kind : str
        One of `catalogue.KINDS`.
    colour : str
        One of `catalogue.COLOURS`.
    x_px, y_px : float
        Centre [px]; the object's circle (`catalogue.RADIUS_PX`) must lie within the picture.
    heading_rad : float
        Direction [rad], clockwise from the picture's right.
    """

    kind: str
    colour: str
    x_px: float
    y_px: float
    heading_rad: float = 0.0

    def __post_init__(self) -> None:
        _one_of("kind", self.kind, KINDS)
        _one_of("colour", self.colour, tuple(COLOURS))
        for name in ("x_px", "y_px", "heading_rad"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        radius = RADIUS_PX[self.kind]
        for name in ("x_px", "y_px"):
            if not radius - _TOUCH_PX <= getattr(self, name) <= SIZE_PX - radius + _TOUCH_PX:
                raise InvalidInput(
                    name,
                    getattr(self, name),
                    f"{radius:g} to {SIZE_PX - radius:g} px for kind {self.kind!r}",
                    "Move the object into the picture.",
                )

    def to_dict(self) -> dict[str, str | float]:
        """Plain data that `from_dict` reads back."""
        return {
            "kind": self.kind,
            "colour": self.colour,
            "x_px": self.x_px,
            "y_px": self.y_px,
            "heading_rad": self.heading_rad,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SceneObject:
        """Build from plain data (JSON or YAML).

        Raises
        ------
        InvalidInput
            If a field is missing, unknown or out of range.
        """
        _fields("object", data, {"kind", "colour", "x_px", "y_px"}, {"heading_rad"})
        return cls(**data)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """State of a factory cell.

    Parameters
    ----------
    objects : tuple of SceneObject
        One to `catalogue.SLOTS` objects whose circles do not overlap, so that none hides another.
    floor : str
        One of `catalogue.FLOORS`.
    texture : int
        Seed of the floor's stains and grain (0 to 2**32 - 1). It is not part of the state that a model
        is given: what the floor's dirt looks like is left to the generation.
    """

    objects: tuple[SceneObject, ...]
    floor: str = "concrete"
    texture: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", tuple(self.objects))
        _one_of("floor", self.floor, FLOORS)
        if isinstance(self.texture, bool) or not isinstance(self.texture, int) or not 0 <= self.texture < 2**32:
            raise InvalidInput("texture", self.texture, "an integer from 0 to 2**32 - 1", "Give such a seed.")
        if not 1 <= len(self.objects) <= SLOTS:
            raise InvalidInput("objects", len(self.objects), f"1 to {SLOTS} objects", "Add or remove objects.")
        for i, a in enumerate(self.objects):
            for j, b in enumerate(self.objects[:i]):
                least = RADIUS_PX[a.kind] + RADIUS_PX[b.kind]
                distance = math.hypot(a.x_px - b.x_px, a.y_px - b.y_px)
                if distance < least - _TOUCH_PX:
                    raise InvalidInput(
                        f"objects[{i}]",
                        f"{distance:.2f} px from objects[{j}]",
                        f"at least {least:g} px",
                        "Move them apart, so that none hides the other.",
                    )

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back; JSON and YAML can hold it."""
        return {"objects": [o.to_dict() for o in self.objects], "floor": self.floor, "texture": self.texture}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scene:
        """Build from plain data (JSON or YAML).

        Raises
        ------
        InvalidInput
            If a field is missing, unknown or out of range; the message names it.
        """
        _fields("scene", data, {"objects"}, {"floor", "texture"})
        listed = data["objects"]
        if not isinstance(listed, list | tuple):
            raise InvalidInput("objects", listed, "a list of objects", "Write one entry per object.")
        objects = []
        for i, entry in enumerate(listed):
            try:
                objects.append(SceneObject.from_dict(entry))
            except InvalidInput as error:
                raise InvalidInput(f"objects[{i}].{error.field}", error.value, error.expected, error.remedy) from None
        return cls(objects=tuple(objects), **{k: data[k] for k in ("floor", "texture") if k in data})


def random_scene(
    rng: np.random.Generator,
    objects: int | None = None,
    *,
    kinds: Sequence[str] = KINDS,
    colours: Sequence[str] = tuple(COLOURS),
    floors: Sequence[str] = FLOORS,
) -> Scene:
    """Draw a scene.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness; the same state gives the same scene.
    objects : int or None
        Number of objects [1]; drawn from 1 to `catalogue.SLOTS` when None.
    kinds, colours, floors : sequence of str
        What is drawn from; who stands there twice is drawn twice as often.

    Returns
    -------
    Scene
    """
    wanted = int(rng.integers(1, SLOTS + 1)) if objects is None else objects
    if not 1 <= wanted <= SLOTS:
        raise InvalidInput("objects", wanted, f"1 to {SLOTS} objects", "Ask for as many.")
    while True:
        placed = _place(rng, wanted, kinds, colours)
        if placed is not None:
            floor = floors[int(rng.integers(len(floors)))]
            return Scene(objects=placed, floor=floor, texture=int(rng.integers(2**32)))


def _place(
    rng: np.random.Generator, count: int, kinds: Sequence[str], colours: Sequence[str]
) -> tuple[SceneObject, ...] | None:
    """Place `count` objects one after the other; None if there is no room after many tries."""
    placed: list[tuple[float, float, float]] = []
    objects = []
    for _ in range(count):
        kind = kinds[int(rng.integers(len(kinds)))]
        colour = colours[int(rng.integers(len(colours)))]
        radius = RADIUS_PX[kind]
        heading = float(rng.uniform(-math.pi, math.pi))
        for _ in range(60):
            x, y = (float(v) for v in rng.uniform(radius, SIZE_PX - radius, 2))
            if all(math.hypot(x - a, y - b) >= radius + r for a, b, r in placed):
                break
        else:
            return None
        placed.append((x, y, radius))
        objects.append(SceneObject(kind=kind, colour=colour, x_px=x, y_px=y, heading_rad=heading))
    return tuple(objects)


def render(scene: Scene, look: Look = PLAIN) -> NDArray[np.uint8]:
    """Draw a scene.

    Parameters
    ----------
    scene : Scene
    look : Look
        Paints, light and floor of a user's own cell.

    Returns
    -------
    numpy.ndarray
        Picture, (64, 64, 3) uint8.
    """
    return render_objects(
        [(o.kind, o.colour, o.x_px, o.y_px, o.heading_rad) for o in scene.objects],
        scene.floor,
        scene.texture,
        look,
    )


def scene_state(scene: Scene) -> NDArray[np.float32]:
    """State of a scene as an array: what a request carries.

    Returns
    -------
    numpy.ndarray
        (`SLOTS`, features) float32. A row holds: 1 if the slot is taken; flags of the kind; flags of the colour;
        x and y over 64 px; cosine and sine of the heading; flags of the floor, which stand on every row.
        Rows of empty slots are zero but for the floor.
    """
    state = np.zeros(STATE_SHAPE, dtype=np.float32)
    colour0 = 1 + len(KINDS)
    pose0 = colour0 + len(COLOURS)
    state[:, pose0 + 4 + FLOORS.index(scene.floor)] = 1.0
    for row, o in zip(state, scene.objects, strict=False):
        row[0] = 1.0
        row[1 + KINDS.index(o.kind)] = 1.0
        row[colour0 + tuple(COLOURS).index(o.colour)] = 1.0
        row[pose0 : pose0 + 4] = (
            o.x_px / SIZE_PX,
            o.y_px / SIZE_PX,
            math.cos(o.heading_rad),
            math.sin(o.heading_rad),
        )
    return state


def state_scene(state: NDArray[np.float32], texture: int = 0) -> Scene:
    """Scene of a state array: the inverse of `scene_state`, but for the texture, which a state does not hold.

    Parameters
    ----------
    state : numpy.ndarray
        (`SLOTS`, features), as `scene_state` makes it.
    texture : int
        Seed of the floor's dirt.

    Raises
    ------
    InvalidInput
        If the shape is wrong, a value is not finite or flags do not select exactly one entry.
    """
    array = np.asarray(state, dtype=np.float64)
    if array.shape != STATE_SHAPE:
        raise InvalidInput("state", array.shape, f"shape {STATE_SHAPE}", "Make it with scene_state.")
    if not np.isfinite(array).all():
        raise InvalidInput("state", "NaN or infinity", "finite values", "Make it with scene_state.")
    colour0 = 1 + len(KINDS)
    pose0 = colour0 + len(COLOURS)
    floor = FLOORS[_flag("floor", array[0, pose0 + 4 :])]
    objects = []
    for slot, row in enumerate(array):
        if row[0] < 0.5:
            continue
        x, y, cosine, sine = row[pose0 : pose0 + 4]
        objects.append(
            SceneObject(
                kind=KINDS[_flag(f"state[{slot}] kind", row[1:colour0])],
                colour=tuple(COLOURS)[_flag(f"state[{slot}] colour", row[colour0:pose0])],
                x_px=float(x) * SIZE_PX,
                y_px=float(y) * SIZE_PX,
                heading_rad=math.atan2(sine, cosine),
            )
        )
    return Scene(objects=tuple(objects), floor=floor, texture=texture)


def _flag(field: str, flags: NDArray[np.float64]) -> int:
    taken = np.flatnonzero(flags > 0.5)
    if taken.size != 1:
        raise InvalidInput(field, flags.tolist(), "exactly one flag set to 1", "Make the state with scene_state.")
    return int(taken[0])


def _one_of(field: str, value: object, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise InvalidInput(field, value, "one of " + ", ".join(allowed), "Choose one of these.")


def _number(field: str, value: object) -> float:
    unit = "rad" if field.endswith("_rad") else "px"
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise InvalidInput(field, value, f"a finite number [{unit}]", "Give such a number.")
    return float(value)


def _fields(what: str, data: object, needed: set[str], optional: set[str]) -> None:
    if not isinstance(data, Mapping):
        raise InvalidInput(what, data, f"a mapping with {', '.join(sorted(needed))}", "Write it as a mapping.")
    for name in sorted(needed - set(data)):
        raise InvalidInput(name, None, f"a value: every {what} has one", "Add the field.")
    for name in sorted(set(data) - needed - optional, key=str):
        raise InvalidInput(
            str(name), data[name], f"only {', '.join(sorted(needed | optional))} in a {what}", "Remove the field."
        )
