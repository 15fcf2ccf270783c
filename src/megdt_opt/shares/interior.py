"""Best shares for given options by a batched interior-point method, whatever the rates and limits.

For given options the problem is convex. Variables of user k are its shares x (3) and its latency s beyond the fixed
part; the objective is sum w (fixed + s), or D with D >= w (fixed + s), or both. Each constraint c(z) >= 0 enters as
-log c(z) / t; Newton's matrix is block-diagonal (4 x 4 a user) plus one rank for each budget and a border for D, so a
step costs O(K). All option sets of a batch advance together, arrays (S, ...).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.evaluation import cvar_s
from megdt_opt.radio.rates import Array, speed, time_and_slopes
from megdt_opt.tolerances import LIMIT_SLACK

_ROUNDS = 400
_GROWTH = 12.0
_PRECISION = 1e-12
_STUCK = 4
"""Rounds in a row without a step after which a path has lost its way."""

_PRICED_AT = 1e-7
"""Prices are read here on the path: later, the slack of a budget is too small to have digits."""


@dataclass(frozen=True)
class Shares:
    """Best shares of S option sets.

    Parameters
    ----------
    x : array, (S, 3, K)
        Scaled shares [1]; 0 where nothing is demanded.
    objective : array, (S,)
        Objective [s]; infinite where no shares keep the limits.
    prices : array, (S, 3)
        Shadow prices of the scaled budgets [s].
    bound : array, (S,)
        No shares are better than this [s]: the objective itself where a closed form found it; infinite where it is
        settled that no shares keep the limits; lower than the objective where the path lost its way.
    tilts : array, (S, K)
        Multipliers of D >= w L, which sum to `max_weight` where the largest latency counts [1].
    """

    x: Array
    objective: Array
    prices: Array
    bound: Array
    tilts: Array


@dataclass(frozen=True)
class Goal:
    """sum_weight * sum_k w_k L_k + max_weight * max_k w_k L_k, and where asked a conditional value at risk.

    Parameters
    ----------
    weight : array, (K,)
        w [1].
    sum_weight, max_weight : float
        [1].
    cvar : tuple of float, optional
        Level and weight of the conditional value at risk, of which w are the probabilities [1].
    """

    weight: Array
    sum_weight: float
    max_weight: float
    cvar: tuple[float, float] | None = None

    def value(self, latency: Array) -> Array:
        """The goal of latencies (S, K) [s]."""
        weighted = self.weight * latency
        total: Array = np.zeros(len(latency))
        if self.sum_weight > 0:
            total = total + self.sum_weight * weighted.sum(axis=1)
        if self.max_weight > 0:
            total = total + self.max_weight * weighted.max(axis=1)
        if self.cvar is not None:
            total = total + self.cvar[1] * cvar_s(latency, np.broadcast_to(self.weight, latency.shape), self.cvar[0])
        return total


def latencies(a: Array, gamma: Array, x: Array, fixed: Array, branch: Array) -> Array:
    """Latencies of scaled shares, (S, K) [s]."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        t = np.where(a > 0, a / speed(x, gamma), 0.0).sum(axis=1)
    result: NDArray[np.float64] = fixed + np.maximum(branch, t)
    return result


@dataclass
class _Point:
    x: Array  # (S, 3, K)
    s: Array  # (S, K)
    d: Array  # (S,)


