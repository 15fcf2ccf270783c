"""Between measured points: monotone interpolation over steps, cut, share and SNR, with its held-out error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.quality.factors import AXES, SHARED, Factors
from megdt_opt.quality.pictures import MOST_DB
from megdt_opt.quality.statistic import METRICS, ONE_SIDED, Statistic
from megdt_opt.quality.table import QualityTable, Row

Array = NDArray[np.float64]

AGAINST_TRUTH = ("psnr_truth_db", "ssim_truth", "read", "frechet")
"""Metrics that compare with what should be shown."""

_SAME = 1e-9


def better_along(axis: str, metric: str, mechanism: str) -> int:
    """How a metric must go along an axis: 1 never worse, -1 never better, 0 either.

    More steps and a better channel show no worse what should be shown; the more steps are shared, the farther is the
    picture from one's own.
    """
    if axis == "snr_db" or (axis == "steps" and metric in AGAINST_TRUTH):
        return 1
    return -1 if axis == "cut" and mechanism == SHARED else 0


def interpolated(x: Sequence[float], y: Sequence[float], at: float, direction: int = 0) -> float:
    """Value at a place between knots: shape-preserving cubics (Fritsch and Carlson 1980, scipy's PCHIP) through the
    knots or, where a direction is given, through their isotonic fit, so that it is kept between them as well.

    Parameters
    ----------
    x : sequence of float
        Knots, ascending.
    y : sequence of float
        Values there.
    at : float
        Place, from the first knot to the last.
    direction : int
        1 rising, -1 falling, 0 as the knots are.

    Examples
    --------
    >>> from megdt_opt.quality.curves import interpolated
    >>> round(interpolated([0.0, 1.0, 2.0], [0.0, 2.0, 1.0], 1.5, direction=1), 6)
    1.5
    """
    values = np.asarray(y, dtype=np.float64)
    if direction:
        from scipy.optimize import isotonic_regression

        values = np.asarray(isotonic_regression(values, increasing=direction > 0).x)
    if len(x) == 1:
        return float(values[0])
    from scipy.interpolate import PchipInterpolator  # takes long to load

    return float(PchipInterpolator(np.asarray(x, dtype=np.float64), values)(at))


@dataclass(frozen=True)
class Figure:
    """What is known of one metric of an option.

    Parameters
    ----------
    statistic : Statistic
    count : int
        Fewest pictures of the points that it comes from [1].
    held_out : float
        Largest error of the curve at points that were left out, 0 at a measured point; in the metric's unit.
    measured : bool
        Whether it was measured there, and not interpolated.
    """

    statistic: Statistic
    count: int
    held_out: float
    measured: bool

    def floor(self, metric: str, level: str = "mean") -> float:
        """What can be relied on: the mean or the 5th percentile, less the held-out error, and of the mean less what the
        mean of other pictures may be worse by, one in 20 times: `ONE_SIDED` standard errors.
        """
        value, doubt = float(getattr(self.statistic, level)), self.held_out
        if level == "mean":
            doubt += ONE_SIDED * self.statistic.error(metric, self.count)
        return value - doubt if METRICS[metric].rising else value + doubt


Quality = Mapping[str, Figure]
"""Figures of an option by the names of the metrics."""


@dataclass(frozen=True)
class Curve:
    """The measured points that differ in steps, cut, share or SNR alone."""

    rows: tuple[Row, ...]

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Axes along which there is more than one point."""
        return tuple(axis for axis in AXES if len({getattr(row.factors, axis) for row in self.rows}) > 1)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that all points have."""
        return tuple(name for name in METRICS if all(name in row.metrics for row in self.rows))

    def at(self, factors: Factors, metric: str, statistic: str = "mean") -> float | None:
        """A metric at a place; None outside of what was measured."""
        return self._over(self.rows, AXES, factors, metric, statistic)

    def _over(
        self, rows: Sequence[Row], axes: Sequence[str], factors: Factors, metric: str, statistic: str
    ) -> float | None:
        if not axes:
            return float(getattr(rows[0].metrics[metric], statistic))
        axis, *rest = axes
        where = getattr(factors, axis)
        if where is None:
            return self._over(rows, rest, factors, metric, statistic)
        found = []
        for place in sorted({getattr(row.factors, axis) for row in rows}):
            there = [row for row in rows if getattr(row.factors, axis) == place]
            value = self._over(there, rest, factors, metric, statistic)
            if value is not None:
                found.append((float(place), value))
        if not found or not found[0][0] - _SAME <= where <= found[-1][0] + _SAME:
            return None
        x, y = zip(*found, strict=True)
        sense = better_along(axis, metric, factors.mechanism) * (1 if METRICS[metric].rising else -1)
        return interpolated(x, y, min(max(float(where), x[0]), x[-1]), sense)

    @cached_property
    def held_out(self) -> dict[str, tuple[float, float, int]]:
        """Error of the mean at points that are left out one at a time, by metric: median, largest, how many points; of
        those that others surround."""
        errors: dict[str, list[float]] = {name: [] for name in self.metrics}
        for row in self.rows if self.axes else ():
            others = Curve(tuple(other for other in self.rows if other is not row))
            for metric in self.metrics:
                guess = others.at(row.factors, metric)
                if guess is not None:
                    errors[metric].append(abs(guess - row.metrics[metric].mean))
        return {name: (float(np.median(found)), max(found), len(found)) for name, found in errors.items() if found}


def curves_of(table: QualityTable) -> dict[Factors, Curve]:
    """The curves of a table."""
    return {key: Curve(tuple(rows)) for key, rows in table.curves.items()}


class Measured:
    """What was measured of a model, to be looked up for options.

    Parameters
    ----------
    table : QualityTable

    Examples
    --------
    >>> from dataclasses import replace
    >>> from megdt_opt.quality.curves import Measured
    >>> from megdt_opt.quality.factors import Factors
    >>> from megdt_opt.quality.statistic import Statistic
    >>> from megdt_opt.quality.table import QualityTable, Row
    >>> at = Factors(mechanism="SEU", steps=20, scheduler="ddim", precision="int8")
    >>> rows = [
    ...     Row(factors=replace(at, cut=cut), count=50, metrics={"psnr_db": Statistic(mean, mean - 3, 1.5)})
    ...     for cut, mean in ((0.1, 40.0), (0.5, 44.0), (0.9, 48.0))
    ... ]
    >>> mine = Measured(QualityTable(model="mine", weights="", rows=tuple(rows)))
    >>> found = mine.quality_of(replace(at, cut=0.3))
    >>> round(found["psnr_db"].statistic.mean, 6), found["psnr_db"].measured
    (42.0, False)
    """

    def __init__(self, table: QualityTable) -> None:
        self.table = table
        self._curves = curves_of(table)
        self._known: dict[Factors, dict[str, Figure] | None] = {}

    def quality_of(self, factors: Factors) -> Quality | None:
        """Figures of an option; None where it was never measured, at these steps with this sampler.

        A picture that a split does not change has the PSNR and SSIM of equal pictures, and what was measured of
        pictures made in one place.
        """
        if factors not in self._known:
            self._known[factors] = self._found(factors)
        return self._known[factors]

    def _found(self, factors: Factors) -> dict[str, Figure] | None:
        own = self._looked_up(factors)
        if own is not None or not factors.exact:
            return own
        equal = {"psnr_db": MOST_DB, "ssim": 1.0}
        made = {name: Figure(Statistic(value, value, 0.0), 1, 0.0, False) for name, value in equal.items()}
        if factors.mechanism == "U2E":
            return made
        whole = replace(factors, mechanism="local", cut=0.0, precision="")
        return {**(self._looked_up(whole) or {}), **made}

    def _looked_up(self, factors: Factors) -> dict[str, Figure] | None:
        row = self.table.at.get(factors)
        if row is not None:
            return {name: Figure(value, row.count, 0.0, True) for name, value in row.metrics.items()}
        curve = self._curves.get(factors.curve)
        found: dict[str, Figure] = {}
        for metric in () if curve is None else curve.metrics:
            assert curve is not None
            values = [curve.at(factors, metric, name) for name in ("mean", "p05", "spread")]
            if metric in curve.held_out and not any(value is None for value in values):
                mean, p05, spread = (float(value) for value in values if value is not None)
                count = min(row.count for row in curve.rows)
                found[metric] = Figure(Statistic(mean, p05, max(spread, 0.0)), count, curve.held_out[metric][1], False)
        return found or None
