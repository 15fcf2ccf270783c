"""Who calls an actor, and what each role may ask of it."""

from __future__ import annotations

from dataclasses import dataclass

from megdt_opt.errors import NotAuthorised
from megdt_opt.text_enum import TextEnum

CONTROL = (
    "prepare", "start", "wait", "change", "results", "abort", "measure", "ping", "clock", "probe", "restart", "signal",
    "transfer",
)  # fmt: skip
"""Verbs with one message and one reply."""

PAYLOAD = "payload"
"""The verb that brings the payload of a stage."""

ECHO = "echo"
"""The verb whose bytes are counted, stamped and dropped."""


class Role(TextEnum):
    """What a caller is."""

    COORDINATOR = "coordinator"
    ACTOR = "actor"


ALLOWED = {
    Role.COORDINATOR: frozenset(CONTROL) - {"signal"} | {ECHO},
    Role.ACTOR: frozenset({"signal", PAYLOAD, ECHO}),
}
"""The verbs of each role."""


@dataclass(frozen=True)
class Caller:
    """Who has proved itself.

    Parameters
    ----------
    role : Role
    name : str
        Name of the actor or of the coordinator.
    serial : int
        Serial number of its certificate; 0 where it has none.
    """

    role: Role
    name: str
    serial: int = 0

    def __str__(self) -> str:
        return f"{self.role} {self.name}"

    def require(self, verb: str) -> None:
        """Raise NotAuthorised where the role may not ask for this."""
        if verb not in ALLOWED[self.role]:
            raise NotAuthorised(
                f"{self} may not ask for {verb!r}: its role has {', '.join(sorted(ALLOWED[self.role]))}"
            )