@dataclass
class _Model:
    """Data of a batch; `relax` turns the deadlines into the objective (phase one)."""

    a: Array
    gamma: Array
    lo: Array
    hi: Array
    fixed: Array
    branch: Array
    limit: Array  # hard deadline - fixed, (S, K)
    weight: Array  # (K,)
    sum_weight: float
    max_weight: float
    cvar: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self.dear: Array | None = None  # what an excess over D costs
        if self.cvar is not None:
            self.dear = self.cvar[1] * self.weight / (1.0 - self.cvar[0])
        self.needs: NDArray[np.bool_] = np.asarray(self.a > 0)
        self.busy: NDArray[np.bool_] = np.any(self.needs, axis=1)
        self.capped = np.isfinite(self.limit)
        self.count = (
            2 * self.needs.sum(axis=(1, 2)) + 2 * self.busy.sum(axis=1) + self.capped.sum(axis=1) + 3
            + (self.busy.shape[1] if self.max_weight > 0 else 0)
            + (2 * self.busy.shape[1] + 1 if self.dear is not None else 0)
        )  # fmt: skip

    def take(self, keep: NDArray[np.bool_]) -> _Model:
        arrays = [getattr(self, n)[keep] for n in ("a", "gamma", "lo", "hi", "fixed", "branch", "limit")]
        a, gamma, lo, hi, fixed, branch, limit = arrays
        goal = self.weight, self.sum_weight, self.max_weight, self.cvar
        return _Model(a, gamma, lo, hi, fixed, branch, limit, *goal)

    def gaps(self, p: _Point) -> tuple[Array, ...]:
        """All constraints, positive inside."""
        x = np.where(self.needs, p.x, 1.0)
        t = np.where(self.needs, self.a / speed(x, self.gamma), 0.0).sum(axis=1)
        one = np.ones_like(p.s)
        return (
            np.where(self.busy, p.s - t, one),
            np.where(self.busy, p.s - self.branch, one),
            np.where(self.capped & self.busy, np.where(self.capped, self.limit, 0.0) - p.s, one),
            np.where(self.needs, p.x - self.lo, 1.0),
            np.where(self.needs, self.hi - p.x, 1.0),
            1.0 - np.where(self.needs, p.x, 0.0).sum(axis=2),
            p.d[:, None] - self.weight * (self.fixed + p.s) if self.max_weight > 0 else one,
            one if self.dear is None else p.d[:, None],  # a quantile of latencies is at least 0
        )

    def objective(self, p: _Point) -> Array:
        result: NDArray[np.float64] = self.sum_weight * (self.weight * p.s).sum(axis=1) + self.max_weight * p.d
        if self.dear is None or self.cvar is None:
            return result
        return np.asarray(result + self.cvar[1] * p.d + (self.dear * np.maximum(self.excess(p), 0.0)).sum(axis=1))

    def excess(self, p: _Point) -> Array:
        """By how much latencies are above D, (S, K) [s]."""
        return np.asarray(self.fixed + p.s - p.d[:, None])

    def tail(self, p: _Point, t: Array) -> tuple[Array, Array, Array]:
        """The least of t dear u - log u - log(u - y) over u, with y the excess over D, and its slopes in y, (S, K)."""
        assert self.dear is not None
        y, price = self.excess(p), t[:, None] * self.dear
        root = np.hypot(price * y, 2.0)
        beyond = price * np.abs(y)
        larger, smaller = (root + beyond + 2.0) / (2.0 * price), (4.0 / (root + beyond) + 2.0) / (2.0 * price)
        u, v = np.where(y > 0, larger, smaller), np.where(y > 0, smaller, larger)  # v = u - y
        return price * u - np.log(u) - np.log(v), 1.0 / v, 1.0 / (u * u + v * v)


