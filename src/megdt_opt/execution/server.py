"""The server of an actor: gRPC with generic handlers, JSON for control and raw bytes for payloads.

Every verb is a stream of messages to the server, of which control calls have one: who calls is known, and may ask for
the verb, before a byte of the message is taken in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from megdt_opt.errors import ExecutionError, MalformedMessage, MegdtError, NotAuthorised, PeerLost
from megdt_opt.execution import rpc
from megdt_opt.execution.actor import Actor
from megdt_opt.execution.callers import CONTROL, ECHO, PAYLOAD, Caller
from megdt_opt.execution.clock import Stopped
from megdt_opt.execution.credentials import Identity, grpc
from megdt_opt.execution.messages import ENVELOPE_BYTE, PIECE_BYTE, limit_byte
from megdt_opt.execution.transfer import receive

THREADS = 256
"""Calls served at once; a waiting call and a payload under way hold one each."""

FIRST_S = 5.0
"""Within this time the first message of a call has to come [s]."""

ECHO_BYTE = 2**26
"""Most bytes of an echo [byte]."""

Audit = Callable[[Caller | None, str, str, str], None]
"""Told of each control call: the caller where it has proved itself, the verb, the address it comes from, the result."""

_BAD_FIELD = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)


class Server:
    """Serves an actor.

    Parameters
    ----------
    actor : Actor
        What is served.
    identity : Identity
        How it proves itself, and knows its callers.
    control, payload : str
        Addresses to bind for the coordinator and for the other actors, as in `megdt_opt.execution.world.Place`.
    audit : callable, optional
        Told of each control call.

    Raises
    ------
    ExecutionError
        If it cannot listen there.
    """

    def __init__(
        self, actor: Actor, identity: Identity, control: str, payload: str = "", *, audit: Audit | None = None
    ) -> None:
        self._actor = actor
        self._identity = identity
        self._audit = audit or (lambda caller, verb, peer, result: None)
        self._silent = _Silent()
        self._server = grpc.server(ThreadPoolExecutor(THREADS, "serve"), options=rpc.OPTIONS)
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            verb: grpc.stream_unary_rpc_method_handler(self._control(verb)) for verb in CONTROL
        }
        handlers[PAYLOAD] = grpc.stream_unary_rpc_method_handler(self._payload)
        handlers[ECHO] = grpc.stream_unary_rpc_method_handler(self._echo)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(rpc.SERVICE, handlers),))
        self.control = self._bind(control)
        self.payload = self._bind(payload) if payload else self.control

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    def _bind(self, address: str) -> str:
        """Bind an address; it is given back with its port."""
        try:
            port = self._identity.listen(self._server, address)
        except RuntimeError as error:
            expected = "is that of another host, or taken"
            raise ExecutionError(f"{self._actor.name} cannot listen at {address}: the address {expected}") from error
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    def stop(self, grace_s: float = 1.0) -> None:
        """Take no more calls, and cut those off that have not ended within a time [s]."""
        self._server.stop(grace_s).wait()

    def _control(self, verb: str) -> Callable[[Iterator[bytes], grpc.ServicerContext], bytes]:
        method = getattr(self._actor, verb)

        def handle(stream: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            caller = self._admit(verb, context)
            try:
                caller.require(verb)
                message = rpc.decode(self._first(stream, context), limit_byte(verb))
                try:
                    reply = rpc.encode(method(message, caller))
                except _BAD_FIELD as error:
                    if isinstance(error, MegdtError):
                        raise
                    raise MalformedMessage(f"{verb}: a field is missing or of another kind ({_told(error)})") from error
            except Exception as error:
                self._audit(caller, verb, context.peer(), f"{type(error).__name__}: {error}")
                return rpc.encode(rpc.error_to_plain(_named(error)))
            self._audit(caller, verb, context.peer(), "done")
            return reply

        return handle

    def _payload(self, stream: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        caller = self._admit(PAYLOAD, context)
        try:
            caller.require(PAYLOAD)
            envelope = rpc.decode(self._first(stream, context), ENVELOPE_BYTE)
            session = self._actor.session(envelope.get("run"))
            with session.stream_of(caller.name, envelope, context.cancel) as (walk, index):
                return rpc.encode(receive(session, walk, index, stream))
        except Exception as error:
            return rpc.encode(rpc.error_to_plain(_named(error)))

    def _echo(self, stream: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Count and stamp what comes, and drop it."""
        caller = self._admit(ECHO, context)
        try:
            caller.require(ECHO)
            first = self._first(stream, context, PIECE_BYTE)
            size, begin_s = len(first), time.monotonic()
            end_s = begin_s
            for piece in stream:
                size, end_s = size + len(piece), time.monotonic()
                if len(piece) > PIECE_BYTE or size > ECHO_BYTE:
                    raise MalformedMessage(
                        f"an echo of more than {ECHO_BYTE} byte, or a piece of more than {PIECE_BYTE}"
                    )
            return rpc.encode({"byte": size, "first_byte": len(first), "begin_s": begin_s, "end_s": end_s})
        except Exception as error:
            return rpc.encode(rpc.error_to_plain(_named(error)))

    def _admit(self, verb: str, context: grpc.ServicerContext) -> Caller:
        """Who calls; the others get no answer but that they are refused."""
        try:
            return self._identity.caller(context)
        except NotAuthorised as error:
            self._audit(None, verb, context.peer(), f"NotAuthorised: {error}")
            context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            raise

    def _first(self, stream: Iterator[bytes], context: grpc.ServicerContext, most_byte: int | None = None) -> bytes:
        with self._silent.watched(context):
            first = next(stream, None)
        if first is None:  # opened ahead, and closed because its run was given up
            raise PeerLost("the caller closed its stream before it said anything")
        if most_byte is not None and len(first) > most_byte:
            raise MalformedMessage(f"a message of {len(first)} byte; at most {most_byte} byte are taken here")
        return first


class _Silent:
    """Ends calls whose caller says nothing for `FIRST_S`: each would hold a thread for as long as it likes."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._waiting: dict[int, tuple[float, grpc.ServicerContext]] = {}
        threading.Thread(target=self._watch, name="silent callers", daemon=True).start()

    @contextmanager
    def watched(self, context: grpc.ServicerContext) -> Iterator[None]:
        """While the first message of a call is waited for."""
        with self._lock:
            self._waiting[id(context)] = (time.monotonic() + FIRST_S, context)
            if len(self._waiting) == 1:
                self._lock.notify()
        try:
            yield
        finally:
            with self._lock:
                del self._waiting[id(context)]

    def _watch(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._waiting)
                now = time.monotonic()
                late = [context for end_s, context in self._waiting.values() if end_s < now]
            for context in late:
                context.cancel()
            time.sleep(FIRST_S / 5)


def _named(error: Exception) -> Exception:
    """An error as the caller is told it."""
    if isinstance(error, Stopped):
        return ExecutionError("the run was given up")
    if isinstance(error, MegdtError):
        return error
    # grpc raises a bare Exception when the caller goes
    return PeerLost("the caller went") if type(error) is Exception else error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
