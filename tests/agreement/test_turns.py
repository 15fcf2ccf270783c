"""Problems of turns against an enumeration that shares nothing with the package, and against the formulation.

Every order and every option, with a formula of its own for the latency and a convex solve of its own for the band.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from random_turns import draw_turns
from scipy.optimize import brentq

from megdt_opt import Infeasible, SequencedEdgeProblem, solve
from megdt_opt.planning.deadlines import Deadlines
from megdt_opt.tolerances import BOUND, EXACT, SOLVER

PRECISION = {"sum": (1e-9, 5e-10), "max": (1e-7, 5e-8)}


def rate(share: float, efficiency: float | None, snr: float | None, band: float) -> float:
    """Bits in a second on a part of the band."""
    if efficiency is not None:
        return share * band * efficiency
    assert snr is not None
    return share * band * math.log2(1.0 + snr / (share * band))


def share_for(seconds: float, bit: float, efficiency: float | None, snr: float | None, band: float) -> float:
    """Part of the band that sends so many bits in time; above 1 where the whole is too little."""
    if bit == 0:
        return 0.0 if seconds >= 0 else 2.0
    if seconds <= 0:
        return 2.0
    wanted = bit / seconds
    if rate(1.0, efficiency, snr, band) < wanted:
        return 2.0
    if efficiency is not None:
        return wanted / (efficiency * band)
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (low, middle) if rate(middle, efficiency, snr, band) >= wanted else (middle, high)
    return high


def least_max(
    ends: list[float], weights: list[float], bits: list[float], laws: list[tuple], band: float, due: list[float]
) -> float:
    """Least largest weighted time at which all downloads are over, by halving; infinite where one must be late."""
    floor = max(w * e for w, e in zip(weights, ends, strict=True))

    def full(level: float) -> bool:
        total = 0.0
        for w, e, bit, law, d in zip(weights, ends, bits, laws, due, strict=True):
            total += share_for(min(level / w, d) - e, bit, *law, band)
            if total > 1.0:
                return False
        return True

    if full(floor):
        return floor
    if not full(1e9):
        return math.inf
    high = floor + 1.0
    while not full(high):
        high *= 2.0
    low = floor
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle in (low, high) or high - low < 1e-14 * high:
            break
        low, high = (low, middle) if full(middle) else (middle, high)
    return high


def least_sum(
    weights: list[float], bits: list[float], laws: list[tuple], band: float, least: list[float] | None = None
) -> float:
    """Least weighted sum of download times: at equal slopes, found by their common value; shares of at `least`."""
    some = [i for i, bit in enumerate(bits) if bit > 0]
    least = [0.0] * len(bits) if least is None else least
    if sum(least) > 1.0:
        return math.inf
    if not some:
        return 0.0
    if len(some) == 1:
        i = some[0]
        return weights[i] * bits[i] / rate(1.0, *laws[i], band)

    def slope(i: int, x: float) -> float:
        efficiency, snr = laws[i]
        r = rate(x, efficiency, snr, band)
        if efficiency is not None:
            grows = band * efficiency
        else:
            u = snr / (x * band)
            grows = band * (math.log1p(u) - u / (1.0 + u)) / math.log(2.0)
        return weights[i] * bits[i] * grows / r**2

    def wanted(i: int, price: float) -> float:
        if slope(i, 1.0) >= price:
            return 1.0
        return float(brentq(lambda z: slope(i, math.exp(z)) - price, -60.0, 0.0, xtol=1e-15, rtol=1e-15))

    def share(i: int, price: float) -> float:
        found = wanted(i, price)
        return max(least[i], found if found == 1.0 else math.exp(found))

    low = min(slope(i, 1.0) for i in some)
    high = max(slope(i, 1.0) for i in some)
    while sum(share(i, low) for i in some) < 1.0:
        low /= 4.0
    while sum(share(i, high) for i in some) > 1.0 and high < 1e30:
        high *= 4.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        if middle in (low, high):
            break
        low, high = (middle, high) if sum(share(i, middle) for i in some) > 1.0 else (low, middle)
    shares = {i: share(i, high) for i in some}
    total = sum(shares.values())
    return sum(weights[i] * bits[i] / rate(shares[i] / total, *laws[i], band) for i in some)


def enumerated(problem: SequencedEdgeProblem, due_s: np.ndarray | None = None) -> float:
    """The optimum, by trying everything; infinite where some user must be late."""
    due = [math.inf] * problem.users if due_s is None else due_s.tolist()
    users, rows = range(problem.users), np.arange(problem.users)
    allowed = np.ones(problem.release_s.shape, bool) if problem.allowed is None else problem.allowed
    weights = [1.0] * problem.users if problem.weight is None else problem.weight.tolist()
    laws = [
        (
            None if problem.downlink_efficiency is None else float(problem.downlink_efficiency[k]),
            None if problem.downlink_snr_hz is None else float(problem.downlink_snr_hz[k]),
        )
        for k in users
    ]
    group = [-1] * problem.users if problem.group is None else problem.group.tolist()
    best = math.inf
    for choice in itertools.product(*(np.flatnonzero(allowed[k]).tolist() for k in users)):
        work = problem.edge_work_s[rows, choice].tolist()
        ready, after = problem.release_s[rows, choice].tolist(), problem.after_s[rows, choice].tolist()
        bits = problem.downlink_bit[rows, choice].tolist()
        if any(bit > 0 and (problem.downlink_hz == 0 or not max(x for x in law if x is not None) > 0)
               for bit, law in zip(bits, laws, strict=True)):  # fmt: skip
            continue
        served = [k for k in users if work[k] > 0]
        prefixes = sorted({group[k] for k in served if group[k] >= 0})
        chains = [("user", k) for k in served] + [("prefix", g) for g in prefixes]
        sending = least_sum(weights, bits, laws, problem.downlink_hz) if problem.objective == "sum" else 0.0
        for order in itertools.permutations(chains):
            now, extra, done = 0.0, 0.0, set()
            ends = [r for r in ready]
            for kind, one in order:
                if kind == "prefix":
                    now += float(problem.prefix_work_s[one])
                    done.add(one)
                    if problem.prefix_weight is not None:
                        extra += float(problem.prefix_weight[one]) * now
                    continue
                if group[one] >= 0 and group[one] not in done:
                    break
                now = max(now, ready[one]) + work[one]
                ends[one] = now
            else:
                times = [end + tail for end, tail in zip(ends, after, strict=True)]
                if problem.objective == "sum":
                    if due_s is not None:
                        least = [share_for(d - t, bit, *law, problem.downlink_hz) if math.isfinite(d) else 0.0
                                 for d, t, bit, law in zip(due, times, bits, laws, strict=True)]  # fmt: skip
                        sending = least_sum(weights, bits, laws, problem.downlink_hz, least)
                    value = sum(w * t for w, t in zip(weights, times, strict=True)) + extra + sending
                elif max(w * t for w, t in zip(weights, times, strict=True)) >= best:
                    continue
                else:
                    value = least_max(times, weights, bits, laws, problem.downlink_hz, due)
                best = min(best, value)
    return best


@pytest.mark.long_list("objective")
@pytest.mark.parametrize("number", range(200))
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_the_optimum_is_that_of_all_orders_and_options(objective: str, number: int) -> None:
    problem = draw_turns(number, objective=objective)
    optimum = enumerated(problem)
    precision, gap = PRECISION[objective]
    found = solve(problem, gap=gap)
    assert found.status == "optimal"
    assert found.is_optimal(gap)
    assert found.objective_s == pytest.approx(optimum, rel=precision)
    assert found.lower_bound_s <= optimum * (1 + BOUND)
    assert problem.evaluate(found).violation <= EXACT
    if found.bound_source == "certificate":
        assert found.is_proven(problem, gap)
    else:
        assert (found.bound_source, found.certificate) == ("enumeration", None)


@pytest.mark.long_list("objective", of=25)
@pytest.mark.parametrize("number", range(200))
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_certificates_are_never_above_the_optimum_and_pass_their_exact_check(objective: str, number: int) -> None:
    problem = draw_turns(number, objective=objective)
    optimum = enumerated(problem)
    found = solve(problem, "prices", gap=PRECISION[objective][1])
    assert found.certificate is not None
    assert optimum * (1 - 1e-9) <= found.objective_s
    assert found.lower_bound_s <= optimum * (1 + BOUND)
    assert found.residuals(problem).true
    verdict = found.certificate.verify(problem, exact=True)
    assert verdict.holds, verdict.reason
    assert verdict.exact
    assert found.certificate.verify(problem, exact=False).holds
    raised = replace(found.certificate, bound_s=optimum * (1 + 1e-6))
    assert not raised.verify(problem, exact=True).holds


@pytest.mark.long_list("objective")
@pytest.mark.parametrize("number", range(60))
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_the_formulation_reaches_the_enumerated_optimum(objective: str, number: int) -> None:
    problem = draw_turns(number, objective=objective, seed=1)
    optimum = enumerated(problem)
    found = solve(problem, "sequenced_edge", gap=SOLVER / 2)
    assert problem.evaluate(found).violation <= EXACT
    assert found.objective_s == pytest.approx(optimum, rel=SOLVER)
    assert found.lower_bound_s <= optimum * (1 + SOLVER)
    assert (found.status, found.bound_source, found.certificate) == ("feasible", "solver", None)


@pytest.mark.long_list("objective", of=25)
@pytest.mark.parametrize("number", range(100))
@pytest.mark.parametrize("objective", ["sum", "max"])
def test_deadlines_are_kept_where_some_order_keeps_them(objective: str, number: int) -> None:
    problem = draw_turns(number, objective=objective)
    if problem.groups:
        pytest.skip("deadlines are those of users without prefixes")
    rng = np.random.default_rng([number, objective == "max"])
    first = solve(problem, gap=1e-7)
    due_s = np.where(rng.random(problem.users) < 0.6, first.latency_s * rng.uniform(0.7, 1.1, problem.users), np.inf)
    optimum = enumerated(problem, due_s)
    names = tuple(f"user {k}" for k in range(problem.users))
    search = Deadlines(problem, due_s, names, lambda other, limit_s: solve(other, gap=1e-7, time_limit_s=limit_s))
    if search.kept(first):
        assert optimum == pytest.approx(first.objective_s, rel=1e-6)
        return
    if optimum == math.inf:
        with pytest.raises(Infeasible, match="no order of service keeps these deadlines together") as error:
            search.best(first, 1e-7, 20.0)
        among = np.isin(np.arange(problem.users), error.value.users)
        assert np.isfinite(due_s[among]).all()
        assert enumerated(problem, np.where(among, due_s, np.inf)) == math.inf
        for k in error.value.users:  # none of them could be left out
            fewer = among & (np.arange(problem.users) != k)
            assert enumerated(problem, np.where(fewer, due_s, np.inf)) < math.inf
        return
    found = search.best(first, 1e-7, 20.0)
    assert search.kept(found)
    assert problem.evaluate(found).violation <= EXACT
    value = problem.weights * found.latency_s
    reached = float(value.max() if objective == "max" else value.sum())
    assert reached >= optimum * (1 - 1e-6)
    assert reached <= optimum * (1.001 if objective == "max" else 1.25)
