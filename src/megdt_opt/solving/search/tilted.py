"""Prices and multipliers for "mixed": as a pool, with one number more for each user.

The bound of (l, nu) is sum_k min_o c_ko(l; (1 + nu_k) w_k) - sum l, with sum nu <= max_weight (`priced`). User k's part
depends on l and on nu_k alone, so each gets cutting planes of its own: with one plane for the sum, as `Pool` has it,
Kelley's method would crawl in 3 + K dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.search.pool import Mask, Pool

_MOST_CUTS = 60
"""Price vectors whose planes enter a linear program: those with the best values."""

_ROOM = 1e-14
"""Relative distance of sum nu from max_weight, so that rounding never carries it over."""


class TiltedPool(Pool):
    """Prices and multipliers, (3 + K,) each, with their tables; see `Pool`.

    Parameters
    ----------
    problem : AllocationProblem
        With objective "mixed".
    resources : Resources
    level_s : None
        As "mixed" has no level.
    deadline : float
        As for `Pool` [s].
    """

    def __init__(
        self, problem: AllocationProblem, resources: Resources, level_s: float | None, deadline: float = np.inf
    ) -> None:
        super().__init__(problem, resources, level_s, deadline)
        self.most = float(problem.max_weight or 0.0)

    def add(self, prices: Array) -> int:
        """Add prices and multipliers, (3 + K,), and return their number; multipliers are scaled to keep their sum."""
        tilts = np.maximum(prices[3:], 0.0)
        total = float(tilts.sum())
        if total > self.most * (1.0 - _ROOM):
            tilts = tilts * (self.most * (1.0 - _ROOM) / total)
        self._append(np.r_[np.where(self.used, np.maximum(prices[:3], 0.0), 0.0), tilts])
        return len(self.prices) - 1

    def values(self, mask: Mask) -> tuple[Array, Array, NDArray[np.int64]]:
        """As `Pool.values`; the slopes, (P, 3 + K), are those in the prices and in the multipliers."""
        least, x, late, best = self._parts(mask)
        slope = np.hstack([x.sum(axis=2) - 1.0, late])
        return least.sum(axis=1) - np.array(self.prices)[:, :3].sum(axis=1), slope, best

    def _parts(self, mask: Mask) -> tuple[Array, Array, Array, NDArray[np.int64]]:
        """Each user's least cost (P, K), shares (P, 3, K) and w L (P, K) there, and its options (P, K)."""
        cost = np.where(mask, self.costs, np.inf)
        best = cost.argmin(axis=2)
        rows = np.arange(mask.shape[0])
        least = np.take_along_axis(cost, best[:, :, None], axis=2)[:, :, 0]
        x = np.array([x[:, rows, b] for x, b in zip(self._x, best, strict=True)])
        prices = np.array(self.prices)
        late = (least - (prices[:, :3, None] * x).sum(axis=1)) / (1.0 + prices[:, 3:])
        return least, x, late, best

    def _highest(self, mask: Mask, value: Array, slope: Array, box: float) -> tuple[Array | None, float, Array]:
        """argmax over (l, nu) of sum_k (least of user k's planes) - sum l."""
        from scipy.optimize import linprog
        from scipy.sparse import coo_array

        users = mask.shape[0]
        nothing = np.zeros((len(value), users))
        kept = np.argsort(-value)[:_MOST_CUTS]
        kept = kept[np.abs(value[kept]) < 1e29]
        if kept.size == 0:
            return None, float(value.max()), nothing
        least, x, late, _ = self._parts(mask)
        prices = np.array(self.prices)[kept]
        least, x, late = least[kept], x[kept], late[kept]
        scale = max(float(np.abs(value[kept]).max()), 1e-30)
        unit = max(self.most, 1e-30)
        count = kept.size
        # variables l / box (3), nu / max_weight (K), user k's part / scale (K); one row for each plane
        row = np.arange(count * users)
        user = np.tile(np.arange(users), count)
        columns = [np.full(row.size, i) for i in range(3)] + [3 + user, 3 + users + user]
        entries = [-x[:, i].ravel() * box / scale for i in range(3)]
        entries += [-late.ravel() * unit / scale, np.ones(row.size)]
        right = least - (prices[:, :3, None] * x).sum(axis=1) - late * prices[:, 3:]
        rows = np.r_[np.tile(row, 5), np.full(users, row.size)]
        table = coo_array(
            (
                np.r_[np.concatenate(entries), np.ones(users)],
                (rows, np.r_[np.concatenate(columns), 3 + np.arange(users)]),
            ),
            shape=(row.size + 1, 3 + 2 * users),
        )
        room = 1.0 if self.most > 0 else 0.0
        found = linprog(
            np.r_[np.full(3, box / scale), np.zeros(users), -np.ones(users)],
            A_ub=table.tocsr(),
            b_ub=np.r_[right.ravel() / scale, room],
            bounds=[(0.0, 1.0 if used else 0.0) for used in self.used] + [(0.0, room)] * users + [(None, None)] * users,
            method="highs",
        )
        if found.status != 0:
            return None, float(value.max()), nothing
        weights = nothing.copy()
        weights[kept] = np.maximum(-found.ineqlin.marginals[:-1], 0.0).reshape(count, users)
        return np.r_[found.x[:3] * box, found.x[3 : 3 + users] * unit], float(-found.fun * scale), weights
