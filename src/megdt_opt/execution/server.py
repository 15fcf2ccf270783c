"""The server of an actor: gRPC with generic handlers, JSON for control and raw bytes for payloads."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from megdt_opt.errors import ExecutionError, MalformedMessage, PeerLost
from megdt_opt.execution import rpc
from megdt_opt.execution.actor import Actor
from megdt_opt.execution.clock import Stopped
from megdt_opt.execution.transfer import receive

THREADS = 256
"""Calls served at once; a waiting call and a payload under way hold one each."""


class Server:
    """Serves an actor.

    Parameters
    ----------
    actor : Actor
        What is served.
    token : str
        Secret that every call must carry.
    control, payload : str
        Addresses to bind for the coordinator and for the other actors, as in `megdt_opt.execution.world.Place`.
    """

    def __init__(self, actor: Actor, token: str, control: str, payload: str = "") -> None:
        self._actor = actor
        self._token = token
        self._server = grpc.server(ThreadPoolExecutor(THREADS, "serve"), options=rpc.OPTIONS)
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            method: grpc.unary_unary_rpc_method_handler(self._control(getattr(actor, method))) for method in rpc.CONTROL
        }
        handlers[rpc.PAYLOAD] = grpc.stream_unary_rpc_method_handler(self._payload)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(rpc.SERVICE, handlers),))
        self.control = self._bind(control)
        self.payload = self._bind(payload) if payload else self.control

    def start(self) -> None:
        """Begin to serve."""
        self._server.start()

    def _bind(self, address: str) -> str:
        """Bind an address; it is given back with its port."""
        port = self._server.add_insecure_port(address)
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    def _control(
        self, method: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def handle(data: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                message = rpc.decode(data)
                self._admit(message)
                return rpc.encode(method(message))
            except Stopped:
                return rpc.encode(rpc.error_to_plain(ExecutionError("the run was given up")))
            except (KeyError, TypeError) as error:
                return rpc.encode(rpc.error_to_plain(MalformedMessage(f"a control message without {error}")))
            except Exception as error:
                return rpc.encode(rpc.error_to_plain(error))

        return handle

    def _payload(self, stream: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        try:
            first = next(stream, None)
            if first is None:  # opened ahead, and closed because its run was given up
                raise PeerLost("the sender closed a payload's stream before it said anything")
            envelope = rpc.decode(first)
            self._admit(envelope)
            if envelope.get("warm") is True:
                return rpc.encode({"byte": sum(len(piece) for piece in stream)})
            session = self._actor.session(envelope.get("run"))
            return rpc.encode(receive(session, envelope, stream))
        except Stopped:
            return rpc.encode(rpc.error_to_plain(ExecutionError("the run was given up")))
        except Exception as error:
            return rpc.encode(rpc.error_to_plain(error))

    def _admit(self, message: dict[str, Any]) -> None:
        if not hmac.compare_digest(str(message.get("token")).encode(), self._token.encode()):
            time.sleep(0.01)
            raise MalformedMessage("a message without this cluster's token")
