"""Calls between the processes: gRPC with raw bytes, JSON for control, no generated code."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from megdt_opt import errors
from megdt_opt.errors import ExecutionError, ExecutionTimeout, MalformedMessage, NotAuthorised, PeerLost
from megdt_opt.execution.callers import CONTROL, ECHO, PAYLOAD
from megdt_opt.execution.clock import Stopped
from megdt_opt.execution.credentials import Identity, grpc
from megdt_opt.execution.messages import RUN_BYTE, limit_byte
from megdt_opt.execution.messages import decode as decode
from megdt_opt.execution.messages import encode as encode

SERVICE = "megdt_opt.Actor"

OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", RUN_BYTE),
    ("grpc.max_send_message_length", RUN_BYTE),
    ("grpc.enable_http_proxy", 0),  # the peers are named by their addresses
    ("grpc.enable_retries", 0),  # a lost peer is reported, not hidden
    ("grpc.so_reuseport", 0),
    ("grpc.use_local_subchannel_pool", 1),  # a new connection is one: it shows the key that there is now
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_connection_age_ms", 3_600_000),
]
"""Of both sides. A connection older than an hour is made anew once its calls have ended."""


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
        "NotAuthorised": NotAuthorised,
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
    identity : Identity
        How this process proves itself, and knows the other.
    """

    def __init__(self, name: str, address: str, identity: Identity) -> None:
        self.name = name
        self.address = address
        self._identity = identity
        self._lock = threading.Lock()
        self._version: object = None
        self._channels: list[grpc.Channel] = []

    def begin(self, method: str, message: Mapping[str, Any], timeout_s: float) -> Any:
        """Start a control call; give what it returns to `finish`.

        Raises
        ------
        MalformedMessage
            If the message is larger than an actor takes.
        """
        data = encode(message)
        if len(data) > limit_byte(method):
            raise MalformedMessage(
                f"{method}: a message of {len(data)} byte, where {self.name} takes at most {limit_byte(method)} byte; "
                "execute fewer users at once"
            )
        try:
            self._connect()
        except NotAuthorised as error:
            return _Refused(error)
        return self._control[method].future(data, timeout=timeout_s, metadata=self._identity.metadata)

    def finish(self, call: Any, patience_s: float | None = None) -> dict[str, Any]:
        """Reply of a call that `begin` started, waited for no longer than this, if stated [s].

        Raises
        ------
        PeerLost
            If the process has gone, or the reply did not come while it was waited for.
        ExecutionTimeout
            If it did not answer in time.
        NotAuthorised
            If one side does not take the other's credentials.
        ExecutionError
            What the actor raised.
        """
        try:
            reply = decode(call.result(patience_s))
        except grpc.FutureTimeoutError as error:
            call.cancel()
            raise PeerLost(
                f"{self.name} took no payload for {patience_s:.3g} s: its link or its process is gone"
            ) from error
        except grpc.FutureCancelledError as error:
            raise PeerLost(f"{self.name}: the call was cancelled") from error
        except grpc.RpcError as error:
            raise self._failure(error) from error
        if "error" in reply:
            raise error_from_plain(reply["error"])
        return reply

    def call(self, method: str, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """A control call and its reply; raises as `finish` does."""
        return self.finish(self.begin(method, message, timeout_s))

    def open(self, envelope: Mapping[str, Any], timeout_s: float) -> PayloadCall:
        """Open the stream of a payload that will be sent later."""
        self._connect()
        return PayloadCall(self, self._payload, encode(envelope), timeout_s)

    def echo(self, pieces: Iterator[bytes], timeout_s: float) -> dict[str, Any]:
        """Send bytes that the receiver counts, stamps and drops; what it says of them. Raises as `finish` does."""
        self._connect()
        return self.finish(self._echo.future(pieces, timeout=timeout_s, metadata=self._identity.metadata))

    def warm_up(self, times: int = 3, size_byte: int = 4096) -> None:
        """Send bytes that the receiver drops: the first ones on a connection are slow."""
        for _ in range(times):
            self.echo(iter((bytes(size_byte), bytes(size_byte))), 10.0)

    @property
    def metadata(self) -> Any:
        """What each call carries."""
        return self._identity.metadata

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            for channel in self._channels:
                channel.close()
            self._channels, self._version = [], None

    def _connect(self) -> None:
        """Have a connection that shows the key that this process has now; calls on an earlier one go on."""
        with self._lock:
            version = (self._identity.version(self.name),)
            if self._channels and version == self._version:
                return
            channel = self._identity.channel(self.name, self.address, OPTIONS)
            self._channels.append(channel)
            self._version = version
            self._control: dict[str, Any] = {m: channel.unary_unary(f"/{SERVICE}/{m}") for m in CONTROL}
            self._payload: Any = channel.stream_unary(f"/{SERVICE}/{PAYLOAD}")
            self._echo: Any = channel.stream_unary(f"/{SERVICE}/{ECHO}")

    def _failure(self, error: grpc.RpcError) -> ExecutionError:
        code = error.code() if isinstance(error, grpc.Call) else None
        details = str(error.details()) if isinstance(error, grpc.Call) else ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ExecutionTimeout(f"{self.name} did not answer in time")
        if code is grpc.StatusCode.UNAUTHENTICATED:
            return NotAuthorised(f"{self.name} refused the call: {details}")
        if any(word in details.lower() for word in ("handshake", "certificate", "peer name", "hostname")):
            return NotAuthorised(
                f"{self.name} at {self.address}: one side refused the other's certificate ({details[:200]}); "
                "compare the hosts files and ca.pem of both, and when their keys expire"
            )
        name = code.name if code is not None else type(error).__name__
        return PeerLost(f"{self.name} closed its connection or ended ({name})")


class _Refused:
    """A call that this process cannot make, as its own certificate has expired."""

    def __init__(self, error: NotAuthorised) -> None:
        self._error = error

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> bytes:
        raise self._error


class PayloadCall:
    """One payload on its way to a peer.

    The stream is opened before the payload is there, because opening takes longer than a short
    payload on a fast link. Made by `Peer.open`.
    """

    def __init__(self, peer: Peer, stream: Any, envelope: bytes, timeout_s: float) -> None:
        self._peer = peer
        self._envelope = envelope
        self._work: queue.SimpleQueue[tuple[bytes, Iterator[bytes]] | None] = queue.SimpleQueue()
        self._call: Any = stream.future(self._messages(), timeout=timeout_s, metadata=peer.metadata)

    def send(
        self,
        header: Mapping[str, Any],
        pieces: Iterator[bytes],
        stop: threading.Event,
        patience_s: float | None = None,
    ) -> dict[str, Any]:
        """Send the pieces as they come, after a header; the receiver's stamps, and the bytes around the payload.

        Whoever has not taken all of it within `patience_s` [s], if stated, is given up.

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
            reply = self._peer.finish(self._call, patience_s)
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
