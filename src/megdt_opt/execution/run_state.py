"""What the stages of a run see of it: clock, options, ways in and out. `Session` is what keeps it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol

from megdt_opt.execution.clock import Ended, Turns
from megdt_opt.execution.graph import Node
from megdt_opt.execution.job import ExecutionOptions, UserRun
from megdt_opt.execution.rpc import PayloadCall
from megdt_opt.execution.serial import Store
from megdt_opt.execution.stage_work import StageWork
from megdt_opt.program.stages import Send


@dataclass
class Walk:
    """Progress of one user's program at one actor."""

    run: UserRun
    nodes: tuple[Node, ...]
    store: Store
    work: StageWork
    ended: dict[int, Ended] = field(default_factory=dict)
    """Leaves that have ended."""


class RunState(Protocol):
    """A run at one actor, as its stages see it."""

    options: ExecutionOptions
    stop: threading.Event
    start_s: float
    """Common start of all users on the monotonic clock [s]."""
    turns: Turns

    @property
    def deadline_s(self) -> float:
        """End of the run's time on the monotonic clock [s]."""

    def outgoing(self, user: str, index: int, receiver: str) -> PayloadCall:
        """The stream that waits for a send's payload."""

    def incoming(self, user: object, index: object) -> tuple[Walk, Send]:
        """The walk and the send stage that a payload is for."""

    def deliver(self, walk: Walk, index: int, items: Store, due_s: float) -> None:
        """Take in a payload that has arrived, due at `due_s` (monotonic clock)."""

    def give_up(self, error: BaseException) -> None:
        """End the run; the first error counts."""
