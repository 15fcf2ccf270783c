"""Batched edges against an enumeration that shares nothing with the package and lets chains pause.

A batch is any set of unfinished chains. For every start (steps that the edge makes of each chain) it keeps all vectors
of completion times that no other beats, and gives the band its own solve: by halving, with rate laws of its own.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from random_batches import draw_batches

from megdt_opt import BatchedEdge, BatchedEdgeProblem, Infeasible, SolverFailure, solve
from megdt_opt.tolerances import BOUND, SOLVER

Times = tuple[float, ...]


class Chains:
    """Numbers of a problem as plain lists."""

    def __init__(self, problem: BatchedEdgeProblem) -> None:
        self.problem, self.k, self.n = problem, problem.users, problem.steps
        self.a, self.b = float(problem.step_slope_s), float(problem.step_base_s)
        self.start = float(problem.edge_start_s or 0.0)

        def listed(value: object, default: float) -> list[float]:
            return [default] * self.k if value is None else [float(one) for one in np.asarray(value)]

        self.weight, self.bit = listed(problem.weight, 1.0), listed(problem.downlink_bit, 0.0)
        self.device, self.after = listed(problem.device_step_s, 0.0), listed(problem.after_s, 0.0)
        self.local = self.after if problem.local_after_s is None else listed(problem.local_after_s, 0.0)
        self.hand_over = listed(problem.hand_over_s, 0.0)
        self.efficiency, self.snr = listed(problem.downlink_efficiency, -1.0), listed(problem.downlink_snr_hz, -1.0)
        self.deadline = listed(problem.deadline_s, math.inf)

    def own(self, k: int, n: int) -> float:
        """What a user with n steps at the edge waits for beside batches and download."""
        rest = (self.n - n) * self.device[k]
        if n == 0:
            return rest + self.local[k]
        return self.start + rest + self.after[k] + (self.hand_over[k] if n < self.n else 0.0)

    def cuts(self) -> list[Times]:
        """All numbers of steps that are allowed."""
        allowed = self.problem.cut_allowed
        each = [[n for n in range(self.n + 1) if allowed is None or allowed[k][n]] for k in range(self.k)]
        return list(itertools.product(*each))

    @cache  # noqa: B019
    def completions(self, left: tuple[int, ...]) -> tuple[Times, ...]:
        """Completion times from now on of chains with these steps left, 0 for those with none; none beaten."""
        running = [k for k in range(self.k) if left[k]]
        if not running:
            return ((0.0,) * self.k,)
        found: set[Times] = set()
        for size in range(1, len(running) + 1):
            took = self.a * size + self.b
            for batch in itertools.combinations(running, size):
                rest = tuple(n - (k in batch) for k, n in enumerate(left))
                for times in self.completions(rest):
                    found.add(tuple(t + took if left[k] else 0.0 for k, t in enumerate(times)))
        rows = np.array(sorted(found, key=sum))
        kept: list[int] = []
        for i, one in enumerate(rows):
            if not (rows[kept] <= one + 1e-13).all(axis=1).any():
                kept.append(i)
        return tuple(tuple(row) for row in rows[kept].tolist())

    @cache  # noqa: B019
    def ends(self, left: tuple[int, ...]) -> float:
        """Least weighted sum of the completion times from now on: every batch delays all who are unfinished."""
        running = [k for k in range(self.k) if left[k]]
        weight = sum(self.weight[k] for k in running)
        return min(
            (
                (self.a * size + self.b) * weight + self.ends(tuple(n - (k in batch) for k, n in enumerate(left)))
                for size in range(1, len(running) + 1)
                for batch in itertools.combinations(running, size)
            ),
            default=0.0,
        )

    def rate(self, k: int, share: float) -> float:
        """Rate on a part of the band [bit/s]."""
        hz = share * float(self.problem.downlink_hz)
        if hz <= 0:
            return 0.0
        return hz * self.efficiency[k] if self.snr[k] < 0 else hz * math.log2(1 + self.snr[k] / hz)

    def share(self, k: int, seconds: float) -> float:
        """Least part of the band that sends a user's bits in some time; infinite where none does."""
        if self.bit[k] == 0:
            return 0.0 if seconds >= -1e-12 else math.inf
        if seconds <= 0 or self.rate(k, 1.0) * seconds < self.bit[k] * (1 - 1e-12):
            return math.inf
        if self.snr[k] < 0:
            return self.bit[k] / (seconds * self.efficiency[k] * float(self.problem.downlink_hz))
        low, high = 0.0, 1.0
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self.rate(k, middle) * seconds < self.bit[k] else (low, middle)
        return high