def interior(
    goal: Goal,
    a: Array,
    gamma: Array,
    lo: Array,
    hi: Array,
    fixed: Array,
    branch: Array,
    limit: Array,
    good: NDArray[np.bool_],
    deadline: float = np.inf,
) -> Shares:
    """Best shares of the option sets in `good` (S,) by the interior-point method.

    Parameters
    ----------
    goal : Goal
    a, gamma, lo, hi : array, (S, 3, K)
        As `Resources.pick` gives them.
    fixed, branch : array, (S, K)
        Fixed latency and device branch [s].
    limit : array, (S, K)
        Hard limit on the latency beyond the fixed part [s]; infinite where there is none.
    good : array of bool, (S,)
        Sets worth looking at.
    deadline : float
        `time.monotonic()` at which to end [s]: the shares reached by then are inside all limits, only not the best.
    """
    sets = a.shape[0]
    limit = limit + (limit + fixed) * LIMIT_SLACK
    # a user without any signal, whose options demand nothing, has a rate of 0: 0 bits over it are no number
    gamma = np.where(a > 0, gamma, np.inf)
    weights = goal.weight, goal.sum_weight, goal.max_weight, goal.cvar
    model = _Model(a, gamma, lo * (1.0 - LIMIT_SLACK), hi, fixed, branch, limit, *weights)
    x, startable = _inside(model)
    idle_late = (~model.busy & (np.maximum(branch, 0.0) > limit)).any(axis=1)
    never = (model.capped & (branch >= limit) & model.busy).any(axis=1)
    alive = good & startable & ~idle_late & ~never
    objective, bound = np.full(sets, np.inf), np.full(sets, np.inf)
    out_x, prices, tilts = np.zeros_like(a), np.zeros((sets, 3)), np.zeros(fixed.shape)
    # sets that share nothing have nothing to optimise
    idle: NDArray[np.bool_] = alive & np.logical_not(np.any(model.busy, axis=1))
    objective[idle] = bound[idle] = goal.value(fixed[idle] + branch[idle])
    alive &= ~idle
    if not alive.any():
        return Shares(out_x, objective, prices, bound, tilts)
    part = model.take(alive)
    point = _start(part, x[alive])
    inside = np.ones(part.a.shape[0], bool)
    if part.capped.any():
        point, inside, settled = _meet_deadlines(part, point, deadline)
        bound[np.flatnonzero(alive)[~inside & ~settled]] = -np.inf
    which = np.flatnonzero(alive)[inside]
    if which.size == 0:
        return Shares(out_x, objective, prices, bound, tilts)
    part = part.take(inside)
    point = _Point(point.x[inside], point.s[inside], point.d[inside])
    point, seen, floor, tilts[which] = _follow(part, point, None, deadline)
    prices[which] = np.where(part.needs.any(axis=2), seen, 0.0)
    xs = _fill(part, point.x)
    out_x[which] = xs
    latency = latencies(part.a, part.gamma, xs, part.fixed, part.branch)
    # filling the budgets only shortens times, so the deadlines still hold
    objective[which] = goal.value(latency)
    bound[which] = np.minimum(floor + goal.sum_weight * (goal.weight * part.fixed).sum(axis=1), objective[which])
    return Shares(out_x, objective, prices, bound, tilts)


def _inside(model: _Model) -> tuple[Array, NDArray[np.bool_]]:
    """Shares strictly inside bounds and budgets, and where there are any."""
    count = np.maximum(model.needs.sum(axis=2, keepdims=True), 1)
    lo = np.where(model.needs, model.lo, 0.0)
    free = 1.0 - lo.sum(axis=2, keepdims=True)
    x = np.minimum(lo + 0.9 * free / count, lo + 0.9 * (model.hi - lo))
    room = ~model.needs | (model.hi - model.lo > 1e-13 * model.hi)
    good = (free[:, :, 0] > 1e-13).all(axis=1) & room.all(axis=(1, 2))
    return np.where(model.needs, x, 0.0), good


def _start(model: _Model, x: Array) -> _Point:
    safe = np.where(model.needs, x, 1.0)
    t = np.where(model.needs, model.a / speed(safe, model.gamma), 0.0).sum(axis=1)
    s = np.where(model.busy, 1.1 * np.maximum(t, model.branch) + 1e-300, model.branch)
    d = 1.1 * (model.weight * (model.fixed + s)).max(axis=1)
    return _Point(x, s, d)


