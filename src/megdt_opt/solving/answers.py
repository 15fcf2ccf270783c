"""What all answers of `solve` say of themselves, whatever they decide, and how they are judged.

An answer judges itself: its `Residuals` are recomputed from the problem and from its own decisions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.proofs import require_class
from megdt_opt.errors import InvalidInput
from megdt_opt.problem.outcome import BoundSource, Method, Status
from megdt_opt.tolerances import BOUND, EXACT
from megdt_opt.values import entries, real


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What is known of an answer and of its proof.

    Parameters
    ----------
    latency_s : array, (K,)
        Latencies from the problem's evaluation [s].
    objective_s : float
        Objective from the problem's evaluation [s].
    lower_bound_s : float
        No answer is better than this [s].
    gap : float
        (objective - bound) / objective [1]; 0 where they are equal.
    status : Status
        "optimal" only where a gap of at most the asked one is proven, without a solver's word; else "feasible".
    method : Method
        The route.
    bound_source : BoundSource
        What stands behind the bound.
    build_s, solve_s : float
        Seconds [s].
    certificate : Certificate or None
        Proof of the bound, where it was written down.
    message : str
        What the route says about its end.
    """

    latency_s: NDArray[np.float64]
    objective_s: float
    lower_bound_s: float
    gap: float
    status: Status
    method: Method
    bound_source: BoundSource
    build_s: float
    solve_s: float
    certificate: Certificate | None = None
    message: str = ""

    def __post_init__(self) -> None:
        for name, kind in (("status", Status), ("method", Method), ("bound_source", BoundSource)):
            object.__setattr__(self, name, kind(getattr(self, name)))

    def evaluate(self, problem: Any) -> Any:
        """Evaluate the answer on a problem of its class: an `Evaluation`.

        Raises
        ------
        InvalidInput
            Where it is a problem of no such class, or does not fit the answer.
        """
        require_class(problem)
        return problem.evaluate(self)

    def is_optimal(self, gap: float = 1e-6) -> bool:
        """Whether the bound is a proof, by a certificate or by trying every option set, and proves this gap [1]."""
        return self.bound_source.proves and _reported(self.gap) <= gap

    def residuals(self, problem: Any) -> Residuals:
        """How far the answer is from what it reports, recomputed, with its certificate verified.

        Never raises: what does not fit the problem is infinite.
        """
        try:
            truth = self.evaluate(problem)
        except InvalidInput:
            return NOTHING
        bound, lower_bound_s = math.inf, _reported(self.lower_bound_s)
        if isinstance(self.certificate, Certificate) and self.certificate.verify(problem).holds:
            proven = min(self.certificate.bound_s, truth.objective_s)
            bound = abs(lower_bound_s - proven) / truth.objective_s if truth.objective_s > 0 else abs(proven)
        gap = abs(_reported(self.gap) - relative_gap(truth.objective_s, lower_bound_s))
        return Residuals(
            limits=_number(truth.violation),
            latency=_number(_latency_apart(self.latency_s, truth.latency_s)),
            objective=_apart(_reported(self.objective_s), truth.objective_s),
            bound=_number(bound),
            gap=_number(gap),
        )

    def is_proven(self, problem: Any, gap: float = 1e-6) -> bool:
        """Whether the answer, as it is reported, is proven by its certificate to be this near to the optimum [1].

        `is_optimal` reads what is reported; this believes nothing of it, so that an enumeration, which leaves no
        certificate, is not proven in this sense.
        """
        return self.is_optimal(gap) and self.residuals(problem).true


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """How far an answer is from what it says; 0 is best, infinite what is undefined or unproven.

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


def relative_gap(objective: float, bound: float) -> float:
    """(objective - bound) / objective, at least 0; infinite where there is no bound [1]."""
    if objective <= bound or objective == 0:
        return 0.0
    return (objective - bound) / objective


def _apart(reported: float, truth: float) -> float:
    if reported == truth:
        return 0.0
    return _number(abs(reported - truth) / abs(truth)) if truth else math.inf


def _latency_apart(reported: Any, truth_s: NDArray[np.float64]) -> float:
    """The worst relative difference; infinite where there is not one number for each user."""
    found = entries(reported)
    if found is None or len(found) != len(truth_s):
        return math.inf
    return max(_apart(_reported(a), float(b)) for a, b in zip(found, truth_s, strict=True))


def _reported(value: Any) -> float:
    """NaN in place of what is no number."""
    found = real(value)
    return math.nan if found is None else found


def _number(value: float) -> float:
    """Infinite in place of not a number."""
    return math.inf if math.isnan(value) else value