def least_sum(c: Chains, cut: tuple[int, ...]) -> float:
    """Least weighted seconds of the downloads of those served."""
    served = [k for k in range(c.k) if cut[k] and c.bit[k]]
    if any(c.rate(k, 1.0) == 0 for k in served):
        return math.inf
    if all(c.snr[k] < 0 for k in served):
        hz = float(c.problem.downlink_hz)
        return sum(math.sqrt(c.weight[k] * c.bit[k] / (c.efficiency[k] * hz)) for k in served) ** 2

    def best(k: int, price: float) -> float:
        """Share at which price * share + seconds is least, by halving its slope."""
        low, high = 1e-12, 1.0
        for _ in range(100):
            x = math.sqrt(low * high)
            hz, g = x * float(c.problem.downlink_hz), c.snr[k]
            slope = (math.log(1 + g / hz) - g / (hz + g)) / math.log(2) * float(c.problem.downlink_hz)
            if c.weight[k] * c.bit[k] * slope / c.rate(k, x) ** 2 > price:
                low = x
            else:
                high = x
        return high

    low, high = 1e-12, 1e12
    for _ in range(200):
        price = math.sqrt(low * high)
        low, high = (price, high) if sum(best(k, price) for k in served) > 1 else (low, price)
    return sum(c.weight[k] * c.bit[k] / c.rate(k, best(k, high)) for k in served)


def least_level(c: Chains, cut: tuple[int, ...], times: Times, goal: float) -> float:
    """Least largest weighted latency of completion times, by halving; infinite where it is not below `goal`."""
    fixed = [times[k] + c.own(k, cut[k]) for k in range(c.k)]

    def kept(level: float) -> bool:
        total = 0.0
        for k in range(c.k):
            room = level / c.weight[k] - fixed[k]
            total += c.share(k, room) if cut[k] else (0.0 if room >= 0 else math.inf)
        return total <= 1.0

    if not kept(goal):
        return math.inf
    low, high = 0.0, goal
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if kept(middle) else (middle, high)
    return high


def enumerated(problem: BatchedEdgeProblem) -> float:
    """The optimum by trying everything; infinite where nothing is possible."""
    c = Chains(problem)
    best = math.inf
    for cut in c.cuts():
        if problem.objective == "quality":
            assert problem.quality is not None
            value = -sum(c.weight[k] * float(problem.quality[k][cut[k]]) for k in range(c.k))
            if value < best and any(fits(c, cut, times) for times in c.completions(cut)):
                best = value
            continue
        if problem.objective == "sum":
            own = sum(c.weight[k] * c.own(k, cut[k]) for k in range(c.k))
            if own + c.ends(cut) < best:
                best = min(best, own + c.ends(cut) + least_sum(c, cut))
            continue
        for times in c.completions(cut):
            best = min(best, least_level(c, cut, times, best if best < math.inf else 1e6))
    return best


def fits(c: Chains, cut: tuple[int, ...], times: Times) -> bool:
    """Whether deadlines can be kept."""
    rooms = [c.deadline[k] - c.start - times[k] - c.after[k] for k in range(c.k)]
    return sum(c.share(k, rooms[k]) for k in range(c.k) if cut[k]) <= 1 + 1e-12


