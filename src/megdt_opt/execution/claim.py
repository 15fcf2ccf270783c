"""That an actor is at work for a coordinator, and for how long it waits for the next sign of it."""

from __future__ import annotations

import time

from megdt_opt.errors import MalformedMessage
from megdt_opt.execution.callers import Caller

LEASE_S = 10.0
"""A run is given up where its coordinator is not heard of for this much longer than its patience with actors [s]."""

LONGEST_LEASE_S = 3600.0
"""For this long at most a run that was prepared waits for its start [s]."""


class Claim:
    """That an actor is at work for a run, until a time that its coordinator moves on whenever it is heard of."""

    def __init__(self, caller: Caller, run: str) -> None:
        self.caller = caller
        self.run = run
        self.end_s = 0.0

    @property
    def holds(self) -> bool:
        """Whether the run goes on."""
        return time.monotonic() < self.end_s

    @property
    def words(self) -> str:
        """What stands in another's way."""
        if self.holds:
            return f"a run of {self.caller} is in progress"
        return "the run was prepared here before, and has ended"

    def renew(self, lasts_s: float) -> None:
        """Hold for this long from now on [s]."""
        if not 0 < lasts_s <= LONGEST_LEASE_S:
            raise MalformedMessage(f"lease_s: above 0 and at most {LONGEST_LEASE_S:g} s were due")
        self.end_s = time.monotonic() + lasts_s

    def end(self) -> None:
        """Hold no longer."""
        self.end_s = 0.0
