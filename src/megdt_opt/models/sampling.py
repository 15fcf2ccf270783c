"""Samplers of diffusers that can stop and go on at any step: DDIM, Euler, DPM-Solver++ (2M), flow Euler.

A state holds the latent and, for the multistep sampler, its last estimate of the clean latent; nothing is
remembered between calls.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import diffusers
from torch import Tensor

from megdt_opt.errors import InvalidInput

SCHEDULERS = ("ddim", "euler", "dpmpp")
"""Samplers of models that predict noise or velocity."""

FLOW_SCHEDULERS = ("flow_euler",)
"""Samplers of flow matching models."""

HISTORY = "previous_x0"
"""Name of the multistep sampler's last clean estimate in a state."""

Predict = Callable[[Tensor, Tensor], Tensor]

_CLASSES: Mapping[str, tuple[Any, Mapping[str, Any]]] = {
    "ddim": (diffusers.DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False}),
    "euler": (diffusers.EulerDiscreteScheduler, {}),
    "dpmpp": (diffusers.DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "flow_euler": (diffusers.FlowMatchEulerDiscreteScheduler, {}),
}


class Sampler:
    """A sampler over a fixed number of steps.

    Parameters
    ----------
    scheduler : str
        One of `SCHEDULERS` or `FLOW_SCHEDULERS`, as fits the schedule.
    steps : int
        Denoising steps of the chain [1].
    schedule : mapping
        Noise schedule, as diffusers' schedulers take it.

    Raises
    ------
    InvalidInput
        If the sampler is unknown or the steps are not 1 to the schedule's training timesteps.
    """

    def __init__(self, scheduler: str, steps: int, schedule: Mapping[str, Any]) -> None:
        offered = SCHEDULERS if "beta_start" in schedule else FLOW_SCHEDULERS
        if scheduler not in offered:
            raise InvalidInput("scheduler", scheduler, f"one of {offered}", "Choose one of them.")
        most = int(schedule["num_train_timesteps"])
        if not 1 <= steps <= most:
            raise InvalidInput("steps", steps, f"1 to {most} denoising steps", "Choose as many.")
        self.steps = steps
        self._scheduler = scheduler
        kind, options = _CLASSES[scheduler]
        self._made: Any = kind(**schedule, **options)
        self._made.set_timesteps(steps)

    def begin(self, noise: Tensor) -> Tensor:
        """Latent that a chain starts from, out of standard normal noise."""
        if self._scheduler == "flow_euler":
            return noise
        scaled: Tensor = noise * float(self._made.init_noise_sigma)
        return scaled

    def begin_from(self, latent: Tensor, noise: Tensor, first: int) -> Tensor:
        """Clean latent noised to the level that step `first` expects."""
        if first >= self.steps:
            return latent
        if self._scheduler == "euler":
            return latent + noise * float(self._made.sigmas[first])
        if self._scheduler == "flow_euler":
            sigma = float(self._made.sigmas[first])
            return (1.0 - sigma) * latent + sigma * noise
        level = float(self._made.alphas_cumprod[int(self._made.timesteps[first])])
        noised: Tensor = latent * level**0.5 + noise * (1.0 - level) ** 0.5
        return noised

    def run(self, state: Mapping[str, Tensor], predict: Predict, *, first: int, count: int) -> dict[str, Tensor]:
        """State after the steps first..first + count - 1.

        Raises
        ------
        InvalidInput
            If these steps do not lie within the chain.
        """
        if not 0 <= first <= first + count <= self.steps:
            raise InvalidInput(
                "first and count", (first, count), f"steps within 0 to {self.steps}", "Stay within the chain."
            )
        stepper = copy.copy(self._made)  # the indices that a scheduler keeps must not outlive this call
        stepper._step_index = first
        if self._scheduler == "dpmpp":
            known = state.get(HISTORY)
            stepper.model_outputs = [None, known]
            stepper.lower_order_nums = 0 if known is None else 1
        latent = state["latent"]
        for step in range(first, first + count):
            timestep = stepper.timesteps[step]
            given = latent if self._scheduler == "flow_euler" else stepper.scale_model_input(latent, timestep)
            noise = predict(given, timestep)
            latent = stepper.step(noise, timestep, latent, return_dict=False)[0]
        if self._scheduler == "dpmpp" and count > 0 and first + count < self.steps:
            return {"latent": latent, HISTORY: stepper.model_outputs[-1]}
        return {"latent": latent} if count else dict(state)
