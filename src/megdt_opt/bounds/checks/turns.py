"""Validators of turns: identical users whose devices work beside their turns, and shared prefixes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from megdt_opt.bounds import identical_turns_s, sequencing_prefixes
from megdt_opt.bounds.checks.validation import Check, above, apart, validator
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.solving import solve


@validator(
    "turns of identical users",
    covers=("identical_turns_s",),
    loose="whole steps: the cuts of the proposition are real numbers",
    share=0.2,
)
def identical(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Real cuts by the recursion of the turns, and whole cuts, which are no faster, by `solve`."""
    users, steps = int(rng.integers(1, 4)), int(rng.integers(2, 9))
    device = float(rng.uniform(0.2, 2.0))
    edge = device * float(rng.uniform(0.05, 1.0))
    found = {one: identical_turns_s(users, steps, edge, device, device=one) for one in ("reserved", "after", "both")}
    yield Check("side", above(found["after"], found["reserved"]))
    yield Check("side", above(found["both"], found["after"]))
    yield Check("digits", apart(identical_turns_s(users, steps, edge, device, device="before"), found["after"]))
    yield Check("digits", apart(_served(users, steps, edge, device), found["after"]))
    cut = np.arange(steps + 1.0)
    work, rest, none = np.tile(cut * edge, (users, 1)), np.tile((steps - cut) * device, (users, 1)), None
    zero = np.zeros(work.shape)
    for release, after in ((zero, rest), (rest, zero)):
        problem = SequencedEdgeProblem(
            release_s=release, edge_work_s=work, after_s=after, downlink_bit=zero, downlink_hz=0.0,
            downlink_efficiency=none, objective="max",
        )  # fmt: skip
        yield Check("solver", above(found["after"], solve(problem).objective_s))
    reserved = AllocationProblem(
        fixed_s=rest, edge_work_s=work, downlink_bit=zero, uplink_bit=zero, downlink_hz=0.0, uplink_hz=0.0,
        objective="max",
    )  # fmt: skip
    yield Check("solver", apart(solve(reserved, gap=1e-8).objective_s, found["reserved"]))


def _served(users: int, steps: int, edge: float, device: float) -> float:
    """The least D that turns with real cuts keep, one turn after another, by halving."""

    def kept(level: float) -> bool:
        now = 0.0
        for _ in range(users):
            # the least real cut that ends in time: now + n edge + (steps - n) device <= level
            wanted = max((now + steps * device - level) / (device - edge), 0.0) if device > edge else (
                0.0 if now + steps * device <= level else np.inf
            )  # fmt: skip
            if wanted > steps * (1 + 1e-12):
                return False
            now += wanted * edge
        return True

    low, high = 0.0, steps * device
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if kept(middle) else (middle, high)
    return high


@validator(
    "turns with prefixes",
    covers=("sequencing_prefixes",),
    exact=True,
    loose="nowhere: modules of Horn and Sidney",
)
def prefixes(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """The modules' order against all orders in which prefixes come before their members."""
    users, groups = int(rng.integers(1, 5)), int(rng.integers(1, 3))
    g, w = rng.exponential(1.0, users), rng.uniform(0.3, 3.0, users)
    q, p = rng.exponential(1.0, users), rng.exponential(1.0, groups)
    v, group = rng.uniform(0.0, 2.0, groups) * (number % 2), rng.integers(-1, groups, users)
    found = sequencing_prefixes(g, group=group, prefix_work_s=p, weight=w, prefix_weight=v, fixed_s=q)
    work, value = np.r_[g, p], np.r_[w, v]
    best = np.inf
    for order in itertools.permutations(range(users + groups)):
        place = np.argsort(order)
        if all(group[k] < 0 or place[users + group[k]] < place[k] for k in range(users)):
            end = np.empty(users + groups)
            end[list(order)] = np.cumsum(work[list(order)])
            best = min(best, float(value @ end + w @ q))
    yield Check("digits", apart(found.objective_s, best), 1.0)
