"""Statistics of timing samples: medians with their intervals, and affine fits of cost against size.

Of samples of one session:

- of one measured cell's median: the distribution-free interval between two order statistics;
- of anything fitted: the percentile bootstrap, resampling within each cell, with a fixed seed so that
  a profile always gives the same plan.

Both take a cell's samples for independent draws. They cover the noise within one session, not what a
machine does afterwards; `megdt_opt.calibration.recalibrate` measures that apart. Of samples of several
sessions, `later_interval` says where the time of a later one lies.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from megdt_opt.timing.provenance import refuse

LEVEL = 0.95
"""Confidence level of every interval [1]."""

REPLICATES = 1000
"""Bootstrap replicates [1]."""

LONGEST = 1.5
"""A predicted length stays within the measured ones, widened by this factor [1]."""

_SEED = 20240131


def median_interval(samples: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Distribution-free confidence interval of a median, between two order statistics.

    With n sorted independent samples x_(1..n), [x_(j), x_(n+1-j)] covers the median with probability
    1 - 2 P(Binomial(n, 1/2) <= j - 1). The largest j that keeps `level` is taken. Fewer than six
    samples cannot reach 95 %; then the whole range is returned, which covers 1 - 2^(1-n).

    Parameters
    ----------
    samples : sequence of float
        At least one sample.
    level : float
        Probability of covering the median, at least [1].

    Returns
    -------
    tuple of float
        (low, high), in the samples' unit.
    """
    ordered = sorted(samples)
    n = len(ordered)
    tail, rank = 0.0, 0
    while rank < n // 2:
        tail += math.comb(n, rank) * 0.5**n
        if 1.0 - 2.0 * tail < level:
            break
        rank += 1
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[n - rank]


