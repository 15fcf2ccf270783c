"""Where compiled code is kept: one folder for each installation and state of its sources."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

_MARK = "complete"
_KERNELS = re.compile(rb"compiled\.jit import|^import numba", re.MULTILINE)
"""What a file with kernels says."""

_marked: set[tuple[Path, str]] = set()
"""Folders and marks that this process has looked after."""


@cache
def folder(sources: Path = Path(__file__).parent) -> Path:
    """Folder of the compiled code of one folder of sources; numba itself would notice edits only in a function's file.

    Code outside this package may call the kernels here, so that its folder changes with them too. Files without kernels
    do not count: an edit of them needs no compiling. Numba takes up again what it compiled from the same path, written
    at the same time; both count here too, or else a copy or a new installation of the same sources would find a folder
    marked as complete and compile everything at its first call.
    """
    digest = hashlib.sha256(version("numba").encode())
    for home in dict.fromkeys((Path(__file__).parent, sources)):
        for path in sorted(home.glob("*.py")):
            text = path.read_bytes()
            if _KERNELS.search(text):
                digest.update(text + str(path.stat().st_mtime_ns).encode())
    return _kept(sources).with_name(f"{_kept(sources).name}-{digest.hexdigest()[:16]}")


def _kept(sources: Path) -> Path:
    """Where code of one place and interpreter is kept, without its state."""
    place = hashlib.sha256(f"{sources.resolve()} {sys.version}".encode()).hexdigest()[:8]
    home_folder = os.environ.get("NUMBA_CACHE_DIR")
    if not home_folder:
        home_folder = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "megdt_opt")
    return Path(home_folder) / f"kernels-{place}"


def compiled_before(sources: Path = Path(__file__).parent, mark: str = _MARK) -> bool:
    """Whether all kernels under a mark were compiled and kept."""
    return (folder(sources) / mark).exists()


def mark_compiled(sources: Path = Path(__file__).parent, mark: str = _MARK) -> None:
    """Note that all kernels are kept, and remove those of earlier states of the same sources.

    Where the folder cannot be written, they are compiled in every process.
    """
    home = folder(sources)
    if (home, mark) in _marked:
        return
    _marked.add((home, mark))  # asking the disk anew takes longer than a small problem
    if not compiled_before(sources, mark):
        try:
            home.mkdir(parents=True, exist_ok=True)
            (home / mark).touch()
        except OSError:
            return
        for older in home.parent.glob(f"{_kept(sources).name}-*"):
            if older != home:
                shutil.rmtree(older, ignore_errors=True)
