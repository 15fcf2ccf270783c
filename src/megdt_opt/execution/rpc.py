"""Calls between the processes: gRPC with raw bytes, JSON for control, no generated code."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import grpc

from megdt_opt import errors
from megdt_opt.errors import ExecutionError, ExecutionTimeout, MalformedMessage, PeerLost
from megdt_opt.execution.clock import Stopped
from megdt_opt.execution.messages import decode as decode
from megdt_opt.execution.messages import encode as encode

SERVICE = "megdt_opt.Actor"
CONTROL = ("prepare", "start", "wait", "change", "results", "abort", "measure", "ping", "signal")
PAYLOAD = "payload"

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),  # the peers are on this machine
    ("grpc.enable_retries", 0),  # a lost peer is reported, not hidden
    ("grpc.so_reuseport", 0),
]


def error_to_plain(error: BaseException) -> dict[str, Any]:
    """An error as the reply that carries it."""
    if isinstance(error, errors.MegdtError):
        return {"error": {"kind": type(error).__name__, "message": str(error)}}
    return {"error": {"kind": "ExecutionError", "message": f"{type(error).__name__}: {error}"}}


def error_from_plain(data: Mapping[str, Any]) -> ExecutionError | errors.WeightsError:
    """The error that a reply carries; kinds that cannot cross a process become `ExecutionError`."""
    kinds: dict[str, type[ExecutionError] | type[errors.WeightsError]] = {
        "PeerLost": PeerLost,
        "ExecutionTimeout": ExecutionTimeout,
        "MalformedMessage": MalformedMessage,
        "WeightsError": errors.WeightsError,
    }
    return kinds.get(str(data.get("kind")), ExecutionError)(str(data.get("message")))


class Peer:
    """Another actor's process.

    Parameters
    ----------
    name : str
        Name of the actor.
    address : str
        "host:port" of its server.
    token : str
        Secret of the cluster; a server refuses calls without it.
    """

    def __init__(self, name: str, address: str, token: str) -> None:
        self.name = name
        self.address = address
        self._token = token
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._control: dict[str, Any] = {m: self._channel.unary_unary(f"/{SERVICE}/{m}") for m in CONTROL}
        self._payload: Any = self._channel.stream_unary(f"/{SERVICE}/{PAYLOAD}")

    def begin(self, method: str, message: Mapping[str, Any], timeout_s: float) -> Any:
        """Start a control call; give what it returns to `finish`."""
        return self._control[method].future(encode({**message, "token": self._token}), timeout=timeout_s)

    def finish(self, call: Any) -> dict[str, Any]:
        """Reply of a call that `begin` started.

        Raises
        ------
        PeerLost
            If the process has gone.
        ExecutionTimeout
            If it did not answer in time.
        ExecutionError
            What the actor raised.
        """
        try:
            reply = decode(call.result())
        except grpc.FutureCancelledError as error:
            raise PeerLost(f"{self.name}: the call was cancelled") from error
        except grpc.RpcError as error:
            raise self._failure(error) from error
        if "error" in reply:
            raise error_from_plain(reply["error"])
        return reply

    def size(self, message: Mapping[str, Any]) -> int:
        """Bytes of a control message as it is sent, and of an empty reply [byte]."""
        return len(encode({**message, "token": self._token})) + len(encode({}))

    def call(self, method: str, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """A control call and its reply; raises as `finish` does."""
        return self.finish(self.begin(method, message, timeout_s))

    def open(self, envelope: Mapping[str, Any], timeout_s: float) -> PayloadCall:
        """Open the stream of a payload that will be sent later."""
        return PayloadCall(self, self._payload, encode({**envelope, "token": self._token}), timeout_s)

    def warm_up(self) -> None:
        """Send payloads that the receiver drops: the first ones on a connection are slow."""
        for _ in range(3):
            self.open({"warm": True}, 10.0).send({}, iter((bytes(4096), bytes(4096))), threading.Event())

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _failure(self, error: grpc.RpcError) -> ExecutionError:
        code = error.code() if isinstance(error, grpc.Call) else None
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ExecutionTimeout(f"{self.name} did not answer in time")
        name = code.name if code is not None else type(error).__name__
        return PeerLost(f"{self.name} closed its connection or ended ({name})")


class PayloadCall:
    """One payload on its way to a peer.

    The stream is opened before the payload is there, because opening takes longer than a short
    payload on a fast link. Made by `Peer.open`.
    """

    def __init__(self, peer: Peer, stream: Any, envelope: bytes, timeout_s: float) -> None:
        self._peer = peer
        self._envelope = envelope
        self._work: queue.SimpleQueue[tuple[bytes, Iterator[bytes]] | None] = queue.SimpleQueue()
        self._call: Any = stream.future(self._messages(), timeout=timeout_s)

    def send(self, header: Mapping[str, Any], pieces: Iterator[bytes], stop: threading.Event) -> dict[str, Any]:
        """Send the pieces as they come, after a header; the receiver's stamps, and the bytes around the payload.

        Raises
        ------
        Stopped
            If `stop` is set meanwhile.
        ExecutionError
            As `Peer.finish`.
        """
        head = encode(header)
        self._work.put((head, pieces))
        try:
            reply = self._peer.finish(self._call)
            return {**reply, "around_byte": len(self._envelope) + len(head) + 1 + len(encode(reply))}
        except PeerLost:
            if stop.is_set():
                raise Stopped from None
            raise

    def cancel(self) -> None:
        """Give the payload up: the receiver sees a cancelled call, not a truncated payload."""
        self._call.cancel()
        self._work.put(None)

    def _messages(self) -> Iterator[bytes]:
        yield self._envelope
        work = self._work.get()
        if work is None:
            return
        header, pieces = work
        try:
            yield header + b"\n" + next(pieces, b"")  # one message less for a short payload
            yield from pieces
        except Stopped:
            self._call.cancel()
