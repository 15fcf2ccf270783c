"""Which users run which mechanism, over two parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Any

from megdt_opt.errors import InvalidInput
from megdt_opt.plot.series import Places, alone, figure_of, legend_above, need, places, rows_at, sheet
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.report.canvas import FAINT

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

LIGHT_TEXT = ("centralised", "local", "SEU-UE-first")
"""Mechanisms whose colour is dark enough for white text."""


_MARGIN = 0.04
"""Around a tile [tiles]."""


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
    shares : mapping of str to float
        Users who run each mechanism, as shares of those who have a plan [1].
    """

    mechanism: str | None
    share: float
    tie: bool
    infeasible: int
    rows: int
    shares: Mapping[str, float] = field(default_factory=dict)


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
    shares = {name: count / total for name, count in counts.items()}
    return Tile(mechanism=most, share=shares[most], tie=tie, infeasible=missing, rows=len(rows), shares=shares)


def mechanism_map_figure(
    frame: pd.DataFrame, x: str, y: str, *, axes: Axes | None = None, width_in: float | None = None
) -> Figure:
    """Draw which users run what, for each pair of values of two swept parameters.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `sweep` returns it.
    x, y : str
        Columns on the horizontal and on the vertical axis; every pair of their values is a tile of the same size.
    axes : matplotlib.axes.Axes, optional
        Where to draw, in the fonts that hold there; default a figure of its own.
    width_in : float, optional
        Width of that figure [inch], such as `COLUMN_IN`; default that of a page on a screen.

    Returns
    -------
    matplotlib.figure.Figure
        A tile is divided from left to right as users are among mechanisms, over all seeds; the part of the seeds
        without a plan is hatched.

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
    columns, lines = len(across.values), len(up.values)
    with sheet(axes, width_in, (max(5.4, 1.3 + 0.98 * columns), 1.35 + 0.6 * lines)) as on:
        present: set[str | None] = set()
        for i, a in enumerate(across.values):
            for j, b in enumerate(up.values):
                rows = rows_at(rows_at(frame, x, a), y, b)
                if len(rows):
                    present |= _draw(on, i, j, tile(rows), colours)
        _axes(on, across, up)
        _legend(on, present, colours, own=axes is None)
    return figure_of(on)


def _draw(axes: Axes, i: int, j: int, found: Tile, colours: Mapping[str, str]) -> set[str | None]:
    """Bars of a tile, from left to right; what they show."""
    from matplotlib.patches import Rectangle

    parts: dict[str | None, float] = {m: s * (1 - found.infeasible / found.rows) for m, s in found.shares.items()}
    parts[None] = found.infeasible / found.rows
    left, side = i - 0.5 + _MARGIN, 1 - 2 * _MARGIN
    shown = {name: share for name, share in parts.items() if share > 0}
    for name, share in shown.items():
        none = name is None
        axes.add_patch(
            Rectangle(
                (left, j - 0.5 + _MARGIN), side * share, side, facecolor="white" if name is None else colours[name],
                edgecolor=FAINT if none else "none", hatch="////" if none else None, lw=0,
            )
        )  # fmt: skip
        left += side * share
    return set(shown)


def _axes(axes: Axes, across: Places, up: Places) -> None:
    axes.set_xlim(-0.5, len(across.values) - 0.5)
    axes.set_ylim(-0.5, len(up.values) - 0.5)
    axes.set_xticks(range(len(across.values)), across.labels)
    axes.set_yticks(range(len(up.values)), up.labels)
    axes.set_xlabel(across.quantity.label)
    axes.set_ylabel(up.quantity.label)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def _legend(axes: Axes, present: set[str | None], colours: Mapping[str, str], *, own: bool) -> None:
    from matplotlib.patches import Patch

    handles: list[Any] = [Patch(facecolor=colour, label=m) for m, colour in colours.items() if m in present]
    if None in present:
        handles.append(Patch(facecolor="white", edgecolor=FAINT, hatch="////", label="infeasible"))
    legend_above(axes, handles, [str(h.get_label()) for h in handles], own=own)
