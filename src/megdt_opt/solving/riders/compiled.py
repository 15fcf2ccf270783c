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
from megdt_opt.pricing.rider_costs import Cheapest, Mask, Riders
from megdt_opt.pricing.scaled import Array
from megdt_opt.pricing.shared_prefix import PrefixCosts
from megdt_opt.solving.compiled.folder import compiled_before, mark_compiled

FEW = 200
"""Patterns up to which NumPy takes no longer than compiling [1]."""

COMPILING_S = 10.0
"""Seconds in NumPy, of all problems of this process, that make compiling worth it [s]."""

LOADING_S = 1.0
"""Seconds in NumPy that make loading worth it where sums are closed, which NumPy is quick at [s]."""

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
        worths(*[*_arguments(riders, prices, level_s), mu, part, phased, found])
        return found

    def most(
        self, riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool
    ) -> tuple[Array, Array, Array]:
        """As `Ways` has it."""
        from megdt_opt.solving.riders.kernels import maxima

        found, mu, part = np.empty(len(part)), np.array(mu), np.array(part)
        maxima(*[*_arguments(riders, prices, level_s), mu, part, phased, found])
        return mu, part, found

    def cheapest(self, model: PrefixCosts, prices: Array, mask: Mask) -> Cheapest | None:
        """As `Ways` has it."""
        from megdt_opt.solving.riders.kernels import cheapest

        n, (constant, roots), (alone, alone_roots) = model.patterns, model.roots, model.alone_roots
        found = Cheapest(
            np.empty(len(n.starts)), np.empty(len(n.starts), np.int64), np.empty(3),
            np.zeros(model.problem.users + model.groups, np.int64),
        )  # fmt: skip
        cheapest(
            constant, roots, prices, n.columns, model.allowed(mask), n.starts, n.counts, n.member, n.option, n.turn,
            n.pool_user, model.pools(mask), alone, alone_roots, found.least, found.best, found.slope, found.choice,
        )  # fmt: skip
        return found


def _arguments(riders: Riders, prices: Array, level_s: float | None) -> list[Any]:
    names = ("a", "gamma", "hi", "trunk_a", "trunk_gamma", "trunk_lo", "trunk_hi", "weight", "fixed", "rides", "both")
    tables = [np.ascontiguousarray(getattr(riders, name)) for name in names]
    return [*tables, prices, level_s or 0.0, level_s is not None]


def prepare(model: PrefixCosts) -> float:
    """Let a model use compiled code where that pays; the time it took to load or compile [s]."""
    few = (model.closed or len(model.patterns.party) <= FEW) and _in_numpy[0] <= COMPILING_S
    kept = compiled_before(_HERE) and not (model.closed and _in_numpy[0] <= LOADING_S)
    if few and not _loaded and not kept:
        return 0.0
    begin = time.monotonic()
    model.ways = CompiledRiders()
    if not _loaded:
        part = model.riders.take(slice(0, 1))
        mu, split = np.ones(part.weight.shape), np.full(1, 0.5)
        model.ways.worths(part, np.ones(3), 1.0, mu, split, True)
        model.ways.most(part, np.ones(3), 1.0, mu, split, True)
        _warm()
        _loaded.append(True)
        mark_compiled(_HERE)
    return time.monotonic() - begin


def _warm() -> None:
    """Compile what sums are worked out by."""
    from megdt_opt.solving.riders.kernels import cheapest

    one, none, table = np.ones(1), np.zeros(1, np.int64), np.zeros((1, 1), np.int64)
    cheapest(
        one, np.ones((3, 1)), np.ones(3), table, one > 0, none, none + 1, table, table, none, none, table == 0,
        np.ones((1, 1)), np.ones((3, 1, 1)), np.ones(1), none.copy(), np.ones(3), np.zeros(1, np.int64),
    )  # fmt: skip


def solved(model: PrefixCosts, seconds: float) -> None:
    """Note how long a problem took in NumPy."""
    if isinstance(model.ways, rider_costs.NumpyRiders):
        _in_numpy[0] += seconds
