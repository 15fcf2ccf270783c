"""From a tidy table to lines with bands, and what all line figures share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.plot.quantity import Quantity, quantity
from megdt_opt.report.canvas import FAINT, GRID, new_figure, settings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    Frame = pd.DataFrame

STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "marker": "o", "ls": "-"},
    {"color": "#D55E00", "marker": "s", "ls": "--"},
    {"color": "#009E73", "marker": "^", "ls": "-."},
    {"color": "#CC79A7", "marker": "D", "ls": ":"},
    {"color": "#E69F00", "marker": "v", "ls": (0, (5, 1, 1, 1, 1, 1))},
    {"color": "#56B4E9", "marker": "P", "ls": (0, (8, 2))},
    {"color": "#222222", "marker": "X", "ls": (0, (1, 1))},
    {"color": "#882255", "marker": "p", "ls": (0, (6, 1, 1, 1))},
    {"color": "#999933", "marker": "<", "ls": (0, (3, 1))},
    {"color": "#888888", "marker": "*", "ls": (0, (10, 1, 2, 1))},
)
"""Ten series: colours after Okabe and Ito (2008), the last three after Tol (2021) and grey, each with a marker and a
dash of its own: none is told by colour alone."""

COLUMN_IN, PAGE_IN = 3.5, 7.16
"""Widths of a column and of a page of two columns [inch]."""

PLAIN_NAMES = ("method", "family")
"""Columns whose values say what they are."""

MOST_TICKS = 10
"""An axis has a tick at every value of its parameter up to this many."""

LOG_FROM = 8.0
"""An axis whose largest value is at least this multiple of its smallest is logarithmic [1]."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the values of a parameter stand on an axis.

    Parameters
    ----------
    column : str
        The parameter.
    values : tuple
        Its values, in order; None where a limit is left out.
    at : array, (n,)
        Positions: the values in the drawn unit, or 0, 1, ... for what is not a number.
    labels : tuple of str
        Texts of the values.
    quantity : Quantity
        Name and unit.
    numeric, log : bool
        Whether the positions are numbers, and whether they ask for a logarithmic axis.
    """

    column: str
    values: tuple[Any, ...]
    at: NDArray[np.float64]
    labels: tuple[str, ...]
    quantity: Quantity
    numeric: bool
    log: bool

    @property
    def names(self) -> list[str]:
        """The values in words, for a legend: "downlink band: 60 kHz"; a text such as a method's name as it is."""
        if self.column in PLAIN_NAMES:
            return list(self.labels)
        unit = f" {self.quantity.unit}" if self.quantity.unit else ""
        return [f"{self.quantity.name}: {text}{unit if text != 'none' else ''}" for text in self.labels]


def places(frame: Frame, column: str) -> Places:
    """Values of a parameter and their places on an axis."""
    need(frame, [column])
    raw = [None if is_none(value) else value for value in frame[column].drop_duplicates().tolist()]
    number = [value for value in raw if isinstance(value, int | float) and not isinstance(value, bool)]
    only_numbers = len(number) == len([v for v in raw if v is not None]) and len(number) > 0
    if not only_numbers:
        texts = tuple("none" if value is None else str(value) for value in raw)
        at = np.arange(len(raw), dtype=float)
        named = quantity(column)
        return Places(column=column, values=tuple(raw), at=at, labels=texts, quantity=named, numeric=False, log=False)
    values = (*sorted(number), *([None] if None in raw else []))
    named = quantity(column, number)
    labels = tuple("none" if v is None else named.text(v) for v in values)
    numeric = None not in values
    at = np.array(sorted(number)) / named.factor if numeric else np.arange(len(values), dtype=float)
    log = numeric and len(values) > 2 and min(number) > 0 and max(number) >= LOG_FROM * min(number)
    return Places(column=column, values=values, at=at, labels=labels, quantity=named, numeric=numeric, log=log)


