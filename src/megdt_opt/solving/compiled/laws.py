"""Compiled: what an option costs at given prices, for every rate law, branch and limit.

The share and the time of a resource follow from the multiplier mu of the time; m is its square root, s the square root
of the demand, r that of the price. For R(x) = x the share is m s / r and the time r s / m, between the least and the
largest share. For the Shannon law a table gives both (`megdt_opt.solving.compiled.curve`). Where a branch or a limit
decides, m is the one at which the time is the wanted one: Newton's method in 1 / m, which is exact for R(x) = x unless
a share reaches a bound.

Long and wide functions: they take scalars, or tuples of them; numba copies all arrays of a tuple at every call.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.compiled.curve import HIGHEST, LOWEST, PIECES
from megdt_opt.solving.compiled.jit import bits, inner, melt, number_at, stay_whole

F = NDArray[np.float64]

HUGE = 1e300
"""Cost of a closed option."""

SUM, MAX = 0, 1

NEVER = 1e-140
"""Root of the multiplier where time costs nothing: even the least shares are fast enough."""

_FIRST = (LOWEST + 1023) << 6
_SHIFT = 46
_REST = (1 << _SHIFT) - 1
_UNIT = 2.0**-_SHIFT
_TABLE = (HIGHEST - LOWEST) * PIECES


class Law(NamedTuple):
    """How a user's shares turn into time: the largest edge share, and for downlink and uplink g, brink and 1 / R(1).

    g is infinite for R(x) = x; the brink is sqrt(mu a / l) from where on the share is the whole budget.
    """

    cap: float
    g0: float
    b0: float
    f0: float
    g1: float
    b1: float
    f1: float


class Three(NamedTuple):
    """A number for each resource: downlink, uplink, edge."""

    down: float
    up: float
    edge: float


@inner
def far_on_curve(sigma: float) -> tuple[float, float, float]:
    """G and its first two derivatives, off the table; see `curve.least_cost`."""
    stay_whole()
    target = -2.0 * np.log(sigma)
    z = 0.5 * (target + 0.6931471805599453) if target < 0.0 else 0.5 * target + 0.5 * np.log1p(0.5 * target)
    u, log, bend, slope = 1.0, 1.0, 1.0, 1.0
    for _ in range(30):
        z = min(max(z, -300.0), 300.0)
        u = np.exp(z)
        log = np.log1p(u)
        if u < 1e-3:
            bend = u * u * (0.5 - u * (2.0 / 3.0 - u * (0.75 - u * (0.8 - u * (5.0 / 6.0)))))
        else:
            bend = log - u / (1.0 + u)
        f = 2.0 * z + np.log(bend) - 2.0 * np.log(log) - target
        slope = 2.0 + (u * u / ((1.0 + u) * (1.0 + u))) / bend - 2.0 * u / ((1.0 + u) * log)
        move = min(max(f / slope, -3.0), 3.0)
        if abs(move) < 1e-9:  # what it leaves out is its square
            break
        z -= move
    wait = u / log
    return 1.0 / u + sigma * sigma * wait, 2.0 * sigma * wait, 2.0 * wait - 4.0 * bend * u / (log * log * slope)


@inner
def on_curve(sigma: float, curve: int) -> tuple[float, float, float]:
    """G and its first two derivatives."""
    melt()
    whole = bits(sigma)
    place = (whole >> _SHIFT) - _FIRST
    if place < 0 or place >= _TABLE:
        return far_on_curve(sigma)
    t = (whole & _REST) * _UNIT
    row = place << 3
    c1, c2, c3 = number_at(curve, row + 1), number_at(curve, row + 2), number_at(curve, row + 3)
    c4, c5, per = number_at(curve, row + 4), number_at(curve, row + 5), number_at(curve, row + 6)
    return (
        number_at(curve, row) + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * c5)))),
        (c1 + t * (2.0 * c2 + t * (3.0 * c3 + t * (4.0 * c4 + t * 5.0 * c5)))) * per,
        (2.0 * c2 + t * (6.0 * c3 + t * (12.0 * c4 + t * 20.0 * c5))) * per * per,
    )


@inner
def part_at(
    m: float, s: float, r: float, low: float, high: float, gamma: float, brink: float, full: float, curve: int
) -> tuple[float, float, float]:
    """What a resource's best share costs, its time, and the slope of the time in m."""
    melt()
    if s == 0.0:
        return 0.0, 0.0, 0.0
    if m * s >= r * brink:
        return r * r * high, s * s * full, 0.0
    if gamma == np.inf:
        if m * s < low * r:
            return r * r * low, s * s / low, 0.0
        t = r * s / m
        return r * m * s, t, -t / m
    sigma = m * s / (r * gamma)
    g, slope, bend = on_curve(sigma, curve)
    x = gamma * (g - 0.5 * sigma * slope)
    if x < low:
        return r * r * low, s * s / (low * np.log1p(gamma / low)), 0.0
    half = 0.5 * r * s / m
    return r * r * x, half * slope, half * (bend * sigma - slope) / m


@inner
def share_at(m: float, s: float, r: float, low: float, high: float, gamma: float, brink: float, curve: int) -> float:
    """The best share."""
    if s == 0.0:
        return 0.0
    if m * s >= r * brink:
        return high
    if gamma == np.inf:
        return max(m * s / r, low)
    sigma = m * s / (r * gamma)
    g, slope, _ = on_curve(sigma, curve)
    return max(gamma * (g - 0.5 * sigma * slope), low)


