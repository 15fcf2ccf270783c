"""Problems whose numbers deviate within a budget against an enumeration that shares nothing with the package.

All option sets are tried. The worst case of a user is the largest over the corners of the set of deviations, so that
given options are a convex program with one constraint a corner, which a barrier method of its own solves.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from random_deviations import draw_deviations

from megdt_opt import AllocationProblem, Infeasible, solve
from megdt_opt.tolerances import BOUND


def corners(budget: float) -> np.ndarray:
    """The corners of {xi in [0, 1]^4, sum xi <= budget} that no other one exceeds, (V, 4)."""
    whole = min(int(budget), 4)
    part = min(budget - whole, 1.0)
    found = set()
    for ones in itertools.combinations(range(4), whole):
        for rest in range(4):
            xi = [1.0 if i in ones else 0.0 for i in range(4)]
            if rest not in ones:
                xi[rest] = part
            if sum(xi) >= min(budget, 4.0) - 1e-12:
                found.add(tuple(xi))
    return np.array(sorted(found))


class Convex:
    """Given options, their worst cases: variables are the logarithms of shares, then latencies, then the level."""

    def __init__(self, problem: AllocationProblem, options: tuple[int, ...]) -> None:
        k, o = np.arange(problem.users), list(options)
        self.users, self.largest = problem.users, problem.objective == "max"
        self.weight = np.ones(self.users) if problem.weight is None else np.array(problem.weight)
        budget = float(problem.deviation_budget)
        self.gamma = np.full((3, self.users), np.inf)
        base, extra = np.zeros((3, self.users)), np.zeros((3, self.users))
        for i, side in enumerate(("downlink", "uplink")):
            band = float(getattr(problem, f"{side}_hz"))
            efficiency, snr = getattr(problem, f"{side}_efficiency"), getattr(problem, f"{side}_snr_hz")
            per = np.log(2) / band if snr is not None else 1.0 / (np.array(efficiency) * band)
            base[i] = np.array(getattr(problem, f"{side}_bit"))[k, o] * per
            extra[i] = np.array(getattr(problem, f"{side}_extra_bit"))[k, o] * per
            if snr is not None:
                self.gamma[i] = np.array(snr) / band
        base[2] = np.array(problem.edge_work_s)[k, o] / problem.edge_capacity
        extra[2] = np.array(problem.edge_work_extra_s)[k, o] / problem.edge_capacity
        fixed, own = np.array(problem.fixed_s)[k, o], np.array(problem.fixed_extra_s)[k, o]
        one = min(1.0, budget)
        self.base, self.extra = base, extra
        self.hi = np.ones((3, self.users))
        if problem.edge_share_max is not None:
            self.hi[2] = np.minimum(np.array(problem.edge_share_max) / problem.edge_capacity, 1.0)
        self.asks = (base + one * extra) > 0
        xi = corners(budget)  # (V, 4)
        self.demand = base[None] + xi[:, 1:, None] * extra[None]  # (V, 3, K)
        self.rest = fixed[None] + xi[:, :1] * own[None]  # (V, K)
        self.floor = fixed + one * own
        if problem.device_branch_s is not None:
            self.floor = self.floor + np.array(problem.device_branch_s)[k, o]
        self.limit = np.full(self.users, np.inf)
        if problem.deadline_s is not None:
            self.limit = np.where(np.array(problem.deadline_s) >= 1e30, np.inf, np.array(problem.deadline_s))
        self.airtime = np.full(self.users, np.inf)
        if problem.uplink_airtime_max_s is not None:
            found = np.array(problem.uplink_airtime_max_s)[k, o]
            self.airtime = np.where(found >= 1e30, np.inf, found)
        self.most_up = base[1] + one * extra[1]

    def rates(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """1 / R and its first two derivatives in the logarithm of x."""
        u = np.where(np.isinf(self.gamma), 1.0, self.gamma) / x
        linear = np.isinf(self.gamma)
        r = np.where(linear, x, x * np.log1p(u))
        r1 = np.where(linear, x, x * (np.log1p(u) - u / (1 + u)))  # dR / dlog x
        r2 = np.where(linear, x, r1 - x * (u / (1 + u)) ** 2)
        return 1 / r, -r1 / r**2, 2 * r1**2 / r**3 - r2 / r**2

    def times(self, x: np.ndarray) -> np.ndarray:
        """Latencies."""
        inverse = np.where(self.asks, self.rates(np.where(self.asks, x, 1.0))[0], 0.0)
        return np.maximum(self.floor, (self.rest + (self.demand * inverse[None]).sum(axis=1)).max(axis=0))

    def solve(self) -> float:
        """The least objective; infinite where the limits cannot be kept."""
        hard = np.isfinite(self.limit).any() or np.isfinite(self.airtime).any()
        x = 0.9 * np.minimum(self.hi, 1.0) / np.maximum(self.asks.sum(axis=1, keepdims=True), 1)
        slack = 0.0
        if hard:
            slack = self._excess(x)
            if slack >= 0:
                x, excess = self._descend(x, feasibility=True)
                if excess >= -1e-9:
                    return np.inf
        x, _ = self._descend(x, feasibility=False)
        late = self.weight * self.times(x)
        return float(late.max() if self.largest else late.sum())

    def _excess(self, x: np.ndarray) -> float:
        late = self.times(x) / self.limit - 1
        air = np.zeros(self.users)
        inverse = self.rates(np.where(self.asks, x, 1.0))[0][1]
        air = np.where(self.most_up > 0, self.most_up * inverse / self.airtime - 1, -1.0)
        return float(max(late.max(), air.max()))

    def _descend(self, x: np.ndarray, feasibility: bool) -> tuple[np.ndarray, float]:
        """Barrier method; with `feasibility` the largest relative excess of a limit is minimised instead."""
        index = np.full((3, self.users), -1)
        index[self.asks] = np.arange(int(self.asks.sum()))
        m = int(self.asks.sum())
        n = m + self.users + 1  # shares, latencies, and the level or excess
        z = np.zeros(n)
        z[:m] = np.log(x[self.asks])
        late = self.times(x)
        z[m : m + self.users] = late * 1.01 + 1e-3
        if np.isfinite(self.limit).any() and not feasibility:
            room = np.minimum(z[m : m + self.users], 0.5 * (late + self.limit))
            z[m : m + self.users] = np.where(np.isfinite(self.limit), room, z[m : m + self.users])
        if feasibility:
            z[-1] = max(self._excess(x), float((z[m : m + self.users] / self.limit - 1).max())) + 1.0
        else:
            z[-1] = float((self.weight * z[m : m + self.users]).max()) * 1.01 + 1e-3
        goal = np.zeros(n)
        if feasibility or self.largest:
            goal[-1] = 1.0
        else:
            goal[m : m + self.users] = self.weight

        def rows(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            """Constraints g(z) < 0, their gradients, and the diagonals of their second derivatives."""
            x = np.ones((3, self.users))
            x[self.asks] = np.exp(z[:m])
            s = z[m : m + self.users]
            inverse, first, second = self.rates(x)
            g, d, h = [], [], []

            def add(value: float, gradient: dict[int, float], curve: dict[int, float]) -> None:
                own, bend = np.zeros(n), np.zeros(n)
                for i, v in gradient.items():
                    own[i] += v
                for i, v in curve.items():
                    bend[i] += v
                g.append(value), d.append(own), h.append(bend)

            for k in range(self.users):
                mine = [i for i in range(3) if self.asks[i, k]]
                for v in range(len(self.rest)):
                    value = self.rest[v, k] + sum(self.demand[v, i, k] * inverse[i, k] for i in mine) - s[k]
                    gradient = {index[i, k]: self.demand[v, i, k] * first[i, k] for i in mine}
                    gradient[m + k] = -1.0
                    add(value, gradient, {index[i, k]: self.demand[v, i, k] * second[i, k] for i in mine})
                add(self.floor[k] - s[k], {m + k: -1.0}, {})
                if np.isfinite(self.limit[k]):
                    if feasibility:
                        add(s[k] / self.limit[k] - 1 - z[-1], {m + k: 1 / self.limit[k], n - 1: -1.0}, {})
                    else:
                        add(s[k] - self.limit[k] * (1 + 1e-12), {m + k: 1.0}, {})
                if np.isfinite(self.airtime[k]) and self.most_up[k] > 0:
                    part = self.most_up[k] / self.airtime[k]
                    shift = {n - 1: -1.0} if feasibility else {}
                    add(
                        part * inverse[1, k] - 1 - (z[-1] if feasibility else 1e-12),
                        {index[1, k]: part * first[1, k], **shift}, {index[1, k]: part * second[1, k]},
                    )  # fmt: skip
                if self.largest and not feasibility:
                    add(self.weight[k] * s[k] - z[-1], {m + k: self.weight[k], n - 1: -1.0}, {})
            if not self.largest and not feasibility:
                add(-z[-1], {n - 1: -1.0}, {})
            for i in range(3):
                mine = [k for k in range(self.users) if self.asks[i, k]]
                if mine:
                    own = {index[i, k]: x[i, k] for k in mine}
                    add(sum(own.values()) - 1, own, own)
                for k in mine:
                    if self.hi[i, k] < 1:
                        own = {index[i, k]: x[i, k]}
                        add(x[i, k] - self.hi[i, k], own, own)
            return np.array(g), np.array(d), np.array(h)

        t = 10.0
        while True:
            for _ in range(80):
                g, d, h = rows(z)
                assert (g < 0).all()
                inv = -1.0 / g
                gradient = t * goal + d.T @ inv
                hessian = (d * (inv**2)[:, None]).T @ d + np.diag(h.T @ inv)
                if not self.largest and not feasibility:
                    hessian[-1, -1] += 1e-12
                    gradient[-1] = 0.0
                    hessian[-1, :-1] = hessian[:-1, -1] = 0.0
                    hessian[-1, -1] = 1.0
                scale = 1 / np.sqrt(np.diag(hessian))
                step = -scale * np.linalg.solve(hessian * scale[:, None] * scale[None], scale * gradient)
                decrement = -gradient @ step
                size = 1.0
                value = t * (goal @ z) - np.log(-g).sum()
                while size > 1e-14:
                    new = z + size * step
                    gn = rows(new)[0]
                    if (gn < 0).all() and t * (goal @ new) - np.log(-gn).sum() <= value + 1e-4 * size * -decrement + (
                        1e-13 * abs(value)
                    ):
                        break
                    size *= 0.5
                else:
                    break
                z = z + size * step
                if decrement < 1e-9:
                    break
            if feasibility and z[-1] < -1e-3:
                break
            if len(g) / t < 2e-12 * max(abs(goal @ z), 1e-3):
                break
            t *= 15.0
        x = np.zeros((3, self.users))
        x[self.asks] = np.exp(z[:m])
        return x, float(z[-1])


def enumerated(problem: AllocationProblem) -> float:
    """The optimum, by trying everything; infinite where no options keep the limits.

    What looks good at an even split comes first; sets that are worse with all of each budget for each user are skipped.
    """
    sets = itertools.product(range(problem.options), repeat=problem.users)
    models = [Convex(problem, options) for options in sets]

    def value(model: Convex, x: np.ndarray) -> float:
        late = model.weight * model.times(np.where(model.asks, x, 1.0))
        return float(late.max() if model.largest else late.sum())

    best = np.inf
    for model in sorted(models, key=lambda one: value(one, np.minimum(one.hi, 1.0 / problem.users))):
        if value(model, model.hi) < best:
            best = min(best, model.solve())
    return best


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", range(200))
def test_the_search_reaches_the_enumerated_worst_case_and_proves_it(number: int) -> None:
    problem = draw_deviations(number)
    optimum = enumerated(problem)
    precision, gap = (1e-9, 5e-10) if problem.objective == "sum" else (1e-7, 5e-8)
    if not np.isfinite(optimum):
        with pytest.raises(Infeasible):
            solve(problem, gap=gap)
        return
    found = solve(problem, gap=gap)
    assert found.status == "optimal"
    assert found.objective_s == pytest.approx(optimum, rel=precision)
    assert found.lower_bound_s <= optimum * (1 + BOUND)
    assert found.is_proven(problem, gap)
    assert found.certificate is not None
    verdict = found.certificate.verify(problem, exact=True)
    assert verdict.holds, verdict.reason
    assert verdict.exact
