"""An actor that its operator started, here or on another host: found, asked, and left to serve when a run is over."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

from megdt_opt.errors import ExecutionError, ExecutionTimeout, InvalidInput, NotAuthorised
from megdt_opt.execution.credentials import Identity
from megdt_opt.execution.digest import model_digest
from megdt_opt.execution.rpc import Peer
from megdt_opt.models.planned import PlannedModel

ASK_S = 3.0
"""Time that a serving actor has to answer while it is looked for [s]."""


class RemoteActor:
    """One actor that serves already; what `ActorProcess` is for an actor that this process starts.

    Parameters
    ----------
    name : str
        Name of the actor.
    model : str or PlannedModel
        The model that it is to serve; of a path of a class nothing is checked.
    coordinator : Identity
        How this process proves itself.
    address : str
        "host:port" where it serves.
    """

    def __init__(self, name: str, model: str | PlannedModel, coordinator: Identity, address: str) -> None:
        self.name = name
        self.address = address
        self.alive = True
        self.exit_code: int | None = None
        self.pid = 0
        self._model = model
        self._coordinator = coordinator

    def connect(self, deadline_s: float) -> Peer:
        """Connection to the actor once it answers, until a time of the monotonic clock [s].

        Raises
        ------
        NotAuthorised
            If one side does not take the other's certificate.
        ExecutionTimeout
            If it does not answer.
        InvalidInput
            If it serves another model than was planned, or is a device without its user's adapter.
        """
        peer = Peer(self.name, self.address, self._coordinator)
        try:
            facts = self._ping(peer, deadline_s)
            self.pid = int(facts["pid"])
            planned = self._model
            if isinstance(planned, PlannedModel) and facts["model_digest"] != model_digest(planned.spec):
                expected = f"{planned.spec.name!r}, as it was planned"
                remedy = f"Start megdt-opt serve {self.name} with the plan, or with the plan's model."
                raise InvalidInput(f"model that {self.name} serves", facts["model"], expected, remedy)
            if isinstance(planned, PlannedModel) and planned.adapter is not None and not facts["adapter"]:
                expected = "the user's adapter, as it was planned"
                remedy = f"Start megdt-opt serve {self.name} with --plan, on the host that has the adapter's file."
                raise InvalidInput(f"adapter that {self.name} serves", "another one or none", expected, remedy)
        except BaseException:
            peer.close()
            raise
        return peer

    def _ping(self, peer: Peer, deadline_s: float) -> dict[str, Any]:
        while True:
            try:
                return peer.call("ping", {"adapter": getattr(self._model, "adapter_sha256", None)}, ASK_S)
            except NotAuthorised:
                raise
            except ExecutionError as error:
                if time.monotonic() > deadline_s:
                    raise ExecutionTimeout(
                        f"{self.name} does not answer at {self.address} ({error}): start megdt-opt serve "
                        f"{self.name} there, or correct its place in the hosts file"
                    ) from error
            time.sleep(0.1)

    def end(self, patience_s: float = 0.0) -> None:
        """Leave it; it goes on serving."""
        self.alive = False

    def dismiss(self) -> None:
        """Leave it, without a wait."""
        self.alive = False

    strike = dismiss

    def kill(self) -> None:
        """Count it as lost, and have it start itself anew where it can be reached: a computation ends no other way."""
        self.alive = False
        order = threading.Thread(target=self._restart, name=f"restart of {self.name}", daemon=True)
        order.start()
        order.join(1.0)  # one that cannot be reached must not hold the others up

    def _restart(self) -> None:
        peer = Peer(self.name, self.address, self._coordinator)
        with contextlib.suppress(ExecutionError):
            peer.call("restart", {}, ASK_S)
        peer.close()
