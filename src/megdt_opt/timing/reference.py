"""How fast the machine of a profile was while its samples were taken, by a fixed kernel."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from megdt_opt.timing.cells import MEASURE_AGAIN
from megdt_opt.timing.provenance import refuse
from megdt_opt.values import entries, integer, real

KERNEL = 2
"""Which kernel is run today; times of another say nothing of its own."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Times of the reference kernel, taken between the samples of a calibration.

    Parameters
    ----------
    weight_byte : int
        Working set that the kernel was asked to have [byte].
    samples_s : tuple of float
        Each run of it [s].
    kernel : int
        Which kernel it was; files that do not say so have the first.

    Raises
    ------
    ProfileError
        If a field cannot be used.

    Examples
    --------
    >>> from megdt_opt.timing.reference import Reference
    >>> Reference(weight_byte=6_000_000, samples_s=(0.011, 0.01, 0.012)).median_s
    0.011
    """

    weight_byte: int
    samples_s: tuple[float, ...]
    kernel: int = KERNEL

    def __post_init__(self) -> None:
        size = integer(self.weight_byte)
        if size is None or size < 1:
            refuse("reference.weight_byte", self.weight_byte, "an integer above 0 [byte]", MEASURE_AGAIN)
        kernel = integer(self.kernel)
        if kernel is None or kernel < 1:
            refuse("reference.kernel", self.kernel, "an integer above 0", MEASURE_AGAIN)
        found = [real(value) for value in entries(self.samples_s) or ()]
        samples_s = tuple(value for value in found if value is not None and math.isfinite(value) and value > 0)
        if not samples_s or len(samples_s) != len(found):
            refuse("reference.samples_s", self.samples_s, "finite times above 0 [s]", MEASURE_AGAIN)
        object.__setattr__(self, "weight_byte", size)
        object.__setattr__(self, "samples_s", samples_s)
        object.__setattr__(self, "kernel", kernel)

    @property
    def median_s(self) -> float:
        """Median of the samples [s]."""
        return statistics.median(self.samples_s)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {"weight_byte": self.weight_byte, "kernel": self.kernel, "samples_s": list(self.samples_s)}

    @classmethod
    def from_dict(cls, data: object) -> Reference:
        """Build from plain data; raises ProfileError where it has other fields than these."""
        names = {"weight_byte", "samples_s"}
        if not isinstance(data, Mapping) or set(data) - {"kernel"} != names:
            found = sorted(data) if isinstance(data, Mapping) else type(data).__name__
            refuse("reference", found, f"an object with {sorted(names)}", MEASURE_AGAIN)
        return cls(**{"kernel": 1, **data})
