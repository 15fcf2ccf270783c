"""At which level latencies hold, as a scenario states it."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field, model_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.scenario.quantities import Quantities
from megdt_opt.si import percent

_MARGIN = 0.2
"""Part of what may be late that is kept in hand where nothing else is said: 96 % for 95 % [1]."""


class LatencyLevel(Quantities):
    """At which level latencies shall hold, and from how many samples.

    Parameters
    ----------
    level : float
        Share of the generations of each user within its latency, above 0 and below 1 [1].
    planned_at : float, optional
        Share of the samples that the plan keeps, at least the level [1]; default a fifth of what may be late above it,
        for an empirical quantile of samples is met by new ones in somewhat less.
    samples : int
        Samples that are drawn of each option's times [1].
    seed : int
        Of the draws.
    """

    level: float = Field(gt=0.0, lt=1.0)
    planned_at: float | None = Field(default=None, gt=0.0, lt=1.0)
    samples: int = Field(default=1000, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0)

    @property
    def kept_part(self) -> float:
        """Share of the samples that are kept [1]."""
        return self.level + _MARGIN * (1.0 - self.level) if self.planned_at is None else self.planned_at

    @property
    def kept(self) -> int:
        """Samples that are kept [1]."""
        return math.ceil(self.kept_part * self.samples - 1e-9)

    @property
    def needed(self) -> int:
        """Samples of which the level can be said: one of them at least may be beyond it [1]."""
        return math.ceil(1.0 / (1.0 - self.kept_part) - 1e-9)

    @property
    def words(self) -> str:
        """What a plan says of its latencies."""
        return (
            f"Latencies hold in {self.kept} of {self.samples} samples that were drawn of the calibration's raw times, "
            f"planned at {percent_of(self.kept_part)} for {percent_of(self.level)}; stages are shown with median "
            "times, options with parallel stages are closed, and no baselines are worked out at a level."
        )

    @model_validator(mode="after")
    def _fits(self) -> LatencyLevel:
        if self.kept_part < self.level:
            expected = f"at least the level, {self.level:g} [1]"
            raise InvalidInput("planned_at", self.planned_at, expected, "Raise it, or leave it out.")
        if self.samples < self.needed:
            expected = f"at least {self.needed} samples [1], of which {percent_of(self.kept_part)} can be kept"
            raise InvalidInput("samples", self.samples, expected, "Draw more samples, or lower the level.")
        return self


def refuse_comparing(level: LatencyLevel | None) -> None:
    """Refuse a level where rivals are worked out: InvalidInput, for they have median times."""
    if level is not None:
        expected = "left out where a plan is compared with others, which are worked out at median times"
        remedy = "Leave holds out, or compare with nothing (no baselines, no verification)."
        raise InvalidInput("holds", f"level {level.level:g}", expected, remedy)


def percent_of(part: float) -> str:
    """A level as percent, with all of its digits: percent_of(0.995) = "99.5 %"."""
    value = round(100 * part, 6)
    return percent(value, len(f"{value:g}".partition(".")[2]), signed=False)


def check_level(level: LatencyLevel, objective: str, stated: dict[str, Any]) -> None:
    """Refuse a level beside what is not planned with one.

    Parameters
    ----------
    level : LatencyLevel
    objective : str
    stated : dict
        Fields of the scenario that must be left out; None where they are.
    """
    if objective not in ("max", "sum"):
        remedy = "Choose one of them, or leave holds out."
        raise InvalidInput("objective", objective, '"max" or "sum" beside holds', remedy)
    for name, value in stated.items():
        if value is not None:
            beside = f"{name} {value}" if isinstance(value, str) else name
            remedy = f"Leave out holds or {name}."
            raise InvalidInput("holds", f"level {level.level:g}", f"left out beside {beside}", remedy)
