"""Cells of a timing profile and the JSON file that holds them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput, ProfileError
from megdt_opt.files import read_json
from megdt_opt.program.stages import CODECS, Kind
from megdt_opt.timing.fit import median_interval
from megdt_opt.timing.provenance import Provenance, refuse

SCHEMA = "megdt-opt/timing-profile"
VERSION = 1

_MEASURE_AGAIN = "Measure again with `calibrate`, or restore the file."


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Samples of one stage at one batch, one latent region and one codec.

    Parameters
    ----------
    kind : Kind
        The stage.
    batch : int
        Chains computed together [1].
    samples_s : tuple of float
        Every steady-state sample in the order it was taken [s]: one stage of the whole batch.
    rows, rows_total : int or None
        Rows of the latent region and of the whole latent [1]; None = the whole latent.
    codec : str
        Image codec of a compress or decompress stage.
    first_s : float or None
        Time of the first run of this cell in the process [s], before the warm-up.
    at_s : tuple of float
        When each sample began, from the start of the calibration [s]; empty where unknown.

    Raises
    ------
    ProfileError
        If a sample is not a finite time above 0, none is there, or a size is not usable.
    """

    kind: Kind
    batch: int
    samples_s: tuple[float, ...]
    rows: int | None = None
    rows_total: int | None = None
    codec: str = ""
    first_s: float | None = None
    at_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not _whole(self.batch):
            refuse(f"batch of {self.kind}", self.batch, "a whole number of at least 1 [chains]", "Mend the cell.")
        if (self.rows is None) != (self.rows_total is None):
            refuse(
                f"rows of {self.kind}",
                (self.rows, self.rows_total),
                "rows with rows_total, or neither",
                "Mend the cell.",
            )
        if self.rows is not None and not (
            _whole(self.rows) and _whole(self.rows_total) and self.rows < (self.rows_total or 0)
        ):
            refuse(
                f"rows of {self.kind}",
                (self.rows, self.rows_total),
                "1 <= rows < rows_total [rows]",
                "Leave both out for the whole latent.",
            )
        coded = self.kind in (Kind.COMPRESS, Kind.DECOMPRESS)
        if coded != (self.codec in CODECS):
            refuse(
                f"codec of {self.kind}",
                self.codec,
                f"one of {CODECS}" if coded else "no codec",
                "Mend the cell.",
            )
        if not self.samples_s:
            refuse(f"samples_s of {self.label}", self.samples_s, "at least one time [s]", _MEASURE_AGAIN)
        for number, sample in enumerate(self.samples_s):
            if not _time(sample):
                refuse(
                    f"samples_s[{number}] of {self.label}",
                    sample,
                    "a finite time above 0 [s]",
                    _MEASURE_AGAIN,
                )
        if self.first_s is not None and not _time(self.first_s):
            refuse(f"first_s of {self.label}", self.first_s, "a finite time above 0 [s]", _MEASURE_AGAIN)
        if self.at_s and (
            len(self.at_s) != len(self.samples_s) or any(not _number(t) or not math.isfinite(t) for t in self.at_s)
        ):
            refuse(f"at_s of {self.label}", self.at_s, f"{len(self.samples_s)} finite times [s]", _MEASURE_AGAIN)

    @cached_property
    def median_s(self) -> float:
        """Median of the samples [s]."""
        return statistics.median(self.samples_s)

    @cached_property
    def interval_s(self) -> tuple[float, float]:
        """95 % distribution-free interval of the median [s] (`median_interval`)."""
        return median_interval(self.samples_s)

    @property
    def label_stage(self) -> str:
        """The stage with its codec, for messages."""
        return f"{self.kind} ({self.codec})" if self.codec else str(self.kind)

    @property
    def label(self) -> str:
        """Stage, batch and region, for messages."""
        region = f", rows {self.rows} of {self.rows_total}" if self.rows is not None else ""
        return f"{self.label_stage}, batch {self.batch}{region}"

    def scaled(self, factor: float) -> Cell:
        """The cell with every time multiplied by a factor [1]."""
        return replace(
            self,
            samples_s=tuple(s * factor for s in self.samples_s),
            first_s=None if self.first_s is None else self.first_s * factor,
        )


