"""A plain table (CSV): one time a row, with device, stage, batch and seconds.

`seconds`, `milliseconds` or `total_seconds` is the time of the stage for the whole batch; several rows of the same
stage are its samples. A row may also say `model`, `precision`, `variant`, `steps` (of a generation), `passes_per_step`,
`rows` and `rows_total` (of a latent region), `codec` and `source`. Other columns are not read; a second column of times
is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from megdt_opt.errors import InvalidInput
from megdt_opt.program import kinds
from megdt_opt.program.stages import Kind
from megdt_opt.timing.formats.figures import GENERATION, PASS, Figure, TimingFile, count, seconds

KIND = "a table of timings"

TIMES = {"seconds": 1.0, "milliseconds": 1e-3, "total_seconds": 1.0}
"""Columns with a time, and seconds in their unit."""

_COUNTS = ("steps", "passes_per_step", "rows", "rows_total")
_TEXTS = ("device", "model", "precision", "variant", "codec")
_PRECISIONS = {"single": "fp32", "half": "fp16"}
_DENOISE_STEP = "denoise_step"
"""Another word for the stage "denoise", which is a whole step."""


def read(rows: Sequence[Mapping[str, str]], source: str) -> TimingFile:
    """Figures of a table; rows that differ in their time alone are samples of one figure.

    Raises
    ------
    InvalidInput
        Where a value cannot be read; names line and column.
    """
    column, *others = (name for name in TIMES if name in rows[0])
    if others:
        raise InvalidInput(f"{source}, columns", [column, *others], "one column of times", "Keep the stage's own.")
    first: dict[tuple[object, ...], Figure] = {}
    times: dict[tuple[object, ...], list[float]] = {}
    for line, row in enumerate(rows, start=2):
        where = f"line {line}"
        texts = {name: (row.get(name) or "").strip() for name in _TEXTS}
        counts = {name: _optional(row.get(name), f"{where}, {name}", source) for name in _COUNTS}
        batch = count(_number(row.get("batch") or "1"), f"{where}, batch", source)
        key = (stage := _stage(row, where, source), batch, *texts.values(), *counts.values())
        times.setdefault(key, []).append(seconds(_number(row[column]), f"{where}, {column}", source, TIMES[column]))
        texts["precision"] = _PRECISIONS.get(texts["precision"], texts["precision"])
        if key not in first:
            note = (row.get("source") or "").strip()
            first[key] = Figure(
                stage=stage, samples_s=(), batch=batch, note=note, **texts, **counts  # type: ignore[arg-type]
            )  # fmt: skip
    figures = tuple(replace(figure, samples_s=tuple(times[key])) for key, figure in first.items())
    return TimingFile(kind=KIND, figures=figures, method="as the table's source says")


def _number(text: str) -> float | int | str:
    try:
        return int(text) if text.strip().lstrip("+").isdecimal() and len(text) < 20 else float(text)
    except ValueError:
        return text


def _optional(text: str | None, where: str, source: str) -> int | None:
    return None if text is None or not text.strip() else count(_number(text), where, source)


def _stage(row: Mapping[str, str], where: str, source: str) -> str:
    """The row's stage; a table without the column times generations."""
    name = row.get("stage", GENERATION).strip()
    if name == _DENOISE_STEP:
        return str(Kind.DENOISE)
    if name in (PASS, GENERATION):
        return name
    try:
        return kinds.stage_kind(name)
    except InvalidInput:
        known = [*map(str, Kind), _DENOISE_STEP, PASS, GENERATION]
        raise InvalidInput(f"{source}, {where}, stage", name, f"one of {known}", "Name it so.") from None
