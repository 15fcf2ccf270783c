"""Settings of a pipeline's `scheduler_config.json`: honoured as diffusers' own pipeline does, or refused by name."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.configuration_utils import FrozenDict
from diffusers.utils import logging

from megdt_opt.errors import InvalidInput
from megdt_opt.models.sampling.kinds import SamplerKind

Config = Mapping[str, Any]

_FIELD = "scheduler_config.json, "
_REMEDY = "Change the file, or save the pipeline with another scheduler."

# a pipeline of these classes takes an offset of 1 and does not clip, whatever the file says
_STABLE_DIFFUSION = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")

# it gives the scheduler its noise levels itself
_FLUX = ("FluxPipeline", "FluxImg2ImgPipeline")
_MAX_SHIFT = {True: 1.15, False: 1.16}
"""What Flux's and Stable Diffusion 3's pipelines take where the file states no `max_shift` [1]."""

_ALGORITHM = "algorithm_type"

_UNSTATED: Config = {"clip_sample": False, "set_alpha_to_one": False}
"""What Stable Diffusion's file says, where there is none but a noise schedule alone."""

_NEUTRAL: Config = {
    "beta_schedule": "linear",
    "clip_sample": False,
    "final_sigmas_type": "zero",
    "flow_shift": 1.0,
    "interpolation_type": "linear",
    "invert_sigmas": False,
    "lambda_min_clipped": -float("inf"),
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "shift": 1.0,
    "shift_terminal": None,
    "sigma_max": None,
    "sigma_min": None,
    "stochastic_sampling": False,
    "thresholding": False,
    "time_shift_type": "exponential",
    "timestep_type": "discrete",
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_dynamic_shifting": False,
    "use_exponential_sigmas": False,
    "use_flow_sigmas": False,
    "use_karras_sigmas": False,
    "use_lu_lambdas": False,
    "variance_type": None,
}
"""Settings of the noise and of what is predicted, with the value that changes nothing where a class does not know it.

All others concern the solver of one class (its order, how it begins and ends) and are nobody else's.
"""


class Settings:
    """What a pipeline says of its sampling.

    Parameters
    ----------
    config : mapping
        Its `scheduler_config.json`; without a class in it, the settings of a noise schedule alone.
    kinds : mapping
        Samplers, of which one may be the file's own.
    pipeline : str
        Class of the pipeline, which may overrule the file.
    tokens : int, optional
        Tokens that the denoiser makes of a latent, which dynamic shifting depends on [1].

    Raises
    ------
    InvalidInput
        If the scheduler's class or a setting is none that can be honoured; names the setting.
    """

    def __init__(
        self, config: Config, kinds: Mapping[str, SamplerKind], *, pipeline: str = "", tokens: int | None = None
    ) -> None:
        self._flux = pipeline in _FLUX
        self._tokens = tokens
        self._stated = {key: value for key, value in config.items() if not key.startswith("_")}
        self._base: Config = dict(config)
        self._flow = "beta_start" not in self._stated
        self.own: str | None = None
        self._made: Any = None
        if "_class_name" in config:
            self.own = _own(config, kinds)
            kind = kinds[self.own]
            self._flow = kind.flow
            self._refuse_dropped(kind)
            own = _make(kind.scheduler, config)
            for key, value in kind.fixed.items():
                if own.config[key] != value:
                    raise InvalidInput(_FIELD + key, own.config[key], f"{value!r} with {self.own!r}", _REMEDY)
            if pipeline in _STABLE_DIFFUSION:
                _overrule(own)
            self._base, self._made = own.config, own

    @property
    def flow(self) -> bool:
        """Whether the pipeline is one of flow matching."""
        return self._flow

    @property
    def trained_steps(self) -> int:
        """Timesteps of the training [1]."""
        return int(self._base.get("num_train_timesteps", 1000))

    def scheduler(self, kind: SamplerKind) -> Any:
        """A scheduler of a sampler: the pipeline's own, or as `CLASS.from_config(pipeline.scheduler.config)` makes it.

        Raises
        ------
        InvalidInput
            If the file has a setting that this sampler cannot honour.
        """
        if self._made is not None and kind.scheduler is type(self._made) and self._is_own(kind):
            return copy.deepcopy(self._made)
        self._refuse_dropped(kind)
        unstated = {} if self.own is not None else {k: v for k, v in _UNSTATED.items() if k not in self._base}
        known = kind.scheduler._get_init_keys(kind.scheduler)
        return _make(kind.scheduler, self._base, **{**{k: v for k, v in unstated.items() if k in known}, **kind.fixed})

    def set_timesteps(self, scheduler: Any, count: int) -> None:
        """Give a scheduler its timesteps, as the pipeline does."""
        how: dict[str, Any] = {}
        if scheduler.config.get("use_dynamic_shifting"):
            how["mu"] = self._shift(scheduler.config)
        if self._flux:
            how["sigmas"] = np.linspace(1.0, 1 / count, count)
        with _quiet():
            scheduler.set_timesteps(count, **how)

    def _shift(self, config: Config) -> float:
        """How far noise levels are shifted, linear in the tokens (Esser et al., arXiv 2403.03206, section 5.3.2)."""
        if self._tokens is None:
            raise InvalidInput(_FIELD + "use_dynamic_shifting", True, "False with a model without tokens", _REMEDY)
        fewest, most = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        least, largest = config.get("base_shift", 0.5), config.get("max_shift", _MAX_SHIFT[self._flux])
        slope = (largest - least) / (most - fewest)
        return float(self._tokens * slope + (least - slope * fewest))

    def _is_own(self, kind: SamplerKind) -> bool:
        return all(self._made.config[key] == value for key, value in kind.fixed.items())

    def _refuse_dropped(self, kind: SamplerKind) -> None:
        """Refuse a setting that changes the picture and that the sampler's class would drop without a word."""
        known = kind.scheduler._get_init_keys(kind.scheduler)
        for key, value in self._stated.items():
            if key in known or value is None or value is False:
                continue
            if key not in _NEUTRAL and key not in _settings_of_all():
                raise InvalidInput(_FIELD + key, value, "a setting of diffusers' schedulers", "Leave it out.")
            if key in _NEUTRAL and value != _NEUTRAL[key]:
                expected = f"{_NEUTRAL[key]!r}: {kind.scheduler.__name__} cannot honour it"
                raise InvalidInput(_FIELD + key, value, expected, "Choose another sampler, or change the file.")


