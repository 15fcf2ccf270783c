"""Who is served where, as requests come: the policy with a guarantee, and those it is measured against."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import ClassVar

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.online.request import Request, System
from megdt_opt.online.running import Asked, RunningOptimum
from megdt_opt.problem import checks
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.solving import solve
from megdt_opt.solving.allocation import Allocation
from megdt_opt.whatif.replan import replan

Rank = tuple[int, float]
"""Place in the edge's line: the least first, a class and a time within it [1, s]."""

MOST_ACTIVE = 20
"""Most requests that are planned again together [1]."""

LEAST_ARRIVALS = 20
"""Fewest arrivals from one planning to the next [1]."""

_GAP = 1e-3
"""Gap to which active users are planned again [1]."""


class Policy:
    """Decides when a request comes; the simulation asks, and carries it out.

    One object serves one simulation. `arrive` calls `system.compute(request)`, `system.send(request)` or both.
    """

    name: ClassVar[str] = ""
    gives_up: ClassVar[bool] = False
    """Whether the edge drops requests that the device will have done no later."""

    def arrive(self, system: System, request: Request) -> None:
        """Decide about a new request."""
        raise NotImplementedError

    def rank(self, request: Request) -> Rank:
        """Where it stands in the line; may grow as time goes by, never shrink."""
        return (0, request.ready_s)


class Speculative(Policy):
    """Every device starts at once; the edge serves by due date those whose devices need longer than D(t), then others.

    D(t) is the clairvoyant optimum of the requests so far. With one edge and constant links no flow time exceeds twice
    the clairvoyant optimum of the whole trace: `bounds.speculation_bound_s` states and proves it.
    """

    name = "speculative"
    gives_up = True

    def __init__(self) -> None:
        self._optimum = RunningOptimum()

    def arrive(self, system: System, request: Request) -> None:
        if np.isinf(request.edge_s):
            system.compute(request)
            return
        level_s = self._optimum.add(_asked(request))
        speculates = request.speculates or request.local_s <= level_s
        if speculates and np.isfinite(request.local_s):
            system.compute(request)
        if request.speculates or request.local_s > level_s:
            system.send(request)

    def rank(self, request: Request) -> Rank:
        filling = request.local_s <= self._optimum.level_s
        return (int(filling), request.arrival_s - request.rest_s)


class Plain(Policy):
    """The same without speculation: the device if it needs no longer than D(t), else the edge, for good."""

    name = "plain"

    def __init__(self) -> None:
        self._optimum = RunningOptimum()

    def arrive(self, system: System, request: Request) -> None:
        local = np.isinf(request.edge_s) or request.local_s <= self._optimum.add(_asked(request))
        (system.compute if local else system.send)(request)

    def rank(self, request: Request) -> Rank:
        return (0, request.arrival_s - request.rest_s)


class AllEdge(Policy):
    """All at the edge in the order in which they get there; on the device what the edge cannot do."""

    name = "edge"

    def arrive(self, system: System, request: Request) -> None:
        (system.compute if np.isinf(request.edge_s) else system.send)(request)


class AllLocal(Policy):
    """All on the devices; at the edge what the device cannot do."""

    name = "local"

    def arrive(self, system: System, request: Request) -> None:
        (system.send if np.isinf(request.local_s) else system.compute)(request)


class Greedy(Policy):
    """Where the request itself is done sooner, with what is at the edge or on its way there before it."""

    name = "greedy"

    def arrive(self, system: System, request: Request) -> None:
        waits_s = max(request.ready_after_s, system.backlog_s())
        at_edge_s = waits_s + request.edge_s + request.rest_s
        (system.send if at_edge_s < request.local_s else system.compute)(request)


