"""The central path of best shares for given options, of many option sets at once, by primal-dual steps.

Of Newton's matrix, the block of a user is a diagonal in z, and one stiff spring from its time to s, and from s to D.
Springs in series are eliminated in closed form, without a difference of large numbers, so that multipliers keep their
digits where slacks vanish. What is left are four unknowns a set: how the three prices change, and D. So a step costs
O(K), and all option sets of a batch advance together.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from megdt_opt.radio.rates import Array
from megdt_opt.shares.convex_programs import (
    BRANCH,
    DEADLINE,
    EXCESS,
    HIGH,
    KEPT,
    LEVEL,
    LOW,
    TIME,
    Point,
    Programs,
)

_ROUNDS = 120
_CLOSED, _SETTLED = 1e-13, 1e-11
"""Products of slack and multiplier, all together, over the objective, at which a set is solved: where steps are long,
and where they have become short [1]."""

_MORE = 20
"""Steps at most after that, until limits are kept too."""

_SHORT = 0.05
_RANGE = 40.0
"""Logarithms of shares are taken to differ from their best by less than that, which is seventeen decades."""

_EVEN = 1e-9
"""Slopes by s, u and D, relatively, up to which a bound is read: beyond, the Lagrangian has no least value."""

_NEARLY = 0.99
"""Part of the way to the next limit that a step goes."""

_FEWER = 0.6
"""Paths that have ended are left out as soon as no more than this part of all goes on."""


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
    step, floor : array, (S,)
        Length of the last step, and what the objective of a program is not less than.
    inside, lost : array of bool, (S,)
        Whether its shares keep the deadlines that were to be met, and whether its next step is no number.
    closed : array of int, (S,)
        Steps since the objective was settled.
    prices, levels : array, (S, 3) and (S, K)
        Multipliers of the budgets and of D, with which the floor was found.
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
    prices: Array
    levels: Array

    @classmethod
    def of(cls, programs: Programs, p: Point, first: Array | float) -> Path:
        """From a point that keeps all limits: slacks are large enough for multipliers no larger than `first`."""
        own, every = programs.limits(p, programs.times(p.z)[0])
        # the way from a point beside a limit is long: it starts from a larger slack instead
        seconds, logarithms = own[:, :, : LOW.start], own[:, :, LOW.start : HIGH.stop]
        np.minimum(seconds, -0.1 * np.where(programs.busy, p.s, 1.0)[:, :, None], out=seconds)
        np.minimum(logarithms, -0.1, out=logarithms)
        every[:, :3] = np.minimum(every[:, :3], -0.1)
        count = own.shape[1] * own.shape[2] + every.shape[1]
        even = np.maximum(np.abs(programs.objective(p)), 1e-300) / count
        guess = np.minimum(first, even[:, None, None] / -own)
        slack = np.where(programs.here, np.maximum(-own, even[:, None, None] / np.where(guess > 0, guess, 1.0)), -own)
        none = np.zeros(len(p.d))
        return cls(
            p.z, p.s, p.u, p.d, even[:, None, None] / slack, slack, even[:, None] / -every, -every,
            none, none - np.inf, none > 0, none > 0, none.astype(int), np.zeros((len(none), 3)), np.zeros_like(p.s),
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

    def raised(self, which: NDArray[np.bool_], other: Path) -> None:
        """Take what other paths of some of the programs, (S,), have proven where it is more."""
        more = other.floor > self.floor[which]
        here = np.flatnonzero(which)[more]
        for name in ("floor", "prices", "levels"):
            getattr(self, name)[here] = getattr(other, name)[more]

    def tilts(self, programs: Programs) -> Array:
        """Multipliers of D >= w L, (S, K)."""
        if not programs.leveled:
            return np.zeros(self.s.shape)
        return self.levels / programs.goal.weight if programs.tailed else self.levels


def follow(
    programs: Programs, start: Point, deadline: float = np.inf, stop: Array | None = None, *, steep: bool = False
) -> Path:
    """Follow the central path of every program from a point; deadlines may be broken there.

    The method is that of Boyd and Vandenberghe, Convex Optimization (2004), 11.7, with slacks of their own.

    Parameters
    ----------
    programs : Programs
    start : Point
    deadline : float
        `time.monotonic()` at which to end [s].
    stop : array, (S, K), optional
        End a program once it has shares with which s is below that everywhere, or once it is settled that D >= 0.
    steep : bool
        Begin with whatever multipliers fit the slacks: another way, where the first was lost.
    """
    path = Path.of(programs, start, np.inf if steep else programs.first_multipliers())
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
        z = own[:, :, TIME, None] * self.steep - own[:, :, LOW] + own[:, :, HIGH] + every[:, None, :3] * self.x
        level = own[:, :, LEVEL]
        s = programs.cost - own[:, :, TIME] - own[:, :, BRANCH] + own[:, :, DEADLINE] + programs.late * level
        d = programs.level_cost - level.sum(axis=1)
        u = np.zeros(s.shape)
        if programs.tailed:
            u = programs.excess_cost - level - own[:, :, EXCESS]
            d = d - every[:, 3]
        return Point(np.where(programs.needs, z, 0.0), np.where(programs.busy, s, 0.0), u, d)

    def ended(self, stop: Array | None) -> NDArray[np.bool_]:
        """Whether paths have ended, (S,): at the best, where they lost their way, or where `stop` says so."""
        path, programs = self.path, self.programs
        value = programs.objective(path.point)
        scale = np.maximum(np.abs(value), 1e-300)
        owed, slope = self.owed, self.slope
        uneven = np.abs(slope.d * path.d) + (np.abs(slope.s * path.s) + np.abs(slope.u * path.u)).sum(axis=1)
        error = _RANGE * np.abs(slope.z).sum(axis=(1, 2)) + uneven
        # the Lagrangian is convex, and linear in s, u and D: its least value is not below this
        floor = value - self.gap + owed - error
        higher = (floor > path.floor) & (uneven <= _EVEN * scale)
        path.floor = np.where(higher, floor, path.floor)
        path.prices = np.where(higher[:, None], path.every[:, :3], path.prices)
        path.levels = np.where(higher[:, None], path.own[:, :, LEVEL], path.levels)
        close = np.where(path.step < _SHORT, _SETTLED, _CLOSED) * scale
        over = (self.gap <= close) & (np.abs(owed) <= 1e-12 * scale) & (error <= 1e-11 * scale)
        # a limit may be worth little and still count for the slowest user: some steps more
        late = np.where(programs.busy, self.own_broken[:, :, TIME] / path.s, 0.0).max(axis=1)
        kept = np.maximum(late, self.every_broken[:, :3].max(axis=1)) <= KEPT
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
            step, path.floor, path.inside, path.lost, path.closed, path.prices, path.levels,
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
        curve = np.where(programs.needs, self.path.own[:, :, TIME, None] * self.bend, 1.0)
        curve = curve + self.path.every[:, None, :3] * x + ratio[:, :, LOW] + ratio[:, :, HIGH]
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
        r, q, p = ratio[:, :, TIME], ratio[:, :, BRANCH] + ratio[:, :, DEADLINE], ratio[:, :, LEVEL]
        kappa = np.zeros(p.shape)
        if programs.tailed:
            both = p + ratio[:, :, EXCESS]
            kappa, p = p * slope.u / both, p * ratio[:, :, EXCESS] / both
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
        force[:, :, TIME] = spring + self.on_tau
        force[:, :, BRANCH], force[:, :, DEADLINE] = -ratio[:, :, BRANCH] * s, ratio[:, :, DEADLINE] * s
        force[:, :, LOW], force[:, :, HIGH] = -ratio[:, :, LOW] * by.z, ratio[:, :, HIGH] * by.z
        u = np.zeros(s.shape)
        if programs.leveled:
            # w s - D, from what the other springs leave: the difference itself has no digits
            late = np.where(busy, over * (w * (spring - self.held * self.on_s) - self.q * d), -d)
            force[:, :, LEVEL] = self.p * late + self.kappa
            if programs.tailed:
                stiff, soft = ratio[:, :, LEVEL], ratio[:, :, EXCESS]
                u = (stiff * late - by.u) / (stiff + soft)
                force[:, :, EXCESS] = -soft * u
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
