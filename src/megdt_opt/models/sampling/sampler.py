"""A sampler over a fixed number of steps, which can stop and go on at any of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from megdt_opt.errors import ExecutionError, InvalidInput
from megdt_opt.models.sampling.kinds import Memory, SamplerKind
from megdt_opt.models.sampling.noise import Draws, drawn, standard_normal
from megdt_opt.program.samplers import GENERATOR

Predict = Callable[[Tensor, Tensor], Tensor]
"""A denoiser: from a latent and a timestep of training to what the schedule says it predicts."""

Rows = tuple[int, int]
State = dict[str, Tensor]


class Sampler:
    """A sampler over a fixed number of steps.

    Parameters
    ----------
    made : a scheduler of diffusers
        With its timesteps set; never stepped itself, only copies are.
    kind : SamplerKind
        What it is made of.
    random : bool
        Whether it adds noise at its steps.
    eta : float
        Weight of DDIM's noise [1].
    """

    def __init__(self, made: Any, kind: SamplerKind, *, random: bool = False, eta: float = 0.0) -> None:
        self.steps = len(made.timesteps)
        self._made = made
        self._memory = kind.memory
        self._random = random
        self._eta = {"eta": eta} if eta else {}

    # ---- where a chain begins

    def start(self, seed: int, shape: tuple[int, ...], *, rows: Rows | None = None, device: str = "cpu") -> State:
        """State before the first step, batch 1.

        Parameters
        ----------
        seed : int
            Of the noise; every side draws the same.
        shape : tuple of int
            (channels, rows, columns) of the whole latent.
        rows : tuple of int, optional
            Rows [begin, end) of it that the chain is of.
        device : str
            Torch device.
        """
        begin, end = (0, shape[1]) if rows is None else rows
        noise = standard_normal(seed, (1, *shape))[:, :, begin:end].contiguous().to(device)
        return {"latent": self.begin(noise), **self._drawn(seed, 1)}

    def start_from(self, latent: Tensor, seed: int, first: int) -> State:
        """State before step `first` of a picture's latent (B, channels, rows, columns); all get the same noise."""
        noise = standard_normal(seed, (1, *latent.shape[1:])).to(latent.device)
        state = {"latent": self.begin_from(latent, noise, first)}
        return state if first == self.steps else {**state, **self._drawn(seed, latent.shape[0])}

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

    # ---- its steps

    def run(
        self,
        state: Mapping[str, Tensor],
        predict: Predict,
        *,
        first: int,
        count: int,
        rows: Rows | None = None,
        height: int | None = None,
    ) -> State:
        """State after the steps first..first + count - 1; the latent alone after the last one.

        Parameters
        ----------
        state : mapping of str to Tensor
            "latent" (B, C, rows, columns), and what else `samplers.state_shapes` says.
        predict : callable
            The denoiser.
        first, count : int
            Denoising steps [1].
        rows, height : tuple of int and int, optional
            Where the state is of some rows [begin, end) of a latent, those and the rows of all of it, so that a region
            gets its rows of the whole latent's noise.

        Raises
        ------
        InvalidInput
            If these steps do not lie within the chain, or the state lacks what the sampler needs.
        ExecutionError
            If the latent that comes out holds NaN or infinity.
        """
        if not 0 <= first <= first + count <= self.steps:
            raise InvalidInput(
                "first and count", (first, count), f"steps within 0 to {self.steps}", "Stay within the chain."
            )
        if count == 0:
            return dict(state)
        chain = self.enter(state, first, _Frame(rows, height) if self._random else None)
        for timestep in self._made.timesteps[first : first + count]:
            chain.step(predict(chain.scaled(timestep), timestep), timestep)
        return chain.state(ends=first + count == self.steps)

    def try_out(self) -> None:
        """Run the chain on a latent of a few values.

        Raises
        ------
        InvalidInput
            If the sampler cannot make one of its steps.
        """
        try:
            self.run(self.start(0, (4, 2, 2)), lambda latent, _: 0.1 * latent, first=0, count=self.steps)
        except ExecutionError as error:
            where, remedy = f"{type(self._made).__name__} over {self.steps} steps", "Choose another sampler or number."
            raise InvalidInput(where, "a step that makes NaN or infinity", "finite latents", remedy) from error
        except (ValueError, NotImplementedError, IndexError, RuntimeError) as error:
            expected = "settings with which it makes all of its steps"
            remedy = "Choose another sampler or number of steps."
            where = f"{type(self._made).__name__} over {self.steps} steps"
            raise InvalidInput(where, str(error), expected, remedy) from error

    def timestep(self, step: int) -> Tensor:
        """Training's timestep at which the denoiser is called in a step, of no dimension."""
        return self._made.timesteps[step]

    def enter(self, state: Mapping[str, Tensor], first: int, frame: _Frame | None = None) -> _Walk:
        """The chain before a step, with what its state remembers."""
        frame = frame or _Frame(None, None)
        known = {name: frame.whole(value) for name, value in state.items() if name != GENERATOR}
        scheduler, latent = self._at(first), known["latent"]
        self._memory.put(scheduler, known)
        if not self._random:
            return _Walk(scheduler, self._memory, frame, latent, None, self._eta)
        if GENERATOR not in state:
            remedy = "Pass the state that start gives."
            raise InvalidInput("state", sorted(state), f"a tensor named {GENERATOR!r}", remedy)
        draws = Draws(state[GENERATOR], (1, *latent.shape[1:]))
        return _Walk(scheduler, self._memory, frame, latent, draws, self._eta)

    # ---- internals

    def _drawn(self, seed: int, batch: int) -> State:
        return {GENERATOR: drawn(seed, 1, batch)} if self._random else {}

    def _at(self, step: int) -> Any:
        """The scheduler before a step: a copy, as the indices that it keeps must not outlive a call."""
        scheduler = copy.copy(self._made)
        scheduler._begin_index = 0
        scheduler._step_index = step
        return scheduler


