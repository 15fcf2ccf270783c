"""What turns at one server cost at prices: of the band, and of the server itself.

The price of the server is a function. Where all chains are ready together and "sum" is minimised, Smith's order is
optimal, and with G(s) the work of all chains whose density w / g is at least s,

    sum_k w C = sum_k w (ready + g / 2) + 1/2 int_0^inf G(s)^2 ds,

because in that order two chains add min(w_i g_j, w_j g_i) = g_i g_j int 1{s <= w_i/g_i} 1{s <= w_j/g_j} ds. For any
function X' >= 0, as |G - X'|^2 >= 0, a chain may be charged g X(w / g) against a refund of 1/2 int X'^2, and what the
chains cost least is a lower bound. Everywhere else the time of the server is priced: for any lam(t) >= 0 a chain that
ends at C is charged int_{C-g}^{C} lam against a refund of int lam, because the server serves one chain at a time. The
band has one price l. For "sum" chains are charged

    w (after + download) + l x + min over C >= ready + g of (w C + int_{C-g}^{C} lam),

and for "max" at a level D the least of int_{C-g}^{C} lam + l x over C + after + download <= D / w: if what the chains
cost exceeds int lam + l, D is out of reach. Both functions are steps, (t_i, y_i): y_i on (t_{i-1}, t_i], 0 behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.priced import priced
from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.radio.rates import shannon_band, time_and_slopes

BUDGETS = 3
"""Prices of a leaf before the function's: of the band, and zeros for uplink and edge, which have no budget here."""


@dataclass(frozen=True)
class Steps:
    """A step function on (0, inf).

    Parameters
    ----------
    at : array, (N,)
        Right ends of the steps, increasing, above 0.
    height : array, (N,)
        At least 0.
    """

    at: Array
    height: Array

    @cached_property
    def _below(self) -> tuple[Array, Array]:
        widths = np.diff(self.at, prepend=0.0)
        return np.r_[0.0, self.at], np.r_[0.0, np.cumsum(self.height * widths)]

    def integral(self, upto: Array) -> Array:
        """From 0 to each of `upto`; 0 below 0."""
        return np.interp(upto, *self._below)

    @property
    def total(self) -> float:
        """Over everything."""
        return float(self._below[1][-1])

    @property
    def square(self) -> float:
        """Half the integral of the square."""
        return 0.5 * float((self.height**2 * np.diff(self.at, prepend=0.0)).sum())

    def prices(self, band: float) -> tuple[float, ...]:
        """As the prices of a leaf, behind that of the band; steps of equal height are one."""
        last = np.r_[self.height[1:] != self.height[:-1], True] if self.at.size else np.zeros(0, dtype=bool)
        pairs = np.stack([self.at[last], self.height[last]], axis=1)
        return (band, 0.0, 0.0, *pairs.ravel().tolist())

    @classmethod
    def of(cls, prices: tuple[float, ...]) -> Steps:
        """Of the prices of a leaf."""
        pairs = np.array(prices[BUDGETS:]).reshape(-1, 2)
        return cls(pairs[:, 0], pairs[:, 1])


