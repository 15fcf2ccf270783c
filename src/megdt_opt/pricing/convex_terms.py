"""Small convex programs of one form, many at once, by a primal-dual interior method.

    minimise cost . v(z) + slope . z   such that   C v(z) + D z + b <= 0,

where every term v_t is a convex function of one or two variables: exp(s (z_p + z_q)) with s = 1 or -1, or, for the
Shannon law, exp(-z_q) / R(exp z_p) with R(x) = x log1p(gamma / x). In the logarithms of shares, times and shares are of
this form, and nothing can become negative.

The method is that of Boyd and Vandenberghe, Convex Optimization (2004), 11.7, from a point that keeps all limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.radio.rates import bend

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_ITERATIONS = 80
_HALVINGS = 30
_CLOSED, _SETTLED = 1e-13, 1e-11
"""Products of slack and multiplier, all together, over the objective, at which a program is solved: where steps are long,
and where they have become short [1]."""

_SHORT = 0.05
_ROUNDING = 1e-14


@dataclass(frozen=True)
class Terms:
    """Terms of B programs, padded to T each, of n variables.

    Parameters
    ----------
    first, second : array of int, (B, T)
        Variables of a term; n stands for one that is always 0.
    sign : array, (B, T)
        s; -1 for a term with the Shannon law.
    gamma : array, (B, T)
        SNR-bandwidth product over the band; infinite for an exponential.
    variables : int
        n.
    """

    first: Index
    second: Index
    sign: Array
    gamma: Array
    variables: int

    @cached_property
    def one(self) -> Array:
        """Where the first variable of a term is, (B, T, n)."""
        return np.eye(self.variables + 1)[self.first][:, :, : self.variables]

    @cached_property
    def two(self) -> Array:
        """Where the second is, (B, T, n)."""
        return np.eye(self.variables + 1)[self.second][:, :, : self.variables]

    @cached_property
    def curved(self) -> NDArray[np.bool_]:
        """Where the Shannon law holds, (B, T)."""
        return np.isfinite(self.gamma)

    def values(self, z: Array) -> tuple[Array, Array]:
        """Terms at z (B, n), and gamma / exp z_p where the Shannon law holds, each (B, T)."""
        wide = np.concatenate([z, np.zeros((len(z), 1))], axis=1)
        p, q = np.take_along_axis(wide, self.first, axis=1), np.take_along_axis(wide, self.second, axis=1)
        found = np.exp(self.sign * (p + q))
        if not self.curved.any():
            return found, p
        u = np.where(self.curved, self.gamma, 1.0) * np.exp(-p)
        return np.where(self.curved, found / np.log1p(u), found), u

    def derivatives(self, value: Array, u: Array) -> tuple[Array, Array, Array, Array, Array]:
        """By p, by q, by p twice, by both, by q twice; each (B, T)."""
        second = value
        first = self.sign * value
        if not self.curved.any():
            return first, first, second, second, second
        log = np.log1p(u)
        # R(x) = x log1p(gamma / x): d log R / d log x, and its derivative
        steep = np.where(self.curved, bend(u) / log, 1.0)
        part = u / (1.0 + u)
        h = part / log
        bent = np.where(self.curved, -(h * h - h / (1.0 + u)), 0.0)
        by_p = np.where(self.curved, -steep * value, first)
        by_pp = np.where(self.curved, (steep * steep - bent) * value, second)
        by_pq = np.where(self.curved, steep * value, second)
        return by_p, first, by_pp, by_pq, second


class Program(NamedTuple):
    """B programs; `inner` and the other tables are as in the form above.

    Parameters
    ----------
    terms : Terms
    cost : array, (B, T)
    slope : array, (B, n)
    matrix : array, (B, m, T)
    linear : array, (B, m, n)
    constant : array, (B, m)
        Rows that are no limits have -1 here and nothing else.
    used : array of bool, (B, n)
        Variables that are there.
    """

    terms: Terms
    cost: Array
    slope: Array
    matrix: Array
    linear: Array
    constant: Array
    used: NDArray[np.bool_]

    def limits(self, value: Array, z: Array) -> Array:
        """C v + D z + b, (B, m)."""
        return (
            np.matmul(self.matrix, value[:, :, None])[:, :, 0]
            + np.matmul(self.linear, z[:, :, None])[:, :, 0]
            + self.constant
        )

    def objective(self, value: Array, z: Array) -> Array:
        """(B,)."""
        return np.asarray((self.cost * value).sum(axis=1) + (self.slope * z).sum(axis=1))


def solved(program: Program, start: Array, enough: float = np.inf) -> tuple[Array, Array]:
    """The best z (B, n) and the multipliers of the limits (B, m), from a start that keeps all limits strictly.

    A program ends where multipliers prove that its best is nearly there, or that it is above `enough`.
    """
    terms, z = program.terms, start.copy()
    value, u = terms.values(z)
    slack = -program.limits(value, z)
    scale = np.maximum(np.abs(program.objective(value, z)), 1e-300)
    size = slack.shape[1]
    multiplier = (scale / size)[:, None] / slack
    idle = np.zeros(z.shape) + np.where(program.used, 0.0, 1.0)
    rows = np.arange(z.shape[1])
    active = np.ones(len(z), bool)
    step = np.ones(len(z))
    rounding = _ROUNDING * np.abs(program.slope).max(axis=1)
    for _it in range(_ITERATIONS):
        gap = (slack * multiplier).sum(axis=1)
        by_p, by_q, by_pp, by_pq, by_qq = terms.derivatives(value, u)
        moved = by_p[:, :, None] * terms.one + by_q[:, :, None] * terms.two
        jacobian = program.linear + np.matmul(program.matrix, moved)
        weight = program.cost + np.matmul(multiplier[:, None, :], program.matrix)[:, 0]
        gradient = np.matmul(program.cost[:, None, :], moved)[:, 0] + program.slope
        residual = gradient + np.matmul(multiplier[:, None, :], jacobian)[:, 0]
        error = np.abs(residual).max(axis=1)
        value_now = program.objective(value, z)
        scale = np.maximum(np.abs(value_now), 1e-300)
        active &= ~((gap <= np.where(step < _SHORT, _SETTLED, _CLOSED) * scale) & (error <= 1e-9 * scale + rounding))
        active &= ~((value_now - gap > enough) & (error <= 1e-3 * scale))
        active &= np.isfinite(gap)
        if not active.any():
            break
        curve = np.matmul((terms.one * (weight * by_pp)[:, :, None]).transpose(0, 2, 1), terms.one)
        cross = np.matmul((terms.one * (weight * by_pq)[:, :, None]).transpose(0, 2, 1), terms.two)
        curve += cross + cross.transpose(0, 2, 1)
        curve += np.matmul((terms.two * (weight * by_qq)[:, :, None]).transpose(0, 2, 1), terms.two)
        ratio = multiplier / slack
        curve += np.matmul((jacobian * ratio[:, :, None]).transpose(0, 2, 1), jacobian)
        curve[:, rows, rows] += idle
        towards = np.where(step > 0.9, 0.02, np.where(step > 0.3, 0.15, 0.5)) * gap / size
        pull = gradient + np.matmul((towards[:, None] / slack)[:, None, :], jacobian)[:, 0]
        move = _solve(curve, -pull)
        change = -multiplier + (towards[:, None] + multiplier * np.matmul(jacobian, move[:, :, None])[:, :, 0]) / slack
        with np.errstate(divide="ignore", invalid="ignore"):
            longest = np.where(change < 0, -multiplier / change, np.inf).min(axis=1)
        step = np.where(active, np.minimum(1.0, 0.995 * longest), 0.0)
        # no variable moves by more than the factor e^3 at once
        step = np.minimum(step, 3.0 / np.maximum(np.abs(move).max(axis=1), 3.0))
        for _ in range(_HALVINGS):
            trial = z + step[:, None] * move
            new, trial_u = terms.values(trial)
            left = -program.limits(new, trial)
            bad = ~((left > 0.002 * slack).all(axis=1)) & (step > 0)
            if not bad.any():
                break
            step = np.where(bad, 0.5 * step, step)
        else:
            active &= ~bad
            step = np.where(bad, 0.0, step)
            trial = z + step[:, None] * move
            new, trial_u = terms.values(trial)
            left = -program.limits(new, trial)
        z, value, u, slack = trial, new, trial_u, left
        multiplier = multiplier + step[:, None] * change
    import os
    if os.environ.get("DBG"):
        print("iterations", _it, active.sum())
    return z, multiplier


def _solve(curve: Array, right: Array) -> Array:
    """Solutions of B systems (B, n, n), scaled by their diagonals."""
    size = np.sqrt(np.maximum(np.einsum("bii->bi", curve), 1e-300))
    scaled = curve / (size[:, :, None] * size[:, None, :])
    scaled[:, np.arange(size.shape[1]), np.arange(size.shape[1])] += 1e-15
    try:
        found = np.linalg.solve(scaled, (right / size)[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        scaled[:, np.arange(size.shape[1]), np.arange(size.shape[1])] += 1e-9
        found = np.linalg.solve(scaled, (right / size)[:, :, None])[:, :, 0]
    return np.asarray(found / size)
