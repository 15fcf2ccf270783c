"""Writing figures to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from megdt_opt.errors import InvalidInput
from megdt_opt.files import write_bytes
from megdt_opt.report.canvas import WRITERS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG, PDF or SVG, by the file's ending, whole or not at all; a PDF embeds TrueType fonts.

    The same figure gives the same bytes.

    Raises
    ------
    InvalidInput
        For another ending.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in WRITERS:
        endings = [f".{known}" for known in WRITERS]
        raise InvalidInput("path", str(path), f"a name ending in one of {endings}", "Choose one of them.")
    write_bytes(path, WRITERS[kind](figure))
    return path