def is_none(value: Any) -> bool:
    """Whether a value of a table stands for nothing."""
    return value is None or (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"


def rows_at(frame: Frame, column: str, value: Any) -> Frame:
    """The rows with this value; None finds the empty ones."""
    return frame[frame[column].isna()] if value is None else frame[frame[column] == value]


@dataclass(frozen=True, kw_only=True)
class Line:
    """Median and band at each place; NaN where there is no value."""

    middle: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def line(frame: Frame, where: Places, value: str, band: tuple[float, float]) -> Line:
    """Median and two quantiles of a column over the rows at each place, empty values left out."""
    if not 0 <= band[0] <= band[1] <= 1:
        raise InvalidInput("band", band, "two quantiles, 0 <= low <= high <= 1", "Use (0, 1) for least to most.")
    found = np.full((3, len(where.values)), np.nan)
    for i, v in enumerate(where.values):
        values = numbers(rows_at(frame, where.column, v), value)
        values = values[np.isfinite(values)]
        if len(values):
            found[:, i] = np.quantile(values, [0.5, *band])
    return Line(middle=found[0], low=found[1], high=found[2])


def numbers(frame: Frame, column: str) -> NDArray[np.float64]:
    """A column as floats, NaN where it is empty."""
    return frame[column].to_numpy(dtype=float, na_value=np.nan)


def swept(frame: Frame) -> list[str]:
    """The swept columns of a table that `sweep` made: those before "seed"."""
    names = [str(name) for name in frame.columns]
    return names[: names.index("seed")] if "seed" in names else []


def need(frame: Frame, columns: Iterable[str]) -> None:
    """Refuse a table that is empty or lacks a column."""
    if len(frame) == 0:
        raise InvalidInput("frame", "no rows", "a table with at least one row", "Sweep first.")
    for name in columns:
        if name not in frame.columns:
            raise InvalidInput("column", name, f"one of {list(frame.columns)}", "Name a column of the table.")


def alone(frame: Frame, shown: Sequence[str]) -> None:
    """Refuse a table in which another parameter varies too, because its values would be mixed in one point."""
    for name in swept(frame):
        if name not in shown and len(frame[name].drop_duplicates()) > 1:
            values = frame[name].drop_duplicates().tolist()
            raise InvalidInput(
                name,
                values,
                "one value, because this figure does not show it",
                f"Choose rows, or show it: by={name!r}.",
            )


def band_name(band: tuple[float, float], noun: str) -> str:
    """The band in words."""

    def end(q: float) -> str:
        return {0.0: "least", 0.5: "median", 1.0: "most"}.get(q, f"{100 * q:g}th percentile")

    return f"{end(band[0])} to {end(band[1])} {noun}".strip()


def lay_out(axes: Axes, where: Places) -> None:
    """Scale, ticks and label of the horizontal axis, and a plain frame."""
    if where.log:
        axes.set_xscale("log")
    if not where.numeric or len(where.at) <= MOST_TICKS:
        ticks_at(axes, where)
    axes.set_xlabel(where.quantity.label)
    plain(axes)


def ticks_at(axes: Axes, where: Places) -> None:
    """A tick at each of the values and nowhere else."""
    from matplotlib.ticker import NullFormatter, NullLocator

    axes.set_xticks(where.at, where.labels)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def logarithmic(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis of few decades, with texts between the decades where there is room."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        """The texts that the base would write, without exponents."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    low, high = axis.get_view_interval()
    if low >= 1e-3 and high <= 1e4:
        axis.set_major_formatter(Plain(labelOnlyBase=False))
        axis.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(1.5, 0.6)))


