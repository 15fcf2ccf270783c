"""Least priced cost of each option, for given prices of the scaled budgets.

With prices l >= 0 the users part. For "sum" an option costs

    c(l) = min over shares of  w (fixed + max(branch, T(x))) + l . x,      T(x) = sum of the times,

for "max" at a deadline D it costs the least l . x that meets it. Both are the maximum over mu >= 0 of a concave
function: with phi_i(mu) = min over x in [lo, hi] of l x + mu t_i(x),

    sum: w fixed + sum phi_i(mu) + (w - mu) * (branch if mu <= w else limit),
    max: sum phi_i(mu) - mu tau,                         tau = min(D / w, limit) - fixed,

so every mu gives a lower bound; that is what a certificate recomputes. By weak duality (the budgets' constraints are
relaxed with prices l) sum_k min_o c - sum l is a lower bound of "sum", and sum_k min_o c > sum l proves that no
allocation meets the deadline D. For "missed" an option costs as for "max", with each user's own deadline instead of
D / w; being late costs w_k, and sum_k min(w_k, min_o c) - sum l is a lower bound of the weights that are late.
For "mixed" there are multipliers nu >= 0 of D >= w L beside the prices, sum nu <= max_weight. As D >= w_k L_k,

    sum_k w_k L_k + max_weight D  >=  sum_k (1 + nu_k) w_k L_k,

so what holds for "sum" with the weights (1 + nu) w bounds "mixed"; for fixed options the best (l, nu) loses nothing.
Where costs are weighted into "max" it is the same without the sum: weights nu w, sum nu <= 1 (`problem.tilts`).

Costs of options beside the latency add to c: weighted ones as seconds, limited ones by a price of each limit. With the
loads e of `problem.cost_limits`, which sum to at most 1 where a limit is kept, and prices p >= 0, what is said above
holds with c_ko + p . e_ko in place of c_ko, and with sum l + sum p in place of sum l.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce
from math import gcd, lcm

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.radio.rates import shannon_minimiser, speed, time_and_slopes

_STEPS = 400
_ROUNDING = 1e-15
_SPAN = 1e36
_MOST = 1e300
"""The largest multiplier of a time [s or 1]."""

_SETTLED = 2e-13
"""Relative distance from a wanted time that the rounding of Shannon rates leaves; costs are exact to as much."""


@dataclass(frozen=True)
class Priced:
    """Costs of all options at given prices.

    Parameters
    ----------
    cost : array, (K, O)
        Least priced cost [s for "sum", 1 for "max"]; infinite where the option is closed.
    x : array, (3, K, O)
        Shares at which it is attained: the slope of the cost in the prices.
    mu : array, (K, O)
        Multiplier of the time at which it is attained.
    doubt : array, (K, O)
        What rounding may have added to the cost: a limit that is just kept has a very large multiplier.
    """

    cost: Array
    x: Array
    mu: Array
    doubt: Array


def priced(problem: AllocationProblem, resources: Resources, prices: Array, level_s: float | None = None) -> Priced:
    """Costs at prices, (3,).

    Parameters
    ----------
    problem : AllocationProblem
    resources : Resources
    prices : array, (3,)
        Of the scaled budgets, >= 0; with `problem.tilts` (3 + K,), the multipliers nu after them. For "sum" and "max"
        each user may have prices of its own, (3, K), as users of several servers have.
    level_s : float, optional
        The deadline D on w L for "max" [s]; None means "sum", "mixed" or "missed", as the problem's objective says.
    """
    if problem.objective == "missed":
        return priced_missed(problem, resources, prices)
    w = problem.weights[:, None]
    if problem.tilts is not None:
        w, prices = w * (problem.tilts.base + prices[3:, None]), prices[:3]
    limit = problem.hard_deadline_s[:, None] - problem.fixed_s
    branch = problem.branch_s
    busy = (resources.a > 0).any(axis=0)
    if level_s is None:
        possible = resources.open & (branch <= limit) & ((limit > 0) | ~busy)
        x, t = _minimisers(resources, prices, np.broadcast_to(w, busy.shape))
        mu = np.where(busy, w, 0.0)
        # the time wanted: the branch if the priced time is shorter, the limit if it is longer
        early, late = possible & busy & (t < branch), possible & busy & (t > limit)
        wanted = np.where(early, branch, np.where(late, limit, 1.0))
        mu, x, reached = _match(resources, prices, wanted, early | late, mu, x)
        possible &= reached | early
        t = np.where(busy, _total(resources, x), 0.0)
        matched = early | late
        with np.errstate(invalid="ignore", over="ignore"):
            # worked out from the multiplier, as a certificate does: a time that is not quite the wanted one would
            # weigh as much as the multiplier, which a limit that is just kept makes very large
            waited = np.where(matched, mu * t + (w - mu) * wanted, w * np.maximum(branch, t))
        waited = np.where((w > 0) | matched, waited, 0.0)  # no time is worth waiting less
        cost = w * problem.fixed_s + (_of_users(prices) * x).sum(axis=0) + waited
        doubt = np.where(matched & possible, _ROUNDING * mu * wanted, 0.0)
        return Priced(np.where(possible, cost, np.inf), x, mu, doubt)
    return _within(problem, resources, prices, np.minimum(level_s / w - problem.fixed_s, limit))


def priced_with_costs(
    problem: AllocationProblem, resources: Resources, prices: Array, level_s: float | None = None
) -> Priced:
    """The same with what options cost beside the latency; prices are (3 + N,), or (3 + N + K,) with multipliers, N
    prices of the limited costs after those of the budgets."""
    number = limited_costs(problem)
    found = priced(problem, resources, without_costs(prices, number), level_s)
    more = charged(problem, prices[3 : 3 + number])
    return found if more is None else replace(found, cost=found.cost + more)


def limited_costs(problem: AllocationProblem) -> int:
    """Number of costs with a limit, N [1]."""
    return 0 if problem.cost_limits is None else problem.cost_limits.limited.size


def without_costs(prices: Array, number: int) -> Array:
    """Prices of the budgets, and multipliers, without those of the limited costs."""
    return np.r_[prices[:3], prices[3 + number :]] if number else prices


def charged(problem: AllocationProblem, cost_prices: Array) -> Array | None:
    """What options cost beside the latency at prices (N,) of the limits, (K, O); None where that is nothing."""
    more = problem.option_cost_s
    if problem.cost_limits is None or not cost_prices.any():
        return more
    loads = problem.cost_limits.loads @ cost_prices
    return loads if more is None else loads + more


def priced_missed(problem: AllocationProblem, resources: Resources, prices: Array) -> Priced:
    """Costs for "missed" at prices, (3,): an option costs what being on time with it takes, and there is one choice
    more, the last: being late costs the user's weight and the least uplink share that its airtime limits leave.

    Returns
    -------
    Priced
        With tables (K, O + 1).
    """
    on_time = _within(problem, resources, prices, problem.on_time_s[:, None] - problem.fixed_s)
    least = least_uplink(resources)
    late = np.where(resources.open.any(axis=1), problem.weights + prices[UPLINK] * least, np.inf)
    x = np.concatenate([on_time.x, np.zeros((3, problem.users, 1))], axis=2)
    x[UPLINK, :, -1] = least
    none = np.zeros(problem.users)
    return Priced(
        cost=np.column_stack([on_time.cost, late]),
        x=x,
        mu=np.column_stack([on_time.mu, none]),
        doubt=np.column_stack([on_time.doubt, none]),
    )


def grain(weight: Array) -> Fraction:
    """Greatest number of which every weight is a whole multiple, exactly; sums of weights are multiples of it too."""
    parts = [Fraction(float(w)) for w in weight]
    below = reduce(lcm, (p.denominator for p in parts), 1)
    return Fraction(reduce(gcd, (int(p * below) for p in parts), 0), below)


def least_uplink(resources: Resources) -> Array:
    """Least uplink share with which some open option of each user keeps its airtime limit, (K,) [1]."""
    least = np.where(resources.open, resources.lo[UPLINK], np.inf).min(axis=1)
    result: Array = np.where(np.isfinite(least), least, 0.0)
    return result


def _within(problem: AllocationProblem, resources: Resources, prices: Array, tau: Array) -> Priced:
    """Least l . x with max(branch, T(x)) <= tau, tau (K, O) [s]."""
    busy = (resources.a > 0).any(axis=0)
    possible = resources.open & (tau >= problem.branch_s) & ((tau > 0) | ~busy)
    wanted = np.where(possible & busy, tau, 1.0)
    start = np.ones(busy.shape)
    mu, x, reached = _match(resources, prices, wanted, possible & busy, start, np.zeros_like(resources.a))
    possible &= reached
    paid = (_of_users(prices) * x).sum(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        cost = np.where(busy, np.maximum(paid + mu * (_total(resources, x) - wanted), 0.0), 0.0)
    doubt = np.where(possible & busy, _ROUNDING * mu * wanted, 0.0)
    return Priced(np.where(possible, cost, np.inf), x, mu, doubt)


def _of_users(prices: Array) -> Array:
    """Prices, (3,) of all users or (3, K) of each, beside tables (3, K, O)."""
    return prices[:, None, None] if prices.ndim == 1 else prices[:, :, None]


def _own(prices: Array, users: NDArray[np.bool_] | NDArray[np.intp]) -> Array:
    """Prices of some users."""
    return prices if prices.ndim == 1 else prices[:, users]


def _total(resources: Resources, x: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result: NDArray[np.float64] = np.where(
            resources.a > 0, resources.a / speed(x, resources.gamma[:, :, None]), 0.0
        ).sum(axis=0)
        return result


def _minimisers(resources: Resources, prices: Array, mu: Array) -> tuple[Array, Array]:
    """argmin of l x + mu a / R(x) within [lo, hi], (3, K, O), and the total time there, (K, O)."""
    a, hi = resources.a, resources.hi[:, :, None]
    price = _of_users(prices)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(price > 0, mu * a / np.where(price > 0, price, 1.0), np.inf)
        x = np.sqrt(ratio)
        for i in range(3):
            curved = np.isfinite(resources.gamma[i])
            if curved.any() and prices[i].any():
                finite = np.where(np.isfinite(ratio[i][curved]), ratio[i][curved], 1.0)
                found = shannon_minimiser(finite, resources.gamma[i][curved][:, None])
                x[i][curved] = np.where(np.isfinite(ratio[i][curved]), found, np.inf)
    x = np.where(a > 0, np.clip(x, resources.lo, hi), 0.0)
    return x, _total(resources, x)


def _match(
    resources: Resources, prices: Array, wanted: Array, where: NDArray[np.bool_], mu: Array, x: Array
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Multiplier at which the total time equals `wanted`; False where it stays longer even at x = hi."""
    reached = np.ones(where.shape, bool)
    if not where.any():
        return mu, x, reached
    mu, x = mu.copy(), x.copy()
    k, o = np.nonzero(where)
    part = Resources(
        a=resources.a[:, k, o][:, :, None],
        gamma=resources.gamma[:, k],
        lo=resources.lo[:, k, o][:, :, None],
        hi=resources.hi[:, k],
        open=resources.open[k, o][:, None],
    )
    goal, prices = wanted[k, o][:, None], _own(prices, k)
    root = np.sqrt(_of_users(prices) * part.a).sum(axis=0)
    with np.errstate(over="ignore"):  # where a level leaves next to no time
        guess = np.minimum((root / goal) ** 2, _MOST)
    xs, t = _minimisers(part, prices, guess)
    good = np.abs(t - goal) <= 1e-14 * goal
    if not good.all():
        fastest = _total(part, np.where(part.a > 0, part.hi[:, :, None], 0.0))
        ok = (fastest <= goal)[:, 0] | good[:, 0]
        reached[k, o] = ok
        rest = ~good[:, 0] & ok
        if rest.any():
            some = Resources(part.a[:, rest], part.gamma[:, rest], part.lo[:, rest], part.hi[:, rest], part.open[rest])
            their = _own(prices, rest)
            search = _divided if np.isinf(some.gamma).all() else _search
            guess[rest] = np.minimum(search(some, their, goal[rest], guess[rest]), _enough(some, their))
            xs[:, rest] = _minimisers(some, their, guess[rest])[0]
    mu[k, o] = guess[:, 0]
    x[:, k, o] = xs[:, :, 0]
    return mu, x, reached


