"""A request on its way, and what a policy may ask of the system."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol


class Request:
    """One request: what it takes, and how far it is.

    Parameters
    ----------
    number, user : int
        Its place in the trace, and whose it is.
    arrival_s : float
        When it came [s].
    times_s : tuple of float
        On the device; at the edge; nominally from the arrival to the edge and from there to the picture [s].
    speculates : bool
        Whether its device may compute for what the edge may make as well.
    """

    __slots__ = (
        "arrival_s",
        "computation",
        "computed_s",
        "computing_since_s",
        "device_s",
        "done_s",
        "edge_s",
        "left_s",
        "local_s",
        "made_at_edge",
        "number",
        "ready_after_s",
        "ready_s",
        "rest_s",
        "sending_s",
        "sent",
        "speculates",
        "user",
    )

    def __init__(
        self, number: int, user: int, arrival_s: float, times_s: tuple[float, float, float, float], speculates: bool
    ) -> None:
        self.number, self.user, self.arrival_s, self.speculates = number, user, arrival_s, speculates
        self.local_s, self.edge_s, self.ready_after_s, self.rest_s = times_s
        self.left_s = self.edge_s
        self.ready_s = math.nan  # when it is at the edge, once it has been sent
        self.sent = False
        self.computing_since_s = math.nan
        self.computed_s = 0.0  # of local_s, before that
        self.computation = 0
        self.device_s = self.sending_s = 0.0
        self.done_s = math.nan
        self.made_at_edge = False

    @property
    def computing(self) -> bool:
        """Whether its device computes the picture."""
        return not math.isnan(self.computing_since_s)

    @property
    def device_end_s(self) -> float:
        """When its device will have the picture [s]; infinite where it does not compute."""
        return self.computing_since_s + self.local_s - self.computed_s if self.computing else math.inf

    @property
    def done(self) -> bool:
        """Whether its picture is there."""
        return not math.isnan(self.done_s)


class System(Protocol):
    """What a policy sees and may ask for."""

    @property
    def now_s(self) -> float:
        """The time [s]."""
        ...

    def compute(self, request: Request) -> None:
        """Let the device begin, or go on with, the picture."""
        ...

    def halt(self, request: Request) -> None:
        """Let the device pause the picture."""
        ...

    def send(self, request: Request) -> None:
        """Send it to the edge, where it joins the line."""
        ...

    def withdraw(self, request: Request) -> None:
        """Take it out of the edge's line."""
        ...

    def rank_again(self) -> None:
        """Sort the line by the policy's ranks, which have changed."""
        ...

    def active(self) -> Iterable[Request]:
        """Requests whose picture neither is there nor is on its way from the edge, in the order of arrival."""
        ...

    def backlog_s(self) -> float:
        """Work of those at the edge or on their way there [s]."""
        ...

    def at_edge_s(self, request: Request) -> float:
        """When it is or would be at the edge [s]."""
        ...

    def local_left_s(self, request: Request) -> float:
        """What its device would still need [s]."""
        ...
