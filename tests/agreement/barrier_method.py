"""Best shares of given options by a barrier method that shares nothing with the package."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRECISION = 1e-13


def seconds(a: Array, gamma: Array, x: Array) -> tuple[Array, Array, Array]:
    """a / R(x) with its first and second derivative; R(x) = x, or x ln(1 + gamma / x)."""
    curved = np.isfinite(gamma)
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

    def times(x: Array) -> tuple[Array, Array, Array]:
        full = np.where(needs, 0.0, 1.0)
        full[needs] = x
        return seconds(a, gamma, full)

    def value_of(x: Array) -> float:
        late = weight * (fixed + np.maximum(branch, times(x)[0].sum(axis=0)))
        return float(late.max() if largest else late.sum())

    busy = np.maximum(times(x)[0].sum(axis=0), branch)
    s = np.where(np.isfinite(late), 0.5 * (busy + np.where(np.isfinite(late), late, 0) - fixed), 2.0 * busy + 1e-3)
    d = 2.0 * float((weight * (fixed + s)).max())
    z = np.r_[x, s, d]

    def parts(z: Array) -> tuple[Array, Array, list[tuple[int, Array]]]:
        """Slacks, their gradients, and the curvature that is not linear."""
        x, s, d = z[:size], z[size:-1], z[-1]
        t, t1, t2 = times(x)
        slack, rows, bends = [], [], []
        for j in range(n):
            row, bend = np.zeros(variables), np.zeros(size)
            row[size + j] = 1.0
            for i in range(3):
                if needs[i, j]:
                    row[place[i, j]], bend[place[i, j]] = -t1[i, j], -t2[i, j]
            bends.append((len(slack), bend))
            slack.append(s[j] - t[:, j].sum())
            rows.append(row)
            row = np.zeros(variables)
            row[size + j] = 1.0
            slack.append(s[j] - branch[j])
            rows.append(row)
            if np.isfinite(late[j]):
                row = np.zeros(variables)
                row[size + j] = -1.0
                slack.append(late[j] - fixed[j] - s[j])
                rows.append(row)
            if largest:
                row = np.zeros(variables)
                row[-1], row[size + j] = 1.0, -weight[j]
                slack.append(d - weight[j] * (fixed[j] + s[j]))
                rows.append(row)
        for i in range(3):
            if needs[i].any():
                row = np.zeros(variables)
                row[place[i][needs[i]]] = -1.0
                slack.append(1.0 + row[:size] @ x)
                rows.append(row)
        for at, (floor, limit) in enumerate(zip(least[needs], cap[needs], strict=True)):
            for sign, right in ((1.0, -floor), (-1.0, limit)):
                row = np.zeros(variables)
                row[at] = sign
                slack.append(right + sign * x[at])
                rows.append(row)
        return np.array(slack), np.array(rows), bends

    cost = np.zeros(variables)
    cost[size:-1] = 0.0 if largest else weight
    cost[-1] = 1.0 if largest else 0.0
    best, shares, t = value_of(x), x, 1.0 / max(value_of(x), 1e-9)
    count = len(parts(z)[0])
    while True:
        for _ in range(60):
            slack, rows, bends = parts(z)
            gradient = t * cost - (rows / slack[:, None]).sum(axis=0)
            hessian = (rows / slack[:, None]).T @ (rows / slack[:, None])
            for at, bend in bends:
                hessian[np.arange(size), np.arange(size)] -= bend / slack[at]
            free = np.ones(variables, dtype=bool)
            free[-1] = largest
            scale = 1 / np.sqrt(np.diag(hessian)[free])
            inner = hessian[np.ix_(free, free)] * scale[:, None] * scale
            step = np.zeros(variables)
            step[free] = -scale * np.linalg.solve(inner, scale * gradient[free])
            decrement = -float(gradient @ step)
            if decrement < 1e-10:
                break
            length, merit = 1.0, t * float(cost @ z) - float(np.log(slack).sum())
            while length > 1e-12:
                new = z + length * step
                if (new[:size] > 0).all():
                    ahead = parts(new)[0]
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