def _enough(part: Resources, prices: Array) -> Array:
    """Twice the multiplier at which every priced share is the largest, (N, 1): a larger one only adds rounding."""
    top = part.hi[:, :, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        _, slope, _ = time_and_slopes(np.broadcast_to(top, part.a.shape), part.a, part.gamma[:, :, None])
        needed = np.where((part.a > 0) & (slope < 0), _of_users(prices) / -slope, 0.0).max(axis=0)
    result: Array = np.where(needed > 0, 2.0 * needed, np.inf)
    return result


def _divided(part: Resources, prices: Array, goal: Array, guess: Array) -> Array:
    """mu at which the total time is the goal, (N, 1), for the law R(x) = x.

    With y = mu^(-1/2), the time of a stage is sqrt(l a) y between a / hi and a / lo, so that their sum is linear in y
    between the six places where one of them reaches an end.
    """
    a, goal = part.a[:, :, 0], goal[:, 0]
    root = np.sqrt(_of_users(prices)[:, :, 0] * a)
    moves = root > 0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        least, most = np.where(a > 0, a / part.hi, 0.0), np.where(a > 0, a / part.lo[:, :, 0], 0.0)
        first, last = np.where(moves, least / root, 0.0), np.where(moves, most / root, 0.0)
        ends = np.sort(np.concatenate([first, last]), axis=0)
        there = np.where(moves, np.clip(np.where(moves, root, 1.0) * ends[:, None], least, most), least).sum(axis=1)
        beyond = (there < goal).sum(axis=0)
        row = np.arange(len(goal))
        left = np.where(beyond > 0, ends[np.maximum(beyond - 1, 0), row], 0.0)
        right = np.where(beyond < 6, ends[np.minimum(beyond, 5), row], np.inf)
        free = moves & (first <= left) & (right <= last)
        still = np.where(free, 0.0, np.where(moves & (last <= left), most, least)).sum(axis=0)
        slope = np.where(free, root, 0.0).sum(axis=0)
        y = np.where(slope > 0, np.clip((goal - still) / slope, left, right), right)
        result: Array = np.where(most.sum(axis=0) <= goal, np.maximum(guess[:, 0], 1e-200) / _SPAN, y**-2.0)
    return result[:, None]


def _search(part: Resources, prices: Array, goal: Array, guess: Array) -> Array:
    """mu at which the total time is the goal, by secants within a bracket; where none is, the side that keeps it.

    log t falls almost evenly in log mu, so secants settle in a few steps; where one does not get much nearer, the
    bracket is halved instead.
    """
    z = np.log(np.maximum(guess, 1e-200))
    low, high = z - np.log(_SPAN), z + np.log(_SPAN)
    # R(x) = x has the slope -1/2
    before, slope = np.full_like(z, np.nan), np.full_like(z, -0.5)
    # where even the least shares are in time, time is worth nothing
    idle = _total(part, part.lo) <= goal
    z = np.where(idle, low, z)
    settled, z_before = idle.copy(), z
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(_STEPS):
            _, t = _minimisers(part, prices, np.exp(z))
            off = np.log(t / goal)
            settled |= np.abs(off) <= _SETTLED
            settled |= high - low <= 1e-15 * np.abs(high)
            if settled.all():
                break
            slow = off > 0
            low, high = np.where(slow & ~settled, z, low), np.where(~slow & ~settled, z, high)
            new = (off - before) / (z - z_before)
            slope = np.where(np.isfinite(new), np.clip(new, -2.0, -0.02), slope)
            place = z - off / slope
            halve = ~((place > low) & (place < high)) | (np.abs(off) > 0.7 * np.abs(before))
            place = np.where(halve, 0.5 * (low + high), place)
            before, z_before, z = off, z, np.where(settled, z, place)
        reached = np.abs(off) <= _SETTLED
    result: Array = np.exp(np.where(reached | idle, z, high))
    return result