def step_together(
    samplers: Sequence[Sampler], states: Sequence[Mapping[str, Tensor]], predict: Predict, steps: Sequence[int]
) -> list[State]:
    """State of each of several chains after a step of its own, with one call of the denoiser for all of them.

    A denoiser computes a batch in other blocks than a single latent, so the latents are those of `Sampler.run` to
    within rounding, not to the last bit.

    Parameters
    ----------
    samplers : sequence of Sampler
        Of each chain. Chains of one sampler may differ in its timesteps, as where they were entered in the middle.
    states : sequence of mapping of str to Tensor
        Of each chain, as `Sampler.run` takes it.
    predict : callable
        The denoiser: the latents one behind the other, and the timestep of each, (B,).
    steps : sequence of int
        Which step each chain makes [1].

    Raises
    ------
    InvalidInput
        If there is no chain, or one has no such step.
    """
    known = len(samplers) == len(states) == len(steps)
    if not states or not known or not all(0 <= n < one.steps for n, one in zip(steps, samplers, strict=True)):
        most = min((one.steps for one in samplers), default=1) - 1
        expected = f"one step from 0 to {most} and one sampler for each of {len(states)} chains, at least one"
        raise InvalidInput("steps", list(steps), expected, "Leave out chains that have ended.")
    chains = [sampler.enter(state, step) for sampler, state, step in zip(samplers, states, steps, strict=True)]
    times = [sampler.timestep(step) for sampler, step in zip(samplers, steps, strict=True)]
    scaled = [chain.scaled(time) for chain, time in zip(chains, times, strict=True)]
    each = torch.cat([time.expand(len(latent)) for time, latent in zip(times, scaled, strict=True)])
    made = torch.split(predict(torch.cat(scaled), each), [len(latent) for latent in scaled])
    for chain, part, time in zip(chains, made, times, strict=True):
        chain.step(part, time)
    ends = [step + 1 == sampler.steps for sampler, step in zip(samplers, steps, strict=True)]
    return [chain.state(ends=end) for chain, end in zip(chains, ends, strict=True)]


class _Walk:
    """A chain on its way: a scheduler's copy, the latent, and the noise that is drawn."""

    def __init__(
        self,
        scheduler: Any,
        memory: Memory,
        frame: _Frame,
        latent: Tensor,
        draws: Draws | None,
        eta: Mapping[str, float],
    ) -> None:
        self._scheduler = scheduler
        self._memory = memory
        self._frame = frame
        self._latent = latent
        self._draws = draws
        self._first = scheduler._step_index
        self._how: dict[str, Any] = {**eta, **({} if draws is None else {"generator": draws.generators})}
        self._made = 0

    def scaled(self, timestep: Tensor) -> Tensor:
        """What the denoiser is given."""
        latent = self._latent
        if hasattr(self._scheduler, "scale_model_input"):
            latent = self._scheduler.scale_model_input(latent, timestep)
        return self._frame.part(latent)

    def step(self, output: Tensor, timestep: Tensor) -> None:
        """Make a step out of what the denoiser gave."""
        output, self._made = self._frame.whole(output), self._made + 1
        self._latent = self._scheduler.step(output, timestep, self._latent, return_dict=False, **self._how)[0]

    def state(self, *, ends: bool) -> State:
        """The chain's state, or its end."""
        found = {"latent": self._frame.part(self._latent)}
        if not torch.isfinite(found["latent"]).all():
            remedy = "Take another precision, such as bf16 or fp32, or another sampler."
            step = self._first + self._made - 1
            raise ExecutionError(f"denoising step {step}: found NaN or infinity; expected finite values. {remedy}")
        if ends:
            return found
        found |= {name: self._frame.part(value) for name, value in self._memory.take(self._scheduler).items()}
        return found if self._draws is None else {**found, GENERATOR: self._draws.state(self._made)}


class _Frame:
    """A region as the whole latent that it is of, with zeros elsewhere, and back."""

    def __init__(self, rows: Rows | None, height: int | None) -> None:
        self._rows = None if rows is None or height is None or rows == (0, height) else rows
        self._height = height or 0

    def whole(self, part: Tensor) -> Tensor:
        if self._rows is None:
            return part
        whole = part.new_zeros((*part.shape[:2], self._height, part.shape[3]))
        whole[:, :, self._rows[0] : self._rows[1]] = part
        return whole

    def part(self, whole: Tensor) -> Tensor:
        return whole if self._rows is None else whole[:, :, self._rows[0] : self._rows[1]].contiguous()