class Replanned(Policy):
    """Active requests are planned again together by `replan`, between that the plain policy decides.

    After every `interval` arrivals at most 20 active requests, the longest there first, become the users of an
    allocation problem with what is left of each on its device or at the edge. The plan's edge shares are turned into
    due dates, and the edge serves by due date: it then ends each of them no later than its share would (of what is due
    by any date, serving in this order has done no less than the shares). The search starts from the last plan's prices.

    Parameters
    ----------
    interval : int
        Arrivals between plannings, at least 20 [1].
    objective : str
        "max" or "sum" of the flow times.
    """

    name = "replan"

    def __init__(self, interval: int = LEAST_ARRIVALS, objective: str = "max") -> None:
        remedy = f"Plan again after {LEAST_ARRIVALS} arrivals or more."
        self.interval = checks.count("interval", interval, LEAST_ARRIVALS, remedy)
        checks.choice("objective", objective, ("max", "sum"))
        self.objective = objective
        self.plannings = 0
        self._plain = RunningOptimum()
        self._due: dict[int, float] = {}
        self._last: Allocation | None = None
        self._arrivals = 0

    def arrive(self, system: System, request: Request) -> None:
        if np.isinf(request.edge_s):
            system.compute(request)
        else:
            level_s = self._plain.add(_asked(request))
            self._due[request.number] = request.arrival_s - request.rest_s + level_s
            (system.compute if request.local_s <= level_s else system.send)(request)
        self._arrivals += 1
        if self._arrivals % self.interval == 0:
            self._plan(system)

    def rank(self, request: Request) -> Rank:
        return (0, self._due[request.number])

    def _plan(self, system: System) -> None:
        movable = (q for q in system.active() if np.isfinite(q.edge_s) and q.speculates)
        active = list(islice(movable, MOST_ACTIVE))
        if not active:
            return
        now_s = system.now_s
        shape = (MOST_ACTIVE, 2)  # rows without a request cost nothing, so that prices of one plan fit the next
        fixed_s, work_s, allowed = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
        allowed[:, 0] = True
        current = np.zeros(MOST_ACTIVE, dtype=np.int64)
        for row, q in enumerate(active):
            age_s, coming_s = now_s - q.arrival_s, max(system.at_edge_s(q) - now_s, 0.0)
            allowed[row] = np.isfinite(q.local_s), True
            fixed_s[row] = age_s + system.local_left_s(q) if allowed[row, 0] else 0.0, age_s + coming_s + q.rest_s
            work_s[row, 1] = max(q.left_s, checks.SMALLEST)
            current[row] = int(q.sent)
        none = np.zeros(shape)
        problem = AllocationProblem(
            fixed_s=fixed_s, edge_work_s=work_s, downlink_bit=none, uplink_bit=none, downlink_hz=0.0, uplink_hz=0.0,
            allowed=allowed, objective=self.objective,
        )  # fmt: skip
        if self._last is None:
            self._last = solve(problem, gap=_GAP)
        else:
            self._last = replan(problem, replace(self._last, option=current), gap=_GAP).allocation
        self.plannings += 1
        for row, q in enumerate(active):
            if self._last.option[row] == 0:
                system.withdraw(q)
                system.compute(q)
                continue
            share = float(self._last.edge_share[row])
            self._due[q.number] = max(system.at_edge_s(q), now_s) + q.left_s / share
            system.halt(q)
            system.send(q)
        system.rank_again()


POLICIES: dict[str, type[Policy]] = {
    policy.name: policy for policy in (Speculative, Plain, Replanned, Greedy, AllEdge, AllLocal)
}
"""The policies by name."""


def policy_named(name: str | Policy) -> Policy:
    """A new policy of this name; a policy is itself.

    Raises
    ------
    InvalidInput
        Where there is none of this name.
    """
    if isinstance(name, Policy):
        return name
    if name not in POLICIES:
        raise InvalidInput("policy", name, f"one of {tuple(POLICIES)}", "Choose one of them.")
    return POLICIES[name]()


def _asked(request: Request) -> Asked:
    return Asked(request.arrival_s, request.local_s, request.ready_after_s, request.edge_s, request.rest_s)
