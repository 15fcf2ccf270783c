"""A function in a process of its own, for solvers that can abort the process they run in."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
from typing import Any

from megdt_opt.errors import MegdtError, SolverFailure

STARTING_S = 120.0
"""What a child may take beside its solver: imports, building the program, handing back the answer [s]."""

# stdout carries the answer alone; what libraries print goes to stderr, whose end becomes part of a failure's message
_BOOT = (
    "import os, pickle, sys; answer = os.fdopen(os.dup(1), 'wb'); os.dup2(2, 1); "
    "sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from megdt_opt.formulations._child import serve; serve(sys.stdin.buffer, answer)"
)


def run(function: str, argument: object, *, wall_limit_s: float | None) -> Any:
    """Call `function` ("module:name") with one argument in a child process.

    Parameters
    ----------
    function : str
    argument : object
        Anything that can be pickled.
    wall_limit_s : float or None
        After this time the child is killed [s].

    Raises
    ------
    SolverFailure
        Where the child crashed, was killed, ran past its limit or raised an error that is not one of the package's.
    MegdtError
        The package's own errors, as the child raised them.
    """
    message = pickle.dumps(sys.path) + pickle.dumps((function, argument))
    try:
        done = subprocess.run(
            [sys.executable, "-c", _BOOT], input=message, capture_output=True, timeout=wall_limit_s, check=False
        )
    except subprocess.TimeoutExpired as expired:
        raise SolverFailure(f"{function} was killed after its limit of {expired.timeout:g} s") from None
    tail = done.stderr.decode(errors="replace").strip()[-400:]
    if done.returncode != 0 or not done.stdout:
        raise SolverFailure(f"the process of {function} {_ending(done.returncode)}; it last said: {tail or 'nothing'}")
    kind, value = pickle.loads(done.stdout)
    if kind == "error":
        raise value
    return value


def serve(request: Any, answer: Any) -> None:
    """Read a call from `request`, make it, and write its outcome to `answer` (the child's side)."""
    function, argument = pickle.load(request)
    module, name = function.split(":")
    try:
        outcome: tuple[str, Any] = ("value", getattr(importlib.import_module(module), name)(argument))
    except MegdtError as error:
        outcome = ("error", error)
    except Exception as error:
        outcome = ("error", SolverFailure(f"{function}: {type(error).__name__}: {error}"))
    pickle.dump(outcome, answer)
    answer.flush()
    # some solvers crash while the interpreter takes them down, after the answer is safe
    os._exit(0)


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"ended with code {returncode}"
    try:
        return f"died of {signal.Signals(-returncode).name}"
    except ValueError:
        return f"died of signal {-returncode}"
