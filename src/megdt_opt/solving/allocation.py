"""What a route returns: `RawSolution` from a formulation, `Allocation` to the caller, who can have it judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.solving.answers import Answer


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
class Allocation(Answer):
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
    status : Status
        "optimal" only where a gap of at most the asked one is proven, without a solver's word; else "feasible".
    method : Method
        The route.
    bound_source : BoundSource
        "certificate"; "leaves" for a batch's bound, whose leaves were proven but not written down; "enumeration" where
        every option set was tried; "solver" for a bound that only the solver vouches for; or "none".
    build_s, solve_s : float
        Seconds [s].
    certificate : Certificate or None
        Proof of the bound, where it was written down.
    message : str
        What the route says about its end.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, solve
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max",
    ... )
    >>> best = solve(problem)
    >>> best.option.tolist(), round(best.objective_s, 4), best.is_optimal(), best.is_proven(problem)
    ([0, 0], 3.9753, True, True)
    """

    option: NDArray[np.int64]
    downlink_hz: NDArray[np.float64]
    uplink_hz: NDArray[np.float64]
    edge_share: NDArray[np.float64]
