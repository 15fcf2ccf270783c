"""A send stage: serialise, pace over the link, and the receiving end of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from megdt_opt.errors import ExecutionError, ExecutionTimeout, MalformedMessage, PeerLost
from megdt_opt.execution.clock import Ended, wait_until
from megdt_opt.execution.link import Link
from megdt_opt.execution.messages import ENVELOPE_BYTE, PIECE_BYTE, decode
from megdt_opt.execution.run_state import RunState, Walk
from megdt_opt.execution.serial import most_byte, pack, unpack
from megdt_opt.execution.wire_count import sent_byte
from megdt_opt.program.stages import Send

MESSAGE_BYTE = PIECE_BYTE // 2
"""Payload in one message where the link paces itself [byte]."""


def run_send(
    session: RunState, walk: Walk, leaf: Send, index: int, ready_s: float, pool: ThreadPoolExecutor
) -> tuple[dict[str, Any], Ended]:
    """Execute a send stage at its source.

    The transport has no multicast: each receiver gets a copy, all in the time of one on the air. A receiver that does
    not take its copy is noted, and the others go on; where none does, the stage fails.

    Serialisation happens inside the link's time: the schedule begins at `ready_s` in paced mode, at
    the real start in raw mode. In kernel mode the payload goes to the socket at once, and the link makes it wait.

    Returns
    -------
    row : dict
        Stamps of the stage; it ends when the last receiver has the payload.
    ended : Ended
        When what follows may begin.
    """
    run, stop = walk.run, walk.stops[index]
    wait_until(ready_s, stop)
    start_s = time.monotonic()
    data = pack(walk.store(index), leaf.tensors, leaf.precision)
    serialise_s = time.monotonic() - start_s
    link = Link(
        rate_bit_per_s=run.pace[index],
        propagation_s=run.propagation_s,
        chunk_s=session.options.chunk_s,
    )
    begin_s = ready_s if session.options.mode == "paced" else start_s
    due_s = begin_s + link.duration_s(len(data))
    if due_s > session.deadline_s:
        raise ExecutionTimeout(
            f"{len(data)} byte at {link.rate_bit_per_s:.6g} bit/s end {due_s - session.start_s:.3f} s "
            f"after the start, beyond the deadline of {session.options.timeout_s:.3f} s"
        )
    # a link that is cut says nothing: a payload that takes three times as long as it should is given up
    patience_s = 3 * link.duration_s(len(data)) + session.options.patience_s
    paced, shaped = session.options.mode == "paced", session.options.mode == "kernel"
    header = {"size": len(data), "due_s": 0.0 if shaped else due_s - session.offset_s}
    interface = session.interface(leaf.to[0]) if shaped else ""
    sent_before = sent_byte(interface)

    def to(receiver: str) -> dict[str, Any] | ExecutionError:
        pieces = _whole(data) if shaped else link.pieces(data, begin_s, stop)
        try:
            return session.outgoing(run.name, index, receiver).send(header, pieces, stop, patience_s)
        except ExecutionError as error:
            return error

    others = [pool.submit(to, receiver) for receiver in leaf.to[1:]]
    replies = dict(zip(leaf.to, (to(leaf.to[0]), *(other.result() for other in others)), strict=True))
    errors = {receiver: reply for receiver, reply in replies.items() if isinstance(reply, ExecutionError)}
    stamps = [reply for reply in replies.values() if not isinstance(reply, ExecutionError)]
    if not stamps:
        raise errors[leaf.to[0]]
    for receiver, error in errors.items():
        session.fail(walk, index, error, receiver)
    end_s = max(float(s["end_s"]) for s in stamps) + session.offset_s
    late_s = 0.0 if shaped else end_s - due_s
    overrun_s = late_s if late_s > session.options.slack_s else 0.0
    row = {
        "start_s": start_s - session.start_s,
        "end_s": end_s - session.start_s,
        "waiting_s": start_s - ready_s,
        "serialise_s": serialise_s + max(float(s["unpack_s"]) for s in stamps),
        "payload_byte": len(data),
        "wire_byte": sent_byte(interface) - sent_before,
        "copies": len(stamps),
        "signalling_byte": sum(int(s["around_byte"]) for s in stamps),
        "overrun_s": overrun_s,
    }
    free_s = due_s if paced and overrun_s == 0 else end_s
    return row, Ended(free_s, free_s)


def _whole(data: bytes) -> Iterator[bytes]:
    """A payload in as few messages as are taken."""
    return (data[k : k + MESSAGE_BYTE] for k in range(0, len(data), MESSAGE_BYTE))


def receive(session: RunState, walk: Walk, index: int, stream: Iterator[bytes]) -> dict[str, Any]:
    """Take in a payload at its destination: collect, check, hold until it is due, hand over.

    Raises
    ------
    MalformedMessage
        If it is not the payload of the stage that it names, which fails with it.
    ExecutionError
        If the stage has its payload already.
    """
    leaf = walk.nodes[index].leaf
    assert isinstance(leaf, Send)
    label = f"{walk.run.who(index)}, {leaf.label}"
    try:
        due_s, data = _collect(stream, most_byte(leaf.tensors, leaf.precision, session.model.spec.image_shape))
        due_s += session.offset_s
        begin = time.monotonic()
        if session.options.mode == "kernel":
            due_s = begin + walk.run.propagation_s  # the link has no delay of its own
        items = unpack(data, leaf.tensors, leaf.precision)
        unpack_s = time.monotonic() - begin
    except ExecutionError as error:
        session.fail(walk, index, error, session.actor)
        raise type(error)(f"{label}: {error}") from error
    wait_until(due_s, walk.stops[index])
    end_s = time.monotonic()
    on_time = session.options.mode == "paced" and end_s - due_s <= session.options.slack_s
    session.deliver(walk, index, items, due_s if on_time else end_s)
    return {"end_s": end_s - session.offset_s, "unpack_s": unpack_s}


def _collect(stream: Iterator[bytes], most: int) -> tuple[float, bytes]:
    """When a payload is due (clock of the coordinator) [s], and its bytes, at most `most` of them."""
    data = bytearray()
    try:
        first = next(stream, None)
        if first is None:  # the stream is opened ahead of its payload; the run was given up in between
            raise PeerLost("the sender closed a payload's stream before it sent anything")
        header, _, piece = first.partition(b"\n")
        size, due_s = _size_and_due(decode(header, ENVELOPE_BYTE))
        if size > most:
            raise MalformedMessage(f"a payload of at most {most} byte was due, {size} byte were announced")
        data += piece
        for piece in stream:
            data += piece
            if len(data) > size:
                break
    except ExecutionError:
        raise
    except Exception as error:  # grpc raises a bare Exception when the sender goes
        raise PeerLost(f"the sender went after {len(data)} byte") from error
    if len(data) != size:
        came = "more" if len(data) > size else f"only {len(data)} byte"
        raise MalformedMessage(f"{size} byte were announced, {came} came")
    return due_s, bytes(data)


def _size_and_due(header: dict[str, Any]) -> tuple[int, float]:
    size, due_s = header.get("size"), header.get("due_s")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0 or not isinstance(due_s, float):
        raise MalformedMessage(f"a header with size {size!r} byte and due time {due_s!r} s")
    return size, due_s
