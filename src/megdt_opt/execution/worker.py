"""Entry of an actor's process: `python -m megdt_opt.execution.worker PLUGIN...`, set up by a line on standard input.

A fresh interpreter or a fork of one that has only imported (`fork_server`), never of the caller's: torch and gRPC
survive no fork once they compute, and nothing of the caller's main module is imported. The standard input stays open;
when it ends, the coordinator is gone and so is this process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from megdt_opt.execution.server import Server


def load_model(which: str | dict[str, Any]) -> Any:
    """Load a model: as it was planned, or by the import path "module:class" of whoever starts the process."""
    if isinstance(which, dict):
        from megdt_opt.models.planned import PlannedModel

        return PlannedModel.from_dict(which).load()
    path = which
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name).load()
    except (ImportError, AttributeError) as error:
        from megdt_opt.errors import InvalidInput

        raise InvalidInput(
            "model",
            path,
            "an importable 'module:class' with load()",
            f"Correct the path or install it: {error}.",
        ) from error


def main() -> None:
    """Serve one actor until the standard input ends."""
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator ends its workers itself
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the model prints must not be taken for a reply
    line = sys.stdin.readline()
    if not line:
        return  # the coordinator is gone already
    config = json.loads(line)
    sys.path[:] = config["path"]
    ending = threading.Thread(target=_end_with_input, daemon=True)
    ending.start()  # loading a model takes seconds, and nobody may be left to wait for it
    try:
        server = _serve(config)
    except Exception as error:
        from megdt_opt.execution.rpc import error_to_plain

        _reply(replies, error_to_plain(error))
        return
    _reply(replies, {"control": server.control, "payload": server.payload})
    ending.join()


def _end_with_input() -> None:
    """End this process when its standard input does."""
    while os.read(0, 4096):
        pass
    os._exit(0)  # threads may be deep in a computation


def _serve(config: dict[str, Any]) -> Server:
    import torch

    from megdt_opt.execution.job import THREADS
    from megdt_opt.program.registry import load_plugins

    load_plugins(sys.argv[1:])
    torch.set_num_threads(THREADS)
    sys.setswitchinterval(0.0005)  # a thread that wakes for the link must not wait 5 ms for the interpreter
    from megdt_opt.execution.actor import Actor
    from megdt_opt.execution.credentials import identity_from_dict
    from megdt_opt.execution.server import Server

    begin = time.monotonic()
    model = load_model(config["model"])
    identity = identity_from_dict(config["identity"])
    actor = Actor(config["actor"], model, identity, load_s=time.monotonic() - begin)
    server = Server(actor, identity, config["control"], config["payload"])
    server.start()
    gc.collect()
    gc.freeze()  # what has been loaded stays: collections during a run need not look at it
    return server


def _reply(stream: TextIO, message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the coordinator is gone, and this process with it
        stream.write(json.dumps(message) + "\n")
        stream.flush()


if __name__ == "__main__":
    main()
