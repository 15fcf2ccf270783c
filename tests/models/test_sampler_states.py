"""What a chain's state holds: the law that planning counts by, hand-overs at every step, and noise by its number."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load, save
from torch import Tensor

from megdt_opt.errors import ExecutionError, InvalidInput
from megdt_opt.models.diffusers.architecture import DEFAULT_SCHEDULE, FLOW_SCHEDULE
from megdt_opt.models.sampling import Samplers
from megdt_opt.models.sampling.kinds import KINDS
from megdt_opt.models.sampling.noise import Draws, drawn, standard_normal
from megdt_opt.program.samplers import GENERATOR, state_shapes

SHAPE = (4, 6, 8)
PIPELINE, FLOW = Samplers(DEFAULT_SCHEDULE), Samplers(FLOW_SCHEDULE)
NAMES = (*KINDS, "ddim_eta0.3")


def predict(latent: Tensor, timestep: Tensor) -> Tensor:
    return torch.tanh(latent) * (0.2 + float(timestep) / 1000)


def sampler_of(name: str, steps: int) -> Any:
    return (FLOW if name == "flow_euler" else PIPELINE).get(name, steps)


def shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape[1:]) for name, value in state.items()}


@pytest.mark.parametrize("entered", [0, 2, 3])
@pytest.mark.parametrize("steps", [7, 8])
@pytest.mark.parametrize("name", NAMES)
def test_a_cut_changes_no_bit_and_the_state_is_what_the_law_says(name: str, steps: int, entered: int) -> None:
    """From noise, and from a picture at an even and at an odd step."""
    sampler = sampler_of(name, steps)
    begin = sampler.start(5, SHAPE)
    if entered:
        begin = sampler.start_from(standard_normal(3, (1, *SHAPE)), 5, entered)
    whole = sampler.run(begin, predict, first=entered, count=steps - entered)
    assert set(whole) == {"latent"}
    assert torch.isfinite(whole["latent"]).all()
    for cut in range(entered + 1, steps):
        before = sampler.run(begin, predict, first=entered, count=cut - entered)
        assert shapes(before) == state_shapes(name, SHAPE, done=cut, entered=entered), cut
        after = sampler.run(load(save(before)), predict, first=cut, count=steps - cut)
        assert torch.equal(after["latent"], whole["latent"]), cut


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_of_single_steps_is_the_chain(name: str) -> None:
    sampler, steps = sampler_of(name, 8), 8
    state = begin = sampler.start(7, SHAPE)
    for step in range(steps):
        state = sampler.run(state, predict, first=step, count=1)
    assert torch.equal(state["latent"], sampler.run(begin, predict, first=0, count=steps)["latent"])


@pytest.mark.parametrize("name", NAMES)
def test_the_chain_is_that_of_diffusers_with_one_generator(name: str) -> None:
    steps = 8
    made = FLOW if name == "flow_euler" else PIPELINE
    kind = KINDS[name] if name in KINDS else KINDS["ddim"]
    config = {**(FLOW_SCHEDULE if kind.flow else DEFAULT_SCHEDULE), "clip_sample": False, "set_alpha_to_one": False}
    reference = kind.scheduler.from_config(config, **kind.fixed)
    reference.set_timesteps(steps - kind.repeated)
    generator = torch.Generator().manual_seed(11)
    latent = torch.randn((1, *SHAPE), generator=generator) * getattr(reference, "init_noise_sigma", 1.0)
    how: dict[str, Any] = {"generator": generator} if GENERATOR in made.get(name, steps).start(0, SHAPE) else {}
    if name.startswith("ddim_eta"):
        how["eta"] = float(name.removeprefix("ddim_eta"))
    for timestep in reference.timesteps:
        scaled = latent if kind.flow else reference.scale_model_input(latent, timestep)
        latent = reference.step(predict(scaled, timestep), timestep, latent, return_dict=False, **how)[0]
    sampler = made.get(name, steps)
    ours = sampler.run(sampler.start(11, SHAPE), predict, first=0, count=steps)["latent"]
    assert torch.equal(ours, latent)


@pytest.mark.parametrize("name", ["euler_ancestral", "dpmpp_2m_sde", "dpmpp_sde", "lcm", "ddim_eta1"])
def test_a_region_gets_its_rows_of_the_whole_latents_noise(name: str) -> None:
    sampler, rows = sampler_of(name, 6), (2, 6)
    whole = sampler.run(sampler.start(3, SHAPE), predict, first=0, count=6)["latent"]
    state = sampler.start(3, SHAPE, rows=rows)
    for step in range(6):
        state = sampler.run(state, predict, first=step, count=1, rows=rows, height=SHAPE[1])
    assert torch.equal(state["latent"], whole[:, :, 2:6])


def test_latents_of_a_batch_have_seeds_of_their_own() -> None:
    sampler = sampler_of("euler_ancestral", 5)
    alone = [sampler.run(sampler.start(seed, SHAPE), predict, first=0, count=5)["latent"] for seed in (1, 2)]
    starts = [sampler.start(seed, SHAPE) for seed in (1, 2)]
    both = {name: torch.cat([start[name] for start in starts]) for name in starts[0]}
    assert torch.equal(sampler.run(both, predict, first=0, count=5)["latent"], torch.cat(alone))


def test_noise_is_drawn_by_its_number_wherever_a_chain_goes_on() -> None:
    generator = torch.Generator().manual_seed(9)
    latents = [torch.randn((1, *SHAPE), generator=generator) for _ in range(4)]
    assert torch.equal(latents[0], standard_normal(9, (1, *SHAPE)))
    for count in (3, 1, 2):  # in another order than drawn
        (found,) = Draws(drawn(9, count), (1, *SHAPE)).generators
        assert torch.equal(torch.randn((1, *SHAPE), generator=found), latents[count])


def test_a_state_without_its_generator_or_with_a_strange_one_is_refused() -> None:
    sampler = sampler_of("euler_ancestral", 4)
    latent = {"latent": torch.zeros((1, *SHAPE))}
    with pytest.raises(InvalidInput, match="generator"):
        sampler.run(latent, predict, first=0, count=1)
    for seed, count in ((-1, 0), (0, -1), (0, 10**9)):
        strange = torch.tensor([list(struct.pack("<qq", seed, count))], dtype=torch.uint8)
        with pytest.raises(InvalidInput, match="seed|generator"):
            sampler.run({**latent, GENERATOR: strange}, predict, first=0, count=1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["ddim", "dpmpp", "euler_ancestral"])
def test_the_step_that_makes_nan_or_infinity_says_so(name: str, bad: float) -> None:
    sampler = sampler_of(name, 5)
    state = sampler.run(sampler.start(0, SHAPE), predict, first=0, count=2)
    with pytest.raises(ExecutionError, match="denoising step 2: found NaN or infinity"):
        sampler.run(state, lambda latent, _: torch.full_like(latent, bad), first=2, count=1)


def test_ddim_with_noise_is_told_by_its_weight() -> None:
    for name in ("ddim_eta0", "ddim_eta2", "ddim_eta0.50", "ddim_eta.5", "ddim_eta-1"):
        with pytest.raises(InvalidInput, match="scheduler"):
            PIPELINE.get(name, 4)
    made = DDIMScheduler(**DEFAULT_SCHEDULE, clip_sample=False, set_alpha_to_one=False)
    made.set_timesteps(4)
    step = made.timesteps[0]
    noise, output, latent = (standard_normal(n, (1, *SHAPE)) for n in range(3))
    expected = made.step(output, step, latent, eta=0.25, variance_noise=noise, return_dict=False)[0]
    state = {"latent": latent, GENERATOR: drawn(0, 0)}
    assert torch.equal(
        PIPELINE.get("ddim_eta0.25", 4).run(state, lambda *_: output, first=0, count=1)["latent"], expected
    )
