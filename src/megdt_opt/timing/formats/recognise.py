"""Telling what a file is, by what it holds."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import parse_json, read_text
from megdt_opt.timing.formats import diffusers, optimum, plain, qualcomm
from megdt_opt.timing.formats.figures import TimingFile
from megdt_opt.yaml_text import parse_yaml

READ_LIMIT_BYTE = 2**26
"""Largest timing file that is read [byte]."""

YAML_LIMIT = 2**22
"""Longest text that is read as YAML, which takes far longer than the others [characters]."""

KINDS = f"{optimum.KIND} (JSON), {diffusers.KIND} (CSV), {qualcomm.KIND}, or {plain.KIND} (CSV)"
"""What is read, in words."""

_PERF = re.compile(r"^precisions:", re.MULTILINE)
_UNKNOWN = "text of another kind"
_CALIBRATE = "Take one of these, or time the stages with `megdt-opt calibrate`."


def timing_file(path: str | Path) -> TimingFile:
    """The figures of a timing file of another program.

    Raises
    ------
    InvalidInput
        Where it cannot be read, or is something else: the message says what it is.
    """
    source = str(path)
    text = read_text(path, "timing file", limit_byte=READ_LIMIT_BYTE)
    what, found = _recognised(text, source)
    if found is None:
        raise InvalidInput("timing file", source, KINDS, f"This is {what}. {_CALIBRATE}")
    return found


def described(path: str | Path) -> str | None:
    """What a file that is no timing profile is, in words; None where that is not known, or it is JSON of some kind."""
    try:
        text = read_text(path, "file", limit_byte=READ_LIMIT_BYTE)
        what, found = _recognised(text, str(path))
    except InvalidInput as error:
        return f"a timing file with a fault ({error.field})" if error.field.startswith(str(path)) else None
    if found is not None:
        return f"{found.kind}: `megdt-opt import-timings` makes a profile of it"
    return None if text.lstrip().startswith(("{", "[")) or what == _UNKNOWN else what


def _recognised(text: str, source: str) -> tuple[str, TimingFile | None]:
    """What a text is, in words, and its figures where it is a timing file of another program."""
    if text.lstrip().startswith("{"):
        data = parse_json(text, "timing file", source)
        if optimum.report_of(data) is not None:
            found = optimum.read(data, source)
            return found.kind, found
        named = data.get("schema") or data.get("format")
        kind = f"JSON that calls itself {named[:60]!r}" if isinstance(named, str) else "JSON of another kind"
        return kind, None
    rows = _table(text)
    if rows and all(name in rows[0] for name in diffusers.NETWORKS):
        return diffusers.KIND, diffusers.read(rows, source)
    if rows and all(name in rows[0] for name in diffusers.PIPELINES):
        return diffusers.KIND, diffusers.read(rows, source)
    if rows and any(name in rows[0] for name in plain.TIMES):
        return plain.KIND, plain.read(rows, source)
    if rows and len(rows[0]) > 1:
        return f"a table with the columns {', '.join(list(rows[0])[:12])}", None
    document = _yaml(text, source)
    if isinstance(document, Mapping) and isinstance(document.get("precisions"), Mapping):
        return qualcomm.KIND, qualcomm.read(document, source)
    if isinstance(document, Mapping) and isinstance(document.get("models"), list):
        return "a perf.yaml of Qualcomm AI Hub before 2025, by models in place of precisions", None
    if isinstance(document, Mapping):
        return f"YAML with {', '.join(map(str, list(document)[:12]))}", None
    return _UNKNOWN, None


def _table(text: str) -> Sequence[dict[str, str]]:
    """Rows of a table by its head's names; empty where the text is none."""
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        lines = [line for line in reader if any(field.strip() for field in line)]
    except csv.Error:
        return ()
    if len(lines) < 2 or any(len(line) != len(lines[0]) for line in lines):
        return ()
    head = [name.strip() for name in lines[0]]
    return [dict(zip(head, line, strict=True)) for line in lines[1:]] if len(set(head)) == len(head) else ()


def _yaml(text: str, source: str) -> Any:
    """The document; None where there is none. What may be a perf.yaml is refused for its fault."""
    try:
        if len(text) > YAML_LIMIT:
            raise InvalidInput(source, len(text), f"YAML of at most {YAML_LIMIT} characters", "Keep one model in it.")
        return parse_yaml(text, source).value
    except InvalidInput:
        if _PERF.search(text):
            raise
        return None
