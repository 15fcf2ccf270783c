"""The arrays of an optimisation problem, from the latency terms of every user's options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.checks import NO_AIRTIME_LIMIT_S
from megdt_opt.problem.placement_problem import NO_SERVER, PlacementProblem
from megdt_opt.problem.program_problem import ProgramProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.problem.shared_prefix_problem import SharedPrefixProblem
from megdt_opt.program.latency import LatencyTerms, Task
from megdt_opt.radio.rates import linear_rate, shannon_rate
from megdt_opt.scenario.scenario import Scenario

Reserved = AllocationProblem | PlacementProblem | SharedPrefixProblem | ProgramProblem
"""Problems in which every user has a share of each resource."""

OfOptions = Reserved | SequencedEdgeProblem
"""Problems whose users choose among options."""

Problem = Reserved | SequencedEdgeProblem | BatchedEdgeProblem
"""What a scenario becomes: the second where it has several edge servers, the third where it has groups, the fourth
where the program of an option is no chain beside one device branch, the fifth where the edge serves in turns."""

Rows = Sequence[Sequence[LatencyTerms | None]]
"""Terms of every user's options, (K, O); None where there are none."""


def law_of(scenario: Scenario) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Efficiencies [bit/s/Hz] or SNR-bandwidth products [Hz] of downlink and uplink, each (K, E)."""
    found = scenario.snr_products_hz() if scenario.channel.law == "shannon" else scenario.efficiencies()
    down, up = (law.reshape(len(scenario.users), -1) for law in found)
    return down, up


def unlimited(
    scenario: Scenario, terms: Rows, possible: NDArray[np.bool_], servers: Sequence[int | None]
) -> AllocationProblem | PlacementProblem | ProgramProblem:
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
        if any(found is not None and found.tasks and possible[k, o] for k, o, found in _each(terms)):
            return _of_programs(scenario, terms, possible)
        tables |= {f"downlink_{kind}": down[:, 0], f"uplink_{kind}": up[:, 0]}
        tables |= {"downlink_hz": site.downlink_hz, "uplink_hz": site.uplink_hz, "edge_capacity": site.edge.servers}
        # what "missed" counts is no limit that a baseline could waive
        late = None if scenario.objective_is_time else scenario.deadlines_s
        tables |= {"cvar_level": scenario.cvar_level, "cvar_weight": scenario.cvar_weight}
        return AllocationProblem(impossible=~possible, max_weight=scenario.max_weight, deadline_s=late, **tables)
    tables |= {f"downlink_{kind}": down, f"uplink_{kind}": up}
    return PlacementProblem(
        option_server=np.tile([NO_SERVER if e is None else e for e in servers], (users, 1)),
        downlink_hz=np.array([site.downlink_hz for site in sites]),
        uplink_hz=np.array([site.uplink_hz for site in sites]),
        edge_capacity=np.array([site.edge.servers for site in sites]),
        **tables,
    )


def _each(terms: Rows) -> Iterator[tuple[int, int, LatencyTerms | None]]:
    return ((k, o, found) for k, row in enumerate(terms) for o, found in enumerate(row))


def _of_programs(scenario: Scenario, terms: Rows, possible: NDArray[np.bool_]) -> ProgramProblem:
    """The problem where options are graphs of tasks: of the leaves, or of the terms of a chain and its branch."""
    rows = [[() if found is None else found.tasks or _chain(found) for found in row] for row in terms]
    size = max(len(tasks) for row in rows for tasks in row)
    shape = (len(rows), len(rows[0]), size)
    names = ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s")
    tables: dict[str, NDArray[np.float64]] = {name: np.zeros(shape) for name in names}
    before = np.zeros((*shape, size), dtype=bool)
    for k, row in enumerate(rows):
        for o, tasks in enumerate(row):
            for n, task in enumerate(tasks):
                for name in names:
                    tables[name][k, o, n] = getattr(task, name)
                before[k, o, sorted(task.waits_for), n] = True
    (site,) = scenario.sites
    kind = "snr_hz" if scenario.channel.law == "shannon" else "efficiency"
    down, up = law_of(scenario)
    laws: dict[str, Any] = {f"downlink_{kind}": down[:, 0], f"uplink_{kind}": up[:, 0]}
    return ProgramProblem(
        **tables, **laws, before=before, downlink_hz=site.downlink_hz, uplink_hz=site.uplink_hz,
        edge_capacity=site.edge.servers, allowed=possible, weight=scenario.weights,
        edge_share_max=np.ones(len(rows)), objective=scenario.objective,
    )  # fmt: skip


def _chain(terms: LatencyTerms) -> tuple[Task, ...]:
    """The tasks of a chain beside a device branch."""
    first = frozenset({0})
    return (
        Task(fixed_s=terms.fixed_s),
        Task(uplink_bit=terms.uplink_bit, waits_for=first),
        Task(edge_work_s=terms.edge_work_s, waits_for=frozenset({1})),
        Task(downlink_bit=terms.downlink_bit, waits_for=frozenset({2})),
        Task(fixed_s=terms.device_branch_s, waits_for=first),
    )


def limited(
    problem: AllocationProblem | PlacementProblem | ProgramProblem,
    scenario: Scenario,
    allowed: NDArray[np.bool_],
    airtime_s: NDArray[np.float64],
) -> AllocationProblem | PlacementProblem | ProgramProblem:
    """The problem with the users' own limits.

    Parameters
    ----------
    problem : AllocationProblem, PlacementProblem or ProgramProblem
        Without them; of the last, options are closed where users have limits that depend on the shares.
    scenario : Scenario
    allowed : array of bool, (K, O)
        Options that no limit closes.
    airtime_s : array, (K, O)
        Longest time that the energy limit leaves for sending; infinite where there is none [s].
    """
    if isinstance(problem, ProgramProblem):
        return replace(problem, allowed=allowed)
    return replace(
        problem,
        allowed=allowed,
        deadline_s=scenario.deadlines_s if any(user.deadline_s for user in scenario.users) else None,
        uplink_airtime_max_s=np.minimum(airtime_s, NO_AIRTIME_LIMIT_S) if np.isfinite(airtime_s).any() else None,
    )


def rate_of(problem: Reserved, side: str, user: int, option: int, band_hz: NDArray[np.float64]) -> float:
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
