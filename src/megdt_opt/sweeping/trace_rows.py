"""A measured trace as an axis of a sweep: fields that change together, row by row, where a value may come twice."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_text
from megdt_opt.yaml_text import parse_yaml

ROWS = "rows"
"""The key whose value is a trace."""

ROW = "row"
"""Column with the number of the row, from 0."""

_REMEDY = 'Give {"rows": "trace.csv"}, whose head names paths, or a list of {path: value} with the same paths in each.'


def trace_axis(given: object) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Paths and values of a trace, the number of the row before them.

    Parameters
    ----------
    given : str, Path or list of dict
        The path of a CSV whose head names paths, as `sweep` takes them, and whose values are written as in a scenario
        file; or such rows. A list with a single path is taken for the path.

    Raises
    ------
    InvalidInput
        Where it is neither, has no row, or rows state different paths.
    """
    if isinstance(given, list | tuple) and len(given) == 1 and isinstance(given[0], str | Path):
        (given,) = given
    if isinstance(given, str | Path):
        rows = _read(given)
    elif isinstance(given, Iterable) and not isinstance(given, Mapping):
        rows = list(given)
    else:
        raise InvalidInput(ROWS, given, "a trace", _REMEDY)
    if not rows or not all(isinstance(row, Mapping) and row for row in rows):
        raise InvalidInput(ROWS, rows, "at least one row, each a mapping of paths to values", _REMEDY)
    paths = tuple(rows[0])
    for number, row in enumerate(rows):
        if set(row) != set(paths):
            raise InvalidInput(f"{ROWS}.{number}", sorted(map(str, row)), f"the paths {sorted(paths)}", _REMEDY)
    return (ROW, *paths), [(number, *(row[path] for path in paths)) for number, row in enumerate(rows)]


def _read(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a CSV, their values read as YAML reads them."""
    source = str(path)
    reader = csv.reader(io.StringIO(read_text(path, "trace file")))
    try:
        numbered = [(reader.line_num, line) for line in reader if any(line)]
    except csv.Error:
        expected = f"a CSV whose values have at most {csv.field_size_limit()} characters"
        remedy = "Correct the line."
        raise InvalidInput(f"trace file {source}", f"line {reader.line_num}", expected, remedy) from None
    lines = [line for _, line in numbered]
    if len(lines) < 2:
        raise InvalidInput("trace file", source, "a head with paths, and at least one row", _REMEDY)
    head = [name.strip() for name in lines[0]]
    if len(set(head)) < len(head) or "" in head:
        raise InvalidInput("trace file", source, "each path once in its head", "Name every column.")
    rows = []
    for number, line in numbered[1:]:
        if len(line) != len(head):
            raise InvalidInput(f"trace file {source}", f"line {number}", f"{len(head)} values", "Complete the row.")
        places = {name: f"trace file {source}, line {number}, column {name}" for name in head}
        rows.append({name: _value(text, places[name]) for name, text in zip(head, line, strict=True)})
    return rows


def _value(text: str, place: str) -> Any:
    try:
        return parse_yaml(text, place).value
    except InvalidInput as error:
        raise InvalidInput(place, "text that cannot be read", error.expected, error.remedy) from None