@inner
def parts_at(m: float, s: Three, r: Three, low: float, law: Law, curve: int) -> tuple[float, float, float]:
    """What the best shares cost, their time, and its slope in m."""
    melt()
    p1, t1, d1 = part_at(m, s.up, r.up, low, 1.0, law.g1, law.b1, law.f1, curve)
    p2, t2, d2 = part_at(m, s.edge, r.edge, 0.0, law.cap, np.inf, law.cap, 1.0 / law.cap, curve)
    p0, t0, d0 = part_at(m, s.down, r.down, 0.0, 1.0, law.g0, law.b0, law.f0, curve)
    return p0 + p1 + p2, t0 + t1 + t2, d0 + d1 + d2


@inner
def shares_at(m: float, s: Three, r: Three, low: float, law: Law, curve: int) -> Three:
    """The best shares."""
    return Three(
        share_at(m, s.down, r.down, 0.0, 1.0, law.g0, law.b0, curve),
        share_at(m, s.up, r.up, low, 1.0, law.g1, law.b1, curve),
        share_at(m, s.edge, r.edge, 0.0, law.cap, np.inf, law.cap, curve),
    )


@inner
def may_idle(s: Three, r: Three, low: float) -> bool:
    """Whether the time stays finite where it is worth nothing: all shares that cost anything have a least size."""
    melt()
    free_edge, free_down = s.edge == 0.0 or r.edge == 0.0, s.down == 0.0 or r.down == 0.0
    return free_edge and free_down and (s.up == 0.0 or r.up == 0.0 or low > 0.0)


@inner
def idle_time(s: Three, r: Three, low: float, law: Law) -> float:
    """The time there: with the least uplink share, or all where it costs nothing, and all of the rest."""
    stay_whole()
    t = s.edge * s.edge / law.cap + s.down * s.down * law.f0
    if s.up > 0.0:
        if r.up == 0.0:
            t += s.up * s.up * law.f1
        else:
            t += s.up * s.up / (low if law.g1 == np.inf else low * np.log1p(law.g1 / low))
    return t


@inner
def next_root(m: float, t: float, slope: float, wanted: float, below: float, above: float) -> float:
    """Newton's next m towards a time, within a bracket; the middle of the bracket where it leaves it."""
    melt()
    if slope < 0.0:
        fall = 1.0 - (wanted - t) / (slope * m)
        if fall > 0.0:
            new = m / fall
            if below < new < above:
                return new
    if above == np.inf:
        return m * 8.0
    return np.sqrt(below * above) if below > 0.0 else above * 0.125


@inner
def option_at(
    kind: int,
    weight: float,
    fixed: float,
    branch: float,
    limit: float,
    level: float,
    s: Three,
    r: Three,
    low: float,
    law: Law,
    curve: int,
    guess: float,
    stop: float,
    close: float,
) -> tuple[float, float]:
    """Least priced cost of an option, and the root m of the multiplier of its time.

    What is returned never exceeds the least cost: every multiplier gives a lower bound. It is the least cost to about
    `close` squared, or at least `stop`; m is the one for it only below `stop`. `guess` is what m is expected to be over
    what it is for R(x) = x without bounds; only "max" looks at it.
    """
    stay_whole()
    wanted = limit - fixed
    if kind == MAX:
        wanted = min(level / weight - fixed, wanted)
    if wanted < branch:
        return HUGE, 0.0
    if s.up == 0.0 and s.edge == 0.0 and s.down == 0.0:
        return weight * (fixed + branch) if kind == SUM else 0.0, NEVER
    if wanted <= 0.0 or s.up * s.up * law.f1 + s.edge * s.edge / law.cap + s.down * s.down * law.f0 > wanted:
        return HUGE, 0.0
    base, free, below, above = 0.0, 0.0, 0.0, np.inf
    loose = kind == SUM
    if loose:
        base, free = weight * fixed, weight
        if base + weight * branch >= stop:
            return base + weight * branch, 0.0
        m = np.sqrt(weight)
    else:
        m = guess * (r.up * s.up + r.edge * s.edge + r.down * s.down) / wanted
        if may_idle(s, r, low) and idle_time(s, r, low, law) <= wanted:
            return r.up * r.up * low, NEVER
    cost = 0.0
    for _ in range(80):
        paid, t, slope = parts_at(m, s, r, low, law, curve)
        if loose:
            cost = base + paid + weight * t
            if cost >= stop or branch <= t <= wanted:
                return cost, m
            # a branch that takes as long makes time worth less than the weight, a limit more
            loose = False
            if t < branch:
                wanted = branch
                if may_idle(s, r, low) and idle_time(s, r, low, law) <= wanted:
                    return base + r.up * r.up * low + weight * wanted, NEVER
        else:
            cost = base + paid + m * m * (t - wanted) + free * wanted
            if cost >= stop or abs(t - wanted) <= close * wanted:
                break
        if t > wanted:
            below = m
        else:
            above = m
        new = next_root(m, t, slope, wanted, below, above)
        if new == m:
            break
        m = new
    return max(cost, 0.0), m


@inner
def guess_of(m: float, weight: float, fixed: float, limit: float, level: float, s: Three, r: Three) -> float:
    """For "max", the `guess` that `option_at` would have started from this m with; 1 where none makes sense."""
    linear = r.up * s.up + r.edge * s.edge + r.down * s.down
    found = m * (min(level / weight, limit) - fixed) / linear if linear > 0.0 else 1.0
    return found if 1e-3 < found < 1e3 else 1.0
