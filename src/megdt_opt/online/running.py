"""The clairvoyant optimum of the largest flow time, of the requests that have come so far."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from megdt_opt.bounds.flow import largest_flow


@dataclass(frozen=True)
class Asked:
    """One request as the optimum sees it: arrival [s], and times on the device, before, at and after the edge [s]."""

    arrival_s: float
    local_s: float
    before_s: float
    edge_s: float
    after_s: float

    @property
    def ready_s(self) -> float:
        """When the edge can begin [s]."""
        return self.arrival_s + self.before_s

    @property
    def due_s(self) -> float:
        """Due date at the edge of a level of 0 [s]."""
        return self.arrival_s - self.after_s


class RunningOptimum:
    """D(t): what `bounds.largest_flow` finds for the requests up to now, kept up to date as they come.

    Notes
    -----
    The schedule by due date of those whose devices need longer than D needs no knowledge of what comes, so it runs
    along (a machine with its clock, what is there and what is not there yet). A request that the machine can end by D
    beside the others changes nothing. Otherwise only the requests since the machine was last empty can ask for more: a
    larger D removes some of them and can but empty the machine sooner.
    """

    def __init__(self) -> None:
        self.level_s = 0.0
        self._since: list[Asked] = []  # served by the machine since it was last empty
        self._clear()

    def _clear(self) -> None:
        self._now = 0.0
        self._coming: list[tuple[float, int]] = []
        self._there: list[tuple[float, int]] = []
        self._left: dict[int, float] = {}

    def add(self, asked: Asked) -> float:
        """The optimum with one more request [s], which comes no earlier than those before."""
        if asked.local_s <= self.level_s:
            return self.level_s
        self._run(asked.arrival_s)
        if not self._left:
            self._since = []
        self._insert(asked)
        worst = self._worst()
        if worst > self.level_s:
            self._raise(worst, asked.arrival_s)
        return self.level_s

    def _insert(self, asked: Asked) -> None:
        number = len(self._since)
        self._since.append(asked)
        self._left[number] = asked.edge_s
        heapq.heappush(self._coming, (asked.ready_s, number))

    def _raise(self, worst: float, now_s: float) -> None:
        """Raise the level as far as the requests since the machine was empty ask for."""
        if any(asked.local_s < worst for asked in self._since):
            since = self._since
            found = largest_flow(
                *(np.array([getattr(a, name) for a in since]) for name in ("arrival_s", "edge_s")),
                local_s=np.array([a.local_s for a in since]),
                before_s=np.array([a.before_s for a in since]),
                after_s=np.array([a.after_s for a in since]),
            )
            self.level_s = max(self.level_s, found.objective_s)
            self._clear()
            self._since = []
            for asked in since:
                if asked.local_s > self.level_s:
                    self._run(asked.arrival_s)
                    if not self._left:
                        self._since = []
                    self._insert(asked)
            self._run(now_s)
        else:
            self.level_s = worst

    def _run(self, until_s: float) -> None:
        """Let the machine work up to a time [s]."""
        coming, there, left = self._coming, self._there, self._left
        while coming or there:
            if not there:
                if coming[0][0] > until_s:
                    break
                self._now = max(self._now, coming[0][0])
            while coming and coming[0][0] <= self._now:
                number = heapq.heappop(coming)[1]
                heapq.heappush(there, (self._since[number].due_s, number))
            number = there[0][1]
            stop = min(coming[0][0], until_s) if coming else until_s
            if self._now + left[number] <= stop:
                self._now += left.pop(number)
                heapq.heappop(there)
            else:
                left[number] -= stop - self._now
                self._now = stop
                if stop == until_s:
                    return
        self._now = max(self._now, until_s)

    def _worst(self) -> float:
        """The largest flow time of what the machine has, if nothing more comes [s]."""
        coming, there, left = sorted(self._coming), list(self._there), dict(self._left)
        now, worst, position = self._now, 0.0, 0
        while position < len(coming) or there:
            if not there:
                now = max(now, coming[position][0])
            while position < len(coming) and coming[position][0] <= now:
                number = coming[position][1]
                heapq.heappush(there, (self._since[number].due_s, number))
                position += 1
            number = there[0][1]
            until = now + left[number]
            if position < len(coming) and coming[position][0] < until:
                left[number] = until - coming[position][0]
                now = coming[position][0]
            else:
                heapq.heappop(there)
                now = until
                worst = max(worst, until - self._since[number].due_s)
        return worst
