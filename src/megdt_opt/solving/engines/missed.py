"""The engine for "missed": being late is one choice more for each user, the last, and costs the user's weight.

The other choices cost what being on time takes at the prices, as another engine has it for "max" at no level. Where
choices cannot be kept together, users are made late until the others can be on time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from megdt_opt.certificate.allocation import FloatValuer
from megdt_opt.certificate.check import Valuer, total_of
from megdt_opt.certificate.tree import Mask, Part
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.engines.base import Separable
from megdt_opt.solving.engines.by_planes import ByPlanes
from megdt_opt.solving.engines.engine import Choice, Engine, Peak, Priced, Settled
from megdt_opt.solving.search import planes
from megdt_opt.solving.search.on_time import OnTime
from megdt_opt.solving.search.wavering import mixed, nearer, undecided

_DROPS = 8
"""Rounds of making users late until the others are on time [1]."""

_PRICES = 40
"""Price vectors that say what cannot be kept together [1]."""

_TURNS, _ROUNDINGS = 4, 6
"""Times that users are exchanged by better prices, and choices of users that are tried in turn [1]."""

_AT_ONCE = 4_000_000
"""Numbers in a table [1]."""

_PASSES = 60
_ROUGH = 1e-4
"""How near the best value comes to the highest point of the planes where no prices reach the goal: what they waver
between decides where the tree divides [1]."""

_KEPT = 1e-9
_NO_LEVEL = 1e250
"""A level that no latency comes near to [s]."""


class MissedEngine(Separable):
    """As `Engine` has it.

    Parameters
    ----------
    problem : AllocationProblem
        With objective "missed".
    resources : Resources
        The problem, scaled.
    make : callable
        The engine of a problem with objective "max".
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
        self.on_time = OnTime(problem, resources)
        self._inner = make(replace(problem, objective="max", deadline_s=problem.on_time_s), resources)
        late = problem.options
        nothing = np.zeros(3)
        able = self._inner.heads & np.isfinite(self._inner.costs(self._inner.heads, nothing, _NO_LEVEL))
        head = self._inner.head
        # options that are never on time go with being late, unless one that is takes nothing
        known = np.take_along_axis(able, np.maximum(head, 0), axis=1) & (head >= 0)
        follows = np.where(known, head, np.where(head >= 0, late, -1))
        self.head: Choice = np.column_stack([follows, np.full(problem.users, late)])
        free = able & np.logical_not((resources.a > 0).any(axis=0))
        for k in np.flatnonzero(free.any(axis=1)):
            self.head[k, self.head[k] >= 0] = int(free[k].argmax())
        self.heads: Mask = self.head == np.arange(late + 1)
        self._tried: list[Array] = []
        self._best: Array = nothing
        self._known: dict[bytes, Array] = {}

    def terms(self, party: int) -> Array:
        """As `Engine` has it; being late differs from all else."""
        inner = self._inner.terms(party)
        return np.vstack([np.column_stack([inner, np.zeros(len(inner))]), np.r_[np.zeros(inner.shape[1]), 1.0]])

    def summary(self) -> Array:
        """As `Engine` has it."""
        return np.column_stack([self._inner.summary(), self.problem.on_time_s])

    def _remember(self, prices: Array) -> None:
        self._tried = [prices, *self._tried[: _PRICES - 1]]

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        late = self.problem.weights + prices[UPLINK] * self.on_time.least
        inner = self._inner.costs(np.ascontiguousarray(mask[:, :-1]), prices, _NO_LEVEL)
        return np.column_stack([inner, np.where(mask[:, -1], late, np.inf)])

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """As `Engine` has it."""
        cost = self.costs(mask, prices, level_s)
        cost = cost if extra is None else cost + extra
        choice = cost.argmin(axis=1)
        total = float(cost[np.arange(len(choice)), choice].sum())
        late = choice == self.on_time.late
        slope = self._inner.shares(np.where(late, -1, choice), prices, _NO_LEVEL).sum(axis=1)
        slope[UPLINK] += float(self.on_time.least[late].sum())
        return Priced(total, slope, choice)

    def shares(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        return self._inner.shares(choice, prices, _NO_LEVEL)

    def proving(self, mask: Mask, prices: Array, level_s: float | None, goal: float) -> int | None:
        """As `Engine` has it."""
        for n, one in enumerate(prices):
            if float(self.costs(mask, one, None).min(axis=1).sum()) - float(one.sum()) >= goal:
                return n
        return None

    def climb(self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, start: Array) -> Peak:
        """As `Engine` has it."""
        return self._climb(mask, goal, box, most, start, 1e-13, _ROUGH)

    def _climb(
        self, mask: Mask, goal: float, box: float, most: int, start: Array, precision: float, rough: float = np.inf
    ) -> Peak:
        def value_at(prices: Array) -> tuple[float, Array, Choice]:
            self._remember(prices)
            found = self.price(mask, prices, None)
            return found.total - float(prices.sum()), found.slope - 1.0, found.choice

        used = (self.resources.a > 0).any(axis=(1, 2))
        room = planes.Room(np.where(used, box, 0.0), 0)
        return planes.climb(value_at, start, goal, room, most, precision, self._in_time, rough)

    def peak(self, mask: Mask, ceiling_s: float, box: float, gap: float, start: Array) -> Peak:
        """As `Engine` has it."""
        busy = (self.resources.a > 0).any(axis=(1, 2)).astype(float)
        start = start if start.any() else busy * float(self.problem.weights.sum()) / 3
        found = self._climb(mask, np.inf, box, _PASSES, start, min(max(0.01 * gap, 1e-12), 1e-7))
        self._best = found.prices
        return found

    def split(self, mask: Mask, peak: Peak) -> tuple[int, Mask]:
        """As `Engine` has it: late or not, where that is the question."""
        party, first, second = undecided(peak, mask, None)
        if self.on_time.late in (first, second):
            return party, np.arange(mask.shape[1]) == self.on_time.late
        return party, nearer(self.terms(party), first, second, mask[party])

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Engine` has it: a late user is put back on time, and somebody else late for it, whatever options they
        take, where that is possible."""
        on = np.asarray(choice != self.on_time.late)
        for _ in range(_TURNS):
            for trial in self._exchanged(on)[:most]:
                served = self._served(trial)
                if served is not None:
                    return [served]
                if not self._in_time():
                    return []
        return []

    def _exchanged(self, on: Mask) -> list[Mask]:
        """Users on time (K,), with one more of them and at most one less, who together weigh more, unless known prices
        prove that to be too much; those that weigh most first."""
        weights = self.problem.weights
        least, aside, charged = self._least_known()
        back, out = np.flatnonzero(~on & self.heads[:, :-1].any(axis=1)), np.flatnonzero(on)
        most = max(_AT_ONCE // (len(charged) * (len(out) + 1)), 1)
        back = back[np.argsort(-weights[back], kind="stable")[:most]]
        rise = least - aside
        load = aside.sum(axis=1) + rise[:, on].sum(axis=1)
        less = np.column_stack([rise[:, out], np.zeros(len(load))])
        loads = load[:, None, None] + rise[:, back, None] - less[:, None, :]
        gain = weights[back][:, None] - np.r_[weights[out], 0.0]
        fits = (loads <= (charged * (1.0 + _KEPT))[:, None, None]).all(axis=0) & (gain > 0.0)
        who, whom = np.nonzero(fits)
        trials = []
        for n in np.argsort(-gain[who, whom], kind="stable").tolist():
            trial = on.copy()
            trial[back[who[n]]] = True
            if whom[n] < len(out):
                trial[out[whom[n]]] = False
            trials.append(trial)
        return trials

    def _least_known(self) -> tuple[Array, Array, Array]:
        """What being on time and being late take at the least at known prices, (N, K), and the prices' sums (N,)."""
        prices = np.array([self._best, *self._tried][: max(_AT_ONCE // self.heads.size, 1)])
        keys = [one.tobytes() for one in prices]
        known = {key: self._known[key] for key in keys if key in self._known}
        for key, one in zip(keys, prices, strict=True):
            if key not in known:
                known[key] = self.costs(self.heads, one, None)[:, :-1].min(axis=1)
        self._known = known
        return np.array([known[key] for key in keys]), prices[:, [UPLINK]] * self.on_time.least, prices.sum(axis=1)

    def _served(self, on: Mask) -> Choice | None:
        """Choices with which users are on time together; None where none are found."""
        mask = self.heads.copy()
        mask[on, -1], mask[~on, :-1] = False, False

        def least(prices: Array) -> Choice:
            cost = self.costs(mask, prices, None)
            return np.where(on, cost.argmin(axis=1), self.on_time.late)

        peak, _ = self._balanced(least)
        if peak.value >= _KEPT:
            self._remember(peak.prices)
            return None
        seen: set[bytes] = set()
        trials = [mixed(peak)] if len(peak.weights) else []
        while trials and len(seen) < _ROUNDINGS:
            choice = trials.pop()
            if choice.tobytes() in seen:
                continue
            seen.add(choice.tobytes())
            x, against = self._together(choice)
            if x is not None:
                return choice
            if against is not None:
                trials.append(least(against))
        return None

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it; users are made late, those first that cost most for their weight, until the others can
        be on time."""
        on_time, weights = self.on_time, self.problem.weights
        asked = np.array(choice, dtype=np.int64)
        choice = asked.copy()
        found_prices = prices
        for turn in range(_DROPS):
            why = self._drop(choice)
            if turn == 0 and why is not None:
                found_prices = self._steep(asked, why, float(weights.sum()))
            weight = float(on_time.weight(choice[None])[0])
            if weight >= ceiling_s:
                break
            x, against = self._together(choice)
            if x is not None:
                return Settled(weight, np.zeros(3), x, choice)
            if against is None or time.monotonic() > self.deadline:
                break
            steep = self._steep(choice, against, float(weights.sum()))
            if (choice == asked).all():
                found_prices = steep
            if not steep.any():
                break
            self._remember(steep)
        return Settled(np.inf, found_prices, np.zeros((3, len(choice))), choice)

    def _together(self, choice: Choice) -> tuple[Array | None, Array | None]:
        """Shares (3, K) with which choices are on time, or prices (3,) that prove that none are, as far as is known.

        At prices that sum to 1, being on time costs more than 1 only where it is out of reach. Times are convex in the
        shares, so the average of the highest planes' shares is on time too, and takes what the planes say.
        """
        peak, shares = self._balanced(lambda _: choice)
        if peak.value >= _KEPT:
            return None, peak.prices
        if len(peak.weights):
            fitted = self.on_time.filled(choice, np.tensordot(peak.weights, shares, 1))
            if fitted is not None:
                return fitted, None
        found = self.on_time.fit(choice[None], self.deadline)
        if self.on_time.together(found.objective)[0]:
            return found.x[0], None
        return None, found.prices[0] if np.isfinite(found.objective[0]) else None

    def _balanced(self, chosen: Callable[[Array], Choice]) -> tuple[Peak, Array]:
        """Prices that sum to 1 at which the cheapest choices of users on time cost most, as far as it matters whether
        that is more than 1; and the shares at each of the highest planes, (W, 3, K)."""
        shares: list[Array] = []
        choices: list[Choice] = []

        def value_at(prices: Array) -> tuple[float, Array, Choice]:
            choice = chosen(prices)
            x = self._needed(choice, prices)
            shares.append(x)
            choices.append(choice)
            used = x.sum(axis=1)
            return float(prices @ used - prices.sum()), used - 1.0, np.array([len(shares) - 1])

        used = (self.resources.a > 0).any(axis=(1, 2))
        start = np.where(used, 1.0, 0.0) / max(int(used.sum()), 1)
        peak = planes.climb(value_at, start, _KEPT, planes.Room(np.ones(3), 3), _PASSES, in_time=self._in_time)
        at = peak.choices[:, 0] if len(peak.choices) else np.zeros(0, np.int64)
        return peak._replace(choices=np.array(choices)[at]), np.array(shares)[at]

    def _in_time(self) -> bool:
        return time.monotonic() <= self.deadline

    def _needed(self, choice: Choice, prices: Array) -> Array:
        """Shares (3, K) at which choices cost least."""
        late = choice == self.on_time.late
        x = self._inner.shares(np.where(late, -1, choice), prices, _NO_LEVEL)
        x[UPLINK] = np.where(late, self.on_time.least, x[UPLINK])
        return x

    def _drop(self, choice: Choice) -> Array | None:
        """Make users late until no known prices prove that the others cannot be on time; the first that did."""
        why: Array | None = None
        late = self.on_time.late
        for prices in self._tried:
            charged = float(prices.sum())
            if charged <= 0:
                continue
            each = prices @ self._needed(choice, prices)
            while each.sum() > charged * (1.0 + _KEPT):
                ready = np.where(choice != late, each / self.problem.weights, -1.0)
                k = int(ready.argmax())
                if ready[k] <= 0:
                    break
                choice[k] = late
                each[k] = prices[UPLINK] * self.on_time.least[k]
                why = prices if why is None else why
        return why

    def _steep(self, choice: Choice, prices: Array, all_late: float) -> Array:
        """Prices scaled so far up that choices, which they prove to be out of reach, cost more than all weights."""
        total = prices.sum()
        if total <= 0:
            return np.zeros(3)
        prices = prices / total
        need = float((prices @ self._needed(choice, prices)).sum()) - 1.0
        return np.asarray(prices * all_late * (min(2.0 / need, 1e9) if need > 0 else 1.0))

    def settle_all(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> Iterator[Settled]:
        """As `Engine` has it."""
        return (self.settle(choice, ceiling_s, prices) for choice in choices)

    def first_sets(self) -> Choice:
        """As `Engine` has it: everybody late, and what the inner engine has."""
        late = np.where(self.heads[:, -1], self.on_time.late, self.head[:, -1])
        rows = np.arange(len(late))
        sets = [self.head[rows, one] for one in self._inner.first_sets()]
        return np.array([late, *sets])

    def valuer(self) -> Valuer:
        """As `Engine` has it."""
        return FloatValuer(self.problem, self.resources) if isinstance(self._inner, ByPlanes) else _ByCosts(self)


@dataclass
class _ByCosts:
    """By the costs of a compiled engine, which take a hundredth of the time."""

    engine: MissedEngine

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        mask = part.mask & self.engine.heads  # what is dominated costs no less
        return total_of(part._replace(mask=mask), self.engine.costs(mask, np.array(part.leaf.prices), None))