def plain(axes: Axes) -> None:
    """Grid behind the lines, no frame above and on the right."""
    axes.grid(True, color=GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", color=FAINT)
    axes.spines[["top", "right"]].set_visible(False)


@contextmanager
def sheet(axes: Axes | None, width_in: float | None, usual_in: tuple[float, float]) -> Iterator[Axes]:
    """Axes to draw into: the caller's, in the caller's fonts, or those of a new figure in the package's.

    Parameters
    ----------
    axes : matplotlib.axes.Axes or None
        The caller's.
    width_in : float or None
        Of a new figure [inch]; None for the usual one.
    usual_in : tuple of float
        Usual width and height of a new figure [inch].
    """
    if axes is not None:
        if width_in is not None:
            raise InvalidInput("width_in", width_in, "nothing where axes are given", "Set the width of their figure.")
        yield axes
        return
    usual, height = usual_in
    if width_in is not None and not 1.0 <= width_in <= 100.0:
        raise InvalidInput("width_in", width_in, "1 to 100 [inch]", "Use COLUMN_IN or PAGE_IN.")
    with settings():
        yield new_figure(usual if width_in is None else width_in, height).add_subplot()


def figure_of(axes: Axes) -> Figure:
    """The whole figure that holds the axes."""
    from matplotlib.figure import Figure

    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    return figure


def legend_above(
    axes: Axes, handles: Sequence[Any], labels: Sequence[str], title: str | None = None, *, own: bool = True
) -> None:
    """The one legend, above the axes, in as many columns as fit their width.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
    handles, labels : sequence
        What is told, and how.
    title : str, optional
        Of the legend.
    own : bool
        Whether the figure is for these axes alone; in a caller's figure the legend stays with its axes.
    """
    figure = figure_of(axes)
    short, common = shared_name(labels)
    fits = _legend_fits(axes, handles, labels, title, own=own, least=_FEW if common else 2)
    if not fits and common and title is None:
        labels, title = short, common
        fits = _legend_fits(axes, handles, labels, title, own=own, least=2)
    if not fits:
        _legend_of(axes, handles, labels, title, 1, own=own)
    if own:  # a high legend takes no height from the axes
        height = float(figure.get_figheight())
        tall = figure.legends[-1].get_window_extent().height / figure.dpi
        figure.set_figheight(height + max(0.0, tall - _LEGEND * height))
    figure.draw_without_rendering()


_FEW, _LEGEND = 5, 0.3
"""Entries from which on a legend in one column is too long, and part of a figure's height that it may take [1]."""


def _legend_of(
    axes: Axes, handles: Sequence[Any], labels: Sequence[str], title: str | None, columns: int, *, own: bool
) -> Any:
    common: dict[str, Any] = {"title": title, "ncols": columns, "frameon": False, "handlelength": 2.6}
    if own:
        figure = figure_of(axes)
        return figure.legend(list(handles), list(labels), loc="outside upper center", columnspacing=1.6, **common)
    return axes.legend(
        list(handles), list(labels), loc="lower center", bbox_to_anchor=(0.5, 1.0), columnspacing=1.2,
        fontsize="small", **common,
    )  # fmt: skip


def _legend_fits(
    axes: Axes, handles: Sequence[Any], labels: Sequence[str], title: str | None, *, own: bool, least: int
) -> bool:
    """Make the legend with the most columns that are about equally high and fit the width; False where none does.

    A single column counts where there are fewer entries than `least`.
    """
    figure = figure_of(axes)
    for columns in range(min(len(handles), 5), 0, -1):
        if (columns > 1 and -len(handles) % columns > 1) or (columns == 1 and len(handles) >= least):
            continue
        made = _legend_of(axes, handles, labels, title, columns, own=own)
        width = made.get_window_extent().width
        if width <= 0.98 * (figure.bbox.width if own else axes.bbox.width):
            return True
        made.remove()
    return False


def shared_name(labels: Sequence[str]) -> tuple[list[str], str]:
    """Labels such as "band: 60 kHz" without the name that most of them begin with, and that name."""
    names = [label.partition(": ")[0] for label in labels if ": " in label]
    name = max(set(names), key=names.count, default="")
    if names.count(name) < 2:
        return list(labels), ""
    return [label.removeprefix(f"{name}: ") for label in labels], name
