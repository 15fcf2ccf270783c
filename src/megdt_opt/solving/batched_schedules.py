"""Schedules of a batched edge: built from an order and a number of seats, then improved by local searches.

At a level of "max" a user leaves as soon as what is left, on its device and on the band, ends in time. It needs the
fewer steps the earlier it begins, so that the order of the users and when they join decide. For "sum" and "quality" the
numbers of steps are moved as well, with a fine on what breaks the limits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.batched_band import DOWNLOAD, NOTHING, Band
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.batched_schedule import batches_of, ends_s, own_s
from megdt_opt.problem.evaluation import Evaluation
from megdt_opt.program.batches import batch_s
from megdt_opt.shares.batched_band import least_level, needed
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.chains.kernels import begun, best_steps, in_time

Ints = NDArray[np.int64]

_HALVINGS = 14
_SEATS = 12
"""Numbers of seats tried, at most [1]."""

_MOVES, _LEAST_MOVES = 1000, 4000
"""Moves in one search, for each user, and at least [1]."""

_PASSES = 20
"""Passes over all users in which single chains are moved by a step [1]."""

_STEP, _LEAST_STEP, _SLOWER = 0.02, 2e-4, 0.7
"""How far below the best level the next is tried, at first and at last, and what a failure leaves of it [1]."""

_PARTS = (0.0, 0.5, 0.9)
"""Of the best shares so far, in those by which the next schedule is looked for, in turn [1]."""

_FRUITLESS, _SEEDS = 3, 100
"""Descents without success, each with its own seeds, after which a search ends, and how many seeds each has [1]."""

_ROUNDS = 24
"""Searches over numbers of steps, each from the best schedule so far [1]."""


@dataclass(frozen=True)
class Decided:
    """What was decided: steps at the edge (K,), batches, and shares of the band (K,) [Hz]."""

    cut: Ints
    batches: tuple[tuple[int, ...], ...]
    downlink_hz: Array


@dataclass(frozen=True)
class Schedule:
    """Chains without pauses, with the best shares for them.

    Parameters
    ----------
    objective : float
        To be minimised; infinite where limits are broken.
    first, cut : array of int, (K,)
        Batches before the first, and steps.
    x : array, (K,)
        Shares of the band [1].
    """

    objective: float
    first: Ints
    cut: Ints
    x: Array


class Schedules:
    """A problem, read for building schedules.

    Parameters
    ----------
    problem : BatchedEdgeProblem
    band : Band
    """

    def __init__(self, problem: BatchedEdgeProblem, band: Band) -> None:
        self.problem, self.band = problem, band
        self.a, self.gamma = band.resources.a[0, :, DOWNLOAD], band.resources.gamma[0]
        self.n = np.arange(problem.steps + 1)
        self.moves = max(_MOVES * problem.users, _LEAST_MOVES)
        self.open = problem.open_cuts
        self.least = np.where(self.open, self.n, problem.steps).min(axis=1)
        self.most = np.where(self.open, self.n, 0).max(axis=1)
        self.law = np.array([problem.step_slope_s, problem.step_base_s, problem.start_s])
        self.own = np.stack([own_s(problem, np.full(problem.users, n)) for n in self.n], axis=1)

    def decided(self, found: Schedule) -> Decided:
        """Batches, and shares in Hz; together at most the band."""
        p = self.problem
        x = np.where((found.cut > 0) & (self.a > 0), np.fmax(found.x, 0.0), 0.0)
        return Decided(found.cut, batches_of(found.first, found.cut), x / max(float(x.sum()), 1.0) * p.downlink_hz)

    def worth(self, first: Ints, cut: Ints) -> Schedule:
        """Chains with their best shares."""
        p = self.problem
        a = np.where(cut > 0, self.a, 0.0)
        fixed = ends_s(p, first, cut) + own_s(p, cut)
        if p.objective == "max":
            level, x = least_level(a, self.gamma, fixed, p.weights)
            return Schedule(level, first, cut, x)
        if p.objective == "sum":
            shares = best_shares(self.band.core, self.band.resources, np.where(a > 0, DOWNLOAD, NOTHING)[None])
            return Schedule(float(p.weights @ fixed) + float(shares.objective[0]), first, cut, shares.x[0, 0])
        assert p.quality is not None
        room = np.where(cut > 0, p.hard_deadline_s - fixed, np.inf)
        x = needed(a, self.gamma, room)
        # what is left goes to all who get something: a deadline that is none would need no share
        x = np.where(a > 0, x + max(1.0 - float(x.sum()), 0.0) / max(int((a > 0).sum()), 1), 0.0)
        found = Schedule(-float(p.weights @ p.quality[np.arange(p.users), cut]), first, cut, x)
        kept = bool((room >= 0).all()) and float(x.sum()) <= 1.0 + 1e-9
        return found if kept and p.evaluate(self.decided(found)).violation <= 1e-9 else Schedule(np.inf, first, cut, x)

    def simple(self) -> Schedule:
        """The best of serving nobody more than it must be, everybody at once, and one after another."""
        none = np.zeros(self.problem.users, dtype=np.int64)
        tried = [self.worth(none, self.least), self.worth(none, self.most)]
        order = np.argsort(self.problem.hard_deadline_s - self.problem.rest_s, kind="stable")
        turn = none.copy()
        turn[order] = np.r_[0, np.cumsum(self.least[order])[:-1]]
        return min([*tried, self.worth(turn, self.least)], key=lambda one: one.objective)

    # ---- a level of "max"

    def latest_s(self, level_s: float, x: Array) -> Array:
        """By when steps must have ended with parts of the band (K,), (K, N + 1) [s]; minus infinity for closed."""
        p = self.problem
        download = p.download_s(np.where(self.a > 0, np.maximum(x, 1e-6), 0.0) * p.downlink_hz)
        return np.where(self.open, level_s / p.weights[:, None] - self.own - download[:, None], -np.inf)

    def served(self, level_s: float) -> Ints:
        """Users who are late at a level on their devices alone."""
        home = self.open[:, 0] & (level_s / self.problem.weights >= self.own[:, 0])
        return np.asarray(np.flatnonzero(~home))

    def even(self, users: Ints, x: Array | None = None, part: float = 0.5) -> Array:
        """Shares (K,) that grow with the roots of the demands of some users; a part of them as in `x`, where given."""
        root = np.zeros(self.problem.users)
        root[users] = np.sqrt(self.a[users])
        share = root / max(float(root.sum()), 1e-300)
        return share if x is None else (1.0 - part) * share + part * x

    def seated(self, level_s: float, order: Ints, seats: int) -> Schedule | None:
        """Users who take so many seats in an order, each as soon as one is free; None where somebody is late."""
        p = self.problem
        users = self.served(level_s)
        waiting = order[np.isin(order, users)].tolist()
        latest = self.latest_s(level_s, self.even(users))
        first, cut = np.zeros(p.users, dtype=np.int64), np.zeros(p.users, dtype=np.int64)
        active: list[int] = []
        now, batch = p.start_s, 0
        while waiting or active:
            while waiting and len(active) < seats:
                k = waiting.pop(0)
                first[k] = batch
                active.append(k)
            now += batch_s(p.step_slope_s, p.step_base_s, len(active))
            batch += 1
            cut[active] += 1
            staying = [k for k in active if now > latest[k, cut[k]]]
            if any(cut[k] >= self.most[k] for k in staying):
                return None
            active = staying
        return self.worth(first, cut)

    def lowest(self, order: Ints, seats: int, low_s: float, high_s: float) -> Schedule | None:
        """The best schedule of an order and a number of seats, by halving the level; None if none is below `high_s`."""
        best = self.seated(high_s, order, seats)
        turn = 0
        while best is not None and turn < _HALVINGS and high_s - low_s > 1e-3 * high_s:
            turn += 1
            middle = 0.5 * (low_s + high_s)
            found = self.seated(middle, order, seats)
            low_s, high_s = (low_s, middle) if found is not None else (middle, high_s)
            if found is not None and found.objective < best.objective:
                best = found
        return best

    def orders(self, level_s: float) -> Iterator[Ints]:
        """Orders that may do well at a level."""
        p = self.problem
        slack = level_s / p.weights - self.own[:, 0]
        for key in (slack, slack / np.maximum(p.steps_s, 1e-300), p.steps_s, -slack):
            yield np.argsort(key, kind="stable")


def least_max(schedules: Schedules, low_s: float, deadline: float) -> Schedule:
    """A good schedule for "max".

    Parameters
    ----------
    schedules : Schedules
    low_s : float
        No objective is below it [s].
    deadline : float
        `time.monotonic()` at which to stop [s].
    """
    best, users = schedules.simple(), schedules.problem.users
    for seats in sorted({round(users**f) for f in np.linspace(0, 1, _SEATS)}):
        for order in schedules.orders(best.objective):
            if time.monotonic() < deadline:
                found = schedules.lowest(order, seats, low_s, best.objective)
                best = found if found is not None and found.objective < best.objective else best
    seed, fruitless = 0, 0
    while time.monotonic() < deadline and fruitless < _FRUITLESS:
        found = _polished(schedules, _lowered(schedules, best, low_s, deadline, seed), deadline)
        seed += _SEEDS
        fruitless = 0 if found.objective < best.objective * (1.0 - _LEAST_STEP) else fruitless + 1
        best = found if found.objective < best.objective else best
    return best


def _lowered(schedules: Schedules, best: Schedule, low_s: float, deadline: float, seed: int) -> Schedule:
    """A schedule that is as good or better, at levels that are the nearer the more have failed."""
    step = _STEP
    while time.monotonic() < deadline and step > _LEAST_STEP:
        found = _below(schedules, best, max(best.objective * (1.0 - step), low_s), seed)
        seed += 1
        if found is not None and found.objective < best.objective:
            best = found
        else:
            step *= _SLOWER
    return best


def _polished(schedules: Schedules, best: Schedule, deadline: float) -> Schedule:
    """A schedule in which no chain is for the better that begins or ends a batch earlier or later."""
    for _ in range(_PASSES):
        before = best.objective
        for k in np.flatnonzero(best.cut > 0).tolist():
            for begin, steps in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, -1), (-1, 1)):
                first, cut = best.first.copy(), best.cut.copy()
                first[k], cut[k] = max(first[k] + begin, 0), cut[k] + steps
                if 0 <= cut[k] <= schedules.problem.steps and schedules.open[k, cut[k]]:
                    found = schedules.worth(first, cut)
                    best = found if found.objective < best.objective else best
            if time.monotonic() >= deadline:
                return best
        if best.objective >= before * (1.0 - 1e-6):
            break
    return best


def _below(schedules: Schedules, best: Schedule, level_s: float, seed: int) -> Schedule | None:
    """A schedule at a level, looked for from another one."""
    users = schedules.served(level_s)
    latest = schedules.latest_s(level_s, schedules.even(users, best.x, _PARTS[seed % 3]))
    order, delay = _begin(best, users)
    cut, first = np.zeros(len(best.cut), dtype=np.int64), np.zeros(len(best.cut), dtype=np.int64)
    if in_time(order, delay, latest, schedules.most, schedules.law, schedules.moves, seed, cut) > 0:
        return None
    begun(order, delay, cut, first)
    return schedules.worth(first, cut)


def _begin(best: Schedule, users: Ints) -> tuple[Ints, Ints]:
    """Users in the order in which they begin, those without steps last, and batches after the one before."""
    rank = np.where(best.cut > 0, best.first, int(best.first.max()) + 1)[users]
    order = users[np.argsort(rank, kind="stable")]
    return order, np.diff(np.sort(rank), prepend=0)


def least_total(schedules: Schedules, price: float, deadline: float) -> Schedule:
    """A good schedule for "sum" or "quality".

    Parameters
    ----------
    schedules : Schedules
    price : float
        Of the band, for "sum" [s].
    deadline : float
        `time.monotonic()` at which to stop [s].
    """
    p = schedules.problem
    summed = p.objective == "sum"
    if summed:
        phi, _ = schedules.band.at(price)
        value = p.weights[:, None] * schedules.own + np.where(schedules.n > 0, phi[:, None], 0.0)
    else:
        assert p.quality is not None
        value = -p.weights[:, None] * p.quality
    spread = float((value.max(axis=1) - value.min(axis=1)).max()) or 1.0
    tables = (
        np.where(schedules.open, value, np.inf), p.weights * summed, p.hard_deadline_s - p.rest_s,
        np.ascontiguousarray(schedules.a), np.ascontiguousarray(schedules.gamma), schedules.law,
    )  # fmt: skip
    best = schedules.simple()
    users = np.arange(p.users)
    for seed in range(_ROUNDS):
        if time.monotonic() >= deadline:
            break
        order, delay = _begin(best, users)
        cut, first = best.cut.copy(), np.zeros(p.users, dtype=np.int64)
        fine = spread * (0.5, 2.0, 8.0)[seed % 3]
        best_steps(order, delay, cut, tables, fine, spread * (0.3, 0.1, 0.03)[seed // 3 % 3], schedules.moves, seed)
        begun(order, delay, cut, first)
        found = schedules.worth(first, cut)
        best = found if found.objective < best.objective else best
    return best


def evaluated(problem: BatchedEdgeProblem, decided: Decided) -> float:
    """The objective of what was decided, to be minimised."""
    found = problem.evaluate(decided)
    return found.objective_s if isinstance(found, Evaluation) else -found.objective
