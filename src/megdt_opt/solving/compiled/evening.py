"""The best prices of the few options that passes have kept, and the best shares of a good set at them.

Many users make the used budgets nearly smooth in the prices, so that Broyden's method evens them out in a few passes.
What is left uneven hardly matters: at prices of value 1 (or, for "sum", at any) the bound and the best objective of the
set that is cheapest there are off by about the square of it. The set's own prices follow by Newton's method.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.kernels import F, I, Terms
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.scanning import set_of, value_of

Option = NDArray[np.int32]
T = TypeVar("T")

_STEPS, _IDLE = 16, 4
_DIFFERENCE = 0.01
_LEVELS, _ROUGHLY, _LEAST = 80, 0.01, 1e-6
_NEWTON, _HALVINGS, _SETTLED = 30, 12, 1e-13
_DAMPING, _CLOSE = 1e-9, 1e-8
_NOTHING, _LITTLE = 1e-7, 1e-5
"""Parts of the largest price below which one counts as none, or as little [1]."""

_IDLE_COUNTS = 1e3
"""What is left over of a budget counts this many times what it is worth, and no more than what is used too much [1]."""


class Threads:
    """The users in as many parts as there are threads for them."""

    def __init__(self, users: int, threads: int) -> None:
        threads = max(1, min(threads, users // 1024))
        self.parts = list(pairwise(np.linspace(0, users, threads + 1).astype(int).tolist()))
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def each(self, job: Callable[[int, int], T]) -> list[T]:
        """What a job returns for each part, all parts at once."""
        if self._pool is None:
            return [job(*part) for part in self.parts]
        return list(self._pool.map(job, *zip(*self.parts, strict=True)))

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


@dataclass(frozen=True)
class At:
    """Where prices and a level are: the value, minus its slope in the level, used budgets (3,) and options (K,)."""

    value: float
    slope: float
    usage: F
    option: Option


class Kept:
    """Passes over the options that have been kept, as `terms` and how many each user has, `count` (K,)."""

    def __init__(self, kind: int, terms: Terms, count: I, threads: Threads) -> None:
        self.kind, self.terms, self.count, self.threads = kind, terms, count, threads
        # views, so that what is kept later is seen
        self._parts = {(first, last): Terms._make(_rows(terms, first, last)) for first, last in threads.parts}

    def at(self, level: float, price: F) -> At:
        """The least costs at these prices."""
        option = np.zeros(self.count.size, np.int32)

        def job(first: int, last: int) -> tuple[float, float, F]:
            usage, begin = np.zeros(3), np.zeros(last - first, np.int64)
            value, slope = value_of(
                self.kind, self._parts[first, last], begin, self.count[first:last], level, price, usage,
                option[first:last],
            )  # fmt: skip
            return value, slope, usage

        found = self.threads.each(job)
        if any(value >= HUGE for value, _, _ in found):
            return At(HUGE, 0.0, np.zeros(3), option)
        value = sum(value for value, _, _ in found)
        if self.kind == SUM:
            value += (len(found) - 1) * float(price.sum())  # each part has taken them off
        return At(value, sum(slope for _, slope, _ in found), sum_of(usage for _, _, usage in found), option)

    def given(self, option: Option, level: float, price: F, guess: F) -> tuple[float, F, F, F, F]:
        """Costs of given options at these prices: their sum, used budgets and their slopes, and the shares (3, K)."""

        def job(first: int, last: int) -> tuple[float, F, F, F, F]:
            usage, slopes, drift, shares = np.zeros(3), np.zeros((3, 3)), np.zeros(3), np.zeros((3, last - first))
            value = set_of(
                self.kind, self._parts[first, last], option[first:last], level, price, guess[first:last], usage,
                slopes, drift, shares,
            )  # fmt: skip
            return value, usage, slopes, drift, shares

        value, usage, slopes, drift, shares = zip(*self.threads.each(job), strict=True)
        total = HUGE if max(value) >= HUGE else sum(value)
        return total, sum_of(usage), sum_of(slopes), sum_of(drift), np.concatenate(shares, axis=1)


def _rows(terms: Terms, first: int, last: int) -> list[Any]:
    """Terms of the users first to last - 1; tables of one row stand for none."""
    users = len(terms.weight)
    return [v[first:last] if isinstance(v, np.ndarray) and len(v) == users else v for v in terms]


def sum_of(arrays: Iterable[F]) -> F:
    """Sum of arrays of one shape."""
    return np.sum(list(arrays), axis=0)


@dataclass
class Place:
    """Prices (3,) and, for "max", a level above `floor`, from where steps are counted.

    Prices scale freely for "max", so that the first that is `active` stands for the level's distance from the floor;
    where the level is the floor itself, what is left of the budgets is to be the same of each.
    """

    kind: int
    floor: float
    level: float
    price: F
    active: NDArray[np.intp]

    @property
    def pinned(self) -> bool:
        """Whether the level is the floor."""
        return self.kind == MAX and self.level <= self.floor

    def off(self, usage: F) -> tuple[F, float]:
        """Logarithms of the used active budgets, and how much they matter at most.

        What is left over of a budget matters as far as it has a price. Where the level is fixed the budgets are to be
        used as much as the first, until all suffice.
        """
        used, part = usage[self.active], self.price[self.active] / self.price.sum()
        off: F = np.log(np.maximum(used, 1e-300))
        if self.pinned and off.size:
            return off - off[0], max(float(off.max()), 0.0)
        idle = _IDLE_COUNTS * part * (1.0 - used)
        return off, float(np.where(used < 1.0, np.minimum(-off, idle), off).max(initial=0.0))

    def moved(self, step: F) -> Place:
        """The place a step away, in the logarithms of prices and distance."""
        level, price, step = self.level, self.price.copy(), step.copy()
        if self.kind == MAX and step.size:
            level = self.floor + (level - self.floor) * float(np.exp(step[0]))
            step[0] = 0.0
        price[self.active] *= np.exp(step)
        return Place(self.kind, self.floor, level, price, self.active)

    def scaled(self) -> Place:
        """The same with prices that sum to 1, for "max"."""
        price = self.price / self.price.sum() if self.kind == MAX else self.price
        return Place(self.kind, self.floor, self.level, price, self.active)


def best_place(kept: Kept, place: Place, even: float, near: float) -> tuple[Place, At]:
    """Prices, and the level for "max", at which every budget is used up to a part `even`, as far as steps lead there.

    `near` is the precision of the level.
    """
    if place.kind == SUM:
        return even_out(kept, place, kept.at(place.level, place.price), even)
    place, at = to_level(kept, place, None)
    for _ in range(2):
        place, at = even_out(kept, place, at, even)
        if at.value >= HUGE or (place.pinned and at.usage.max() <= 1.0):
            return place, at
        pinned = place.pinned
        place, at = to_level(kept, place, near)
        if not pinned:
            break
    return place, at


def even_out(kept: Kept, place: Place, at: At, even: float) -> tuple[Place, At]:
    """Prices and level at which every budget is used up, by Broyden's method."""
    if at.value >= HUGE:
        return place, at
    place, at = priced_up(kept, place, at)
    part = place.price / place.price.sum()
    matters = (at.usage >= 1.0) | (part > _LITTLE) | (part * (1.0 - at.usage) > even / _IDLE_COUNTS)
    active = np.flatnonzero(matters & (at.usage > 0.0))
    place = Place(place.kind, place.floor, place.level, place.price, active)
    off, far = place.off(at.usage)
    slopes = np.eye(active.size)
    for c in range(place.pinned, active.size):
        step = np.zeros(active.size)
        step[c] = _DIFFERENCE
        there = place.moved(step)
        other = kept.at(there.level, there.price)
        slopes[:, c] = (place.off(other.usage)[0] - off) / _DIFFERENCE
    best, best_at, best_off, length, idle = place, at, off, 1.0, 0
    for _ in range(_STEPS):
        if far <= even or idle >= _IDLE:
            break
        step = length * stepped(slopes, best_off, 0.5)
        there = best.moved(step)
        at = kept.at(there.level, there.price)
        if at.value >= HUGE or (at.usage[active] <= 0.0).any():
            length, idle = 0.5 * length, idle + 1
            continue
        off, after = there.off(at.usage)
        slopes += np.outer(off - best_off - slopes @ step, step) / (step @ step)
        if after < far:
            best, best_at, best_off, far, length, idle = there, at, off, after, 1.0, 0
        else:
            length, idle = 0.5 * length, idle + 1
    return best.scaled(), best_at


