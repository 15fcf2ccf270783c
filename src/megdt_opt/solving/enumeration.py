"""The oracle for small cases: every option set, each with its optimal shares."""

from __future__ import annotations

import itertools
import math

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.explaining import no_option, not_together
from megdt_opt.problem import AllocationProblem
from megdt_opt.solving.incumbent import Incumbent
from megdt_opt.solving.resources import Resources

MOST_SETS = 200_000
"""Option sets that are tried at most."""


def enumerate_options(problem: AllocationProblem, resources: Resources) -> Incumbent:
    """The best of all option sets.

    Raises
    ------
    InvalidInput
        For more than `MOST_SETS` sets, and for the objective "missed".
    Infeasible
        Where no set keeps the limits.
    """
    if problem.objective == "missed":
        raise InvalidInput("objective", "missed", "'max', 'sum' or 'mixed' with method 'enumerate'", "Choose one.")
    choices = [np.flatnonzero(row) for row in resources.open]
    if any(len(c) == 0 for c in choices):
        raise no_option(problem, resources)
    count = math.prod(len(c) for c in choices)
    if count > MOST_SETS:
        raise InvalidInput("problem", f"{count} option sets", f"at most {MOST_SETS}", "Use method 'prices'.")
    best = Incumbent(problem, resources)
    best.offer(np.array(list(itertools.product(*choices)), dtype=np.int64))
    if not np.isfinite(best.objective):
        raise not_together(problem, resources)
    return best
