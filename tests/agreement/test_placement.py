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
from barrier_method import barrier, seconds
from random_placements import draw_limited, draw_parts, draw_placement

from megdt_opt import Infeasible, PlacementProblem, solve
from megdt_opt.tolerances import BOUND, EXACT, SOLVER


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


def enumerated(problem: PlacementProblem) -> float:
    """The optimum, by trying everything; infinite where nothing is possible."""
    users, servers = range(problem.users), range(problem.servers)
    allowed = np.ones((problem.users, problem.options), bool) if problem.allowed is None else problem.allowed

    @cache
    def known(e: int, who: tuple[int, ...], what: tuple[int, ...]) -> float:
        return best_of_server(problem, e, who, what) if fitting(problem, e, who, what) else np.inf

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


def fitting(problem: PlacementProblem, server: int, users: tuple[int, ...], options: tuple[int, ...]) -> bool:
    """Whether a server's memory holds the models of these users, or what these options of theirs need."""
    if problem.model_byte is None or problem.memory_byte is None:
        return True
    if problem.option_model is not None:
        held = {int(m) for k, o in zip(users, options, strict=True) for m in np.flatnonzero(problem.option_model[k, o])}
    else:
        assert problem.user_model is not None
        held = {int(problem.user_model[k]) for k in users}
    return sum(float(problem.model_byte[m]) for m in held) <= float(problem.memory_byte[server])


@pytest.mark.long_list("draw", of=60)
@pytest.mark.parametrize("draw", [draw_placement, draw_limited, draw_parts], ids=["free", "limited", "parts"])
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


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("draw", [draw_placement, draw_limited, draw_parts], ids=["free", "limited", "parts"])
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
