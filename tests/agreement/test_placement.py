"""Placement problems against an enumeration that shares nothing with the package.

It has a formula of its own for the latency and a convex solve of its own: for every choice of options and sets of
models, the servers are apart, and the shares of each are found by a barrier method.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from random_placements import draw_limited, draw_placement

from megdt_opt import Infeasible, PlacementProblem, solve
from megdt_opt.tolerances import BOUND, EXACT, SOLVER

Array = NDArray[np.float64]

PRECISION = 1e-13


def seconds(a: Array, gamma: Array, x: Array) -> tuple[Array, Array, Array]:
    """a / R(x) with its first and second derivative; R(x) = x, or x ln(1 + gamma / x)."""
    curved = np.isfinite(gamma)
    g = np.where(curved, gamma, 1.0)
    r = np.where(curved, x * np.log1p(g / x), x)
    r1 = np.where(curved, np.log1p(g / x) - g / (x + g), 1.0)
    r2 = np.where(curved, -(g**2) / (x * (x + g) ** 2), 0.0)
    return a / r, -a * r1 / r**2, a * (2 * r1**2 / r**3 - r2 / r**2)


def best_of_server(problem: PlacementProblem, server: int, users: tuple[int, ...], options: tuple[int, ...]) -> float:
    """Least objective of users who take these options at a server."""
    k, o, n = list(users), list(options), len(users)
    fixed, weight = np.array(problem.fixed_s)[k, o], np.ones(n)
    branch = np.zeros(n) if problem.device_branch_s is None else np.array(problem.device_branch_s)[k, o]
    if problem.weight is not None:
        weight = np.array(problem.weight)[k]
    a, gamma, cap = np.zeros((3, n)), np.full((3, n), np.inf), np.ones((3, n))
    for i, side in enumerate(("downlink", "uplink")):
        band, bit = float(getattr(problem, f"{side}_hz")[server]), np.array(getattr(problem, f"{side}_bit"))[k, o]
        efficiency, snr = getattr(problem, f"{side}_efficiency"), getattr(problem, f"{side}_snr_hz")
        for j, user in enumerate(k):
            if bit[j] > 0:
                law = efficiency if snr is None else snr
                own = float(law[user] if law.ndim == 1 else law[user, server])
                if band == 0 or own == 0:
                    return np.inf
                a[i, j] = bit[j] / (own * band) if snr is None else bit[j] * np.log(2) / band
                gamma[i, j] = np.inf if snr is None else own / band
    work = np.array(problem.edge_work_s)[k, o]
    capacity = 1.0 if problem.edge_capacity is None else float(problem.edge_capacity[server])
    if work.any() and capacity == 0:
        return np.inf
    if work.any():
        a[2] = work / capacity
        if problem.edge_share_max is not None:
            cap[2] = np.minimum(np.array(problem.edge_share_max)[k] / capacity, 1.0)
    late = np.full(n, np.inf) if problem.deadline_s is None else np.array(problem.deadline_s)[k]
    late = np.where(late > 1e20, np.inf, late)
    least = np.zeros((3, n))
    if problem.uplink_airtime_max_s is not None:
        least[1] = [at_least(a[1, j], gamma[1, j], problem.uplink_airtime_max_s[k[j], o[j]]) for j in range(n)]
    if (least.sum(axis=1) >= 1).any() or (fixed + branch > late).any():
        return np.inf
    largest, limited = problem.objective == "max", bool(np.isfinite(late).any())
    none = np.full(n, np.inf)
    if not limited:
        return barrier(a, gamma, least, cap, fixed, branch, weight, none, largest)[0]
    urgent = 1.0 / np.where(np.isfinite(late), late, 1e6)
    ratio, start = barrier(a, gamma, least, cap, fixed, branch, urgent, none, True, enough=1 - 1e-6)
    if ratio >= 1:
        return np.inf
    return barrier(a, gamma, least, cap, fixed, branch, weight, late, largest, start=start)[0]


def at_least(a: float, gamma: float, limit: float) -> float:
    """The share with which sending takes as long as the limit; 1 where even the whole band takes longer."""
    low, high = 0.0, 1.0
    if a == 0 or limit > 1e20:
        return 0.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        slow = middle == 0 or seconds(np.array(a), np.array(gamma), np.array(middle))[0] > limit
        low, high = (middle, high) if slow else (low, middle)
    return high


def barrier(
    a: Array, gamma: Array, least: Array, cap: Array, fixed: Array, branch: Array, weight: Array, late: Array,
    largest: bool, *, start: Array | None = None, enough: float = 0.0,
) -> tuple[float, Array]:  # fmt: skip
    """Least sum or maximum of weight (fixed + max(branch, times)), and shares with which it is reached; at most
    `enough` will do. Variables: shares, times of users, the maximum; `late` limits fixed + max(branch, times)."""
    needs = a > 0
    n, size = len(fixed), int(needs.sum())
    place = np.full(a.shape, -1)
    place[needs] = np.arange(size)
    room = (1.0 - least.sum(axis=1, keepdims=True)) / (2.0 * np.maximum(needs.sum(axis=1, keepdims=True), 1))
    x = np.minimum(least + room, 0.5 * (least + cap))[needs] if start is None else start
    variables = size + n + 1

    def times(x: Array) -> tuple[Array, Array, Array]:
        full = np.where(needs, 0.0, 1.0)
        full[needs] = x
        return seconds(a, gamma, full)

    def value_of(x: Array) -> float:
        late = weight * (fixed + np.maximum(branch, times(x)[0].sum(axis=0)))
        return float(late.max() if largest else late.sum())

    busy = np.maximum(times(x)[0].sum(axis=0), branch)
    s = np.where(np.isfinite(late), 0.5 * (busy + np.where(np.isfinite(late), late, 0) - fixed), 2.0 * busy + 1e-3)
    d = 2.0 * float((weight * (fixed + s)).max())
    z = np.r_[x, s, d]

    def parts(z: Array) -> tuple[Array, Array, list[tuple[int, Array]]]:
        """Slacks, their gradients, and the curvature that is not linear."""
        x, s, d = z[:size], z[size:-1], z[-1]
        t, t1, t2 = times(x)
        slack, rows, bends = [], [], []
        for j in range(n):
            row, bend = np.zeros(variables), np.zeros(size)
            row[size + j] = 1.0
            for i in range(3):
                if needs[i, j]:
                    row[place[i, j]], bend[place[i, j]] = -t1[i, j], -t2[i, j]
            bends.append((len(slack), bend))
            slack.append(s[j] - t[:, j].sum())
            rows.append(row)
            row = np.zeros(variables)
            row[size + j] = 1.0
            slack.append(s[j] - branch[j])
            rows.append(row)
            if np.isfinite(late[j]):
                row = np.zeros(variables)
                row[size + j] = -1.0
                slack.append(late[j] - fixed[j] - s[j])
                rows.append(row)
            if largest:
                row = np.zeros(variables)
                row[-1], row[size + j] = 1.0, -weight[j]
                slack.append(d - weight[j] * (fixed[j] + s[j]))
                rows.append(row)
        for i in range(3):
            if needs[i].any():
                row = np.zeros(variables)
                row[place[i][needs[i]]] = -1.0
                slack.append(1.0 + row[:size] @ x)
                rows.append(row)
        for at, (floor, limit) in enumerate(zip(least[needs], cap[needs], strict=True)):
            for sign, right in ((1.0, -floor), (-1.0, limit)):
                row = np.zeros(variables)
                row[at] = sign
                slack.append(right + sign * x[at])
                rows.append(row)
        return np.array(slack), np.array(rows), bends

    cost = np.zeros(variables)
    cost[size:-1] = 0.0 if largest else weight
    cost[-1] = 1.0 if largest else 0.0
    best, shares, t = value_of(x), x, 1.0 / max(value_of(x), 1e-9)
    count = len(parts(z)[0])
    while True:
        for _ in range(60):
            slack, rows, bends = parts(z)
            gradient = t * cost - (rows / slack[:, None]).sum(axis=0)
            hessian = (rows / slack[:, None]).T @ (rows / slack[:, None])
            for at, bend in bends:
                hessian[np.arange(size), np.arange(size)] -= bend / slack[at]
            free = np.ones(variables, dtype=bool)
            free[-1] = largest
            scale = 1 / np.sqrt(np.diag(hessian)[free])
            inner = hessian[np.ix_(free, free)] * scale[:, None] * scale
            step = np.zeros(variables)
            step[free] = -scale * np.linalg.solve(inner, scale * gradient[free])
            decrement = -float(gradient @ step)
            if decrement < 1e-10:
                break
            length, merit = 1.0, t * float(cost @ z) - float(np.log(slack).sum())
            while length > 1e-12:
                new = z + length * step
                if (new[:size] > 0).all():
                    ahead = parts(new)[0]
                    if (ahead > 0).all() and t * float(cost @ new) - float(np.log(ahead).sum()) <= merit:
                        z = new
                        break
                length *= 0.5
            else:
                break
        if value_of(z[:size]) < best:
            best, shares = value_of(z[:size]), z[:size]
        if count / t < PRECISION * best or t > 1e17 or best <= enough:
            return best, shares
        t *= 30.0


def enumerated(problem: PlacementProblem) -> float:
    """The optimum, by trying everything; infinite where nothing is possible."""
    users, servers = range(problem.users), range(problem.servers)
    allowed = np.ones((problem.users, problem.options), bool) if problem.allowed is None else problem.allowed

    @cache
    def known(e: int, who: tuple[int, ...], what: tuple[int, ...]) -> float:
        return best_of_server(problem, e, who, what) if fitting(problem, e, who) else np.inf

    where = np.array(problem.option_server)
    best = np.inf
    for choice in itertools.product(*(np.flatnonzero(allowed[k]).tolist() for k in users)):
        value = 0.0
        for place in (-1, *servers):
            who = tuple(k for k in users if where[k, choice[k]] == place)
            if who and value < best:
                what = tuple(choice[k] for k in who)
                own = alone(problem, who, what) if place < 0 else known(place, who, what)
                value = max(value, own) if problem.objective == "max" else value + own
        best = min(best, value)
    return best


def alone(problem: PlacementProblem, users: tuple[int, ...], options: tuple[int, ...]) -> float:
    """Objective of users who run these options on their devices."""
    k, o = list(users), list(options)
    late = np.array(problem.fixed_s)[k, o]
    if problem.device_branch_s is not None:
        late = late + np.array(problem.device_branch_s)[k, o]
    if problem.deadline_s is not None and (late > np.array(problem.deadline_s)[k]).any():
        return np.inf
    late = late * (1.0 if problem.weight is None else np.array(problem.weight)[k])
    return float(late.max() if problem.objective == "max" else late.sum())


def fitting(problem: PlacementProblem, server: int, users: tuple[int, ...]) -> bool:
    """Whether a server's memory holds the models of these users."""
    if problem.user_model is None or problem.model_byte is None or problem.memory_byte is None:
        return True
    held = {int(problem.user_model[k]) for k in users}
    return sum(float(problem.model_byte[m]) for m in held) <= float(problem.memory_byte[server])


