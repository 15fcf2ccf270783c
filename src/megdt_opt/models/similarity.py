"""How alike what users ask of a model is: the cosine of their conditionings, and what a shared prefix does to pictures.

Similarity of two users = max(0, cosine) of their flattened conditionings, each value standardised by its mean and its
standard deviation over example requests: what all requests have in common counts for nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.models.planned import load_planned
from megdt_opt.models.registry import Subject, find_spec
from megdt_opt.models.requests import request_of
from megdt_opt.program.model_spec import ModelSpec

EXAMPLES = 500
"""Example requests whose conditionings give mean and standard deviation."""

NEAR_PX = 2.0
"""Distance of the centres of two objects that count as the same [px]."""

SAME = 1.0 - 1e-9
"""Least similarity of requests that count as equal: the rest is rounding."""


def similarities(subjects: Sequence[Subject], model: str) -> NDArray[np.float64]:
    """Similarity of each two subjects, (M, M), from 0 to 1, symmetric.

    Parameters
    ----------
    subjects : sequence of int or mapping
        What is to be shown, as scenarios state it.
    model : str
        Name of a model that is known to make requests of subjects.

    Raises
    ------
    MegdtError
        Where the packages of the extra `diffusion` are missing.
    """
    return cosines(np.stack([_standardised(json.dumps(subject, sort_keys=True), model) for subject in subjects]))


def alike_objects(subject: Subject, other: Subject, model: str) -> tuple[int, int] | None:
    """How many objects of a scene another has too (kind, colour, centre within 2 pixels), and how many there are [1].

    None for models whose subjects are no scenes.
    """
    if model != "twin":
        return None
    from megdt_opt.models.twin.scene_requests import scene_of

    mine, theirs = scene_of(subject).objects, list(scene_of(other).objects)
    found = 0
    for thing in mine:
        same = [
            t for t in theirs
            if (t.kind, t.colour) == (thing.kind, thing.colour)
            and math.hypot(t.x_px - thing.x_px, t.y_px - thing.y_px) <= NEAR_PX
        ]  # fmt: skip
        if same:
            theirs.remove(same[0])
            found += 1
    return found, len(mine)


def cosines(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """max(0, cosine) of each two rows, (M, M); 1 for equal ones."""
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)[:, None]
    found = np.clip(unit @ unit.T, 0.0, 1.0)
    found = np.where(found > SAME, 1.0, np.maximum(found, found.T))
    np.fill_diagonal(found, 1.0)
    return np.asarray(found, dtype=np.float64)


@lru_cache(maxsize=10_000)
def _standardised(subject: str, model: str) -> NDArray[np.float64]:
    mean, deviation = _scale(model)
    return (_conditionings(model, [json.loads(subject)])[0] - mean) / deviation


@lru_cache(maxsize=8)
def _scale(model: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    examples = _conditionings(model, range(EXAMPLES))
    deviation = examples.std(axis=0)
    return examples.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def _conditionings(model: str, subjects: Sequence[Subject]) -> NDArray[np.float64]:
    """Flattened conditionings of some subjects, one a row."""
    import torch

    requests = [request_of(subject, _spec(model)) for subject in subjects]
    batch = {name: torch.from_numpy(np.concatenate([r[name] for r in requests])) for name in requests[0]}
    made = _loaded(model).encode_prompt(batch)
    rows = [made[name].numpy().reshape(len(subjects), -1) for name in sorted(made)]
    return np.concatenate(rows, axis=1).astype(np.float64)


@lru_cache(maxsize=8)
def _loaded(model: str) -> Any:
    return load_planned(_spec(model))


@lru_cache(maxsize=8)
def _spec(model: str) -> ModelSpec:
    return find_spec(model)


@lru_cache(maxsize=8)
def prefix_quality(model: str) -> PrefixQuality:
    """The measured table of a model.

    Raises
    ------
    InvalidInput
        Where the package has none.
    """
    found = resources.files("megdt_opt.data.quality") / f"{model}-prefix.json"
    if not found.is_file():
        remedy = "State the common steps (`steps`) in place of a floor on the quality, or plan for the twin."
        raise InvalidInput("model", model, "a model whose shared prefixes were measured", remedy)
    return PrefixQuality(json.loads(found.read_text(encoding="utf-8")))


class PrefixQuality:
    """How near pictures with shared steps come to the unsplit ones, measured by `experiments/twin/measure_prefix.py`.

    Parameters
    ----------
    table : mapping
        "similarity": edges of bins; "part": shared parts of the chain, ascending; "psnr_p05_db": for equal ("equal")
        and for other seeds ("own") a list a bin with the 5th percentile for each part [dB].
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self.table = table

    def psnr_db(self, similarity: float, part: float, *, equal_seeds: bool) -> float:
        """What 95 of 100 measured pictures reached [dB]: of this similarity or a little less, with this part shared or
        a little more. Infinite where nothing is shared, or all is equal."""
        if part <= 0 or (similarity >= SAME and equal_seeds):
            return float("inf")
        row = int(np.searchsorted(self.table["similarity"], similarity, side="right")) - 1
        column = int(np.searchsorted(self.table["part"], part - 1e-9))
        rows = self.table["psnr_p05_db"]["equal" if equal_seeds else "own"]
        return float(rows[min(row, len(rows) - 1)][column])

    def most_steps(self, similarity: float, steps: int, floor_db: float, *, equal_seeds: bool) -> int:
        """Most common steps out of a chain that keep a floor [dB]."""
        fits = (self.psnr_db(similarity, x / steps, equal_seeds=equal_seeds) >= floor_db for x in range(steps + 1))
        return sum(1 for _ in takewhile(bool, fits)) - 1