def later_interval(times_s: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """Prediction interval of a later session's time, from those of at least two sessions.

    The logarithms are taken for independent draws of one normal distribution, so with their mean m, their standard
    deviation s and Student's t of S - 1 degrees of freedom the next one lies in m -+ t s sqrt(1 + 1/S) at `level`
    (Geisser, Predictive Inference, 1993, section 2.2).

    Parameters
    ----------
    times_s : sequence of float
        Time of each session [s].
    level : float
        Probability that the next session's time lies inside [1].

    Returns
    -------
    tuple of float
        (low, high) [s].
    """
    from scipy.special import stdtrit

    logs = [math.log(time) for time in times_s]
    count = len(logs)
    quantile = float(stdtrit(count - 1, (1.0 + level) / 2.0))
    half = quantile * statistics.stdev(logs) * math.sqrt(1.0 + 1.0 / count)
    middle = statistics.fmean(logs)
    # the end of an interval stays a number also where two sessions differ by decades
    return math.exp(max(middle - half, -700.0)), math.exp(min(middle + half, 700.0))


def bootstrap_medians(samples: Sequence[Sequence[float]], replicates: int = REPLICATES) -> NDArray[np.float64]:
    """Medians of resampled cells, shape (replicates, cells)."""
    rng = np.random.default_rng(_SEED)
    columns = []
    for cell in samples:
        values = np.asarray(cell, dtype=float)
        drawn = rng.integers(0, values.size, size=(replicates, values.size))
        columns.append(np.median(values[drawn], axis=1))
    return np.stack(columns, axis=1)


@dataclass(frozen=True, kw_only=True)
class AffineFit:
    """Time of one stage against a size X (chains in a batch, or rows of a latent region): a*X + b.

    Parameters
    ----------
    a_s : float
        Time that each further unit of X adds [s].
    b_s : float
        Time that does not depend on X [s]; below 0 where the machine slows down with size.
    a_interval_s, b_interval_s : tuple of float or None
        95 % bootstrap intervals [s]; None for published figures, which carry no variance.
    r2 : float or None
        Share of the variance of the cells' medians that the fit explains [1]; None below three sizes.
    sizes : tuple of int
        The sizes that were measured. With a single one b is 0: no gain from larger sizes is assumed, and
        smaller ones are taken to last as long.
    misfit : float
        Largest |fit - median|/median over the measured sizes [1].
    """

    a_s: float
    b_s: float
    a_interval_s: tuple[float, float] | None
    b_interval_s: tuple[float, float] | None
    r2: float | None
    sizes: tuple[int, ...]
    misfit: float
    _replicates: NDArray[np.float64] | None = field(default=None, repr=False, compare=False)

    def at(self, size: float) -> float:
        """Time at a size [s].

        Raises
        ------
        ProfileError
            If the fit gives no positive time there, which only happens far outside `sizes`.
        """
        value = self.a_s * self._counted(size) + self.b_s
        if not value > 0.0:
            refuse(
                f"fitted time at size {size}",
                value,
                "a time above 0 [s]",
                f"The fit rests on the sizes {self.sizes}; calibrate nearer to the size that is needed.",
            )
        return value

    def interval_at(self, size: float, level: float = LEVEL) -> tuple[float, float] | None:
        """Interval of the time at a size, of 95 % if no other level is asked for [s]; None for single figures.

        The bootstrap interval, widened on both sides by `misfit`: a fit that does not pass through what
        was measured is not more certain elsewhere.
        """
        if self._replicates is None:
            return None
        low, high = _percentiles(self._replicates[:, 0] * self._counted(size) + self._replicates[:, 1], level)
        return max(low, 0.0) * max(1.0 - self.misfit, 0.0), high * (1.0 + self.misfit)

    def _counted(self, size: float) -> float:
        """The size that is answered for: nobody knows what a smaller one saves where one alone was measured."""
        return max(size, self.sizes[0]) if len(self.sizes) == 1 else size


def affine_fit(sizes: Sequence[int], samples: Sequence[Sequence[float]], *, certain: bool = False) -> AffineFit:
    """Fit a*X + b to the medians of cells, by least squares on relative residuals.

    Relative, because a plan's error at one chain matters as much as at sixteen, while the seconds differ
    by the factor sixteen.

    Parameters
    ----------
    sizes : sequence of int
        X of each cell, distinct, at least one.
    samples : sequence of sequence of float
        The cells' samples [s].
    certain : bool
        True for single figures: one value each, no interval.

    Returns
    -------
    AffineFit
    """
    x = np.asarray(sizes, dtype=float)
    medians = np.asarray([np.median(np.asarray(cell, dtype=float)) for cell in samples])
    a, b = _solve(x, medians[None, :])[0]
    residual = a * x + b - medians
    r2: float | None = None
    spread = float(np.sum((medians - medians.mean()) ** 2))
    if len(sizes) >= 3 and spread > 0.0:
        r2 = 1.0 - float(np.sum(residual**2)) / spread
    replicates = None if certain else _solve(x, bootstrap_medians(samples))
    return AffineFit(
        a_s=float(a),
        b_s=float(b),
        a_interval_s=None if replicates is None else _percentiles(replicates[:, 0]),
        b_interval_s=None if replicates is None else _percentiles(replicates[:, 1]),
        r2=r2,
        sizes=tuple(int(n) for n in sizes),
        misfit=float(np.max(np.abs(residual) / medians)),
        _replicates=replicates,
    )


def expected_byte(byte: Sequence[int], reference: Sequence[int], of: int | None) -> int:
    """Expected length of a generated picture's file [byte].

    Parameters
    ----------
    byte : sequence of int
        Lengths of generated pictures' files [byte].
    reference : sequence of int
        Lengths of the same requests' reference files [byte]; may be empty.
    of : int, optional
        Length of the request's own reference file [byte]. With it, and references, a line through the
        samples is used, fitted by least squares of the relative error; without it, the median.
    """
    if of is None or len(set(reference)) < 2:
        return round(statistics.median(byte))
    measured = np.array(byte, dtype=np.float64)
    columns = np.stack([np.ones(len(byte)), np.array(reference, dtype=np.float64)], axis=1)
    (offset, slope), *_ = np.linalg.lstsq(columns / measured[:, None], np.ones(len(byte)), rcond=None)
    return round(float(np.clip(offset + slope * of, measured.min() / LONGEST, measured.max() * LONGEST)))


def _solve(x: NDArray[np.float64], medians: NDArray[np.float64]) -> NDArray[np.float64]:
    """(a, b) of each row of medians; shape (rows, 2)."""
    if x.size == 1:
        return np.stack([medians[:, 0] / x[0], np.zeros(len(medians))], axis=1)
    w = 1.0 / medians**2  # squared weights of the relative residuals
    total = w.sum(axis=1)
    mean_x = (w * x).sum(axis=1) / total
    mean_t = (w * medians).sum(axis=1) / total
    dx = x - mean_x[:, None]
    a = (w * dx * (medians - mean_t[:, None])).sum(axis=1) / (w * dx**2).sum(axis=1)
    return np.stack([a, mean_t - a * mean_x], axis=1)


def _percentiles(values: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)
