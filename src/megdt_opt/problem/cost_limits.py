"""Costs of options beside their latency: what is limited in all, and what is weighted into the objective.

A cost c of user k with option o is q_koc, in a unit of its own (joules, bytes, messages). Its total over the users is
at most cost_max_c, and cost_weight_s_c times the total is added to the objective.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem import checks
from megdt_opt.problem.arrays import Array

KEPT = 1e-12
"""Relative: by what a total may exceed its limit and counts as within it, so that sums of decimals fit."""

OBJECTIVES = ("max", "sum", "mixed", "mean_cvar")
"""Objectives that costs go with: times, to which seconds can be added."""


def read_costs(
    shape: tuple[int, int], objective: str, option_cost: Any, cost_max: Any, cost_weight_s: Any
) -> tuple[Array | None, Array | None, Array | None]:
    """Check the three fields; infinite limits stay infinite.

    Raises
    ------
    InvalidInput
        Names field, place, value, unit and remedy.
    """
    if option_cost is None:
        for name, value in (("cost_max", cost_max), ("cost_weight_s", cost_weight_s)):
            if value is not None:
                raise InvalidInput(name, value, "None without option_cost", "Add option_cost, (K, O, C), or remove it.")
        return None, None, None
    if objective not in OBJECTIVES:
        raise InvalidInput(
            "option_cost", "given", f"None with the objective {objective!r}, to which no seconds can be added, and for "
            "which the options of those who are late are not part of what is proven",
            f"Choose one of {OBJECTIVES}, or remove the costs.",
        )  # fmt: skip
    found = checks.plain("option_cost", option_cost, f"numbers, shape {shape} and one axis for the costs")
    if found.ndim != 3 or found.shape[:2] != shape or not found.shape[2]:
        expected = f"shape ({shape[0]}, {shape[1]}, C): a number for each user, option and cost, at least one cost"
        raise InvalidInput("option_cost", found.shape, expected, "Give the array this shape.")
    cost = checks.numbers(
        "option_cost", found, found.shape, "the cost's unit", axes=("user", "option", "cost"), copy=True
    )
    limit, weight = None, None
    if cost_max is not None:
        plain = checks.plain("cost_max", cost_max, f"numbers [the costs' units], shape {found.shape[2:]}")
        free = plain == np.inf
        limit = checks.numbers(
            "cost_max", np.where(free, 0.0, plain), found.shape[2:], "the cost's unit", axes=("cost",), copy=True
        )
        limit = checks.read_only(np.where(free, np.inf, limit))
    if cost_weight_s is not None:
        weight = checks.numbers(
            "cost_weight_s", cost_weight_s, found.shape[2:], "s per unit of the cost", axes=("cost",), copy=True
        )
        weight = checks.read_only(weight)
    return checks.read_only(cost), limit, weight


@dataclass(frozen=True, eq=False)
class CostLimits:
    """Limited costs as loads: parts of what the limit leaves beyond the least that all users cost.

    A total is within its limit exactly where the loads of the chosen options sum to at most 1.

    Parameters
    ----------
    cost : array, (K, O, C)
        Costs, each in its unit.
    cost_max : array, (C,)
        Limits; infinite where there is none.
    open_options : array of bool, (K, O)
        Options of which the least costs are taken.
    """

    cost: Array
    cost_max: Array
    open_options: NDArray[np.bool_]

    @cached_property
    def limited(self) -> NDArray[np.intp]:
        """Numbers of the costs with a limit, (N,)."""
        return np.flatnonzero(np.isfinite(self.cost_max))

    @cached_property
    def least(self) -> Array:
        """Least cost of each user over its open options, (K, N)."""
        table = np.where(self.open_options[:, :, None], self.cost[:, :, self.limited], np.inf).min(axis=1)
        return np.where(np.isfinite(table), table, 0.0)

    @cached_property
    def room_exact(self) -> list[Fraction]:
        """What each limit leaves beyond the least costs of all users; negative where no options keep it."""
        limits = self.cost_max[self.limited] * (1.0 + KEPT)
        return [
            Fraction(float(limit)) - sum(map(Fraction, own.tolist()), Fraction(0))
            for limit, own in zip(limits, self.least.T, strict=True)
        ]

    @cached_property
    def room(self) -> Array:
        """The same in floats, (N,)."""
        return np.array([float(room) for room in self.room_exact])

    @property
    def reachable(self) -> bool:
        """Whether each limit, by itself, can be kept."""
        return bool((self.room >= 0).all())

    @cached_property
    def within(self) -> NDArray[np.bool_]:
        """Open options that keep every limit if all others cost the least, (K, O)."""
        beyond = self.cost[:, :, self.limited] - self.least[:, None]
        slack = 1e-13 * self.cost_max[self.limited]
        result: NDArray[np.bool_] = self.open_options & (beyond <= np.maximum(self.room, 0.0) + slack).all(axis=2)
        return result

    @cached_property
    def loads(self) -> Array:
        """Loads of the options, (K, O, N) [1]; 0 for options that are not `within`."""
        beyond = np.maximum(self.cost[:, :, self.limited] - self.least[:, None], 0.0)
        safe = np.where(self.room > 0, self.room, 1.0)
        return np.where(self.within[:, :, None], beyond / safe, 0.0)

    def load_exact(self, k: int, o: int, n: int) -> Fraction:
        """One load as a rational number."""
        room = self.room_exact[n]
        beyond = Fraction(float(self.cost[k, o, self.limited[n]])) - Fraction(float(self.least[k, n]))
        return max(beyond, Fraction(0)) / room if room > 0 else Fraction(0)

    def kept(self, option: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Whether options (..., K) keep all limits, (...)."""
        total = totals(self.cost, option)[..., self.limited]
        return np.asarray((total <= self.cost_max[self.limited] * (1.0 + KEPT)).all(axis=-1))


def totals(cost: Array, option: NDArray[np.integer]) -> Array:
    """Total costs, (..., C), of options (..., K)."""
    return np.asarray(cost[np.arange(len(cost)), option].sum(axis=-2))
