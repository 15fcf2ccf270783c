"""Runs the programs and the lines of a page, each in a process of its own, and gives what they print."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

WARM = Path(__file__).parent / "warm_process.py"


def search_path() -> str:
    """PYTHONPATH for a process in another folder."""
    return os.pathsep.join(
        str(Path(part).resolve()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part
    )


@dataclass(frozen=True)
class Programs:
    """What runs the programs and the lines of a page; `folder` holds `megdt-opt`, as an installation would."""

    folder: Path
    address: str

    def line(self, line: str, folder: Path) -> str:
        """Run a line of a shell; what it prints."""
        return self._run(["sh", "-c", line], folder, search_path())

    def python(self, code: str, folder: Path, path: str | None = None) -> str:
        """Run a program, with this search path or the present one; what it prints."""
        words = [sys.executable, "-IS", str(WARM), self.address, "-c", code]
        return self._run(words, folder, search_path() if path is None else path)

    def _run(self, words: list[str], folder: Path, path: str) -> str:
        command = f"{self.folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": command, "PYTHONPATH": path}
        done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout
