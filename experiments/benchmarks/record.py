"""How benchmarks keep their results: one JSON file each, with time, machine, its load and the commit that ran."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from megdt_opt.files import write_text

RESULTS = Path(__file__).with_name("results")


def machine(**more: str) -> dict[str, Any]:
    """Processor, cores and Python of this machine."""
    names = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    processor = names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()
    return {"processor": processor, "cores": os.cpu_count(), "python": platform.python_version(), **more}


def commit() -> str:
    """The commit that runs; followed by "+" where the package differs from it."""
    found = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, cwd=RESULTS)
    if found.returncode:
        return "unknown"
    source = RESULTS.parents[2] / "src"
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", str(source)], cwd=RESULTS).returncode
    return found.stdout.strip() + ("+" if changed else "")


class Rows:
    """Rows of a table that is measured piece by piece: one of an earlier commit is replaced by its successor.

    Parameters
    ----------
    path : Path
        Of the file.
    *key : str
        Fields that say which row it is.
    """

    def __init__(self, path: Path, *key: str) -> None:
        self._path, self._key, self._commit = path, key, commit()
        kept = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
        self.rows: list[dict[str, Any]] = [row for row in kept if "commit" in row]

    def measured(self, **what: Any) -> bool:
        """Whether this commit has measured a row."""
        return any(row["commit"] == self._commit and self._is(row, what) for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Print and keep a row with the load under which it was measured."""
        row = row | {"commit": self._commit, "load": round(os.getloadavg()[0], 2)}
        print(json.dumps(row), flush=True)
        places = [place for place, other in enumerate(self.rows) if self._is(other, row)]
        if places:
            self.rows[places[0]] = row
        else:
            self.rows.append(row)
        keep(self._path, self.rows)

    def _is(self, row: dict[str, Any], what: dict[str, Any]) -> bool:
        return all(row[name] == what[name] for name in self._key)


def keep(path: Path, rows: list[dict[str, Any]], *, versions: dict[str, str] | None = None, **fields: Any) -> None:
    """Write rows and fields, whole or not at all, with the commit that ran last."""
    record = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(**(versions or {})),
        "commit": commit(),
        "load": list(os.getloadavg()),
        **fields,
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(record, indent=1) + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
