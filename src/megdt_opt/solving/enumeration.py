"""The oracle for small cases: every option set, each with its optimal shares."""

from __future__ import annotations

import itertools
import math

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.pricing.scaled import Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.conflict import named
from megdt_opt.solving.tried import Tried

MOST_SETS = 200_000
"""Option sets that are tried at most."""


def enumerate_options(problem: AllocationProblem, resources: Resources) -> Tried:
    """The best of all option sets.

    For "missed" the choices of a user are the options to be on time with and being late, and sets are tried from the
    least weight of late users upwards until one can be kept.

    Raises
    ------
    InvalidInput
        For more than `MOST_SETS` sets.
    Infeasible
        Where no set keeps the limits.
    """
    missed = problem.objective == "missed"
    choices = [np.flatnonzero(row) for row in resources.open]
    if any(len(c) == 0 for c in choices):
        raise named(problem, resources)
    if missed:
        choices = [np.r_[c, problem.options] for c in choices]
    count = math.prod(len(c) for c in choices)
    if count > MOST_SETS:
        raise InvalidInput(
            f"problem with objective {problem.objective!r}",
            f"{count} option sets",
            f"at most {MOST_SETS} for method 'enumerate'",
            "Use method 'prices'.",
        )
    sets = np.array(list(itertools.product(*choices)), dtype=np.int64)
    best = Tried(problem, resources)
    best.offer(sets)
    if not np.isfinite(best.objective):
        raise named(problem, resources)
    return best
