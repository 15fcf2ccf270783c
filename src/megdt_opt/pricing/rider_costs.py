"""What riders and their trunk cost at prices: the most of a concave function of multipliers, any of which is a bound.

With mu_k the multiplier of a rider's latency, M = sum mu and M2 the part of those who wait for the multicast,

    G = sum_k sum_i phi(mu_k a_ki; l_i) + phi(M a_u; l_u) + phi(M a_e; s l_e) + phi(M2 a_d; l_d) + c(mu),
    phi(F a; l) = min over x in [lo, hi] of  l x + F a / R(x),

where riders pay (1 - s) l_e for their own steps if the group's reservation is phased (a share that serves two phases is
used by the larger of the two, and l max(F, f) = max over s of l (s F + (1 - s) f)), and both pay l_e if it is separate.
For "sum" mu = w and c = sum w (fixed + trunk's fixed); for "max" mu is free and c = -sum mu (D / w - fixed - trunk's
fixed). G is jointly concave in mu and s (flows into the members' ends; Sion), so its maximum is the cost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import DOWNLINK, EDGE, UPLINK, Array
from megdt_opt.radio.rates import shannon_minimiser, time_and_slopes

_ROUNDS = 60
_CLOSE = 1e-13
_FARTHEST = 0.995
_BISECTIONS = 60
_HALVINGS = 8

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Riders:
    """Patterns of riders, scaled: S patterns, n members.

    Parameters
    ----------
    a, gamma, hi : array, (3, S, n)
        Of the riders' own stages, as `Resources` has them; `a` is 0 for those who do not ride.
    trunk_a, trunk_gamma, trunk_lo, trunk_hi : array, (3, S)
        Of the trunk: multicast, uplink, edge.
    weight, fixed : array, (S, n)
        Weights [1], and latencies that no share shortens, the trunk's with them [s].
    rides, both : array of bool, (S, n)
        Who rides, and who waits for the multicast too.
    """

    a: Array
    gamma: Array
    hi: Array
    trunk_a: Array
    trunk_gamma: Array
    trunk_lo: Array
    trunk_hi: Array
    weight: Array
    fixed: Array
    rides: Mask
    both: Mask

    def take(self, rows: Any) -> Riders:
        """Some of the patterns."""
        found = (getattr(self, one.name) for one in fields(Riders))
        return Riders(*(table[:, rows] if n < _LEADING else table[rows] for n, table in enumerate(found)))


_LEADING = 7
"""Fields of `Riders` whose first axis is the resources [1]."""


@dataclass(frozen=True)
class Worth:
    """G at multipliers.

    Parameters
    ----------
    value : array, (S,)
    x, t : array, (3, S, n)
        Shares and times of the riders' own stages.
    trunk_x, trunk_t : array, (3, S)
    pulls, trunk_pulls : array
        Slopes dt / dF of the times in the flows.
    """

    value: Array
    x: Array
    t: Array
    pulls: Array
    trunk_x: Array
    trunk_t: Array
    trunk_pulls: Array


def _phi(flow: Array, a: Array, price: Array, gamma: Array, lo: Array | float, hi: Array) -> tuple[Array, ...]:
    """The minimum over x, the x, the time there, and its slope in the flow."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        need = a > 0
        ratio = np.where(price > 0, flow * a / np.where(price > 0, price, 1.0), np.inf)
        x = np.sqrt(ratio)
        curved = np.isfinite(gamma) & need
        if curved.any():
            x[curved] = shannon_minimiser(ratio[curved], gamma[curved])
        free = (x > lo) & (x < hi) & need
        x = np.where(need, np.clip(x, lo, hi), 0.0)
        safe = np.where(x > 0, x, 1e-100)
        t, first, second = time_and_slopes(safe, np.where(need, a, 0.0), np.where(need, gamma, np.inf))
        pull = np.where(free, -first * first / (flow * second), 0.0)
        pull = np.where(np.isfinite(pull), pull, 0.0)
        t = np.where(need, t, 0.0)
        value = price * x + np.where(flow > 0, flow * t, 0.0)
    return value, x, t, pull


