"""What a chain's state holds between two denoising steps, by sampler: the law of every hand-over's size.

The samplers themselves are in `megdt_opt.models.sampling`, which keeps exactly these tensors; planning needs no torch
to know them. Names follow diffusers' schedulers (https://huggingface.co/docs/diffusers/api/schedulers/overview).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from megdt_opt.errors import InvalidInput

HISTORY = "previous_x0"
"""Name of the last estimate of the clean latent, which second-order samplers need."""

HELD = "held_latent"
"""Name of an earlier latent that a step of several evaluations begins from."""

OUTPUTS = ("output_1", "output_2", "output_3")
"""Names of the denoiser's last outputs, the latest first, which PNDM needs."""

GENERATOR = "generator"
"""Name of what the next noise is drawn from, for samplers that add noise at their steps."""

GENERATOR_BYTE = 16
"""Size of that: the chain's seed and the number of latents drawn from it, eight bytes each [byte]."""

_FROM, _ENTERED = "_from", ("lcm",)

_ETA = re.compile(r"ddim_eta(1|0\.\d*[1-9])")
_ETA_OFFERED = "ddim_eta1"


@dataclass(frozen=True)
class StateLaw:
    """What a sampler needs beside the latent between two steps.

    Parameters
    ----------
    history : callable
        From the number of steps done, and of those before the chain was entered, to the names of further tensors of the
        latent's shape.
    by_step : bool
        Whether that depends on the numbers.
    random : bool
        Whether noise is added at the steps, so that `GENERATOR` is needed too.
    """

    history: Callable[[int, int], tuple[str, ...]] = lambda done, entered: ()
    by_step: bool = False
    random: bool = False


def _singlestep(done: int, entered: int) -> tuple[str, ...]:
    """Steps come in pairs, of which the second begins again from the first one's latent."""
    return (HISTORY, HELD) if done % 2 else ()


def _pndm(done: int, entered: int) -> tuple[str, ...]:
    """The second evaluation begins again from the first one's latent; four outputs make a step of order 4."""
    made = done - entered
    return (*OUTPUTS[: min(3, max(1, made - 1))], *((HELD,) if made == 1 else ()))


_LAWS: Mapping[str, StateLaw] = {
    "dpmpp": StateLaw(history=lambda done, entered: (HISTORY,)),
    "dpmpp_2m_sde": StateLaw(history=lambda done, entered: (HISTORY,), random=True),
    "dpmpp_2s": StateLaw(history=_singlestep, by_step=True),
    "dpmpp_sde": StateLaw(history=_singlestep, by_step=True, random=True),
    "pndm": StateLaw(history=_pndm, by_step=True),
    "euler_ancestral": StateLaw(random=True),
    "lcm": StateLaw(random=True),
    _ETA_OFFERED: StateLaw(random=True),
}
"""Samplers that need more than the latent."""

_LATENT_ALONE = StateLaw()


def state_law(scheduler: str) -> StateLaw:
    """The law of a sampler; one that is not known here needs the latent alone."""
    return _LAWS.get(scheduler if eta(scheduler) == 0.0 else _ETA_OFFERED, _LATENT_ALONE)


def state_shapes(
    scheduler: str, latent: tuple[int, ...], *, done: int | None = None, entered: int = 0
) -> dict[str, tuple[int, ...]]:
    """Tensors of a state within its chain, without the batch dimension: float32, but for `GENERATOR`, which is uint8.

    Parameters
    ----------
    scheduler : str
        Sampler.
    latent : tuple of int
        (channels, rows, columns) of the latent, or of a region of it.
    done : int, optional
        Steps of the chain that have been made; needed where the sampler's history depends on it.
    entered : int
        Step at which the chain was entered: 0 from noise, later from a picture.

    Raises
    ------
    InvalidInput
        If `done` is needed and missing.

    Examples
    --------
    >>> state_shapes("dpmpp", (4, 64, 64))
    {'latent': (4, 64, 64), 'previous_x0': (4, 64, 64)}
    >>> state_shapes("euler_ancestral", (4, 64, 64))
    {'latent': (4, 64, 64), 'generator': (16,)}
    >>> [len(state_shapes("pndm", (4, 64, 64), done=n)) for n in (1, 2, 3, 4, 5)]
    [3, 2, 3, 4, 4]
    """
    law = state_law(scheduler)
    if done is None and law.by_step:
        remedy = "Say after which step the latent is sent (`done`)."
        raise InvalidInput("done", None, f"a step, on which the history of {scheduler!r} depends", remedy)
    history = law.history(0 if done is None else done, entered)
    random: dict[str, tuple[int, ...]] = {GENERATOR: (GENERATOR_BYTE,)} if law.random else {}
    return {"latent": latent, **dict.fromkeys(history, latent), **random}


