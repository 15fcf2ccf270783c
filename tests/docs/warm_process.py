"""A process that has imported the libraries of the package, and forks one for each program of a page.

A program is what a fresh interpreter would make of it: a process of its own with its own arguments, folder,
environment, outputs and exit code, which imports the package itself. But the libraries are there already, which saves
seconds of processor time for each program, and executions share the process that forks their actors.

    python warm_process.py ADDRESS                     serves at a socket of this name, until it is killed
    python warm_process.py ADDRESS NAME CODE WORD...   has it run CODE as a program called NAME, with these arguments
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
import traceback
import types
from typing import Any, NoReturn

LENGTH = 4
"""Bytes of a length, a process number or an exit code [byte]."""

LIBRARIES = ("cvxpy", "highspy", "joblib", "matplotlib.pyplot", "numba", "PIL.Image", "scipy.optimize")
"""Imported beside those of the package's actors and of its command line; pandas would start a thread."""


def ask(address: str, words: list[str]) -> int:
    """Have a program run, and pass on the wish to end it; its exit code once the process is gone."""
    text = json.dumps({"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [len(text).to_bytes(LENGTH, "little")], [0, 1, 2])
        server.sendall(text)
        pid = int.from_bytes(server.recv(LENGTH, socket.MSG_WAITALL), "little")
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        told = server.recv(LENGTH, socket.MSG_WAITALL)
        server.recv(1)
    return int.from_bytes(told, "little", signed=True) if told else 1


def serve(address: str) -> None:
    """Fork a process for each program that is asked for."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        for name in LIBRARIES:
            importlib.import_module(name)
        import_what_actors_import()
        actors = None
        gc.collect()
        gc.freeze()  # collections in the forks need not copy what they share
        signal.signal(signal.SIGCHLD, reap)
        while True:
            caller, _ = listening.accept()
            length, given, _, _ = socket.recv_fds(caller, LENGTH, 3, socket.MSG_WAITALL)
            asked = json.loads(caller.recv(int.from_bytes(length, "little"), socket.MSG_WAITALL))
            if actors is None and "execute" in asked["words"]:
                actors = what_forks_actors()
            if os.fork() == 0:
                listening.close()
                become(asked, given, caller, actors)
            for one in (*given, caller.detach()):
                os.close(one)


def reap(*_: Any) -> None:
    """Wait for the programs that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def import_what_actors_import() -> None:
    """Import what the command line and actors import, and forget the package itself."""
    from megdt_opt.execution.fork_server import IMPORTED

    for name in ("megdt_opt.cli.app", *IMPORTED):
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "megdt_opt"]:
        del sys.modules[name]


def what_forks_actors() -> Any:
    """The package's own; every program that is forked from here finds it running."""
    from megdt_opt.execution.fork_server import ForkServer

    actors = ForkServer()
    for name in [name for name in sys.modules if name.partition(".")[0] == "megdt_opt"]:
        del sys.modules[name]
    actors._process.poll = lambda: None  # type: ignore[method-assign]  # a fork cannot ask after its parent's child
    return actors


def become(asked: dict[str, Any], given: list[int], caller: socket.socket, actors: Any) -> NoReturn:
    """Be the program, and tell the caller its exit code.

    At the end nothing that was imported is taken apart, which would take longer than many a program.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for ours, theirs in enumerate(given):
        os.dup2(theirs, ours)
        os.close(theirs)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "w" if n else "r", closefd=False) for n in range(3))
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.path[:0] = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    name, code, *words = asked["words"]
    sys.argv = [name, *words]
    sys.modules["__main__"] = types.ModuleType("__main__")
    caller.sendall(os.getpid().to_bytes(LENGTH, "little"))
    ended: Any = 0
    try:
        if actors is not None and "execute" in words:
            from megdt_opt.execution import fork_server

            fork_server._shared = actors
        exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))
    except SystemExit as error:
        ended = error.code
        if not isinstance(ended, int | None):
            print(ended, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        ended = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    number = ended if isinstance(ended, int) else int(ended is not None)
    caller.sendall(number.to_bytes(LENGTH, "little", signed=True))
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[2:]:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
    serve(sys.argv[1])
