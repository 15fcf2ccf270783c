"""Samplers that can stop and go on at any step: DDIM, Euler, DPM-Solver++ (2M), flow Euler, from diffusers' schedulers.

A chain's state is a flat dictionary of tensors: the latent and, for the multistep sampler, its last estimate of the
clean latent. Nothing is remembered between calls, so a chain that is cut anywhere and continued by another process
gives the same bits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor

from megdt_opt.errors import InvalidInput

SCHEDULERS = ("ddim", "euler", "dpmpp")
"""Samplers of models that predict noise or velocity."""

FLOW_SCHEDULERS = ("flow_euler",)
"""Samplers of flow matching models."""

HISTORY = "previous_x0"
"""Name of the multistep sampler's last clean estimate in a state."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""A denoiser: from a latent and a timestep of training to what the schedule says it predicts."""

Classes = Mapping[str, tuple[Any, Mapping[str, Any]]]
"""Scheduler class of each sampler, and its settings beside the noise schedule."""


class ChainDDIM(DDIMScheduler):  # type: ignore[misc]
    """DDIM without noise for a model that predicts the velocity, from each timestep of the chain to its next.

    diffusers' own class goes to the timestep less `1000 // steps`. With the spacings "trailing" and "linspace" that
    is not the next one where the steps do not divide 1000 (https://github.com/huggingface/diffusers/issues/12633).
    """

    def step(self, velocity: Tensor, timestep: Tensor, latent: Tensor, *, return_dict: bool) -> tuple[Tensor]:
        """Latent at the next timestep."""
        self._step_index += 1
        last = self._step_index == len(self.timesteps)
        now = float(self.alphas_cumprod[timestep])
        after = float(self.final_alpha_cumprod if last else self.alphas_cumprod[self.timesteps[self._step_index]])
        clean = now**0.5 * latent - (1 - now) ** 0.5 * velocity
        noise = now**0.5 * velocity + (1 - now) ** 0.5 * latent
        return (after**0.5 * clean + (1 - after) ** 0.5 * noise,)


PIPELINE_CLASSES: Classes = {
    "ddim": (DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False}),
    "euler": (EulerDiscreteScheduler, {}),
    "dpmpp": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "flow_euler": (FlowMatchEulerDiscreteScheduler, {}),
}
"""What diffusers' pipelines use: the same latents to the last bit."""

CHAIN_CLASSES: Classes = {
    **PIPELINE_CLASSES,
    "ddim": (ChainDDIM, {"prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": True}),
}
"""The same with a DDIM that ends clean for any number of steps."""


class Samplers:
    """Samplers of one noise schedule, each made once.

    Parameters
    ----------
    schedule : mapping
        Noise schedule, as diffusers' schedulers take it.
    classes : mapping
        `PIPELINE_CLASSES` or `CHAIN_CLASSES`.

    Attributes
    ----------
    names : tuple of str
        Samplers that fit the schedule.
    """

    def __init__(self, schedule: Mapping[str, Any], classes: Classes = PIPELINE_CLASSES) -> None:
        self.names = SCHEDULERS if "beta_start" in schedule else FLOW_SCHEDULERS
        self._schedule = schedule
        self._classes = classes
        self._made: dict[tuple[str, int], Sampler] = {}

    def get(self, scheduler: str, steps: int) -> Sampler:
        """The sampler of this name over a number of denoising steps [1].

        Raises
        ------
        InvalidInput
            If the sampler is unknown, or the noise schedule has no distinct timestep for each step.
        """
        key = (scheduler, steps)
        if key not in self._made:
            self._made[key] = self._make(scheduler, steps)
        return self._made[key]

    def _make(self, scheduler: str, steps: int) -> Sampler:
        if scheduler not in self.names:
            raise InvalidInput("scheduler", scheduler, "one of " + ", ".join(self.names), "Choose one of these.")
        most = int(self._schedule["num_train_timesteps"])
        if not 1 <= steps <= most:
            raise InvalidInput("steps", steps, f"1 to {most} denoising steps", "Choose as many.")
        kind, settings = self._classes[scheduler]
        made = kind(**{**self._schedule, **settings})
        made.set_timesteps(steps)
        times = made.timesteps
        trained = scheduler in FLOW_SCHEDULERS or 0 <= times.min() <= times.max() < most
        if not trained or not len(times) == len(times.unique()) == steps:
            raise InvalidInput(
                "steps",
                steps,
                f"a number for which {scheduler!r} has as many distinct timesteps from 0 to {most - 1}",
                "Choose another number of denoising steps.",
            )
        return Sampler(made)


