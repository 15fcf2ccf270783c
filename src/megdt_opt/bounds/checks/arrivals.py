"""Validator of requests that arrive over time: the clairvoyant optimum, and the policy that knows what came alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from megdt_opt.bounds import largest_flow, speculation_bound_s
from megdt_opt.bounds.checks.validation import Check, above, apart, validator

Array = NDArray[np.float64]


@validator(
    "requests over time",
    covers=("largest_flow", "speculation_bound_s"),
    loose="the policy's bound: it takes an edge that was busy for a whole optimum with what devices did as well",
)
def arrivals(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """The optimum against all subsets and orders; the policy's flow times against its bound."""
    n = int(rng.integers(1, 5))
    r, g = np.sort(rng.uniform(0, 3, n)), rng.exponential(1.0, n)
    c = np.where(rng.random(n) < 0.2, np.inf, rng.exponential(3.0, n))
    b, a = rng.exponential(0.3, (2, n)) * (number % 2)
    found = largest_flow(r, g, local_s=c, before_s=b, after_s=a).objective_s
    truth = min(
        max([*_by_rank(r, g, b, a, order), *(c[k] for k in range(n) if k not in order)])
        for size in range(n + 1)
        for order in itertools.permutations(range(n), size)
    )
    yield Check("digits", apart(found, truth), 1.0)
    policy, bound = max(_policy(r, g, c, b, a)), speculation_bound_s(found, sending_s=float((b + a).min()))
    yield Check("side", above(policy, bound), policy / bound if bound > 0 else 1.0)


def _by_rank(r: Array, g: Array, b: Array, a: Array, order: tuple[int, ...]) -> list[float]:
    """Flow times at the edge that works on the first there of a fixed order."""
    left = {k: float(g[k]) for k in order}
    flows, now = [], 0.0
    while left:
        there = [k for k in order if k in left and r[k] + b[k] <= now]
        later = min((float(r[k] + b[k]) for k in left if r[k] + b[k] > now), default=math.inf)
        if not there:
            now = later
            continue
        k = there[0]
        if now + left[k] <= later:
            now += left.pop(k)
            flows.append(float(now + a[k] - r[k]))
        else:
            left[k] -= later - now
            now = later
    return flows


def _policy(r: Array, g: Array, c: Array, b: Array, a: Array) -> list[float]:
    """Flow times where devices start at once and the edge serves all by due date until the device is done."""
    left = dict(enumerate(g.tolist()))
    flows: list[float] = c.tolist()
    now = 0.0
    while left:
        for k in [k for k in left if now + left[k] + a[k] >= r[k] + c[k]]:
            del left[k]
        there = [k for k in left if r[k] + b[k] <= now]
        later = min((float(r[k] + b[k]) for k in left if r[k] + b[k] > now), default=math.inf)
        if not there:
            now = later if left else now
            continue
        k = min(there, key=lambda j: (r[j] - a[j], j))
        if now + left[k] <= later:
            now += left.pop(k)
            flows[k] = float(now + a[k] - r[k])
        else:
            left[k] -= later - now
            now = later
    return flows
