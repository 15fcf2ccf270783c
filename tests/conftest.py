"""Settings for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings

from megdt_opt.program.model_spec import ModelSpec

# a busy machine must not fail a property, and a run must be repeatable
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

# the scripts under experiments/ are used by tests too, so that what is tested is what is run by hand
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))


@pytest.fixture
def spec() -> ModelSpec:
    """A model spec that needs no model."""
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
