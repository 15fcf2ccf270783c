"""The engine of problems whose latencies are the m-th smallest of samples: choices are options with a piece of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.samples import FloatLevels
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing import priced as pricing
from megdt_opt.pricing.samples import Sampled
from megdt_opt.pricing.scaled import EDGE, Array, in_units
from megdt_opt.problem.allocation_problem import evaluate_shares
from megdt_opt.shares.goal import Goal
from megdt_opt.shares.interior import Shares, interior
from megdt_opt.solving.engines.arrays import ArraysEngine
from megdt_opt.solving.engines.engine import Choice, Settled

_TRIALS = 12
"""Times that the pieces of given options are moved to where their shares are [1]."""

_GRID = 400
"""Shares at which levels are looked up [1]."""

_KEPT = 5e-10
"""Relative: by what a limit may be exceeded and counts as kept [1]."""


class SampleEngine(ArraysEngine):
    """As `Engine` has it, for "sum" and "max"; no choice dominates another.

    Parameters
    ----------
    sampled : Sampled
    deadline : float
        `time.monotonic()` after which no more prices are looked for [s].
    known : sequence of array of int, (K,)
        Choices that are tried first.
    """

    def __init__(self, sampled: Sampled, deadline: float, known: Sequence[Choice] = ()) -> None:
        self.sampled, self.problem, self.deadline, self.known = sampled, sampled.problem, deadline, known
        self.resources = sampled.flat[1]
        self.leveled = self.problem.objective == "max"
        self.loads: Array = np.zeros((*sampled.open.shape, 0))
        self.budgets = 3
        self.used = np.any(self.resources.a > 0, axis=(1, 2))
        self.heads = sampled.open & self.resources.open.reshape(sampled.open.shape)
        self.head: Choice = np.where(self.heads, np.arange(sampled.width), -1)
        self._known: dict[tuple[bytes, float | None], pricing.Priced] = {}
        self._grids: dict[tuple[int, int], tuple[Array, Array]] = {}

    @property
    def open(self) -> Mask:
        """As `Pricing` has it."""
        return self.heads

    def _table(self, prices: Array, level_s: float | None) -> pricing.Priced:
        key = (prices.tobytes(), level_s)
        if key not in self._known:
            if len(self._known) > 64:
                self._known.clear()
            self._known[key] = self.sampled.priced(prices, level_s)
        return self._known[key]

    @property
    def _tables(self) -> tuple[Array, ...]:
        return (*self.sampled.tables.values(), self.sampled.from_u)

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it."""
        return next(self._settled(np.array([choice], dtype=np.int64)))

    def _settled(self, sets: Choice) -> Iterator[Settled]:
        sets = np.asarray(sets, dtype=np.int64)
        begin, (objective, x, prices) = sets, self._seen(sets)
        kept = sets
        for _ in range(_TRIALS):
            # where a share ends a piece, the one beside it may be better
            moved = self._beside(sets, x)
            if (moved == sets).all():
                break
            sets = moved
            value, shares, own = self._seen(sets)
            better = value < objective
            kept = np.where(better[:, None], sets, kept)
            x = np.where(better[:, None, None], shares, x)
            prices = np.where(better[:, None], own, prices)
            objective = np.minimum(objective, value)
            if not better.any():
                break
        for n in range(len(begin)):
            if self.sampled.joined and np.isfinite(objective[n]) and self.problem.deadline_s is None:
                objective[n], x[n] = self._polished(self.sampled.options_of(kept[n]), x[n], float(objective[n]))
            yield Settled(float(objective[n]), prices[n], x[n], kept[n])

    def _polished(self, option: NDArray[np.int64], x: Array, objective: float) -> tuple[float, Array]:
        """Shares of the edge by the levels themselves, on a grid of shares, where joined pieces say them roughly."""
        p = self.problem
        grids = [self._grid(k, int(option[k])) for k in range(p.users)]
        share, level = (np.array([grid[n] for grid in grids]) for n in (0, 1))  # (K, N)
        late = p.evaluate(self._answer(option, x)).latency_s
        with np.errstate(divide="ignore"):
            per = np.where(x[EDGE] > 0, 1.0 / (x[EDGE] * p.edge_capacity), np.inf)
        band = late - np.array([float(self.sampled.true_level(k, int(option[k]), per[k])) for k in range(p.users)])
        low, high = 0.0, 1.0
        rows = np.arange(p.users)

        def taken(price: float) -> NDArray[np.int64]:
            """Places on the grid: the cheapest at a price, or the least shares that keep a level."""
            if not self.leveled:
                return np.asarray((p.weights[:, None] * level + price * share).argmin(axis=1))
            in_time = p.weights[:, None] * (level + band[:, None]) <= price
            return np.asarray(np.where(in_time.any(axis=1), in_time.argmax(axis=1), share.shape[1] - 1))

        high = 1e6 * objective / p.edge_capacity if not self.leveled else 4.0 * objective
        for _ in range(60):
            middle = 0.5 * (low + high)
            if share[rows, taken(middle)].sum() > p.edge_capacity:
                low = middle
            else:
                high = middle
        mine = share[rows, taken(high)]
        if not 0 < mine.sum() <= p.edge_capacity:
            return objective, x
        moved = x.copy()
        cap = np.minimum(p.share_caps, p.edge_capacity)
        moved[EDGE] = np.minimum(mine * (p.edge_capacity / mine.sum()), cap) / p.edge_capacity
        seen = p.evaluate(self._answer(option, moved))
        if seen.violation <= _KEPT and seen.objective_s < objective:
            return seen.objective_s, moved
        return objective, x

    def _answer(self, option: NDArray[np.int64], x: Array) -> SimpleNamespace:
        down, up, edge = in_units(self.problem, x)[0]
        return SimpleNamespace(option=option, downlink_hz=down, uplink_hz=up, edge_share=edge)

    def _grid(self, k: int, o: int) -> tuple[Array, Array]:
        """Shares of the edge from few to many, and the levels with them, (N,); one without work alone needs none."""
        if (k, o) not in self._grids:
            p = self.problem
            assert p.samples is not None
            cap = float(min(p.share_caps[k], p.edge_capacity))
            share = cap * np.geomspace(1e-4, 1.0, _GRID)
            if not p.samples[1][k, o].any():
                share = np.zeros(_GRID)
            per = 1.0 / np.maximum(share, 1e-12 * cap)
            self._grids[k, o] = share, self.sampled.true_level(k, o, per)
        return self._grids[k, o]

    def _seen(self, sets: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Objectives (S,) by the samples themselves, shares (S, 3, K) and prices (S, 3) of choices."""
        found = self._shares(sets)
        objective = np.full(len(sets), np.inf)
        for n, choice in enumerate(sets):
            if np.isfinite(found.objective[n]):
                option = self.sampled.options_of(choice)
                seen = evaluate_shares(self.problem, option, in_units(self.problem, found.x[n])[0])
                if seen.violation <= _KEPT:
                    objective[n] = seen.objective_s
        return objective, found.x, found.prices

    def _shares(self, sets: NDArray[np.int64]) -> Shares:
        p, s, r = self.problem, self.sampled, self.resources
        rows = np.arange(p.users)
        flat = rows * s.width + sets  # (S, K)
        a, lo = r.a[:, flat, 0].transpose(1, 0, 2), r.lo[:, flat, 0].transpose(1, 0, 2)
        gamma, hi = r.gamma[:, flat].transpose(1, 0, 2), r.hi[:, flat].transpose(1, 0, 2)
        goal = Goal(p.weights, 0.0 if self.leveled else 1.0, 1.0 if self.leveled else 0.0)
        fixed = s.tables["fixed_s"][rows, sets]
        good: NDArray[np.bool_] = np.all(s.open[rows, sets], axis=1)
        none = np.zeros(fixed.shape)
        return interior(goal, a, gamma, lo, hi, fixed, none, p.hard_deadline_s - fixed, good, self.deadline)

    def _beside(self, sets: NDArray[np.int64], x: Array) -> NDArray[np.int64]:
        """Choices with the next piece of the same option, for users whose share ends theirs."""
        s, r = self.sampled, self.resources
        rows = np.arange(self.problem.users)
        flat = rows * s.width + sets
        share = x[:, EDGE]
        step = np.where(share >= r.hi[EDGE, flat] * (1 - 1e-7), -1, 0)
        step = np.where((share <= r.lo[EDGE, flat, 0] * (1 + 1e-7)) & (share > 0), 1, step)
        place = np.clip(sets + step, 0, s.width - 1)
        same = s.open[rows, place] & (s.option[rows, place] == s.option[rows, sets])
        return np.where(same, place, sets)

    def first_sets(self) -> Choice:
        """What is known, least time alone and at an equal split of the budgets, and least demand."""
        s, users = self.sampled, self.problem.users
        shape = s.open.shape
        closed = np.where(self.heads, 0.0, np.inf)
        a = self.resources.a[:, :, 0].reshape(3, *shape)
        hi = self.resources.hi.reshape(3, *shape)
        lo = self.resources.lo[:, :, 0].reshape(3, *shape)
        scores = []
        for part in (1.0, 1.0 / users, 0.5 / users):
            share = np.clip(part, lo, hi)
            with np.errstate(divide="ignore", over="ignore"):
                scores.append(
                    s.tables["fixed_s"] + np.where(a > 0, a / share, 0.0).sum(axis=0) + 1e9 * (lo > part).any(0)
                )
        scores.append(s.tables["fixed_s"] + 1e6 * a.sum(axis=0) + 1e6 * lo[EDGE])
        return np.array([*self.known, *((score + closed).argmin(axis=1) for score in scores)])

    def valuer(self) -> Valuer:
        """As `Engine` has it."""
        return FloatLevels(self.sampled)
