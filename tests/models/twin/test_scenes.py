"""Scenes: drawing, rendering, state and plain data."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.models.twin.catalogue import COLOURS, FLOORS, KINDS, RADIUS_PX, SIZE_PX, SLOTS
from megdt_opt.models.twin.scenes import STATE_SHAPE, Scene, SceneObject, random_scene, render, scene_state, state_scene


def _crate(**changed: Any) -> dict[str, Any]:
    return {"kind": "crate", "colour": "red", "x_px": 20.0, "y_px": 30.0, "heading_rad": 0.5} | changed


def test_scenes_need_no_torch() -> None:
    code = "import sys, megdt_opt.models.twin.scenes; print('torch' in sys.modules, 'diffusers' in sys.modules)"
    run = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_a_seed_gives_the_same_scene_and_picture() -> None:
    a, b = (random_scene(np.random.default_rng(5)) for _ in range(2))
    assert a == b
    np.testing.assert_array_equal(render(a), render(b))
    assert random_scene(np.random.default_rng(6)) != a


def test_scenes_are_valid_and_varied() -> None:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(200)]
    assert {len(s.objects) for s in scenes} == set(range(1, SLOTS + 1))
    assert {o.kind for s in scenes for o in s.objects} == set(KINDS)
    assert {o.colour for s in scenes for o in s.objects} == set(COLOURS)
    assert {s.floor for s in scenes} == set(FLOORS)
    assert len(random_scene(rng, objects=4).objects) == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heading_rad", [0.0, 0.4, 2.0, -2.5])
def test_an_object_stays_within_its_circle_and_shows_its_colour(kind: str, heading_rad: float) -> None:
    spot = SceneObject(kind=kind, colour="magenta", x_px=31.3, y_px=33.8, heading_rad=heading_rad)
    far = SceneObject(kind="person", colour="red", x_px=7.0, y_px=7.0)
    changed = (render(Scene(objects=(far, spot))) != render(Scene(objects=(far,)))).any(axis=-1)
    rows, columns = np.nonzero(changed)
    away = np.hypot(columns + 0.5 - spot.x_px, rows + 0.5 - spot.y_px)
    assert away.max() < RADIUS_PX[kind] + 1.0 + 0.5  # anti-aliasing reaches half a pixel further
    for extent in (np.ptp(rows), np.ptp(columns)):
        assert extent >= 7
    shown = np.abs(render(Scene(objects=(spot,))).astype(int) - COLOURS["magenta"]).sum(axis=-1)
    assert (shown < 12).sum() >= 20


def test_a_picture_is_eight_bit_rgb() -> None:
    picture = render(random_scene(np.random.default_rng(1)))
    assert picture.dtype == np.uint8
    assert picture.shape == (SIZE_PX, SIZE_PX, 3)


def test_state_round_trip() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        scene = random_scene(rng)
        state = scene_state(scene)
        assert state.shape == STATE_SHAPE
        assert state.dtype == np.float32
        back = state_scene(state, texture=scene.texture)
        assert back.floor == scene.floor
        for a, b in zip(back.objects, scene.objects, strict=True):
            assert (a.kind, a.colour) == (b.kind, b.colour)
            assert math.hypot(a.x_px - b.x_px, a.y_px - b.y_px) < 1e-4
            assert math.cos(a.heading_rad - b.heading_rad) > 1 - 1e-9


def test_empty_slots_are_flagged() -> None:
    state = scene_state(random_scene(np.random.default_rng(2), objects=2))
    assert state[:, 0].tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert not state[2:, : -len(FLOORS)].any()


def test_plain_data_round_trip() -> None:
    scene = random_scene(np.random.default_rng(4))
    assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kind": "lorry"}, ["kind", "lorry", "robot_arm"]),
        ({"colour": 3}, ["colour", "3", "magenta"]),
        ({"x_px": 2.0}, ["x_px", "2.0", "px"]),
        ({"y_px": float("nan")}, ["y_px", "nan", "px"]),
        ({"y_px": True}, ["y_px", "True"]),
        ({"heading_rad": "north"}, ["heading_rad", "north", "rad"]),
        ({"speed": 1.0}, ["speed", "heading_rad"]),
    ],
)
def test_a_wrong_object_is_named(changed: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Scene.from_dict({"objects": [_crate(x_px=50.0), _crate(**changed)]})
    for word in ["objects[1]", *named]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({}, ["objects"]),
        ({"objects": []}, ["objects", "0", "1 to 5"]),
        ({"objects": "crate"}, ["objects", "crate", "list"]),
        ({"objects": [3]}, ["objects[0]", "3", "mapping"]),
        ({"objects": [_crate(), _crate(x_px=24.0)]}, ["objects[1]", "4.00 px", "apart"]),
        ({"objects": [_crate()], "floor": "lava"}, ["floor", "lava", "tiles"]),
        ({"objects": [_crate()], "texture": -1}, ["texture", "-1"]),
        ({"objects": [_crate()], "weather": "rain"}, ["weather", "rain"]),
        ("a scene", ["a scene", "mapping"]),
    ],
)
def test_a_wrong_scene_is_named(data: Any, named: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Scene.from_dict(data)
    for word in named:
        assert word in str(caught.value)


def test_a_missing_field_is_named() -> None:
    entry = _crate()
    del entry["y_px"]
    with pytest.raises(InvalidInput, match=r"objects\[0\]\.y_px"):
        Scene.from_dict({"objects": [entry]})


def test_a_wrong_state_is_named() -> None:
    state = scene_state(random_scene(np.random.default_rng(2), objects=2))
    with pytest.raises(InvalidInput, match="shape"):
        state_scene(state[:2])
    with pytest.raises(InvalidInput, match="finite"):
        state_scene(np.full_like(state, np.nan))
    state[1, 1 : 1 + len(KINDS)] = 1.0
    with pytest.raises(InvalidInput, match=r"state\[1\] kind"):
        state_scene(state)
