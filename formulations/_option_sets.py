"""Option sets of small problems, for formulations that give shares and leave the options to a comparison."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.shares.best import best_shares

MOST_SETS = 5_000
"""Option sets that are compared at most."""

_BATCH = 64


def option_sets(problem: AllocationProblem, mask: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Every option set of the options in `mask` (K, O), (S, K); None where there are more than `MOST_SETS`."""
    choices = [np.flatnonzero(row) for row in mask]
    if math.prod(len(c) for c in choices) > MOST_SETS:
        return None
    return np.array(list(itertools.product(*choices)), dtype=np.int64)


def optima(problem: AllocationProblem, sets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Optimum of the problem's objective for each option set, (S,) [s]; infinite where it cannot keep the limits."""
    resources = Resources.of(problem)
    found = [best_shares(problem, resources, sets[i : i + _BATCH]).objective for i in range(0, len(sets), _BATCH)]
    result: NDArray[np.float64] = np.concatenate(found)
    return result
