"""Rows of a sweep as Parquet: fixed columns, types and settings of the writer, so that equal rows are equal bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.scenario.disciplines import BATCHED, IN_TURNS
from megdt_opt.scenario.measured import quality_columns
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.sweeping.cell import COUNTS, TEXTS, all_columns, mechanisms_of, users_columns
from megdt_opt.sweeping.grid import Grid

CLOCKS = ("build_s", "solve_s")
"""Columns of a cell that the clock makes: they stand in the file beside."""

_USER = {
    **dict.fromkeys(("user", "edge", "mechanism", "protocol"), "text"), "cut": "count", "share_at_edge": "number",
    "precision": "text", "codec": "text",
    **dict.fromkeys(("downlink_hz", "uplink_hz", "edge_share", "latency_s", "refresh_hz"), "number"),
    "bottleneck": "text", "edge_s": "number", "edge_byte": "count", "device_byte": "count",
    **dict.fromkeys(("edge_compute_j", "device_compute_j", "device_radio_j", "device_load_s"), "number"),
    "messages": "count", "signalling_byte": "count",
}  # fmt: skip
_OF_GROUPS = dict.fromkeys(("group", "rides", "common_steps"), "count")
_OF_TURNS = {
    "back": "count",
    "turn": "count",
    **dict.fromkeys((f"turn_{n}_s" for n in ("start", "end", "waiting")), "number"),
}
_OF_BATCHES = {"batches": "count", "batches_start_s": "number", "batches_end_s": "number"}

Kinds = dict[str, str]
"""Columns in their order, each "text", "count", "number" or "truth"."""


def columns_of(grid: Grid) -> tuple[Kinds, Kinds]:
    """Columns of the cells and of their users, the same for every part of a sweep."""
    head = {name: _kind_of(values) for name, values in grid.columns.items()} | {"seed": "count"}
    mechanisms = mechanisms_of(grid.kinds)
    counts = {*COUNTS, *users_columns(mechanisms)}
    cells = {
        name: "text" if name in TEXTS else "count" if name in counts else "number"
        for name in all_columns(mechanisms)
        if name not in CLOCKS
    }
    return {**head, "users": "count", **cells}, {**head, **_users_of(grid.kinds)}


def _users_of(scenarios: Iterable[Scenario]) -> Kinds:
    found = dict(_USER)
    for scenario in scenarios:
        found |= _OF_GROUPS if (scenario.groups, scenario.grouping) != (None, None) else {}
        for user in scenario.users:
            found |= dict.fromkeys(quality_columns(user, None), "number")
        found |= {IN_TURNS: _OF_TURNS, BATCHED: _OF_BATCHES}.get(scenario.discipline, {})
    return found


def _kind_of(values: Iterable[Any]) -> str:
    given = [value for value in values if value is not None]
    if given and all(isinstance(value, bool) for value in given):
        return "truth"
    if any(isinstance(value, bool | str) for value in given):
        return "text"
    return "count" if all(isinstance(value, int) for value in given) else "number"


def parquet(rows: Sequence[Mapping[str, Any]], columns: Kinds) -> bytes:
    """The rows as a Parquet file; what a row lacks is null."""
    pa = pyarrow()
    types = {"text": pa.string(), "count": pa.int64(), "number": pa.float64(), "truth": pa.bool_()}
    arrays = [pa.array([_plain(row.get(name), kind) for row in rows], types[kind]) for name, kind in columns.items()]
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    held = io.BytesIO()
    with writer(held, schema) as file:
        file.write_table(pa.table(arrays, schema=schema), row_group_size=max(len(rows), 1))
    return held.getvalue()


def writer(where: Any, schema: Any) -> Any:
    """A writer with all settings fixed."""
    pyarrow()
    from pyarrow import parquet as files

    return files.ParquetWriter(
        where, schema, version="2.6", compression="zstd", compression_level=3, use_dictionary=True,
        data_page_size=2**20, data_page_version="1.0", write_statistics=True, store_schema=True,
    )  # fmt: skip


def pyarrow() -> Any:
    """The module; raises InvalidInput where it is not installed."""
    try:
        import pyarrow as module
    except ImportError:
        remedy = 'Install it: pip install "megdt-opt[cluster]".'
        raise InvalidInput("pyarrow", None, "an installed package, which writes a sweep in parts", remedy) from None
    return module


def _plain(value: Any, kind: str) -> Any:
    if value is None or value != value:
        return None
    return str(value) if kind == "text" else value
