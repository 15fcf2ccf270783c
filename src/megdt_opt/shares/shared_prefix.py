"""Best shares of a `SharedPrefixProblem` for given options and trunks.

For "sum" with linear rates and no limit but the budgets they are closed: every budget is divided as the roots P_i of
`megdt_opt.pricing.shared_prefix`. Else an interior-point method follows the central path of a convex program in the
shares, of which each party is a block: Newton's matrix is block-diagonal plus one rank for each budget and a border for
the level D of "max", so that a step costs as much as its blocks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.rider_costs import Riders
from megdt_opt.pricing.scaled import DOWNLINK, EDGE, UPLINK, Array
from megdt_opt.radio.rates import time_and_slopes

_GROWTH, _PRECISION = 15.0, 1e-12
_ROUNDS = 200
_PRICED_AT = 1e-8
"""Where on the path prices are read: later, the slack of a budget is too small to have digits."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fixed:
    """Chosen stages of P parties with n members each: of all members, riding or not.

    Parameters
    ----------
    riders : Riders
        With the own stages of those who do not ride too; `rides` and `both` say who waits for the trunk.
    member : array of bool, (P, n)
        Where there is a member.
    phased, leveled : bool
    """

    riders: Riders
    member: Mask
    phased: bool
    leveled: bool


@dataclass(frozen=True)
class Found:
    """Shares, scaled.

    Parameters
    ----------
    objective : float
        Infinite where the limits on airtime leave no room.
    own : array, (3, P, n)
    trunk : array, (3, P)
        Multicast, uplink, and the group's edge share.
    prices : array, (3,)
    """

    objective: float
    own: Array
    trunk: Array
    prices: Array


def closed(fixed: Fixed) -> Found:
    """By the square-root rule, for "sum" with linear rates and no limit but the budgets."""
    r = fixed.riders
    own = np.sqrt(r.weight * r.a)
    waits = np.stack([np.where(r.both, r.weight, 0.0).sum(axis=1), *[np.where(r.rides, r.weight, 0.0).sum(axis=1)] * 2])
    trunk = np.sqrt(waits * r.trunk_a)
    inner = np.where(r.rides, own[EDGE], 0.0).sum(axis=1)
    if fixed.phased:
        whole = np.hypot(trunk[EDGE], inner)
        with np.errstate(divide="ignore", invalid="ignore"):
            own[EDGE] *= np.where(r.rides, np.where(inner > 0, whole / inner, 1.0)[:, None], 1.0)
        trunk[EDGE] = whole
    drawn = own.sum(axis=(1, 2)) + trunk.sum(axis=1)
    if fixed.phased:
        drawn[EDGE] = np.where(r.rides, 0.0, own[EDGE]).sum() + trunk[EDGE].sum()
    objective = float((r.weight * r.fixed * fixed.member).sum() + (drawn * drawn).sum())
    share = np.where(drawn > 0, drawn, 1.0)
    return Found(objective, own / share[:, None, None], trunk / share[:, None], drawn * drawn)