def bundled_path(name: str) -> Path:
    """Path of a profile that ships with the package.

    Raises
    ------
    ProfileError
        If there is none of that name.
    """
    folder = resources.files("megdt_opt.data").joinpath("profiles")
    there = sorted(p.name.removesuffix(".json") for p in folder.iterdir() if p.name.endswith(".json"))
    if name not in there:
        refuse(
            "bundled profile",
            name,
            f"one of {there}",
            "Measure one with `megdt-opt calibrate FILE` and pass it on as --profile NAME=FILE.",
        )
    return Path(str(folder.joinpath(f"{name}.json")))


def read_profile(path: Path) -> dict[str, Any]:
    """Content of a profile file, checked: the arguments of `TimingProfile`.

    Raises
    ------
    ProfileError
        If the file cannot be read, is truncated, or holds what a profile must not.
    """
    try:
        return profile_content(read_json(path, "file", remedy=_MEASURE_AGAIN))
    except (InvalidInput, ProfileError) as error:
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
    return plain


def profile_content(data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        refuse("file", type(data).__name__, "a JSON object", _MEASURE_AGAIN)
    if data.get("schema") != SCHEMA:
        refuse("schema", data.get("schema"), repr(SCHEMA), "Point to a timing profile.")
    if data.get("version") != VERSION:
        refuse(
            "version",
            data.get("version"),
            f"{VERSION}",
            "Measure again, or use the package's matching version.",
        )
    provenance = Provenance.from_dict(data.get("provenance"))
    return {
        "device": data.get("device", ""),
        "model": data.get("model", ""),
        "provenance": provenance,
        "cells": _read_cells("cells", data.get("cells")),
        "held_out": _read_cells("held_out", data.get("held_out", [])),
        **{
            name: _read_sizes(name, data.get(name, {}))
            for name in ("image_byte_samples", "image_reference_byte_samples")
        },
    }


_SIZES = ("image_byte_samples", "image_reference_byte_samples")


def _read_sizes(name: str, sizes: object) -> dict[str, tuple[int, ...]]:
    if not isinstance(sizes, dict) or any(not isinstance(v, list) for v in sizes.values()):
        refuse(name, sizes, "an object of lists [byte]", _MEASURE_AGAIN)
    return {str(codec): tuple(values) for codec, values in sizes.items()}


def _read_cells(name: str, data: object) -> tuple[Cell, ...]:
    if not isinstance(data, list):
        refuse(name, data, "a list of timed stages", _MEASURE_AGAIN)
    return tuple(_read_cell(f"{name}[{number}]", cell) for number, cell in enumerate(data))


def _read_cell(where: str, data: object) -> Cell:
    if not isinstance(data, dict):
        refuse(where, data, "an object", _MEASURE_AGAIN)
    known = {"kind", "batch", "rows", "rows_total", "codec", "first_s", "samples_s", "at_s"}
    unknown = sorted(set(data) - known)
    if unknown:
        refuse(where, unknown, f"no field but {sorted(known)}", "Remove the unknown fields.")
    try:
        kind = Kind(str(data.get("kind")))
    except ValueError:
        refuse(
            f"{where}.kind",
            data.get("kind"),
            f"one of {[str(k) for k in Kind]}",
            "Name a stage that exists.",
        )
    for name in ("samples_s", "at_s"):
        if not isinstance(data.get(name, []), list):
            refuse(f"{where}.{name}", data.get(name), "a list of times [s]", _MEASURE_AGAIN)
    return Cell(
        kind=kind,
        batch=data.get("batch", 0),
        samples_s=tuple(data.get("samples_s", [])),
        rows=data.get("rows"),
        rows_total=data.get("rows_total"),
        codec=data.get("codec", ""),
        first_s=data.get("first_s"),
        at_s=tuple(data.get("at_s", [])),
    )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
