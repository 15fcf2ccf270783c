"""A relay between two actors, whose link can be cut in the ways that links are cut."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """Forwards connections on loopback to an address until it is cut."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._server]
        self._silent = {"there": False, "back": False}
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def down(self) -> None:
        """The link is down: connections break, new ones are refused."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def silence(self) -> None:
        """All packets are lost, both ways; nobody is told."""
        self._silent.update(there=True, back=True)

    def half_open(self) -> None:
        """What goes there arrives, nothing comes back."""
        self._silent["back"] = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for name, source, to in (("there", near, far), ("back", far, near)):
                    threading.Thread(target=self._copy, args=(name, source, to), daemon=True).start()

    def _copy(self, name: str, source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._silent[name]:
                    to.sendall(data)
            to.shutdown(socket.SHUT_WR)