class TurnCosts:
    """A problem's tables, read once.

    Parameters
    ----------
    problem : SequencedEdgeProblem
    """

    def __init__(self, problem: SequencedEdgeProblem) -> None:
        self.problem = problem
        self.open = problem.open_options
        self.turn = self.open & (problem.edge_work_s > 0)
        ready = problem.release_s[self.turn]
        self.base_s = float(ready.min()) if ready.size else 0.0
        grouped = problem.groups > 0 and bool(problem.prefix_works.any())
        self.at_once = problem.objective == "sum" and not grouped and bool((ready == self.base_s).all())

    @cached_property
    def fixed(self) -> Array:
        """What neither turn nor share shortens, (K, O) [s]: after, and without a turn the release."""
        p = self.problem
        return np.asarray(p.after_s + np.where(self.turn, 0.0, p.release_s))

    @cached_property
    def ready(self) -> Array:
        """Earliest start of a turn, (K, O) [s]: the release, and not before the group's prefix can have ended."""
        p = self.problem
        if not p.groups:
            return p.release_s
        group = p.group_of
        prefix = np.where(group >= 0, p.prefix_works[group], 0.0)
        return np.maximum(p.release_s, prefix[:, None])

    @cached_property
    def band(self) -> AllocationProblem:
        """The downloads alone, which share the band; the turns' ends are not in them."""
        p, none = self.problem, np.zeros(self.open.shape)
        return AllocationProblem(
            fixed_s=self.fixed, downlink_bit=p.downlink_bit, uplink_bit=none, edge_work_s=none, allowed=self.open,
            downlink_hz=p.downlink_hz, uplink_hz=0.0, downlink_efficiency=p.downlink_efficiency,
            downlink_snr_hz=p.downlink_snr_hz, weight=p.weights, objective=p.objective,
        )  # fmt: skip

    @cached_property
    def scaled(self) -> Resources:
        """The same, scaled."""
        return Resources.of(self.band)

    @cached_property
    def a(self) -> Array:
        """Demands on the band, (K, O): seconds at R = 1."""
        return np.asarray(self.scaled.a[0])

    @cached_property
    def gamma(self) -> Array:
        """SNR-bandwidth products over the band, (K,) [1]; infinite for linear rates."""
        return np.asarray(self.scaled.gamma[0])

    @property
    def linear(self) -> bool:
        """Whether rates are linear."""
        return self.problem.downlink_snr_hz is None

    def sending(self, price: float) -> tuple[Array, Array, Array]:
        """For "sum" at a price of the band: w (fixed + download) + price x, (K, O), infinite where closed, the shares x
        (K, O), and what rounding may have added (K, O)."""
        w = self.problem.weights[:, None]
        if self.linear:
            wa = w * self.a
            top = (wa >= price) & (wa > 0)
            cost = np.where(top, price + wa, 2.0 * np.sqrt(price * wa))
            x = np.where(top, 1.0, np.sqrt(wa / price) if price > 0 else 0.0)
            return np.where(self.open, w * self.fixed + cost, np.inf), x, np.zeros_like(x)
        found = priced(self.band, self.scaled, np.array([price, 0.0, 0.0]))
        return found.cost, found.x[0], found.doubt

    def density_cost(self, price: float, steps: Steps) -> tuple[Array, Array, Array]:
        """As `sending` has it, with the charge for the server's density, of a problem that is `at_once`."""
        p = self.problem
        cost, x, doubt = self.sending(price)
        w, g = p.weights[:, None], p.edge_work_s
        density = np.divide(w, g, out=np.zeros_like(g), where=self.turn)
        charge = w * (self.base_s + 0.5 * g) + g * steps.integral(density)
        return np.where(self.turn, cost + charge, cost), x, doubt


