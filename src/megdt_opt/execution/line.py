"""Turns at an edge server: whole chains, one after another, in the order that was planned."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from megdt_opt.execution.clock import Stopped
from megdt_opt.execution.run_state import Walk
from megdt_opt.program.stages import Compute

POLL_S = 0.1
"""How often a chain that waits looks whether it was given up [s]."""


class Line:
    """Who is served when at one actor. A chain that comes early waits until those before it have been served.

    Parameters
    ----------
    actor : str
        Whose line it is.
    walks : iterable of Walk
        All programs; those whose run has a turn, and that compute here, stand in the line.

    Examples
    --------
    >>> from megdt_opt.execution.line import Line
    >>> Line("edge", []).order
    ()
    """

    def __init__(self, actor: str, walks: Iterable[Walk]) -> None:
        own = {}
        for walk in walks:
            here = [n.index for n in walk.nodes if isinstance(n.leaf, Compute) and n.actor == actor]
            if walk.run.turn is not None and here:
                own[walk.run.name] = walk.run.turn, min(here), max(here)
        self.order = tuple(sorted(own, key=lambda name: own[name][0]))
        """Names of the runs, first to last."""
        self._ends = {name: (first, last) for name, (_, first, last) in own.items()}
        self._news = threading.Condition()
        self._gone: set[str] = set()
        self._free_s = 0.0

    def enter(self, walk: Walk, index: int, ready_s: float) -> float:
        """When a leaf may begin that is ready at a time of the monotonic clock [s]: not before those ahead are served.

        Raises
        ------
        Stopped
            If the leaf is given up meanwhile.
        """
        name = walk.run.name
        if name not in self._ends or index != self._ends[name][0]:
            return ready_s
        ahead = set(self.order[: self.order.index(name)])
        with self._news:
            while not ahead <= self._gone:
                self._news.wait(POLL_S)
                if walk.stops[index].is_set():
                    raise Stopped
            return max(ready_s, self._free_s)

    def leave(self, walk: Walk, index: int, due_s: float) -> None:
        """A leaf has ended, at a time of the monotonic clock [s]; after the last of a turn the next one may begin."""
        name = walk.run.name
        if name in self._ends and index == self._ends[name][1]:
            self._serve(name, due_s)

    def give_up(self, walk: Walk, indices: Iterable[int]) -> None:
        """Leaves of a program will not end: if one is of its turn, the next chain does not wait for it."""
        name = walk.run.name
        first, last = self._ends.get(name, (1, 0))
        if any(first <= index <= last for index in indices):
            self._serve(name, time.monotonic())

    def _serve(self, name: str, due_s: float) -> None:
        with self._news:
            if name not in self._gone:
                self._gone.add(name)
                self._free_s = max(self._free_s, due_s)
                self._news.notify_all()
