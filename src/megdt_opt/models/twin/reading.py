"""How pictures of the twin are judged by its detector; torch is loaded when one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def twin_score(picture: NDArray[np.uint8], subject: int | str | Mapping[str, Any]) -> tuple[int, int]:
    """Objects that are read in a picture of a subject, and objects that it should show [1]."""
    from megdt_opt.models.twin.detector import score
    from megdt_opt.models.twin.scene_requests import scene_of

    return score(picture, scene_of(subject))


def twin_features(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the detector's network sees in pictures, uint8 (M, 64, 64, 3): (M, 48)."""
    from megdt_opt.models.twin.detector import features

    return features(pictures)
