"""Programs of any shape against an enumeration that shares nothing with the package.

Every choice of options is tried, with a convex program for its shares: a barrier method on the sum of w L or the
largest of them, over the users' shares x, the tasks' speeds q and the latencies L, with a limit for each path of tasks
from a first to a last one and one for each set of tasks of which none comes before another.
"""

from __future__ import annotations

from itertools import combinations, product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from random_programs import draw_program

from megdt_opt import solve
from megdt_opt.tolerances import BOUND, EXACT, SOLVER

LARGEST = 1e-7
"""Relative: agreement of "max"."""


class Option:
    """One user's option: its paths, its sets of tasks that may run at once, and each task's time at unit speed."""

    def __init__(self, problem: Any, k: int, o: int) -> None:
        n = problem.fixed_s.shape[2]
        amounts = [problem.downlink_bit[k, o], problem.uplink_bit[k, o], problem.edge_work_s[k, o]]
        self.fixed = problem.fixed_s[k, o]
        self.resource = {j: i for i in range(3) for j in range(n) if amounts[i][j] > 0}
        self.gamma, self.top = [np.inf] * 3, [1.0, 1.0, 1.0]
        per = [0.0, 0.0, 1.0 / problem.edge_capacity]
        for i, (side, band) in enumerate((("downlink", problem.downlink_hz), ("uplink", problem.uplink_hz))):
            efficiency, snr = getattr(problem, f"{side}_efficiency"), getattr(problem, f"{side}_snr_hz")
            per[i] = 1 / (efficiency[k] * band) if efficiency is not None else np.log(2) / band
            self.gamma[i] = np.inf if efficiency is not None else snr[k] / band
        if problem.edge_share_max is not None:
            self.top[2] = min(1.0, problem.edge_share_max[k] / problem.edge_capacity)
        self.a = {j: amounts[i][j] * per[i] for j, i in self.resource.items()}
        before = problem.before[k, o]
        self.paths: list[list[int]] = []
        for first in np.flatnonzero(~before.any(axis=0)):
            self._walk(before, [int(first)])
        self.sets = self._sets(before)

    def _walk(self, before: Any, path: list[int]) -> None:
        following = np.flatnonzero(before[path[-1]])
        if not following.size:
            self.paths.append(path)
        for j in following:
            self._walk(before, [*path, int(j)])

    def _sets(self, before: Any) -> list[tuple[int, tuple[int, ...]]]:
        reach = np.linalg.matrix_power(before.astype(int) + np.eye(len(before), dtype=int), len(before)) > 0
        found = []
        for i in range(3):
            tasks = [j for j, own in self.resource.items() if own == i]
            free = [
                one for size in range(1, len(tasks) + 1) for one in combinations(tasks, size)
                if not any(reach[p, q] or reach[q, p] for p, q in combinations(one, 2))
            ]  # fmt: skip
            found += [(i, one) for one in free if not any(set(one) < set(other) for other in free)]
        return found

    def latency(self, times: dict[int, float]) -> float:
        return max(sum(self.fixed[j] + times.get(j, 0.0) for j in path) for path in self.paths)

    def rate(self, i: int, x: float) -> tuple[float, float, float]:
        """R(x), R'(x), R''(x)."""
        if np.isinf(self.gamma[i]):
            return x, 1.0, 0.0
        u = self.gamma[i] / x
        return x * np.log1p(u), np.log1p(u) - u / (1 + u), -(u**2) / (x * (1 + u) ** 2)


