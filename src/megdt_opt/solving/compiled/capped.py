"""Best shares of given options for "mixed": the best sum under caps on the weighted latency, and the best cap.

With f(t) the least sum of w L with w L <= t for all users, the objective is the least of F(t) = f(t) + max_weight t.
That is convex, and its slope is max_weight - sum nu with the caps' multipliers nu: a user's time is priced at
mu = w (1 + nu), which its shares tell, as l = -mu t'(x) between their bounds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.radio.rates import time_and_slopes
from megdt_opt.shares.interior import latencies
from megdt_opt.solving.compiled import passes
from megdt_opt.solving.compiled.kernels import Terms
from megdt_opt.solving.compiled.laws import HUGE, SUM
from megdt_opt.solving.compiled.passes import Here, Option, new_sets
from megdt_opt.solving.engines.engine import Choice, Settled

_TURNS = 40
_CLOSE = 1e-11
"""How near to its tangents' lowest point F is to come, relatively."""

_ENOUGH = 1e-9
"""The same where rounding ends it."""

_AT_CAP = 1e-8
"""Relative distance from the cap within which a user counts as held there."""

_EDGE = 1e-12


class _At(NamedTuple):
    """F at one cap, its slope, and what yields it."""

    cap: float
    value: float
    slope: float
    prices: Array
    x: Array


class _Given(NamedTuple):
    """Options with their terms, (3, K) and (K,)."""

    option: Option
    a: Array
    gamma: Array
    lo: Array
    fixed: Array
    branch: Array


class CappedSum:
    """Best shares for "mixed".

    Parameters
    ----------
    problem : AllocationProblem
        With objective "mixed".
    resources : Resources
    terms : Terms
        Of "sum"; its tables are shared.
    here : Here
    """

    def __init__(self, problem: AllocationProblem, resources: Resources, terms: Terms, here: Here) -> None:
        self.problem, self.resources, self.here = problem, resources, here
        self.most = float(problem.max_weight or 0.0)
        self._terms = terms._replace(plain=False, weight=np.array(problem.weights), limit=terms.limit.copy())
        self._known = True
        self._sets = new_sets(1, problem.users)

    def settle(self, choice: Choice, ceiling_s: float, prices: Array) -> Settled | None:
        """As `Engine` has it; None where it is not known."""
        p, rows = self.problem, np.arange(len(choice))
        a, gamma, lo, hi = (v[0] for v in self.resources.pick(np.asarray(choice, dtype=np.int64)[None]))
        given = _Given(
            np.asarray(choice, dtype=np.int32), a, gamma, lo, p.fixed_s[rows, choice], p.branch_s[rows, choice]
        )
        nothing = Settled(np.inf, prices, np.zeros((3, len(choice))), choice)
        alone = self._late(given, np.where(a > 0, hi, 0.0))
        if not np.isfinite(alone).all():
            return None
        slowest = int(alone.argmax())
        # no sum and no largest latency is less than what all users reach by themselves
        if float(alone.sum()) + self.most * float(alone[slowest]) >= ceiling_s:
            return nothing
        floor = cap = low_cap = float(alone[slowest]) * (1.0 + _EDGE)
        high = self._at(given, np.inf, prices[:3])
        if high is None:
            return None
        low: _At | None = None
        best = high
        for turn in range(_TURNS):
            found = self._at(given, cap, best.prices[:3])
            if found is None:
                if not self._known and turn > 0:
                    return None
                floor = cap
            else:
                best = found if found.value < best.value else best
                if found.slope >= 0.0:
                    high = found
                else:
                    low, floor = found, cap
            if high.cap <= low_cap:
                break  # nobody is made faster than the slowest by itself: its multiplier takes the rest
            lowest = _lowest(low, high, floor)
            if lowest >= ceiling_s:
                return Settled(np.inf, high.prices, best.x, choice)
            if best.value - lowest <= _CLOSE * best.value:
                break
            cap = _between(low, high, floor, self.most, turn)
        else:
            if best.value - lowest > _ENOUGH * best.value:
                return None
        tilts = high.prices[3:].copy()
        if low is not None and low.slope < high.slope:
            part = high.slope / (high.slope - low.slope)
            own = part * low.prices + (1.0 - part) * high.prices
        else:
            tilts[slowest] += max(self.most - float(tilts.sum()), 0.0)
            own = np.r_[high.prices[:3], tilts]
        return Settled(best.value, own, best.x, choice)

    def _late(self, given: _Given, x: Array) -> Array:
        """Weighted latencies with these shares (3, K), (K,) [s]."""
        a, gamma, fixed, branch = (v[None] for v in (given.a, given.gamma, given.fixed, given.branch))
        return np.asarray(self.problem.weights * latencies(a, gamma, x[None], fixed, branch)[0])

    def _at(self, given: _Given, cap: float, start: Array) -> _At | None:
        """F at a cap; None where it cannot be kept or is not known."""
        p, terms, sets, a, lo = self.problem, self._terms, self._sets, given.a, given.lo
        np.minimum(p.hard_deadline_s, cap / p.weights, out=terms.limit)
        sets.prices[:] = start
        passes.settle(SUM, terms, self.here, given.option[None], HUGE, False, sets)
        value, self._known = float(sets.worth[0]), bool(sets.known[0])
        if not self._known or value >= HUGE:
            return None
        price = np.where((a > 0).any(axis=1), sets.prices[0], 0.0)
        x = sets.shares[0].copy()
        late = self._late(given, x)
        peak = float(late.max())
        _, slope, _ = time_and_slopes(np.where(a > 0, x, 1.0), a, given.gamma)
        with np.errstate(divide="ignore", invalid="ignore"):
            mu = np.where((a > 0) & (x > lo * (1.0 + 1e-9)), price[:, None] / -slope, 0.0).max(axis=0)
        held = (late >= cap * (1.0 - _AT_CAP)) & (p.weights * p.hard_deadline_s > cap)
        tilts = np.where(held, np.maximum(mu / p.weights - 1.0, 0.0), 0.0)
        self._known = bool(np.isfinite(tilts).all())
        if not self._known:
            return None
        return _At(min(cap, peak), value + self.most * peak, self.most - float(tilts.sum()), np.r_[price, tilts], x)


def _lowest(low: _At | None, high: _At, floor: float) -> float:
    """The least that F can be between the floor and the higher cap: where its tangents meet."""
    right = high.value - high.slope * (high.cap - floor)
    if low is None or low.slope >= high.slope:
        return right
    cross = (high.value - low.value + low.slope * low.cap - high.slope * high.cap) / (low.slope - high.slope)
    return low.value + low.slope * (min(max(cross, low.cap), high.cap) - low.cap)


def _between(low: _At | None, high: _At, floor: float, most: float, turn: int) -> float:
    """The next cap: where the multipliers' sum, on a line in logarithms, is `most`; now and then the middle."""
    middle = 0.5 * (floor + high.cap)
    if low is None or turn % 4 == 3:
        return middle
    left, right = np.log1p(most - low.slope), np.log1p(max(most - high.slope, 0.0))
    part = (left - np.log1p(most)) / (left - right) if left > right else 0.5
    place = floor + part * (high.cap - floor)
    return place if floor < place < high.cap else middle
