"""Bang-bang cuts: when only the ends of a chain can be the best hand-over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.allocation_problem import AllocationProblem

_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class BangBang:
    """Whether some optimum has every cut at an end of its chain.

    Parameters
    ----------
    holds : bool
        Whether the conditions hold for every user.
    interior : tuple of (int, int)
        (user, option) of allowed interior cuts that no mixture of the ends dominates: candidates for an interior
        optimum.
    reasons : tuple of str
        What fails, in words.

    Examples
    --------
    >>> from megdt_opt.bounds import BangBang
    >>> BangBang(holds=False, interior=((0, 2),), reasons=("user 0: the end cut 4 is not open",)).interior
    ((0, 2),)
    """

    holds: bool
    interior: tuple[tuple[int, int], ...]
    reasons: tuple[str, ...]


def bang_bang(problem: AllocationProblem) -> BangBang:
    """Tell whether the best cut of every user is an end, for a problem whose options 0..N are its cuts.

    Proposition. Let options be sequential, and let t(n) = (fixed, uplink bits, edge work, downlink bits) of cut n. If
    for every user both ends are allowed and for every allowed interior cut some θ in [0, 1] has
    θ t(0) + (1 - θ) t(N) <= t(n) in every term, then some optimum uses ends only: for every objective ("max", "sum",
    "mixed", "missed"), any rate law, any weights, caps, deadlines.
    Proof. Hold the shares of an optimum. A user's latency is then fixed + α uplink + β work + γ downlink with α, β,
    γ >= 0, linear in t, so L(n) >= θ L(0) + (1 - θ) L(N) >= min(L(0), L(N)). Moving that user to the better end keeps
    its shares, hence every budget, does not raise its latency, and every objective is non-decreasing in the latencies.
    Conversely, if no θ exists, some α, β, γ and a weight of the fixed term make the cut n strictly better than both
    ends (separating t(n) - R^4_+ from the segment), so no weaker condition on one user's table suffices for every
    weight of the terms.
    With constant step times, one hand-over and a payload that is constant for 0 < n < N and no larger at the ends,
    θ = 1 - n/N satisfies it: that is the classical statement. Concave terms satisfy it too.
    Region: options ordered by the cut, N >= 1. It may fail for: step times that vary along the chain, an end with a
    larger payload (a raw picture), an end that is not allowed (energy, privacy, memory), a tighter airtime limit at
    an end than inside, and device branches beside the edge branch (the maximum is convex in n); batching and queueing
    are outside the problem class. Source: DESIGN, mathematics 5, with a proof that needs no separate case for "max".

    Parameters
    ----------
    problem : AllocationProblem
        Its options are the cuts 0..N in this order.

    Returns
    -------
    BangBang
        Whether the conditions hold, the interior cuts that may be best, and what fails.

    Raises
    ------
    InvalidInput
        Where there are fewer than two cuts.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, bounds
    >>> problem = AllocationProblem(  # one user; cuts 0 (local), 1, 2 and 3 (all at the edge)
    ...     fixed_s=[[3.0, 2.2, 1.2, 0.2]], edge_work_s=[[0.0, 0.1, 0.2, 0.3]], downlink_bit=[[0.0, 1e6, 1e6, 1e6]],
    ...     uplink_bit=[[0.0, 0.0, 0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0, downlink_efficiency=[2.0],
    ... )
    >>> bounds.bang_bang(problem).holds
    True
    """
    users, options = problem.users, problem.options
    if options < 2:
        raise InvalidInput("fixed_s", (users, options), "at least two cuts per user", "Give the cuts 0..N as options.")
    terms = np.stack([problem.fixed_s, problem.uplink_bit, problem.edge_work_s, problem.downlink_bit])
    openly = problem.open_options
    found: list[tuple[int, int]] = []
    reasons: list[str] = []
    if not problem.sequential:
        reasons.append("device branches beside the edge branch: the latency is not linear in the terms")
    for k in range(users):
        inner = [n for n in range(1, options - 1) if openly[k, n]]
        closed = [n for n in (0, options - 1) if not openly[k, n]]
        if inner and closed:
            reasons.append(f"user {k}: the end cut {closed[0]} is not open")
            found += [(k, n) for n in inner]
            continue
        tight = problem.uplink_airtime_max_s
        if inner and tight is not None and _tighter_at_an_end(tight[k], problem.uplink_bit[k], inner):
            reasons.append(f"user {k}: the limit on the air time is tighter at an end than inside")
            found += [(k, n) for n in inner]
            continue
        for n in inner:
            if not _dominated(terms[:, k, n], terms[:, k, 0], terms[:, k, -1]):
                found.append((k, n))
                reasons.append(f"user {k}: cut {n} has less of some term than every mixture of the ends")
    return BangBang(holds=not reasons, interior=tuple(found), reasons=tuple(reasons))


def _dominated(inside: NDArray[np.float64], first: NDArray[np.float64], last: NDArray[np.float64]) -> bool:
    """Whether θ first + (1 - θ) last <= inside for some θ in [0, 1]: an intersection of intervals."""
    low, high = 0.0, 1.0
    for t, a, b in zip(inside, first, last, strict=True):
        slack = float(t - b) + _ROUNDING * float(max(abs(t), abs(a), abs(b)))
        slope = float(a - b)
        if slope > 0:
            high = min(high, slack / slope)
        elif slope < 0:
            low = max(low, slack / slope)
        elif slack < 0:
            return False
    return low <= high * (1 + _ROUNDING) + _ROUNDING


def _tighter_at_an_end(limit_s: NDArray[np.float64], bits: NDArray[np.float64], inner: list[int]) -> bool:
    """Whether an end can need a faster uplink than some inner cut: limit/bits is the slowest rate's inverse."""
    ends = [limit_s[n] / bits[n] if bits[n] > 0 else np.inf for n in (0, -1)]
    inside = [limit_s[n] / bits[n] if bits[n] > 0 else np.inf for n in inner]
    return min(ends) < max(inside) * (1 - _ROUNDING)
