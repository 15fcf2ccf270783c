"""Schedules of a batched edge in which no chain pauses: a first batch and a number of steps for each user.

User k is in batches s_k + 1 to s_k + n_k. Batches that nobody is in do not happen, which only makes others earlier.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem, Batches

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def batches_of(first: Ints, cut: Ints) -> Batches:
    """The batches of chains that begin after `first` batches (K,) and make `cut` steps (K,)."""
    found: list[tuple[int, ...]] = []
    served = np.flatnonzero(cut > 0)
    last = int((first + cut)[served].max(initial=0))
    for j in range(last):
        members = served[(first[served] <= j) & (j < (first + cut)[served])]
        if members.size:
            found.append(tuple(members.tolist()))
    return tuple(found)


def ends_s(problem: BatchedEdgeProblem, first: Ints, cut: Ints) -> Array:
    """Ends of the users' last batches, (K,) [s]; 0 without steps."""
    served = np.flatnonzero(cut > 0)
    ends = np.zeros(problem.users)
    if not served.size:
        return ends
    begin, end = first[served], (first + cut)[served]
    size = np.zeros(int(end.max()) + 1, dtype=np.int64)
    np.add.at(size, begin, 1)
    np.add.at(size, end, -1)
    size = np.cumsum(size)[:-1]
    took = np.where(size > 0, problem.step_slope_s * size + problem.step_base_s, 0.0)
    ends[served] = problem.start_s + np.cumsum(took)[end - 1]
    return ends


def own_s(problem: BatchedEdgeProblem, cut: Ints) -> Array:
    """What users wait for beside the end of their steps at the edge and the download, (K,) [s]."""
    if problem.objective == "quality":
        return problem.rest_s
    handed_s = np.where(cut < problem.steps, problem.handed_s, 0.0)
    return (problem.steps - cut) * problem.steps_s + np.where(cut > 0, problem.rest_s + handed_s, problem.local_rest_s)
