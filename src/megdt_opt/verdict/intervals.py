"""Intervals of latencies: rolling conformal intervals over the relative errors of earlier verified runs.

Split conformal prediction takes a quantile of earlier errors; where errors drift, its level is adapted after each run
(Gibbs and Candes, Adaptive conformal inference under distribution shift, NeurIPS 2021). The calibration's own samples
make no interval: they do not know what later runs vary by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from megdt_opt.si import percent

LEVEL = 0.90
"""Level of the intervals [1]."""

WINDOW = 100
"""Latest latencies whose errors count [1]."""

LEAST = 40
"""Latencies that an interval takes [1]."""

RATE = 0.05
"""By how much the level is adapted after a miss, and by that times (1 - level) after a hit [1]."""

BEYOND = 1.5
"""Half width over the largest error of the window where even that one does not reach the level [1]."""

DRIFT_OF = 20
"""Latest latencies whose median is compared with those before them [1]."""

DRIFT_TAILS = (10.0, 90.0)
"""Percentiles of the earlier errors beyond which that median is drift [%]: by chance once in 10^5 looks."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where the latencies of the next run lie, relative to their predictions.

    Parameters
    ----------
    low, high : float
        Of (measured - predicted) / predicted [1].
    level : float
        Level that is aimed at [1].
    latencies : int
        Earlier latencies that it rests on [1].
    coverage : float
        Part of the window's latencies that lay in their intervals, of those that had one [1]; not a number before.

    Examples
    --------
    >>> from megdt_opt.verdict.intervals import Interval
    >>> Interval(low=-0.1, high=0.2, level=0.9, latencies=60, coverage=0.9).of(2.0)
    (1.8, 2.4)
    """

    low: float
    high: float
    level: float
    latencies: int
    coverage: float

    def of(self, predicted_s: float) -> tuple[float, float]:
        """The interval of a latency [s]."""
        return max(0.0, predicted_s * (1 + self.low)), predicted_s * (1 + self.high)

    @property
    def width(self) -> float:
        """Width relative to the prediction [1]."""
        return self.high - self.low


class RollingIntervals:
    """Errors of earlier runs, in their order, and the adapted level.

    Parameters
    ----------
    level : float
        Level of the intervals [1].

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt.verdict.intervals import RollingIntervals
    >>> rolling = RollingIntervals()
    >>> for error in np.random.default_rng(0).normal(0.02, 0.05, 200):
    ...     rolling.add([float(error)])
    >>> found = rolling.interval()
    >>> found.low < -0.03 < 0.07 < found.high, rolling.drift
    (True, False)
    """

    def __init__(self, level: float = LEVEL) -> None:
        self.level = level
        self._alpha = 1 - level
        self._errors: list[float] = []
        self._inside: list[bool | None] = []

    @property
    def latencies(self) -> int:
        """Latencies that are known [1]."""
        return len(self._errors)

    @property
    def drift(self) -> bool:
        """Whether the latest errors are no longer those of the runs before them."""
        before, latest = self._errors[-WINDOW - DRIFT_OF : -DRIFT_OF], self._errors[-DRIFT_OF:]
        if len(before) < LEAST:
            return False
        low, high = np.percentile(before, DRIFT_TAILS)
        return not low <= float(np.median(latest)) <= high

    def interval(self) -> Interval | None:
        """The interval of the next run's latencies; None before `LEAST` of them."""
        if len(self._errors) < LEAST:
            return None
        errors = np.array(self._errors[-WINDOW:])
        centre = float(np.median(errors))
        scores = np.sort(np.abs(errors - centre))
        rank = math.ceil((len(scores) + 1) * (1 - self._alpha))
        half = float(scores[rank - 1]) if rank <= len(scores) else BEYOND * float(scores[-1])
        known = [one for one in self._inside[-WINDOW:] if one is not None]
        coverage = float(np.mean(known)) if known else math.nan
        return Interval(
            low=centre - half, high=centre + half, level=self.level, latencies=len(self._errors), coverage=coverage
        )

    def add(self, errors: Sequence[float]) -> None:
        """Take in a run: the relative errors of its users' latencies, which vary together."""
        found = self.interval()
        inside = [None if found is None else bool(found.low <= error <= found.high) for error in errors]
        if found is not None and errors:
            missed = sum(one is False for one in inside) / len(inside)
            aim = 1 - self.level
            self._alpha = min(0.5, max(-RATE, self._alpha + RATE * (aim - missed)))
        self._errors += [float(error) for error in errors]
        self._inside += inside


def interval_words(rolling: RollingIntervals) -> str:
    """The interval in words, or how many latencies are still missing."""
    found = rolling.interval()
    if found is None:
        return f"no interval yet ({rolling.latencies} of {LEAST} earlier latencies)"
    text = (
        f"{percent(100 * found.level, 0, signed=False)} interval {percent(100 * found.low, 1)} to "
        f"{percent(100 * found.high, 1)} of the prediction "
        f"(width {percent(100 * found.width, 0, signed=False)}, from {found.latencies} earlier latencies"
    )
    held = percent(100 * found.coverage, 0, signed=False)
    return text + (f", of the latest {held} lay in theirs)" if found.coverage >= 0 else ")")


RECALIBRATE = (
    "Latencies have drifted out of their intervals: calibrate again (`megdt-opt calibrate`) and plan with that profile."
)
"""What is advised where drift is seen."""
