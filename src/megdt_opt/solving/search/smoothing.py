"""Best prices of very many parties by Newton's method on a smoothed value.

The value of prices is a sum of least costs, and so has kinks where a party changes its mind. In place of each least
cost stands -t log sum exp(-c / t), which is at most t log(choices) below it and has a second derivative: with p the
weights of the choices and x what each asks of the budgets, the slope is sum p x, and the curvature of the least cost is
that of the costs less the covariance of x over t. A cost is concave in the prices; with y x the shares of one choice,

    d2c = -diag(x / (2 l))                 for "sum", where it is a sum of roots of the prices,
    d2c = -diag(x / (2 l)) + x x' / (2 c)  for "max", where it is the square of such a sum:

exact for linear rates without caps, and near enough elsewhere, for the step is checked. t falls until it is too small
to matter. The weights of the last point are the convexified optimum: all but a few parties have one choice in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Array

_FALL = 0.2
"""What the temperature falls by at a time [1]."""

_STEPS = 12
_NEAR = 0.05
"""Newton steps that gain less than this many temperatures are the last at one [1]."""

_INEXACT = 50.0
"""What is left to gain, in gains of a step, where the curvature is not that of the costs, at most [1]."""

_NOTHING = 1e-15
"""Weights below it do not count [1]."""

_HALVINGS = 12
_COLDEST = 1e-3
"""Temperatures below this part of the precision make nothing more precise [1]."""

_BARRIER = 0.1
"""Weight of the logarithms that keep prices above 0, in temperatures [1]."""


@dataclass(frozen=True)
class Smoothed:
    """Prices, and the weights of the parties' choices there.

    Parameters
    ----------
    prices : array, (B,)
    value : float
        Least costs less the prices, without smoothing; for "max" the prices sum to 1.
    ceiling : float
        No prices are worth more, up to the precision of Newton's method.
    weight : array, (K, O)
    passes : int
        Price vectors tried [1].
    """

    prices: Array
    value: float
    ceiling: float
    weight: Array
    passes: int


@dataclass(frozen=True)
class Parties:
    """Parties that meet in the budgets alone.

    Parameters
    ----------
    table_at : callable
        Costs at prices (B,), (K, O), infinite where closed; and shares, (3, K, O).
    budget : array of int, (3, K, O)
        Budget of each share.
    used : array of bool, (B,)
        Budgets that matter; the prices of the others are 0.
    leveled : bool
        Whether prices sum to 1.
    exact : bool
        Whether the curvature is that of the costs.
    """

    table_at: Callable[[Array], tuple[Array, Array]]
    budget: NDArray[np.int64]
    used: NDArray[np.bool_]
    leveled: bool
    exact: bool


@dataclass
class _Point:
    prices: Array
    value: float  # without smoothing
    height: float  # with smoothing and barrier
    ceiling: float  # of all values, if the slope is 0 here
    cost: Array
    x: Array
    weight: Array


def smoothed(
    parties: Parties,
    start: Array,
    temperature: float,
    precision: float,
    goal: float = np.inf,
    in_time: Callable[[], bool] = lambda: True,
) -> Smoothed:
    """The best prices of parties, or prices that are worth a goal.

    Parameters
    ----------
    parties : Parties
    start : array, (B,)
        Above 0 where used.
    temperature : float
        To begin with.
    precision : float
        How near the best value is to come to the ceiling.
    goal : float
        A value that is enough; the search ends too where it is out of reach.
    in_time : callable
        Whether to go on.
    """
    free = np.flatnonzero(parties.used)
    point = _at(parties, start, temperature)
    best, passes, ceiling = point, 1, np.inf
    while np.isfinite(point.height) and free.size and best.value < goal:
        gain = 0.0
        for _ in range(_STEPS):
            step, gain = _newton(point, temperature, parties, free)
            if gain < _NEAR * temperature or not in_time():
                break
            moved, tried = _moved(parties, point, step, gain, temperature, free)
            passes += tried
            if moved is None:
                break
            point = moved
            best = point if point.value > best.value else best
            if best.value >= goal:
                break
        ceiling = min(ceiling, point.ceiling + (2.0 if parties.exact else _INEXACT) * max(gain, 0.0))
        done = ceiling - best.value <= precision or (np.isfinite(goal) and ceiling < goal)
        if done or temperature < _COLDEST * precision or not in_time():
            break
        temperature *= _FALL
        point = _at(parties, point.prices, temperature)
        passes += 1
        best = point if point.value > best.value else best
    return Smoothed(best.prices, best.value, ceiling, point.weight, passes)


def _at(parties: Parties, prices: Array, t: float) -> _Point:
    cost, x = parties.table_at(prices)
    least = cost.min(axis=1)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        weight = np.exp((least[:, None] - cost) / t)
        total = weight.sum(axis=1)
        weight /= total[:, None]
        value = float(least.sum()) - float(prices.sum())
        barrier = _BARRIER * t * float(np.log(prices[parties.used]).sum())
        # sum p c, of which no prices make more where its slope is 0
        ceiling = value + float(np.where(weight > 0, weight * (cost - least[:, None]), 0.0).sum())
        height = value - t * float(np.log(total).sum()) + barrier
    return _Point(prices, value, height, ceiling + _BARRIER * t * int(parties.used.sum()), cost, x, weight)


def _moved(
    parties: Parties, point: _Point, step: Array, gain: float, t: float, free: NDArray[np.intp]
) -> tuple[_Point | None, int]:
    """The point after as much of a step as raises the height, within the prices above 0; None where nothing does."""
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.where(step[free] < 0, -point.prices[free] / step[free], np.inf).min(initial=np.inf)
    length = min(1.0, 0.9 * float(least))
    for tried in range(1, _HALVINGS + 1):
        prices = point.prices + length * step
        if parties.leveled:
            prices = prices / prices.sum()
        ahead = _at(parties, prices, t)
        if ahead.height >= point.height + 0.1 * length * gain:
            return ahead, tried
        length *= 0.4
    return None, _HALVINGS


def _newton(point: _Point, t: float, parties: Parties, free: NDArray[np.intp]) -> tuple[Array, float]:
    """A step of the prices, and twice what it would gain if the height were a parabola."""
    budget, leveled = parties.budget, parties.leveled
    size, prices = len(point.prices), point.prices
    user, option = np.nonzero(point.weight > _NOTHING)  # few more than parties where it is cold
    weight, cost = point.weight[user, option], point.cost[user, option]
    at, x = budget[:, user, option], point.x[:, user, option]
    mean, second = np.zeros(len(point.cost) * size), np.zeros((size, size))
    bend = np.full(len(user), -1.0 / t)
    if leveled:
        bend += np.divide(0.5, cost, out=np.zeros(len(user)), where=cost > 0)
    for i in range(3):
        wx = weight * x[i]
        mean += np.bincount(user * size + at[i], weights=wx, minlength=len(mean))
        for j in range(i, 3):
            part = np.bincount(at[i] * size + at[j], weights=bend * wx * x[j], minlength=size * size)
            part = part.reshape(size, size)
            second += part if i == j else part + part.T
    each = mean.reshape(-1, size)
    slope = each.sum(axis=0)
    hessian = second + (each.T @ each) / t
    p = prices[free]
    gradient = slope[free] - (0.0 if leveled else 1.0) + _BARRIER * t / p
    inner = hessian[np.ix_(free, free)] - np.diag(slope[free] / (2.0 * p) + _BARRIER * t / p**2)
    # in the scale of the prices, and pushed to be negative where rounding made it otherwise
    scaled = inner * p[:, None] * p
    scaled -= np.diag(np.full(len(p), 1e-14 * max(float(np.abs(np.diag(scaled)).max()), 1e-300)))
    right = -gradient * p
    if leveled:
        border = np.zeros((len(p) + 1, len(p) + 1))
        border[:-1, :-1], border[:-1, -1], border[-1, :-1] = scaled, p, p
        unit = float(np.abs(np.diag(scaled)).max())
        border[:-1, -1] *= unit
        border[-1, :-1] *= unit
        moved = np.linalg.lstsq(border, np.r_[right, 0.0], rcond=None)[0][:-1]
    else:
        moved = np.linalg.solve(scaled, right)
    step = np.zeros(size)
    step[free] = moved * p
    return step, float(gradient @ step[free])