def worth(riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool) -> Worth:
    """G at multipliers mu (S, n) and parts s (S,) of the edge's price."""
    shape = riders.weight.shape
    price = np.broadcast_to(prices[:, None, None], (3, *shape)).copy()
    trunk_price = np.broadcast_to(prices[:, None], (3, shape[0])).copy()
    if phased:
        price[EDGE] *= (1.0 - part)[:, None]
        trunk_price[EDGE] *= part
    own = _phi(np.broadcast_to(mu, price.shape), riders.a, price, riders.gamma, 0.0, riders.hi)
    all_of = mu.sum(axis=1)
    flow = np.stack([np.where(riders.both, mu, 0.0).sum(axis=1), all_of, all_of])
    trunk = _phi(flow, riders.trunk_a, trunk_price, riders.trunk_gamma, riders.trunk_lo, riders.trunk_hi)
    constant = mu * (riders.fixed if level_s is None else -late(riders, level_s))
    value = own[0].sum(axis=(0, 2)) + trunk[0].sum(axis=0) + constant.sum(axis=1)
    return Worth(value, own[1], own[2], own[3], trunk[1], trunk[2], trunk[3])


def late(riders: Riders, level_s: float) -> Array:
    """What a level leaves each rider for stages that shares shorten, (S, n); 0 for the others [s]."""
    return np.where(riders.rides, level_s / riders.weight - riders.fixed, 0.0)


def least_s(riders: Riders) -> Array:
    """What stages take at the largest shares, the trunk's with them, (S, n) [s]."""
    none = np.zeros(riders.weight.shape)
    free = worth(riders, np.zeros(3), None, none, np.full(len(none), 0.5), True)
    prefix = free.trunk_t[UPLINK] + free.trunk_t[EDGE]
    total = free.t.sum(axis=0) + prefix[:, None] + np.where(riders.both, free.trunk_t[DOWNLINK][:, None], 0.0)
    return np.asarray(np.where(riders.rides, total, 0.0))


def out_of_reach(left: Array, least: Array) -> Mask:
    """Patterns of which some rider misses a level whatever the shares, (S,); both (S, n) [s]."""
    return np.asarray(((least > left * (1.0 + 1e-12)) | (left <= 0) & (least > 0) | (left < 0)).any(axis=1))


