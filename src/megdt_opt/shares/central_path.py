"""The central path of best shares for given options, of many option sets at once, by primal-dual steps.

Variables of user k are the logarithms z of its shares (3), its latency s beyond the fixed part and, where there is a
conditional value at risk, the excess u of its latency over D; one for all is D. In logarithms nothing becomes negative,
and times and budgets are convex. The objective is sum w s, or D with D >= w (fixed + s), or both. All option sets of a
batch advance together, arrays (S, ...).

Of Newton's matrix, the block of a user is a diagonal in z, and one stiff spring from its time to s, and from s to D.
Springs in series are eliminated in closed form, without a difference of large numbers, so that multipliers keep their
digits where slacks vanish. What is left are four unknowns a set: how the three prices change, and D.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from megdt_opt.radio.rates import Array, time_and_slopes
from megdt_opt.shares.goal import Goal

_ROUNDS = 120
_CLOSED, _SETTLED = 1e-13, 1e-11
"""Products of slack and multiplier, all together, over the objective, at which a set is solved: where steps are long,
and where they have become short [1]."""

_MORE = 20
"""Steps at most after that, until limits are kept too."""

_SHORT = 0.05
_KEPT = 1e-14
"""By so much, at most, times and budgets should be beyond their limits at the end [1]."""

_RANGE = 40.0
"""Logarithms of shares differ from their best by less than that."""

_NEARLY = 0.99
"""Part of the way to the next limit that a step goes."""

_FEWER = 0.6
"""Paths that have ended are left out as soon as no more than this part of all goes on."""

_TIME, _BRANCH, _DEADLINE, _LOW, _HIGH, _LEVEL, _EXCESS = 0, 1, 2, slice(3, 6), slice(6, 9), 9, 10
"""Limits of a user: s >= T, s >= branch, the deadline, the shares (3 each), D + u >= w (fixed + s), and u >= 0."""


@dataclass
class Point:
    """Logarithms of shares z (S, K, 3), latencies s beyond the fixed part (S, K), their excess u (S, K), D (S,)."""

    z: Array
    s: Array
    u: Array
    d: Array

    def moved(self, by: Point, length: Array) -> Point:
        """Along a step, with a length of its own for each program (S,)."""
        wide = length[:, None]
        return Point(
            self.z + wide[:, :, None] * by.z, self.s + wide * by.s, self.u + wide * by.u, self.d + length * by.d
        )


@dataclass
class Programs:
    """S convex programs of K users.

    Parameters
    ----------
    a, gamma, lo, hi : array, (S, K, 3)
        Demand [s], SNR-bandwidth product over the band, least and largest share [1].
    fixed, branch, limit : array, (S, K)
        Fixed latency, device branch, and hard limit on the latency beyond the fixed part [s]; infinite where none is.
    goal : Goal
        With a largest latency or a conditional value at risk, not with both.
    """

    a: Array
    gamma: Array
    lo: Array
    hi: Array
    fixed: Array
    branch: Array
    limit: Array
    goal: Goal

    def __post_init__(self) -> None:
        goal = self.goal
        self.needs: NDArray[np.bool_] = np.asarray(self.a > 0)
        self.busy: NDArray[np.bool_] = np.any(self.needs, axis=2)
        self.tailed = goal.cvar is not None
        self.leveled = goal.max_weight > 0 or self.tailed
        self.late = np.ones(len(goal.weight)) if self.tailed else goal.weight
        """D is compared with that times a latency."""
        self.cost = goal.sum_weight * goal.weight
        self.level_cost, self.excess_cost = goal.max_weight, np.zeros(len(goal.weight))
        if goal.cvar is not None:
            self.level_cost, self.excess_cost = goal.cvar[1], goal.cvar[1] * goal.weight / (1.0 - goal.cvar[0])
        here = np.zeros((*self.busy.shape, 11), bool)
        here[:, :, _TIME] = self.busy
        here[:, :, _BRANCH] = self.busy & (self.branch > 0)
        here[:, :, _DEADLINE] = self.busy & np.isfinite(self.limit)
        here[:, :, _LOW], here[:, :, _HIGH] = self.needs & (self.lo > 0), self.needs & (self.hi < 1)
        here[:, :, _LEVEL], here[:, :, _EXCESS] = self.leveled, self.tailed
        self.here = here[:, :, : 11 if self.tailed else 10]
        """Which limits there are, (S, K, m)."""
        with np.errstate(divide="ignore"):
            self.log_lo, self.log_hi = np.log(self.lo), np.log(self.hi)

    def take(self, keep: NDArray[np.bool_]) -> Programs:
        """Some of the programs, (S,)."""
        arrays = [getattr(self, name)[keep] for name in ("a", "gamma", "lo", "hi", "fixed", "branch", "limit")]
        a, gamma, lo, hi, fixed, branch, limit = arrays
        return Programs(a, gamma, lo, hi, fixed, branch, limit, self.goal)

    def first_multipliers(self) -> Array:
        """Multipliers of the limits of users that leave s, u and D no slope, (S, K, m); infinite for the others."""
        first = np.full(self.here.shape, np.inf)
        level = np.full(len(self.cost), self.level_cost / len(self.cost))
        if self.tailed:
            level = np.minimum(level, 0.5 * self.excess_cost)
            first[:, :, _EXCESS] = self.excess_cost - level
        first[:, :, _LEVEL] = level
        whole = self.cost + self.late * level
        part = np.where(self.here[:, :, _BRANCH], 0.1, 0.0)
        first[:, :, _TIME], first[:, :, _BRANCH] = (1.0 - part) * whole, part * whole
        return first

    def start(self, x: Array) -> Point:
        """A point with such shares that keeps all limits strictly, deadlines where such shares can."""
        z = np.log(np.where(self.needs, x, 1.0))
        least = np.maximum(self.times(z)[0].sum(axis=2), self.branch)
        s = np.where(least < self.limit, np.minimum(1.1 * least, 0.5 * (least + self.limit)), 1.1 * least) + 1e-300
        s = np.where(self.busy, s, self.branch)
        late = self.late * (self.fixed + s)
        d = late.max(axis=1) + 0.1 * (np.abs(late).max(axis=1) + 1e-300)
        return Point(z, s, 0.1 * np.broadcast_to(d[:, None], s.shape), d)

    def shares(self, z: Array) -> Array:
        """x, (S, K, 3); 0 where nothing is demanded."""
        result: Array = np.where(self.needs, np.exp(z), 0.0)
        return result

    def fitted(self, x: Array) -> Array:
        """Shares within their caps that fit into the budgets, (S, K, 3), where a path is a little beside them."""
        x = np.where(self.needs, np.clip(x, self.lo, self.hi), 0.0)
        result: Array = x / np.maximum(x.sum(axis=1, keepdims=True), 1.0)
        return result

    def enough(self, x: Array) -> NDArray[np.bool_]:
        """Whether no share is less than its least, (S,)."""
        result: NDArray[np.bool_] = np.all(x >= self.lo * (1.0 - _KEPT) * self.needs, axis=(1, 2))
        return result

    def times(self, z: Array) -> tuple[Array, Array, Array]:
        """Times, and their slopes and curvatures by the logarithms of shares, each (S, K, 3)."""
        x = np.exp(z)
        t, first, second = time_and_slopes(x, self.a, self.gamma)
        return t, first * x, np.maximum((second * x + first) * x, 0.0)

    def limits(self, p: Point, t: Array) -> tuple[Array, Array]:
        """Limits of users, (S, K, m), and of all, (S, 4): negative where they are kept strictly."""
        own = np.empty(self.here.shape)
        with np.errstate(invalid="ignore"):  # of what is not there
            own[:, :, _TIME] = t.sum(axis=2) - p.s
            own[:, :, _BRANCH] = self.branch - p.s
            own[:, :, _DEADLINE] = p.s - self.limit
            own[:, :, _LOW], own[:, :, _HIGH] = self.log_lo - p.z, p.z - self.log_hi
            own[:, :, _LEVEL] = self.late * (self.fixed + p.s) - p.d[:, None]
        if self.tailed:
            own[:, :, _LEVEL] -= p.u
            own[:, :, _EXCESS] = -p.u
        every = np.full((len(p.d), 4), -1.0)
        every[:, :3] += self.shares(p.z).sum(axis=1)
        if self.tailed:
            every[:, 3] = -p.d  # a quantile of latencies is at least 0
        return np.where(self.here, own, -1.0), every

    def objective(self, p: Point) -> Array:
        """(S,)."""
        result: Array = (self.cost * p.s + self.excess_cost * p.u).sum(axis=1) + self.level_cost * p.d
        return result


@dataclass
class Path:
    """Where the paths of S programs are.

    Parameters
    ----------
    z : array, (S, K, 3)
    s, u : array, (S, K)
    d : array, (S,)
        As in `Point`.
    own, own_slack : array, (S, K, m)
        Multipliers and slacks of the limits of users.
    every, every_slack : array, (S, 4)
        Those of the budgets and of D >= 0.
    step : array, (S,)
        Length of the last step.
    floor : array, (S,)
        The objective of a program is not less.
    inside, lost : array of bool, (S,)
        Whether its shares keep the deadlines that were to be met, and whether its next step is no number.
    closed : array of int, (S,)
        Steps since the objective was settled.
    """

    z: Array
    s: Array
    u: Array
    d: Array
    own: Array
    own_slack: Array
    every: Array
    every_slack: Array
    step: Array
    floor: Array
    inside: NDArray[np.bool_]
    lost: NDArray[np.bool_]
    closed: NDArray[np.int64]

    @classmethod
    def of(cls, programs: Programs, p: Point) -> Path:
        """From a point that keeps all limits: slacks are large enough for multipliers that leave s and D no slope."""
        own, every = programs.limits(p, programs.times(p.z)[0])
        # the way from a point beside a limit is long: it starts from a larger slack instead
        seconds, logarithms = own[:, :, : _LOW.start], own[:, :, _LOW.start : _HIGH.stop]
        np.minimum(seconds, -0.1 * np.where(programs.busy, p.s, 1.0)[:, :, None], out=seconds)
        np.minimum(logarithms, -0.1, out=logarithms)
        every[:, :3] = np.minimum(every[:, :3], -0.1)
        count = own.shape[1] * own.shape[2] + every.shape[1]
        even = np.maximum(np.abs(programs.objective(p)), 1e-300) / count
        guess = np.minimum(programs.first_multipliers(), even[:, None, None] / -own)
        slack = np.where(programs.here, np.maximum(-own, even[:, None, None] / np.where(guess > 0, guess, 1.0)), -own)
        none = np.zeros(len(p.d))
        return cls(
            p.z, p.s, p.u, p.d, even[:, None, None] / slack, slack, even[:, None] / -every, -every,
            none, none - np.inf, none > 0, none > 0, none.astype(np.int64),
        )  # fmt: skip

    @property
    def point(self) -> Point:
        """Its variables."""
        return Point(self.z, self.s, self.u, self.d)

    def some(self, keep: NDArray[np.bool_]) -> Path:
        """Some of the paths, (S,); what is returned does not change this one."""
        return Path(*(getattr(self, one.name)[keep] for one in fields(self)))

    def put(self, where: NDArray[np.int64], other: Path) -> None:
        """Put other paths in the place of these."""
        for one in fields(self):
            getattr(self, one.name)[where] = getattr(other, one.name)

    def tilts(self, programs: Programs) -> Array:
        """Multipliers of D >= w L, (S, K)."""
        if not programs.leveled:
            return np.zeros(self.s.shape)
        level: Array = self.own[:, :, _LEVEL]
        return level / programs.goal.weight if programs.tailed else level


def follow(programs: Programs, start: Point, deadline: float = np.inf, stop: Array | None = None) -> Path:
    """Follow the central path of every program from a point that keeps all limits strictly.

    The method is that of Boyd and Vandenberghe, Convex Optimization (2004), 11.7, with slacks of their own.

    Parameters
    ----------
    programs : Programs
    start : Point
    deadline : float
        `time.monotonic()` at which to end [s].
    stop : array, (S, K), optional
        End a program once it has shares with which s is below that everywhere, or once it is settled that D >= 0.
    """
    path = Path.of(programs, start)
    ends, here = path.some(np.ones(len(path.d), bool)), np.arange(len(path.d))
    going = np.ones(len(here), bool)
    for _ in range(_ROUNDS):
        with np.errstate(all="ignore"):  # where a step is no number, the path ends
            newton = _Newton(programs, path)
            over = going & newton.ended(None if stop is None else stop[here])
            ends.put(here[over], path.some(over))
            going &= ~over
            if going.sum() <= _FEWER * len(here):
                here, programs, path = here[going], programs.take(going), path.some(going)
                going = np.ones(len(here), bool)
                if not len(here):
                    return ends
                newton = _Newton(programs, path)
            if time.monotonic() > deadline:
                break
            newton.move()
    ends.put(here[going], path.some(going))
    return ends


class _Newton:
    """One step of the paths."""

    def __init__(self, programs: Programs, path: Path) -> None:
        self.programs, self.path = programs, path
        self.t, self.steep, self.bend = programs.times(path.z)
        self.x = programs.shares(path.z)
        own, every = programs.limits(path.point, self.t)
        self.own_broken, self.every_broken = own + path.own_slack, every + path.every_slack
        self.gap = (path.own * path.own_slack).sum(axis=(1, 2)) + (path.every * path.every_slack).sum(axis=1)
        self.owed = (path.own * self.own_broken).sum(axis=(1, 2)) + (path.every * self.every_broken).sum(axis=1)
        self.slope = self._slope(path.own, path.every)

    def _slope(self, own: Array, every: Array) -> Point:
        """Slope of the Lagrangian with such multipliers."""
        programs = self.programs
        own = np.where(programs.here, own, 0.0)
        z = own[:, :, _TIME, None] * self.steep - own[:, :, _LOW] + own[:, :, _HIGH] + every[:, None, :3] * self.x
        level = own[:, :, _LEVEL]
        s = programs.cost - own[:, :, _TIME] - own[:, :, _BRANCH] + own[:, :, _DEADLINE] + programs.late * level
        d = programs.level_cost - level.sum(axis=1)
        u = np.zeros(s.shape)
        if programs.tailed:
            u = programs.excess_cost - level - own[:, :, _EXCESS]
            d = d - every[:, 3]
        return Point(np.where(programs.needs, z, 0.0), np.where(programs.busy, s, 0.0), u, d)

    def ended(self, stop: Array | None) -> NDArray[np.bool_]:
        """Whether paths have ended, (S,): at the best, where they lost their way, or where `stop` says so."""
        path, programs = self.path, self.programs
        value = programs.objective(path.point)
        scale = np.maximum(np.abs(value), 1e-300)
        owed, slope = self.owed, self.slope
        error = _RANGE * np.abs(slope.z).sum(axis=(1, 2)) + np.abs(slope.d * path.d)
        error += (np.abs(slope.s * path.s) + np.abs(slope.u * path.u)).sum(axis=1)
        # the Lagrangian is convex: its least value is not below this
        path.floor = np.fmax(path.floor, value - self.gap + owed - error)
        close = np.where(path.step < _SHORT, _SETTLED, _CLOSED) * scale
        over = (self.gap <= close) & (np.abs(owed) <= 1e-12 * scale) & (error <= 1e-11 * scale)
        # a limit may be worth little and still count for the slowest user: some steps more
        late = np.where(programs.busy, self.own_broken[:, :, _TIME] / path.s, 0.0).max(axis=1)
        kept = np.maximum(late, self.every_broken[:, :3].max(axis=1)) <= _KEPT
        path.closed = path.closed + over
        over &= kept | (path.closed > _MORE)
        over |= path.lost
        if stop is not None:
            x = programs.fitted(self.x)
            t = programs.times(np.log(np.where(programs.needs, x, 1.0)))[0]
            late = programs.busy & (np.maximum(t.sum(axis=2), programs.branch) >= stop)
            path.inside = programs.enough(x) & ~(np.isfinite(stop) & late).any(axis=1)
            over |= path.inside | (path.floor > 0)
        return np.asarray(over)

    def move(self) -> None:
        """Make a step: the path is changed."""
        path = self.path
        count = path.own[0].size + path.every[0].size
        # products of slack and multiplier fall no faster than what is broken: else the way along the limits is long
        ahead = self.gap + np.abs(self.owed) + np.abs(self.slope.z).sum(axis=(1, 2))
        ahead = np.maximum(ahead, 0.1 * _CLOSED * np.abs(self.programs.objective(path.point)))
        towards = np.clip((1.0 - path.step) ** 2, 0.01, 0.5) * ahead / count
        own_ratio, every_ratio = path.own / path.own_slack, path.every / path.every_slack
        own_pull = towards[:, None, None] / path.own_slack + own_ratio * self.own_broken
        every_pull = towards[:, None] / path.every_slack + every_ratio * self.every_broken
        by, own_force, every_force = self._solved(own_ratio, every_ratio, self._slope(own_pull, every_pull))
        own_turn, every_turn = own_pull + own_force - path.own, every_pull + every_force - path.every
        own_move = -self.own_broken - own_force / own_ratio
        every_move = -self.every_broken - every_force / every_ratio
        backwards = np.max(
            [_largest(-own_turn / path.own), _largest(-own_move / path.own_slack),
             _largest(-every_turn / path.every), _largest(-every_move / path.every_slack),
             0.5 * _NEARLY * _largest(np.abs(by.z))],  # no share changes by more than e^2 at once
            axis=0,
        )  # fmt: skip
        step = _NEARLY / np.maximum(backwards, _NEARLY)
        wide, there = step[:, None], path.point.moved(by, step)
        own, every = self.programs.limits(there, self.programs.times(there.z)[0])
        moved = Path(
            there.z, there.s, there.u, there.d,
            path.own + wide[:, :, None] * own_turn, np.maximum(path.own_slack + wide[:, :, None] * own_move, -own),
            path.every + wide * every_turn, np.maximum(path.every_slack + wide * every_move, -every),
            step, path.floor, path.inside, path.lost, path.closed,
        )  # fmt: skip
        path.lost = ~np.isfinite(step)
        path.put(np.flatnonzero(~path.lost), moved.some(~path.lost))

    def _solved(self, own_ratio: Array, every_ratio: Array, slope: Point) -> tuple[Point, Array, Array]:
        """Newton's step, and by how much it changes limits times their ratios of multiplier and slack.

        The step is least in slope . step + 1/2 (step . curve step + sum_i ratio_i (change of limit i)^2).
        """
        programs, x = self.programs, self.x
        ratio = np.where(programs.here, own_ratio, 0.0)
        springs = _Springs.of(programs, ratio, slope)
        curve = np.where(programs.needs, self.path.own[:, :, _TIME, None] * self.bend, 1.0)
        curve = curve + self.path.every[:, None, :3] * x + ratio[:, :, _LOW] + ratio[:, :, _HIGH]
        # without z, of the spring h is left
        on_z = slope.z + springs.on_tau[:, :, None] * self.steep
        soft = self.steep / curve
        h = springs.k / (1.0 + springs.k * (self.steep * soft).sum(axis=2))
        theta, b = (soft * on_z).sum(axis=2), soft * x
        hb, omega = h[:, :, None] * b, springs.omega
        # what is left are the changes of prices, and D
        matrix, right = np.zeros((len(h), 4, 4)), np.zeros((len(h), 4))
        matrix[:, :3, :3] = -(hb.swapaxes(1, 2) @ b)
        for i in range(3):
            matrix[:, i, i] += (x[:, :, i] * x[:, :, i] / curve[:, :, i]).sum(axis=1) + 1.0 / every_ratio[:, i]
        right[:, :3] = (hb * theta[:, :, None] - x * on_z / curve).sum(axis=1)
        matrix[:, 3, 3] = 1.0
        if programs.leveled:
            matrix[:, 3, :3] = (hb * omega[:, :, None]).sum(axis=1)
            matrix[:, :3, 3] = -matrix[:, 3, :3]
            matrix[:, 3, 3] = (springs.e + h * omega * omega).sum(axis=1)
            matrix[:, 3, 3] += every_ratio[:, 3] if programs.tailed else 0.0
            right[:, 3] = -slope.d - (springs.on_d + h * omega * theta).sum(axis=1)
        found = _solve(matrix, right)
        y, d = found[:, None, :3], found[:, 3:]
        spring = -h * (theta + (b * y).sum(axis=2) + omega * d)
        z = np.where(programs.needs, -(on_z + x * y + spring[:, :, None] * self.steep) / curve, 0.0)
        by, force = springs.rest(programs, ratio, Point(z, (self.steep * z).sum(axis=2), slope.u, found[:, 3]), spring)
        every_force = found.copy()
        every_force[:, 3] = -every_ratio[:, 3] * found[:, 3] if programs.tailed else 0.0
        return by, force, every_force


@dataclass
class _Springs:
    """What joins the change of a user's time, tau, with those of s and D, each (S, K).

    1/2 r (tau - s)^2 + 1/2 q s^2 + 1/2 p (w s - D)^2 + on_s s is least in s where 1/2 k (tau - omega D)^2 + 1/2 e D^2
    + on_tau tau + on_d D is left: k = r held / (r + held) with held = q + p w^2. The excess u, between w s and D, is
    another spring in series, which pulls with kappa where nothing moves.
    """

    q: Array
    p: Array
    held: Array
    k: Array
    omega: Array
    e: Array
    on_s: Array  # over r + held
    on_tau: Array
    on_d: Array
    kappa: Array

    @classmethod
    def of(cls, programs: Programs, ratio: Array, slope: Point) -> _Springs:
        """From the ratios of multipliers and slacks, (S, K, m)."""
        busy, w = programs.busy, programs.late
        r, q, p = ratio[:, :, _TIME], ratio[:, :, _BRANCH] + ratio[:, :, _DEADLINE], ratio[:, :, _LEVEL]
        kappa = np.zeros(p.shape)
        if programs.tailed:
            both = p + ratio[:, :, _EXCESS]
            kappa, p = p * slope.u / both, p * ratio[:, :, _EXCESS] / both
        held = np.where(busy, q + p * w * w, 0.0)
        whole = np.where(busy, r + held, 1.0)
        on_s = np.where(busy, slope.s + w * kappa, 0.0) / whole
        over = np.where(held > 0, p / np.where(held > 0, held, 1.0), 0.0)
        e = np.where(busy, over * q, p)
        return cls(q, p, held, r * held / whole, over * w, e, on_s, r * on_s, p * w * on_s - kappa, kappa)

    def rest(self, programs: Programs, ratio: Array, by: Point, spring: Array) -> tuple[Point, Array]:
        """The step, of which tau, the slope by u, and with `spring` k (tau - omega D) are known, and its forces."""
        busy, w, d = programs.busy, programs.late, by.d[:, None]
        over = np.where(self.held > 0, 1.0 / np.where(self.held > 0, self.held, 1.0), 0.0)
        s = np.where(self.held > 0, spring * over + self.omega * d, by.s)
        s = np.where(busy, s - self.on_s, 0.0)
        force = np.zeros(ratio.shape)
        force[:, :, _TIME] = spring + self.on_tau
        force[:, :, _BRANCH], force[:, :, _DEADLINE] = -ratio[:, :, _BRANCH] * s, ratio[:, :, _DEADLINE] * s
        force[:, :, _LOW], force[:, :, _HIGH] = -ratio[:, :, _LOW] * by.z, ratio[:, :, _HIGH] * by.z
        u = np.zeros(s.shape)
        if programs.leveled:
            # w s - D, from what the other springs leave: the difference itself has no digits
            late = np.where(busy, over * (w * (spring - self.held * self.on_s) - self.q * d), -d)
            force[:, :, _LEVEL] = self.p * late + self.kappa
            if programs.tailed:
                stiff, soft = ratio[:, :, _LEVEL], ratio[:, :, _EXCESS]
                u = (stiff * late - by.u) / (stiff + soft)
                force[:, :, _EXCESS] = -soft * u
        return Point(by.z, s, u, by.d), force


def _largest(values: Array) -> Array:
    """The largest of each set."""
    result: Array = values.reshape(len(values), -1).max(axis=1)
    return result


def _solve(matrix: Array, right: Array) -> Array:
    """Solve many small systems; not a number where one is singular, which ends the path of its set."""
    size = np.abs(matrix).max(axis=2, keepdims=True)
    matrix, right = matrix / size, (right / size[:, :, 0])[:, :, None]
    for more in (0.0, 1e-14):
        with contextlib.suppress(np.linalg.LinAlgError):
            return np.asarray(np.linalg.solve(matrix + more * np.eye(4), right)[:, :, 0], dtype=np.float64)
    return np.full(right.shape[:2], np.nan)
