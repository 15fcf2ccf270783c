"""Serving one actor on a host until its operator ends it."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

from megdt_opt.execution.credentials import Credentials
from megdt_opt.execution.job import THREADS
from megdt_opt.execution.server import Audit
from megdt_opt.models.split_model import SplitModel

RESTART_S = 0.2
"""From the order to start anew until it is done [s]: the order is answered in between."""


def serve(
    name: str,
    load: Callable[[], SplitModel],
    identity: Credentials,
    address: str,
    audit: Audit,
    ready: Callable[[str], None],
) -> None:
    """Serve an actor until SIGTERM or SIGINT.

    Parameters
    ----------
    name : str
        Name of the actor.
    load : callable
        Loads its model.
    identity : Credentials
        How it proves itself; read again where it changes.
    address : str
        "host:port" to listen at.
    audit : callable
        Told of each control call.
    ready : callable
        Told the address once it serves.

    Raises
    ------
    ExecutionError
        Where it cannot listen there.
    WeightsError, MegdtError
        Where the model cannot be loaded.
    """
    import torch

    from megdt_opt.execution.actor import Actor
    from megdt_opt.execution.server import Server

    torch.set_num_threads(THREADS)
    sys.setswitchinterval(0.0005)  # a thread that wakes for the link must not wait 5 ms for the interpreter
    begin_s = time.monotonic()
    model = load()
    actor = Actor(name, model, identity, load_s=time.monotonic() - begin_s, restart=_restart_soon)
    server = Server(actor, identity, address, audit=audit)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    gc.collect()
    gc.freeze()  # what has been loaded stays: collections during a run need not look at it
    ready(server.control)
    while not ended.wait(1.0):
        identity.refresh()
    server.stop(0.5)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads may be deep in a computation


def _restart_soon() -> None:
    """Replace this process by a new one of the same command: nothing else ends a computation in a thread."""

    def replace() -> None:
        time.sleep(RESTART_S)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    threading.Thread(target=replace, name="restart", daemon=True).start()
