"""Writing figures to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from megdt_opt.errors import InvalidInput
from megdt_opt.files import write_bytes
from megdt_opt.report.canvas import png_bytes, svg_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WRITERS = {".png": png_bytes, ".svg": svg_bytes}


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as PNG or SVG, by the file's ending, whole or not at all; the same figure gives the same bytes.

    Raises
    ------
    InvalidInput
        For another ending.
    """
    path = Path(path)
    if path.suffix not in _WRITERS:
        raise InvalidInput("path", str(path), f"a name ending in one of {list(_WRITERS)}", "Choose one of them.")
    write_bytes(path, _WRITERS[path.suffix](figure))
    return path
