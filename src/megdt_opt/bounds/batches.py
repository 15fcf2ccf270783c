"""Chains on an edge whose step of X chains takes a X + b: no chain need pause, and sums come in blocks.

A schedule is a list of batches, each a set of users; user k is in n_k of them and ends with the last. Batches follow
each other without waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.pricing.batched_blocks import BlockCosts, best_blocks
from megdt_opt.problem import checks
from megdt_opt.problem.batched_edge_problem import Batches, read_batches

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchBlocks:
    """The best blocks.

    Parameters
    ----------
    objective_s : float
        Least sum of weights times ends and what devices make [s].
    cut : array of int, (K,)
        Steps at the edge: 0 or N [1].
    batches : tuple of tuple of int
        Users of each batch, in the order of time.
    latency_s : array, (K,)
        End at the edge, or all steps on the device [s].

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.batch_blocks(2, 0.2, 0.1, [1.0, 1.0]).batches
    ((0,), (0,), (1,), (1,))
    """

    objective_s: float
    cut: NDArray[np.int64]
    batches: Batches
    latency_s: Array


def contiguous_batches(batches: Sequence[Sequence[int]]) -> Batches:
    """The same steps without pauses: a schedule in which nobody ends later, whatever a and b.

    Proposition. For every schedule there is one with the same numbers of steps in which every chain is in consecutive
    batches and none ends later, for all a, b >= 0 at once. With B_k the batches up to the end of chain k and
    s_k = B_k - n_k those before its first, chains in the order of their ends finish at

        C_i = a [sum_{k <= i} n_k + sum_{j > i} (B_i - s_j)^+] + b B_i.

    Proof. Let chain 1 end first. A batch before its end without it can move to just behind that end: chain 1 then ends
    earlier, and all others end no earlier than it did, in batches that have not moved or end when they did. So all
    batches up to the end of chain 1 contain it, and, by the same argument behind that end, all from there to the end
    of chain 2 contain chain 2, and so on: B_i batches up to the end of chain i, none of them empty. Until then a later
    chain j has made at least (n_j - (B_j - B_i))^+ steps, for at most B_j - B_i follow; if it is in its last n_j
    batches it makes just as many, for every i at once. C_i is a times the steps up to B_i and b times B_i: no end is
    later. Region: any schedule; so for every objective that does not fall with an end, deadlines included.
    Source: ours.

    Parameters
    ----------
    batches : sequence of sequences of int
        Users of each batch, ascending, none empty, in the order of time.

    Returns
    -------
    tuple of tuple of int
        The batches of the other schedule.

    Raises
    ------
    InvalidInput
        Where a batch is empty, or its users are no integers of at least 0 that ascend.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.contiguous_batches([(0,), (1, 2), (0, 2), (1,)])  # user 0 waits for (1, 2)
    ((0,), (0, 2), (1, 2), (1,))
    """
    given = read_batches(list(batches), 1 << 62)
    steps: dict[int, int] = {}
    last: dict[int, int] = {}
    for j, batch in enumerate(given):
        for k in batch:
            steps[k], last[k] = steps.get(k, 0) + 1, j
    waiting, until = list(given), {}
    order = sorted(steps, key=lambda k: (last[k], k))
    done = 0
    for k in order:
        place = max((j for j, batch in enumerate(waiting) if k in batch), default=-1)
        own = [batch for batch in waiting[: place + 1] if k in batch]
        waiting = [batch for batch in waiting[: place + 1] if k not in batch] + waiting[place + 1 :]
        done += len(own)
        until[k] = done
    return tuple(
        tuple(sorted(k for k, end in until.items() if end - steps[k] <= j < end)) for j in range(done)
    )  # fmt: skip


def batch_blocks(
    steps: int, step_slope_s: float, step_base_s: float, weight: ArrayLike, *, device_step_s: ArrayLike | None = None
) -> BatchBlocks:
    """Least weighted sum of ends, when each chain may make any number of its N steps on its device.

    Proposition. Some best schedule has each chain make all N steps at the edge or none, in blocks: N batches of the
    same users, heavier users in earlier blocks. For given users in the order of their weights, falling, the best
    blocks follow from f(j) = min_i f(i) + N (a (j - i) + b) (w_{i+1} + ... + w_m), and with a choice of users from the
    same over (users served, free seats, blocks).
    Proof. By `contiguous_batches` a chain is s_k and B_k, and for chains in the order of their ends
    sum w (C + (N - n) device_step) is convex and piecewise linear in (s, B), with kinks where some B_i = s_j, under
    s >= 0, 0 <= B_k - s_k <= N and B_i <= B_{i+1}. On each piece it is a linear program of difference constraints
    whose right sides are 0 and N: its vertices, one of which is best, are multiples of N. (A chain with n = 0 there
    that would wait for others ends sooner by itself.) So chains begin at multiples of N and make N steps: blocks. If
    in a later block somebody is heavier than in an earlier one, exchanging both leaves all ends of blocks and lowers
    the sum. What else a served chain costs, such as an offset or a download at a given price, is a constant.
    Region: one edge from time 0, a, b >= 0, steps of one length on each device; cuts between 0 and N allowed or not.
    Source: ours.

    Parameters
    ----------
    steps : int
        N [1].
    step_slope_s, step_base_s : float
        a and b: a step of X chains takes a X + b [s].
    weight : array_like, (K,)
        Weights [1].
    device_step_s : array_like, (K,), optional
        A step on each device [s]; left out: all steps are made at the edge.

    Returns
    -------
    BatchBlocks
        The optimum, the steps at the edge, the batches and the ends.

    Raises
    ------
    InvalidInput
        Where a number is out of its range or the arrays differ in length.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> best = bounds.batch_blocks(2, 0.2, 0.1, [1.0, 3.0, 1.0], device_step_s=[9.0, 9.0, 0.4])
    >>> best.cut.tolist(), best.batches, round(best.objective_s, 6)
    ([2, 2, 0], ((1,), (1,), (0,), (0,)), 3.8)
    """
    n = checks.count("steps", steps, 1, "Give the number of steps, N.")
    slope = checks.number("step_slope_s", step_slope_s, "s")
    base = checks.number("step_base_s", step_base_s, "s")
    shape = checks.table_shape("weight", weight, "1", ("K users",))
    w = checks.numbers("weight", weight, shape, "1", zero=False, axes=("user",))
    users = len(w)
    if slope == base == 0:
        raise InvalidInput("step_slope_s", 0.0, "above 0 [s], for step_base_s is 0 as well", "Give a step's time.")
    order = np.argsort(-w, kind="stable")
    local = np.full(users, np.inf)
    served = np.ones(users, dtype=bool)
    if device_step_s is not None:
        local = n * checks.numbers("device_step_s", device_step_s, shape, "s", axes=("user",))
        counts = np.arange(users + 1)
        program = BlockCosts(
            stay=(w * local)[order], serve=np.zeros(users), by_users=n * slope * counts * w[order, None],
            by_blocks=n * base * counts * w[order, None], top=np.inf,
        )  # fmt: skip
        served[order] = program.cheapest()[1]
    inside = order[served[order]]
    sizes = best_blocks(w[inside], n * slope, n * base)
    latency = np.where(served, 0.0, local)
    found: list[tuple[int, ...]] = []
    at, now = 0, 0.0
    for size in sizes:
        block = inside[at : at + size]
        at, now = at + size, now + n * (slope * size + base)
        latency[block] = now
        found += [tuple(sorted(block.tolist()))] * n
    return BatchBlocks(
        objective_s=float(w @ latency), cut=np.where(served, n, 0), batches=tuple(found), latency_s=latency
    )
