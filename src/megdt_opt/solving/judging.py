"""An allocation judges itself: everything that it reports is worked out anew from the problem and its own numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.tolerances import BOUND, EXACT

if TYPE_CHECKING:
    from megdt_opt.problem.allocation_problem import AllocationProblem
    from megdt_opt.solving.allocation import Allocation


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """How far an allocation is from what it says; 0 is best, infinite what is undefined or unproven.

    Parameters
    ----------
    limits : float
        Worst relative violation of a budget, cap, deadline or airtime limit, as in `Evaluation`.
    latency : float
        Worst relative difference between a reported latency and the one that the shares yield.
    objective : float
        Relative difference between the reported objective and the one that the shares yield.
    bound : float
        Difference between the reported bound and the one that the certificate proves, over the objective; infinite
        where no certificate proves it.
    gap : float
        Difference between the reported gap and the one of objective and bound [1].
    """

    limits: float
    latency: float
    objective: float
    bound: float
    gap: float

    @property
    def true(self) -> bool:
        """Whether limits, latencies, objective, bound and gap all are as reported."""
        return (
            self.limits <= BOUND
            and self.latency <= EXACT
            and self.objective <= EXACT
            and self.bound <= EXACT
            and self.gap <= EXACT
        )


NOTHING = Residuals(limits=math.inf, latency=math.inf, objective=math.inf, bound=math.inf, gap=math.inf)


def residuals(problem: AllocationProblem, allocation: Allocation) -> Residuals:
    """Residuals of an allocation on a problem; never raises: what does not fit the problem is infinite."""
    from megdt_opt.solving.allocation import relative_gap

    try:
        truth = allocation.evaluate(problem)
    except InvalidInput:
        return NOTHING
    reported = np.asarray(allocation.latency_s, dtype=float)
    latency = math.inf
    if reported.shape == truth.latency_s.shape:
        latency = max(_apart(float(a), float(b)) for a, b in zip(reported, truth.latency_s, strict=True))
    bound = math.inf
    if allocation.certificate is not None and allocation.certificate.verify(problem).holds:
        proven = min(allocation.certificate.bound_s, truth.objective_s)
        bound = abs(allocation.lower_bound_s - proven) / truth.objective_s if truth.objective_s > 0 else abs(proven)
    gap = abs(allocation.gap - relative_gap(truth.objective_s, allocation.lower_bound_s))
    return Residuals(
        limits=_number(truth.violation),
        latency=_number(latency),
        objective=_apart(allocation.objective_s, truth.objective_s),
        bound=_number(bound),
        gap=_number(gap),
    )


def _apart(reported: float, truth: float) -> float:
    if reported == truth:
        return 0.0
    return _number(abs(reported - truth) / abs(truth)) if truth else math.inf


def _number(value: float) -> float:
    """Infinite in place of not a number."""
    return math.inf if math.isnan(value) else value
