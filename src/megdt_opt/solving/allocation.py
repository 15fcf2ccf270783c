"""What a route returns: `RawSolution` from a formulation, `Allocation` to the caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from megdt_opt.certificate.certificate import Certificate
    from megdt_opt.problem.allocation_problem import AllocationProblem, Evaluation
    from megdt_opt.solving.judging import Residuals


@dataclass(frozen=True, kw_only=True, eq=False)
class RawSolution:
    """What a formulation found, before anybody has checked it.

    Parameters
    ----------
    option : array of int, (K,)
        Chosen options.
    downlink_hz, uplink_hz, edge_share : array, (K,)
        Shares [Hz, Hz, 1].
    bound : float or None
        Lower bound on the objective that the solver claims [s].
    build_s, solve_s : float
        Seconds of building and of solving [s].
    message : str
        The solver's status in its own words.
    late : array of bool, (K,), optional
        For "missed": users that are given up; the others shall be on time.
    """

    option: NDArray[np.int64]
    downlink_hz: NDArray[np.float64]
    uplink_hz: NDArray[np.float64]
    edge_share: NDArray[np.float64]
    bound: float | None
    build_s: float
    solve_s: float
    message: str = ""
    late: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Allocation:
    """A feasible allocation with what is proven about it.

    Parameters
    ----------
    option : array of int, (K,)
        Chosen option of each user.
    downlink_hz, uplink_hz, edge_share : array, (K,)
        Shares [Hz, Hz, 1]; they sum to at most the budget times (1 + 1e-12).
    latency_s : array, (K,)
        Latencies from `evaluate` [s].
    objective_s : float
        Objective from `evaluate` [s]; a sum of weights [1] for "missed", [s^(1 + alpha)] for an `AlphaFairProblem`,
        the largest weighted latency [s] for a `LexicographicProblem`.
    lower_bound_s : float
        No allocation is better than this [s].
    gap : float
        (objective - bound) / objective [1]; 0 where they are equal.
    status : str
        "optimal" only where a certificate proves a gap of at most the asked one, else "feasible".
    method : str
        The route.
    bound_source : str
        "certificate"; "leaves" for a batch's bound, whose leaves were proven but not written down; "solver" for a bound
        that only the solver vouches for; or "none".
    build_s, solve_s : float
        Seconds [s].
    certificate : Certificate or None
        Proof of the bound.
    message : str
        What the route says about its end.
    """

    option: NDArray[np.int64]
    downlink_hz: NDArray[np.float64]
    uplink_hz: NDArray[np.float64]
    edge_share: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    objective_s: float
    lower_bound_s: float
    gap: float
    status: str
    method: str
    bound_source: str
    build_s: float
    solve_s: float
    certificate: Certificate | None = None
    message: str = ""

    def evaluate(self, problem: AllocationProblem) -> Evaluation:
        """Evaluate the allocation on a problem."""
        from megdt_opt.problem.allocation_problem import evaluate

        return evaluate(problem, self.option, self.downlink_hz, self.uplink_hz, self.edge_share)

    def is_optimal(self, gap: float = 1e-6) -> bool:
        """Whether the certificate proves this gap."""
        return self.bound_source == "certificate" and self.gap <= gap

    def residuals(self, problem: AllocationProblem) -> Residuals:
        """How far the allocation is from what it reports: all of it is worked out anew, the certificate verified."""
        from megdt_opt.solving.judging import residuals

        return residuals(problem, self)

    def is_proven(self, problem: AllocationProblem, gap: float = 1e-6) -> bool:
        """Whether the allocation, as it is reported, is proven to be within this gap of the optimum of a problem.

        `is_optimal` reads what is reported; this believes nothing of it.
        """
        return self.is_optimal(gap) and self.residuals(problem).true


def relative_gap(objective: float, bound: float) -> float:
    """(objective - bound) / objective, at least 0 [1]."""
    if objective <= bound or objective == 0:
        return 0.0
    return (objective - bound) / objective