def _own(config: Config, kinds: Mapping[str, SamplerKind]) -> str:
    """The sampler that the file's own scheduler is."""
    named = config["_class_name"]
    same = {name: kind for name, kind in kinds.items() if kind.scheduler.__name__ == named}
    if not same:
        known = sorted({kind.scheduler.__name__ for kind in kinds.values()})
        raise InvalidInput(_FIELD + "_class_name", named, "one of " + ", ".join(known), _REMEDY)
    first = next(iter(same.values()))
    algorithms = {kind.fixed.get(_ALGORITHM): name for name, kind in reversed(same.items())}
    algorithm = config.get(_ALGORITHM, first.fixed.get(_ALGORITHM)) if _ALGORITHM in first.fixed else None
    if algorithm not in algorithms:
        expected = "one of " + ", ".join(str(known) for known in algorithms)
        raise InvalidInput(_FIELD + _ALGORITHM, algorithm, expected, _REMEDY)
    return algorithms[algorithm]


@cache
def _settings_of_all() -> set[str]:
    """Settings of all schedulers of diffusers."""
    names = [name for name in dir(diffusers) if name.endswith("Scheduler")]
    classes = [getattr(diffusers, name) for name in names]
    return {key for c in classes if hasattr(c, "_get_init_keys") for key in c._get_init_keys(c)}


def _overrule(scheduler: Any) -> None:
    """What Stable Diffusion's pipelines change of an outdated file."""
    changed = dict(scheduler.config)
    if changed.get("steps_offset", 1) != 1:
        changed["steps_offset"] = 1
    if changed.get("clip_sample") is True:
        changed["clip_sample"] = False
    scheduler._internal_dict = FrozenDict(changed)


def _make(scheduler: Any, config: Config, **fixed: Any) -> Any:
    try:
        with _quiet():
            return scheduler.from_config(dict(config), **fixed)
    except (TypeError, ValueError, NotImplementedError, RuntimeError, KeyError, AssertionError) as error:
        expected = f"settings that {scheduler.__name__} accepts"
        raise InvalidInput("scheduler_config.json", f"{type(error).__name__}: {error}", expected, _REMEDY) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without diffusers' warnings of settings that a class does not have: those that matter are refused here."""
    before = logging.get_verbosity()
    silent = before >= logging.ERROR  # setting it anew makes each logger there is forget what it knows
    if not silent:
        logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if not silent:
            logging.set_verbosity(before)


@contextlib.contextmanager
def on_processor() -> Iterator[None]:
    """With tensors made in main memory, whatever device networks are being built on; without warnings, see above."""
    here = contextlib.nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    with here, _quiet():  # within torch's context each call of torch takes a way through Python
        yield
