"""The JSON file of a timing profile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput, ProfileError
from megdt_opt.files import read_json
from megdt_opt.timing.cells import MEASURE_AGAIN, Cell
from megdt_opt.timing.formats.recognise import described
from megdt_opt.timing.provenance import Provenance, refuse
from megdt_opt.timing.reference import Reference

SCHEMA = "megdt-opt/timing-profile"
VERSION = 1

_FOLDER = resources.files("megdt_opt.data").joinpath("profiles")

_CELL = ("kind", "batch", "rows", "rows_total", "codec", "first_s", "samples_s", "at_s", "sessions", "reference_s")
_SIZES = ("image_byte_samples", "image_reference_byte_samples")


def bundled_path(name: str) -> Path:
    """Path of a profile that ships with the package.

    Raises
    ------
    ProfileError
        If there is none of that name.
    """
    there = bundled_names()
    if name not in there:
        refuse(
            "bundled profile",
            name,
            f"one of {there}",
            "Measure one with `megdt-opt calibrate FILE` and pass it on as --profile NAME=FILE.",
        )
    return Path(str(_FOLDER.joinpath(f"{name}.json")))


def bundled_names() -> list[str]:
    """Names of the profiles that ship with the package."""
    return sorted(p.name.removesuffix(".json") for p in _FOLDER.iterdir() if p.name.endswith(".json"))


def read_profile(path: str | Path) -> dict[str, Any]:
    """Content of a profile file, checked: the arguments of `TimingProfile`.

    Raises
    ------
    ProfileError
        If the file cannot be read, is truncated, is of another kind, or holds what a profile must not.
    """
    data = None
    try:
        data = read_json(path, "file", remedy=MEASURE_AGAIN)
        return profile_content(data)
    except (InvalidInput, ProfileError) as error:
        other = described(path) if data is None or data.get("schema") != SCHEMA else None
        if other is not None:
            raise ProfileError(f"profile {path}: expected a timing profile, but this is {other}.") from None
        raise ProfileError(f"profile {path}: {error}") from error


def profile_text(
    *,
    device: str,
    model: str,
    provenance: Provenance,
    cells: tuple[Cell, ...],
    image_byte_samples: Mapping[str, tuple[int, ...]],
    image_reference_byte_samples: Mapping[str, tuple[int, ...]],
    held_out: tuple[Cell, ...],
    reference: Reference | None = None,
) -> str:
    """Text of a profile file."""
    head = {
        "schema": SCHEMA,
        "version": VERSION,
        "device": device,
        "model": model,
        "provenance": provenance.to_dict(),
        "image_byte_samples": {codec: list(sizes) for codec, sizes in sorted(image_byte_samples.items())},
    }
    if image_reference_byte_samples:
        head["image_reference_byte_samples"] = {
            codec: list(sizes) for codec, sizes in sorted(image_reference_byte_samples.items())
        }
    if reference is not None:
        head["reference"] = reference.to_dict()
    return _dump(head, {"cells": cells, "held_out": held_out})


def _dump(head: dict[str, Any], cells: dict[str, tuple[Cell, ...]]) -> str:
    """JSON with one cell a line, so that a change of one cell is one line of a diff."""
    text = json.dumps(head, indent=1, allow_nan=False).removesuffix("\n}")
    for name, listed in cells.items():
        lines = ",\n".join("  " + json.dumps(_plain_cell(cell), allow_nan=False) for cell in listed)
        text += f',\n "{name}": [{chr(10) + lines + chr(10) + " " if listed else ""}]'
    return text + "\n}\n"


def _plain_cell(cell: Cell) -> dict[str, Any]:
    plain: dict[str, Any] = {"kind": str(cell.kind), "batch": cell.batch}
    if cell.rows is not None:
        plain |= {"rows": cell.rows, "rows_total": cell.rows_total}
    if cell.codec:
        plain["codec"] = cell.codec
    plain["first_s"] = cell.first_s
    plain["samples_s"] = list(cell.samples_s)
    if cell.at_s:
        plain["at_s"] = list(cell.at_s)
    if cell.sessions:
        plain["sessions"] = list(cell.sessions)
    if cell.reference_s:
        plain["reference_s"] = list(cell.reference_s)
    return plain


def profile_content(data: object) -> dict[str, Any]:
    """The arguments of `TimingProfile` from plain data.

    Raises
    ------
    ProfileError
        If it is of another schema or version, without provenance, or a field cannot be used.
    """
    if not isinstance(data, dict):
        refuse("file", type(data).__name__, "a JSON object", MEASURE_AGAIN)
    if data.get("schema") != SCHEMA:
        refuse("schema", data.get("schema"), repr(SCHEMA), "Point to a timing profile.")
    if data.get("version") != VERSION:
        refuse(
            "version",
            data.get("version"),
            f"{VERSION}",
            "Measure again, or use the package's matching version.",
        )
    return {
        "device": data.get("device", ""),
        "model": data.get("model", ""),
        "provenance": Provenance.from_dict(data.get("provenance")),
        "cells": _read_cells("cells", data.get("cells")),
        "held_out": _read_cells("held_out", data.get("held_out", [])),
        **{name: _read_sizes(name, data.get(name, {})) for name in _SIZES},
        "reference": None if data.get("reference") is None else Reference.from_dict(data["reference"]),
    }


def _read_sizes(name: str, sizes: object) -> dict[str, tuple[int, ...]]:
    if not isinstance(sizes, dict) or any(not isinstance(v, list) for v in sizes.values()):
        refuse(name, sizes, "an object of lists [byte]", MEASURE_AGAIN)
    return {str(codec): tuple(values) for codec, values in sizes.items()}


def _read_cells(name: str, data: object) -> tuple[Cell, ...]:
    if not isinstance(data, list):
        refuse(name, data, "a list of timed stages", MEASURE_AGAIN)
    return tuple(_read_cell(f"{name}[{number}]", cell) for number, cell in enumerate(data))


def _read_cell(where: str, data: object) -> Cell:
    if not isinstance(data, dict):
        refuse(where, data, "an object", MEASURE_AGAIN)
    unknown = sorted(set(data) - set(_CELL))
    if unknown:
        refuse(where, unknown, f"no field but {sorted(_CELL)}", "Remove the unknown fields.")
    try:
        return Cell(**{"kind": None, "batch": None, "samples_s": None, **data})
    except ProfileError as error:
        raise ProfileError(f"{where}: {error}") from None