class Barrier:
    """The convex program of chosen options; variables are shares, speeds, latencies and, for "max", the objective."""

    def __init__(self, options: list[Option], weight: Any, largest: bool) -> None:
        self.options, self.weight, self.largest = options, weight, largest
        self.x, self.q, self.late, n = {}, {}, [], 0
        for k, option in enumerate(options):
            for i in sorted(set(option.resource.values())):
                self.x[k, i], n = n, n + 1
            for j in option.resource:
                self.q[k, j], n = n, n + 1
            self.late.append(n)
            n += 1
        self.n = n + largest
        self.cost = np.zeros(self.n)
        if largest:
            self.cost[-1] = 1.0
        else:
            self.cost[self.late] = weight
        self.limits = sum(len(o.paths) + len(o.sets) for o in options) + len(self.x) + 3 + largest * len(options)

    def start(self) -> np.ndarray:
        v = np.zeros(self.n)
        for (k, i), at in self.x.items():
            v[at] = 0.8 * self.options[k].top[i] / (len(self.options) + 1)
        for k, option in enumerate(self.options):
            for j, i in option.resource.items():
                v[self.q[k, j]] = 0.8 * option.rate(i, v[self.x[k, i]])[0] / len(option.resource)
            v[self.late[k]] = 1.1 * option.latency({j: a / v[self.q[k, j]] for j, a in option.a.items()}) + 1e-3
        if self.largest:
            v[-1] = 1.1 * (self.weight * v[self.late]).max()
        return v

    def slacks(self, v: np.ndarray) -> list[tuple[float, dict[int, float], dict[int, float]]]:
        """Of each limit its slack, its gradient, and the diagonal of its Hessian."""
        found = []
        for k, option in enumerate(self.options):
            for path in option.paths:
                tasks = [j for j in path if j in option.a]
                slack = v[self.late[k]] - option.fixed[path].sum()
                gradient, curve = {self.late[k]: 1.0}, {}
                for j in tasks:
                    at, q = self.q[k, j], v[self.q[k, j]]
                    slack -= option.a[j] / q
                    gradient[at], curve[at] = option.a[j] / q**2, -2 * option.a[j] / q**3
                found.append((slack, gradient, curve))
            for i, tasks in option.sets:
                rate, slope, bend = option.rate(i, v[self.x[k, i]])
                gradient = {self.x[k, i]: slope, **{self.q[k, j]: -1.0 for j in tasks}}
                found.append((rate - sum(v[self.q[k, j]] for j in tasks), gradient, {self.x[k, i]: bend}))
            if self.largest:
                found.append(
                    (v[-1] - self.weight[k] * v[self.late[k]], {self.n - 1: 1.0, self.late[k]: -self.weight[k]}, {})
                )
        for (k, i), at in self.x.items():
            found.append((self.options[k].top[i] - v[at], {at: -1.0}, {}))
        for i in range(3):
            own = [at for (_, r), at in self.x.items() if r == i]
            found.append((1.0 - v[own].sum(), dict.fromkeys(own, -1.0), {}))
        return found

    def least(self, worse: float) -> float:
        """The least objective; infinite as soon as it is proven to be above `worse`."""
        v = self.start()
        t = self.limits / float(self.cost @ v)
        while True:
            v = self._centred(v, t)
            if float(self.cost @ v) - self.limits / t > worse:
                return np.inf
            if self.limits / t < 1e-12 * float(self.cost @ v):
                return self._used_up(v)
            t *= 30.0

    def _centred(self, v: np.ndarray, t: float) -> np.ndarray:
        for _ in range(200):
            slacks, gradient, curve = self._barrier(v, t)
            scale = 1 / np.sqrt(np.diag(curve))
            move = -scale * np.linalg.solve(curve * scale * scale[:, None] + 1e-15 * np.eye(self.n), scale * gradient)
            decrease = -float(gradient @ move)
            if decrease < 1e-7:
                break
            step = 1.0
            while step > 1e-12:
                trial = v + step * move
                # by how much the barrier grows, without the digits that its large values lose
                if self._inside(trial):
                    left = np.array([slack for slack, _, _ in self.slacks(trial)])
                    if t * step * float(self.cost @ move) - np.log(left / slacks).sum() <= -0.1 * step * decrease:
                        break
                step *= 0.5
            else:
                break
            v = trial
        return v

    def _inside(self, v: np.ndarray) -> bool:
        shares = [*self.x.values(), *self.q.values()]
        return bool((v[shares] > 0).all()) and all(slack > 0 for slack, _, _ in self.slacks(v))

    def _barrier(self, v: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Slacks, and gradient and Hessian of t times the objective less their logarithms."""
        gradient, curve, slacks = t * self.cost, np.zeros((self.n, self.n)), []
        for slack, first, second in self.slacks(v):
            at, g = list(first), np.array(list(first.values()))
            slacks.append(slack)
            gradient[at] -= g / slack
            curve[np.ix_(at, at)] += np.outer(g, g) / slack**2
            for place, bend in second.items():
                curve[place, place] -= bend / slack
        return np.array(slacks), gradient, curve

    def _used_up(self, v: np.ndarray) -> float:
        """The objective with the budgets used up."""
        late = []
        whole = {i: sum(v[at] for (_, r), at in self.x.items() if r == i) for i in range(3)}
        for k, option in enumerate(self.options):
            times = {}
            for j, i in option.resource.items():
                x = v[self.x[k, i]]
                grown = min(x / whole[i], option.top[i])
                most = max(sum(v[self.q[k, m]] for m in one) for r, one in option.sets if r == i)
                times[j] = option.a[j] / (v[self.q[k, j]] / most * option.rate(i, grown)[0])
            late.append(option.latency(times))
        weighted = self.weight * np.array(late)
        return float(weighted.max() if self.largest else weighted.sum())


def optimum(problem: Any) -> float:
    """The best objective over all choices of options."""
    weight = np.ones(problem.users) if problem.weight is None else problem.weight
    largest = problem.objective == "max"
    options = [[Option(problem, k, o) for o in range(problem.options)] for k in range(problem.users)]
    cases = []
    for row in product(*options):
        # less than with any shares: each task alone with everything
        alone = [
            one.latency({j: a / one.rate(one.resource[j], one.top[one.resource[j]])[0] for j, a in one.a.items()})
            for one in row
        ]
        weighted = weight * np.array(alone)
        cases.append((float(weighted.max() if largest else weighted.sum()), row))
    best = np.inf
    for floor, row in sorted(cases, key=lambda case: case[0]):
        if floor < best:
            best = min(best, Barrier(list(row), weight, largest).least(best))
    return best


@pytest.mark.long_list("cell", of=20)
@pytest.mark.parametrize(("cell", "seed"), [(seed % 4, seed) for seed in range(200)])
def test_agrees_with_an_enumeration(cell: int, seed: int) -> None:
    problem = draw_program(seed)
    truth, tolerance, gap = optimum(problem), *((LARGEST, 5e-8) if problem.objective == "max" else (EXACT, 5e-10))
    found = solve(problem, gap=gap)
    assert found.objective_s == pytest.approx(truth, rel=tolerance)
    assert found.lower_bound_s <= truth * (1 + BOUND)
    assert found.is_optimal(gap)
    assert found.is_proven(problem, gap)
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=True).holds
    decided = SimpleNamespace(
        option=found.option, downlink_hz=found.downlink_hz, uplink_hz=found.uplink_hz, edge_share=found.edge_share,
        part=found.part,
    )  # fmt: skip
    assert problem.evaluate(decided).objective_s == found.objective_s


@pytest.mark.long_list("objective")
@pytest.mark.parametrize(("objective", "seed"), [(("sum", "max")[seed % 2], seed) for seed in range(60)])
def test_the_formulation_agrees(objective: str, seed: int) -> None:
    problem = draw_program(1000 + seed)
    by_prices, by_highs = solve(problem, gap=SOLVER / 2), solve(problem, "task_program", gap=SOLVER / 2)
    assert by_highs.objective_s == pytest.approx(by_prices.objective_s, rel=SOLVER)
    assert by_highs.lower_bound_s <= by_prices.objective_s * (1 + SOLVER)
    assert by_highs.bound_source == "solver"
