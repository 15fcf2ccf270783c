"""README's table of mechanisms is what the script makes of the committed rows; a row that fails empties its cell."""

from __future__ import annotations

import copy
from pathlib import Path

import mechanism_table as made
import pytest

README = Path(__file__).resolve().parents[2] / "README.md"


def cells(text: str, name: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.split("|")[3:-1]]  # behind name and protocol


def test_the_table_in_the_readme_is_the_one_that_is_made() -> None:
    text = README.read_text(encoding="utf-8")
    assert made.with_table(text, made.table(*made.load())) == text
    assert text.count(made.BEGIN) == text.count(made.END) == 1


def test_no_cell_is_a_tick_or_more_than_its_rows_say() -> None:
    rows, agreement = made.load()
    text = made.table(rows, agreement)
    for mechanism in made.MECHANISMS:
        found = cells(text, mechanism.name)
        users = mechanism.users(made.rows_of(rows))
        assert len(found) == 6
        assert all(cell == "" or any(c.isdigit() for c in cell) for cell in found)
        assert found[2] == "" or int(found[2].split(",")[0]) == len(users)


@pytest.mark.parametrize(
    ("column", "spoil"),
    [
        (0, lambda row: row.update(planned_off=1e-3)),
        (1, lambda row: row.update(proof_holds=False)),
        (1, lambda row: row.update(gap=0.1)),
        (2, lambda row: row.update(error_percent=dict.fromkeys(row["error_percent"], 50.0))),
        (3, lambda row: row["costs"][0].update(messages=[3, 4])),
        (3, lambda row: [c.update(edge_s=[0.0, None]) for c in row["costs"]]),
    ],
    ids=["plan off", "proof fails", "gap open", "executed late", "messages differ", "costs not measured"],
)
def test_a_row_that_fails_empties_its_cell(column: int, spoil) -> None:
    rows, agreement = made.load()
    changed = copy.deepcopy(rows)
    name = changed["alone"][0]["mechanisms"][0]
    for row in made.rows_of(changed):
        if name in row["mechanisms"]:
            spoil(row)
            row["costs"] = [row["costs"][0] for _ in row["costs"]] if column == 3 else row["costs"]
    assert cells(made.table(rows, agreement), name)[column]
    assert cells(made.table(changed, agreement), name)[column] == ""


def test_without_rows_a_line_is_empty() -> None:
    rows, agreement = made.load()
    nothing = {**rows, "rows": [], "alone": [], "more": {}}
    for m in made.MECHANISMS:  # the quality has rows of its own
        assert cells(made.table(nothing, agreement), m.name) == [*[""] * 4, made.measured(m.name), ""]
    off = {**agreement, "rows": [{**row, "off": 0.1} for row in agreement["rows"]]}
    assert all(cells(made.table(rows, off), m.name)[5] == "" for m in made.MECHANISMS)
