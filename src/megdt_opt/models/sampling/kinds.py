"""What each sampler is made of: a scheduler class of diffusers, and what it remembers between two steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
)
from torch import Tensor

from megdt_opt.program.samplers import HELD, HISTORY, OUTPUTS


class Memory:
    """What a scheduler remembers between two steps, as tensors of a state; here nothing."""

    def put(self, scheduler: Any, state: Mapping[str, Tensor]) -> None:
        """Have a scheduler remember what a state holds."""

    def take(self, scheduler: Any) -> dict[str, Tensor]:
        """What it remembers."""
        return {}


class Multistep(Memory):
    """The last clean estimate. Without one, at a start or when entered in the middle, a step is of order 1."""

    def put(self, scheduler: Any, state: Mapping[str, Tensor]) -> None:
        """Have a scheduler remember what a state holds."""
        known = state.get(HISTORY)
        scheduler.model_outputs = [None, known]
        scheduler.lower_order_nums = 0 if known is None else 1

    def take(self, scheduler: Any) -> dict[str, Tensor]:
        """What it remembers."""
        return {HISTORY: scheduler.model_outputs[-1]}


class Singlestep(Memory):
    """In the middle of a pair of steps, the last clean estimate and the latent at which the pair began."""

    def put(self, scheduler: Any, state: Mapping[str, Tensor]) -> None:
        """Have a scheduler remember what a state holds."""
        scheduler.model_outputs = [None, state.get(HISTORY)]
        scheduler.sample = state.get(HELD)

    def take(self, scheduler: Any) -> dict[str, Tensor]:
        """What it remembers."""
        if scheduler.step_index % 2 == 0:
            return {}
        return {HISTORY: scheduler.model_outputs[-1], HELD: scheduler.sample}


class Pndm(Memory):
    """The last outputs, and after the first evaluation its latent; they tell how far the start has come."""

    def put(self, scheduler: Any, state: Mapping[str, Tensor]) -> None:
        """Have a scheduler remember what a state holds."""
        scheduler.ets = [state[name] for name in reversed(OUTPUTS) if name in state]
        scheduler.cur_sample = state.get(HELD)
        scheduler.cur_model_output = 0
        scheduler.counter = len(scheduler.ets) + (bool(scheduler.ets) and HELD not in state)

    def take(self, scheduler: Any) -> dict[str, Tensor]:
        """What it remembers."""
        held = {HELD: scheduler.cur_sample} if scheduler.cur_sample is not None else {}
        return {**dict(zip(OUTPUTS, reversed(scheduler.ets[-3:]), strict=False)), **held}


@dataclass(frozen=True, kw_only=True)
class SamplerKind:
    """A sampler.

    Parameters
    ----------
    scheduler : type
        Class of diffusers.
    fixed : mapping
        Settings that make it this sampler, whatever the pipeline's file says of its own scheduler.
    memory : Memory
        What it remembers.
    repeated : int
        Timesteps that are evaluated twice in a chain of more than one step [1].
    flow : bool
        Whether it is for models of flow matching.
    """

    scheduler: Any
    fixed: Mapping[str, Any] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    repeated: int = 0
    flow: bool = False


def _dpm(scheduler: Any, algorithm: str, memory: Memory) -> SamplerKind:
    fixed = {"algorithm_type": algorithm, "solver_order": 2, "variance_type": None}
    return SamplerKind(scheduler=scheduler, fixed=fixed, memory=memory)


_DETERMINISTIC, _STOCHASTIC = "dpmsolver++", "sde-dpmsolver++"

KINDS: Mapping[str, SamplerKind] = {
    "ddim": SamplerKind(scheduler=DDIMScheduler),
    "euler": SamplerKind(scheduler=EulerDiscreteScheduler),
    "dpmpp": _dpm(DPMSolverMultistepScheduler, _DETERMINISTIC, Multistep()),
    "ddim_eta1": SamplerKind(scheduler=DDIMScheduler),
    "euler_ancestral": SamplerKind(scheduler=EulerAncestralDiscreteScheduler),
    "dpmpp_2m_sde": _dpm(DPMSolverMultistepScheduler, _STOCHASTIC, Multistep()),
    "dpmpp_2s": _dpm(DPMSolverSinglestepScheduler, _DETERMINISTIC, Singlestep()),
    "dpmpp_sde": _dpm(DPMSolverSinglestepScheduler, _STOCHASTIC, Singlestep()),
    "pndm": SamplerKind(scheduler=PNDMScheduler, fixed={"skip_prk_steps": True}, memory=Pndm(), repeated=1),
    "lcm": SamplerKind(scheduler=LCMScheduler),
    "flow_euler": SamplerKind(
        scheduler=FlowMatchEulerDiscreteScheduler,
        fixed={"stochastic_sampling": False, "invert_sigmas": False},
        flow=True,
    ),
}
"""All samplers by name, the names that diffusers' documentation gives them beside its classes."""
