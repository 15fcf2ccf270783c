"""Levels of samples as pieces: what options cost at prices where a latency is the m-th smallest over stored samples.

With u = 1 / f the samples of an option are lines A_j + G_j u, and their m-th smallest V(u) is piecewise linear: not
convex, but a line on each of its pieces. A *choice* is an option with one piece [u_a, u_b]: a core option of the fixed
time A and the work G whose share of the edge is between 1 / u_b and 1 / u_a. So all of `pricing.priced` holds, and an
allocation is one choice of each user. Lines are lowered by `_LOWER`, so that rounding cannot put one above V.

Where an option has more than `MOST` pieces, neighbours are joined, with a line below V in place of theirs: what is
proven is then a bound, which need not be attained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.priced import Priced, priced
from megdt_opt.pricing.scaled import EDGE, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.deviations import SAMPLES, level_of

MOST = 24
"""Pieces of an option [1]."""

_LOWER = 1.0 - 2e-12

_NEAR = 0.05
"""Relative distance over which a slope is taken [1]."""

_LONGEST = 1e9
"""Largest 1 / f that is looked at, against that of the whole edge [1]."""


@dataclass(frozen=True)
class Pieces:
    """The m-th smallest of one option's lines.

    Parameters
    ----------
    start : array, (P + 1,)
        Where pieces start, and where the last one ends: infinity [1].
    fixed_s, work_s : array, (P,)
        Lines that are nowhere above it on their pieces [s].
    joined : bool
        Whether pieces were joined.
    """

    start: Array
    fixed_s: Array
    work_s: Array
    joined: bool


def pieces_of(fixed_s: Array, work_s: Array, kept: int, first: float) -> Pieces:
    """The pieces of the `kept`-th smallest of lines (M,) from u = `first` on."""
    if not work_s.any():
        return Pieces(np.array([first, np.inf]), np.array([np.sort(fixed_s)[kept - 1]]) * _LOWER, np.zeros(1), False)
    last = first * _LONGEST
    u, starts, lines = first, [first], [_line_at(fixed_s, work_s, kept, first)]
    while len(starts) < 20 * len(fixed_s):
        p = lines[-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            meets = (fixed_s - fixed_s[p]) / (work_s[p] - work_s)
        ahead = np.isfinite(meets) & (meets > u * (1.0 + 1e-13))
        if not ahead.any():
            break
        u = float(meets[ahead].min())
        if u >= last:
            break
        following = _line_at(fixed_s, work_s, kept, u)
        if following != p:
            starts.append(u)
            lines.append(following)
    start, place = np.array([*starts, np.inf]), np.array(lines)
    if len(place) > MOST:
        return _joined(start, fixed_s[place], work_s[place])
    own, steep = fixed_s[place].copy(), work_s[place].copy()
    # a flat piece that ends asks for its least share all the same
    flat = (steep == 0) & np.isfinite(start[1:])
    least = 1e-13 * float(work_s.max())
    own = np.where(flat, own - least * np.where(flat, start[1:], 0.0), own)
    steep = np.where(flat, least, steep)
    return Pieces(start, np.maximum(own, 0.0) * _LOWER, steep * _LOWER, False)


def _line_at(fixed_s: Array, work_s: Array, kept: int, u: float) -> int:
    """The line that is the `kept`-th smallest just after u."""
    value = fixed_s + work_s * u
    level = np.partition(value, kept - 1)[kept - 1]
    near = np.abs(value - level) <= 1e-13 * np.abs(level)
    below = int(((value < level) & ~near).sum())
    at = np.flatnonzero(near)
    return int(at[np.argsort(work_s[at], kind="stable")][kept - 1 - below])


def _joined(start: Array, own: Array, steep: Array) -> Pieces:
    """Fewer pieces, each with a line from its start that is below all of V there."""
    corners = start[:-1]
    value = own + steep * corners
    # as many of the share 1 / u between the ends, where it changes what is paid for
    place = np.unique(np.round(np.linspace(0, len(own) - 1, MOST)).astype(int))
    starts, fixed, work = [], [], []
    for n, a in enumerate(place):
        b = place[n + 1] if n + 1 < len(place) else len(own)
        end = start[b]
        inside = slice(a + 1, b + 1 if b < len(own) else b)
        rise = [float(steep[b - 1])] if np.isinf(end) else []
        rise += ((value[inside] - value[a]) / (corners[inside] - corners[a])).tolist()
        slope = max(min(rise), 0.0)
        starts.append(corners[a])
        fixed.append(max(float(value[a] - slope * corners[a]), 0.0) if slope > 0 else float(value[a]))
        work.append(slope)
    own, steep = np.array(fixed), np.array(work)
    least = 1e-13 * max(float(steep.max()), 1e-12)
    ends = np.array([*starts[1:], np.inf])
    flat = (steep == 0) & np.isfinite(ends)
    own = np.where(flat, own - least * np.where(flat, ends, 0.0), own)
    return Pieces(
        np.array([*starts, np.inf]), np.maximum(own, 0.0) * _LOWER, np.where(flat, least, steep) * _LOWER, True
    )


class Sampled:
    """A problem with samples: choices, and what they cost.

    Parameters
    ----------
    problem : AllocationProblem
        With samples.
    """

    def __init__(self, problem: AllocationProblem) -> None:
        assert problem.samples is not None
        fixed, work, kept = problem.samples
        self.problem = problem
        users, options = problem.users, problem.options
        cap = np.minimum(problem.share_caps, problem.edge_capacity)
        self.pieces = [
            [
                pieces_of(fixed[k, o], work[k, o], kept, 1.0 / cap[k] if cap[k] > 0 else 1.0)
                if problem.open_options[k, o] else None
                for o in range(options)
            ]
            for k in range(users)
        ]  # fmt: skip
        self.joined = any(one is not None and one.joined for row in self.pieces for one in row)
        width = max(sum(0 if one is None else len(one.work_s) for one in row) for row in self.pieces)
        self.width = max(width, 1)
        shape = (users, self.width)
        self.open = np.zeros(shape, bool)
        self.option = np.zeros(shape, np.int64)
        tables = {name: np.zeros(shape) for name in ("fixed_s", "edge_work_s", "downlink_bit", "uplink_bit")}
        self.from_u, self.to_u = np.ones(shape), np.full(shape, np.inf)
        for k, row in enumerate(self.pieces):
            at = 0
            for o, one in enumerate(row):
                if one is None:
                    continue
                here = slice(at, at + len(one.work_s))
                at = here.stop
                self.open[k, here], self.option[k, here] = True, o
                tables["fixed_s"][k, here], tables["edge_work_s"][k, here] = one.fixed_s, one.work_s
                tables["downlink_bit"][k, here] = problem.downlink_bit[k, o]
                tables["uplink_bit"][k, here] = problem.uplink_bit[k, o]
                self.from_u[k, here], self.to_u[k, here] = one.start[:-1], one.start[1:]
        self.tables = tables

    @cached_property
    def flat(self) -> tuple[AllocationProblem, Resources]:
        """Each choice as a user of its own with one option, and its resources."""
        p, width = self.problem, self.width

        names = (
            "weight", "edge_share_max", "downlink_efficiency", "uplink_efficiency", "downlink_snr_hz", "uplink_snr_hz",
            "deadline_s",
        )  # fmt: skip
        own: dict[str, Any] = {name: table.reshape(-1, 1) for name, table in self.tables.items()}
        own |= {name: np.repeat(getattr(p, name), width) for name in names if getattr(p, name) is not None}
        own |= dict.fromkeys((*SAMPLES, "samples_kept", "impossible"))
        core = replace(p, allowed=self.open.reshape(-1, 1), **own)
        made = Resources.of(core)
        lo, hi = np.zeros(made.a.shape), made.hi.copy()
        asks = made.a[EDGE, :, 0] > 0
        least, most = self.shares
        hi[EDGE] = np.where(asks, np.minimum(hi[EDGE], most), hi[EDGE])
        lo[EDGE, :, 0] = np.where(asks, np.minimum(least, hi[EDGE]), 0.0)
        return core, Resources(a=made.a, gamma=made.gamma, lo=lo, hi=hi, open=made.open)

    @property
    def shares(self) -> tuple[Array, Array]:
        """Least and largest share of the edge of each choice, (N,) [1]."""
        per = self.problem.edge_capacity
        return 1.0 / self.to_u.ravel() / per, 1.0 / self.from_u.ravel() / per

    def priced_flat(self, prices: Array, level_s: float | None) -> Priced:
        """Costs of choices, each as a user of its own, (N, 1)."""
        return priced(*self.flat, prices, level_s)

    def priced(self, prices: Array, level_s: float | None) -> Priced:
        """Costs of choices (K, C); shares are (3, K, C)."""
        found = self.priced_flat(prices, level_s)
        shape = self.open.shape
        return Priced(
            found.cost.reshape(shape), found.x.reshape(3, *shape), found.mu.reshape(shape), found.doubt.reshape(shape)
        )

    def options_of(self, choice: NDArray[np.int64]) -> NDArray[np.int64]:
        """The options of choices (..., K)."""
        return np.asarray(self.option[np.arange(len(self.option)), choice])

    def at(self, u: Array) -> AllocationProblem:
        """The problem whose levels are lines that meet V, and have about its slope, at u (K, O) for each option."""
        fixed, work = np.zeros(u.shape), np.zeros(u.shape)
        for k, o in np.argwhere(self.problem.open_options).tolist():
            level, ahead = self.true_level(k, o, u[k, o] * np.array([1.0, 1.0 + _NEAR]))
            work[k, o] = max(ahead - level, 0.0) / (u[k, o] * _NEAR)
            fixed[k, o] = max(level - work[k, o] * u[k, o], 0.0)
        none: dict[str, Any] = dict.fromkeys((*SAMPLES, "samples_kept"))
        return replace(self.problem, fixed_s=fixed, edge_work_s=work, **none)

    def choice_at(self, option: NDArray[np.int64], u: Array) -> NDArray[np.int64]:
        """The choices of options at u, each (K,)."""
        mine = self.open & (self.option == option[:, None])
        return np.asarray(
            np.where(mine & (self.from_u <= u[:, None] * (1.0 + 1e-12)), np.arange(self.width), -1).max(axis=1)
        )

    def true_level(self, k: int, o: int, u: Array) -> Array:
        """V of an option at u, (...) [s]."""
        assert self.problem.samples is not None
        fixed, work, kept = self.problem.samples
        return level_of(fixed[k, o], work[k, o], kept, u)
