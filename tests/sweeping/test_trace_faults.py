"""Trace files with a value that cannot be read: the message names line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.sweeping.trace_rows import trace_axis


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("steps,channel.uplink\n5,1 MHz\n6," + "x" * 200_000 + "\n", "line 3"),
        ("steps,channel.uplink\n5,[1\n", r"line 2, column channel\.uplink"),
        ("steps,channel.uplink\n\n5,1 MHz\n!!x 6,1 MHz\n", "line 4, column steps"),
        ("steps,channel.uplink\n5,*none\n", r"line 2, column channel\.uplink"),
    ],
    ids=["too long", "open list", "tag after an empty line", "alias"],
)
def test_a_cell_that_cannot_be_read_is_refused_by_line_and_column(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=named):
        trace_axis(path)