def _meet_deadlines(
    model: _Model, point: _Point, deadline: float
) -> tuple[_Point, NDArray[np.bool_], NDArray[np.bool_]]:
    """Phase one: least z with s <= limit + z; stops as soon as z < 0, which is strictly inside.

    Returns the point, which sets are inside, and for which of the others it is settled that they cannot be.
    """
    pressed = _Model(
        model.a, model.gamma, model.lo, model.hi,
        np.where(model.capped, -model.limit, -_spread(model, point)[:, None]), model.branch,
        np.full_like(model.limit, np.inf), np.ones_like(model.weight), 0.0, 1.0,
    )  # fmt: skip
    d = (pressed.fixed + point.s).max(axis=1)
    start = _Point(point.x.copy(), point.s.copy(), d + 0.1 * (np.abs(d) + point.s.max(axis=1)))
    found, _, floor, _ = _follow(pressed, start, model.limit, deadline)
    late = np.where(model.capped & model.busy, found.s - model.limit, -1.0).max(axis=1)
    s = found.s
    dd = 1.1 * (model.weight * (model.fixed + s)).max(axis=1)
    return _Point(found.x, s, dd), late < 0, floor > 0


def _spread(model: _Model, point: _Point) -> Array:
    """A fixed part so small that users without a deadline never bind in phase one."""
    finite = np.where(model.capped, model.limit, 0.0)
    result: NDArray[np.float64] = 1e3 * (np.abs(finite).max(axis=1) + point.s.max(axis=1))
    return result


def _follow(model: _Model, point: _Point, stop: Array | None, deadline: float) -> tuple[_Point, Array, Array, Array]:
    """Follow the central path of every set; with `stop`, end a set once s < stop everywhere; end all at the deadline.

    Returns the last point, the prices of the budgets, (S, 3), lower bounds of the model's objective, (S,), and the
    multipliers of D >= w L, (S, K): on the path it is at most the number of constraints over t above its least value
    (Boyd and Vandenberghe 2004, 11.2).
    """
    scale = np.maximum(np.abs(model.objective(point)), 1e-300)
    t = model.count / scale
    prices, tilts = np.zeros((len(t), 3)), np.zeros(point.s.shape)
    floor = np.full(len(t), -np.inf)
    done = np.zeros(len(t), bool)
    stuck = np.zeros(len(t), np.int64)
    for _ in range(_ROUNDS):
        with np.errstate(all="ignore"):  # a step that is no number is not made
            step, decrement = _newton(model, point, t)
            length = np.where(done, 0.0, _longest(model, point, step, t))
            moved = length > 0
            point = _Point(
                np.where(moved[:, None, None], point.x + length[:, None, None] * step.x, point.x),
                np.where(moved[:, None], point.s + length[:, None] * step.s, point.s),
                np.where(moved, point.d + length * step.d, point.d),
            )
        on_path = (np.abs(decrement) < 1e-3) & np.isfinite(decrement)
        floor = np.where(on_path & ~done, np.maximum(floor, model.objective(point) - 1.1 * model.count / t), floor)
        centred = on_path | ~(length >= 1e-9)
        stuck = np.where(~on_path & ~(length >= 1e-9), stuck + 1, 0)
        done |= stuck >= _STUCK
        if stop is not None:
            inside = np.where(np.isfinite(stop) & model.busy, point.s - stop, -1.0).max(axis=1) < 0
            done |= inside | (floor > 0)  # or it is settled that nothing is inside
        scale = np.maximum(np.abs(model.objective(point)), 1e-300)
        readable = centred & ~done & (model.count / t >= _PRICED_AT / _GROWTH * scale)
        gaps = model.gaps(point)
        prices = np.where(readable[:, None], 1.0 / (t[:, None] * gaps[5]), prices)
        if model.max_weight > 0:
            tilts = np.where(readable[:, None], 1.0 / (t[:, None] * gaps[6]), tilts)
        if model.dear is not None:
            tilts = np.where(readable[:, None], model.tail(point, t)[1] / (t[:, None] * model.weight), tilts)
        finished = centred & (model.count / t <= _PRECISION * scale)
        done |= finished
        if done.all() or time.monotonic() > deadline:
            break
        t = np.where(centred & ~done, t * _GROWTH, t)
    return point, prices, floor, tilts