class _Program:
    """Variables of a party: own shares (3 n), the trunk's (3: its edge speed), and the group's edge share."""

    def __init__(self, fixed: Fixed) -> None:
        r = fixed.riders
        self.fixed, self.leveled = fixed, fixed.leveled
        parties, n = r.weight.shape
        self.n, self.size = n, 3 * n + 4
        flat = (parties, 3 * n)
        trunk = r.trunk_a.T * np.any(r.rides, axis=1, keepdims=True)
        none = np.zeros((parties, 1))
        self.a = np.hstack([r.a.transpose(1, 0, 2).reshape(flat), trunk, none])
        self.gamma = np.hstack([r.gamma.transpose(1, 0, 2).reshape(flat), r.trunk_gamma.T, none + np.inf])
        self.hi = np.hstack([r.hi.transpose(1, 0, 2).reshape(flat), r.trunk_hi.T, none + 1.0])
        # what the budget holds already is not held twice: its price would be split between the two
        self.hi = np.where(self.hi >= 1.0, 2.0, self.hi)
        self.lo = np.hstack([np.zeros(flat), r.trunk_lo.T, none])
        self.gamma = np.where(self.a > 0, self.gamma, np.inf)
        inside: Mask = r.rides & (r.a[EDGE] > 0) & np.bool_(fixed.phased)
        self.whole: Mask = np.array((trunk[:, EDGE] > 0) | inside.any(axis=1)) & np.bool_(fixed.phased)
        self.live = self.a > 0
        self.live[:, -1] = self.whole
        self.inner = np.zeros((parties, self.size))
        self.inner[:, 2 * n : 3 * n] = inside
        self.uses = np.zeros((3, parties, self.size))
        for i in range(3):
            self.uses[i, :, i * n : (i + 1) * n] = 1.0
            self.uses[i, :, 3 * n + i] = 1.0
        self.uses[EDGE] *= 1.0 - self.inner
        if fixed.phased:
            self.uses[EDGE, :, 3 * n + EDGE] = 0.0
            self.uses[EDGE, :, -1] = 1.0
        self.uses *= self.live
        self.adds = np.zeros((parties, n, self.size))
        member = np.arange(n)
        for i in range(3):
            self.adds[:, member, i * n + member] = 1.0
        self.adds[:, :, 3 * n + DOWNLINK] = r.both
        self.adds[:, :, 3 * n + UPLINK] = self.adds[:, :, 3 * n + EDGE] = r.rides
        self.adds *= self.live[:, None, :] & (self.a > 0)[:, None, :]
        self.weight = np.where(fixed.member, r.weight, 0.0)
        self.on_trunk = self.live[:, 3 * n + EDGE] & self.whole
        self.count = 2 * self.live.sum() + 3 + 2 * self.whole.sum() + fixed.member.sum()

    def start(self) -> Array | None:
        """Shares strictly inside all limits."""
        count = np.maximum(self.uses.sum(axis=(1, 2)), 1.0)
        least = np.einsum("ipv,pv->i", self.uses, self.lo)
        if (least >= 1.0 - 1e-12).any():
            return None
        each = np.einsum("ipv,i->pv", self.uses, 0.9 * (1.0 - least) / count)
        x = np.minimum(self.lo + each, self.lo + 0.9 * (self.hi - self.lo))
        n = self.n
        share = x[:, -1] / np.maximum(self.inner.sum(axis=1), 1.0)
        x = np.where(self.inner > 0, np.minimum(0.9 * share[:, None], 0.9 * self.hi), x)
        if self.fixed.phased:
            x[:, 3 * n + EDGE] = np.minimum(0.9 * x[:, -1], 0.9 * self.hi[:, 3 * n + EDGE])
        if (self.live & ~(x > self.lo)).any():
            return None
        return np.where(self.live, x, 1.0)

    def times(self, x: Array) -> tuple[Array, Array, Array]:
        """Times of all stages, and two derivatives."""
        return time_and_slopes(x, self.a, self.gamma)

    def late(self, t: Array) -> Array:
        """Latencies, (P, n)."""
        return np.asarray(self.fixed.riders.fixed + np.einsum("pjv,pv->pj", self.adds, t))

    def value(self, late: Array) -> float:
        """The objective."""
        weighted = self.weight * late
        return float(weighted.max() if self.leveled else weighted.sum())

    def gaps(self, x: Array, late: Array, level: float) -> list[Array]:
        """All limits, positive inside."""
        budget = 1.0 - np.einsum("ipv,pv->i", self.uses, x)
        share = np.where(self.whole, x[:, -1] - (self.inner * x).sum(axis=1), 1.0)
        speed = np.where(self.on_trunk, x[:, -1] - x[:, 3 * self.n + EDGE], 1.0)
        left = np.where(self.fixed.member, level - self.weight * late, 1.0) if self.leveled else np.ones(1)
        return [
            budget, share, speed, left,
            np.where(self.live, x - self.lo, 1.0), np.where(self.live, self.hi - x, 1.0),
        ]  # fmt: skip


def interior(fixed: Fixed, deadline: float = np.inf) -> Found:
    """By the interior-point method."""
    program = _Program(fixed)
    x = program.start()
    nothing = np.zeros(3)
    if x is None:
        return Found(np.inf, np.zeros_like(fixed.riders.a), np.zeros_like(fixed.riders.trunk_a), nothing)
    late = program.late(program.times(x)[0])
    if not program.live.any():
        return _read(program, x * 0.0, program.value(late), nothing)
    level = 1.1 * program.value(late)
    t = program.count / max(program.value(late), 1e-300)
    prices, here = nothing, program.value(late)
    for _ in range(_ROUNDS):
        x, level, decrement, length = _stepped(program, x, level, t)
        late = program.late(program.times(x)[0])
        here = program.value(late)
        centred = decrement < 1e-3 or length < 1e-9
        if centred:
            if program.count / t >= _PRICED_AT / _GROWTH * here:
                prices = 1.0 / (t * program.gaps(x, late, level)[0])
            if program.count / t <= _PRECISION * here or time.monotonic() > deadline:
                break
            t *= _GROWTH
    return _read(program, x, here, prices)


