"""How alike requests are, and what was measured of shared first steps."""

from __future__ import annotations

import numpy as np
import pytest

from megdt_opt.models.similarity import PrefixQuality, alike_objects, cosines, prefix_quality, similarities

SCENE = {
    "objects": [
        {"kind": "agv", "colour": "red", "x_px": 16.0, "y_px": 16.0},
        {"kind": "crate", "colour": "blue", "x_px": 44.0, "y_px": 40.0},
    ]
}
TURNED = {"objects": [{**SCENE["objects"][0], "heading_rad": 0.1}, SCENE["objects"][1]]}
OTHER = {"objects": [{"kind": "person", "colour": "green", "x_px": 50.0, "y_px": 12.0}], "floor": "concrete"}


def test_cosines_are_of_angles_and_never_negative() -> None:
    found = cosines(np.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
    assert found[0].tolist() == pytest.approx([1.0, 1.0, 0.0, 0.5**0.5, 0.0])
    assert np.array_equal(found, found.T)
    assert np.diag(found).tolist() == [1.0] * 5


def test_alike_objects_have_kind_colour_and_place_in_common() -> None:
    moved = {"objects": [{**SCENE["objects"][0], "x_px": 18.5}, SCENE["objects"][1]]}
    painted = {"objects": [{**SCENE["objects"][0], "colour": "green"}, SCENE["objects"][1]]}
    found = [alike_objects(scene, SCENE, "twin") for scene in (SCENE, TURNED, moved, painted, OTHER)]
    assert found == [(2, 2), (2, 2), (1, 2), (1, 2), (0, 1)]
    assert alike_objects(3, 3, "sd15") is None


def test_similar_scenes_are_more_alike_than_others() -> None:
    pytest.importorskip("diffusers")
    found = similarities([SCENE, dict(SCENE), TURNED, OTHER], "twin")
    assert np.array_equal(found, found.T)
    assert found[0, 1] == 1.0
    assert 0.99 < found[0, 2] < 1.0
    assert found[0, 3] < 0.5


def test_the_measured_table_of_the_twin_says_less_for_more_steps_and_less_similarity() -> None:
    table = prefix_quality("twin")
    steps = [[table.most_steps(s, 20, floor, equal_seeds=True) for s in (0.1, 0.95, 0.9995)] for floor in (25.0, 35.0)]
    for row in steps:
        assert row == sorted(row)
        assert 0 < row[0] < row[-1] < 20
    assert all(low > high for low, high in zip(*steps, strict=True))
    assert table.most_steps(1.0, 20, 60.0, equal_seeds=True) == 20  # equal requests and seeds: the same picture
    assert table.most_steps(1.0, 20, 60.0, equal_seeds=False) == 0
    assert table.psnr_db(0.5, 0.0, equal_seeds=False) == np.inf


def test_between_what_was_measured_the_worse_counts() -> None:
    rows = [[30.0, 20.0], [50.0, 40.0]]
    table = PrefixQuality({"similarity": [0.0, 0.5], "part": [0.5, 1.0], "psnr_p05_db": {"equal": rows, "own": rows}})
    assert table.psnr_db(0.49, 0.5, equal_seeds=True) == 30.0
    assert table.psnr_db(0.5, 0.5, equal_seeds=True) == 50.0
    assert table.psnr_db(0.5, 0.51, equal_seeds=True) == 40.0
    assert table.most_steps(0.9, 10, 45.0, equal_seeds=False) == 5
    assert table.most_steps(0.2, 10, 45.0, equal_seeds=False) == 0
