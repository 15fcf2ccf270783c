"""What options cost at prices when their numbers may deviate within a budget: the worst case is one more player.

With prices l >= 0 of the scaled budgets and a multiplier mu of the time, a user's option costs

    max over xi in [0, 1]^4, sum xi <= Gamma, and mu of the cost at the numbers (fixed + d xi_0, a_i + delta_i xi_i),

where a device branch is later by d (min(1, Gamma) - xi_0), for beside it the worst case is the fixed time's alone. At
any xi that is a core problem, whose cost is below; so each xi proves a bound, and the best one loses nothing: the cost
is concave in (mu, mu xi). At the best xi the extra times delta_i / R_i of the stages that deviate in part are equal,

    delta_i / R_i(x_i) = theta,   with x_i the best share for the demand a_i + delta_i xi_i,

stages with more deviate whole and those with less not at all. With R(x) = x, x_i^2 = mu (a_i + delta_i xi_i) / l_i, so
that xi is piecewise linear in 1 / theta^2 and theta is found exactly; mu and xi in turns, as the cost rises with both.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.priced import Priced, priced
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.deviations import NO_EXTRAS
from megdt_opt.radio.rates import bend, shannon_band, speed

_TURNS = 60
"""Turns in which mu and xi are found at most [1]."""

_CLOSE = 1e-14
"""Relative rise of the costs after which they are taken as found [1]."""

DOWN = 1.0 - 2.0**-50
"""What numbers at some xi are multiplied by, so that they are at most what they would be without rounding."""

INSIDE = 1.0 - 2.0**-48
"""The same for xi, so that its sum is at most the budget."""

_LEAST = 1e-15
"""Deviation that is taken for none [1]."""

_HALVINGS = 200


@dataclass(frozen=True, eq=False)
class Deviating:
    """A problem whose numbers deviate: core problems at given xi, (4, K, O), for fixed, downlink, uplink and edge.

    Parameters
    ----------
    nominal : AllocationProblem
        Nothing deviates.
    budget : float
        Gamma [1].
    own_s : array, (K, O)
        Extra of the fixed time [s].
    amounts : array, (3, K, O)
        Extras of the amounts [bit, bit, s].
    """

    nominal: AllocationProblem
    budget: float
    own_s: Array
    amounts: Array

    @classmethod
    def of(cls, problem: AllocationProblem) -> Deviating:
        """Of a problem with a budget of deviations."""
        found = problem.deviations
        assert found is not None
        return cls(_nominal(problem), found.budget, found.fixed_s, found.amounts)

    def picked(self, option: NDArray[np.int64]) -> Deviating:
        """Option sets (S, K) in place of the options: each user has one for each set."""
        p, rows = self.nominal, np.arange(self.nominal.users)[:, None]
        own: dict[str, Any] = {
            name: None if getattr(p, name) is None else getattr(p, name)[rows, option.T]
            for name in ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s", "device_branch_s", "allowed",
                         "uplink_airtime_max_s")
        }  # fmt: skip
        return Deviating(
            replace(p, **own, impossible=None), self.budget, self.own_s[rows, option.T], self.amounts[:, rows, option.T]
        )

    @property
    def one(self) -> float:
        """Most that a single number deviates [1]."""
        return min(1.0, self.budget)

    def at(self, xi: Array, *, down: bool = False) -> AllocationProblem:
        """The core problem at xi; with `down` none of its numbers makes it dearer than it is without rounding."""
        p, low = self.nominal, DOWN if down else 1.0
        if down:
            xi = xi * INSIDE
        more: dict[str, Array] = {}
        if p.device_branch_s is not None:
            more["device_branch_s"] = low * _seen(p.device_branch_s + self.own_s * np.maximum(self.one - xi[0], 0.0))
        bits = low * _seen(p.uplink_bit + xi[1 + UPLINK] * self.amounts[UPLINK])
        if p.uplink_airtime_max_s is not None:
            # the worst case of the air time is the uplink's alone: the same least share
            most = p.uplink_bit + self.one * self.amounts[UPLINK]
            with np.errstate(divide="ignore", invalid="ignore"):
                part = np.where(bits > 0, p.uplink_airtime_max_s * (bits / most) / (low * low), checks.LARGEST)
            more["uplink_airtime_max_s"] = np.minimum(part, checks.LARGEST)
        return _other(
            p, fixed_s=low * _seen(p.fixed_s + xi[0] * self.own_s), uplink_bit=bits,
            downlink_bit=low * _seen(p.downlink_bit + xi[1] * self.amounts[0]),
            edge_work_s=low * _seen(p.edge_work_s + xi[3] * self.amounts[2]), **more,
        )  # fmt: skip

    def core_of(self, numbers: Array) -> AllocationProblem:
        """The core problem with such fixed times, downlink, uplink and edge amounts, (4, K, O), in their units."""
        fixed, down, up, work = numbers
        return _other(self.nominal, fixed_s=fixed, downlink_bit=down, uplink_bit=up, edge_work_s=work)

    @cached_property
    def _scaled(self) -> tuple[Resources, Array]:
        """The nominal resources, and the extras as seconds at R = 1, (3, K, O)."""
        own = dict(zip(("downlink_bit", "uplink_bit", "edge_work_s"), self.amounts, strict=True))
        extra = Resources.of(replace(self.nominal, **own, uplink_airtime_max_s=None)).a
        return Resources.of(self.nominal), extra

    @cached_property
    def widest(self) -> Resources:
        """Resources at the largest uplink demand: what is closed there is closed, and shares are no less."""
        xi = np.zeros((4, *self.own_s.shape))
        xi[1 + UPLINK] = self.one
        return Resources.of(self.at(xi))

    def respond(self, per_price: Array) -> Array:
        """The worst xi (4, K, O), where a stage's demand and its best share x are as a = `per_price` R(x)^2 / R'(x).

        Parameters
        ----------
        per_price : array, (3, K, O)
            Price over multiplier, l / mu [1].
        """
        scaled, extra = self._scaled
        shape = self.own_s.shape
        hi = np.broadcast_to(scaled.hi[:, :, None], extra.shape)
        lo = self.widest.lo if self.nominal.uplink_airtime_max_s is not None else np.zeros(extra.shape)
        price = np.broadcast_to(per_price, extra.shape)
        a, more, price, lo, hi = (part.reshape(3, -1) for part in (scaled.a, extra, price, lo, hi))
        if scaled.linear:
            found = _filled(a, more, price, lo, hi, self.own_s.ravel(), self.budget)
        else:
            gamma = np.broadcast_to(scaled.gamma[:, :, None], extra.shape).reshape(3, -1)
            found = _filled_by_halving(a, more, price, lo, hi, gamma, self.own_s.ravel(), self.budget)
        return found.reshape(4, *shape)

    def from_shares(self, problem: AllocationProblem, x: Array) -> Array:
        """The worst xi (4, K, S) by the shares (S, 3, K) that are best for a problem at some other xi."""
        resources = Resources.of(problem)
        x = x.transpose(1, 2, 0)
        gamma = resources.gamma[:, :, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rate = speed(x, np.broadcast_to(gamma, x.shape))
            slope = np.where(np.isinf(gamma), 1.0, bend(np.where(np.isinf(gamma), 1.0, gamma) / x))
            ratio = np.where((resources.a > 0) & (x > 0), resources.a * slope / (rate * rate), 0.0)
        # what costs nothing, as its resource is not scarce, keeps a share
        return np.maximum(self.respond(ratio), np.where(self._extras > 0, _LEAST, 0.0))

    @cached_property
    def _extras(self) -> Array:
        """All extras, (4, K, O)."""
        return np.concatenate([self.own_s[None], self.amounts])

    def priced(self, prices: Array, level_s: float | None, *, down: bool = False) -> tuple[Priced, Array]:
        """Costs of all options at prices (3,), as `pricing.priced` has them, and the xi at which they are attained.

        Parameters
        ----------
        prices : array, (3,)
        level_s : float, optional
            As there [s].
        down : bool
            Costs are then proven in floats, at numbers that are rounded down.
        """
        weight = np.broadcast_to(self.nominal.weights[:, None], self.own_s.shape)
        xi = self.respond(prices[:, None, None] / weight)
        best: Priced | None = None
        kept = xi
        for _ in range(_TURNS):
            problem = self.at(xi, down=down)
            found = priced(problem, Resources.of(problem), prices, level_s)
            if best is None:
                best, rise = found, np.inf
            else:
                with np.errstate(invalid="ignore"):
                    gain = np.where(np.isfinite(best.cost), found.cost - best.cost, 0.0)
                up = gain > 0
                rise = float((np.where(up, gain, 0.0) / np.maximum(np.abs(best.cost), 1e-300)).max())
                best = Priced(*(
                    np.where(up, getattr(found, name), getattr(best, name)) for name in ("cost", "x", "mu", "doubt")
                ))  # fmt: skip
                kept = np.where(up, xi, kept)
            if rise <= _CLOSE:
                break
            mu = np.where(found.mu > 0, found.mu, weight)
            if level_s is None and (mu == weight).all():
                break
            xi = self.respond(prices[:, None, None] / mu)
        assert best is not None
        return best, kept


def _nominal(problem: AllocationProblem) -> AllocationProblem:
    """A problem without its deviations; the rest of it has been read."""
    nominal = _other(problem)
    for name, value in {"allowed": problem.open_options, "deviation_budget": None, **NO_EXTRAS}.items():
        object.__setattr__(nominal, name, value)
    return nominal


def _other(problem: AllocationProblem, **tables: Array) -> AllocationProblem:
    """A problem with other tables, which are right: nothing is checked again."""
    other = object.__new__(AllocationProblem)
    for one in fields(AllocationProblem):
        value = tables.get(one.name)
        if value is not None:
            value.setflags(write=False)
        object.__setattr__(other, one.name, getattr(problem, one.name) if value is None else value)
    return other


def _seen(numbers: Array) -> Array:
    """Numbers without those that are too small for a problem."""
    return np.where(numbers < 2.0 * checks.SMALLEST, 0.0, numbers)


def _filled(a: Array, extra: Array, per_price: Array, lo: Array, hi: Array, own_s: Array, budget: float) -> Array:
    """xi (4, N) where R(x) = x: in s = 1 / theta^2, xi_i is linear with jumps at the least and the largest share."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        steep = np.where((extra > 0) & (per_price > 0), per_price * extra, 0.0)
        start = np.where(extra > 0, a / extra, np.inf)
        first = np.where(extra > 0, (lo / extra) ** 2, np.inf)
        last = np.where(extra > 0, (hi / extra) ** 2, np.inf)
        alone = np.where(own_s > 0, 1.0 / own_s**2, np.inf)
        zero, one = (np.where(steep > 0, (start + n) / steep, np.inf) for n in (0.0, 1.0))
    corners = [zero, np.minimum(one, last), last] if not lo.any() else [zero, np.minimum(one, last), last, first]
    places = np.sort(np.concatenate([*corners, alone[None]]), axis=0)

    def at(s: Array, after: bool) -> Array:
        """xi at s, after or before the jumps there."""
        over = np.greater_equal if after else np.greater
        with np.errstate(invalid="ignore", over="ignore"):
            part = np.clip(np.where(steep > 0, steep * s - start, 0.0), 0.0, 1.0)
            part = np.where(over(s, first) & (extra > 0), part, 0.0)
        part = np.where(over(s, last) & (extra > 0), 1.0, part)
        return np.concatenate([(over(s, alone) & (own_s > 0)).astype(float)[None], part])

    # the first corner at which the budget is used
    n = a.shape[1]
    low, high, rows = np.full(n, -1), np.full(n, len(places)), np.arange(n)
    while (high - low > 1).any():
        middle = (low + high) // 2
        s = places[np.clip(middle, 0, len(places) - 1), rows]
        enough = (at(s, True).sum(axis=0) >= budget) | np.isinf(s)
        going = high - low > 1
        low, high = np.where(going & ~enough, middle, low), np.where(going & enough, middle, high)
    s = np.where(high < len(places), places[np.minimum(high, len(places) - 1), rows], np.inf)
    there = np.isfinite(s)
    s = np.where(there, s, 0.0)
    before = np.where((high > 0) & there, places[np.clip(high - 1, 0, len(places) - 1), rows], 0.0)
    left, right, least = at(s, False), at(s, True), at(before, True)
    least = np.where(high > 0, least, 0.0)
    below = left.sum(axis=0) <= budget
    least, most = np.where(below, left, least), np.where(below, right, left)
    used, whole = least.sum(axis=0), most.sum(axis=0)
    part = np.where(whole > used, (budget - used) / np.where(whole > used, whole - used, 1.0), 0.0)
    found = least + np.clip(part, 0.0, 1.0) * (most - least)
    everything = np.concatenate([(own_s > 0)[None], extra > 0]).astype(float)
    return np.where(there, found, everything)


