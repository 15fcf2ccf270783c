"""When riders' costs are worked out in compiled code, and how it is called.

Compiling takes about ten seconds once; the code is then kept on disk and loads in a tenth of one. Problems with few
patterns are solved in NumPy until it is there, as those of the core problem are (`megdt_opt.solving.compiled`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from megdt_opt.pricing import rider_costs
from megdt_opt.pricing.rider_costs import Riders
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.shared_prefix import PrefixCosts
from megdt_opt.solving.compiled.folder import compiled_before, mark_compiled

FEW = 200
"""Patterns up to which NumPy takes no longer than compiling [1]."""

COMPILING_S = 10.0
"""Seconds in NumPy, of all problems of this process, that make compiling worth it [s]."""

_HERE = Path(__file__).parent

_loaded: list[bool] = []
_in_numpy: list[float] = [0.0]


class CompiledRiders:
    """As `megdt_opt.pricing.rider_costs.Ways` has it."""

    def worths(
        self, riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool
    ) -> Array:
        """As `Ways` has it."""
        from megdt_opt.solving.riders.kernels import worths

        found = np.empty(len(part))
        worths(*_arguments(riders, prices, level_s), mu, part, phased, found)
        return found

    def most(
        self, riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool
    ) -> tuple[Array, Array, Array]:
        """As `Ways` has it."""
        from megdt_opt.solving.riders.kernels import maxima

        found, mu, part = np.empty(len(part)), np.array(mu), np.array(part)
        maxima(*_arguments(riders, prices, level_s), mu, part, phased, found)
        return mu, part, found


def _arguments(riders: Riders, prices: Array, level_s: float | None) -> list[Any]:
    names = ("a", "gamma", "hi", "trunk_a", "trunk_gamma", "trunk_lo", "trunk_hi", "weight", "fixed", "rides", "both")
    tables = [np.ascontiguousarray(getattr(riders, name)) for name in names]
    return [*tables, prices, level_s or 0.0, level_s is not None]


def prepare(model: PrefixCosts) -> float:
    """Let a model use compiled code where that pays; the time it took to load or compile [s]."""
    if model.closed:
        return 0.0
    few = len(model.patterns.party) <= FEW and _in_numpy[0] <= COMPILING_S
    if few and not _loaded and not compiled_before(_HERE):
        return 0.0
    begin = time.monotonic()
    model.ways = CompiledRiders()
    if not _loaded:
        part = model.riders.take(slice(0, 1))
        mu, split = np.ones(part.weight.shape), np.full(1, 0.5)
        model.ways.worths(part, np.ones(3), 1.0, mu, split, True)
        model.ways.most(part, np.ones(3), 1.0, mu, split, True)
        _loaded.append(True)
        mark_compiled(_HERE)
    return time.monotonic() - begin


def solved(model: PrefixCosts, seconds: float) -> None:
    """Note how long a problem took in NumPy."""
    if isinstance(model.ways, rider_costs.NumpyRiders):
        _in_numpy[0] += 0.0 if model.closed else seconds