def best_part(riders: Riders, price: float, mu: Array) -> tuple[Array, Mask]:
    """The parts s (S,) at which G is largest for multipliers mu (S, n), and where they are inside 0 and 1.

    With h = M a_e and y_k = mu_k a_ke it is h / (h + (sum sqrt y)^2) where no limit holds; else where the trunk uses as
    much of the edge as the riders, F(s) = sum f(s), which bisection finds.
    """
    h, y = mu.sum(axis=1) * riders.trunk_a[EDGE], np.where(riders.rides, mu * riders.a[EDGE], 0.0)
    total = h + np.sqrt(y).sum(axis=1) ** 2
    part = np.where(total > 0, h / np.where(total > 0, total, 1.0), 1.0)
    top, tops = riders.trunk_hi[EDGE], np.where(y > 0, riders.hi[EDGE], 0.0)
    if not price > 0:
        return part, np.zeros(len(part), bool)

    def over(at: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            big = np.where(h > 0, np.minimum(np.sqrt(h / (at * price)), top), 0.0)
            f = np.where(y > 0, np.minimum(np.sqrt(y / ((1.0 - at) * price)[:, None]), tops), 0.0)
        return np.asarray(big - f.sum(axis=1))

    with np.errstate(divide="ignore", invalid="ignore"):
        most_of = np.sqrt(y / np.where(part < 1, (1.0 - part) * price, np.inf)[:, None])
        held = (np.sqrt(total / price) > top) | (most_of > tops).any(axis=1)
    held &= (part > 0) & (part < 1)
    if held.any():
        low, high = np.zeros(len(part)), np.ones(len(part))
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            ahead = over(middle) > 0
            low, high = np.where(ahead, middle, low), np.where(ahead, high, middle)
        found = 0.5 * (low + high)
        found = np.where(over(np.ones(len(part))) >= 0, 1.0, np.where(over(np.zeros(len(part))) <= 0, 0.0, found))
        part = np.where(held, found, part)
    return part, (part > 0) & (part < 1)


# long: the turns of one method, which share a dozen arrays
def most(
    riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool
) -> tuple[Array, Array, Array]:
    """Multipliers (S, n), parts (S,) and the value (S,) where G is largest, from a start.

    A primal-dual interior method in mu, with the best part for every mu; whatever it ends with is a lower bound of the
    cost.
    """
    free = riders.rides & (level_s is not None)
    inside = np.zeros(len(part), bool)

    def at(mu: Array) -> tuple[Worth, Array, Mask]:
        split, within = best_part(riders, float(prices[EDGE]), mu) if phased else (part, inside)
        return worth(riders, prices, level_s, mu, split, phased), split, within

    now, split, within = at(mu)
    best_value, best_mu, best_split = now.value, mu, split
    if not free.any():
        return best_mu, best_split, best_value
    n = riders.weight.shape[1]
    left = np.zeros_like(mu) if level_s is None else late(riders, level_s)
    size = np.maximum(np.abs(best_value), 1e-3 * float(prices.sum()))
    barrier = 1e-2 * size / (n + 1)
    floor = 1e-6 * size[:, None] / np.where(left > 0, left, 1.0) / (n + 1)
    mu = np.where(free, np.maximum(mu, floor), mu)
    z = np.where(free, barrier[:, None] / np.where(mu > 0, mu, 1.0), 0.0)
    now, split, within = at(mu)

    def merit(value: Array, mu: Array) -> Any:
        return value + barrier * np.where(free, np.log(np.where(free, mu, 1.0)), 0.0).sum(axis=1)

    for _ in range(_ROUNDS):
        better = now.value > best_value
        best_value = np.where(better, now.value, best_value)
        best_mu, best_split = np.where(better[:, None], mu, best_mu), np.where(better, split, best_split)
        gradient, hessian = _slopes(riders, prices, now, split, left, free, within)
        safe = np.where(free, mu, 1.0)
        room = np.where(free, z * mu, 0.0).sum(axis=1)
        off = np.abs(np.where(free, (gradient + z) * mu, 0.0)).sum(axis=1)
        alive = (room + off > _CLOSE * size) & (now.value < 4.0 * float(prices.sum()) + size)
        if not alive.any():
            break
        ahead = gradient + np.where(free, barrier[:, None] / safe, 0.0)
        step = _solved(hessian, np.where(free, z / safe, 1.0), ahead)
        move = np.where(free, step, 0.0)
        dual = np.where(free, barrier[:, None] / safe - z - z / safe * move, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            back = np.where(move < 0, -safe / np.where(move < 0, move, 1.0), np.inf).min(axis=1)
            dual_back = np.where(dual < 0, -z / np.where(dual < 0, dual, 1.0), np.inf).min(axis=1)
        length = np.minimum(1.0, _FARTHEST * back) * alive
        dual_length = np.minimum(1.0, _FARTHEST * dual_back) * alive
        before = merit(now.value, mu) - 1e-14 * size
        for _ in range(_HALVINGS):
            to = mu + length[:, None] * move
            now, split, within = at(to)
            worse = merit(now.value, to) < before
            if not worse.any():
                break
            length = np.where(worse, 0.4 * length, length)
        mu = to
        z = z + dual_length[:, None] * dual
        mean = np.where(free, z * mu, 0.0).sum(axis=1) / np.maximum(free.sum(axis=1), 1)
        factor = np.where(np.minimum(length, dual_length) > 0.9, 0.05, np.where(length > 0.5, 0.3, 1.0))
        barrier = np.where(alive, np.maximum(factor * np.minimum(mean, barrier), 1e-16 * size), barrier)
    return best_mu, best_split, best_value


def _slopes(
    riders: Riders, prices: Array, now: Worth, part: Array, left: Array, free: Mask, within: Mask
) -> tuple[Array, Array]:
    """Gradient (S, n) and Hessian (S, n, n) of the largest G over s in mu; 0 in what is not free."""
    both, n = riders.both, left.shape[1]
    prefix = now.trunk_t[UPLINK] + now.trunk_t[EDGE]
    gradient = now.t.sum(axis=0) + prefix[:, None] + np.where(both, now.trunk_t[DOWNLINK][:, None], 0.0) - left
    shared = (now.trunk_pulls[UPLINK] + now.trunk_pulls[EDGE])[:, None, None]
    hessian = shared + now.trunk_pulls[DOWNLINK][:, None, None] * (both[:, :, None] & both[:, None, :])
    place = np.arange(n)
    hessian[:, place, place] += now.pulls.sum(axis=0)
    if within.any():
        # shares that no limit holds follow the price: t by half a power, x by minus half a power
        rest, part = np.where(within, 1.0 - part, 1.0), np.where(within, part, 1.0)
        moved, moved_own = now.trunk_pulls[EDGE] < 0, now.pulls[EDGE] < 0
        curve = np.where(moved, now.trunk_x[EDGE] / part, 0.0)
        curve = 0.5 * prices[EDGE] * (curve + np.where(moved_own, now.x[EDGE], 0.0).sum(axis=1) / rest)
        cross = np.where(moved, 0.5 * now.trunk_t[EDGE] / part, 0.0)[:, None]
        cross = cross - np.where(moved_own, 0.5 * now.t[EDGE] / rest[:, None], 0.0)
        scale = np.where(within & (curve > 0), 1.0 / np.where(curve > 0, curve, 1.0), 0.0)
        hessian = hessian + cross[:, :, None] * cross[:, None, :] * scale[:, None, None]
    hessian = hessian * (free[:, :, None] & free[:, None, :])
    return np.where(free, gradient, 0.0), hessian


def _solved(hessian: Array, diagonal: Array, right: Array) -> Array:
    """d with (diag - H) d = right, scaled."""
    matrix = -hessian
    place = np.arange(matrix.shape[1])
    matrix[:, place, place] += diagonal
    scale = 1.0 / np.sqrt(np.maximum(matrix[:, place, place], 1e-300))
    matrix = matrix * scale[:, :, None] * scale[:, None, :]
    matrix[:, place, place] += 1e-14
    return np.asarray(np.linalg.solve(matrix, (right * scale)[:, :, None])[:, :, 0] * scale)


def guess(riders: Riders, prices: Array, level_s: float) -> tuple[Array, Array]:
    """Multipliers (S, n) and parts (S,) to begin with for "max", as if rates were linear and no limit held."""
    root = np.sqrt(prices[:, None, None] * riders.a).sum(axis=0)
    ahead = np.sqrt(prices[1:, None] * riders.trunk_a[1:]).sum(axis=0)
    cast = np.sqrt(prices[DOWNLINK] * riders.trunk_a[DOWNLINK]) * riders.both.any(axis=1)
    left = np.where(riders.rides, late(riders, level_s), np.inf)
    tight = left.min(axis=1)
    tight = np.where(tight > 0, tight, 1.0)
    best, mu = np.full(len(tight), np.inf), np.zeros(root.shape)
    share = ahead / np.where(ahead + cast > 0, ahead + cast, 1.0)
    for parts in (0.15, 0.3, 0.5, 0.7, 0.85, 1.0):
        wait = np.where(np.isfinite(tight), parts * tight, 1.0)
        first, then = share * wait, (1.0 - share) * wait
        rest = left - first[:, None] - np.where(riders.both, then[:, None], 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = np.where(root > 0, np.where(rest > 0, root**2 / rest, np.inf), 0.0).sum(axis=1)
            cost += np.where(ahead > 0, ahead**2 / first, 0.0) + np.where(cast > 0, cast**2 / then, 0.0)
            found = np.where(root > 0, (root / rest) ** 2, 0.0)
            wanted = np.where(ahead > 0, (ahead / first) ** 2, np.where(cast > 0, (cast / then) ** 2, 0.0))
        lacking = np.maximum(wanted - found.sum(axis=1), 0.0)
        idle = riders.rides & (root == 0)
        idle &= left <= np.where(idle, left, np.inf).min(axis=1)[:, None]
        found = found + np.where(idle, lacking[:, None], 0.0)
        better = cost < best
        best, mu = np.where(better, cost, best), np.where(better[:, None], found, mu)
    edge, own = np.sqrt(riders.trunk_a[EDGE]), np.sqrt(riders.a[EDGE]).sum(axis=1)
    total = edge**2 + own**2
    mu = np.where(np.isfinite(mu), mu, 0.0) * riders.rides
    return mu, np.where(total > 0, edge**2 / np.where(total > 0, total, 1.0), 1.0)


@dataclass(frozen=True)
class Cheapest:
    """What costs least at prices.

    Parameters
    ----------
    least : array, (P,)
        Cost of each party.
    best : array of int, (P,)
        The pattern that has it.
    slope : array, (3,)
        What all parties use together.
    choice : array of int, (R,)
        What users take, and behind them the groups whose trunks are rows of the tree.
    """

    least: Array
    best: NDArray[np.int64]
    slope: Array
    choice: NDArray[np.int64]


class Ways(Protocol):
    """Ways to work out G: in NumPy here, or in compiled code."""

    def worths(
        self, riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool
    ) -> Array:
        """G at multipliers, (S,)."""
        ...

    def most(
        self, riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool
    ) -> tuple[Array, Array, Array]:
        """Multipliers (S, n), parts (S,) and the value (S,) where G is largest, from a start."""
        ...

    def cheapest(self, model: Any, prices: Array, mask: Mask) -> Cheapest | None:
        """What is cheapest of `PrefixCosts` that are closed; None where NumPy is as good."""
        ...


class NumpyRiders:
    """As `Ways` has it."""

    def worths(
        self, riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool
    ) -> Array:
        """As `Ways` has it."""
        return worth(riders, prices, level_s, mu, part, phased).value

    def most(
        self, riders: Riders, prices: Array, level_s: float | None, mu: Array, part: Array, phased: bool
    ) -> tuple[Array, Array, Array]:
        """As `Ways` has it."""
        return most(riders, prices, level_s, mu, part, phased)

    def cheapest(self, model: Any, prices: Array, mask: Mask) -> Cheapest | None:
        """As `Ways` has it."""
        return None
