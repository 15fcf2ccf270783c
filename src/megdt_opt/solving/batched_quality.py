"""What `solve` says of a `BatchedEdgeProblem` of "quality", which is maximised and has no seconds as its objective."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.quality import QualityCertificate
from megdt_opt.errors import InvalidInput
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem, Batches, QualityEvaluation
from megdt_opt.problem.outcome import BoundSource, Method, Status
from megdt_opt.tolerances import BOUND, EXACT


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchedQuality:
    """Steps, batches and shares that earn a quality, with what is proven about them.

    Parameters
    ----------
    cut : array of int, (K,)
        Steps of each user [1].
    batches : tuple of tuple of int
        Users of each batch, ascending, in the order of time; the batches follow each other without waiting.
    downlink_hz : array, (K,)
        Shares of the band [Hz]; 0 where nothing is sent.
    latency_s : array, (K,)
        End of the download of each user with steps [s], else 0.
    objective : float
        Weighted quality from the problem's evaluation [1].
    bound : float
        No answer earns more [1].
    gap : float
        (bound - objective) / |objective| [1]; at an objective of 0, 0 where they are equal and else infinite.
    status, method, bound_source, build_s, solve_s, message
        As for every `Answer`.
    certificate : QualityCertificate or None
        Proof of the bound, where it was written down.

    Examples
    --------
    >>> from megdt_opt import BatchedEdgeProblem, solve
    >>> problem = BatchedEdgeProblem(  # in the time of one step of both there is nearly one more of one
    ...     steps=2, step_slope_s=0.2, step_base_s=0.3, downlink_bit=[0.0, 0.0], downlink_hz=1e6, objective="quality",
    ...     quality=[[0.0, 1.0, 1.5], [0.0, 2.0, 2.5]], deadline_s=[1.0, 1.2],
    ... )
    >>> best = solve(problem)
    >>> best.cut.tolist(), best.batches, best.objective, best.status == "feasible"
    ([1, 2], ((0, 1), (1,)), 3.5, True)
    """

    cut: NDArray[np.int64]
    batches: Batches
    downlink_hz: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    objective: float
    bound: float
    gap: float
    status: Status
    method: Method
    bound_source: BoundSource
    build_s: float
    solve_s: float
    certificate: QualityCertificate | None = None
    message: str = ""

    def evaluate(self, problem: BatchedEdgeProblem) -> QualityEvaluation:
        """Evaluate the answer; raises InvalidInput where the problem has another objective or does not fit."""
        if not isinstance(problem, BatchedEdgeProblem) or problem.objective != "quality":
            raise InvalidInput(
                "problem", type(problem).__name__, 'a BatchedEdgeProblem of objective "quality"', "Give the one solved."
            )
        found = problem.evaluate(self)
        assert isinstance(found, QualityEvaluation)
        return found

    def is_optimal(self, gap: float = 1e-6) -> bool:
        """Whether the bound is a proof, and proves this gap [1]."""
        return self.bound_source.proves and self.gap <= gap

    def is_proven(self, problem: BatchedEdgeProblem, gap: float = 1e-6) -> bool:
        """Whether the answer, as it is reported, is proven by its certificate to be this near to the optimum [1]."""
        try:
            truth = self.evaluate(problem)
        except InvalidInput:
            return False
        if not isinstance(self.certificate, QualityCertificate) or not self.certificate.verify(problem).holds:
            return False
        size = max(abs(truth.objective), abs(self.bound))
        true = (
            truth.violation <= BOUND
            and np.allclose(self.latency_s, truth.latency_s, rtol=EXACT, atol=0.0)
            and abs(self.objective - truth.objective) <= EXACT * size
            and abs(self.bound - max(self.certificate.bound, truth.objective)) <= EXACT * size
            and self.gap == quality_gap(self.objective, self.bound)
        )
        return bool(true) and self.is_optimal(gap)


def quality_gap(objective: float, bound: float) -> float:
    """(bound - objective) / |objective| [1]; at an objective of 0, 0 where they are equal and else infinite."""
    if bound == objective:
        return 0.0
    return (bound - objective) / abs(objective) if objective else math.inf