def _stepped(program: _Program, x: Array, level: float, t: float) -> tuple[Array, float, float, float]:
    """One Newton step of t * objective - sum log(gaps): the point, the level, the decrement and the step's length."""
    time_s, first, second = program.times(x)
    late = program.late(time_s)
    budget, share, speed, left, low, high = program.gaps(x, late, level)
    n, live = program.n, program.live
    jacobian = program.adds * first[:, None, :]
    w = program.weight
    pull = np.where(program.fixed.member, w / left, 0.0) if program.leveled else t * w
    gradient = np.einsum("pj,pjv->pv", pull, jacobian) - 1 / low + 1 / high
    hessian = np.zeros((*x.shape, x.shape[1]))
    place = np.arange(x.shape[1])
    diagonal = np.einsum("pj,pjv->pv", pull, program.adds) * second + 1 / low**2 + 1 / high**2
    border = np.zeros(x.shape)
    if program.leveled:
        hessian += np.einsum("pjv,pj,pjw->pvw", jacobian, pull**2, jacobian)
        border = -np.einsum("pj,pjv->pv", np.where(program.fixed.member, w / left**2, 0.0), jacobian)
    for on, gap, minus in ((program.whole, share, program.inner), (program.on_trunk, speed, _unit(x, 3 * n + EDGE))):
        line = np.where(on[:, None], _unit(x, -1) - minus, 0.0)
        gradient -= line / gap[:, None]
        hessian += line[:, :, None] * line[:, None, :] / (gap**2)[:, None, None]
    gradient += np.einsum("ipv,i->pv", program.uses, 1 / budget)
    hessian[:, place, place] += diagonal
    free = live[:, :, None] & live[:, None, :]
    hessian = np.where(free, hessian, 0.0)
    hessian[:, place, place] = np.where(live, hessian[:, place, place], 1.0)
    gradient = np.where(live, gradient, 0.0)
    couple = np.zeros((*x.shape, 4))
    couple[:, :, :3] = (program.uses / budget[:, None, None]).transpose(1, 2, 0)
    core = -np.eye(4)
    core[3, 3] = 1.0
    rise = 0.0
    if program.leveled:
        couple[:, :, 3] = np.where(live, border, 0.0)
        inverse = np.where(program.fixed.member, 1 / left, 0.0)
        core[3, 3] = (inverse**2).sum()
        rise = t - inverse.sum()
    move, up = _eliminate(hessian, gradient, couple, core, rise)
    up = up if program.leveled else 0.0
    decrement = -float((gradient * move).sum() + rise * up)
    length = _length(program, x, level, t, move, up)
    return x + length * move, level + length * up, abs(decrement), length


def _unit(x: Array, place: int) -> Array:
    one = np.zeros(x.shape[1])
    one[place] = 1.0
    return one


def _eliminate(hessian: Array, gradient: Array, couple: Array, core: Array, rise: float) -> tuple[Array, float]:
    """Solve [H U; U' C][dx; y] = [-g; -rise e4] by the Schur complement."""
    scale = 1 / np.sqrt(np.einsum("pvv->pv", hessian))
    scaled = hessian * scale[:, :, None] * scale[:, None, :]
    right = np.concatenate([couple, -gradient[:, :, None]], axis=2) * scale[:, :, None]
    try:
        solved = np.linalg.solve(scaled, right) * scale[:, :, None]
    except np.linalg.LinAlgError:
        scaled = scaled + 1e-13 * np.eye(hessian.shape[1])
        solved = np.linalg.solve(scaled, right) * scale[:, :, None]
    hu, hg = solved[:, :, :4], solved[:, :, 4]
    schur = core - np.einsum("pvi,pvj->ij", couple, hu)
    target = -np.einsum("pvi,pv->i", couple, hg)
    target[3] -= rise
    y = np.linalg.solve(schur, target)
    return hg - hu @ y, float(y[3])


def _length(program: _Program, x: Array, level: float, t: float, move: Array, up: float) -> float:
    """The length of a step: inside all limits, then Armijo's rule."""

    def merit(length: float) -> float:
        at, to = x + length * move, level + length * up
        if not (at[program.live] > 0).all():
            return np.inf
        late = program.late(program.times(np.where(program.live, at, 1.0))[0])
        total = t * (to if program.leveled else program.value(late))
        for gap in program.gaps(at, late, to):
            if not (gap > 0).all():
                return np.inf
            total -= float(np.log(gap).sum())
        return total

    before = merit(0.0)
    length = 1.0
    for _ in range(50):
        if merit(length) <= before + 1e-11 * abs(before):
            return length
        length *= 0.5
    return 0.0


def _read(program: _Program, x: Array, objective: float, prices: Array) -> Found:
    n = program.n
    x = np.where(program.live, x, 0.0)
    own = x[:, : 3 * n].reshape(len(x), 3, n).transpose(1, 0, 2)
    trunk = x[:, 3 * n : 3 * n + 3].T.copy()
    if program.fixed.phased:
        trunk[EDGE] = x[:, -1]
    used = np.einsum("ipv->i", program.uses) > 0
    return Found(objective, own, trunk, np.where(used, prices, 0.0))
