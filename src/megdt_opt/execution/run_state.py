"""What the stages of a run see of it: clock, options, ways in and out. `Session` is what keeps it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Protocol

from megdt_opt.execution.clock import Ended, Turns
from megdt_opt.execution.graph import Node, last_leaves
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.rpc import PayloadCall
from megdt_opt.execution.serial import Store
from megdt_opt.execution.stage_work import StageWork
from megdt_opt.models.split_model import SplitModel


@dataclass
class Walk:
    """Progress of one program at one actor."""

    run: Run
    nodes: tuple[Node, ...]
    stores: dict[str, Store]
    """Items of each chain."""
    works: dict[str, StageWork]
    """Stages of each chain."""
    ended: dict[int, Ended] = field(default_factory=dict)
    """Leaves that have ended, as far as this actor knows."""
    stops: tuple[threading.Event, ...] = field(init=False)
    """Of each leaf, set when it is given up."""

    ends: frozenset[int] = field(init=False)
    """Last leaves of the users."""

    def __post_init__(self) -> None:
        self.stops = tuple(threading.Event() for _ in self.nodes)
        users = set(self.run.chain) - self.run.shared
        self.ends = frozenset().union(*(last_leaves(self.nodes, self.run.chain, name) for name in users))

    def work(self, index: int) -> StageWork:
        """The compute of the chain that a leaf is of."""
        return self.works[self.run.chain[index]]

    def store(self, index: int) -> Store:
        """Items for a leaf. A chain that goes on from another begins with the latent that this one has made here, and
        with all that it has made of the same device's request."""
        name = self.run.chain[index]
        chain = next(c for c in self.run.chains if c.name == name)
        before = next((c for c in self.run.chains if c.name == chain.goes_on_from), None)
        if before is not None:
            for item, tensors in self.stores[before.name].items():
                if item == "state" or before.device == chain.device:
                    self.stores[name].setdefault(item, tensors)
        return self.stores[name]


class RunState(Protocol):
    """A run at one actor, as its stages see it."""

    actor: str
    model: SplitModel
    options: ExecutionOptions
    start_s: float
    """Common start of all users on the monotonic clock [s]."""
    offset_s: float
    """What this actor's monotonic clock shows more than the coordinator's, by which messages give times [s]."""
    turns: Turns

    @property
    def deadline_s(self) -> float:
        """End of the run's time on the monotonic clock [s]."""

    def interface(self, receiver: str) -> str:
        """Network interface over which a receiver is reached, "" where it is not known."""

    def outgoing(self, user: str, index: int, receiver: str) -> PayloadCall:
        """The stream that waits for a send's payload."""

    def deliver(self, walk: Walk, index: int, items: Store, due_s: float) -> None:
        """Take in a payload that has arrived, due at `due_s` (monotonic clock)."""

    def fail(self, walk: Walk, index: int, error: Exception, receiver: str = "") -> None:
        """Note that a leaf cannot end, or that its end will not be known at a receiver."""
