"""Several chains in one pass, each at a step of its own: they end as chains that run alone, up to rounding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.split_model import TogetherModel
from megdt_opt.models.twin.model import TwinModel

ROUNDING = 5e-6
"""Largest difference of latents whose values reach 5 [1]; 1.4e-6 was seen over 20 steps."""

STEPS = 6
State = dict[str, Tensor]


def alone(model: TwinModel, conditioning: State, seed: int, scheduler: str) -> Tensor:
    state = model.start(seed, scheduler=scheduler, steps=STEPS)
    return model.denoise(state, conditioning, scheduler=scheduler, steps=STEPS, first=0, count=STEPS)["latent"]


@pytest.mark.long_list("scheduler", of=3)
@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp"])
@pytest.mark.parametrize("begins", [(0, 0, 0), (0, 2, 5), (4, 1, 0)], ids=["at once", "joining later", "in reverse"])
def test_chains_join_and_leave_between_steps_and_end_as_they_do_alone(
    model: TwinModel, scheduler: str, begins: tuple[int, ...]
) -> None:
    requests = model.example_requests(len(begins), seed=3)
    conditionings = [model.encode_prompt(request) for request in requests]
    states = [model.start(seed, scheduler=scheduler, steps=STEPS) for seed in range(len(begins))]
    made = [0] * len(begins)
    for now in range(max(begins) + STEPS):
        here = [k for k, begin in enumerate(begins) if begin <= now < begin + STEPS]
        after = model.denoise_together(
            [states[k] for k in here], [conditionings[k] for k in here], schedulers=[scheduler] * len(here),
            steps=STEPS, at=[made[k] for k in here],
        )  # fmt: skip
        for k, state in zip(here, after, strict=True):
            states[k], made[k] = state, made[k] + 1
    assert made == [STEPS] * len(begins)
    for k, state in enumerate(states):
        assert set(state) == {"latent"}
        assert (state["latent"] - alone(model, conditionings[k], k, scheduler)).abs().max() < ROUNDING
    assert (states[0]["latent"] - states[1]["latent"]).abs().max() > 0.1  # they are different pictures


@pytest.mark.parametrize("scheduler", ["ddim", "dpmpp"])
def test_a_batch_of_one_is_the_chain_alone_to_the_last_bit(model: TwinModel, scheduler: str) -> None:
    conditioning = model.encode_prompt(model.example_requests(1, seed=4)[0])
    state = model.start(1, scheduler=scheduler, steps=STEPS)
    for step in range(STEPS):
        (state,) = model.denoise_together([state], [conditioning], schedulers=[scheduler], steps=STEPS, at=[step])
    assert torch.equal(state["latent"], alone(model, conditioning, 1, scheduler))


def test_wrong_steps_are_refused(model: TwinModel) -> None:
    assert isinstance(model, TogetherModel)
    conditioning = model.encode_prompt(model.example_requests(1, seed=4)[0])
    state = model.start(1, scheduler="ddim", steps=STEPS)
    for at in ([STEPS], [-1], [0, 1], []):
        with pytest.raises(InvalidInput, match=r"steps.*one step from 0 to 5"):
            model.denoise_together([state], [conditioning], schedulers=["ddim"], steps=STEPS, at=at)
    with pytest.raises(InvalidInput, match="steps"):
        model.denoise_together([], [], schedulers=[], steps=STEPS, at=[])
