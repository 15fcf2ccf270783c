"""How benchmarks keep their results: one JSON file each, with the time and the machine."""

from __future__ import annotations

import json
import os
import platform
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


def keep(path: Path, rows: list[dict[str, Any]], *, versions: dict[str, str] | None = None, **fields: Any) -> None:
    """Write rows and fields, whole or not at all."""
    record = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(**(versions or {})),
        **fields,
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(record, indent=1) + "\n")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
