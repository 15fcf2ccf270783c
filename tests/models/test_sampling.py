"""Samplers: a cut changes no bit, and steps and noising are those of diffusers' schedulers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from safetensors.torch import load, save
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.diffusers.architecture import DEFAULT_SCHEDULE, FLOW_SCHEDULE
from megdt_opt.models.sampling import CHAIN_KINDS, SCHEDULERS, Samplers
from megdt_opt.models.twin.networks import SCHEDULE
from megdt_opt.program.samplers import HISTORY

STEPS = 6
TRAILING = {**DEFAULT_SCHEDULE, "timestep_spacing": "trailing", "steps_offset": 0}
LINSPACE = {**DEFAULT_SCHEDULE, "timestep_spacing": "linspace", "steps_offset": 0}
VELOCITY = {**DEFAULT_SCHEDULE, "prediction_type": "v_prediction"}
SCHEDULES = {"leading": DEFAULT_SCHEDULE, "trailing": TRAILING, "linspace": LINSPACE, "velocity": VELOCITY}
KINDS: dict[str, Any] = {
    "ddim": lambda **schedule: DDIMScheduler(**schedule, clip_sample=False, set_alpha_to_one=False),
    "euler": EulerDiscreteScheduler,
    "dpmpp": DPMSolverMultistepScheduler,
    "flow_euler": FlowMatchEulerDiscreteScheduler,
}
PIPELINES = [
    *(pytest.param(s, schedule, id=f"{s}-{name}") for s in SCHEDULERS for name, schedule in SCHEDULES.items()),
    pytest.param("flow_euler", FLOW_SCHEDULE, id="flow_euler"),
]
TWIN = Samplers(SCHEDULE, CHAIN_KINDS)


def normal(seed: int) -> Tensor:
    return torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(seed))


def predict(latent: Tensor, timestep: Tensor) -> Tensor:
    return torch.tanh(latent) * (0.2 + timestep / 1000)


def diffusers_chain(reference: Any, latent: Tensor) -> Tensor:
    """The loop of diffusers' pipelines."""
    flow = isinstance(reference, FlowMatchEulerDiscreteScheduler)
    for timestep in reference.timesteps:
        scaled = latent if flow else reference.scale_model_input(latent, timestep)
        latent = reference.step(predict(scaled, timestep), timestep, latent, return_dict=False)[0]
    return latent


@pytest.mark.long_list("scheduler", "schedule")
@pytest.mark.parametrize("steps", [1, 4, 7, 20, 30])
@pytest.mark.parametrize(("scheduler", "schedule"), PIPELINES)
def test_a_pipelines_chain_is_that_of_diffusers_to_the_last_bit(
    scheduler: str, schedule: Mapping[str, Any], steps: int
) -> None:
    sampler = Samplers(schedule).get(scheduler, steps)
    reference = KINDS[scheduler](**schedule)
    reference.set_timesteps(steps)
    begin = normal(0) * getattr(reference, "init_noise_sigma", 1.0)
    assert torch.equal(sampler.begin(normal(0)), begin)
    ours = sampler.run({"latent": begin}, predict, first=0, count=steps)["latent"]
    assert torch.equal(ours, diffusers_chain(reference, begin))


@pytest.mark.long_list("scheduler", "schedule")
@pytest.mark.parametrize("steps", [1, 4, 7, 20, 30])
@pytest.mark.parametrize(
    ("scheduler", "schedule"),
    [*PIPELINES, pytest.param("dpmpp", {**DEFAULT_SCHEDULE, "use_karras_sigmas": True}, id="dpmpp-karras")],
)
def test_a_picture_is_noised_as_diffusers_does_it_to_the_last_bit(
    scheduler: str, schedule: Mapping[str, Any], steps: int
) -> None:
    sampler = Samplers(schedule).get(scheduler, steps)
    for first in range(steps):
        reference = KINDS[scheduler](**schedule)
        reference.set_timesteps(steps)
        if hasattr(reference, "set_begin_index"):  # as diffusers' pipelines that start from a picture do it
            reference.set_begin_index(first)
        timestep = reference.timesteps[first : first + 1]
        if scheduler == "flow_euler":
            expected = reference.scale_noise(normal(1), timestep, normal(2))
        else:
            expected = reference.add_noise(normal(1), normal(2), timestep)
        assert torch.equal(sampler.begin_from(normal(1), normal(2), first), expected), first
    assert torch.equal(sampler.begin_from(normal(1), normal(2), steps), normal(1))


