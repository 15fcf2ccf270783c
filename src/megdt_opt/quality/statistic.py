"""The metrics that are measured, and what is kept of their figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megdt_opt.errors import InvalidInput


@dataclass(frozen=True)
class Metric:
    """A measured figure of pictures.

    Parameters
    ----------
    unit : str
        "dB" or "".
    words : str
        What it is.
    rising : bool
        Whether more is better.
    """

    unit: str
    words: str
    rising: bool = True


METRICS = {
    "psnr_db": Metric("dB", "PSNR against the picture made in one place in fp32"),
    "ssim": Metric("", "SSIM against the picture made in one place in fp32"),
    "psnr_truth_db": Metric("dB", "PSNR against what should be shown"),
    "ssim_truth": Metric("", "SSIM against what should be shown"),
    "read": Metric("", "share of the objects that are read back"),
    "frechet": Metric("", "Frechet distance to what should be shown, in the detector's features", rising=False),
}
"""Metrics by the names that tables give them. "read" and "frechet" are of models that have a network to read with."""

LEVELS = {"mean": "mean", "p05": "5th percentile"}
"""Statistics that a floor may be asked of."""

ONE_SIDED = 1.645
"""Standard errors below which one of twenty means lies [1]."""


@dataclass(frozen=True)
class Statistic:
    """What is kept of a metric over the pictures.

    Parameters
    ----------
    mean : float
        Over the pictures; of "frechet" the one distance of all of them.
    p05 : float
        What 95 of 100 pictures reach; of "frechet" the distance and 1.645 of its standard errors.
    spread : float
        Standard deviation over the pictures; of "frechet" its standard error.
    """

    mean: float
    p05: float
    spread: float

    @classmethod
    def over(cls, values: Sequence[float]) -> Statistic:
        """Of the values of some pictures.

        Examples
        --------
        >>> from megdt_opt.quality.statistic import Statistic
        >>> Statistic.over([30.0, 40.0])
        Statistic(mean=35.0, p05=30.5, spread=5.0)
        """
        found = np.asarray(values, dtype=np.float64)
        return cls(*(float(x) for x in (found.mean(), np.percentile(found, 5), found.std())))

    def error(self, metric: str, count: int) -> float:
        """Standard error of the mean over so many pictures.

        Examples
        --------
        >>> from megdt_opt.quality.statistic import Statistic
        >>> Statistic(mean=35.0, p05=30.5, spread=5.0).error("psnr_db", 25)
        1.0
        """
        return self.spread if metric == "frechet" else self.spread / math.sqrt(count)

    def to_list(self) -> list[float]:
        """Mean, 5th percentile, spread."""
        return [round(x, 5) for x in (self.mean, self.p05, self.spread)]

    @classmethod
    def from_list(cls, name: str, data: Any) -> Statistic:
        """Inverse of `to_list`; raises InvalidInput, which names the metric."""
        metric, numbers = name.rpartition(".")[2], isinstance(data, list) and len(data) == 3
        if not numbers or any(isinstance(x, bool) or not isinstance(x, int | float) for x in data):
            raise InvalidInput(name, data, "three numbers: mean, 5th percentile and spread", "Measure it again.")
        made = cls(*(float(x) for x in data))
        if not all(math.isfinite(x) for x in data) or made.spread < 0:
            raise InvalidInput(name, data, "three finite numbers, the spread at least 0", "Measure it again.")
        if METRICS[metric].unit == "" and metric != "frechet" and not (-1 <= made.mean <= 1 and -1 <= made.p05 <= 1):
            raise InvalidInput(name, data, "shares of at most 1", "Measure it again.")
        return made
