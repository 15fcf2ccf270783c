"""What `solve_batch` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.problem.outcome import BoundSource, Method, status_of
from megdt_opt.solving.allocation import Allocation
from megdt_opt.solving.answers import relative_gap

if TYPE_CHECKING:
    from megdt_opt.problem.batch_problem import BatchProblem

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchAllocation:
    """Allocations of S scenarios with what is proven about each.

    Where a scenario is infeasible or failed, its options are -1 and its numbers NaN.

    Parameters
    ----------
    problem : BatchProblem
    option : array of int, (S, K)
        Chosen option of each user.
    downlink_hz, uplink_hz, edge_share : array, (S, K)
        Shares [Hz, Hz, 1]; they sum to at most the budget times (1 + 1e-12).
    latency_s : array, (S, K)
        Latencies [s], recomputed from options and shares.
    objective_s : array, (S,)
        Objectives [s], likewise.
    lower_bound_s : array, (S,)
        No allocation is better than this [s]: every leaf of a branch tree proved it, with prices.
    gap : array, (S,)
        (objective - bound) / objective [1].
    status : array of str, (S,)
        "optimal" where the gap is at most the asked one, "feasible", "infeasible", or "failed" where no search came
        to an answer that keeps the limits.
    passes, nodes : array of int, (S,)
        Price vectors tried, and nodes of the depth-first search [1].
    handed_on : array of bool, (S,)
        Whether the search for large problems closed the scenario, because the fast one does not take it or gave up.
    asked_gap : float
        [1]
    build_s, solve_s : float
        Seconds in all [s].

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, solve_batch
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> found = solve_batch([problem, problem])
    >>> found.option.tolist(), found.status.tolist()
    ([[0, 0], [0, 0]], ['optimal', 'optimal'])
    """

    problem: BatchProblem = field(repr=False)
    option: NDArray[np.int64]
    downlink_hz: Array
    uplink_hz: Array
    edge_share: Array
    latency_s: Array
    objective_s: Array
    lower_bound_s: Array
    gap: Array
    status: NDArray[np.str_]
    passes: NDArray[np.int64]
    nodes: NDArray[np.int64]
    handed_on: NDArray[np.bool_]
    asked_gap: float
    build_s: float
    solve_s: float

    def __len__(self) -> int:
        return int(self.objective_s.shape[0])

    @property
    def share_closed(self) -> float:
        """Share of the scenarios that are not infeasible whose gap is proven [1]; 1 where all are."""
        feasible = self.status != "infeasible"
        return float((self.status[feasible] == "optimal").mean()) if feasible.any() else 1.0

    def allocation(self, s: int, *, certificate: bool = False) -> Allocation:
        """One scenario's allocation.

        Parameters
        ----------
        s : int
        certificate : bool
            Search once more and write the proof down, so that `Certificate.verify` can check it. Without it the
            bound's source is "leaves": they were proven, but not kept.

        Raises
        ------
        InvalidInput
            Where there is no such scenario.
        Infeasible
            Where the scenario is infeasible; names the users and limits that conflict.
        SolverFailure
            Where it failed.
        """
        if not 0 <= s < len(self):
            raise InvalidInput("scenario", s, f"0..{len(self) - 1}", "Name a scenario of the batch.")
        from megdt_opt.solving.door import solve

        if self.status[s] in ("infeasible", "failed"):
            return solve(self.problem.problem(s), "prices", self.asked_gap)  # raises and says why
        proof, lower, source = None, float(self.lower_bound_s[s]), BoundSource.LEAVES
        if certificate:
            again = solve(self.problem.problem(s), "prices", self.asked_gap)
            if again.objective_s < self.objective_s[s]:
                return again
            proof, lower, source = again.certificate, again.lower_bound_s, BoundSource.CERTIFICATE
        objective = float(self.objective_s[s])
        gap = relative_gap(objective, lower)
        return Allocation(
            option=self.option[s],
            downlink_hz=self.downlink_hz[s],
            uplink_hz=self.uplink_hz[s],
            edge_share=self.edge_share[s],
            latency_s=self.latency_s[s],
            objective_s=objective,
            lower_bound_s=lower,
            gap=gap,
            status=status_of(gap, self.asked_gap, source),
            method=Method.BATCH,
            bound_source=source,
            build_s=self.build_s / len(self),
            solve_s=self.solve_s / len(self),
            certificate=proof,
            message=f"{self.nodes[s]} nodes, {self.passes[s]} price vectors",
        )
