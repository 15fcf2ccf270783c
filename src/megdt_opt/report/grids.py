"""Tables as plain text in cells, before they are shown on a terminal or on a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table.

    Parameters
    ----------
    title : str
    headers : tuple of str
        Each with its unit.
    rows : tuple of tuple of str
        As long as the headers.
    text : tuple of int
        Columns of words, set left; figures are set right.
    notes : tuple of str
        Sentences below the table.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()


def from_columns(
    title: str,
    columns: dict[str, list[str]],
    *,
    text: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Grid:
    """A table from its columns, header to cells; `text` names the columns of words."""
    headers = tuple(columns)
    return Grid(
        title=title,
        headers=headers,
        rows=tuple(zip(*columns.values(), strict=True)),
        text=tuple(headers.index(name) for name in text),
        notes=notes,
    )