def value(found: Any) -> tuple[float, float]:
    """Objective and bound of an answer, to be minimised."""
    if isinstance(found, BatchedEdge):
        return found.objective_s, found.lower_bound_s
    return -found.objective, -found.bound


@pytest.mark.long_list(of=20)
@pytest.mark.parametrize("number", range(200))
def test_the_sum_reaches_the_enumerated_optimum_and_proves_it(number: int) -> None:
    problem = draw_batches(number, "sum")
    optimum = enumerated(problem)
    found = solve(problem, gap=5e-10)
    assert problem.evaluate(found).violation <= BOUND
    assert found.objective_s == pytest.approx(optimum, rel=1e-9)
    assert found.lower_bound_s <= optimum * (1 + BOUND)
    whole = found.method == "prices"
    assert (found.status == "optimal") == whole
    if whole:
        assert found.is_proven(problem, 5e-10)
        assert found.certificate is not None
        assert found.certificate.verify(problem, exact=True).holds
        assert found.certificate.verify(problem, exact=False).holds
        raised = replace(found.certificate, bound_s=found.objective_s * (1 + 1e-9))
        assert not raised.verify(problem, exact=True).holds


@pytest.mark.long_list("objective", of=20)
@pytest.mark.parametrize("number", range(200))
@pytest.mark.parametrize("objective", ["max", "quality"])
def test_few_users_reach_the_enumerated_optimum(objective: str, number: int) -> None:
    problem = draw_batches(number, objective)
    optimum = enumerated(problem)
    if optimum == math.inf:
        with pytest.raises(Infeasible, match="deadline"):
            solve(problem, gap=5e-8)
        return
    found = solve(problem, gap=5e-8)
    objective_s, bound = value(found)
    assert problem.evaluate(found).violation <= BOUND
    assert objective_s == pytest.approx(optimum, rel=1e-7, abs=1e-12)
    assert bound <= optimum + 1e-7 * abs(optimum)
    if found.method == "prices" and found.is_optimal(5e-8):
        assert found.is_proven(problem, 5e-8)
    elif found.method == "batched_edge":
        assert (found.status, found.bound_source, found.certificate) == ("feasible", "solver", None)


def test_no_optimum_is_lost_by_the_solver() -> None:
    """With its presolve or its restarts HiGHS 1.16 calls 3.477 optimal here, and that its bound."""
    problem = draw_batches(185, "quality")
    found = solve(problem, "batched_edge", gap=5e-8)
    assert value(found)[0] == pytest.approx(enumerated(problem), rel=1e-9)


@pytest.mark.long_list
@pytest.mark.parametrize("number", range(60))
def test_the_formulation_reaches_the_enumerated_sum(number: int) -> None:
    problem = draw_batches(number, "sum", seed=1)
    optimum = enumerated(problem)
    found = solve(problem, "batched_edge", gap=SOLVER / 2)
    assert found.objective_s == pytest.approx(optimum, rel=SOLVER)
    assert found.lower_bound_s <= optimum * (1 + SOLVER)


@pytest.mark.long_list("objective", of=20)
@pytest.mark.parametrize("number", range(200))
@pytest.mark.parametrize("objective", ["max", "quality", "sum"])
def test_prices_of_time_prove_a_true_bound(objective: str, number: int) -> None:
    problem = draw_batches(number, objective, seed=2)
    optimum = enumerated(problem)
    if optimum == math.inf:
        with pytest.raises(SolverFailure, match="deadlines"):
            solve(problem, "prices")
        return
    found = solve(problem, "prices", gap=5e-8)
    objective_s, bound = value(found)
    slack = BOUND * abs(optimum)
    assert problem.evaluate(found).violation <= BOUND
    assert objective_s >= optimum - slack
    assert bound <= optimum + slack
    assert found.bound_source == "certificate"
    assert found.certificate is not None
    assert found.certificate.verify(problem, exact=True).holds
    assert found.certificate.verify(problem, exact=False).holds
    assert found.is_proven(problem, math.inf)
