"""Samplers: a cut changes no bit, and the steps are those of diffusers' schedulers."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from safetensors.torch import load, save
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.networks import SCHEDULE
from megdt_opt.models.twin.sampling import HISTORY, SCHEDULERS, run_steps, scale_noise

STEPS = 6


@pytest.mark.parametrize("rows", [None, (4, 12)])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_cut_changes_no_bit(
    model: TwinModel, request_states: dict[str, Tensor], scheduler: str, rows: tuple[int, int] | None
) -> None:
    conditioning = model.encode_prompt({"state": request_states["state"][:1]})
    chain = {"scheduler": scheduler, "steps": STEPS, "rows": rows}
    begin = model.start(11, **chain)
    whole = model.denoise(begin, conditioning, first=0, count=STEPS, **chain)
    assert set(whole) == {"latent"}
    for cut in range(STEPS + 1):
        before = model.denoise(begin, conditioning, first=0, count=cut, **chain)
        assert (HISTORY in before) == (scheduler == "dpmpp" and 0 < cut < STEPS)
        arrived = load(save(before))
        after = model.denoise(arrived, conditioning, first=cut, count=STEPS - cut, **chain)
        assert torch.equal(after["latent"], whole["latent"]), cut


def test_step_by_step_changes_no_bit(model: TwinModel, request_states: dict[str, Tensor]) -> None:
    conditioning = model.encode_prompt({"state": request_states["state"][:2]})
    start = model.start(3, scheduler="dpmpp", steps=STEPS)["latent"].expand(2, -1, -1, -1).contiguous()
    state = {"latent": start}
    for i in range(STEPS):
        state = model.denoise(state, conditioning, scheduler="dpmpp", steps=STEPS, first=i, count=1)
    whole = model.denoise({"latent": start}, conditioning, scheduler="dpmpp", steps=STEPS, first=0, count=STEPS)
    assert torch.equal(state["latent"], whole["latent"])


@pytest.mark.parametrize(
    ("scheduler", "reference"),
    [
        ("ddim", DDIMScheduler(**SCHEDULE, clip_sample=False)),
        ("euler", EulerDiscreteScheduler(**SCHEDULE)),
        ("dpmpp", DPMSolverMultistepScheduler(**SCHEDULE)),
    ],
)
@pytest.mark.parametrize("steps", [4, 20])
def test_steps_agree_with_diffusers(scheduler: str, reference: object, steps: int) -> None:
    def predict(latent: Tensor, timestep: Tensor) -> Tensor:
        return torch.tanh(latent) * (0.2 + timestep / 1000)

    noise = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(0))
    begin = scale_noise(noise, scheduler, steps)
    ours = run_steps({"latent": begin}, predict, scheduler=scheduler, steps=steps, first=0, count=steps)["latent"]
    reference.set_timesteps(steps)  # type: ignore[attr-defined]
    theirs = noise * reference.init_noise_sigma  # type: ignore[attr-defined]
    for timestep in reference.timesteps:  # type: ignore[attr-defined]
        velocity = predict(reference.scale_model_input(theirs, timestep), timestep)  # type: ignore[attr-defined]
        theirs = reference.step(velocity, timestep, theirs, return_dict=False)[0]  # type: ignore[attr-defined]
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_seven_steps_end_clean(scheduler: str) -> None:
    """The exact velocity of a known latent leads to that latent, also where the steps do not divide 1000."""
    clean = torch.linspace(-1, 1, 1024).reshape(1, 4, 16, 16)
    alpha_bar = DDIMScheduler(**SCHEDULE).alphas_cumprod

    def predict(latent: Tensor, timestep: Tensor) -> Tensor:
        a, s = alpha_bar[int(timestep)].sqrt(), (1 - alpha_bar[int(timestep)]).sqrt()
        return a * (latent - a * clean) / s - s * clean

    begin = scale_noise(torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(1)), scheduler, 7)
    end = run_steps({"latent": begin}, predict, scheduler=scheduler, steps=7, first=0, count=7)["latent"]
    assert torch.allclose(end, clean, atol=2e-3)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"scheduler": "heun"}, "heun"),
        ({"steps": 0}, "steps"),
        ({"first": 7}, "first"),
        ({"count": 7}, "count"),
        ({"count": -1}, "count"),
    ],
)
def test_steps_that_a_chain_lacks_are_refused(changed: dict[str, object], named: str) -> None:
    chain: dict[str, object] = {"scheduler": "ddim", "steps": 6, "first": 0, "count": 6} | changed
    with pytest.raises(InvalidInput, match=named):
        run_steps({"latent": torch.zeros(1, 4, 16, 16)}, lambda x, t: x, **chain)  # type: ignore[arg-type]
