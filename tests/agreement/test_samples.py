"""Problems with samples against an enumeration that shares nothing with the package.

All option sets are tried. How the edge is shared is looked for on a grid, and nearer and nearer its best places; the
bands have a closed form for "sum" and a bisection of the level for "max".
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from random_samples import draw_samples

from megdt_opt import AllocationProblem, Infeasible, solve
from megdt_opt.tolerances import BOUND

_PLACES, _ROUNDS, _SHRINK = 60, 250, 0.7


class Grid:
    """Given options: the objective for shares of the edge, and the best of them."""

    def __init__(self, problem: AllocationProblem, options: tuple[int, ...]) -> None:
        k, o = np.arange(problem.users), list(options)
        self.fixed = np.array(problem.fixed_samples_s)[k, o]
        self.work = np.array(problem.edge_work_samples_s)[k, o]
        self.kept, self.capacity = int(problem.samples_kept or 0), float(problem.edge_capacity)
        self.weight, self.largest = np.array(problem.weight), problem.objective == "max"
        self.asks = self.work.any(axis=1)
        cap = np.full(problem.users, np.inf) if problem.edge_share_max is None else np.array(problem.edge_share_max)
        self.cap = np.minimum(cap, self.capacity)
        late = problem.deadline_s
        self.limit = np.full(problem.users, np.inf) if late is None else np.where(late >= 1e30, np.inf, np.array(late))
        self.a = np.array([
            np.array(problem.downlink_bit)[k, o] / (np.array(problem.downlink_efficiency) * problem.downlink_hz),
            np.array(problem.uplink_bit)[k, o] / (np.array(problem.uplink_efficiency) * problem.uplink_hz),
        ])  # fmt: skip

    def levels(self, share: np.ndarray) -> np.ndarray:
        """The m-th smallest over the samples, (N, K)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            times = self.fixed + np.where(self.work > 0, self.work / share[:, :, None], 0.0)
        return np.sort(times, axis=2)[:, :, self.kept - 1]

    def objective(self, share: np.ndarray) -> np.ndarray:
        """For shares (N, K) of the edge, (N,)."""
        level = self.levels(share)
        if not self.largest:
            roots = np.sqrt(self.weight * self.a).sum(axis=1)
            return (self.weight * level).sum(axis=1) + float((roots**2).sum())
        sends = self.a.sum(axis=0) > 0
        low = (self.weight * level).max(axis=1)
        low = np.where((level > self.limit).any(axis=1), np.inf, low)
        if not sends.any():
            return low
        s = np.sqrt(self.a)

        def over(d: np.ndarray) -> np.ndarray:
            tau = np.minimum(d[:, None] / self.weight, self.limit) - level
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                per = np.where(sends, 1.0 / np.maximum(tau, 1e-300), 0.0)
                m = [[(s[i] * s[j] * per).sum(axis=1) for j in range(2)] for i in range(2)]
                half = 0.5 * (m[0][0] + m[1][1])
                top = half + np.sqrt((0.5 * (m[0][0] - m[1][1])) ** 2 + m[0][1] ** 2)
            return np.where(((tau <= 0) & sends).any(axis=1), np.inf, np.where(np.isnan(top), np.inf, top))

        finite = np.isfinite(low)
        high = np.where(finite, low, 1.0) + 1.0
        for _ in range(40):
            grow = over(high) > 1
            if not grow.any():
                break
            high = np.where(grow, 4.0 * high, high)
        possible = finite & (over(high) <= 1)
        start = np.where(finite, low, 1.0)
        for _ in range(70):
            middle = 0.5 * (start + high)
            late = over(middle) > 1
            start, high = np.where(late, middle, start), np.where(late, high, middle)
        return np.where(possible, np.maximum(high, np.where(finite, low, 0.0)), np.inf)

    def shares(self, part: np.ndarray) -> np.ndarray:
        """Shares (N, K) of those who ask, from points of a box, the last one taking what is left."""
        who = np.flatnonzero(self.asks)
        share = np.ones((len(part), len(self.asks)))
        left = np.full(len(part), self.capacity)
        for n, k in enumerate(who[:-1]):
            share[:, k] = np.minimum(left * part[:, n], self.cap[k])
            left = left - share[:, k]
        share[:, who[-1]] = np.minimum(left, self.cap[who[-1]])
        return share

    def best(self) -> float:
        """The least objective."""
        count = int(self.asks.sum())
        if count <= 1:
            share = np.where(self.asks, self.cap, 1.0)[None]
            return float(self.objective(share)[0])
        axis = (np.arange(_PLACES) + 0.5) / _PLACES
        points = np.array(list(itertools.product(axis, repeat=count - 1)))
        value = self.objective(self.shares(points))
        order = np.argsort(value)[:4]
        best = float(value[order[0]])
        rng = np.random.default_rng(0)  # in all directions, as ridges lie across the axes
        centre, width, least = points[order], np.full((4, 1, 1), 1.5 / _PLACES), value[order]
        for _ in range(_ROUNDS):
            steps = np.vstack([np.zeros((1, count - 1)), rng.uniform(-1, 1, (24, count - 1))])
            near = np.clip(centre[:, None] + width * steps, 1e-9, 1 - 1e-9)
            flat = near.reshape(-1, count - 1)
            value = self.objective(self.shares(flat)).reshape(len(centre), -1)
            place = value.argmin(axis=1)
            centre = near[np.arange(len(centre)), place]
            best = min(best, float(value.min()))
            width[value.min(axis=1) >= least] *= _SHRINK
            least = value.min(axis=1)
            if width.max() < 1e-11:
                break
        return best


def enumerated(problem: AllocationProblem) -> float:
    """The optimum, by trying everything; infinite where no options keep the deadlines."""
    sets = itertools.product(range(problem.options), repeat=problem.users)
    return min(Grid(problem, options).best() for options in sets)


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", range(200))
def test_the_search_reaches_the_enumerated_level_and_proves_it(number: int) -> None:
    problem = draw_samples(number)
    optimum = enumerated(problem)
    if not np.isfinite(optimum):
        with pytest.raises(Infeasible):
            solve(problem, gap=5e-8)
        return
    found = solve(problem, gap=5e-8)
    assert found.status == "optimal"
    assert found.objective_s <= optimum * (1 + 1e-7)
    # the grid is from above, and near: at kinks of the levels it is the search that is better
    assert found.objective_s == pytest.approx(optimum, rel=1e-5)
    assert found.lower_bound_s <= optimum * (1 + BOUND)
    assert found.is_proven(problem, 5e-8)
    assert found.certificate is not None
    verdict = found.certificate.verify(problem, exact=True)
    assert verdict.holds, verdict.reason
    assert verdict.exact
