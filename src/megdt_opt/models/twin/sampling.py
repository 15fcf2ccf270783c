"""Samplers whose whole state travels: DDIM, Euler and DPM-Solver++ (2M), step by step, from diffusers' schedulers.

A chain's state is a flat dictionary of tensors. Besides the latent it holds what a multistep sampler remembers, so a
chain that is cut anywhere and continued by another process gives the same bits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.twin.networks import SCHEDULE

SCHEDULERS = ("ddim", "euler", "dpmpp")
"""Samplers offered."""

HISTORY = "previous_x0"
"""Name of the previous estimate of the clean latent in a state of "dpmpp"."""

_TRAIN_STEPS: int = SCHEDULE["num_train_timesteps"]

Predict = Callable[[Tensor, Tensor], Tensor]


def check_chain(scheduler: str, steps: int, first: int = 0, count: int = 0) -> None:
    """Refuse an unknown sampler or steps that a chain does not have.

    Raises
    ------
    InvalidInput
    """
    if scheduler not in SCHEDULERS:
        raise InvalidInput("scheduler", scheduler, "one of " + ", ".join(SCHEDULERS), "Choose one of these.")
    if not 1 <= steps <= _TRAIN_STEPS:
        raise InvalidInput("steps", steps, f"1 to {_TRAIN_STEPS} denoising steps", "Choose as many.")
    if not 0 <= first <= steps:
        raise InvalidInput("first", first, f"0 to {steps} [denoising step]", "Start within the chain.")
    if not 0 <= count <= steps - first:
        raise InvalidInput("count", count, f"0 to {steps - first} denoising steps", "End within the chain.")


@cache
def _prepared(scheduler: str, steps: int) -> Any:
    """Scheduler of diffusers with its timesteps set; never stepped itself, only copies are."""
    made: Any
    if scheduler == "ddim":
        made = DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=True)
    elif scheduler == "euler":
        made = EulerDiscreteScheduler(**SCHEDULE)
    else:
        made = DPMSolverMultistepScheduler(**SCHEDULE, algorithm_type="dpmsolver++", solver_order=2)
    made.set_timesteps(steps)
    return made


def scale_noise(noise: Tensor, scheduler: str, steps: int) -> Tensor:
    """Latent that a chain starts from, out of standard normal noise of the same shape."""
    scaled: Tensor = noise * float(_prepared(scheduler, steps).init_noise_sigma)
    return scaled


def add_noise(latent: Tensor, noise: Tensor, scheduler: str, steps: int, first: int) -> Tensor:
    """Clean latent noised to the level that step `first` expects."""
    if first == steps:
        return latent
    made = _prepared(scheduler, steps)
    timestep = int(made.timesteps[first])
    if scheduler == "euler":
        return latent + noise * float(made.sigmas[first])
    if scheduler == "dpmpp":
        alpha, sigma = made._sigma_to_alpha_sigma_t(made.sigmas[first])
        return latent * float(alpha) + noise * float(sigma)
    level = float(made.alphas_cumprod[timestep])
    result: Tensor = latent * level**0.5 + noise * (1 - level) ** 0.5
    return result


def run_steps(
    state: dict[str, Tensor], predict: Predict, *, scheduler: str, steps: int, first: int, count: int
) -> dict[str, Tensor]:
    """Run steps `first` to `first + count - 1` of a chain of `steps`.

    Parameters
    ----------
    state : dict of Tensor
        "latent" (B, C, rows, columns), and `HISTORY` of the same shape within a chain of "dpmpp".
    predict : callable
        Velocity of a noisy latent at a timestep of training.
    scheduler : str
        One of `SCHEDULERS`.
    steps, first, count : int
        Denoising steps [1].

    Returns
    -------
    dict of Tensor
        State after these steps; without history after the last one.
    """
    check_chain(scheduler, steps, first, count)
    if count == 0:
        return dict(state)
    advance = {"ddim": _ddim, "euler": _euler, "dpmpp": _dpmpp}[scheduler]
    return advance(_prepared(scheduler, steps), state, predict, steps, first, count)


def _ddim(
    made: Any, state: dict[str, Tensor], predict: Predict, steps: int, first: int, count: int
) -> dict[str, Tensor]:
    """DDIM without noise, written out: diffusers' class misses timesteps where `steps` does not divide 1000."""
    latent = state["latent"]
    for i in range(first, first + count):
        timestep = made.timesteps[i]
        now = float(made.alphas_cumprod[timestep])
        after = float(made.alphas_cumprod[made.timesteps[i + 1]] if i + 1 < steps else made.final_alpha_cumprod)
        velocity = predict(latent, timestep)
        clean = now**0.5 * latent - (1 - now) ** 0.5 * velocity
        noise = now**0.5 * velocity + (1 - now) ** 0.5 * latent
        latent = after**0.5 * clean + (1 - after) ** 0.5 * noise
    return {"latent": latent}


def _euler(
    made: Any, state: dict[str, Tensor], predict: Predict, steps: int, first: int, count: int
) -> dict[str, Tensor]:
    stepper = copy.copy(made)
    stepper._step_index = first
    latent = state["latent"]
    for i in range(first, first + count):
        timestep = stepper.timesteps[i]
        velocity = predict(stepper.scale_model_input(latent, timestep), timestep)
        latent = stepper.step(velocity, timestep, latent, return_dict=False)[0]
    return {"latent": latent}


def _dpmpp(
    made: Any, state: dict[str, Tensor], predict: Predict, steps: int, first: int, count: int
) -> dict[str, Tensor]:
    """DPM-Solver++ 2M; without history (at a start, or when entered in the middle) its first step is of order 1."""
    stepper = copy.copy(made)
    stepper._step_index = first
    known = state.get(HISTORY)
    stepper.model_outputs = [None, known]
    stepper.lower_order_nums = 0 if known is None else 1
    latent = state["latent"]
    for i in range(first, first + count):
        timestep = stepper.timesteps[i]
        latent = stepper.step(predict(latent, timestep), timestep, latent, return_dict=False)[0]
    if first + count == steps:
        return {"latent": latent}
    return {"latent": latent, HISTORY: stepper.model_outputs[-1]}
