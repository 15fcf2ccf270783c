"""Whether users' limits can be kept at several edge servers, and how much of what would be enough.

The least factor on all deadlines is the optimum of the worst ratio of latency and deadline, so that it is proven by
the same search. A budget or a memory is looked for by bisection: each problem on the way is solved until it has an
allocation or is proven to have none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from megdt_opt.errors import Infeasible, InvalidInput, SolverFailure
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.solving.door import solve
from megdt_opt.solving.lateness import urgency
from megdt_opt.whatif.feasible import PRECISION, OutOfTime

FIELDS = {"downlink_hz": "Hz", "uplink_hz": "Hz", "edge_capacity": "servers", "memory_byte": "B"}
"""Limits of servers, with their units."""

_GAP = 0.5 * PRECISION


@dataclass(frozen=True)
class Enough:
    """What of one limit of a server would be enough, in the unit of its field, and what there is."""

    field: str
    server: int
    now: float
    needed: float


def conflict(problem: PlacementProblem, until: float) -> Infeasible | None:
    """The error of a problem without an allocation; None where there is one.

    Raises
    ------
    OutOfTime
        Where neither was found by `time.monotonic() == until`.
    """
    try:
        solve(problem, gap=0.9, time_limit_s=_left_s(until))
    except Infeasible as error:
        return error
    except SolverFailure:
        raise OutOfTime from None
    return None


def _left_s(until: float) -> float | None:
    """Time that is left [s]; None where it is not limited."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise OutOfTime
    return None if math.isinf(left_s) else left_s


def stretch(problem: PlacementProblem, until: float) -> float | None:
    """The least factor on all deadlines that lets all of them be kept [1]; None where no factor helps. Raises OutOfTime
    as `conflict`."""
    ratios = replace(problem, deadline_s=None, weight=urgency(problem.hard_deadline_s), objective="max")
    try:
        return solve(ratios, gap=_GAP, time_limit_s=_left_s(until)).objective_s
    except Infeasible:
        return None


def enough(
    problem: PlacementProblem, largest: float, until: float
) -> Iterator[tuple[str, Callable[[], Enough | None]]]:
    """Limits of servers, with what looks for the least of each that alone would be enough, up to a factor."""
    for field in FIELDS:
        given = problem.capacities if field == "edge_capacity" else getattr(problem, field)
        for server, now in enumerate([] if given is None else given.tolist()):
            if now > 0:
                yield field, partial(_least, problem, field, server, largest, until)


def _least(problem: PlacementProblem, field: str, server: int, largest: float, until: float) -> Enough | None:
    given = problem.capacities if field == "edge_capacity" else getattr(problem, field)

    def keeps(factor: float) -> bool:
        values = np.array(given, dtype=np.float64)
        values[server] *= factor
        changed: dict[str, Any] = {field: values}
        try:
            return conflict(replace(problem, **changed), until) is None
        except InvalidInput:  # a user whom no server serves
            return False

    if not keeps(largest):
        return None
    low, high = 1.0, largest
    while high > low * (1.0 + PRECISION):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return Enough(field, server, float(given[server]), float(given[server]) * high)
