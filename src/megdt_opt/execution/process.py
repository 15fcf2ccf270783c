"""The processes of a cluster: start, health, end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from megdt_opt.errors import ExecutionTimeout, PeerLost
from megdt_opt.execution.credentials import Identity
from megdt_opt.execution.fork_server import SINGLE, of_this_process
from megdt_opt.execution.remote import RemoteActor
from megdt_opt.execution.rpc import Peer, error_from_plain
from megdt_opt.execution.world import Place
from megdt_opt.models.planned import PlannedModel
from megdt_opt.program.registry import loaded_plugins


def actor_process(
    name: str, model: str | PlannedModel, identities: Mapping[str, Identity], coordinator: Identity, place: Place
) -> ActorProcess | RemoteActor:
    """An actor at its place: a process that is started there, or one that serves already."""
    if place.serving:
        return RemoteActor(name, model, coordinator, place.serving)
    return ActorProcess(name, model, identities[name], coordinator, place)


def _interpreter(command: Sequence[str]) -> subprocess.Popen[str]:
    """A fresh interpreter behind a command line of its world: what is forked cannot be moved to another namespace."""
    return subprocess.Popen(
        [*command, sys.executable, "-P", "-m", "megdt_opt.execution.worker", *loaded_plugins()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        process_group=0,  # Ctrl-C is for the coordinator, which ends its processes itself
        env={**os.environ, **SINGLE, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


class ActorProcess:
    """One actor's process.

    Parameters
    ----------
    name : str
        Name of the actor.
    model : str or PlannedModel
        Import path of its model, or the model as it was planned.
    identity : Identity
        How it proves itself.
    coordinator : Identity
        How this process does.
    place : Place
        Where it lives.
    """

    def __init__(
        self, name: str, model: str | PlannedModel, identity: Identity, coordinator: Identity, place: Place
    ) -> None:
        self.name = name
        self.address = ""
        self._coordinator = coordinator
        self._process = _interpreter(place.command) if place.command else of_this_process().start(loaded_plugins())
        named = model if isinstance(model, str) else model.to_dict()
        config = {"actor": name, "model": named, "identity": identity.to_dict(), "path": sys.path}
        config |= {"control": place.control, "payload": place.payload}
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(config) + "\n")
            self._process.stdin.flush()
        self._first_line: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs."""
        return self._process.poll()

    def connect(self, deadline_s: float) -> Peer:
        """Connection to the process once it serves, until a time of the monotonic clock [s].

        Raises
        ------
        PeerLost, ExecutionTimeout, WeightsError, ExecutionError
            If it does not come up.
        """
        try:
            line = self._first_line.get(timeout=max(0.0, deadline_s - time.monotonic()))
        except queue.Empty:
            raise ExecutionTimeout(
                f"the process of {self.name} was not ready in time: the machine may be busy, or the model large. "
                "Give it longer (--start-timeout, start_timeout_s)"
            ) from None
        if not line:
            self._process.wait(5)
            raise PeerLost(f"the process of {self.name} ended while it started (exit code {self.exit_code})")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise error_from_plain(reply["error"])
        self.address = str(reply["payload"])
        return Peer(self.name, str(reply["control"]), self._coordinator)

    def end(self, patience_s: float = 2.0) -> None:
        """End the process: by closing its input, then by force."""
        self.dismiss()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            with contextlib.suppress(OSError):
                self._process.stdout.close()

    def dismiss(self) -> None:
        """Tell the process to end, without waiting for it."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def strike(self) -> None:
        """End the process by force, without waiting for it."""
        self._process.kill()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self.end()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            self._first_line.put(self._process.stdout.readline())