def check_steps(scheduler: str, steps: int, made: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    """Refuse a number of steps that a sampler cannot make.

    Parameters
    ----------
    scheduler : str
        Sampler.
    steps : int
        Denoising steps [1].
    made : mapping of str to sequence of (int, int)
        Ranges (first, last) of the numbers that each sampler can make, where they are known [1].

    Raises
    ------
    InvalidInput

    Examples
    --------
    >>> check_steps("pndm", 3, {"pndm": [(1, 1), (3, 1000)]})
    """
    if steps < 1:
        raise InvalidInput("steps", steps, "at least 1 denoising step", "Raise it.")
    ranges = made.get(_ETA_OFFERED if eta(scheduler) else scheduler, ())
    if not ranges or any(first <= steps <= last for first, last in ranges):
        return
    below = [str(last) for _, last in ranges if last < steps][-1:]
    above = [str(first) for first, _ in ranges if first > steps][:1]
    expected = f"a number of denoising steps that {scheduler!r} can make, next {' and '.join(below + above)}"
    raise InvalidInput("steps", steps, expected, "Choose another number, or another sampler.")


def trailing_gaps(trained: int) -> tuple[int, ...]:
    """Numbers of steps [1] of which schedulers with the spacing "trailing" make one more, by rounding.

    Their timesteps are `numpy.arange(trained, 0, -trained / steps)`, of those that the model was trained at [1].
    """
    return tuple(n for n in range(1, trained + 1) if len(np.arange(trained, 0, -trained / n)) != n)


def ranges_without(most: int, gaps: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Ranges (first, last) of the numbers from 1 to `most` that are no gaps.

    Examples
    --------
    >>> ranges_without(1000, [2])
    ((1, 1), (3, 1000))
    """
    edges = [0, *sorted(gap for gap in set(gaps) if gap <= most), most + 1]
    return tuple((low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1)


def eta(scheduler: str) -> float:
    """Weight of the noise that "ddim_eta1", "ddim_eta0.5" and so on add at each step; 0 for all others [1].

    DDIM with a weight of 1 is the ancestral sampling of DDPM (Song et al., arXiv 2010.02502, equation 16).
    """
    found = _ETA.fullmatch(scheduler)
    return float(found[1]) if found else 0.0


def entered(scheduler: str, first: int) -> str:
    """The sampler of a chain that is entered from a picture at a step, as models are told it.

    Pipelines of latent consistency models spread the remaining steps anew over the noise levels that are left, so such
    a chain has a name of its own, "lcm_from2"; all other samplers go on with the timesteps of the whole chain.
    """
    return f"{scheduler}{_FROM}{first}" if scheduler in _ENTERED and first > 0 else scheduler


def entry(scheduler: str) -> tuple[str, int]:
    """Sampler, and the step at which its chain is entered [1]: ("lcm", 2) of "lcm_from2"."""
    name, _, first = scheduler.partition(_FROM)
    return (name, int(first)) if name in _ENTERED and first.isdecimal() else (scheduler, 0)


def is_offered(scheduler: str, schedulers: tuple[str, ...]) -> bool:
    """Whether a sampler is among a model's, "ddim_eta1" standing for all weights in (0, 1]."""
    return scheduler in schedulers or (_ETA_OFFERED in schedulers and eta(scheduler) > 0)