def _newton(model: _Model, p: _Point, t: Array) -> tuple[_Point, Array]:
    """Newton step of t * objective - sum log(constraints), and its decrement."""
    c1, c2, c3, c4, c5, c6, c7, _ = model.gaps(p)
    x = np.where(model.needs, p.x, 1.0)
    _, t1, t2 = time_and_slopes(x, model.a, model.gamma)
    t1, t2 = np.where(model.needs, t1, 0.0), np.where(model.needs, t2, 0.0)
    sets, _, users = p.x.shape
    h = np.zeros((sets, users, 4, 4))
    g = np.zeros((sets, users, 4))
    need = model.needs.transpose(0, 2, 1)
    slope = -t1.transpose(0, 2, 1)  # gradient of s - T(x) in x
    g[:, :, :3] = -slope / c1[:, :, None]
    g[:, :, 3] = t[:, None] * model.sum_weight * model.weight - 1 / c1 - 1 / c2
    h[:, :, :3, :3] = slope[:, :, :, None] * slope[:, :, None, :] / (c1 * c1)[:, :, None, None]
    h[:, :, :3, 3] = slope / (c1 * c1)[:, :, None]
    h[:, :, 3, :3] = h[:, :, :3, 3]
    h[:, :, 3, 3] = 1 / (c1 * c1) + 1 / (c2 * c2)
    h[:, :, 3, 3] += np.where(model.capped, 1 / (c3 * c3), 0.0)
    g[:, :, 3] += np.where(model.capped, 1 / c3, 0.0)
    low, high = c4.transpose(0, 2, 1), c5.transpose(0, 2, 1)
    g[:, :, :3] += np.where(need, -1 / low + 1 / high, 0.0)
    extra = t2.transpose(0, 2, 1) / c1[:, :, None] + np.where(need, 1 / (low * low) + 1 / (high * high), 0.0)
    for i in range(3):
        h[:, :, i, i] += extra[:, :, i]
    slack = 1 / c6
    g[:, :, :3] += np.where(need, slack[:, None, :], 0.0)
    border = model.max_weight > 0
    if border:
        # d - w (fixed + s) > 0
        w = model.weight
        g[:, :, 3] += w / c7
        h[:, :, 3, 3] += (w / c7) ** 2
    if model.dear is not None:
        _, rise, bend = model.tail(p, t)
        g[:, :, 3] += rise
        h[:, :, 3, 3] += bend
    # what a user does not have is pinned by a unit block
    free: NDArray[np.bool_] = np.concatenate([need, model.busy[:, :, None]], axis=2)
    idle: NDArray[np.bool_] = np.logical_not(free)
    g = np.where(idle, 0.0, g)
    h *= free[:, :, :, None] * free[:, :, None, :]
    for i in range(4):
        h[:, :, i, i] = np.where(idle[:, :, i], 1.0, h[:, :, i, i])
    # columns that couple the users: one for each budget, one for D
    couple = np.zeros((sets, users, 4, 4))
    for i in range(3):
        couple[:, :, i, i] = need[:, :, i] * slack[:, None, i]
    core = np.zeros((sets, 4, 4))
    for i in range(3):
        core[:, i, i] = -1.0
    gd = np.zeros(sets)
    if border:
        couple[:, :, 3, 3] = np.where(model.busy, -w / (c7 * c7), 0.0)
        core[:, 3, 3] = (1 / (c7 * c7)).sum(axis=1)
        gd = t * model.max_weight - (1 / c7).sum(axis=1)
    elif model.dear is not None and model.cvar is not None:
        couple[:, :, 3, 3] = np.where(model.busy, -bend, 0.0)
        core[:, 3, 3] = bend.sum(axis=1) + 1 / p.d**2
        gd = t * model.cvar[1] - rise.sum(axis=1) - 1 / p.d
    else:
        core[:, 3, 3] = 1.0
    dz, y = _eliminate(h, g, couple, core, gd)
    dd = y[:, 3] if border or model.dear is not None else np.zeros(sets)
    decrement = -(g * dz).sum(axis=(1, 2)) - gd * dd
    return _Point(dz[:, :, :3].transpose(0, 2, 1), dz[:, :, 3], dd), decrement


