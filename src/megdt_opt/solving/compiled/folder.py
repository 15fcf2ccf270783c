"""Where compiled code is kept: one folder for each state of the sources."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

_MARK = "complete"
_KERNELS = re.compile(rb"compiled\.jit import|^import numba", re.MULTILINE)
"""What a file with kernels says."""


@cache
def folder() -> Path:
    """Folder of the compiled code; numba itself would notice edits only in a function's own file.

    Files without kernels do not count: an edit of them needs no compiling.
    """
    digest = hashlib.sha256(f"{version('numba')} {sys.version}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_bytes()
        if _KERNELS.search(text):
            digest.update(text)
    home = os.environ.get("NUMBA_CACHE_DIR")
    if not home:
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "megdt_opt")
    return Path(home) / f"kernels-{digest.hexdigest()[:16]}"


def compiled_before() -> bool:
    """Whether all kernels were compiled and kept."""
    return (folder() / _MARK).exists()


def mark_compiled() -> None:
    """Note that all kernels are kept; where the folder cannot be written, they are compiled in every process."""
    if not compiled_before():
        try:
            folder().mkdir(parents=True, exist_ok=True)
            (folder() / _MARK).touch()
        except OSError:
            pass
