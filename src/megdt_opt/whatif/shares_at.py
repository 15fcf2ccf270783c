"""Value and prices of given options, with shares that are optimal for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.pricing.scaled import Array, Resources
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.problem.region import TIMES, require
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.shares.best import best_shares

BUDGETS = ("downlink_hz", "uplink_hz", "edge_capacity")
"""Fields of the budgets, in the order of `Resources`."""


@dataclass(frozen=True)
class Valued:
    """What given options are worth.

    Parameters
    ----------
    objective_s : float
        Objective with the best shares [s]; infinite where no shares keep the limits.
    prices_s : array, (3,)
        Shadow prices of the scaled budgets, downlink, uplink and edge [s].
    """

    objective_s: float
    prices_s: Array


def value_of(problem: AllocationProblem, option: NDArray[np.int64]) -> Valued:
    """Objective of options, (K,), with the best shares, and the prices of the budgets there."""
    resources = Resources.of(problem)
    # a share of at most the whole budget is implied by the budget; stated twice, the two would split the price
    hi = np.where(resources.hi >= 1.0, 2.0, resources.hi)
    loose = Resources(a=resources.a, gamma=resources.gamma, lo=resources.lo, hi=hi, open=resources.open)
    found = best_shares(problem, loose, option[None])
    return Valued(float(found.objective[0]), found.prices[0])


def with_field(problem: AllocationProblem, field: str, value: Any) -> AllocationProblem:
    """The problem with another value of one field."""
    return replace(problem, **{field: value})


def require_time(problem: AllocationProblem, what: str) -> None:
    """Refuse the objective "missed", which counts users and has no slope."""
    require(problem, what, "Choose one of them.", objectives=(*TIMES, "mean_cvar"), costs=True)


def checked_options(
    problem: AllocationProblem | PlacementProblem | SharedPrefixProblem, option: object
) -> NDArray[np.int64]:
    """One option per user, (K,); raises InvalidInput for anything else."""
    return checks.options("option", option, (problem.users,), problem.options)
