"""Users' limits at several servers: choices that keep them together, or who cannot."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from megdt_opt.certificate.placement import PlacementProof
from megdt_opt.errors import Infeasible, SolverFailure
from megdt_opt.pricing.held_parts import held_models
from megdt_opt.pricing.placement import ServerCosts
from megdt_opt.problem.conflicts import limits_not_kept, limits_of
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.solving.conflict import smallest_conflict
from megdt_opt.solving.engines.engine import Choice
from megdt_opt.solving.engines.placement import PlacementEngine, PlacementPricing
from megdt_opt.solving.lateness import Kept, Late, limits_kept, urgency
from megdt_opt.solving.parties import close_parties

_OF_USERS = (
    "fixed_s", "downlink_bit", "uplink_bit", "edge_work_s", "option_server", "device_branch_s", "allowed", "weight",
    "edge_share_max", "downlink_efficiency", "uplink_efficiency", "downlink_snr_hz", "uplink_snr_hz", "user_model",
    "option_model", "deadline_s", "uplink_airtime_max_s",
)  # fmt: skip

_PATIENCE_S = 10.0
"""Limit on finding out who is to blame, after which more users are named than need be [s]."""


def first_choices(problem: PlacementProblem, deadline: float) -> list[Choice]:
    """A choice that keeps all limits, by the least lateness.

    Parameters
    ----------
    problem : PlacementProblem
    deadline : float
        `time.monotonic()` at which to give up [s].

    Raises
    ------
    Infeasible
        Where there is none; names a set of users who conflict, the smallest where that is found soon enough.
    SolverFailure
        Where none was found, and that there is none was not proven.
    """
    found = _kept(problem, list(range(problem.users)), deadline)
    if found.choice is not None and not found.ruled_out:
        return [found.choice]
    if not found.ruled_out:
        raise SolverFailure(
            "no choice that keeps the users' deadlines and limits on airtime was found, nor that there is none; raise "
            "time_limit_s or leave it out, or loosen the limits"
        )
    raise _not_together(problem)


def refuse_closed(problem: PlacementProblem, costs: ServerCosts) -> None:
    """Raise `Infeasible` where a user's limits rule out each of its options, even with whole budgets."""
    free = costs.at(np.zeros(len(costs.used)), None if problem.objective == "sum" else _enough_s(problem)).cost
    users = np.flatnonzero(~np.isfinite(free).any(axis=1)).tolist()
    if users:
        raise Infeasible("no option is left", [one for k in users for one in limits_of(problem, k)], users)


def _enough_s(problem: PlacementProblem) -> float:
    """A level that no user's weighted latency with a whole budget reaches [s]."""
    return 1e30 * float(problem.weights.max())


def _kept(problem: PlacementProblem, users: list[int], deadline: float) -> Kept:
    """Whether some users keep their limits together, if the others do without shares."""
    cut = {name: getattr(problem, name)[users] for name in _OF_USERS if getattr(problem, name) is not None}
    part = replace(
        problem, **{**cut, "deadline_s": None, "weight": urgency(problem.hard_deadline_s)[users], "objective": "max"}
    )
    costs, held = ServerCosts(part), held_models(part)

    def late(gap: float, time_limit_s: float | None) -> Late:
        closed = close_parties(
            PlacementPricing(costs, held), PlacementProof(part, costs, held), gap=gap, time_limit_s=time_limit_s,
            make=PlacementEngine,
        )  # fmt: skip
        return Late(closed.objective, closed.bound, closed.choice, closed.x)

    return limits_kept(late, deadline)


def _not_together(problem: PlacementProblem) -> Infeasible:
    """The error for limits that cannot be kept together."""
    until = time.monotonic() + _PATIENCE_S
    limited = [k for k in range(problem.users) if np.isfinite(problem.hard_deadline_s[k])]
    core = smallest_conflict(
        limited, lambda users: time.monotonic() <= until and _kept(problem, users, until).ruled_out
    )
    return limits_not_kept(problem, core)