class Sampler:
    """A sampler over a fixed number of steps.

    Parameters
    ----------
    made : a scheduler of diffusers
        With its timesteps set; never stepped itself, only copies are.
    """

    def __init__(self, made: Any) -> None:
        self.steps = len(made.timesteps)
        self._made = made

    def begin(self, noise: Tensor) -> Tensor:
        """Latent that a chain starts from, out of standard normal noise."""
        return noise * float(getattr(self._made, "init_noise_sigma", 1.0))

    def begin_from(self, latent: Tensor, noise: Tensor, first: int) -> Tensor:
        """Clean latent noised to the level that step `first` expects; the latent itself after the last step.

        Raises
        ------
        InvalidInput
            If the chain has no such step.
        """
        if not 0 <= first <= self.steps:
            raise InvalidInput("first", first, f"0 to {self.steps} [denoising step]", "Start within the chain.")
        if first == self.steps:
            return latent
        scheduler, timestep = self._at(first), self._made.timesteps[first : first + 1]
        if hasattr(scheduler, "scale_noise"):
            return scheduler.scale_noise(latent, timestep, noise)
        return scheduler.add_noise(latent, noise, timestep)

    def run(self, state: Mapping[str, Tensor], predict: Predict, *, first: int, count: int) -> dict[str, Tensor]:
        """State after the steps first..first + count - 1; without history after the last one.

        Without history, at a start or when entered in the middle, the multistep sampler's first step is of order 1.

        Parameters
        ----------
        state : mapping of str to Tensor
            "latent" (B, C, rows, columns), and `HISTORY` of the same shape within a chain of "dpmpp".
        predict : callable
            The denoiser.
        first, count : int
            Denoising steps [1].

        Raises
        ------
        InvalidInput
            If these steps do not lie within the chain.
        """
        if not 0 <= first <= first + count <= self.steps:
            raise InvalidInput(
                "first and count", (first, count), f"steps within 0 to {self.steps}", "Stay within the chain."
            )
        if count == 0:
            return dict(state)
        scheduler = self._prepared(state, first)
        latent = state["latent"]
        for timestep in scheduler.timesteps[first : first + count]:
            noise = predict(self._scaled(scheduler, latent, timestep), timestep)
            latent = scheduler.step(noise, timestep, latent, return_dict=False)[0]
        return self._left(scheduler, latent, first + count)

    def step_together(
        self, states: Sequence[Mapping[str, Tensor]], predict: Predict, steps: Sequence[int]
    ) -> list[dict[str, Tensor]]:
        """State of each of several chains after a step of its own, with one call of the denoiser for all of them.

        A denoiser computes a batch in other blocks than a single latent, so the latents are those of `run` to within
        rounding, not to the last bit.

        Parameters
        ----------
        states : sequence of mapping of str to Tensor
            Of each chain, as `run` takes it.
        predict : callable
            The denoiser: the latents one behind the other, and the timestep of each, (B,).
        steps : sequence of int
            Which step each chain makes [1].

        Raises
        ------
        InvalidInput
            If there is no chain, or one has no such step.
        """
        if not states or len(states) != len(steps) or not all(0 <= step < self.steps for step in steps):
            expected = f"one step from 0 to {self.steps - 1} for each of {len(states)} chains, at least one"
            raise InvalidInput("steps", list(steps), expected, "Leave out chains that have ended.")
        chains = [(self._prepared(state, step), state["latent"]) for state, step in zip(states, steps, strict=True)]
        times = [scheduler.timesteps[step] for (scheduler, _), step in zip(chains, steps, strict=True)]
        scaled = [self._scaled(*chain, time) for chain, time in zip(chains, times, strict=True)]
        each = torch.cat([time.expand(len(latent)) for time, latent in zip(times, scaled, strict=True)])
        noise = predict(torch.cat(scaled), each).split([len(latent) for latent in scaled])
        return [
            self._left(scheduler, scheduler.step(part, time, latent, return_dict=False)[0], step + 1)
            for (scheduler, latent), part, time, step in zip(chains, noise, times, steps, strict=True)
        ]

    def _prepared(self, state: Mapping[str, Tensor], first: int) -> Any:
        """The scheduler before a step, with the history of a state."""
        scheduler = self._at(first)
        if isinstance(scheduler, DPMSolverMultistepScheduler):
            known = state.get(HISTORY)
            scheduler.model_outputs = [None, known]
            scheduler.lower_order_nums = 0 if known is None else 1
        return scheduler

    def _scaled(self, scheduler: Any, latent: Tensor, timestep: Tensor) -> Tensor:
        return scheduler.scale_model_input(latent, timestep) if hasattr(scheduler, "scale_model_input") else latent

    def _left(self, scheduler: Any, latent: Tensor, done: int) -> dict[str, Tensor]:
        """State after so many steps of the chain."""
        if isinstance(scheduler, DPMSolverMultistepScheduler) and done < self.steps:
            return {"latent": latent, HISTORY: scheduler.model_outputs[-1]}
        return {"latent": latent}

    def _at(self, step: int) -> Any:
        """The scheduler before a step: a copy, as the indices that it keeps must not outlive a call."""
        scheduler = copy.copy(self._made)
        scheduler._begin_index = 0
        scheduler._step_index = step
        return scheduler


def standard_normal(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Noise of a seed, drawn on the CPU so that every side has the same, float32.

    Raises
    ------
    InvalidInput
        If the seed is not an integer from 0 to 2**63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InvalidInput("seed", seed, "an integer from 0 to 2**63 - 1", "Give such a seed.")
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
