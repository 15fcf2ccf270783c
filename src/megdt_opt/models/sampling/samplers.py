"""The samplers of one noise schedule by name."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.sampling.kinds import KINDS, SamplerKind
from megdt_opt.models.sampling.sampler import Sampler
from megdt_opt.models.sampling.settings import Config, Settings, on_processor
from megdt_opt.program.samplers import entry, eta, is_offered, ranges_without, state_law, trailing_gaps

SCHEDULERS = ("ddim", "euler", "dpmpp")
"""Samplers of the bundled twin."""

_TRIED_STEPS = 4

_NEAR = 4
"""By how many steps fewer than the training had timesteps the most steps are looked for first [1]."""


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


CHAIN_KINDS: Mapping[str, SamplerKind] = {
    **{name: KINDS[name] for name in SCHEDULERS},
    "ddim": replace(
        KINDS["ddim"],
        scheduler=ChainDDIM,
        fixed={"prediction_type": "v_prediction", "clip_sample": False, "set_alpha_to_one": True},
    ),
}
"""The twin's samplers, with a DDIM that ends clean for any number of steps."""


class Samplers:
    """Samplers of one noise schedule, each made once.

    Parameters
    ----------
    config : mapping
        A pipeline's `scheduler_config.json`, or the settings of a noise schedule.
    kinds : mapping
        Samplers to choose from.
    pipeline : str
        Class of the pipeline, which may overrule the file: that of Stable Diffusion takes an offset of 1 and never
        clips, that of Flux gives the noise levels itself.
    tokens : int, optional
        Tokens that the denoiser makes of a latent, which dynamic shifting depends on [1].

    Attributes
    ----------
    names : tuple of str
        Samplers that honour all settings, the pipeline's own first.

    Raises
    ------
    InvalidInput
        If the pipeline's own scheduler or a setting of it is none that can be honoured; names the setting.

    Examples
    --------
    >>> from megdt_opt.models.diffusers.architecture import DEFAULT_SCHEDULE
    >>> Samplers({**DEFAULT_SCHEDULE, "use_karras_sigmas": True, "_class_name": "DPMSolverMultistepScheduler"}).names
    ('dpmpp', 'euler', 'dpmpp_2m_sde', 'dpmpp_2s', 'dpmpp_sde')
    """

    def __init__(
        self,
        config: Config,
        kinds: Mapping[str, SamplerKind] = KINDS,
        *,
        pipeline: str = "",
        tokens: int | None = None,
    ) -> None:
        with on_processor():
            self._settings = Settings(config, kinds, pipeline=pipeline, tokens=tokens)
        self._kinds = kinds
        self._anew = pipeline.startswith("LatentConsistencyModel")
        self._made: dict[tuple[str, int, int], Sampler] = {}
        self._refused: dict[str, InvalidInput] = {}
        fitting = [name for name, kind in kinds.items() if kind.flow is self._settings.flow]
        own = self._settings.own
        for name in fitting:
            try:
                self._chain(name, _TRIED_STEPS)
            except InvalidInput as error:
                if name == own:
                    raise
                self._refused[name] = error
        named = [name for name in fitting if name not in self._refused]
        self.names = tuple(sorted(named, key=lambda name: name != own))

    def get(self, scheduler: str, steps: int) -> Sampler:
        """The sampler of this name over a number of denoising steps [1].

        A step is one call of the denoiser. For "pndm", which calls it twice at one timestep, that is one more than
        diffusers' `num_inference_steps`. "lcm_from2" is a chain that is entered from a picture at step 2
        (`program.samplers.entered`).

        Raises
        ------
        InvalidInput
            If the sampler is unknown or cannot honour the pipeline's settings, or the noise schedule has no level of
            its own for each step.
        """
        scheduler, first = entry(scheduler)
        key = (scheduler, steps, first if self._anew else 0)
        if key not in self._made:
            if not is_offered(scheduler, self.names):
                if scheduler in self._refused:
                    raise self._refused[scheduler].within(f"scheduler {scheduler}")
                raise InvalidInput("scheduler", scheduler, "one of " + ", ".join(self.names), "Choose one of these.")
            most = self._settings.trained_steps
            if not 1 <= steps <= most:
                raise InvalidInput("steps", steps, f"1 to {most} denoising steps", "Choose as many.")
            self._made[key] = self._chain(*key)
        return self._made[key]

    @cached_property
    def steps_made(self) -> dict[str, tuple[tuple[int, int], ...]]:
        """Ranges (first, last) of the numbers of denoising steps that each sampler can make [1]."""
        return {name: self._steps_made(name) for name in self.names}

    def _steps_made(self, scheduler: str) -> tuple[tuple[int, int], ...]:
        kind, trained = self._kind(scheduler), self._settings.trained_steps
        with on_processor():
            made = self._settings.scheduler(kind)
            can = cache(partial(self._can, made, kind))
            near = range(trained, max(trained - _NEAR, 0), -1)
            # near the training's timesteps, or by halving
            most = next(filter(can, near), None) or bisect_left(range(1, trained + 1), True, key=lambda n: not can(n))
            doubtful = {2} if kind.repeated else set()
            if made.config.get("timestep_spacing") == "trailing":
                doubtful |= {gap + kind.repeated for gap in trailing_gaps(trained)}
            return ranges_without(most, (steps for steps in doubtful if not can(steps)))

    def _can(self, made: Any, kind: SamplerKind, steps: int) -> bool:
        """Whether a scheduler has a noise level of its own for each of so many steps."""
        distinct = steps - kind.repeated if steps > 1 else steps
        try:
            self._settings.set_timesteps(made, distinct)
        except (ValueError, IndexError, ZeroDivisionError):
            return False
        return self._fits(made, steps, distinct)

    def _kind(self, scheduler: str) -> SamplerKind:
        return self._kinds["ddim_eta1" if eta(scheduler) else scheduler]

    def _chain(self, scheduler: str, steps: int, first: int = 0) -> Sampler:
        """A sampler whose chain has been tried on a latent of a few values."""
        with on_processor():
            return self._tried(scheduler, steps, first)

    def _tried(self, scheduler: str, steps: int, first: int) -> Sampler:
        kind = self._kind(scheduler)
        made = self._settings.scheduler(kind)
        distinct = steps - kind.repeated if steps > 1 else steps
        try:
            self._settings.set_timesteps(made, distinct)
        except (ValueError, IndexError, ZeroDivisionError) as error:
            expected = f"a number of steps that {scheduler!r} can make"
            raise InvalidInput("steps", steps, expected, f"Choose another number: {error}") from error
        if not self._fits(made, steps, distinct):
            most = self._settings.trained_steps - 1
            raise InvalidInput(
                "steps",
                steps,
                f"a number for which {scheduler!r} has as many distinct timesteps from 0 to {most}",
                "Choose another number of denoising steps.",
            )
        if first:
            _enter(made, steps, first)
        sampler = Sampler(made, kind, random=state_law(scheduler).random, eta=eta(scheduler))
        sampler.try_out()
        return sampler

    def _fits(self, made: Any, steps: int, distinct: int) -> bool:
        """Whether every step has a noise level of its own, and one that the model was trained at."""
        times = made.timesteps
        if len(times) != steps:
            return False
        if hasattr(made, "sigmas"):
            levels = made.sigmas[:steps]
            own = bool((levels[1:] < levels[:-1]).all()) and bool(torch.isfinite(levels).all())
        else:
            own = len(times.unique()) == distinct
        bounded = not self._settings.flow and made.config.get("timestep_type", "discrete") == "discrete"
        return own and (not bounded or bool(0 <= times.min() <= times.max() < self._settings.trained_steps))


def _enter(made: Any, steps: int, first: int) -> None:
    """Spread the steps from `first` on over the noise levels below that share of the training's.

    As `LatentConsistencyModelImg2ImgPipeline` does for as many steps and their share of all as strength.
    """
    whole = made.timesteps
    try:
        made.set_timesteps(steps - first, strength=(steps - first) / steps)
    except ValueError as error:
        raise InvalidInput("steps", steps, f"steps that can be entered at {first}", f"Take others: {error}") from error
    made.timesteps = torch.cat([whole[:first], made.timesteps])
    made.num_inference_steps = steps
