"""A model spec that needs no model."""

from __future__ import annotations

import pytest

from megdt_opt.model_spec import ModelSpec


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec(
        name="small",
        latent_shape=(4, 16, 16),
        image_shape=(64, 64, 3),
        conditioning={"tokens": (5, 24)},
        request={"state": (5, 12)},
        passes_per_step=1,
        steps_default=10,
        schedulers=("ddim", "euler", "dpmpp"),
        weight_byte={"encode_prompt": 1000, "denoise": 50_000, "decode": 20_000, "sense": 9_000},
        region_multiple=2,
    )
