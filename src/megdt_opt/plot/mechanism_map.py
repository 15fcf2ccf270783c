"""Which mechanism most users run, over two parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

from megdt_opt.errors import InvalidInput
from megdt_opt.plot.series import Places, alone, legend_above, need, places, rows_at
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.report.canvas import FAINT, new_figure, settings
from megdt_opt.si import percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "centralised": "#0072B2",
    "local": "#009E73",
    "E2U": "#56B4E9",
    "U2E": "#F0E442",
    "SEU": "#E69F00",
    "SEU-UE-first": "#D55E00",
    "PEU": "#CC79A7",
}
"""Colours that readers with any colour vision tell apart (Okabe and Ito, 2008)."""

_OWN_COLOURS = ("#999999", "#000000", "#882255", "#44AA99", "#DDCC77", "#332288")
"""Colours of mechanisms that users registered, in turn (the last four: Tol, 2021)."""

_LIGHT_TEXT = ("centralised", "local", "SEU-UE-first")
"""Mechanisms whose colour is dark enough for white text."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One cell of the map.

    Parameters
    ----------
    mechanism : str or None
        The one that most users run, over all seeds; None where no seed has a plan.
    share : float
        Users who run it, as a share of all [1].
    tie : bool
        Whether another mechanism has as many users.
    infeasible, rows : int
        Seeds without a plan, and all seeds [1].
    """

    mechanism: str | None
    share: float
    tie: bool
    infeasible: int
    rows: int


def mechanisms_in(frame: pd.DataFrame) -> tuple[str, ...]:
    """Mechanisms whose users a sweep counts: the package's, and those that users registered."""
    return tuple(name.removeprefix("users_") for name in map(str, frame.columns) if name.startswith("users_"))


def colours_of(mechanisms: Sequence[str]) -> dict[str, str]:
    """Colour of each mechanism."""
    own = (name for name in mechanisms if name not in COLOURS)
    return {**COLOURS, **dict(zip(own, cycle(_OWN_COLOURS), strict=False))}


def tile(rows: pd.DataFrame) -> Tile:
    """The dominant mechanism of some rows of a sweep; of equals, the first in the order of `mechanisms_in`."""
    counts = {m: int(rows[f"users_{m}"].sum()) for m in mechanisms_in(rows)}
    total = sum(counts.values())
    missing = int(rows[f"users_{MECHANISMS[0]}"].isna().sum())
    if total == 0:
        return Tile(mechanism=None, share=0.0, tie=False, infeasible=missing, rows=len(rows))
    most = max(counts, key=lambda m: counts[m])
    tie = list(counts.values()).count(counts[most]) > 1
    return Tile(mechanism=most, share=counts[most] / total, tie=tie, infeasible=missing, rows=len(rows))


def mechanism_map_figure(frame: pd.DataFrame, x: str, y: str) -> Figure:
    """Draw the mechanism that most users run, for each pair of values of two swept parameters.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `sweep` returns it.
    x, y : str
        Columns on the horizontal and on the vertical axis; every pair of their values is a tile of the same size.

    Returns
    -------
    matplotlib.figure.Figure
        Each tile names the mechanism and the share of the users who run it, over all seeds; tiles without any plan are
        hatched.

    Raises
    ------
    InvalidInput
        Where a column is missing, or another parameter varies that the figure would not show.
    """
    need(frame, [x, y, *(f"users_{m}" for m in MECHANISMS)])
    if x == y:
        raise InvalidInput("y", y, "another parameter than x", "Choose two parameters.")
    alone(frame, [x, y])
    across, up = places(frame, x), places(frame, y)
    colours = colours_of(mechanisms_in(frame))
    with settings():
        columns, lines = len(across.values), len(up.values)
        figure = new_figure(max(5.4, 1.3 + 0.98 * columns), 1.35 + 0.6 * lines)
        axes = figure.add_subplot()
        present: set[str | None] = set()
        for i, a in enumerate(across.values):
            for j, b in enumerate(up.values):
                rows = rows_at(rows_at(frame, x, a), y, b)
                if len(rows):
                    found = tile(rows)
                    present.add(found.mechanism)
                    _draw(axes, i, j, found, colours)
        _axes(axes, across, up)
        _legend(figure, present, colours)
    return figure


def _draw(axes: Axes, i: int, j: int, found: Tile, colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Rectangle

    none = found.mechanism is None
    colour = "white" if found.mechanism is None else colours[found.mechanism]
    axes.add_patch(
        Rectangle(
            (i - 0.5, j - 0.5), 1, 1, facecolor=colour, edgecolor=FAINT if none else "white",
            hatch="////" if none else None, lw=0 if none else 1.2,
        )
    )  # fmt: skip
    if found.mechanism is None:
        return
    text = f"{found.mechanism}\n{percent(100 * found.share, 0, signed=False)}{' (tie)' if found.tie else ''}"
    if found.infeasible:
        text += f"\n{found.infeasible} of {found.rows} infeasible"
    axes.text(
        i, j, text, ha="center", va="center", size=7.5, linespacing=1.25,
        color="white" if found.mechanism in _LIGHT_TEXT or colour == "#000000" else "black",
    )  # fmt: skip


def _axes(axes: Axes, across: Places, up: Places) -> None:
    axes.set_xlim(-0.5, len(across.values) - 0.5)
    axes.set_ylim(-0.5, len(up.values) - 0.5)
    axes.set_xticks(range(len(across.values)), across.labels)
    axes.set_yticks(range(len(up.values)), up.labels)
    axes.set_xlabel(across.quantity.label)
    axes.set_ylabel(up.quantity.label)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def _legend(figure: Figure, present: set[str | None], colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(facecolor=colour, label=m) for m, colour in colours.items() if m in present]
    if None in present:
        handles.append(Patch(facecolor="white", edgecolor=FAINT, hatch="////", label="infeasible"))
    legend_above(figure, handles, [str(h.get_label()) for h in handles], title="mechanism that most users run")
