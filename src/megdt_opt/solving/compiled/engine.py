"""The compiled engine: "sum" and "max"; it prices options and settles them for "mixed" too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.check import MARGIN, Valuer, total_of
from megdt_opt.certificate.tree import WHOLE, Leaf, Mask, Part
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.best import best_shares
from megdt_opt.solving.compiled import capped, covering, passes, tilted
from megdt_opt.solving.compiled.bounding import CLOSED, Cuts, new_cuts
from megdt_opt.solving.compiled.driver import terms_of
from megdt_opt.solving.compiled.laws import HUGE, MAX, SUM
from megdt_opt.solving.compiled.passes import Here, Out, new_sets
from megdt_opt.solving.compiled.tilting import Tilted
from megdt_opt.solving.compiled.tilting import room as room_of
from megdt_opt.solving.engines.base import Separable
from megdt_opt.solving.engines.engine import NO_CHOICE, NO_WEIGHTS, Choice, Narrowed, Peak, Priced, Settled, Span
from megdt_opt.solving.search.wavering import MIDDLE

_NO_TILTS = np.zeros(0)
_NO_OPTION = np.zeros(0, np.int32)
_BOXES, _PASSES = 8, 80


class CompiledEngine(Separable):
    """As `Engine` has it.

    Parameters
    ----------
    problem : AllocationProblem
        With objective "sum", "max" or "mixed".
    resources : Resources
        The problem, scaled.
    deadline : float
        `time.monotonic()` at which interior points end [s].
    """

    def __init__(self, problem: AllocationProblem, resources: Resources, deadline: float = np.inf) -> None:
        self.problem, self.resources, self.deadline = problem, resources, deadline
        self.kind = MAX if problem.objective == "max" else SUM
        users = problem.users
        self._terms, head, left = terms_of(problem, resources)
        self.head: Choice = head
        self.heads: Mask = head == np.arange(problem.options, dtype=head.dtype)
        self._here = Here(np.zeros(users, np.int64), left.copy(), left)
        self._cuts = new_cuts(users)
        self._out = Out(
            np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(users, np.int32), np.zeros((4, users), np.int32),
            np.zeros(4), np.zeros((3, users)),
        )  # fmt: skip
        self._costs, self._gone = np.empty(self.heads.shape), np.empty(self.heads.shape, np.bool_)
        self._entered: Mask | None = self.heads
        self._known, self._span_s = 0, WHOLE
        self._mixed = problem.objective == "mixed"
        self._most = float(problem.max_weight or 0.0)

    @cached_property
    def _planes(self) -> Cuts:
        return new_cuts(self.problem.users)

    @cached_property
    def _active(self) -> NDArray[np.int64]:
        return np.zeros(self.problem.users, np.int64)

    @cached_property
    def _room(self) -> Tilted:
        return room_of(self.problem.users)

    def _enter(self, mask: Mask) -> None:
        if mask is not self._entered:
            passes.enter(self._terms, mask, self._here)
            self._entered, self._known = mask, 0

    def price(self, mask: Mask, prices: Array, level_s: float | None, extra: Array | None = None) -> Priced:
        """As `Engine` has it."""
        if extra is None:
            total = self.total(mask, None, prices, level_s)
            if total == np.inf:
                return Priced(np.inf, self._out.usage, NO_CHOICE)
            return Priced(total, self._out.usage.copy(), self._out.picked.copy())
        costs = self.costs(mask, prices, level_s) + extra
        choice = costs.argmin(axis=1)
        total = float(costs[np.arange(len(choice)), choice].sum())
        if not np.isfinite(total):
            return Priced(np.inf, self._out.usage, choice)
        return Priced(total, self.shares(choice, prices, level_s).sum(axis=1), choice)

    def total(self, mask: Mask, gone: Mask | None, prices: Array, level_s: float | None) -> float:
        """Sum of the least costs within a mask (K, O), where it is given with one at least that is `gone` (K, O)."""
        if gone is None:
            # exact where a link's share is the whole band too, as the search has it
            self._enter(mask)
            prices = self._tilted(prices)
            value, _ = passes.value(self.kind, self._terms, self._here, level_s or 0.0, HUGE, prices[None], self._out)
            return np.inf if value >= HUGE else value + (float(prices.sum()) if self.kind == SUM else 0.0)
        self._entered = None
        total = passes.removed(self.kind, self._terms, self._here, mask, gone, level_s or 0.0, prices)
        return total if total < HUGE else np.inf

    def switches(
        self, choice: Choice, prices: Array, own_level_s: float | None, goal: tuple[float | None, float], most: int
    ) -> list[Choice]:
        """As `Engine` has it."""
        self._enter(self.heads)
        level = goal[0] or 0.0
        user, other, rise = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most)
        count = passes.switches(
            self.kind, self._terms, self._here, choice, own_level_s or level, level, goal[1], prices, user, other, rise
        )
        trials = np.repeat(choice[None], count, axis=0)
        trials[np.arange(count), user[:count]] = other[:count]
        return list(trials)

    def _tilted(self, prices: Array) -> Array:
        """The prices of the budgets; multipliers behind them change the weights."""
        if len(prices) > 3:
            np.multiply(self.problem.weights, 1.0 + prices[3:], out=self._terms.weight)
        return prices[:3]

    def shares(self, choice: Choice, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        prices = self._tilted(prices)
        level, picked = level_s or 0.0, np.asarray(choice, dtype=np.int32)
        passes.given(self.kind, self._terms, self._here, picked, level, prices, self._out)
        return self._out.shares.copy()

    def costs(self, mask: Mask, prices: Array, level_s: float | None) -> Array:
        """As `Engine` has it."""
        self._enter(mask)
        prices = self._tilted(prices)
        costs = np.empty(mask.shape)
        passes.table(self.kind, self._terms, self._here, level_s or 0.0, prices, costs)
        return costs

    def proving(self, mask: Mask, prices: Array, level_s: float | None, goal: float) -> int | None:
        """As `Engine` has it."""
        self._enter(mask)
        goal += self.kind == MAX
        value, at = passes.value(self.kind, self._terms, self._here, level_s or 0.0, goal, prices, self._out)
        return at if value >= goal else None

    def climb(self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, start: Array) -> Peak:
        """As `Engine` has it."""
        return self._narrow(mask, level_s, goal, box, most, start[None], False).peak

    def narrow(self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, tried: Array) -> Narrowed:
        """As `Engine` has it."""
        return self._narrow(mask, level_s, goal, box, most, tried, True)

    def _narrow(
        self, mask: Mask, level_s: float | None, goal: float, box: float, most: int, tried: Array, ruling: bool
    ) -> Narrowed:
        one = float(self.kind == MAX)
        value, count, any_out, proven = passes.narrow(
            self.kind, self._terms, mask, self._here, level_s or 0.0, goal + one, box, float(most), tried, ruling,
            self._cuts, self.head, self._costs, self._gone, self._out,
        )  # fmt: skip
        # options of the mask that are ruled out are no longer among those at the front
        self._entered = None if any_out else mask
        self._known = 0
        out = self._out
        ruled_out = [(out.ruling.copy(), self._gone.copy())] if any_out else []
        if proven:
            return Narrowed(Peak(out.price.copy(), value - one, count, NO_CHOICE, NO_WEIGHTS), ruled_out)
        return Narrowed(self._peak(value - one, count, out.picked.copy()), ruled_out)

    def split(self, mask: Mask, peak: Peak) -> tuple[int, Mask]:
        """As `Engine` has it."""
        self._entered, near = None, np.empty(mask.shape[1], np.bool_)
        choices = np.asarray(peak.choices, dtype=np.int32)  # with limits on counts they are the search's own
        return passes.split(self._terms, mask, self._here, peak.weights, choices, MIDDLE, near), near

    def peak(self, mask: Mask, ceiling_s: float, box: float, gap: float, start: Array) -> Peak:
        """As `Engine` has it."""
        self._enter(mask)
        count = passes.peak(
            self.kind, self._terms, self._here, ceiling_s, box, gap, start.copy(), self._cuts, self._out
        )
        return self._peak(np.nan, count, NO_CHOICE)

    def _peak(self, value: float, count: int, least: Choice) -> Peak:
        out = self._out
        kept = np.count_nonzero(out.weight)
        return Peak(out.price.copy(), value, count, out.chosen[:kept].copy(), out.weight[:kept].copy(), least)

    def climb_tilted(
        self, mask: Mask, goal: float, box: float, most: int, start: Array, precision: float,
        max_weight: float | None = None, rough: float = np.inf,
    ) -> Peak:  # fmt: skip
        """For "mixed": `climb` to a precision, or a rough one where the goal is out of reach, with the best multipliers
        at all prices tried, whose sum is at most the problem's `max_weight` or another."""
        self._enter(mask)
        np.copyto(self._terms.weight, self.problem.weights)
        out, cuts, room = self._out, self._cuts, self._room
        out.price[:] = start[:3]
        value, count = tilted.search_tilted(
            self._terms, self._here, _NO_OPTION, self._most if max_weight is None else max_weight, min(goal, HUGE),
            box, most, precision, rough, cuts, room, out,
        )  # fmt: skip
        prices = np.concatenate((out.price, room.tilts))
        if value >= goal:
            return Peak(prices, value, count, NO_CHOICE, np.zeros(0))
        planes = [j for j, share in zip(cuts.basis.tolist(), cuts.share.tolist(), strict=True) if j >= 0 and share > 0]
        best = int(np.flatnonzero((cuts.prices[:count] == out.price).all(axis=1))[0])
        sides = np.empty((len(planes) + 1, 2, len(self.heads)), np.int32)
        for one, plane in zip(sides, [*planes, best], strict=True):
            tilted.tell_tilted(self._terms, plane, room, one)
        share = cuts.share[[cuts.basis.tolist().index(j) for j in planes]]
        weights = share[:, None, None] * np.stack([room.part[planes], 1.0 - room.part[planes]], axis=1)
        users = len(self.heads)
        return Peak(
            prices,
            value,
            count,
            sides[:-1].reshape(-1, users),
            weights.reshape(-1, users),
            sides[-1, 0].astype(np.int64),
        )

    def worst_s(self, choice: Choice, x: Array) -> float:
        """For "mixed", as `LeveledEngine` has it."""
        np.copyto(self._terms.weight, self.problem.weights)
        self._out.shares[:] = x
        return float(passes.objective(MAX, self._terms, self._here, np.asarray(choice, np.int32), self._out))

    def climb_within(
        self, mask: Mask, span_s: tuple[float, float], goal: float, box: float, start: Array, precision: float,
        levels_s: list[float],
    ) -> tuple[Peak, list[float]]:  # fmt: skip
        """For "mixed", as `LeveledEngine` has it."""
        self._enter(mask)
        np.copyto(self._terms.weight, self.problem.weights)
        out, levels = self._out, np.array([*levels_s[:1] * 4, *levels_s[1:]])
        out.price[:] = start[:3]
        known = self._known_within(span_s)
        value, count, self._known = capped.climb_capped(
            self._terms, self._here, self._most, *span_s, min(goal, HUGE), box, precision, levels, self._active, known,
            self._planes, out,
        )  # fmt: skip
        self._span_s, planes = span_s, self._planes
        kept = np.count_nonzero(out.weight) if value < HUGE else 0
        picked = out.picked.astype(np.int64) if value < HUGE else NO_CHOICE
        peak = Peak(out.price.copy(), value, count, out.chosen[:kept].copy(), out.weight[:kept].copy(), picked)
        wavering = planes.basis[(planes.basis >= 0) & (planes.share > 0.0)][:kept]
        return peak, [float(levels[0]), *planes.levels[wavering].tolist()]

    def _known_within(self, span_s: tuple[float, float]) -> int:
        """How many planes of the climb before hold in a range of the largest latency, which come to the front."""
        if span_s == self._span_s or not self._known:
            return self._known
        planes = self._planes
        levels = planes.levels[: self._known]
        (here,) = ((levels >= span_s[0]) & (levels <= span_s[1])).nonzero()
        for rows in (planes.prices, planes.levels, planes.chosen, planes.offsets, planes.slopes):
            rows[: len(here)] = rows[here]
        planes.basis[:] = -99
        return len(here)

    def cover(
        self, mask: Mask, span_s: tuple[float, float], goal: float, prices: Array, level_s: float, thin: float
    ) -> list[Span]:
        """For "mixed", as `LeveledEngine` has it."""
        self._enter(mask)
        np.copyto(self._terms.weight, self.problem.weights)
        tilts, ends, proven, lows = self._spans
        count = covering.cover(
            self._terms, self._here, self._most, *span_s, goal, prices, level_s, thin, tilts, ends, proven, lows
        )
        return [
            Span(end_s, np.concatenate((prices, own)), is_proven, *low)
            for end_s, own, is_proven, low in zip(
                ends[:count].tolist(), tilts, proven.tolist(), lows.T.tolist(), strict=False
            )
        ]

    @cached_property
    def _spans(self) -> tuple[Array, Array, NDArray[np.bool_], Array]:
        most = covering.MOST_SPANS
        return np.zeros((most, self.problem.users)), np.zeros(most), np.zeros(most, np.bool_), np.zeros((2, most))

    def spanned(self, part: Part) -> float:
        """For "mixed", what a leaf's prices prove where the largest latency is within a range, less what they charge
        being taken off."""
        self._enter(part.mask)
        np.copyto(self._terms.weight, self.problem.weights)
        prices = np.array(part.leaf.prices)
        tilts, ends = prices[None, 3:].copy(), np.zeros(1)
        covering.cover(
            self._terms, self._here, self._most, *part.span, 2.0 * HUGE, prices[:3].copy(), 0.0, 0.0, tilts, ends,
            np.zeros(1, np.bool_), np.zeros((2, 1)),
        )  # fmt: skip
        return float(ends[0])

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled:
        """As `Engine` has it."""
        ((best, known),) = self._settle([choice], ceiling_s, prices)
        return best if known else self._finer(choice, best)

    def _finer(self, choice: Choice, best: Settled) -> Settled:
        """Shares of given choices where Newton's method has not settled, but at `best`."""
        if self.kind == SUM and not self._mixed:
            planes = self._by_planes(choice, np.asarray(choice, dtype=np.int32), best.prices)
            if planes is not None:
                return planes
        found = self._by_path(choice)
        return best._replace(prices=found.prices) if best.objective < found.objective else found

    def _by_path(self, choice: Choice) -> Settled:
        """By interior points; for "mixed" with the multipliers behind the prices."""
        found = best_shares(self.problem, self.resources, np.asarray(choice, dtype=np.int64)[None], self.deadline)
        tilts = found.tilts[0] if self._mixed else _NO_TILTS
        return Settled(float(found.objective[0]), np.r_[found.prices[0], tilts], found.x[0], choice)

    def _settle(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> list[tuple[Settled, bool]]:
        """Shares of given choices in compiled code, and whether they are the best."""
        if self._mixed:
            return self._settle_tilted(choices, ceiling_s, prices, first)
        sets = new_sets(len(choices), self.problem.users)
        sets.prices[:] = prices
        options = np.array(choices, dtype=np.int32)
        count = passes.settle(self.kind, self._terms, self._here, options, min(ceiling_s, HUGE), first, sets)
        return [
            (Settled(worth if worth < HUGE else np.inf, own, x, choice), known)
            for worth, known, own, x, choice in zip(
                sets.worth[:count].tolist(), sets.known.tolist(), sets.prices, sets.shares, choices, strict=False
            )
        ]

    def _settle_tilted(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool
    ) -> list[tuple[Settled, bool]]:
        """The same for "mixed"; whether a set is better than one before is known much sooner than what it is worth."""
        out, found = self._out, []
        for choice in choices:
            np.copyto(self._terms.weight, self.problem.weights)
            out.price[:] = prices[:3]
            worth, known = tilted.search_tilted(
                self._terms, self._here, np.asarray(choice, dtype=np.int32), self._most, min(ceiling_s, HUGE), 0.0, 0,
                0.0, 0.0, self._cuts, self._room, out,
            )  # fmt: skip
            own = np.concatenate((out.price, self._room.tilts))
            found.append((Settled(worth if worth < HUGE else np.inf, own, out.shares.copy(), choice), bool(known)))
            if worth < ceiling_s and known:
                ceiling_s = worth
                if first:
                    break
        return found

    def _by_planes(self, choice: Choice, picked: NDArray[np.int32], start: Array) -> Settled | None:
        """Shares where they jump with the prices: those at the highest planes' prices, weighted as the planes are.

        Times are convex in the shares, so the average is as good as the planes say. None where they end too early.
        """
        only = np.zeros_like(self.heads)
        only[np.arange(len(choice)), choice] = True
        alone = float(self.costs(only, np.zeros(3), None).min(axis=1).sum())
        if not np.isfinite(alone):
            return None
        box = 64.0 * max(float(start.max()), alone)
        prices, value = np.minimum(start, box), 0.0
        for _ in range(_BOXES):
            peak = self.climb(only, None, HUGE, box, _PASSES, prices)
            prices, value = peak.prices, peak.value
            if value >= HUGE:
                return Settled(np.inf, prices, np.zeros((3, len(choice))), choice)
            if prices.max() < 0.5 * box:
                break
            box *= 64.0
        cuts, x = self._cuts, np.zeros((3, len(choice)))
        for j, weight in zip(cuts.basis.tolist(), cuts.share.tolist(), strict=True):
            if j >= 0 and weight > 0.0:
                x += weight * self.shares(choice, cuts.prices[j].copy(), None)
        self._out.shares[:] = x
        result = passes.objective(self.kind, self._terms, self._here, picked, self._out)
        if result > max(value, alone) * (1.0 + CLOSED):
            return None
        return Settled(result, prices, self._out.shares.copy(), choice)

    def settle_all(
        self, choices: list[Choice], ceiling_s: float, prices: Array, first: bool = False
    ) -> Iterator[Settled]:
        """As `Engine` has it; where several are begun with, the best shares of those that take long can wait."""
        found = self._settle(choices, ceiling_s, prices, first)
        if len(choices) > 1 and any(known and one.objective < np.inf for one, known in found):
            return iter([one for one, _ in found])
        return (one if known else self._finer(one.choice, one) for one, known in found)

    def run_rest(self, choice: Choice, prices: Array) -> None:
        """Run what few problems need, so that no later one waits for it to be compiled."""
        self._by_planes(choice, np.asarray(choice, dtype=np.int32), prices)
        self.total(self.heads, self.heads, prices, None)

    def run_levels(self, prices: Array) -> None:
        """The same for what "mixed" takes where the largest latency is held fixed."""
        whole, own = (0.0, np.inf), prices[:3].copy()
        self.climb_within(self.heads, whole, 1.0, 1.0, own, 1e-3, [1.0])
        self.cover(self.heads, whole, 1.0, own, 1.0, 1e-3)
        self.spanned(Part(Leaf(tuple(prices.tolist())), self.heads, ()))

    def first_sets(self) -> Choice:
        """As `Engine` has it."""
        sets = np.zeros((4, self.problem.users), np.int32)
        passes.first_sets(self._terms, self._here, sets)
        return sets

    def valuer(self) -> Valuer:
        """As `Engine` has it."""
        return _CompiledValuer(self)


@dataclass
class _CompiledValuer:
    engine: CompiledEngine
    _last: tuple[Mask, Mask] | None = None

    def _worth_a_look(self, mask: Mask) -> Mask:
        """Options of a mask but those that are dominated, which cost no less; many parts have one mask."""
        if self._last is None or self._last[0] is not mask:
            here, heads = mask & self.engine.heads, self.engine.heads
            self._last = mask, heads if here.tobytes() == heads.tobytes() else here
        return self._last[1]

    def value(self, part: Part, level_s: float | None) -> float:
        """As `Valuer` has it."""
        engine, prices = self.engine, np.array(part.leaf.prices)
        mask = self._worth_a_look(part.mask)
        if part.rows:
            return total_of(part._replace(mask=mask), engine.costs(mask, prices, level_s))
        charged = sum(part.leaf.prices[:3])
        if part.span != WHOLE and engine._mixed and part.removed is None:
            value = engine.spanned(part._replace(mask=mask))
            return value - MARGIN * (abs(value) + 2.0 * charged) if value < HUGE else np.inf
        prices = engine._tilted(prices)
        total = engine.total(mask, part.removed, prices, level_s)
        if not np.isfinite(total):
            return np.inf
        return total - charged - MARGIN * (abs(total) + charged)
