"""The compiled kernels of the worst case, where they apply: linear links, no branches, limits or deadlines."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.check import MARGIN
from megdt_opt.certificate.tree import WHOLE, Mask, Node, parts
from megdt_opt.pricing.deviations import Deviating
from megdt_opt.pricing.scaled import EDGE, Array
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving import compiled
from megdt_opt.solving.compiled.folder import compiled_before, mark_compiled

_HERE = Path(__file__).parent

_EVEN = 0.25


class Settled(NamedTuple):
    """What given options are worth.

    Parameters
    ----------
    x : array, (3, K)
        Scaled shares [1].
    prices : array, (3,)
        Up to a factor for "max".
    apart : float
        How far they are from what proves them, relatively.
    """

    x: Array
    prices: Array
    apart: float


class Kernels:
    """The kernels for one problem.

    Parameters
    ----------
    deviating : Deviating
    """

    def __init__(self, deviating: Deviating) -> None:
        p = deviating.nominal
        self.deviating = deviating
        self.per, self.hi = np.zeros((3, p.users)), np.ones((3, p.users))
        with np.errstate(divide="ignore"):
            for i, side in enumerate(("downlink", "uplink")):
                efficiency = getattr(p, f"{side}_efficiency")
                if efficiency is not None:
                    self.per[i] = 1.0 / (efficiency * getattr(p, f"{side}_hz"))
            self.per[EDGE] = 1.0 / p.edge_capacity
        self.hi[EDGE] = np.minimum(p.share_caps / p.edge_capacity, 1.0)
        self._xi = np.empty((p.users, p.options, 4))

    @classmethod
    def of(cls, deviating: Deviating) -> Kernels | None:
        """None where they do not apply, or loading them is not worth it."""
        p = deviating.nominal
        apply = p.linear and p.device_branch_s is None and p.uplink_airtime_max_s is None and p.deadline_s is None
        large = p.users * p.options > compiled.WAITS or compiled_before(_HERE)
        if not (apply and large and compiled.at_hand()) or min(p.downlink_hz, p.uplink_hz, p.edge_capacity) <= 0:
            return None
        found = cls(deviating)
        return found if np.isfinite(found.per).all() else None

    def core_at(self, prices: Array | None, level_s: float | None) -> AllocationProblem:
        """The core problem at the worst deviations at prices, for "max" at a level [s]; good ones, not the best to the
        last digit. Without prices at such that are shared evenly."""
        from megdt_opt.solving.worst.kernels import core_at

        p = self.deviating.nominal
        core = np.empty((4, p.users, p.options))
        core_at(
            p.fixed_s, p.downlink_bit, p.uplink_bit, p.edge_work_s, self.deviating.own_s, self.deviating.amounts,
            self.per, self.hi, p.weights, np.zeros(3) if prices is None else prices, self.deviating.budget,
            0.0 if level_s is None else level_s, prices is None, self._xi, core,
        )  # fmt: skip
        if prices is None and not compiled_before(_HERE):
            self._value(np.ones(3), 0.0, p.open_options, None)  # so that all kernels are there
        return self.deviating.core_of(core)

    def proven_s(self, tree: Node, target_s: float) -> float:
        """What a tree proves of the worst case at the prices of its leaves, where it was grown for the last core; for
        "max" the target or nothing [s]."""
        p = self.deviating.nominal
        leveled, least = p.objective == "max", np.inf
        for part in parts(tree, p.open_options):
            if part.rows or part.span != WHOLE:
                return 0.0
            prices = np.array(part.leaf.prices)
            value = self._value(prices, target_s if leveled else 0.0, part.mask, part.removed)
            if not np.isfinite(value):
                return 0.0  # a part without any allocation is left to the search
            charged = float(prices.sum())
            least = min(least, value - charged - MARGIN * (abs(value) + charged))
        if leveled:
            return target_s if least > 0 else 0.0
        return max(least, 0.0)

    def _value(self, prices: Array, level_s: float, mask: Mask, removed: Mask | None) -> float:
        from megdt_opt.solving.worst.kernels import part_value

        p = self.deviating.nominal
        return float(part_value(
            p.fixed_s, p.downlink_bit, p.uplink_bit, p.edge_work_s, self.deviating.own_s, self.deviating.amounts,
            self.per, self.hi, p.weights, prices, self.deviating.budget, level_s, mask,
            np.zeros((0, 0), dtype=np.bool_) if removed is None else removed, self._xi,
        ))  # fmt: skip

    def settle(self, option: NDArray[np.int64], close: float) -> Settled:
        """Best shares of options (K,)."""
        from megdt_opt.solving.worst.kernels import settle_max, settle_sum

        p, rows = self.deviating.nominal, np.arange(self.deviating.nominal.users)
        a = np.stack([table[rows, option] for table in (p.downlink_bit, p.uplink_bit, p.edge_work_s)]) * self.per
        extra = self.deviating.amounts[:, rows, option] * self.per
        own = self.deviating.own_s[rows, option]
        xi = np.full((4, p.users), min(1.0, _EVEN * self.deviating.budget))
        x, prices = np.zeros((3, p.users)), np.zeros(3)
        settle = settle_max if p.objective == "max" else settle_sum
        apart = settle(
            p.fixed_s[rows, option], a, extra, own, self.hi, p.weights, self.deviating.budget, close, xi, x, prices
        )
        mark_compiled(_HERE)
        return Settled(x, prices, float(apart))
