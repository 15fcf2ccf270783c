"""Errors of earlier verified runs, kept for each machine, mode and model in a file of the user's own."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_json, write_text
from megdt_opt.machine import cores, cpu_model
from megdt_opt.verdict.intervals import RollingIntervals

FORMAT = "megdt-opt latencies 1"
KEPT = 500
"""Runs of each machine, mode and model that are kept, the latest [1]."""

REMEDY = "Move it away, or name another file with --latencies."


def default_path() -> Path:
    """The file: below XDG_STATE_HOME, or ~/.local/state where that is not set."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "megdt-opt" / "latencies.json"


def key_of(mode: str, model: str, prediction: str) -> str:
    """What runs are kept together: machine, mode, model and how latencies were predicted ("planned", "rehearsed")."""
    return f"{cpu_model()}, {cores()} cores / {mode} / {model} / {prediction}"


class LatencyStore:
    """The file.

    Parameters
    ----------
    path : Path, optional
        Where; by default `default_path()`.

    Raises
    ------
    InvalidInput
        Where the file is another's, others may write it, or it is not such a file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = default_path() if path is None else path
        self._runs: dict[str, list[list[float]]] = {}
        if os.path.lexists(self.path):
            self._runs = self._read()

    def rolling(self, key: str) -> RollingIntervals:
        """The intervals of what is kept under a key."""
        rolling = RollingIntervals()
        for errors in self._runs.get(key, ()):
            rolling.add(errors)
        return rolling

    def add(self, key: str, runs: Sequence[Sequence[float]]) -> None:
        """Keep relative errors of more runs, and write the file, whole or not at all."""
        kept = [*self._runs.get(key, ()), *([float(e) for e in run if math.isfinite(e)] for run in runs)]
        self._runs[key] = [run for run in kept if run][-KEPT:]
        write_text(self.path, json.dumps({"format": FORMAT, "runs": self._runs}, indent=1) + "\n")

    def _read(self) -> dict[str, list[list[float]]]:
        found = os.stat(self.path)
        if hasattr(os, "getuid") and found.st_uid != os.getuid():
            raise InvalidInput("latencies", str(self.path), "a file of yours", REMEDY)
        if stat.S_IMODE(found.st_mode) & stat.S_IWOTH:
            raise InvalidInput("latencies", str(self.path), "a file that not everybody may write", REMEDY)
        data = read_json(self.path, "file of latencies", fmt=FORMAT, remedy=REMEDY)
        runs = data.get("runs") if isinstance(data, Mapping) else None
        if not isinstance(runs, Mapping) or not all(_is_runs(listed) for listed in runs.values()):
            raise InvalidInput("latencies", str(self.path), "lists of relative errors by machine", REMEDY)
        return {str(key): [list(run) for run in listed] for key, listed in runs.items()}


def _is_runs(listed: Any) -> bool:
    return isinstance(listed, list) and all(
        isinstance(run, list) and all(isinstance(e, int | float) and not isinstance(e, bool) for e in run)
        for run in listed
    )