def _filled_by_halving(
    a: Array, extra: Array, per_price: Array, lo: Array, hi: Array, gamma: Array, own_s: Array, budget: float
) -> Array:
    """xi (4, N) for any law, by halving the bracket of log theta."""
    curved = np.isfinite(gamma)
    g = np.where(curved, gamma, 1.0)

    def at(theta: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rate = extra / theta
            x = np.where(curved, shannon_band(np.where(curved, rate, 0.0) / np.log(2.0), g), rate)
            slope = np.where(curved, bend(g / x), 1.0)
            part = np.clip((per_price * rate * rate / slope - a) / extra, 0.0, 1.0)
            part = np.where(x > hi, 1.0, np.where(x < lo, 0.0, np.where(np.isfinite(part), part, 0.0)))
        return np.concatenate([(theta < own_s).astype(float)[None], np.where(extra > 0, part, 0.0)])

    n = a.shape[1]
    high, low = np.full(n, 1e9), np.full(n, 1e-12)
    scale = np.maximum(own_s, extra.max(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    high, low = np.log(high * scale), np.log(low * scale)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        enough = at(np.exp(middle)).sum(axis=0) >= budget
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
        if (high - low <= 1e-15 * np.maximum(np.abs(high), 1.0)).all():
            break
    most, least = at(np.exp(low)), at(np.exp(high))
    used, whole = least.sum(axis=0), most.sum(axis=0)
    part = np.where(whole > used, (budget - used) / np.where(whole > used, whole - used, 1.0), 0.0)
    return np.where(whole >= budget, least + np.clip(part, 0.0, 1.0) * (most - least), most)