def need(seconds: Array, a: Array, gamma: Array) -> tuple[Array, Array]:
    """Share that serves a demand in so many seconds, and its slope in them; infinite where none does."""
    a, gamma, seconds = np.broadcast_arrays(a, gamma, seconds)
    some, timely = a > 0, seconds > 0
    t = np.where(timely, seconds, 1.0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if np.isinf(gamma).all():
            x, slope = a / t, -a / (t * t)
        else:
            x = shannon_band(np.where(some, a, 0.0) / t / np.log(2.0), np.where(np.isinf(gamma), 1.0, gamma))
            fine = some & np.isfinite(x) & (x > 0)
            _, down, _ = time_and_slopes(np.where(fine, x, 1.0), np.where(fine, a, 0.0), gamma)
            slope = np.where(fine, 1.0 / np.where(fine, down, -1.0), 0.0)
    late = np.where(some, ~timely, seconds < 0)
    return np.where(late, np.inf, np.where(some, x, 0.0)), np.where(some & ~late, slope, 0.0)


def densities(costs: TurnCosts) -> NDArray[np.float64]:
    """w / g of the options with a turn, (K, O); 0 without one [1/s]."""
    g = costs.problem.edge_work_s
    found: NDArray[np.float64] = np.divide(costs.problem.weights[:, None], g, out=np.zeros(g.shape), where=costs.turn)
    return found


@dataclass(frozen=True)
class TimeTable:
    """Costs at prices of the server's time.

    Parameters
    ----------
    cost : array, (K, O)
        Infinite where closed; for "max" also where a level cannot be kept.
    end : array, (K, O)
        End C of the turn at which it is attained [s]; 0 without a turn.
    x : array, (K, O)
        Share of the band there [1].
    prefix : array, (G,)
        Least charge of each prefix.
    prefix_end : array, (G,)
        [s]
    """

    cost: Array
    end: Array
    x: Array
    prefix: Array
    prefix_end: Array


def time_costs(costs: TurnCosts, price: float, lam: Steps, level_s: float | None) -> TimeTable:
    """Least costs of all options and prefixes where the server's time is priced; for "max" at a level."""
    p = costs.problem
    k, o = np.nonzero(costs.turn)
    g, ready = p.edge_work_s[k, o], costs.ready[k, o]
    end = np.zeros(costs.open.shape)
    if level_s is None:
        cost, x, doubt = costs.sending(price)
        cost = cost - doubt
        own, end[k, o] = _cheapest_end(lam, g, ready, p.weights[k], np.full(k.size, np.inf))
        cost[k, o] += own
        prefix, prefix_end = _cheapest_end(
            lam, p.prefix_works, np.zeros(p.groups), p.prefix_weights, np.full(p.groups, np.inf)
        )
        return TimeTable(cost, end, x, prefix, prefix_end)
    idle = priced(costs.band, costs.scaled, np.array([price, 0.0, 0.0]), level_s)
    cost, x = np.where(costs.turn, np.inf, idle.cost - idle.doubt), idle.x[0].copy()
    tau = level_s / p.weights[k] - p.after_s[k, o]
    cost[k, o], end[k, o], x[k, o] = _cheapest_share(costs, price, lam, (k, o), tau)
    latest = np.full(p.groups, -np.inf)
    member = costs.problem.group_of[k] >= 0
    np.maximum.at(latest, p.group_of[k][member], (tau - g)[member])
    prefix, prefix_end = _cheapest_end(lam, p.prefix_works, np.zeros(p.groups), np.zeros(p.groups), latest)
    return TimeTable(cost, end, x, prefix, prefix_end)


def _ends(lam: Steps, g: Array, ready: Array, latest: Array) -> Array:
    """Where the charge bends, (N, M): ends of turns from the earliest to the latest, in order."""
    t = np.r_[0.0, lam.at]
    first = (ready + g)[:, None]
    found = np.concatenate([first, np.broadcast_to(t, (g.size, t.size)), t + g[:, None]], axis=1)
    return np.sort(np.clip(found, first, np.maximum(latest[:, None], first)), axis=1)


def _charge(lam: Steps, end: Array, g: Array) -> Array:
    return np.asarray(lam.integral(end) - lam.integral(end - g[:, None]))


def _cheapest_end(lam: Steps, g: Array, ready: Array, weight: Array, latest: Array) -> tuple[Array, Array]:
    """Least weight C + charge, and C; infinite where no end is in time. It is linear between bends."""
    if not g.size:
        return np.zeros(0), np.zeros(0)
    end = _ends(lam, g, ready, np.minimum(latest, np.maximum(ready, lam.at[-1] if lam.at.size else 0.0) + g))
    value = weight[:, None] * end + _charge(lam, end, g)
    best = value.argmin(axis=1)
    rows = np.arange(g.size)
    return np.where(ready + g <= latest, value[rows, best], np.inf), end[rows, best]


def _cheapest_share(
    costs: TurnCosts, price: float, lam: Steps, place: tuple[NDArray[np.intp], NDArray[np.intp]], tau: Array
) -> tuple[Array, Array, Array]:
    """Least charge + price x over ends C with x the share that downloads within tau - C; C, and x."""
    g, ready = costs.problem.edge_work_s[place], costs.ready[place]
    a, gamma = costs.a[place], costs.gamma[place[0]]
    alone = a if costs.linear else np.where(a > 0, a / np.log1p(gamma), 0.0)
    latest = tau - alone
    rows = np.arange(g.size)
    end = _ends(lam, g, ready, latest)
    charge = _charge(lam, end, g)
    share, fall = need(tau[:, None] - end, a[:, None], gamma[:, None])
    value = charge + (price * share if price > 0 else np.where(np.isfinite(share), 0.0, np.inf))
    width = np.diff(end, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(width > 0, np.diff(charge, axis=1) / width, 0.0)
        if costs.linear:
            still = np.clip(
                tau[:, None] - np.sqrt(np.where(slope < 0, price * a[:, None] / -slope, 0.0)), end[:, :-1], end[:, 1:]
            )
            inner = charge[:, :-1] + slope * (still - end[:, :-1])
            inner = np.where(
                slope < 0, inner + price * need(np.asarray(tau[:, None] - still), a[:, None], gamma[:, None])[0], np.inf
            )
        else:
            # convex between two bends: above both tangents, so at least as high as where they meet
            left, right = slope - price * fall[:, :-1], slope - price * fall[:, 1:]
            apart = value[:, 1:] - value[:, :-1]
            meet = np.where(right > left, (right * width - apart) / (right - left), 0.0)
            inner = np.where((left < 0) & (right > 0), value[:, :-1] + left * np.clip(meet, 0.0, width), np.inf)
            still = end[:, :-1] + np.clip(np.nan_to_num(meet), 0.0, width)
    inner = np.where(np.isnan(inner), np.inf, inner)
    at, mid = value.argmin(axis=1), inner.argmin(axis=1)
    inside = inner[rows, mid] < value[rows, at]
    found = np.where(inside, still[rows, mid], end[rows, at])
    cost = np.where(inside, inner[rows, mid], value[rows, at])
    late = ready + g > latest
    x = need(tau - found, a, gamma)[0]
    return np.where(late, np.inf, np.maximum(cost, 0.0)), found, np.where(late, 0.0, x)


def least_total(costs: TurnCosts, cost: NDArray[Any], prefix: NDArray[Any], mask: NDArray[np.bool_]) -> Any:
    """The least total of a table of costs (K, O) within a mask: members of a group have turns only with its prefix."""
    here = np.where(mask, cost, np.inf)
    least = here.min(axis=1)
    if not costs.problem.groups:
        return least.sum()
    group = costs.problem.group_of
    idle = np.where(mask & ~costs.turn, cost, np.inf).min(axis=1)
    total = least[group < 0].sum()
    for one, charge in enumerate(prefix):
        member = group == one
        total = total + min(charge + least[member].sum(), idle[member].sum())
    return total
