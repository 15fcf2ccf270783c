"""Solving a `PlacementProblem`: whom each server serves, with which option, and which models it holds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.certificate.placement import PlacementProof
from megdt_opt.errors import InvalidInput, SolverFailure
from megdt_opt.pricing.held_parts import held_models
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.pricing.scaled import Array
from megdt_opt.problem.conflicts import models_too_large
from megdt_opt.problem.outcome import BoundSource, Method, status_of
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.solving.answers import Answer, relative_gap
from megdt_opt.solving.engines.placement import PlacementEngine, PlacementPricing
from megdt_opt.solving.parties import close_parties
from megdt_opt.solving.placement_limits import first_choices, refuse_closed
from megdt_opt.tolerances import SOLVER

METHODS = (Method.AUTO, Method.PRICES, Method.EDGE_PLACEMENT)


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement(Answer):
    """Options, servers, models and shares with what is proven about them; the fields of `Answer` beside these.

    Parameters
    ----------
    option : array of int, (K,)
        Chosen option of each user, which names its server.
    placed : array of bool, (E, M), or None
        Models that each server holds; None where every server has every model.
    downlink_hz, uplink_hz, edge_share : array, (K,)
        Shares at the server of the option [Hz, Hz, 1]; 0 on the device.

    Examples
    --------
    >>> from megdt_opt import PlacementProblem, solve
    >>> problem = PlacementProblem(  # two users: at server 0, at server 1, or on the device
    ...     fixed_s=[[0.5, 0.5, 4.0], [0.5, 0.5, 6.0]], edge_work_s=[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]],
    ...     downlink_bit=[[1e6, 1e6, 0.0], [1e6, 1e6, 0.0]], uplink_bit=[[0.0] * 3, [0.0] * 3],
    ...     option_server=[[0, 1, -1], [0, 1, -1]], downlink_hz=[1e6, 1e6], uplink_hz=[0.0, 0.0],
    ...     downlink_efficiency=[[2.0, 1.0], [1.0, 2.0]], user_model=[0, 1], model_byte=[4e9, 6e9],
    ...     memory_byte=[4e9, 8e9], objective="max",
    ... )
    >>> best = solve(problem)
    >>> best.option.tolist(), best.placed.tolist(), round(best.objective_s, 6), best.is_proven(problem)
    ([0, 1], [[True, False], [False, True]], 2.0, True)
    """

    option: NDArray[np.int64]
    placed: NDArray[np.bool_] | None
    downlink_hz: NDArray[np.float64]
    uplink_hz: NDArray[np.float64]
    edge_share: NDArray[np.float64]


def solve_class(problem: PlacementProblem, method: str, gap: float, time_limit_s: float | None) -> Placement:
    """As `solve` has it, for this class of problem.

    Raises
    ------
    InvalidInput
        For a method that does not take it, or a server with more sets of models than can be looked at.
    Infeasible
        Where users' limits leave one without an option, or cannot be kept together, or the models of users without an
        option on their devices do not fit the servers together.
    """
    if method not in METHODS:
        raise InvalidInput("method", method, f"one of {METHODS} for PlacementProblem", 'Use "auto".')
    begin = time.perf_counter()
    costs, held = ServerCosts(problem), held_models(problem)
    pricing = PlacementPricing(costs, held)
    if problem.limited:
        refuse_closed(problem, costs)
    if not pricing.first_sets():
        raise models_too_large(problem)
    built = time.perf_counter()
    closed = close_parties(
        pricing, PlacementProof(problem, costs, held), gap=gap, time_limit_s=time_limit_s, make=PlacementEngine,
        rescue=partial(first_choices, problem) if problem.limited else None,
    )  # fmt: skip
    option = closed.choice[: problem.users]
    return _answer(
        problem, option, held.placed(closed.choice), _in_units(problem, option, closed.x), gap, Method.PRICES,
        (closed.bound, BoundSource.CERTIFICATE, closed.certificate), (built - begin, time.perf_counter() - built),
        f"{closed.nodes} nodes, {closed.passes} price vectors",
    )  # fmt: skip


def answer_of(problem: PlacementProblem, raw: Any, method: Method, gap: float) -> Placement:
    """The answer of a formulation, evaluated."""
    return _answer(
        problem, raw.option, raw.placed, np.stack([raw.downlink_hz, raw.uplink_hz, raw.edge_share]), gap, method,
        (raw.bound, BoundSource.SOLVER, None), (raw.build_s, raw.solve_s), raw.message,
    )  # fmt: skip


def _in_units(problem: PlacementProblem, option: NDArray[np.int64], x: Array) -> Array:
    """Shares (3, K) in the budgets' units; those of a server sum to at most its budget."""
    server = problem.option_server[np.arange(problem.users), option]
    shares = np.zeros((3, problem.users))
    for e in range(problem.servers):
        k = np.flatnonzero(server == e)
        part = np.fmax(x[:, k], 0.0)
        part = part / np.maximum(part.sum(axis=1, keepdims=True), 1.0)
        shares[:, k] = part * problem.budgets[:, e, None]
    shares[2] = np.minimum(shares[2], problem.share_caps)
    return shares


def _answer(
    problem: PlacementProblem,
    option: NDArray[np.int64],
    placed: NDArray[np.bool_] | None,
    shares: Array,
    gap: float,
    method: Method,
    proof: tuple[float, BoundSource, Certificate | None],
    times_s: tuple[float, float],
    message: str,
) -> Placement:
    """What was decided, evaluated; nothing that a search or a solver says of it is believed."""
    decided = {
        "option": option, "placed": placed, "downlink_hz": shares[0], "uplink_hz": shares[1], "edge_share": shares[2],
    }  # fmt: skip
    found = problem.evaluate(_Decided(**decided))
    if found.violation > SOLVER:
        raise SolverFailure(f"{method} returned an answer that breaks a limit by {found.violation:.2e} relatively")
    (bound, source, certificate), (build_s, solve_s) = proof, times_s
    lower = min(bound, found.objective_s)
    reached = relative_gap(found.objective_s, lower)
    return Placement(
        **decided, latency_s=found.latency_s, objective_s=found.objective_s, lower_bound_s=lower, gap=reached,
        status=status_of(reached, gap, source), method=method, bound_source=source, build_s=build_s, solve_s=solve_s,
        certificate=certificate, message=message,
    )  # fmt: skip


@dataclass(frozen=True)
class _Decided:
    option: NDArray[np.int64]
    placed: NDArray[np.bool_] | None
    downlink_hz: Array
    uplink_hz: Array
    edge_share: Array
