"""Whether limited costs can be kept together, and with which options."""

from __future__ import annotations

import time

import numpy as np

from megdt_opt.certificate.tree import Mask
from megdt_opt.pricing.scaled import UPLINK, Array, Resources
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving.engines.engine import Choice
from megdt_opt.solving.engines.loads import LoadPricing
from megdt_opt.solving.parties import close_parties

_GAPS = (0.1, 1e-2, 1e-4, 1e-6, 1e-9)
"""To which the largest load is closed in turn, until it is known whether all limits can be kept [1]."""

_ROUNDING = 1e-12


def keeping_costs(
    problem: AllocationProblem, resources: Resources, deadline: float = np.inf
) -> tuple[Choice | None, bool]:
    """Options (K,) that keep the limited costs and limits on airtime together, and whether it is proven that none do.

    Parameters
    ----------
    problem : AllocationProblem
        Each of its limited costs can be kept by itself.
    resources : Resources
        The problem, scaled.
    deadline : float
        `time.monotonic()` at which to give up [s].
    """
    assert problem.cost_limits is not None
    loads = np.dstack([problem.cost_limits.loads, resources.lo[UPLINK]])
    return _least_load(loads, resources.open, deadline, 1.0 + _ROUNDING)[:2]


def least_stretch(problem: AllocationProblem, deadline: float = np.inf) -> float:
    """A factor by which the limits on the costs must all be raised, at least, to be kept together [1]."""
    limits = problem.cost_limits
    assert limits is not None
    most = limits.cost_max[limits.limited]
    loads = limits.cost[:, :, limits.limited] / np.where(most > 0, most, 1.0)
    return _least_load(loads, limits.open_options, deadline, 0.0)[2]


def _least_load(loads: Array, is_open: Mask, deadline: float, most: float) -> tuple[Choice | None, bool, float]:
    """Options whose largest load is at most `most`, whether it is proven that there are none, and the least load that
    is proven."""
    pricing = LoadPricing(loads, is_open)
    bound = 0.0
    for gap in _GAPS:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        found = close_parties(pricing, pricing, gap=gap, time_limit_s=left if np.isfinite(left) else None)
        bound = max(bound, found.bound)
        if found.objective <= most:
            return found.choice, False, bound
        if bound > most > 0:
            return None, True, bound
    return None, False, bound
