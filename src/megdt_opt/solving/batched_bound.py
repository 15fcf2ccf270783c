"""The bound of a batched edge by prices of machine time, and its certificate."""

from __future__ import annotations

import time

import numpy as np

from megdt_opt.certificate.batched_times import TimeFloats, TimesProof
from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.quality import QualityCertificate
from megdt_opt.certificate.tree import Leaf, Part
from megdt_opt.pricing.batched_times import TimeCosts, TimePrices
from megdt_opt.problem.batched_schedule import ends_s
from megdt_opt.solving.batched_prices import Climbed, Points, climb, proven_level
from megdt_opt.solving.batched_schedules import Schedule

_PIECES, _FEWEST = 2400, 12
"""Pieces of time times users, and the fewest pieces [1]."""

_LEVELS = 16
_FIRST = 0.75
"""Part of the best objective at which the first level is tried [1]."""

_BELOW = 1e-9
"""What a level gives way so that the proof is clear [1]."""


def bounded(
    costs: TimeCosts, best: Schedule, gap: float, deadline: float
) -> tuple[float, Certificate | QualityCertificate, int]:
    """A certified bound, and how many price vectors were tried.

    Parameters
    ----------
    costs : TimeCosts
    best : Schedule
        The best one known.
    gap : float
        That is good enough [1].
    deadline : float
        `time.monotonic()` at which to stop [s].
    """
    problem, proof = costs.problem, TimesProof(costs.problem)
    start = _even(costs, best)
    leveled = problem.objective == "max"
    if leveled:
        low, prices, passes = _levels(costs, best.objective, start, gap, deadline)
    else:
        found = _climbed(costs, best, start, gap, deadline)
        low, prices, passes = found.value, found.prices, found.passes
    leaf = Leaf(prices.numbers())
    mask, valuer = proof.to_partition(False), TimeFloats(costs)
    if problem.objective == "quality":
        bound = -float(valuer.value(Part(leaf, mask, ()), None))
        return bound, QualityCertificate(bound, leaf.prices), passes
    certificate = Certificate.seal(proof, leaf, mask, low * (1.0 - _BELOW), valuer)
    return certificate.bound_s, certificate, passes


def _even(costs: TimeCosts, best: Schedule) -> TimePrices:
    """The same price at all times at which the best schedule keeps the edge busy, paid for by all alike."""
    p, users = costs.problem, costs.problem.users
    end = max(float(ends_s(p, best.first, best.cut).max()), p.start_s + costs.step_s)
    pieces = max(_FEWEST, round(_PIECES / users))
    until = np.linspace(p.start_s, end, min(pieces, 48) + 1)[1:]
    size = 1.0 if p.objective == "max" else max(abs(best.objective), 1e-300)
    machine = np.full(len(until), 0.9 * size / (end - p.start_s))
    served = best.cut > 0
    mean = 1.0 / max(int(served.sum()), 1)
    share = np.where(served & (best.x > 0), np.clip(best.x, 1e-6, 1.0), mean)
    return TimePrices(0.1 * size, until, machine, np.repeat(machine[:, None], users, axis=1) / users, share)


def _climbed(costs: TimeCosts, best: Schedule, start: TimePrices, gap: float, deadline: float) -> Climbed:
    """Prices for "sum" or "quality"."""
    n = np.asarray(best.cut)
    known = Points.make(costs, np.arange(len(n)), n, ends_s(costs.problem, best.first, n), None, start)
    unit = max(abs(best.objective), 1e-300)
    if costs.problem.objective == "quality":
        assert costs.problem.quality is not None
        unit = float((costs.problem.weights[:, None] * np.abs(costs.problem.quality)).max(axis=1).sum()) or 1.0
    return climb(costs, start, known, None, unit, max(0.1 * gap, 1e-5), deadline)


def _levels(
    costs: TimeCosts, high_s: float, start: TimePrices, gap: float, deadline: float
) -> tuple[float, TimePrices, int]:
    """The highest level proven, the prices that prove it, and how many were tried."""
    top, low, prices, passes = high_s, 0.0, start, 0
    points = Points.best(costs, costs.at(start, high_s), high_s, start)
    level = _FIRST * high_s
    for _ in range(_LEVELS):
        found = climb(costs, prices, points, level, 1.0, 1e-4, deadline)
        points, passes = found.points, passes + found.passes
        if found.value > 0:
            low, prices = proven_level(costs, found.prices, level, high_s), found.prices
            level = low + 0.25 * (high_s - low)
        else:
            high_s = level
            level = 0.5 * (low + high_s)
        near = high_s - low <= max(0.1 * gap, 1e-3) * high_s
        if near or low >= (1.0 - gap) * top or time.monotonic() >= deadline:
            break
    return low, prices, passes