@pytest.mark.parametrize("scheduler", ["euler", "dpmpp"])
@pytest.mark.parametrize("steps", [4, 7, 20])
def test_the_twins_chain_is_that_of_diffusers_to_the_last_bit(scheduler: str, steps: int) -> None:
    reference = KINDS[scheduler](**SCHEDULE)
    reference.set_timesteps(steps)
    sampler = TWIN.get(scheduler, steps)
    begin = sampler.begin(normal(0))
    ours = sampler.run({"latent": begin}, predict, first=0, count=steps)["latent"]
    assert torch.equal(ours, diffusers_chain(reference, begin))


@pytest.mark.parametrize("steps", [4, 20])
def test_the_twins_ddim_is_that_of_diffusers_where_its_steps_divide_the_training(steps: int) -> None:
    reference = DDIMScheduler(**SCHEDULE, clip_sample=False)
    reference.set_timesteps(steps)
    ours = TWIN.get("ddim", steps).run({"latent": normal(0)}, predict, first=0, count=steps)["latent"]
    assert torch.allclose(ours, diffusers_chain(reference, normal(0)), rtol=1e-5, atol=1e-5)


def clean_error(chain: Any) -> float:
    """How far the exact velocity of a known latent leads a chain from that latent."""
    clean = torch.linspace(-1, 1, 1024).reshape(1, 4, 16, 16)
    alpha_bar = DDIMScheduler(**SCHEDULE).alphas_cumprod

    def exact(latent: Tensor, timestep: Tensor) -> Tensor:
        a, s = alpha_bar[int(timestep)].sqrt(), (1 - alpha_bar[int(timestep)]).sqrt()
        return a * (latent - a * clean) / s - s * clean

    return float((chain(exact) - clean).abs().max())


@pytest.mark.parametrize("steps", [7, 13, 30])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_twin_ends_clean_where_the_steps_do_not_divide_the_training(scheduler: str, steps: int) -> None:
    sampler = TWIN.get(scheduler, steps)
    state = {"latent": sampler.begin(normal(1))}
    assert clean_error(lambda exact: sampler.run(state, exact, first=0, count=steps)["latent"]) < 2e-3


def off_the_path(steps: int, run: Any) -> float:
    """How far a chain that is told the exact velocity leaves the noise levels of its timesteps.

    `run` takes a latent, a denoiser and a number of steps.
    """
    alpha_bar = DDIMScheduler(**SCHEDULE).alphas_cumprod
    clean, noise = normal(3), normal(4)

    def exact(_: Tensor, timestep: Tensor) -> Tensor:
        level = alpha_bar[int(timestep)]
        return level.sqrt() * noise - (1 - level).sqrt() * clean

    noised = [TWIN.get("ddim", steps).begin_from(clean, noise, step) for step in range(steps + 1)]
    return max(float((run(noised[0], exact, k) - noised[k]).abs().max()) for k in range(steps + 1))


@pytest.mark.parametrize("steps", [7, 13, 30])
def test_the_twins_ddim_meets_the_noise_levels_of_its_timesteps(steps: int) -> None:
    sampler = TWIN.get("ddim", steps)
    assert off_the_path(steps, lambda x, exact, k: sampler.run({"latent": x}, exact, first=0, count=k)["latent"]) < 1e-4


@pytest.mark.parametrize("steps", [7, 13, 30])
def test_the_ddim_of_diffusers_misses_them(steps: int) -> None:
    """Why the twin has a DDIM of its own; when this fails, diffusers has mended its own and `ChainDDIM` can go."""
    made = DDIMScheduler(**SCHEDULE, clip_sample=False)
    made.set_timesteps(steps)

    def run(latent: Tensor, exact: Any, count: int) -> Tensor:
        for timestep in made.timesteps[:count]:
            latent = made.step(exact(latent, timestep), timestep, latent, return_dict=False)[0]
        return latent

    assert off_the_path(steps, run) > 1e-3