def priced_up(kept: Kept, place: Place, at: At) -> tuple[Place, At]:
    """With higher prices of budgets that are used too much and have next to none: shares at their caps do not move."""
    price = place.price.copy()
    for i in range(3):
        while at.usage[i] > 1.0 and price[i] < _NOTHING**0.5 * price.max() and at.value < HUGE:
            price[i] = max(8.0 * price[i], _NOTHING * price.max())
            at = kept.at(place.level, price)
    return Place(place.kind, place.floor, place.level, price, place.active), at


def to_level(kept: Kept, place: Place, near: float | None) -> tuple[Place, At]:
    """The level of "max" at which these prices cost what the budgets do: Newton's method in a bracket.

    Where costs jump there, as a user's option without demands is in time from some level on, it is the level from which
    on they are less; `near` is the precision of the level, if it matters. The floor, where they are less there already.
    """
    worth = float(place.price.sum())

    def at_distance(distance: float) -> tuple[Place, At]:
        there = Place(place.kind, place.floor, place.floor + distance, place.price, place.active)
        return there, kept.at(there.level, there.price)

    low, high, distance = 0.0, np.inf, max(place.level - place.floor, _LEAST * place.floor)
    found = at_distance(distance)
    for _ in range(_LEVELS):
        there, at = found
        off = np.log(at.value / worth) if 0.0 < at.value < HUGE else np.inf * np.sign(at.value - worth)
        low, high = (distance, high) if off > 0.0 else (low, distance)
        step = 1.0 if off > 0.0 else -1.0
        if np.isfinite(off) and at.slope > 0.0:
            step = float(np.clip(off * at.value / (at.slope * distance), -2.0, 2.0))
            if abs(off) <= _ROUGHLY and (near is None or abs(step) * distance <= near * there.level):
                return found
        if high - low <= (near or _LEAST) * there.level:
            break
        distance *= float(np.exp(step))
        if not low < distance < high:
            distance = 0.5 * (low + high) if high < np.inf else 2.0 * low
        found = at_distance(distance)
    return at_distance(0.0 if low == 0.0 else high)


