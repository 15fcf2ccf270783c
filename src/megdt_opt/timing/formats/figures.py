"""What a timing file of another program says, whatever its format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from megdt_opt.errors import InvalidInput, shown
from megdt_opt.timing.cells import RESOLUTION_S
from megdt_opt.values import integer, real

PASS = "denoise_pass"
"""Stage of a file: one pass of the network that denoises, of which a step with guidance has two."""

GENERATION = "generation"
"""Stage of a file: everything from the prompt to the picture, in so many steps."""

MODELS = {
    "compvis/stable-diffusion-v1-4": "sd15",
    "runwayml/stable-diffusion-v1-5": "sd15",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "sd15",
    "stable_diffusion_v1_5": "sd15",
    "stabilityai/stable-diffusion-2-1": "sd21",
    "stable_diffusion_v2_1": "sd21",
    "stabilityai/stable-diffusion-xl-base-1.0": "sdxl",
    "stabilityai/stable-diffusion-3-medium-diffusers": "sd3",
}
"""Models by the names that files use for them; SD1.4 has the networks of SD1.5."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One time of a file.

    Parameters
    ----------
    stage : str
        A stage by its name, `PASS` or `GENERATION`.
    samples_s : tuple of float
        Every time that the file holds [s]; one where it holds a mean or a single run.
    batch : int
        Pictures together [1].
    device, model, precision, variant : str
        As the file names them; "" where it does not. A variant is a runtime, or how the model was made faster.
    steps : int or None
        Denoising steps of a generation [1].
    passes_per_step : int or None
        Network passes of a denoising step [1], where the file says so.
    picture : tuple of int or None
        Rows and columns of the pictures [pixel], where the file says so.
    rows, rows_total : int or None
        Rows of the latent region and of the whole latent [1].
    codec : str
        Image codec of a compress or decompress stage.
    software : mapping of str to str
        Versions that the file states.
    note : str
        Where the file has the figure from.
    """

    stage: str
    samples_s: tuple[float, ...]
    batch: int = 1
    device: str = ""
    model: str = ""
    precision: str = ""
    variant: str = ""
    steps: int | None = None
    passes_per_step: int | None = None
    picture: tuple[int, int] | None = None
    rows: int | None = None
    rows_total: int | None = None
    codec: str = ""
    software: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TimingFile:
    """A timing file of another program.

    Parameters
    ----------
    kind : str
        What it is, in words.
    figures : tuple of Figure
        Its times, at least one.
    method : str
        How they were taken, as far as format and file say.
    hardware : mapping of str to (str or int)
        What the file says of the machine.
    random_weights : bool
        Whether it says that the weights were random.
    """

    kind: str
    figures: tuple[Figure, ...]
    method: str
    hardware: Mapping[str, str | int] = field(default_factory=dict)
    random_weights: bool = False


def seconds(value: object, where: str, source: str, scale: float = 1.0) -> float:
    """A time of a file in seconds.

    Raises
    ------
    InvalidInput
        Where it is no finite time that a clock can tell from 0.
    """
    number = real(value)
    if number is None or not math.isfinite(number) or number * scale < RESOLUTION_S:
        remedy = "Correct the file, or leave the row out."
        raise InvalidInput(f"{source}, {where}", value, "a finite time above 0", remedy)
    return number * scale


def count(value: object, where: str, source: str) -> int:
    """A count of at least 1 in a file; raises InvalidInput for anything else."""
    number = integer(value)
    if number is None or number < 1:
        expected = "a whole number of at least 1"
        raise InvalidInput(f"{source}, {where}", value, expected, "Correct the file.")
    return number


def mapping(value: object, where: str, source: str) -> Mapping[str, object]:
    """A mapping in a file; raises InvalidInput for anything else."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{source}, {where}", shown(type(value).__name__), "fields with names", "Correct the file.")
    return value
