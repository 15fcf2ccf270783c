"""Requests of the twin: the state of a scene, made and drawn without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.models.twin.layout import encode_layout
from megdt_opt.models.twin.scenes import Scene, random_scene, render, scene_state, state_scene


def scene_of(subject: int | str | Mapping[str, Any]) -> Scene:
    """A scene given in full, or drawn from its seed.

    Raises
    ------
    InvalidInput
        For a prompt, or a scene that is none.
    """
    if isinstance(subject, str):
        remedy = "State a scene, or name a pipeline folder as the scenario's model."
        raise InvalidInput("prompt", subject, "a scene: the twin takes no prompts", remedy)
    return random_scene(np.random.default_rng(subject)) if isinstance(subject, int) else Scene.from_dict(subject)


class TwinRequests:
    """Makes requests of the twin."""

    def request(self, subject: int | str | Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """State of a scene, "state": float32 (1, slots, features)."""
        return _request(scene_of(subject))

    def camera(self, subject: int | str | Mapping[str, Any]) -> NDArray[np.uint8]:
        """The scene as a camera sees it, uint8 (1, rows, columns, 3)."""
        return render(scene_of(subject))[None]

    def reference(self, request: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        """Drawing of the scene that a request describes, uint8 (rows, columns, 3)."""
        return render(state_scene(request["state"][0]))

    def sketch(self, picture: NDArray[np.uint8]) -> bytes:
        """Coded layout of a picture, uint8 (rows, columns, 3)."""
        return encode_layout(picture)

    def examples(self, count: int, seed: int = 0) -> list[dict[str, NDArray[Any]]]:
        """Requests of random scenes."""
        rng = np.random.default_rng(seed)
        return [_request(random_scene(rng)) for _ in range(count)]


def _request(scene: Scene) -> dict[str, NDArray[Any]]:
    return {"state": scene_state(scene)[None]}
