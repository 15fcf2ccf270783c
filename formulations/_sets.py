"""One option set: its value and shadow prices, in closed form where there is one; problems with fewer options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.best import best_shares
from megdt_opt.shares.interior import latencies
from megdt_opt.solving.search.pool import Pool

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_PASSES = 40
_NEWTON = 100


def restrict(problem: AllocationProblem, order: NDArray[np.int64], mask: Mask) -> AllocationProblem:
    """The problem with the options in `order` (K, M), of which those in `mask` (K, M) are allowed."""

    def take(table: Any) -> Any:
        return None if table is None else np.take_along_axis(table, order, axis=1)

    names = ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s", "device_branch_s", "uplink_airtime_max_s")
    return replace(problem, allowed=mask, **{name: take(getattr(problem, name)) for name in names})


def value_of(
    problem: AllocationProblem, resources: Resources, option: NDArray[np.int64], level_s: float, start: Array
) -> tuple[float, Array | None]:
    """Least largest weighted latency of an option set (K,) [s], and prices (3,) that it cannot pay at a level.

    The value is infinite where the set is known to be later than the level but not by how much. The prices are None
    where none were found, as for a set that fits.

    Where every user ends at the same weighted level and no share meets a bound, the value has a closed form
    (`_level`). Elsewhere prices are looked for, from `start`, and only a set without any goes to the interior method.
    """
    found = _level(problem, resources, option)
    if found is not None:
        value, prices, _ = found
        return value, prices if value > level_s and prices.any() else None
    sharp = unpayable(problem, option, level_s, start) if np.isfinite(level_s) else None
    if sharp is not None:
        return np.inf, sharp
    return float(best_shares(problem, resources, option[None]).objective[0]), None


def shares_of(problem: AllocationProblem, option: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """Best shares of an option set (K,): downlink [Hz], uplink [Hz], edge [1]."""
    resources = Resources.of(problem)
    found = _level(problem, resources, option) if problem.objective == "max" else None
    x = best_shares(problem, resources, option[None]).x[0] if found is None else found[2]
    down, up, edge = (
        part * budget
        for part, budget in zip(x, (problem.downlink_hz, problem.uplink_hz, problem.edge_capacity), strict=True)
    )
    return down, up, np.minimum(edge, problem.share_caps)


def _level(
    problem: AllocationProblem, resources: Resources, option: NDArray[np.int64]
) -> tuple[float, Array, Array] | None:
    """The common level D of linear rates without a share at its bound, with prices and shares; None elsewhere.

    With s_k = sqrt(a_k) (3,) and tau_k = D / w_k - fixed_k, prices l = r^2 on the simplex cost user k
    (r . s_k)^2 / tau_k, so no prices overspend at D iff the largest eigenvalue of M(D) = sum_k s_k s_k' / tau_k is at
    most 1. M is nonnegative, hence its leading vector r is too (Perron); its eigenvalue is convex and falls in D, so
    Newton's method from a D where it is at least 1 rises to the root.
    """
    rows = np.arange(problem.users)
    a, gamma, lo, hi = (part[0] for part in resources.pick(option[None]))
    if np.isfinite(gamma).any() or lo.any():
        return None
    fixed, branch, w = problem.fixed_s[rows, option], problem.branch_s[rows, option], problem.weights
    floor = float((w * (fixed + branch)).max())
    busy = a.any(axis=0)
    level, r, x = floor, np.zeros(3), np.zeros_like(a)
    if busy.any():
        s, used = np.sqrt(a[:, busy]), a.any(axis=1)
        level = float((w * (fixed + a.sum(axis=0)))[busy].max())
        for _ in range(_NEWTON):
            tau = level / w[busy] - fixed[busy]
            with np.errstate(over="ignore"):
                inside = bool((tau > 0).all()) and bool(np.isfinite(s**2 / np.maximum(tau, 1e-300)).all())
            if not inside:  # what is shared is lost in the rounding of what is fixed
                return None
            values, vectors = np.linalg.eigh((s / tau) @ s.T)
            r = np.abs(vectors[:, -1])
            step = (values[-1] - 1) / float(((r @ s) ** 2 / (w[busy] * tau**2)).sum())
            if not step > 1e-15 * level:
                break
            level += step
        if (r[used] < 1e-6).any():
            return None
        level = max(level, floor)
        tau = level / w[busy] - fixed[busy]
        if not (tau > 0).all():
            return None
        x[:, busy] = s * (r @ s / tau) / np.where(used, r, 1.0)[:, None]
        x /= max(float(x.sum(axis=1).max()), 1.0)
        if (x > hi).any():
            return None
        late = latencies(a[None], gamma[None], x[None], fixed[None], branch[None])[0]
    else:
        late = fixed + branch
    if (late > problem.hard_deadline_s).any():
        return None
    return float((w * late).max()), r * r, x


def sum_of(problem: AllocationProblem, resources: Resources, option: NDArray[np.int64]) -> tuple[float, Array]:
    """Least sum of an option set (K,) [s], infinite where it cannot keep the limits, and its shadow prices (3,) [s].

    Linear rates, one stage after another: the stages part, and a stage asks for the least sum of p^2 / x within caps
    and budget. There x = min(cap, p / r): r sums the p of users below their caps over what the others leave.
    """
    rows = np.arange(problem.users)
    if resources.linear and not problem.branch_s[rows, option].any() and not resources.lo[1][rows, option].any():
        a, gamma, _, hi = (part[0] for part in resources.pick(option[None]))
        p = np.sqrt(problem.weights * a)
        r, x = np.zeros(3), np.zeros_like(p)
        for i in range(3):
            free = p[i] > 0
            while free.any():
                r[i] = p[i][free].sum() / max(1.0 - hi[i][(p[i] > 0) & ~free].sum(), 1e-300)
                over = free & (p[i] > hi[i] * r[i])
                if not over.any():
                    break
                free &= ~over
            if not free.any():  # all at their caps, and the budget is not used up
                r[i] = 0.0
            x[i] = np.where(free, p[i] / (r[i] or 1.0), np.where(p[i] > 0, hi[i], 0.0))
        late = latencies(a[None], gamma[None], x[None], problem.fixed_s[rows, option][None], np.zeros((1, 1)))[0]
        if (late <= problem.hard_deadline_s).all():
            return float((problem.weights * late).sum()), r * r
    found = best_shares(problem, resources, option[None])
    return float(found.objective[0]), found.prices[0]


def unpayable(problem: AllocationProblem, option: NDArray[np.int64], level_s: float, start: Array) -> Array | None:
    """Prices (3,) that an option set cannot pay at a level; None where there are none."""
    mask = np.ones((option.size, 1), dtype=bool)
    one = restrict(problem, option[:, None], mask)
    pool = Pool(one, Resources.of(one), level_s)
    pool.add(start)
    target, found = 1e-9, -1
    while True:
        value, sharpest, _, _ = pool.improve(mask, target, 1.0, _PASSES)
        if value < target:
            return pool.prices[found] if found >= 0 else None
        # overspent: go on for as long as twice as much is to be had
        target, found = 2 * value, sharpest
