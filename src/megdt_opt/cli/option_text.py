"""Text of options that is more than one value; what cannot be read is a usage error."""

from __future__ import annotations

import typer


def numbers_of(text: str) -> tuple[int, ...]:
    """Positive whole numbers between commas."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or min(found) < 1:
        raise typer.BadParameter(f"{text!r}: expected positive whole numbers separated by commas, for example 1,2,4")
    return found


def shares_of(text: str) -> tuple[float, ...]:
    """Shares above 0 and below 1 between commas."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < share < 1 for share in found):
        raise typer.BadParameter(f"{text!r}: expected shares between 0 and 1 separated by commas, for example 0.1,0.5")
    return found


def kinds_of(text: str) -> tuple[str, ...]:
    """Kinds of figure files between commas."""
    from megdt_opt.report.canvas import WRITERS

    found = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    if not all(kind in WRITERS for kind in found):
        raise typer.BadParameter(f"{text!r}: expected some of {', '.join(WRITERS)}, separated by commas")
    return found


def size_of(text: str) -> tuple[int, int]:
    """Rows and columns of a picture."""
    rows, x, columns = text.partition("x")
    if not (x and rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise typer.BadParameter(f"{text!r}: expected rows and columns in pixels, for example 512x512")
    return int(rows), int(columns)
