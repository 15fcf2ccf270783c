"""Users moved and exchanged between servers until all of them keep a level, for "max" with linear rates.

Whoever keeps the level D on the device stays there, for that costs nothing. The users of a server can keep it together
if and only if the largest eigenvalue of

    M = sum_k p_k p_k' / (D - w_k fixed_k),      p_k the roots sqrt(w a) of the user's three demands,

is at most 1 (the equal-deadline rule; caps are left to whoever settles the options). Best prices leave servers that are
loaded up to a few users more or less; here the most loaded server gives users away, or exchanges them, as long as the
sum of high powers of the loads falls. The least level that is reached so is looked for by halving.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.placement_problem import NO_SERVER
from megdt_opt.solving.engines.engine import Choice

_POWERS = (60.0, 300.0)
"""Powers of the loads whose sum falls, one after another where the first does not get there [1]."""

_MOVES = 400
"""Moves and exchanges at one level, at most [1]."""

_LITTLE, _MOST = 1e-9, 10.0
"""Less than this is no gain; a load that is more than this times the largest is as bad as any [1]."""

_TRIED = 40
"""Exchanges that are worked out exactly, of those that promise most [1]."""

_PARTNERS = 400
"""Users who are looked at for an exchange, at most [1]."""


def balanced(
    costs: ServerCosts,
    option: Choice,
    within: Mask,
    low: float,
    high: float,
    gap: float,
    in_time: Callable[[], bool] = lambda: True,
) -> Choice:
    """Options (K,) of which all servers keep a level as low as was found, from those that some prices propose.

    Parameters
    ----------
    costs : ServerCosts
        A `flat` problem with objective "max".
    option : array of int, (K,)
        To begin with.
    within : array of bool, (K, O)
        Options that may be taken.
    low, high : float
        A level that is out of reach, and one that is kept by other options [s].
    gap : float
        How near to `low` is near enough, relatively [1].
    in_time : callable
        Whether to go on.
    """
    best, floor, target = option, low, low * (1.0 + gap)
    while in_time() and target < high * (1.0 - 0.02 * gap):
        level = _Level(costs, within, target)
        starts = [option] if best is option else [best, option]
        tries = ((start, power) for start in starts for power in _POWERS)
        found = next((one for start, power in tries if (one := level.reached(start, power, in_time)) is not None), None)
        if found is None:
            floor = target
        else:
            best, high = found, target
        if high - floor < 0.05 * gap * high:
            break
        # what was not reached from one side may be from nearby
        target = 0.5 * (floor + high) if best is not option else min(low + 1.6 * (target - low), 0.5 * (floor + high))
    return best


@dataclass
class _Loads:
    """What the users do to their servers at one level."""

    option: Choice
    m: Array  # (E, 3, 3)
    load: Array  # (E,)


class _Level:
    """Users and servers at a level [s]."""

    def __init__(self, costs: ServerCosts, within: Mask, level_s: float) -> None:
        self.power = _POWERS[0]
        self.servers = costs.problem.servers
        self.server = costs.problem.option_server
        tau = level_s - costs.fixed
        busy = (costs.roots > 0).any(axis=0)
        self.able: Mask = within & np.where(busy, tau > 0, tau >= 0)
        scaled = costs.roots / np.sqrt(np.where(self.able & busy, tau, 1.0))
        self.p = np.where(self.able, scaled, 0.0).transpose(1, 2, 0)  # (K, O, 3)
        self.free = self.able & (~busy | (self.server == NO_SERVER))
        # users in the way of nobody need not be looked at again
        self.still = self.free.any(axis=1)

    def reached(self, option: Choice, power: float, in_time: Callable[[], bool]) -> Choice | None:
        """Options with which no server is loaded above 1; None where none were found."""
        if not self.able.any(axis=1).all():
            return None
        self.power = power
        s = self._placed(option)
        for _ in range(_MOVES):
            worst = int(s.load.argmax())
            if s.load[worst] <= 1.0:
                return s.option
            if not in_time() or not (self._moved(s, worst) or self._exchanged(s, worst)):
                return None
        return None

    def _placed(self, option: Choice) -> _Loads:
        """Who can be free is; whose option is too slow takes the one that asks for least."""
        rows = np.arange(len(option))
        asked = np.where(self.able, (self.p**2).sum(axis=2), np.inf)
        option = np.where(self.able[rows, option], option, asked.argmin(axis=1))
        option = np.where(self.still, self.free.argmax(axis=1), option)
        m = np.zeros((self.servers, 3, 3))
        taken = self.p[rows, option]
        away = ~self.still
        np.add.at(m, self.server[rows, option][away], taken[away, :, None] * taken[away, None, :])
        return _Loads(option, m, np.asarray(np.linalg.eigvalsh(m)[:, -1], dtype=np.float64))

    def _at(self, s: _Loads, server: int) -> NDArray[np.intp]:
        rows = np.arange(len(s.option))
        return np.flatnonzero((self.server[rows, s.option] == server) & ~self.still)

    def _moved(self, s: _Loads, worst: int) -> bool:
        """Give away the user of a server that leaves the loads most even; False where none does good."""
        k = self._at(s, worst)
        own = _outer(self.p[k, s.option[k]])
        less = s.m[worst] - own
        there = self.server[k]
        able = self.able[k] & (np.arange(self.able.shape[1]) != s.option[k, None])
        n, o = np.nonzero(able)
        if not n.size:
            return False
        same = there[n, o] == worst
        more = np.where(same[:, None, None], less[n], s.m[there[n, o]]) + _outer(self.p[k[n], o])
        heavier = np.linalg.eigvalsh(more)[:, -1]
        lighter = np.where(same, 0.0, np.linalg.eigvalsh(less)[:, -1][n])
        before = np.where(same, 0.0, self._high(s, s.load[there[n, o]], worst)) + 1.0
        change = self._high(s, heavier, worst) + self._high(s, lighter, worst) - before
        best = int(change.argmin())
        if not change[best] < -_LITTLE:
            return False
        self._apply(s, [(int(k[n[best]]), int(o[best]))])
        return True

    def _exchanged(self, s: _Loads, worst: int) -> bool:
        """Exchange a user of a server with one of another; False where none does good."""
        mine = self._at(s, worst)
        rows = np.arange(len(s.option))
        theirs = np.flatnonzero(~self.still & (self.server[rows, s.option] != worst))
        theirs = theirs[(self.able[theirs] & (self.server[theirs] == worst)).any(axis=1)]
        if not mine.size or not theirs.size:
            return False
        step = -(-len(theirs) // _PARTNERS)
        theirs = theirs[::step] if step > 1 else theirs
        vectors = np.linalg.eigh(s.m)[1][:, :, -1]
        weight = np.where(self.able, np.einsum("koi,koi->ko", self.p, vectors[self.server]) ** 2, np.inf)
        other = self.server[theirs, s.option[theirs]]
        # the least load that each makes at the other's server
        here = np.where(self.server[theirs] == worst, weight[theirs], np.inf)
        back = here.argmin(axis=1)
        to = np.full((len(mine), self.servers), np.inf)
        way = np.zeros((len(mine), self.servers), dtype=np.int64)
        for e in range(self.servers):
            away = np.where(self.server[mine] == e, weight[mine], np.inf)
            way[:, e] = away.argmin(axis=1)
            to[:, e] = away.min(axis=1)
        load_here = s.load[worst] - weight[mine, s.option[mine]][:, None] + here.min(axis=1)
        load_there = s.load[other] - weight[theirs, s.option[theirs]] + to[:, other]
        gained = self._high(s, load_here, worst) + self._high(s, load_there, worst)
        change = np.where(np.isfinite(to[:, other]), gained - self._high(s, s.load[other], worst) - 1.0, np.inf)
        likely = np.argpartition(change, min(_TRIED, change.size) - 1, axis=None)[:_TRIED]
        order = likely[np.argsort(change.ravel()[likely], kind="stable")]
        best, found = -_LITTLE, None
        for a, b in zip(*np.unravel_index(order, change.shape), strict=True):
            if not np.isfinite(change[a, b]):
                break
            k, j, e = int(mine[a]), int(theirs[b]), int(other[b])
            o, q = int(way[a, e]), int(back[b])
            own, its = _outer(self.p[k, s.option[k]]), _outer(self.p[j, s.option[j]])
            pair = np.stack([
                s.m[worst] - own + _outer(self.p[j, q]), s.m[e] - its + _outer(self.p[k, o])
            ])  # fmt: skip
            loads = np.linalg.eigvalsh(pair)[:, -1]
            exact = float((self._high(s, loads, worst)).sum() - self._high(s, s.load[e], worst)) - 1.0
            if exact < best:
                best, found = exact, [(k, o), (j, q)]
        if found is None:
            return False
        self._apply(s, found)
        return True

    def _high(self, s: _Loads, load: Any, worst: int) -> Any:
        """High powers of loads, as parts of that of the most loaded server."""
        return np.clip(load / s.load[worst], 0.0, _MOST) ** self.power

    def _apply(self, s: _Loads, moves: list[tuple[int, int]]) -> None:
        touched = set()
        for k, o in moves:
            for at, sign in ((int(s.option[k]), -1.0), (o, 1.0)):
                e = int(self.server[k, at])
                s.m[e] += sign * _outer(self.p[k, at])
                touched.add(e)
            s.option[k] = o
        for e in touched:
            s.load[e] = np.linalg.eigvalsh(s.m[e])[-1]


def _outer(p: Array) -> Array:
    return np.asarray(p[..., :, None] * p[..., None, :])
