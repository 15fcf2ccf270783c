"""What a method, a proposition or a question takes of the core problem; the rest is refused by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.allocation_problem import OBJECTIVES, AllocationProblem

TIMES = ("max", "sum", "mixed")
"""Objectives that are times; "missed" counts users."""


def require(
    problem: AllocationProblem,
    what: str,
    remedy: str,
    *,
    objectives: Sequence[str] = OBJECTIVES,
    linear: bool = False,
    sequential: bool = False,
    limits: bool = True,
    costs: bool = False,
) -> None:
    """Refuse a problem outside a region.

    Parameters
    ----------
    problem : AllocationProblem
    what : str
        Who refuses, for the message: "the method 'option_gdp'".
    remedy : str
        What to do instead.
    objectives : sequence of str
        Those that are taken.
    linear, sequential : bool
        Whether linear rates are needed, and no device branch beside the edge branch.
    limits : bool
        False where no deadline and no airtime may be limited.
    costs : bool
        Whether costs beside the latency may be limited and weighted.

    Raises
    ------
    InvalidInput
        Names the first field that does not fit.
    """

    def refuse(field: str, found: str, expected: str) -> InvalidInput:
        return InvalidInput(field, found, f"{expected} for {what}", remedy)

    if not isinstance(problem, AllocationProblem):
        raise InvalidInput("problem", type(problem).__name__, f"an AllocationProblem for {what}", remedy)
    if problem.objective not in objectives:
        raise refuse("objective", problem.objective, " or ".join(f'"{name}"' for name in objectives))
    if linear and not problem.linear:
        side = "downlink" if problem.downlink_snr_hz is not None else "uplink"
        raise refuse(f"{side}_snr_hz", "Shannon rate", "linear rates (efficiency [bit/s/Hz])")
    if sequential and not problem.sequential:
        raise refuse("device_branch_s", "branches above 0", "no device branch beside the edge's [s]")
    if not limits and np.isfinite(problem.hard_deadline_s).any():
        raise refuse("deadline_s", "given", "no hard deadlines [s]")
    if not limits and problem.uplink_airtime_max_s is not None:
        raise refuse("uplink_airtime_max_s", "given", "no limits on the airtime [s]")
    if not costs and problem.option_cost is not None:
        field = "cost_max" if problem.cost_max is not None else "cost_weight_s"
        field = field if getattr(problem, field) is not None else "option_cost"
        raise refuse(field, "given", "no costs beside the latency")
