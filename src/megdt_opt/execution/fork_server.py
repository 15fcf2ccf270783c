"""A process that has imported what actors need and forks one whenever it is asked to.

An actor of the twin then starts in 0.15 s of processor time in place of 6 s (one core of an AMD EPYC), and actors share
the libraries' memory.

It runs one thread, computes nothing and opens no connection, so that torch and gRPC begin afresh in every fork; it
imports nothing of its caller's main module. It ends when its caller does.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from megdt_opt.errors import PeerLost

SINGLE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Environment of every actor: its computations have one thread each."""

IMPORTED = ("megdt_opt.execution.worker", "megdt_opt.execution.server", "megdt_opt.models.twin.model")
"""What is imported before the first fork."""

_WORD = 4
"""Bytes of a length, a process number or an exit status between caller and server [byte]."""


class Forked:
    """A process that the server forked, as `subprocess.Popen` would show it."""

    def __init__(self, pid: int, stdin: int, stdout: int, status: int) -> None:
        self.pid = pid
        self.stdin = os.fdopen(stdin, "w", encoding="utf-8")
        self.stdout = os.fdopen(stdout, encoding="utf-8")
        self._status = status
        self._code: int | None = None
        self._ending = threading.Lock()
        self._process = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Exit status, negative for a signal; None while the process runs."""
        if self._code is None and self._ended(0.0):
            with self._ending:
                if self._code is None:
                    told = os.read(self._status, _WORD)
                    # without the server nobody knows how its forks end, only that they do
                    self._code = int.from_bytes(told, "little", signed=True) if told else -signal.SIGKILL
                    os.close(self._status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Exit status, once the process has ended.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        self._ended(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return code

    def kill(self) -> None:
        """End the process by force, if it runs."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def _ended(self, timeout: float | None) -> bool:
        return bool(select.select([self._process], [], [], timeout)[0])

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):
            os.close(self._process)


class ForkServer:
    """The caller's side of the server's process; `of_this_process` shares one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "megdt_opt.execution.fork_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,  # Ctrl-C is for the coordinator
                env={**os.environ, **SINGLE, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )
        self._asking = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def start(self, arguments: Sequence[str]) -> Forked:
        """Fork a process that runs `megdt_opt.execution.worker` with these arguments.

        Raises
        ------
        PeerLost
            If the server is gone.
        """
        stdin, to_child = os.pipe()
        from_child, stdout = os.pipe()
        status, told = os.pipe()
        given = (stdin, stdout, 2, told)
        asked = {"arguments": list(arguments), "environment": {**os.environ, **SINGLE}, "directory": os.getcwd()}
        text = json.dumps(asked).encode()
        try:
            with self._asking:
                socket.send_fds(self._socket, [len(text).to_bytes(_WORD, "little")], given)
                self._socket.sendall(text)
                reply = self._socket.recv(_WORD, socket.MSG_WAITALL)
        except OSError:
            reply = b""
        finally:
            for one in (stdin, stdout, told):
                os.close(one)
        if len(reply) < _WORD:
            for one in (to_child, from_child, status):
                os.close(one)
            raise PeerLost("the process that starts actors has ended: start the execution again")
        return Forked(int.from_bytes(reply, "little"), to_child, from_child, status)

    def end(self) -> None:
        """End the server; what it forked goes on."""
        self._socket.close()
        self._process.kill()  # it may still import, and holds nothing
        self._process.wait()


_shared: ForkServer | None = None
_sharing = threading.Lock()


def of_this_process() -> ForkServer:
    """The server that all clusters of this process share, started when it is first asked for."""
    global _shared
    with _sharing:
        if _shared is None or not _shared.alive:
            if _shared is not None:
                _shared.end()
            _shared = ForkServer()
            atexit.register(_shared.end)
        return _shared


# --- the server's side ------------------------------------------------------------


def serve(caller: socket.socket) -> None:
    """Fork whenever the caller asks, and tell it how each fork ended, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for name in IMPORTED:
        with contextlib.suppress(ImportError):  # an actor that needs it says so itself
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # collections in the forks need not copy what they share
    children: dict[int, int] = {}
    while True:
        ready = select.select([caller.fileno(), woken], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _tell_ends(children)
        if caller.fileno() in ready:
            asked = _asked(caller)
            if asked is None:
                return
            request, given = asked
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                caller.close()
                for one in (woken, wake, *children.values()):
                    os.close(one)
                _become(request, given)
            children[pid] = given[3]
            for one in given[:3]:
                os.close(one)
            with contextlib.suppress(OSError):
                caller.sendall(pid.to_bytes(_WORD, "little"))


def _asked(caller: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """What the caller asks for, with the ends of the fork's pipes; None when it is gone."""
    length, given, _, _ = socket.recv_fds(caller, _WORD, 4, socket.MSG_WAITALL)
    if len(length) < _WORD:
        return None
    size = int.from_bytes(length, "little")
    text = caller.recv(size, socket.MSG_WAITALL)
    return (json.loads(text), given) if len(text) == size else None


def _tell_ends(children: dict[int, int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        told = children.pop(pid)
        with contextlib.suppress(OSError):
            os.write(told, os.waitstatus_to_exitcode(status).to_bytes(_WORD, "little", signed=True))
        os.close(told)


def _become(request: dict[str, Any], given: Sequence[int]) -> NoReturn:
    """Be the actor's process: its pipes, environment and arguments in place of the server's."""
    code = 1
    try:
        os.setpgid(0, 0)  # Ctrl-C is for the coordinator, which ends its processes itself
        for ours, theirs in enumerate(given[:3]):
            os.dup2(theirs, ours)
        for one in given:
            os.close(one)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["directory"])
        sys.argv[1:] = request["arguments"]
        from megdt_opt.execution.worker import main

        main()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
