"""The band of a batched edge whose schedule is given: least shares within times, and the least largest latency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.radio.rates import shannon_band, time_and_slopes

Array = NDArray[np.float64]

_TURNS = 100
_SETTLED = 1e-14


def demand_s(problem: BatchedEdgeProblem) -> tuple[Array, Array]:
    """Seconds of the downloads at R = 1, 0 for what cannot be sent, and the SNR over the band, (K,) each; infinite for
    linear rates."""
    sent = (problem.downlink_bit > 0) & problem.reached
    with np.errstate(divide="ignore", invalid="ignore"):
        if problem.linear:
            a = np.where(sent, problem.downlink_bit / (problem.law * problem.downlink_hz), 0.0)
            return a, np.full(problem.users, np.inf)
        a = np.where(sent, problem.downlink_bit * np.log(2.0) / problem.downlink_hz, 0.0)
        return a, np.where(sent, problem.law / problem.downlink_hz, np.inf)


def needed(a: Array, gamma: Array, seconds: Array) -> Array:
    """Least shares that send demands `a` within some seconds [1]; 0 without a demand, infinite where none does."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        linear = np.where(seconds > 0, a / seconds, np.inf)
        curved = np.isfinite(gamma) & (seconds > 0)
        if curved.any():
            rate = np.where(curved, a / np.where(curved, seconds, 1.0) / np.log(2.0), 0.0)
            linear = np.where(curved, shannon_band(rate, np.where(curved, gamma, 1.0)), linear)
    return np.where(a > 0, linear, 0.0)


def least_level(a: Array, gamma: Array, fixed: Array, weight: Array) -> tuple[float, Array]:
    """Least D with shares (K,) within which every weight (fixed + download) <= D, and the shares [s, 1].

    The share needed falls convexly in D, so that Newton's steps from below do not pass the root.

    Parameters
    ----------
    a, gamma : array, (K,)
        Demands, 0 for those who get nothing [s], and laws.
    fixed, weight : array, (K,)
        [s, 1]
    """
    sent = a > 0
    none = float((weight * fixed).max())
    if not sent.any():
        return none, np.zeros(len(a))
    part, law, base, w = a[sent], gamma[sent], fixed[sent], weight[sent]
    alone = time_and_slopes(np.ones(len(part)), part, law)[0]
    level = float((w * (base + alone)).max())
    x = needed(part, law, level / w - base)
    for _ in range(_TURNS):
        if x.sum() <= 1.0:
            break
        slope = time_and_slopes(x, part, law)[1]
        step = (x.sum() - 1.0) / float((-1.0 / (slope * w)).sum())
        level += step
        x = needed(part, law, level / w - base)
        if step <= _SETTLED * level:
            break
    shares = np.zeros(len(a))
    if level < none:  # somebody without a download is later than all who have one
        x = needed(part, law, none / w - base)
    shares[sent] = x / x.sum()
    return max(level, none), shares
