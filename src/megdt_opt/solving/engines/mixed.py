"""The engine for "mixed" and its like (`problem.tilts`): prices of the budgets, and one multiplier for each user.

The bound of (l, nu) is sum_k min_o c_ko(l; (1 + nu_k) w_k) - sum l, with sum nu <= max_weight (`pricing.priced`). User
k's part depends on l and on nu_k alone, so each gets cutting planes of its own: with one plane for the sum Kelley's
method would crawl in 3 + K dimensions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.check import Valuer
from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.interior import latencies
from megdt_opt.solving.engines.base import Separable
from megdt_opt.solving.engines.by_planes import ByPlanes
from megdt_opt.solving.engines.engine import Choice, Engine, Peak, Priced, Settled, Span

_MOST_CUTS = 60
"""Price vectors whose planes enter a linear program [1]."""

_KNOWN = 24
"""Price vectors from before that a search for better ones begins with [1]."""

_MANY, _MOST = 1, 2000
"""Users from which on and up to which the tree is divided by the largest latency; of more, the time limit would not be
looked at for long while one search for prices goes on [1]."""

_ROOT_PASSES, _CLOSE = 60, 1e-3
"""Price vectors for the whole problem, and how near the best are to come, relatively, where they prove nothing: what
they waver between decides which choices are tried and where the tree divides [1]."""

_ALONE_PASSES, _ALONE_CLOSE = 24, 1e-4
"""Price vectors for the best sum alone, and how near these come to the best, relatively [1]."""

_STEP = 1e-6
"""Step of the multipliers for differences, relatively [1]."""

_ROOM = 1e-14
"""Relative distance of sum nu from max_weight, so that rounding never carries it over."""

_LEAST = 1e-9
"""Multipliers without a base, of which one of 0 would make a latency infinite, over their even part, at least [1]."""


class MixedEngine(Separable):
    """As `Engine` has it; prices are (B + K,), the multipliers last.

    Parameters
    ----------
    problem : AllocationProblem
        With `tilts`.
    resources : Resources
        The problem, scaled.
    make : callable
        The engine that prices options with these prices and multipliers.
    deadline : float
        `time.monotonic()` after which no more is looked for [s].
    """

    def __init__(
        self,
        problem: AllocationProblem,
        resources: Resources,
        make: Callable[[AllocationProblem, Resources], Engine],
        deadline: float = np.inf,
    ) -> None:
        self.problem, self.resources, self.deadline = problem, resources, deadline
        self._inner = make(problem, resources)
        self._leveled: Any = self._inner  # a `LeveledEngine` where `is_leveled`
        self._climb_tilted: Callable[..., Peak] | None = getattr(self._inner, "climb_tilted", None)
        self.head, self.heads = self._inner.head, self._inner.heads
        self.budgets = self._inner.budgets
        amounts = (problem.downlink_bit, problem.uplink_bit, problem.edge_work_s)
        self.used: NDArray[np.bool_] = np.array([bool(np.any(one, where=resources.open)) for one in amounts])
        if problem.cost_limits is not None:
            self.used = np.r_[self.used, problem.cost_limits.loads.any(axis=(0, 1))]
        assert problem.tilts is not None
        self.tilts = problem.tilts
        self.most = self.tilts.total
        self._even = self.most / max(problem.users, 1)
        self._tried: list[Array] = []

    def terms(self, party: int) -> Array:
        """As `Engine` has it."""
        return self._inner.terms(party)

    def summary(self) -> Array:
        """As `Engine` has it."""
        return self._inner.summary()

    def boxes(self, box: float) -> Array:
        """As `ByPlanes` has it."""
        return self._inner.boxes(box) if isinstance(self._inner, ByPlanes) else np.where(self.used, box, 0.0)

    def kept(self, prices: Array) -> Array:
        """Prices and multipliers within their limits."""
        own, tilts = prices[: self.budgets], prices[self.budgets :]
        if not self.tilts.base:
            tilts = np.maximum(tilts, _LEAST * self._even)
        return np.concatenate((np.where(self.used, np.maximum(own, 0.0), 0.0), self.tilts.kept(tilts)))

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        return self._inner.costs(mask, prices, None)

    def latencies(self, mask: Mask, prices: Array) -> Array | None:
        """As `Engine` has it: how fast costs rise with the multipliers."""
        own, tilts = prices[: self.budgets], prices[self.budgets :]
        step = _STEP * ((self.tilts.base or self._even) + tilts)
        here, ahead = (self.costs(mask, np.concatenate((own, tilts + part)), None) for part in (0.0 * step, step))
        return np.where(mask, (np.where(mask, ahead, 0.0) - np.where(mask, here, 0.0)) / step[:, None], 0.0)

    def ruled_out(self, mask: Mask, prices: Array, goal: float) -> Iterator[tuple[Array, Mask]]:
        """As `Engine` has it: choices that are so late that the largest latency alone, whoever else takes what, is too
        much. Their user gets all of the multipliers."""
        if self.most <= 0.0 or self._climb_tilted is None:
            return
        none = np.zeros(len(mask))
        place = self._climb_tilted(mask, np.inf, 4.0 * goal, _ALONE_PASSES, prices, _ALONE_CLOSE, 0.0).prices[:3]
        all_of_it = self.most * (1.0 - _ROOM)
        least = self.costs(mask, np.concatenate((place, none)), None).min(axis=1)
        late = self.costs(mask, np.concatenate((place, none + all_of_it)), None)
        gone = mask & (late - least[:, None] >= goal + float(place.sum()) - float(least.sum()))
        for k in np.flatnonzero(gone.any(axis=1)).tolist():
            tilts, own = none.copy(), np.zeros_like(mask)
            tilts[k], own[k] = all_of_it, gone[k]
            yield np.concatenate((place, tilts)), own

    def shares(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        return self._inner.shares(choice, prices, None)

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """As `Engine` has it."""
        choice, least, x, late = self._parts(mask, prices, extra)
        rows = np.arange(len(choice))
        total = float(least.sum()) + (0.0 if extra is None else float(extra[rows, choice].sum()))
        return Priced(total, np.concatenate((x.sum(axis=1), late)), choice)

    def _parts(self, mask: Mask, prices: Array, extra: Array | None = None) -> tuple[Choice, Array, Array, Array]:
        """Each user's choice, its cost, shares (3, K) and w L there."""
        cost = self._inner.costs(mask, prices, None)
        choice = (cost if extra is None else cost + extra).argmin(axis=1)
        least = cost[np.arange(len(choice)), choice]
        x = self._inner.shares(choice, prices, None)
        return choice, least, x, self._late(choice, least, x, prices)

    def _late(self, choice: Choice, least: Array, x: Array, prices: Array) -> Array:
        """w L of choices at the shares (B, K) that cost least, (K,) [s]; not a number where a choice is closed."""
        more = self.problem.option_cost_s
        rows = np.arange(len(choice))
        with np.errstate(invalid="ignore"):
            if more is None:
                return np.asarray((least - prices[: self.budgets] @ x) / (self.tilts.base + prices[self.budgets :]))
            # beside weighted costs the differences lose their digits
            a, gamma, _, _ = self.resources.pick(choice[None])
            own = self.problem.fixed_s[rows, choice], self.problem.branch_s[rows, choice]
            late = self.problem.weights * latencies(a, gamma, x[None, :3], *own)[0]
            return np.where(np.isfinite(least), late, np.nan)

    def proving(self, mask: Mask, prices: Array, level_s: float | None, goal: float) -> int | None:
        """As `Engine` has it."""
        for n, one in enumerate(prices):
            if self._inner.price(mask, one, None).total - self.charged(one) >= goal:
                return n
        return None

    def climb(self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, start: Array) -> Peak:
        """As `Engine` has it."""
        if self._climb_tilted is not None:
            return self._climb_tilted(mask, goal, box, most, start, 1e-12, rough=_CLOSE)
        cuts = _Cuts(self, mask, box)
        for prices in [self.kept(start), *self._tried[:_KNOWN]]:
            cuts.add(prices)
            if cuts.best >= goal:
                break
        for _ in range(most):
            if cuts.best >= goal or time.monotonic() > self.deadline or not np.isfinite(cuts.best):
                break
            place = cuts.highest()
            if place is None or (np.isfinite(goal) and cuts.ceiling < goal):
                break
            if cuts.ceiling <= cuts.best + 1e-12 * abs(cuts.best):
                break
            place = self.kept(place)
            self._tried.insert(0, place)
            cuts.add(place)
        if cuts.weights is None:
            cuts.highest()
        return cuts.peak()

    def peak(self, mask: Mask, ceiling_s: float, box: float, gap: float, start: Array) -> Peak:
        """As `Engine` has it."""
        # no better than the gap asks for: the planes of each user never end exactly
        return self.climb(mask, None, ceiling_s * (1.0 - 0.01 * gap), box, _ROOT_PASSES, start)

    @property
    def is_leveled(self) -> bool:
        """Whether to search as a `LeveledEngine`, for which an engine has to price options at limits on the latency."""
        fits = _MANY <= self.problem.users <= _MOST
        return fits and self.most > 0.0 and self.tilts.base > 0.0 and hasattr(self._inner, "climb_within")

    def worst_s(self, choice: Choice, x: Array) -> float:
        """As `LeveledEngine` has it."""
        return float(self._leveled.worst_s(choice, x))

    def climb_within(self, *arguments: Any) -> tuple[Peak, list[float]]:
        """As `LeveledEngine` has it."""
        found: tuple[Peak, list[float]] = self._leveled.climb_within(*arguments)
        return found

    def cover(self, *arguments: Any) -> list[Span]:
        """As `LeveledEngine` has it."""
        found: list[Span] = self._leveled.cover(*arguments)
        return found

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it."""
        return next(self.settle_all([choice], ceiling_s, prices))

    def settle_all(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> Iterator[Settled]:
        """As `Engine` has it."""
        for found in self._inner.settle_all(choices, ceiling_s, prices, first):
            yield found._replace(prices=self.kept(found.prices))

    def first_sets(self) -> Choice:
        """As `Engine` has it."""
        return self._inner.first_sets()

    def valuer(self) -> Valuer:
        """As `Engine` has it."""
        return self._inner.valuer()


class _Cuts:
    """Planes of every user, at the prices tried so far."""

    def __init__(self, engine: MixedEngine, mask: Mask, box: float) -> None:
        self.engine, self.mask, self.box = engine, mask, box
        self.best, self.ceiling = -np.inf, np.inf
        self.prices: list[Array] = []
        self.values: list[float] = []
        self.choices: list[Choice] = []
        self.least: list[Array] = []
        self.x: list[Array] = []
        self.late: list[Array] = []
        self.weights: Array | None = None

    def add(self, prices: Array) -> None:
        """Price the mask and lay planes there."""
        choice, least, x, late = self.engine._parts(self.mask, prices)
        value = float(least.sum()) - float(prices[: self.engine.budgets].sum())
        self.best = max(self.best, value)
        for kept, one in zip(
            (self.prices, self.values, self.choices, self.least, self.x, self.late),
            (prices, value, choice, least, x, late), strict=True,
        ):  # fmt: skip
            kept.append(one)  # type: ignore[attr-defined]
        self.weights = None

    def highest(self) -> Array | None:
        """argmax over (l, nu) of sum_k (least of user k's planes) - sum l."""
        from scipy.optimize import linprog
        from scipy.sparse import coo_array

        values = np.array(self.values)
        users = self.mask.shape[0]
        kept = np.argsort(-values)[:_MOST_CUTS]
        kept = kept[np.isfinite(values[kept])]
        if kept.size == 0:
            return None
        least, x, late = (np.array(v)[kept] for v in (self.least, self.x, self.late))
        prices = np.array(self.prices)[kept]
        scale = max(float(np.abs(values[kept]).max()), 1e-30)
        tilts, budgets = self.engine.tilts, self.engine.budgets
        boxes = self.engine.boxes(self.box)
        unit = max(tilts.total, 1e-30)
        count = kept.size
        # variables l / box (B), nu / total (K), user k's part / scale (K); one row for each plane
        row = np.arange(count * users)
        user = np.tile(np.arange(users), count)
        columns = [np.full(row.size, i) for i in range(budgets)] + [budgets + user, budgets + users + user]
        entries = [-x[:, i].ravel() * boxes[i] / scale for i in range(budgets)]
        entries += [-late.ravel() * unit / scale, np.ones(row.size)]
        right = least - (prices[:, :budgets, None] * x).sum(axis=1) - late * prices[:, budgets:]
        rows = np.r_[np.tile(row, budgets + 2), np.full(users, row.size)]
        part = np.broadcast_to(tilts.part, users)
        table = coo_array(
            (
                np.r_[np.concatenate(entries), part],
                (rows, np.r_[np.concatenate(columns), budgets + np.arange(users)]),
            ),
            shape=(row.size + 1, budgets + 2 * users),
        )
        room = 1.0 if tilts.total > 0 else 0.0
        most = np.minimum(np.broadcast_to(tilts.most, users) / unit, room / part)
        found = linprog(
            np.r_[boxes / scale, np.zeros(users), -np.ones(users)],
            A_ub=table.tocsr(),
            b_ub=np.r_[right.ravel() / scale, room],
            bounds=[(0.0, 1.0 if used else 0.0) for used in self.engine.used.tolist()]
            + [(0.0, one) for one in most.tolist()]
            + [(None, None)] * users,
            method="highs",
        )
        if found.status != 0:
            return None
        self.weights = np.zeros((len(values), users))
        self.weights[kept] = np.maximum(-found.ineqlin.marginals[:-1], 0.0).reshape(count, users)
        self.ceiling = float(-found.fun * scale)
        return np.asarray(np.r_[found.x[:budgets] * boxes, found.x[budgets : budgets + users] * unit])

    def peak(self) -> Peak:
        """The best prices, and what the planes' weights waver between."""
        best = int(np.argmax(self.values))
        users = self.mask.shape[0]
        price, value, least = self.prices[best], self.values[best], self.choices[best]
        if self.weights is None:
            return Peak(price, value, len(self.values), np.zeros((0, users), np.int64), np.zeros(0), least)
        total = self.weights.sum(axis=0)
        weights = np.where(total > 0, self.weights / np.where(total > 0, total, 1.0), 0.0)
        weights[best, total <= 0] = 1.0
        kept = np.flatnonzero(weights.any(axis=1))
        return Peak(price, value, len(self.values), np.array(self.choices)[kept], weights[kept], least)
