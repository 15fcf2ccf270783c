"""What each user asks its twin to show, as the tensors that the model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.models.twin.scenes import Scene, random_scene, render, scene_state
from megdt_opt.scenario.scenario import User


def scene_of(user: User) -> Scene:
    """The scene of a user: given in full, or drawn from its seed."""
    if isinstance(user.scene, int):
        return random_scene(np.random.default_rng(user.scene))
    return Scene.from_dict(user.scene)


def request_of(user: User, model: str) -> dict[str, NDArray[Any]]:
    """Request tensors with a batch dimension of 1.

    Raises
    ------
    InvalidInput
        For a model other than the twin: what a request of it is made of is not known here.
    """
    if model != "twin":
        raise InvalidInput("model", model, "'twin', the bundled model", "Plan for any model, execute with the twin.")
    return {"state": scene_state(scene_of(user))[None]}


def camera_of(user: User) -> NDArray[np.uint8] | None:
    """Frame of the user's camera, uint8 (1, rows, columns, 3); None where it has none."""
    return render(scene_of(user))[None] if user.senses else None
