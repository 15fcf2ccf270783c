"""Messages between actors that are no payload, predicted from a program: how many, and their bytes as they are encoded.

Around each payload go an envelope, a header and the receiver's acknowledgement; an actor that goes on after a stage of
another, and gets nothing from it, is told by a signal. Frames of HTTP/2 and TCP are not counted, nor the coordinator's
calls that set a run up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from megdt_opt.execution.graph import Node, graph
from megdt_opt.execution.messages import encode
from megdt_opt.program.stages import Compute, Send, Stage

RUN = "run-0123456789abcdef"
"""A run's name, of the length that all have."""

_TIME_S = 31415.926535897932
"""A moment of the monotonic clock with as many digits as most have [s]."""

_SHORT_S = 0.00031415926535897932
"""A duration with as many digits as most have [s]."""


@dataclass(frozen=True, kw_only=True)
class Signalling:
    """What actors tell each other besides payloads.

    Parameters
    ----------
    messages : int
        Payloads, each copy counted [1].
    signals : int
        Messages that only say that a stage has ended [1].
    byte : int
        Bytes of signals, and of what goes around payloads [byte].
    """

    messages: int
    signals: int
    byte: int


def told_by(node: Node, nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """Actors that go on after a leaf and do not see its end by themselves."""
    told = {node.actor, *(node.leaf.to if isinstance(node.leaf, Send) else ())}
    later = (other.actor for other in nodes if node.index in other.before)
    return tuple(dict.fromkeys(actor for actor in later if actor not in told))


def predicted_signalling(program: Stage, user: str, send_byte: Callable[[Send], float]) -> Signalling:
    """The signalling of a program; what varies are the digits of times.

    Parameters
    ----------
    program : Stage
        The stage program of a user.
    user : str
        Name of the user, which every message carries.
    send_byte : callable
        Payload of a send stage [byte].
    """
    nodes = graph(program)
    messages = signals = total = 0
    for node in nodes:
        envelope: dict[str, Any] = {"run": RUN, "user": user, "index": node.index}
        if not isinstance(node.leaf, Compute):
            around: tuple[dict[str, Any], ...] = (
                envelope,
                {"size": round(send_byte(node.leaf)), "due_s": _TIME_S},
                {"end_s": _TIME_S, "unpack_s": _SHORT_S},
            )
            total += len(node.leaf.to) * (sum(len(encode(message)) for message in around) + 1)
            messages += len(node.leaf.to)
        told = told_by(node, nodes)
        signal = {**envelope, "due_s": _TIME_S}
        total += len(told) * (len(encode(signal)) + len(encode({})))
        signals += len(told)
    return Signalling(messages=messages, signals=signals, byte=total)
