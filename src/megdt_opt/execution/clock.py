"""Waiting for an absolute time, and taking turns at the processor in order of due time."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

SPIN_S = 0.0003
"""Last part of a wait that is spun [s]: a sleep overshoots by about a tenth of a millisecond."""


class Stopped(Exception):
    """The run was given up while a thread waited."""


def wait_until(due_s: float, stop: threading.Event) -> None:
    """Return at a time of `time.monotonic` [s], at once if it is past.

    Raises
    ------
    Stopped
        If `stop` is set meanwhile.
    """
    left = due_s - time.monotonic()
    if left > SPIN_S and stop.wait(left - SPIN_S):
        raise Stopped
    while time.monotonic() < due_s:
        pass
    if stop.is_set():
        raise Stopped


class Ended(NamedTuple):
    """End of a stage on the monotonic clock.

    Parameters
    ----------
    due_s : float
        End on the actor's schedule, at which its next compute stage of the chain begins [s].
    free_s : float
        When anything else may begin: the same, or the real end where that was late [s].
    """

    due_s: float
    free_s: float


class Turns:
    """A lock that goes to the waiter whose slot ends first.

    One compute at a time runs in a process; the earliest due time first is the order that keeps the
    most slots.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = False
        self._count = itertools.count()
        self._waiting: list[tuple[float, int, threading.Event]] = []

    @contextmanager
    def turn(self, due_s: float, stop: threading.Event) -> Iterator[None]:
        """Hold the processor; `due_s` is the end of the slot on the monotonic clock [s].

        Raises
        ------
        Stopped
            If the run is given up before the turn comes.
        """
        self._acquire(due_s, stop)
        try:
            yield
        finally:
            self._pass_on()

    def _acquire(self, due_s: float, stop: threading.Event) -> None:
        with self._lock:
            if not self._busy:
                self._busy = True
                return
            mine = threading.Event()
            entry = (due_s, next(self._count), mine)
            heapq.heappush(self._waiting, entry)
        while not mine.wait(0.1):
            if stop.is_set():
                with self._lock:
                    if not mine.is_set():
                        self._waiting.remove(entry)
                        heapq.heapify(self._waiting)
                        raise Stopped
                break
        if stop.is_set():
            self._pass_on()
            raise Stopped

    def _pass_on(self) -> None:
        with self._lock:
            if self._waiting:
                heapq.heappop(self._waiting)[2].set()
            else:
                self._busy = False