@pytest.mark.long_list
@pytest.mark.parametrize("draw", [draw_placement, draw_limited], ids=["free", "limited"])
@pytest.mark.parametrize("number", range(200))
def test_the_search_reaches_the_enumerated_optimum_and_proves_it(
    number: int, draw: Callable[[int, int], PlacementProblem]
) -> None:
    problem = draw(number, 3)
    optimum = enumerated(problem)
    precision, gap = (1e-9, 5e-10) if problem.objective == "sum" else (1e-7, 5e-8)
    if not np.isfinite(optimum):
        with pytest.raises(Infeasible, match="deadline|airtime|memories" if problem.limited else "memories"):
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
    assert found.certificate.verify(problem, exact=False).holds
    raised = replace(found.certificate, bound_s=found.objective_s * (1 + 1e-6))
    assert not raised.verify(problem, exact=True).holds


@pytest.mark.long_list
@pytest.mark.parametrize("draw", [draw_placement, draw_limited], ids=["free", "limited"])
@pytest.mark.parametrize("number", range(60))
def test_the_formulation_reaches_the_enumerated_optimum(
    number: int, draw: Callable[[int, int], PlacementProblem]
) -> None:
    problem = draw(number, 1)
    optimum = enumerated(problem)
    if not np.isfinite(optimum):
        with pytest.raises(Infeasible):
            solve(problem, "edge_placement", gap=SOLVER / 2)
        return
    found = solve(problem, "edge_placement", gap=SOLVER / 2)
    assert problem.evaluate(found).violation <= EXACT
    assert found.objective_s == pytest.approx(optimum, rel=SOLVER)
    assert found.lower_bound_s <= optimum * (1 + SOLVER)
    assert (found.status, found.bound_source, found.certificate) == ("feasible", "solver", None)