def _eliminate(h: Array, g: Array, couple: Array, core: Array, gd: Array) -> tuple[Array, Array]:
    """Solve [H U; U' C][dz; y] = [-g; -gd e4] by the Schur complement; y of a budget is minus its multiplier's step."""
    scaled = 1 / np.sqrt(np.einsum("skii->ski", h))
    hs = h * scaled[:, :, :, None] * scaled[:, :, None, :]
    both = np.concatenate([couple, -g[:, :, :, None]], axis=3) * scaled[:, :, :, None]
    solved = _solve(hs, both) * scaled[:, :, :, None]
    hu, hg = solved[:, :, :, :4], solved[:, :, :, 4]
    schur = core - np.einsum("skai,skaj->sij", couple, hu)
    right = -np.einsum("skai,ska->si", couple, hg)
    right[:, 3] -= gd
    y = _solve(schur, right[:, :, None])[:, :, 0]
    return hg - np.einsum("skai,si->ska", hu, y), y


def _solve(matrix: Array, right: Array) -> Array:
    """Solve many small systems; not a number where one is singular, which ends the path of its set."""
    try:
        return np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        size = np.abs(matrix).max(axis=(-2, -1), keepdims=True)
        moved = matrix + 1e-14 * size * np.eye(matrix.shape[-1])
    try:
        return np.asarray(np.linalg.solve(moved, right), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.full(right.shape, np.nan)


def _longest(model: _Model, p: _Point, step: _Point, t: Array) -> Array:
    """Step lengths: inside all constraints, then Armijo's rule on the barrier function."""
    length = np.ones(len(t))

    def at(size: Array) -> _Point:
        return _Point(p.x + size[:, None, None] * step.x, p.s + size[:, None] * step.s, p.d + size * step.d)

    def merit(q: _Point) -> Array:
        total = t * model.objective(q)
        if model.dear is not None and model.cvar is not None:
            plain = model.sum_weight * (model.weight * q.s).sum(axis=1) + model.cvar[1] * q.d
            total = t * plain + model.tail(q, t)[0].sum(axis=1)
        bad = np.zeros(len(t), bool)
        with np.errstate(invalid="ignore", divide="ignore"):
            for gap in model.gaps(q):
                flat = gap.reshape(len(t), -1)
                bad |= ~(flat > 0).all(axis=1)
                total = total - np.log(flat).sum(axis=1)
        return np.where(bad, np.inf, total)

    with np.errstate(all="ignore"):
        before = merit(p)
        for _ in range(60):
            after = merit(at(length))
            accept = after <= before + 1e-10 * np.abs(before)
            if accept.all():
                break
            length = np.where(accept, length, length * 0.5)
        else:
            after = merit(at(length))
    return np.where(np.isfinite(after), length, 0.0)


def _fill(model: _Model, x: Array) -> Array:
    """Give away what the path left of the budgets, in proportion, within the caps."""
    x = np.where(model.needs, x, 0.0)
    for _ in range(3):
        total = x.sum(axis=2, keepdims=True)
        grown = np.minimum(x * np.where(total > 0, 1 / np.where(total > 0, total, 1.0), 1.0), model.hi)
        x = np.where(total < 1, np.maximum(grown, x), x)
    return np.where(model.needs, x, 0.0)
