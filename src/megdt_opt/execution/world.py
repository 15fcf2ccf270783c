"""Where the processes of a cluster live: how each is launched, what its server binds, what is set before a run.

The rest of the execution does not know which world it runs in, but for the mode of its options: whether slots and links
are paced in user space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from megdt_opt.execution.credentials import Identity, Tokens
from megdt_opt.execution.job import ExecutionOptions, Run


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one actor's process lives.

    Parameters
    ----------
    command : tuple of str
        What stands before the interpreter's own command line.
    control : str
        Address that its server binds for the coordinator; port 0 for any, or "unix:PATH".
    payload : str
        Address that it binds for the other actors, "" where they use the same.
    serving : str
        Address at which it serves already, as its operator started it; "" where the cluster starts it.

    Examples
    --------
    >>> Place().control
    '127.0.0.1:0'
    """

    command: tuple[str, ...] = ()
    control: str = "127.0.0.1:0"
    payload: str = ""
    serving: str = ""


class World(Protocol):
    """What a cluster asks of the place that its processes live in; `open` comes first, `close` always last."""

    def open(self, actors: Sequence[str]) -> None:
        """Make what the actors need before a process starts; called again, it changes nothing."""

    def identities(self, actors: Sequence[str]) -> tuple[Identity, Mapping[str, Identity]]:
        """How the coordinator proves itself, and each actor; asked once, after `open`."""

    def place(self, actor: str) -> Place:
        """Where an actor's process lives."""

    def settle(self, actor: str, pid: int) -> None:
        """A process serves: hold it to what is its own from now on."""

    def fit(self, runs: Sequence[Run], options: ExecutionOptions) -> None:
        """Set links and shares as these runs allocate them."""

    def evidence(self) -> Mapping[str, Any]:
        """What was set, as it was read back, and what has been counted since."""

    def close(self) -> None:
        """Take down all that `open` made, after the processes have ended."""


class LocalWorld:
    """Processes beside the coordinator, on loopback; nothing is set outside the executor.

    Examples
    --------
    >>> LocalWorld().place("phone")
    Place(command=(), control='127.0.0.1:0', payload='', serving='')
    """

    def open(self, actors: Sequence[str]) -> None:
        """Nothing to make."""

    def identities(self, actors: Sequence[str]) -> tuple[Identity, Mapping[str, Identity]]:
        """A token for each, which no other can guess."""
        return Tokens.of_cluster(actors)

    def place(self, actor: str) -> Place:
        """Beside the coordinator."""
        return Place()

    def settle(self, actor: str, pid: int) -> None:
        """Nothing to hold it to."""

    def fit(self, runs: Sequence[Run], options: ExecutionOptions) -> None:
        """Slots and links are paced by the executor itself, from each run."""

    def evidence(self) -> Mapping[str, Any]:
        """Nothing was set."""
        return {}

    def close(self) -> None:
        """Nothing to take down."""
