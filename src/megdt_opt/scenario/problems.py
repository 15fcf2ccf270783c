"""The arrays of an optimisation problem, from the latency terms of every user's options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.checks import NO_AIRTIME_LIMIT_S
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.program.latency import LatencyTerms
from megdt_opt.radio.rates import linear_rate, shannon_rate
from megdt_opt.scenario.scenario import Scenario

Problem = AllocationProblem | PlacementProblem | SharedPrefixProblem
"""What a scenario becomes: the second where it has several edge servers, the third where it has groups."""

Rows = Sequence[Sequence[LatencyTerms | None]]
"""Terms of every user's options, (K, O); None where there are none."""


def law_of(scenario: Scenario) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Efficiencies [bit/s/Hz] or SNR-bandwidth products [Hz] of downlink and uplink, each (K, E)."""
    found = scenario.snr_products_hz() if scenario.channel.law == "shannon" else scenario.efficiencies()
    down, up = (law.reshape(len(scenario.users), -1) for law in found)
    return down, up


def unlimited(
    scenario: Scenario, terms: Rows, possible: NDArray[np.bool_], servers: Sequence[int | None]
) -> AllocationProblem | PlacementProblem:
    """The problem without the users' own limits.

    Parameters
    ----------
    scenario : Scenario
    terms : sequence of sequence of LatencyTerms, (K, O)
    possible : array of bool, (K, O)
        Options that were timed, yield the picture and can be reached.
    servers : sequence of int, (O,)
        Edge server of each option among the scenario's sites; None where none takes part.
    """

    def array(read: Callable[[LatencyTerms], float]) -> NDArray[np.float64]:
        return np.array([[0.0 if found is None else read(found) for found in row] for row in terms])

    sites, users = scenario.sites, len(scenario.users)
    branch = array(lambda t: t.device_branch_s)
    down, up = law_of(scenario)
    tables: dict[str, Any] = {
        "fixed_s": array(lambda t: t.fixed_s),
        "device_branch_s": branch if branch.any() else None,
        "downlink_bit": array(lambda t: t.downlink_bit),
        "uplink_bit": array(lambda t: t.uplink_bit),
        "edge_work_s": array(lambda t: t.edge_work_s),
        "allowed": possible,
        "weight": scenario.weights,
        "edge_share_max": np.ones(users),
        "objective": scenario.objective,
    }
    kind = "snr_hz" if scenario.channel.law == "shannon" else "efficiency"
    if len(sites) == 1:
        (site,) = sites
        tables |= {f"downlink_{kind}": down[:, 0], f"uplink_{kind}": up[:, 0]}
        tables |= {"downlink_hz": site.downlink_hz, "uplink_hz": site.uplink_hz, "edge_capacity": site.edge.servers}
        # what "missed" counts is no limit that a baseline could waive
        late = None if scenario.objective_is_time else scenario.deadlines_s
        return AllocationProblem(impossible=~possible, max_weight=scenario.max_weight, deadline_s=late, **tables)
    tables |= {f"downlink_{kind}": down, f"uplink_{kind}": up}
    return PlacementProblem(
        option_server=np.tile([NO_SERVER if e is None else e for e in servers], (users, 1)),
        downlink_hz=np.array([site.downlink_hz for site in sites]),
        uplink_hz=np.array([site.uplink_hz for site in sites]),
        edge_capacity=np.array([site.edge.servers for site in sites]),
        **tables,
    )


def limited(
    problem: AllocationProblem | PlacementProblem,
    scenario: Scenario,
    allowed: NDArray[np.bool_],
    airtime_s: NDArray[np.float64],
) -> AllocationProblem | PlacementProblem:
    """The problem with the users' own limits.

    Parameters
    ----------
    problem : AllocationProblem or PlacementProblem
        Without them.
    scenario : Scenario
    allowed : array of bool, (K, O)
        Options that no limit closes.
    airtime_s : array, (K, O)
        Longest time that the energy limit leaves for sending; infinite where there is none [s].
    """
    return replace(
        problem,
        allowed=allowed,
        deadline_s=scenario.deadlines_s if any(user.deadline_s for user in scenario.users) else None,
        uplink_airtime_max_s=np.minimum(airtime_s, NO_AIRTIME_LIMIT_S) if np.isfinite(airtime_s).any() else None,
    )


def rate_of(problem: Problem, side: str, user: int, option: int, band_hz: NDArray[np.float64]) -> float:
    """Rate of a user on its band, of bands (K,) [Hz], with one of its options [bit/s]; 0 without an edge.

    `side` is "downlink" or "uplink".
    """
    if not isinstance(problem, PlacementProblem):
        return float(problem.rate(side, band_hz)[user])
    server = int(problem.option_server[user, option])
    if server == NO_SERVER:
        return 0.0
    law = linear_rate if problem.linear else shannon_rate
    return float(law(band_hz[user], problem.law(side)[user, server]))
