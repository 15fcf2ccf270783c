"""The discrete-event system: devices, links and one edge that serves a line, as events of simpy."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator, Iterable
from typing import Any

import simpy

from megdt_opt.online.links import Links
from megdt_opt.online.policies import Policy, Rank
from megdt_opt.online.request import Request
from megdt_opt.online.service import Service
from megdt_opt.online.trace import Trace


class World:
    """All requests of a trace under a policy; a `System` for the policy.

    Parameters
    ----------
    service : Service
    trace : Trace
    policy : Policy
        A new one.
    """

    def __init__(self, service: Service, trace: Trace, policy: Policy) -> None:
        self.service, self.trace, self.policy = service, trace, policy
        self.requests: list[Request] = []
        self.turns: list[tuple[int, float, float]] = []
        self._links = Links(trace)
        self._environment = simpy.Environment()
        self._times = list(
            zip(
                *(x.tolist() for x in (service.local_s, service.edge_s, service.ready_after_s, service.rest_s)),
                strict=True,
            )
        )
        self._before, self._up, self._down, self._after = (
            x.tolist() for x in (service.before_s, service.uplink_s, service.downlink_s, service.after_s)
        )
        self._line: list[tuple[Rank, int, Request]] = []
        self._open: dict[int, Request] = {}
        self._work_s = 0.0
        self._served: Request | None = None
        self._began_s = 0.0
        self._stopped = False
        self._wake = self._environment.event()

    def run(self) -> None:
        """From the first arrival to the last picture."""
        self._environment.process(self._arrivals())
        self._edge = self._environment.process(self._serve())
        self._environment.run()

    # ---- what a policy sees

    @property
    def now_s(self) -> float:
        """The time [s]."""
        now: float = self._environment.now
        return now

    def active(self) -> Iterable[Request]:
        """Requests whose picture neither is there nor is on its way from the edge."""
        return self._open.values()

    def backlog_s(self) -> float:
        """Work of those at the edge or on their way there [s]."""
        going = 0.0 if self._served is None else self.now_s - self._began_s
        return max(self._work_s - going, 0.0)

    def at_edge_s(self, request: Request) -> float:
        """When it is or would be at the edge [s]."""
        known = not math.isnan(request.ready_s)
        return request.ready_s if known else self.now_s + request.ready_after_s

    def local_left_s(self, request: Request) -> float:
        """What its device would still need [s]."""
        done_s = request.computed_s + (self.now_s - request.computing_since_s if request.computing else 0.0)
        return max(request.local_s - done_s, 0.0)

    # ---- what a policy asks for

    def compute(self, request: Request) -> None:
        """Let the device begin, or go on with, the picture."""
        if request.computing:
            return
        request.computing_since_s = self.now_s
        request.computation += 1
        number = request.computation

        def end(_: Any) -> None:
            if request.computing and request.computation == number:
                self._finish(request, at_edge=False)

        self._after_s(request.local_s - request.computed_s, end)

    def halt(self, request: Request) -> None:
        """Let the device pause the picture."""
        if request.computing:
            spent_s = self.now_s - request.computing_since_s
            request.computed_s += spent_s
            request.device_s += spent_s
            request.computing_since_s = math.nan

    def send(self, request: Request) -> None:
        """Send it to the edge, where it joins the line."""
        if request.sent:
            return
        request.sent = True
        self._work_s += request.left_s
        if not math.isnan(request.ready_s):
            self._join(request)
            return
        user, begin_s = request.user, self.now_s
        done_s = request.local_s - self.local_left_s(request) if request.computed_s or request.computing else 0.0
        own_s = max(self._before[user] - done_s, 0.0)
        if not request.computing:
            request.device_s += own_s
            request.computed_s += own_s
        sent_s = self._links.end(user, begin_s + own_s, self._up[user])
        request.sending_s += sent_s - begin_s - own_s
        request.ready_s = sent_s + self.service.propagation_s * (self._up[user] > 0)
        self._after_s(request.ready_s - begin_s, lambda _: self._join(request))

    def withdraw(self, request: Request) -> None:
        """Take it out of the edge's line."""
        if not request.sent:
            return
        request.sent = False
        if request is self._served:
            self._stop()
        self._work_s -= request.left_s

    def rank_again(self) -> None:
        """Sort the line by the policy's ranks, which have changed."""
        self._line = [
            (self.policy.rank(q), number, q) for _, number, q in self._line if q.sent and number in self._open
        ]
        heapq.heapify(self._line)
        self._reorder()

    # ---- events

    def _after_s(self, delay_s: float, act: Callable[[Any], None]) -> None:
        timeout = self._environment.timeout(max(delay_s, 0.0))
        timeout.callbacks.append(act)

    def _arrivals(self) -> Generator[simpy.Event, None, None]:
        rows = zip(self.trace.arrival_s.tolist(), self.trace.user.tolist(), strict=True)
        for number, (arrival_s, user) in enumerate(rows):
            yield self._environment.timeout(arrival_s - self.now_s)
            # the event's time is a sum of delays, so it may differ from the arrival in its last bit
            request = Request(number, user, arrival_s, self._times[user], bool(self.service.speculates[user]))
            self.requests.append(request)
            self._open[number] = request
            self.policy.arrive(self, request)
            self._reorder()

    def _serve(self) -> Generator[simpy.Event, None, None]:
        while True:
            request = self._next()
            if request is None:
                yield self._wake
                continue
            self._served, self._began_s = request, self.now_s
            ended = False
            try:
                yield self._environment.timeout(request.left_s)
                ended = True
            except simpy.Interrupt:
                self._stopped = False
            self._served = None
            self._account(request, ended)

    def _account(self, request: Request, ended: bool) -> None:
        """A turn at the edge is over."""
        used_s = request.left_s if ended else min(self.now_s - self._began_s, request.left_s)
        if self.now_s > self._began_s:
            self.turns.append((request.number, self._began_s, self.now_s))
        request.left_s -= used_s
        if request.sent:
            self._work_s -= used_s
        if ended or request.left_s <= 0:
            self._open.pop(request.number, None)
            self._return(request)
        elif request.sent and not request.done:
            heapq.heappush(self._line, (self.policy.rank(request), request.number, request))

    def _return(self, request: Request) -> None:
        """The edge's result goes down; the device makes the picture of it, or has its own before."""
        user = request.user
        down_s = self._links.end(user, self.now_s, self._down[user]) + self.service.propagation_s * (
            self._down[user] > 0
        )
        picture_s = down_s + self._after[user]
        if request.done or request.device_end_s <= picture_s:
            return
        if not request.computing:
            request.device_s += self._after[user]

        def show(_: Any) -> None:
            if not request.done:
                self._finish(request, at_edge=True)

        self._after_s(picture_s - self.now_s, show)

    def _finish(self, request: Request, *, at_edge: bool) -> None:
        self.halt(request)
        request.done_s, request.made_at_edge = self.now_s, at_edge
        self._open.pop(request.number, None)
        if request.sent and request.left_s > 0:
            self.withdraw(request)

    # ---- the line

    def _join(self, request: Request) -> None:
        if request.sent and not request.done:
            heapq.heappush(self._line, (self.policy.rank(request), request.number, request))
            self._reorder()

    def _waits(self, request: Request) -> bool:
        """Whether it is to be served still; gives it up where its device will have the picture no later."""
        if not request.sent or request.number not in self._open:
            return False
        if self.policy.gives_up and self.now_s + request.left_s + request.rest_s >= request.device_end_s:
            self.withdraw(request)
            return False
        return True

    def _head(self) -> Rank | None:
        """Rank of the first in the line; those in front of it who need nothing any more are taken out."""
        while self._line:
            rank, number, request = self._line[0]
            if request is self._served or not self._waits(request):
                heapq.heappop(self._line)
                continue
            now = self.policy.rank(request)
            if now == rank:
                return rank
            heapq.heapreplace(self._line, (now, number, request))
        return None

    def _next(self) -> Request | None:
        if self._head() is None:
            self._wake = self._environment.event()
            return None
        return heapq.heappop(self._line)[2]

    def _reorder(self) -> None:
        """Let the edge turn to the first in the line."""
        head = self._head()
        if self._served is None:
            if head is not None and not self._wake.triggered:
                self._wake.succeed()
        elif head is not None and head < self.policy.rank(self._served):
            self._stop()

    def _stop(self) -> None:
        """Interrupt the edge's turn, once."""
        if not self._stopped:
            self._stopped = True
            self._edge.interrupt()
