"""Pieces of HTML; every text is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from megdt_opt.report.grids import Grid

_ONE_LINE = 40
"""Columns of words up to this long are not broken into lines."""


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, with a CSS class if one is named."""
    attribute = f' class="{escape(kind)}"' if kind else ""
    return f"<p{attribute}>{escape(text)}</p>"


def bullets(texts: Sequence[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def section(title: str, *parts: str) -> str:
    """A section with its heading."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def folded(title: str, *parts: str) -> str:
    """Something that opens on request."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def table(grid: Grid, *, titled: bool = False) -> str:
    """A table with its notes below; the title only where it is asked for."""

    longest = [max([len(row[i]) for row in grid.rows], default=0) for i in range(len(grid.headers))]
    kinds = [("words" if n <= _ONE_LINE else "prose") if i in grid.text else "figure" for i, n in enumerate(longest)]

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f'<{tag} class="{kind}">{escape(cell)}</{tag}>' for kind, cell in zip(kinds, row, strict=True))

    head = f"<caption>{escape(grid.title)}</caption>" if titled else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in grid.rows)
    notes = "".join(paragraph(note, "note") for note in grid.notes)
    return (
        f'<div class="wide"><table>{head}<thead><tr>{cells("th", grid.headers)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{notes}"
    )


def image(data: bytes, alt: str, kind: str = "png") -> str:
    """An image within the page; `kind` is "png" or "svg+xml"."""
    return f'<img alt="{escape(alt)}" src="data:image/{kind};base64,{base64.b64encode(data).decode("ascii")}">'


def figure(content: str, caption: str, kind: str = "plate") -> str:
    """Something with a caption."""
    return f'<figure class="{escape(kind)}">{content}<figcaption>{escape(caption)}</figcaption></figure>'


def tile(value: str, text: str) -> str:
    """One large figure with what it is."""
    return f"<div><strong>{escape(value)}</strong><span>{escape(text)}</span></div>"
