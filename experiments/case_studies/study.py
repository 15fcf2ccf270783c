"""The form of a case study: rows that are computed, a figure and half a page that are made from the rows alone."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import pandas as pd

from megdt_opt.files import write_text
from megdt_opt.plot.saving import save
from megdt_opt.plot.series import COLUMN_IN, PAGE_IN
from megdt_opt.report.canvas import new_figure, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 120
"""Of a page's lines [characters]."""

RESULTS = Path(__file__).with_name("results")


@dataclass(frozen=True, kw_only=True)
class Study:
    """One case study.

    Parameters
    ----------
    name : str
        Name of the study and of its files.
    title : str
        Heading of its page.
    lead : str
        The claim that is put to the test, in a sentence.
    verdict : callable
        Whether the claim holds, in a sentence from the table of rows.
    rows : callable
        Computes the rows; nothing else computes.
    panels : tuple of callable
        Each draws one panel from the table of rows, `panel(frame, axes)`.
    findings : callable
        The page's text from the table of rows: every number in it is a number of the table.
    height_in : float
        Height of one panel [inch]; of the whole figure where there is a mosaic.
    mosaic : tuple of str
        Where panels are not all of one height: rows of letters, a letter for each panel in their order.
    """

    name: str
    title: str
    lead: str
    verdict: Callable[[pd.DataFrame], str]
    rows: Callable[[], Iterable[dict[str, Any]]]
    panels: tuple[Callable[[pd.DataFrame, Axes], None], ...]
    findings: Callable[[pd.DataFrame], str]
    height_in: float = 2.5
    mosaic: tuple[str, ...] = ()

    def table_at(self, folder: Path = RESULTS) -> Path:
        """The file of the rows."""
        return folder / f"{self.name}.csv"

    def frame(self, folder: Path = RESULTS) -> pd.DataFrame:
        """The rows as they are kept."""
        return pd.read_csv(self.table_at(folder))

    def figure(self, frame: pd.DataFrame) -> Figure:
        """Up to two panels in a column, more side by side over the page; every panel is as wide as a column."""
        across = 1 if len(self.panels) <= 2 else 2
        down = -(-len(self.panels) // across)
        with settings():
            made = new_figure(COLUMN_IN if across == 1 else PAGE_IN, self.height_in * (1 if self.mosaic else down))
            if self.mosaic:
                places = [axes for _, axes in sorted(made.subplot_mosaic([list(row) for row in self.mosaic]).items())]
            else:
                places = list(made.subplots(down, across, squeeze=False).ravel())
            for panel, axes in zip(self.panels, places, strict=True):
                panel(frame, axes)
        return made

    def page(self, frame: pd.DataFrame) -> str:
        """The page in Markdown."""
        return "\n".join([
            f"# {self.title}",
            "",
            _wrapped(f"Put to the test: {self.lead}\n\n{self.verdict(frame)}"),
            "",
            _wrapped(self.findings(frame)),
            "",
            f"![{self.title}]({self.name}.png)",
            "",
            f"Made by `python experiments/case_study.py {self.name}`; the rows are in `{self.name}.csv`, the "
            f"figure for print in `{self.name}.pdf`.",
            "",
        ])  # fmt: skip

    def compute(self, folder: Path = RESULTS) -> float:
        """Compute the rows and keep them; what that took, imports apart [s of processor time]."""
        text, start_s = io.StringIO(), _processor_s()
        pd.DataFrame(list(self.rows())).to_csv(text, index=False, lineterminator="\n")
        write_text(self.table_at(folder), text.getvalue())
        return _processor_s() - start_s

    def write(self, folder: Path = RESULTS) -> Figure:
        """Make figure and page from the kept rows; the figure."""
        frame = self.frame(folder)
        made = self.figure(frame)
        with settings():
            for ending in ("png", "pdf"):
                save(made, folder / f"{self.name}.{ending}")
        write_text(folder / f"{self.name}.md", self.page(frame))
        return made


def holds(claim: bool, why: str) -> str:
    """A verdict: a claim that stands or falls with what was found."""
    return f"{'It holds' if claim else 'It does not hold'}: {why}"


def _processor_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _wrapped(text: str) -> str:
    """Paragraphs in lines of one width; tables stay as they are."""
    parts = [part.strip() for part in text.strip().split("\n\n")]
    return "\n\n".join(
        part if part.startswith("|") else fill(part, WIDTH, break_long_words=False, break_on_hyphens=False)
        for part in parts
    )
