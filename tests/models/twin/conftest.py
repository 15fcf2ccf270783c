"""The bundled model and a few scenes, shared by the tests of the twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import Scene, random_scene, scene_state


@pytest.fixture(scope="session")
def model() -> TwinModel:
    """The bundled model on one thread."""
    torch.set_num_threads(1)
    return TwinModel.load()


@pytest.fixture(scope="session")
def scenes() -> list[Scene]:
    """Sixteen scenes that no training script has drawn."""
    return [random_scene(np.random.default_rng((77_000, i))) for i in range(16)]


@pytest.fixture(scope="session")
def request_states(scenes: list[Scene]) -> dict[str, Tensor]:
    """The scenes as one batched request."""
    return {"state": torch.from_numpy(np.stack([scene_state(s) for s in scenes]))}
