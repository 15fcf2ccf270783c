"""Figures as bytes, without global state: matplotlib is loaded only when a figure is made."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
"""Resolution of the PNG files [1/inch]."""

INK, FAINT, GRID = "#222222", "#666666", "#dddddd"
"""Colours of text, of secondary text and of grid lines."""

CLEAR: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
"""Box around a text that keeps grid lines out of it."""

_SETTINGS: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "hatch.linewidth": 0.8,
    "svg.fonttype": "path",  # the same look wherever the file is opened
    "svg.hashsalt": "megdt-opt",  # the same bytes for the same figure
    "pdf.fonttype": 42,  # TrueType, which publishers take; Type 3 they refuse
}


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that draws with Agg and lays itself out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def settings() -> Any:
    """Context in which a figure is made and saved; fonts that the caller has set stay."""
    import matplotlib

    now: Any = matplotlib.rcParams
    usual: Any = matplotlib.rcParamsDefault

    def mine(name: str) -> bool:
        return not name.startswith("font.") or now[name] == usual[name]

    return matplotlib.rc_context({name: value for name, value in _SETTINGS.items() if mine(name)})


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG."""
    return _save(figure, format="png", dpi=DPI)


def svg_bytes(figure: Figure) -> bytes:
    """The figure as SVG without a date, so that the same figure gives the same bytes."""
    return _save(figure, format="svg", metadata={"Date": None})


def pdf_bytes(figure: Figure) -> bytes:
    """The figure as PDF with embedded TrueType fonts, without a date, so that the same figure gives the same bytes."""
    return _save(figure, format="pdf", metadata={"CreationDate": None})


WRITERS: Mapping[str, Callable[[Figure], bytes]] = {"png": png_bytes, "pdf": pdf_bytes, "svg": svg_bytes}
"""Figures as bytes, by the ending of their files."""


def figure_files(name: str, figure: Figure, kinds: Sequence[str]) -> dict[str, bytes]:
    """Files of a figure by their names, one of each kind of `WRITERS` that is asked for."""
    return {f"{name}.{kind}": WRITERS[kind](figure) for kind in kinds}


def _save(figure: Figure, **how: Any) -> bytes:
    buffer = io.BytesIO()
    with settings():
        figure.savefig(buffer, **how)
    return buffer.getvalue()
