"""Solving a `ProgramProblem`: which option each user runs, and how bands and edge are shared among users and tasks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.program import ProgramProof, with_flows
from megdt_opt.certificate.tree import Node
from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.pricing.program_costs import ProgramCosts
from megdt_opt.pricing.program_paths import Array
from megdt_opt.problem.conflicts import nothing_open
from megdt_opt.problem.outcome import BoundSource, Method, status_of
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.solving.answers import Answer, relative_gap
from megdt_opt.solving.engines.program import ProgramEngine, ProgramPricing
from megdt_opt.solving.parties import close_parties
from megdt_opt.tolerances import SOLVER

METHODS = (Method.AUTO, Method.PRICES, Method.TASK_PROGRAM)


@dataclass(frozen=True, kw_only=True, eq=False)
class Program(Answer):
    """Options and shares with what is proven about them; the fields of `Answer` beside these.

    Parameters
    ----------
    option : array of int, (K,)
        Chosen option of each user.
    downlink_hz, uplink_hz, edge_share : array, (K,)
        Shares of the users [Hz, Hz, 1].
    part : array, (K, N)
        Part of its user's share that each task of the option gets while it runs [1]; 1 for a task beside which no other
        of its resource can run.

    Examples
    --------
    Two pictures are uploaded at once, each for its own second of work on the device, or all is done on the device:

    >>> import numpy as np
    >>> from megdt_opt import ProgramProblem, solve
    >>> before = np.zeros((1, 2, 4, 4), bool)
    >>> before[0, 0, 0, 2] = before[0, 0, 1, 3] = True
    >>> problem = ProgramProblem(
    ...     fixed_s=[[[0.0, 0.0, 1.0, 1.0], [9.0, 0.0, 0.0, 0.0]]], uplink_bit=[[[1e6, 3e6, 0.0, 0.0], [0.0] * 4]],
    ...     edge_work_s=np.zeros((1, 2, 4)), downlink_bit=np.zeros((1, 2, 4)), before=before, downlink_hz=0.0,
    ...     uplink_hz=1e6, uplink_efficiency=[1.0], objective="max",
    ... )
    >>> best = solve(problem)
    >>> best.option.tolist(), best.part[0, :2].round(3).tolist(), round(best.objective_s, 6), best.is_proven(problem)
    ([0], [0.25, 0.75], 5.0, True)
    """

    option: NDArray[np.int64]
    downlink_hz: NDArray[np.float64]
    uplink_hz: NDArray[np.float64]
    edge_share: NDArray[np.float64]
    part: NDArray[np.float64]


def solve_class(problem: ProgramProblem, method: str, gap: float, time_limit_s: float | None) -> Program:
    """As `solve` has it, for this class of problem.

    Raises
    ------
    InvalidInput
        For a method that does not take it.
    Infeasible
        Where all options of a user are closed; names what is missing.
    """
    if method not in METHODS:
        raise InvalidInput("method", method, f"one of {METHODS} for ProgramProblem", 'Use "auto".')
    if not problem.open_options.any(axis=1).all():
        raise nothing_open(problem)
    begin = time.perf_counter()
    costs = ProgramCosts(problem)
    pricing, proof = ProgramPricing(costs), ProgramProof(problem, costs)

    def carrying(tree: Node, target: float) -> Node:
        return with_flows(tree, costs, target if pricing.leveled else None)

    built = time.perf_counter()
    closed = close_parties(pricing, proof, gap=gap, time_limit_s=time_limit_s, carrying=carrying, make=ProgramEngine)
    x, part = closed.x[:3], closed.x[3:].T
    return _answer(
        problem, closed.choice, _in_units(problem, x), part, gap, Method.PRICES,
        (closed.bound, BoundSource.CERTIFICATE, closed.certificate), (built - begin, time.perf_counter() - built),
        f"{closed.nodes} nodes, {closed.passes} price vectors",
    )  # fmt: skip


def answer_of(problem: ProgramProblem, raw: Any, method: Method, gap: float) -> Program:
    """The answer of a formulation, evaluated."""
    shares = np.stack([raw.downlink_hz, raw.uplink_hz, raw.edge_share])
    return _answer(
        problem, raw.option, shares, raw.part, gap, method, (raw.bound, BoundSource.SOLVER, None),
        (raw.build_s, raw.solve_s), raw.message,
    )  # fmt: skip


def _in_units(problem: ProgramProblem, x: Array) -> Array:
    """Shares (3, K) in the budgets' units, which sum to at most the budgets."""
    x = np.fmax(x, 0.0)
    shares: Array = x / np.maximum(x.sum(axis=1, keepdims=True), 1.0) * problem.budgets[:, None]
    shares[2] = np.minimum(shares[2], problem.share_caps)
    return shares


def _answer(
    problem: ProgramProblem,
    option: NDArray[np.int64],
    shares: Array,
    part: Array,
    gap: float,
    method: Method,
    proof: tuple[float, BoundSource, Certificate | None],
    times_s: tuple[float, float],
    message: str,
) -> Program:
    """What was decided, evaluated; nothing that a search or a solver says of it is believed."""
    decided = {
        "option": option, "downlink_hz": shares[0], "uplink_hz": shares[1], "edge_share": shares[2], "part": part,
    }  # fmt: skip
    found = problem.evaluate(SimpleNamespace(**decided))
    if found.violation > SOLVER:
        raise SolverFailure(f"{method} returned an answer that breaks a limit by {found.violation:.2e} relatively")
    (bound, source, certificate), (build_s, solve_s) = proof, times_s
    lower = min(bound, found.objective_s)
    reached = relative_gap(found.objective_s, lower)
    return Program(
        **decided, latency_s=found.latency_s, objective_s=found.objective_s, lower_bound_s=lower, gap=reached,
        status=status_of(reached, gap, source), method=method, bound_source=source, build_s=build_s, solve_s=solve_s,
        certificate=certificate, message=message,
    )  # fmt: skip
