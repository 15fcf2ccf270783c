"""Logging through the standard library: one logger a room, named "megdt_opt.ROOM"; silent until somebody listens."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from megdt_opt.files import try_file, write_text

ROOT = "megdt_opt"

logging.getLogger(ROOT).addHandler(logging.NullHandler())


def logger_of(module: str) -> logging.Logger:
    """The logger of a module's room; `module` is its `__name__`.

    Examples
    --------
    >>> from megdt_opt.logs import logger_of
    >>> logger_of("megdt_opt.execution.cluster").name
    'megdt_opt.execution'
    """
    return logging.getLogger(".".join(module.split(".")[:2]))


def listen(file: Path | None, verbose: int) -> None:
    """Send what is logged to a file, from DEBUG on, and to standard error: warnings, with `verbose` 1 INFO, 2 DEBUG.

    Raises
    ------
    InvalidInput
        Where the file cannot be written.
    """
    root = logging.getLogger(ROOT)
    written = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    written.converter = time.gmtime
    if file is not None:
        try_file(file)
        _add(root, logging.FileHandler(file, encoding="utf-8"), logging.DEBUG, written)
    if verbose:
        _add(root, logging.StreamHandler(), logging.INFO if verbose == 1 else logging.DEBUG, written)
    if file is not None or verbose:
        root.setLevel(logging.DEBUG)


def _add(root: logging.Logger, handler: logging.Handler, level: int, written: logging.Formatter) -> None:
    handler.setLevel(level)
    handler.setFormatter(written)
    root.addHandler(handler)


def write_metrics(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write metrics as JSON lines, whole or not at all; each row names what it measures in "metric"."""
    write_text(path, "".join(json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n" for row in rows))
