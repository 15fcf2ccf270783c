"""Tables of measured quality: what was measured of which model, as JSON, with where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import parse_json, read_text, write_text
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY
from megdt_opt.quality.factors import HANDED_OVER_LIKE, Factors
from megdt_opt.quality.statistic import METRICS, Statistic

FORMAT = "megdt-opt quality 1"
"""What a table's field "format" says."""

LIMIT_BYTE = 2**26
"""Largest file of a table [byte]."""

_REMEDY = "Write it with `megdt-opt quality`."
_FIELDS = {"format": str, "model": str, "weights": str, "provenance": dict, "rows": list}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured point.

    Parameters
    ----------
    factors : Factors
    count : int
        Pictures [1].
    metrics : mapping of str to Statistic
        By the names of `METRICS`; those that this model has.
    """

    factors: Factors
    count: int
    metrics: Mapping[str, Statistic]

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        found = {name: value.to_list() for name, value in self.metrics.items()}
        return {**self.factors.to_dict(), "count": self.count, "metrics": found}

    @classmethod
    def from_dict(cls, data: Any) -> Row:
        """Build from plain data; raises InvalidInput, which names the field."""
        if not isinstance(data, dict):
            raise InvalidInput("", type(data).__name__, "an object", _REMEDY)
        rest = dict(data)
        count, metrics = rest.pop("count", None), rest.pop("metrics", None)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InvalidInput("count", count, "at least 1 picture", _REMEDY)
        if not isinstance(metrics, dict) or not metrics or not set(metrics) <= set(METRICS):
            found = list(metrics) if isinstance(metrics, dict) else metrics
            raise InvalidInput("metrics", found, f"some of {tuple(METRICS)}", _REMEDY)
        made = {name: Statistic.from_list(f"metrics.{name}", value) for name, value in metrics.items()}
        return cls(factors=Factors.from_dict(rest), count=count, metrics=made)


@dataclass(frozen=True, kw_only=True)
class QualityTable:
    """What was measured of a model's pictures.

    Parameters
    ----------
    model : str
        Name of the model.
    weights : str
        Digest of its weights; "" where they are none of files.
    rows : tuple of Row
    provenance : mapping
        Machine, versions, seeds and script.

    Examples
    --------
    >>> from megdt_opt.quality.table import QualityTable
    >>> twin = QualityTable.bundled("twin")
    >>> twin.model, len(twin.rows) > 0
    ('twin', True)
    """

    model: str
    weights: str
    rows: tuple[Row, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def at(self) -> dict[Factors, Row]:
        """Rows by their factors."""
        return {row.factors: row for row in self.rows}

    @cached_property
    def curves(self) -> dict[Factors, list[Row]]:
        """Rows of each curve."""
        found: dict[Factors, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.factors.curve, []).append(row)
        return found

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that some row has."""
        return tuple(name for name in METRICS if any(name in row.metrics for row in self.rows))

    @cached_property
    def _kinds(self) -> set[tuple[str, str, str, bool, str]]:
        return {_kind(row.factors) for row in self.rows}

    def knows(self, factors: Factors) -> bool:
        """Whether pictures of this kind were measured: mechanism, precision, decoder, adapter, at whatever cut and
        steps. What users registered themselves is known where its precision was measured with some mechanism.
        """
        kind = _kind(factors)
        name = HANDED_OVER_LIKE.get(factors.mechanism, factors.mechanism)
        if name in MECHANISM_REGISTRY.own:
            return kind[1:] in {known[1:] for known in self._kinds}
        return (name, *kind[1:]) in self._kinds

    def with_rows(self, rows: Iterable[Row]) -> QualityTable:
        """The table with further rows, in place of those with the same factors."""
        made = {**self.at, **{row.factors: row for row in rows}}
        return QualityTable(
            model=self.model, weights=self.weights, rows=tuple(made.values()), provenance=self.provenance
        )

    def to_json(self) -> str:
        """The text of a table's file: a row a line."""
        head = {"format": FORMAT, "model": self.model, "weights": self.weights, "provenance": dict(self.provenance)}
        rows = ",\n".join(f"  {json.dumps(row.to_dict())}" for row in self.rows)
        return json.dumps(head, indent=1)[:-2] + f',\n "rows": [\n{rows}\n ]\n}}\n'

    def save(self, path: str | Path) -> None:
        """Write a file that `load` reads."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> QualityTable:
        """Read a file of `save`.

        Raises
        ------
        InvalidInput
            Where it is missing or none; names the file, and the row and the field that are wrong.
        """
        return cls.from_json(read_text(path, "quality file", limit_byte=LIMIT_BYTE), str(path))

    @classmethod
    def from_json(cls, text: str, source: str = "text") -> QualityTable:
        """Read the text of a file; raises as `load` does."""
        data = parse_json(text, "quality file", source, remedy=_REMEDY)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise InvalidInput("quality file", source, f"a file of format {FORMAT!r}", _REMEDY)
        for name, kind in _FIELDS.items():
            if not isinstance(data.get(name), kind):
                raise InvalidInput(f"{source}: {name}", _shown(data.get(name)), _NAMED[kind], _REMEDY)
        unknown = sorted(set(data) - set(_FIELDS))
        if unknown:
            raise InvalidInput(f"{source}: {unknown[0]}", "a field", f"one of {tuple(_FIELDS)}", "Remove it.")
        rows: dict[Factors, Row] = {}
        for number, entry in enumerate(data["rows"]):
            try:
                row = Row.from_dict(entry)
            except InvalidInput as error:
                where = ".".join(filter(None, (f"{source}: rows.{number}", error.field)))
                raise InvalidInput(where, error.value, error.expected, error.remedy) from None
            if row.factors in rows:
                raise InvalidInput(f"{source}: rows.{number}", "a row", "each point once", "Remove one of the two.")
            rows[row.factors] = row
        return cls(
            model=data["model"], weights=data["weights"], rows=tuple(rows.values()), provenance=data["provenance"]
        )

    @classmethod
    def bundled(cls, model: str) -> QualityTable | None:
        """The table of a model that comes with the package; None where it has none."""
        return _bundled(model)


def _kind(factors: Factors) -> tuple[str, str, str, bool, str]:
    return (factors.mechanism, factors.precision, factors.decoder, factors.adapter, factors.computed)


def _shown(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else type(value).__name__


_NAMED: dict[type, str] = {str: "text", dict: "an object", list: "a list"}


@lru_cache(maxsize=8)
def _bundled(model: str) -> QualityTable | None:
    """All files MODEL-quality*.json of the package, as one table."""
    folder = resources.files("megdt_opt.data.quality")
    parts = [
        QualityTable.from_json(file.read_text(encoding="utf-8"), file.name)
        for file in sorted(folder.iterdir(), key=lambda file: (len(file.name), file.name))
        if file.name.startswith(f"{model}-quality") and file.name.endswith(".json")
    ]
    if not parts:
        return None
    first = parts[0]
    for part in parts[1:]:
        if part.weights != first.weights:
            raise InvalidInput("quality files", model, "files of the same weights", "Measure them again.")
        first = first.with_rows(part.rows)
    return first
