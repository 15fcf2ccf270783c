"""Training data of the twin model: rendered scenes, drawn from a seed."""

from __future__ import annotations

from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from megdt_opt.models.twin.scenes import Scene, random_scene, render, scene_state

TRAIN_SEED = 20_000
"""Scene i of the training set comes from seed (TRAIN_SEED, i)."""

HELD_OUT_SEED = 90_000
"""Held-out scene i comes from seed (HELD_OUT_SEED, i); no training set has it."""


def draw(seed: int, index: int) -> Scene:
    """Scene number `index` of a seed; every other training scene is a crowded one."""
    rng = np.random.default_rng((seed, index))
    return random_scene(rng, objects=int(rng.integers(3, 6)) if index % 2 else None)


def held_out(count: int) -> list[Scene]:
    """The first `count` held-out scenes; the number of objects is uniform from 1 to 5."""
    return [random_scene(np.random.default_rng((HELD_OUT_SEED, i))) for i in range(count)]


def _one(job: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    scene = draw(*job)
    return render(scene), scene_state(scene)


def dataset(count: int, seed: int = TRAIN_SEED) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pictures (count, 64, 64, 3) uint8 and states (count, slots, features) float32."""
    with get_context("spawn").Pool(2) as pool:
        pairs = pool.map(_one, [(seed, i) for i in range(count)], chunksize=250)
    return np.stack([p for p, _ in pairs]), np.stack([s for _, s in pairs])
