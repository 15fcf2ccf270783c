"""Whether a timing profile belongs to a model, and what speaks against its figures."""

from __future__ import annotations

import math
import statistics

from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Kind
from megdt_opt.si import percent
from megdt_opt.timing.cells import Cell
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.provenance import refuse

PUBLISHED_MODELS = {"SD1.4": "sd15", "SD1.5": "sd15", "SD2.1": "sd21", "SDXL": "sdxl", "SDXL-LCM": "sdxl"}
"""Specs of the models that published figures are about; SD1.4 has the networks of SD1.5, SDXL-LCM those of SDXL."""

DRIFT = 1.25
"""Times that change by more than this within a calibration are said to drift [1]."""

SLOWER_REGION = 1.1
"""A region that takes more than this of the time of the whole latent cannot be right [1]."""

_LEAST = {"png": (69, 1032), "jpeg": (125, 1000)}
"""Bytes that a picture file has around its data, and the most that its data can be compressed [byte, 1]."""


def check_model(profile: TimingProfile, spec: ModelSpec, actor: str, precision: str | None = None) -> None:
    """Refuse a profile of another model, latent, picture or number of passes than an actor runs.

    Parameters
    ----------
    profile : TimingProfile
        What was timed.
    spec : ModelSpec
        The model that is planned.
    actor : str
        Whose profile it is, for the message.
    precision : str, optional
        Arithmetic that is planned; default whatever was timed.

    Raises
    ------
    ProfileError
        Where they differ; names both. Also for picture files too small to hold a picture of that size.
    """
    facts = profile.provenance
    model = PUBLISHED_MODELS.get(profile.model, profile.model) if profile.published else profile.model
    found = {
        "model": model,
        "latent": facts.latent_shape,
        "picture": facts.image_shape,
        "passes": facts.passes_per_step,
    }
    asked = {
        "model": spec.name,
        "latent": spec.latent_shape,
        "picture": spec.image_shape,
        "passes": spec.passes_per_step,
    }
    if any(value is not None and value != asked[what] for what, value in found.items()):
        refuse(
            f"timing profile of {actor}, {profile.device!r}",
            _described(profile.model, *found.values()),
            f"one of {_described(spec.name, *asked.values())}",
            "Name a profile of this model, or plan the model that was timed.",
        )
    if precision is not None and facts.precision != precision:
        refuse(
            f"timing profile of {actor}, {profile.device!r}",
            f"precision {facts.precision!r}",
            f"{precision!r}, the scenario's",
            "Name a profile of this precision, or leave the scenario's out.",
        )
    for codec, sizes in profile.image_byte_samples.items():
        header, most = _LEAST.get(codec, (1, math.inf))
        least = header + int(math.prod(spec.image_shape) / most)
        if min(sizes) < least:
            refuse(
                f"image_byte_samples[{codec!r}] of {actor}'s profile {profile.device!r}",
                min(sizes),
                f"at least {least} byte, the smallest file of a picture of {spec.image_shape}",
                "Measure the codec on generated pictures.",
            )


def _described(name: str, model: object, latent: object, picture: object, passes: object) -> str:
    return f"model {name!r}, latent {latent}, picture {picture}, {passes} pass(es) in a step"


def doubts(profile: TimingProfile) -> tuple[str, ...]:
    """What a reader must know of a profile's samples: drift, slow regions, one batch alone, a busy machine."""
    found = []
    drift = _drift(profile)
    if not 1 / DRIFT <= drift <= DRIFT:
        found.append(f"its times changed by a factor of {drift:.2f} within the calibration")
    for cell in profile.cells:
        whole = profile.cell(cell.kind, batch=cell.batch, codec=cell.codec) if cell.rows is not None else None
        if whole is not None and cell.median_s > SLOWER_REGION * whole.median_s:
            ratio = cell.median_s / whole.median_s
            found.append(f"{cell.label} took {ratio:.2f} times as long as the whole latent")
    for kind, codec in dict.fromkeys((cell.kind, cell.codec) for cell in profile.cells):
        batches = sorted({c.batch for c in profile.cells if (c.kind, c.codec, c.rows) == (kind, codec, None)})
        if len(batches) == 1 and batches[0] > 1:
            stage = f"{kind} ({codec})" if codec else str(kind)
            found.append(
                f"{stage} was timed in batches of {batches[0]} alone, so a smaller batch is taken to last as long: an "
                "upper estimate"
            )
    left = profile.provenance.idle_share
    if left < 1.0:
        part = percent(100 * left, 0, signed=False)
        found.append(
            f"other processes left {part} of the processors that it needed while it was timed, so its times may be "
            f"too long, and its intervals reach down to {part} of them"
        )
    return tuple(found)


def _drift(profile: TimingProfile) -> float:
    """Late over early samples, the median over the denoising cells or else all cells [1]; 1 where they are few."""
    for cells in ([c for c in profile.cells if c.kind is Kind.DENOISE], list(profile.cells)):
        ratios = [ratio for cell in cells if (ratio := _late_over_early(cell)) is not None]
        if ratios:
            return statistics.median(ratios)
    return 1.0


def _late_over_early(cell: Cell) -> float | None:
    third = len(cell.samples_s) // 3
    if third < 2:
        return None
    return statistics.median(cell.samples_s[-third:]) / statistics.median(cell.samples_s[:third])
