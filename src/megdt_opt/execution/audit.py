"""The audit of an actor: a line of JSON for each control call."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.callers import Caller

_log = logging.getLogger(__name__)


class AuditFile:
    """Who asked an actor for what, and with which result; the file is opened for each line, so it can be moved away.

    Parameters
    ----------
    path : str or Path
        The file; lines are added. A new one can be read by its owner alone.

    Raises
    ------
    InvalidInput
        Where it cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        try:
            self._add(b"")
        except OSError as error:
            remedy = "Free it, or give another path."
            raise InvalidInput("audit", str(path), f"a file that can be written ({error.strerror})", remedy) from None

    def __call__(self, caller: Caller | None, verb: str, peer: str, result: str) -> None:
        """Add a line; where that fails, it is logged and the call goes on."""
        line = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "caller": None if caller is None else str(caller),
            "serial": None if caller is None else f"{caller.serial:#x}",
            "from": peer,
            "verb": verb,
            "result": result[:500],
        }
        try:
            self._add(json.dumps(line).encode("ascii") + b"\n")
        except OSError as error:
            _log.error("no audit line could be added to %s: %s", self._path, error.strerror)

    def _add(self, data: bytes) -> None:
        with self._lock:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                whole_byte = os.fstat(handle).st_size
                if os.write(handle, data) < len(data):  # the disk is full: no half line
                    os.ftruncate(handle, whole_byte)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(handle)
