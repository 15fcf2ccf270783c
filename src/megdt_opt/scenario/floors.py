"""What users ask of the quality of their pictures: floors that close options, and targets that the objective counts."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from megdt_opt.errors import Conflict, InvalidInput
from megdt_opt.quality.curves import Quality
from megdt_opt.quality.statistic import LEVELS, METRICS
from megdt_opt.scenario.quantities import Quantities

SHORT = {"psnr_db": "psnr", "psnr_truth_db": "psnr_truth"}
"""Metrics whose name in a scenario is another: their unit is written with the value."""


class PictureQuality(Quantities):
    """Figures of pictures, by the names of what was measured (`quality.statistic.METRICS`).

    Parameters
    ----------
    psnr_db, psnr_truth_db : float, optional
        PSNR against the picture made in one place, and against what should be shown [dB]; written as `psnr: 28 dB`.
    ssim, ssim_truth : float, optional
        SSIM against the same, at most 1.
    read : float, optional
        Share of the objects that are read back [1].
    frechet : float, optional
        Largest Frechet distance to what should be shown.
    at : str
        "mean" of the pictures, or "p05": what 95 of 100 reach.

    Examples
    --------
    >>> from megdt_opt.scenario.floors import PictureQuality
    >>> PictureQuality(psnr="28 dB", read=0.95).asked
    {'psnr_db': 28.0, 'read': 0.95}
    """

    dimensions: ClassVar[dict[str, str]] = {"psnr_db": "ratio", "psnr_truth_db": "ratio"}

    psnr_db: float | None = None
    ssim: float | None = Field(default=None, gt=0.0, le=1.0)
    psnr_truth_db: float | None = None
    ssim_truth: float | None = Field(default=None, gt=0.0, le=1.0)
    read: float | None = Field(default=None, gt=0.0, le=1.0)
    frechet: float | None = Field(default=None, ge=0.0)
    at: Literal["mean", "p05"] = "mean"

    @model_validator(mode="after")
    def _asks(self) -> PictureQuality:
        if not self.asked:
            remedy = 'Write for example "{psnr: 28 dB, read: 0.95}".'
            raise InvalidInput("", {}, f"some of {', '.join(SHORT.get(name, name) for name in METRICS)}", remedy)
        return self

    @property
    def asked(self) -> dict[str, float]:
        """Figures that are asked for, by the names of the metrics."""
        found = {name: getattr(self, name) for name in METRICS}
        return {name: value for name, value in found.items() if value is not None}

    def missed(self, quality: Quality | None, metric: str) -> float | None:
        """By how much an option misses a figure, 0 where it keeps it; None where that was not measured."""
        if quality is None or metric not in quality:
            return None
        short = self.asked[metric] - quality[metric].floor(metric, self.at)
        return max(0.0, short if METRICS[metric].rising else -short)


def ruled_out_by_floor(
    k: int, floor: PictureQuality | None, target: PictureQuality | None, quality: Quality | None
) -> list[Conflict]:
    """What closes an option whose pictures are below a user's floor, or whose quality is not known though the user has
    a floor or a target for it."""
    found: dict[str, Conflict] = {}
    for asked, is_floor in ((floor, True), (target, False)):
        for metric, value in () if asked is None else asked.asked.items():
            name, unit = SHORT.get(metric, metric), METRICS[metric].unit
            shown = f"{{limit}} {value:g} {unit}".rstrip()
            short = asked.missed(quality, metric) if asked is not None else None
            if short is None:
                words = f"{shown}: the {name} of such pictures was never measured"
                limit = "quality_min" if is_floor else "quality_target"
                found[metric] = Conflict(k, f"{limit}.{name}", value, unit, words)
            elif short > 0 and is_floor and asked is not None:
                doubt, side = ("less", "below") if METRICS[metric].rising else ("with", "above")
                words = f"{shown}: the {LEVELS[asked.at]} of such pictures, {doubt} its error, is {side} it"
                found[metric] = Conflict(k, f"quality_min.{name}", value, unit, words)
    return list(found.values())


def check_metrics(where: str, asked: PictureQuality | None, measured: tuple[str, ...], model: str) -> None:
    """Refuse a figure that nobody has measured of any picture of the model.

    Raises
    ------
    InvalidInput
    """
    for metric, value in () if asked is None else asked.asked.items():
        if metric not in measured:
            known = ", ".join(SHORT.get(name, name) for name in measured) or "none"
            expected = f"a figure that was measured of the model {model!r}: {known}"
            remedy = "Measure it with `megdt-opt quality` and name the file as the scenario's quality, or leave it out."
            raise InvalidInput(f"{where}.{SHORT.get(metric, metric)}", value, expected, remedy)
