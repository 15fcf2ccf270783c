"""Simulating a trace: from a scenario or from arrays, under a policy, with the clairvoyant bounds beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.online.clairvoyant import largest_flow_bound_s, mean_flow_bound_s
from megdt_opt.online.policies import Policy, Replanned, policy_named
from megdt_opt.online.result import Simulation
from megdt_opt.online.service import Service
from megdt_opt.online.trace import Trace
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario


def simulate(
    service: Service | Scenario | OptionTable | str | Path,
    trace: Trace,
    policy: str | Policy = "speculative",
    *,
    bounds: bool = True,
) -> Simulation:
    """Serve the requests of a trace, event by event.

    Parameters
    ----------
    service : Service, Scenario, OptionTable, str or Path
        What requests take; of a scenario as `Service.of` reads it.
    trace : Trace
        When they come, and how the links fade.
    policy : str or Policy
        "speculative", "plain", "replan", "greedy", "edge" or "local", or a new policy of yours.
    bounds : bool
        Whether to work out what no policy can beat.

    Returns
    -------
    Simulation
        Every request's times, and the bounds.

    Raises
    ------
    InvalidInput
        Where the trace has other users than the service, or there is no such policy.
    MegdtError
        Where the package simpy, of the extra `sim`, is missing.

    Examples
    --------
    >>> from megdt_opt.online import Service, Trace, simulate
    >>> service = Service(local_s=[4.0, float("inf")], edge_s=[1.0, 0.5], names=("phone", "panel"))
    >>> trace = Trace.poisson([0.5, 0.5], requests=200, seed=1)
    >>> found = simulate(service, trace)
    >>> found.ratio <= 2
    True
    """
    try:
        from megdt_opt.online.world import World
    except ImportError as error:
        raise MegdtError(
            f"simulation needs the package {error.name}: install it with pip install 'megdt-opt[sim]'"
        ) from error
    asked = policy_named(policy)
    served = service if isinstance(service, Service) else Service.of(service)
    if trace.users != served.users:
        expected = f"a trace of {served.users} users, as many as are served"
        raise InvalidInput("trace", f"{trace.users} users", expected, "Draw or read it for these users.")
    begin = time.perf_counter()
    world = World(served, trace, asked)
    world.run()
    run_s = time.perf_counter() - begin
    turns = world.turns
    found = Simulation(
        policy=asked.name or type(asked).__name__,
        service=served,
        trace=trace,
        done_s=np.array([q.done_s for q in world.requests]),
        made_at_edge=np.array([q.made_at_edge for q in world.requests]),
        served_s=np.array([q.edge_s - q.left_s if np.isfinite(q.edge_s) else 0.0 for q in world.requests]),
        computed_s=np.array([q.device_s for q in world.requests]),
        sent_s=np.array([q.sending_s for q in world.requests]),
        turn_request=np.array([turn[0] for turn in turns], dtype=np.int64),
        turn_begin_s=np.array([turn[1] for turn in turns]),
        turn_end_s=np.array([turn[2] for turn in turns]),
        plannings=asked.plannings if isinstance(asked, Replanned) else 0,
        run_s=run_s,
    )
    return with_bounds([found])[0] if bounds else found


def with_bounds(found: Sequence[Simulation]) -> tuple[Simulation, ...]:
    """The simulations of one trace, each with the bounds of that trace, which are worked out once.

    Parameters
    ----------
    found : sequence of Simulation
        Of the same service and trace.

    Raises
    ------
    InvalidInput
        Where they are of different ones.
    """
    if not found:
        return ()
    service, trace = found[0].service, found[0].trace
    if any(one.service is not service or one.trace is not trace for one in found):
        raise InvalidInput("found", "several traces", "simulations of one service and trace", "Ask for each by itself.")
    largest_s = largest_flow_bound_s(service, trace)
    mean_s = mean_flow_bound_s(service, trace, min(one.mean_flow_s for one in found))
    return tuple(replace(one, largest_flow_bound_s=largest_s, mean_flow_bound_s=mean_s) for one in found)
