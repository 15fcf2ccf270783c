"""Validators of batches: pauses are never needed, and sums come in blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import cache

import numpy as np

from megdt_opt.bounds import batch_blocks, contiguous_batches
from megdt_opt.bounds.checks.validation import Check, above, apart, validator


@validator(
    "chains without pauses",
    covers=("contiguous_batches",),
    exact=True,
    loose="nowhere: the same steps, and no end is later",
)
def pauses(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Random batches of any users, under random laws of steps."""
    users, count = int(rng.integers(1, 6)), int(rng.integers(1, 12))
    drawn = [tuple(np.flatnonzero(rng.random(users) < rng.uniform(0.2, 0.9)).tolist()) for _ in range(count)]
    batches = tuple(batch for batch in drawn if batch) or ((0,),)
    found = contiguous_batches(batches)
    for slope, base in ((1.0, 0.0), (0.0, 1.0), tuple(rng.exponential(1.0, 2))):
        before, after = ends(batches, slope, base), ends(found, slope, base)
        yield Check("digits", 0.0 if before.keys() == after.keys() else 1.0, 1.0)
        for k in before:
            places = [j for j, batch in enumerate(found) if k in batch]
            whole = places == list(range(places[0], places[-1] + 1))
            same = len(places) == sum(k in batch for batch in batches)
            yield Check("digits", above(after[k], before[k]) if whole and same else 1.0)


@validator(
    "blocks of batches",
    covers=("batch_blocks",),
    exact=True,
    loose="nowhere, for the sum; for the largest latency cuts between 0 and N are better",
)
def blocks(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Against every schedule: any number of steps at the edge, and any unfinished chains in a batch."""
    users = int(rng.integers(1, 5))
    steps = int(rng.integers(1, 4 if users < 4 else 3))
    slope, base = rng.exponential(1.0), rng.exponential(1.0)
    if number % 5 == 1:
        base = 0.0
    if number % 5 == 2:
        slope = 0.0
    w = rng.uniform(0.3, 3.0, users) if number % 3 else np.ones(users)
    own = rng.exponential(2.0 * users, users) if number % 4 else None
    found = batch_blocks(steps, slope, base, w, device_step_s=own)
    done = ends(found.batches, slope, base)
    yield Check("digits", max((apart(found.latency_s[k], end) for k, end in done.items()), default=0.0))
    yield Check("digits", apart(found.objective_s, every_schedule(steps, slope, base, w, own)), 1.0)


def ends(batches: tuple[tuple[int, ...], ...], slope: float, base: float) -> dict[int, float]:
    """When each user ends [s]."""
    now, found = 0.0, {}
    for batch in batches:
        now += slope * len(batch) + base
        found.update(dict.fromkeys(batch, now))
    return found


def every_schedule(steps: int, slope: float, base: float, w: np.ndarray, own: np.ndarray | None) -> float:
    """The optimum by trying all numbers of steps and, batch by batch, all sets of unfinished chains [s]."""
    users = range(len(w))

    @cache
    def least(left: tuple[int, ...]) -> float:
        running = [k for k in users if left[k]]
        if not running:
            return 0.0
        weight = float(sum(w[k] for k in running))
        return min(
            (slope * size + base) * weight + least(tuple(n - (k in batch) for k, n in enumerate(left)))
            for size in range(1, len(running) + 1)
            for batch in itertools.combinations(running, size)
        )

    if own is None:
        return least((steps,) * len(w))
    return min(
        least(cut) + float(sum(w[k] * (steps - cut[k]) * own[k] for k in users))
        for cut in itertools.product(range(steps + 1), repeat=len(w))
    )
