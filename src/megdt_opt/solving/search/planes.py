"""Cutting planes: prices whose value reaches a goal, in any number of dimensions (Kelley 1960).

The value of prices is concave; at each prices tried, its slope gives a plane above it. The highest point of the least
plane says where to look next, halfway from the best prices so far. With limits on counts, their multipliers are further
dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Array
from megdt_opt.solving.engines.engine import NO_CHOICE, Choice, Peak

MOST = 96
"""Planes of one search [1]."""

_TURNS = 400
_ZERO = 1e-13


@dataclass(frozen=True)
class Room:
    """Where prices may be: between 0 and `box` (M,); the first `shared` of them, if any, sum to at most 1 instead."""

    box: Array
    shared: int


@dataclass(frozen=True)
class Highest:
    """Highest point of the least of some planes: its height, the place (M,), the planes' weights, and the basis."""

    height: float
    place: Array
    weights: Array
    basis: list[int]


def highest(slopes: Array, offsets: Array, room: Room, basis: list[int] | None) -> Highest | None:
    """max t with t <= offset_j + slope_j . l within the room, by the simplex method on the dual.

    A basis column is a plane (its number), a lower bound (-1 - i), an upper bound (-1 - M - i) or the sum (-1 - 2 M).
    A basis that was left by fewer planes is a start.
    """
    count, m = slopes.shape
    if basis is None:
        last = slopes[-1]
        basis = [count - 1, *(-1 - i if last[i] < 0.0 else -1 - m - i for i in range(m))]
        if room.shared:
            most = int(last[: room.shared].argmax())
            basis[1 : 1 + room.shared] = [-1 - 2 * m if i == most else -1 - i for i in range(room.shared)]
    columns = np.zeros((m + 1, count + 2 * m + 1))
    columns[0, :count] = 1.0
    columns[1:, :count] = -slopes.T
    costs = np.zeros(count + 2 * m + 1)
    costs[:count] = offsets
    place = np.arange(m)
    columns[1 + place, count + place] = -1.0
    columns[1 + place, count + m + place] = 1.0
    costs[count + m : count + 2 * m] = np.where(place < room.shared, np.inf, room.box)
    columns[1 : 1 + room.shared, -1] = 1.0
    costs[-1] = 1.0 if room.shared else np.inf
    active = np.array([j if j >= 0 else count - 1 - j for j in basis])
    size = 1.0 if room.shared else max(float(np.abs(offsets).max()), 1e-300)
    magnitudes = np.abs(columns)
    for _ in range(_TURNS):
        try:
            inverse = np.linalg.inv(columns[:, active])
        except np.linalg.LinAlgError:
            return None
        y, share = costs[active] @ inverse, inverse[:, 0]
        # multipliers of many users' counts make products far larger than the heights: rounding grows with them
        reduced = costs - y @ columns + _ZERO * (size + np.abs(y) @ magnitudes)
        enter = int(reduced.argmin())
        if not reduced[enter] < 0.0:
            weights = np.zeros(count)
            for j, part in zip(active.tolist(), share.tolist(), strict=True):
                if j < count:
                    weights[j] = max(part, 0.0)
            return Highest(float(y[0]), y[1:], weights, [j if j < count else count - 1 - j for j in active.tolist()])
        right = inverse @ columns[:, enter]
        ratio = np.where(right > 1e-12, np.maximum(share, 0.0) / np.where(right > 1e-12, right, 1.0), np.inf)
        leave = int(ratio.argmin())
        if not np.isfinite(ratio[leave]):
            return None
        active[leave] = enter
    return None


def climb(
    value_at: Callable[[Array], tuple[float, Array, Choice]],
    start: Array,
    goal: float,
    room: Room,
    most: int,
    precision: float = 1e-13,
    in_time: Callable[[], bool] = lambda: True,
    rough: float = np.inf,
) -> Peak:
    """Look for prices whose value reaches the goal.

    Parameters
    ----------
    value_at : callable
        Value at prices (M,), its slope (M,), and the choices (K,); an infinite value proves anything.
    start : array, (M,)
    goal : float
    room : Room
    most : int
        Price vectors tried at most.
    precision : float
        How near the best value is to come to the highest point of the planes, relatively [1].
    in_time : callable
        Whether to go on.
    rough : float
        The same where no prices reach the goal [1].
    """
    tries = min(most, MOST)
    slopes, offsets = np.empty((tries, len(start))), np.empty(tries)
    chosen: list[Choice] = []
    price, best, best_price, least = start.copy(), -np.inf, start, NO_CHOICE
    basis: list[int] | None = None
    top: Highest | None = None
    pull = 0.5
    for count in range(tries):
        value, slope, choice = value_at(price)
        if value > best:
            best, best_price, least = value, price, choice
        else:
            pull = 1.0 - pull if pull != 1.0 else 0.5
        if best >= goal or not in_time():
            break
        slopes[count] = slope
        slopes[count, : room.shared] += 1.0  # of the costs, before the budgets are taken off
        # the value of "max" scales with the prices
        offsets[count] = 0.0 if room.shared else value - float(slope @ price)
        chosen.append(choice)
        table, heights = slopes[: count + 1], offsets[: count + 1]
        top = highest(table, heights, room, basis) or highest(table, heights, room, None)
        basis = None if top is None else top.basis
        if top is None:
            break
        height = top.height - 1.0 if room.shared else top.height
        near = rough if np.isfinite(goal) and height < goal else precision
        if height - best <= near * max(abs(top.height), abs(best + bool(room.shared))):
            break
        price = np.maximum(pull * np.maximum(top.place, 0.0) + (1.0 - pull) * best_price, 0.0)
    weights = np.zeros(len(chosen)) if top is None else np.r_[top.weights, np.zeros(len(chosen) - len(top.weights))]
    kept: NDArray[np.intp] = np.flatnonzero(weights > 0)
    none = np.zeros((0, len(chosen[0]) if chosen else 0), np.int64)
    return Peak(
        best_price, float(best), len(chosen) + 1, np.array([chosen[j] for j in kept]) if kept.size else none,
        weights[kept], least,
    )  # fmt: skip