@pytest.mark.parametrize(
    ("samplers", "scheduler"),
    [
        *(pytest.param(TWIN, s, id=f"twin-{s}") for s in SCHEDULERS),
        *(pytest.param(Samplers(DEFAULT_SCHEDULE), s, id=f"pipeline-{s}") for s in SCHEDULERS),
        pytest.param(Samplers(FLOW_SCHEDULE), "flow_euler", id="pipeline-flow_euler"),
    ],
)
def test_a_cut_changes_no_bit(samplers: Samplers, scheduler: str) -> None:
    sampler = samplers.get(scheduler, STEPS)
    begin = {"latent": sampler.begin(normal(11))}
    whole = sampler.run(begin, predict, first=0, count=STEPS)
    assert set(whole) == {"latent"}
    for cut in range(STEPS + 1):
        before = sampler.run(begin, predict, first=0, count=cut)
        assert (HISTORY in before) == (scheduler == "dpmpp" and 0 < cut < STEPS)
        after = sampler.run(load(save(before)), predict, first=cut, count=STEPS - cut)
        assert torch.equal(after["latent"], whole["latent"]), cut


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"scheduler": "heun"}, "heun"),
        ({"scheduler": "flow_euler"}, "flow_euler"),
        ({"steps": 0}, "steps"),
        ({"steps": 1001}, "steps"),
        ({"first": 7}, "first"),
        ({"count": 7}, "count"),
        ({"count": -1}, "count"),
    ],
)
@pytest.mark.parametrize("samplers", [TWIN, Samplers(DEFAULT_SCHEDULE)], ids=["twin", "pipeline"])
def test_steps_that_a_chain_lacks_are_refused(samplers: Samplers, changed: dict[str, Any], named: str) -> None:
    chain: dict[str, Any] = {"scheduler": "ddim", "steps": 6, "first": 0, "count": 6} | changed

    def run() -> None:
        sampler = samplers.get(chain["scheduler"], chain["steps"])
        sampler.run({"latent": normal(0)}, predict, first=chain["first"], count=chain["count"])

    with pytest.raises(InvalidInput, match=named):
        run()


@pytest.mark.parametrize("first", [-1, 7, 100])
def test_a_picture_is_not_noised_for_a_step_that_the_chain_lacks(first: int) -> None:
    with pytest.raises(InvalidInput, match="first"):
        TWIN.get("ddim", 6).begin_from(normal(0), normal(1), first)


@pytest.mark.parametrize(
    ("samplers", "scheduler", "steps"),
    [
        pytest.param(Samplers(DEFAULT_SCHEDULE), "ddim", 1000, id="timestep-1000-was-not-trained"),
        pytest.param(Samplers(DEFAULT_SCHEDULE), "euler", 1000, id="timestep-1000-has-no-level-of-its-own"),
        pytest.param(Samplers(DEFAULT_SCHEDULE), "dpmpp", 1000, id="all-timesteps-are-the-same"),
        pytest.param(Samplers(DEFAULT_SCHEDULE), "dpmpp", 999, id="a-step-of-length-zero"),
        pytest.param(TWIN, "euler", 61, id="62-timesteps-for-61-steps"),
    ],
)
def test_steps_without_a_timestep_of_their_own_are_refused(samplers: Samplers, scheduler: str, steps: int) -> None:
    with pytest.raises(InvalidInput, match=rf"steps: found {steps}; expected .* 0 to 999"):
        samplers.get(scheduler, steps)


@pytest.mark.parametrize("samplers", [TWIN, Samplers(DEFAULT_SCHEDULE)], ids=["twin", "pipeline"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_longest_chains_end_in_numbers(samplers: Samplers, scheduler: str) -> None:
    sampler = samplers.get(scheduler, 997)
    begin = {"latent": sampler.begin(normal(0)[:, :1, :2, :2])}
    end = sampler.run(begin, lambda latent, _: 0.1 * torch.tanh(latent), first=0, count=997)["latent"]
    assert torch.isfinite(end).all()
