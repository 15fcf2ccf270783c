"""Picture files: encoding, and references."""

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.models.codec import encode
from megdt_opt.models.requests import reference_byte
from megdt_opt.models.twin.scenes import random_scene, scene_state

FLAT = np.zeros((64, 64, 3), dtype=np.uint8)


def test_a_codec_writes_its_own_kind_of_file() -> None:
    assert encode(FLAT, "png").startswith(b"\x89PNG")
    assert encode(FLAT, "jpeg").startswith(b"\xff\xd8")


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(InvalidInput, match="webp"):
        encode(FLAT, "webp")


@pytest.mark.parametrize("codec", ["png", "jpeg"])
def test_a_busy_scene_has_a_longer_reference(codec: str) -> None:
    def length(objects: int) -> float:
        scenes = [random_scene(np.random.default_rng(seed), objects) for seed in range(12)]
        found = [reference_byte("twin", {"state": scene_state(scene)[None]}, codec) for scene in scenes]
        return float(np.mean([n for n in found if n is not None]))

    assert length(5) > length(1) * 1.1


def test_other_models_have_no_reference() -> None:
    assert reference_byte("sd15", {}, "png") is None
