"""Best shares of given options by a barrier method that shares nothing with the package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRECISION = 1e-13


def seconds(a: Array, gamma: Array, x: Array) -> tuple[Array, Array, Array]:
    """a / R(x) with its first and second derivative; R(x) = x, or x ln(1 + gamma / x)."""
    curved = np.isfinite(gamma)
    if not curved.any():
        return a / x, -a / x**2, 2 * a / x**3
    g = np.where(curved, gamma, 1.0)
    r = np.where(curved, x * np.log1p(g / x), x)
    r1 = np.where(curved, np.log1p(g / x) - g / (x + g), 1.0)
    r2 = np.where(curved, -(g**2) / (x * (x + g) ** 2), 0.0)
    return a / r, -a * r1 / r**2, a * (2 * r1**2 / r**3 - r2 / r**2)


def barrier(
    a: Array, gamma: Array, least: Array, cap: Array, fixed: Array, branch: Array, weight: Array, late: Array,
    largest: bool, *, start: Array | None = None, enough: float = 0.0,
) -> tuple[float, Array]:  # fmt: skip
    """Least sum or maximum of weight (fixed + max(branch, times)), and shares with which it is reached; at most
    `enough` will do. Variables: shares, times of users, the maximum; `late` limits fixed + max(branch, times)."""
    needs = a > 0
    n, size = len(fixed), int(needs.sum())
    place = np.full(a.shape, -1)
    place[needs] = np.arange(size)
    room = (1.0 - least.sum(axis=1, keepdims=True)) / (2.0 * np.maximum(needs.sum(axis=1, keepdims=True), 1))
    x = np.minimum(least + room, 0.5 * (least + cap))[needs] if start is None else start
    variables = size + n + 1

    a, gamma, user = a[needs], gamma[needs], np.nonzero(needs)[1]

    def summed(x: Array) -> Array:
        return np.bincount(user, seconds(a, gamma, x)[0], n)

    def value_of(x: Array) -> float:
        late = weight * (fixed + np.maximum(branch, summed(x)))
        return float(late.max() if largest else late.sum())

    busy = np.maximum(summed(x), branch)
    s = np.where(np.isfinite(late), 0.5 * (busy + np.where(np.isfinite(late), late, 0) - fixed), 2.0 * busy + 1e-3)
    d = 2.0 * float((weight * (fixed + s)).max())
    z = np.r_[x, s, d]

    # slacks of the times of users are curved; those of branches, deadlines, the maximum, budgets and shares are not
    unit = np.eye(variables)
    of_shares, of_times = unit[:size], unit[size:-1]
    due = np.isfinite(late)
    budgets = [of_shares[place[i][needs[i]]].sum(axis=0) for i in range(3) if needs[i].any()]
    straight = [of_times, -of_times[due], *([unit[-1] - weight[:, None] * of_times] if largest else [])]
    straight += [-np.array(budgets).reshape(-1, variables), of_shares, -of_shares]
    right = [-branch, (late - fixed)[due], *([-weight * fixed] if largest else [])]
    right += [np.ones(len(budgets)), -least[needs], cap[needs]]
    rows, offset = np.vstack([of_times, *straight]), np.concatenate(right)

    def slacks(z: Array) -> Array:
        return np.r_[z[size:-1] - summed(z[:size]), rows[n:] @ z + offset]

    cost = np.zeros(variables)
    cost[size:-1] = 0.0 if largest else weight
    cost[-1] = 1.0 if largest else 0.0
    best, shares, t = value_of(x), x, 1.0 / max(value_of(x), 1e-9)
    count, step, free = len(rows), np.zeros(variables), variables if largest else variables - 1
    while True:
        for _ in range(60):
            slack, (_, once, twice) = slacks(z), seconds(a, gamma, z[:size])
            rows[user, np.arange(size)] = -once
            relative = rows / slack[:, None]
            gradient = t * cost - relative.sum(axis=0)
            hessian = relative.T @ relative
            hessian[np.arange(size), np.arange(size)] += twice / slack[user]
            inner = hessian[:free, :free]
            scale = 1 / np.sqrt(np.diag(inner))
            step[:free] = -scale * np.linalg.solve(inner * scale[:, None] * scale, scale * gradient[:free])
            decrement = -float(gradient @ step)
            if decrement < 1e-10:
                break
            length, merit = 1.0, t * float(cost @ z) - float(np.log(slack).sum())
            while length > 1e-12:
                new = z + length * step
                if (new[:size] > 0).all():
                    ahead = slacks(new)
                    if (ahead > 0).all() and t * float(cost @ new) - float(np.log(ahead).sum()) <= merit:
                        z = new
                        break
                length *= 0.5
            else:
                break
        if value_of(z[:size]) < best:
            best, shares = value_of(z[:size]), z[:size]
        if count / t < PRECISION * best or t > 1e17 or best <= enough:
            return best, shares
        t *= 30.0
