"""The numbers of steps that a spec says of its samplers are those that the samplers make."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.models.diffusers.architecture import DEFAULT_SCHEDULE, FLOW_SCHEDULE
from megdt_opt.models.registry import find_spec
from megdt_opt.models.sampling.samplers import CHAIN_KINDS, Samplers
from megdt_opt.models.twin.model import SCHEDULE
from megdt_opt.program.samplers import check_steps, trailing_gaps

EULER = {**DEFAULT_SCHEDULE, "_class_name": "EulerDiscreteScheduler"}
OTHERS: dict[str, dict[str, Any]] = {
    "trailing": {**EULER, "num_train_timesteps": 25, "timestep_spacing": "trailing"},
    "leading": {**EULER, "num_train_timesteps": 12},
    "linspace": {**EULER, "num_train_timesteps": 12, "timestep_spacing": "linspace"},
    "karras": {**EULER, "num_train_timesteps": 12, "use_karras_sigmas": True},
    "few of LCM": {**DEFAULT_SCHEDULE, "_class_name": "LCMScheduler", "original_inference_steps": 5,
                   "num_train_timesteps": 20},
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "samplers"),
    [
        ("twin", lambda: Samplers(SCHEDULE, CHAIN_KINDS)),
        ("sd15", lambda: Samplers(DEFAULT_SCHEDULE, pipeline="StableDiffusionPipeline")),
        ("sd21", lambda: Samplers(DEFAULT_SCHEDULE, pipeline="StableDiffusionPipeline")),
        ("sdxl", lambda: Samplers(DEFAULT_SCHEDULE)),
        ("sd3", lambda: Samplers(FLOW_SCHEDULE, tokens=4096)),
    ],
)
def test_known_models_say_the_numbers_of_their_schedules(name: str, samplers: Any) -> None:
    assert find_spec(name).steps_made == samplers().steps_made


def _refused(call: Any) -> bool:
    try:
        call()
    except InvalidInput:
        return True
    return False


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_every_number_is_made_or_refused_as_it_is_said(config: dict[str, Any]) -> None:
    samplers = Samplers(config)
    for name in samplers.names:
        for steps in range(1, int(config["num_train_timesteps"]) + 2):
            said = _refused(partial(check_steps, name, steps, samplers.steps_made))
            assert said == _refused(partial(samplers.get, name, steps)), (name, steps)


@pytest.mark.parametrize("trained", [100, 1000])
def test_gaps_of_the_trailing_spacing_are_where_diffusers_makes_a_step_more(trained: int) -> None:
    samplers = Samplers({**EULER, "num_train_timesteps": trained, "timestep_spacing": "trailing"})
    gaps = trailing_gaps(trained)
    assert gaps
    for steps in gaps[:3]:
        with pytest.raises(InvalidInput, match=f"steps: found {steps}"):
            samplers.get("euler", steps)
        assert samplers.get("euler", steps - 1).steps == steps - 1
