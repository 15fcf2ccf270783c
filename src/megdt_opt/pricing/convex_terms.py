"""Small convex programs of one form, many at once, by a primal-dual interior method.

    minimise cost . v(z) + slope . z   such that   C v(z) + D z + b <= 0,

where every term v_t is a convex function of one or two variables: exp(s (z_p + z_q)) with s = 1 or -1, or, for the
Shannon law, exp(-z_q) / R(exp z_p) with R(x) = x log1p(gamma / x). In the logarithms of shares, times and shares are of
this form, and nothing can become negative.

The method is that of Boyd and Vandenberghe, Convex Optimization (2004), 11.7, with slacks of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.radio.rates import bend

Array = NDArray[np.float64]
Index = NDArray[np.int64]

_ITERATIONS = 80
_CLOSED, _SETTLED = 1e-13, 1e-11
"""Products of slack and multiplier, all together, over the objective, at which a program is solved: where steps are
long, and where they have become short [1]."""

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

    @cached_property
    def _places(self) -> tuple[Index, Index]:
        row = (self.variables + 1) * np.arange(len(self.first))[:, None]
        return self.first + row, self.second + row

    def values(self, z: Array) -> tuple[Array, Array]:
        """Terms at z (B, n), and gamma / exp z_p where the Shannon law holds, each (B, T)."""
        wide = np.concatenate([z, np.zeros((len(z), 1))], axis=1).ravel()
        p, q = wide[self._places[0]], wide[self._places[1]]
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

    def of(self, some: NDArray[np.bool_]) -> Program:
        """Some of the programs, (B,)."""
        terms = self.terms
        fewer = Terms(terms.first[some], terms.second[some], terms.sign[some], terms.gamma[some], terms.variables)
        return Program(
            fewer, self.cost[some], self.slope[some], self.matrix[some], self.linear[some], self.constant[some],
            self.used[some],
        )  # fmt: skip

    def limits(self, value: Array, z: Array) -> Array:
        """C v + D z + b, (B, m)."""
        found: Array = np.matmul(self.matrix, value[:, :, None])[:, :, 0]
        found += np.matmul(self.linear, z[:, :, None])[:, :, 0]
        found += self.constant
        return found

    def objective(self, value: Array, z: Array) -> Array:
        """(B,)."""
        return np.asarray((self.cost * value).sum(axis=1) + (self.slope * z).sum(axis=1))


def solved(program: Program, start: Array, enough: float = np.inf) -> tuple[Array, Array]:
    """The best z (B, n) and the multipliers of the limits (B, m), from a start that keeps all limits strictly.

    A program ends where multipliers prove that its best is nearly there, or that it is above `enough`.
    """
    best, multipliers = start.copy(), np.zeros(program.constant.shape)
    here = np.arange(len(start))
    state = _State.of(program, start)
    for _ in range(_ITERATIONS):
        newton = _Newton(program, state)
        going = ~newton.ended(enough)
        if going.sum() <= 0.6 * len(here):
            over = ~going
            best[here[over]], multipliers[here[over]] = state.z[over], state.multiplier[over]
            if not going.any():
                return best, multipliers
            here, program, state = here[going], program.of(going), state.of_some(going)
            newton = _Newton(program, state)
        state = newton.moved()
    best[here], multipliers[here] = state.z, state.multiplier
    return best, multipliers


@dataclass
class _State:
    """Where the method is: z (B, n), slacks and multipliers (B, m), the step that led there (B,)."""

    z: Array
    value: Array
    u: Array
    limit: Array
    slack: Array
    multiplier: Array
    step: Array

    @classmethod
    def of(cls, program: Program, z: Array) -> _State:
        value, u = program.terms.values(z)
        limit = program.limits(value, z)
        scale = np.maximum(np.abs(program.objective(value, z)), 1e-300) / limit.shape[1]
        return cls(z, value, u, limit, -limit, scale[:, None] / -limit, np.zeros(len(z)))

    def of_some(self, some: NDArray[np.bool_]) -> _State:
        return _State(*(getattr(self, one.name)[some] for one in fields(self)))


class _Newton:
    """One step."""

    def __init__(self, program: Program, state: _State) -> None:
        self.program, self.state = program, state
        terms = program.terms
        self.by_p, by_q, self.by_pp, self.by_pq, self.by_qq = terms.derivatives(state.value, state.u)
        moved = self.by_p[:, :, None] * terms.one + by_q[:, :, None] * terms.two
        self.jacobian = program.linear + np.matmul(program.matrix, moved)
        self.gradient = np.matmul(program.cost[:, None, :], moved)[:, 0] + program.slope
        self.residual = self.gradient + np.matmul(state.multiplier[:, None, :], self.jacobian)[:, 0]
        self.broken = state.limit + state.slack
        self.gap = (state.slack * state.multiplier).sum(axis=1)

    def ended(self, enough: float) -> NDArray[np.bool_]:
        """Whether the programs are solved, (B,)."""
        value = self.program.objective(self.state.value, self.state.z)
        scale = np.maximum(np.abs(value), 1e-300)
        error = np.abs(self.residual).max(axis=1)
        rounding = _ROUNDING * np.abs(self.program.slope).max(axis=1)
        # what a limit that is broken is worth
        owed = np.abs(self.broken * self.state.multiplier).sum(axis=1)
        close = np.where(self.state.step < _SHORT, _SETTLED, _CLOSED) * scale
        done = (self.gap <= close) & (owed <= 1e-10 * scale + rounding) & (error <= 1e-9 * scale + rounding)
        done |= (value - self.gap - owed > enough) & (error <= 1e-3 * scale)
        return np.asarray(done | ~np.isfinite(self.gap))

    def moved(self) -> _State:
        """Where the step leads."""
        program, state, terms = self.program, self.state, self.program.terms
        weight = program.cost + np.matmul(state.multiplier[:, None, :], program.matrix)[:, 0]
        curve = np.matmul((terms.one * (weight * self.by_pp)[:, :, None]).transpose(0, 2, 1), terms.one)
        cross = np.matmul((terms.one * (weight * self.by_pq)[:, :, None]).transpose(0, 2, 1), terms.two)
        curve += cross + cross.transpose(0, 2, 1)
        curve += np.matmul((terms.two * (weight * self.by_qq)[:, :, None]).transpose(0, 2, 1), terms.two)
        ratio = state.multiplier / state.slack
        curve += np.matmul((self.jacobian * ratio[:, :, None]).transpose(0, 2, 1), self.jacobian)
        rows = np.arange(curve.shape[1])
        curve[:, rows, rows] += ~program.used
        towards = np.clip((1.0 - state.step) ** 2, 0.01, 0.5) * self.gap / state.slack.shape[1]
        towards = towards[:, None] / state.slack
        pull = self.gradient + np.matmul((towards + ratio * self.broken)[:, None, :], self.jacobian)[:, 0]
        move = _solve(curve, -pull)
        along = np.matmul(self.jacobian, move[:, :, None])[:, :, 0]
        slack_move = -self.broken - along
        change = -state.multiplier + towards - ratio * slack_move
        with np.errstate(divide="ignore", invalid="ignore"):
            longest = np.minimum(
                np.where(change < 0, -state.multiplier / change, np.inf).min(axis=1),
                np.where(slack_move < 0, -state.slack / slack_move, np.inf).min(axis=1),
            )
        # no variable moves by more than the factor e^2 at once
        step = np.minimum(np.minimum(1.0, 0.99 * longest), 2.0 / np.maximum(np.abs(move).max(axis=1), 2.0))
        z = state.z + step[:, None] * move
        value, u = terms.values(z)
        limit = program.limits(value, z)
        slack = np.maximum(state.slack + step[:, None] * slack_move, -limit)
        return _State(z, value, u, limit, slack, state.multiplier + step[:, None] * change, step)


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