def settle(kept: Kept, option: Option, place: Place) -> F | None:
    """Shares (3, K) with which given options use up every budget, by Newton's method in prices and level.

    None where it does not settle, unless they keep within the budgets.
    """
    guess = np.ones(option.size)
    value, usage, slopes, drift, shares = kept.given(option, place.level, place.price, guess)
    if value >= HUGE:
        return None
    off, far = place.off(usage)
    for _ in range(_NEWTON):
        if far <= _SETTLED:
            break
        rows = place.active
        matrix = slopes[np.ix_(rows, rows)]
        if place.kind == MAX:
            matrix[:, 0] = drift[rows] * (place.level - place.floor)
        step = stepped(matrix / usage[rows, None], off, 2.0)
        for _turn in range(_HALVINGS):
            there = place.moved(step)
            new = kept.given(option, there.level, there.price, guess)
            after_off, after = there.off(new[1])
            if new[0] < HUGE and after < far:
                break
            step = 0.5 * step
        else:
            break
        place, off, far, (value, usage, slopes, drift, shares) = there, after_off, after, new
    return shares if usage.max() <= 1.0 + _CLOSE else None


def stepped(slopes: F, off: F, most: float) -> F:
    """The step that should even out what is off, each part of it `most` at most."""
    step: F = np.zeros(off.size)
    with contextlib.suppress(np.linalg.LinAlgError):
        step = np.asarray(np.linalg.solve(slopes - _DAMPING * np.eye(off.size), -off), dtype=np.float64)
    return np.maximum(np.minimum(step, most), -most)
