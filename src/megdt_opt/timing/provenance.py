"""Where a timing profile comes from: without it the figures cannot be trusted, so it is mandatory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, NoReturn

from megdt_opt.errors import ProfileError, shown

SOURCES = ("measured", "published")
"""Kinds of profile: samples taken by `calibrate`, or figures printed by somebody else."""

WEIGHTS = ("trained", "random", "published")
"""Whose weights were timed. Latency does not depend on them, payload sizes of pictures do."""

_HARDWARE_KEYS = ("kind", "processor", "cores")
_SOFTWARE_KEYS = ("python", "torch", "os")


def refuse(where: str, value: object, expected: str, remedy: str) -> NoReturn:
    """Raise a `ProfileError` that names field, value, what was expected (with its unit) and the remedy."""
    raise ProfileError(f"{where}: found {shown(value)}; expected {expected}. {remedy}")


def utc_now() -> str:
    """The present moment as ISO 8601 in UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How, when and on what a profile was made.

    Parameters
    ----------
    created : str
        ISO 8601 time in UTC.
    source : str
        One of `SOURCES`.
    hardware : mapping of str to (str or int)
        At least "kind" (cpu, cuda, ...), "processor" and "cores" of a measured profile.
    software : mapping of str to str
        At least the versions "python", "torch" and the "os" kind of a measured profile.
    precision : str
        Arithmetic of the model, for example "fp32".
    method : str
        How a sample was taken, in words.
    weights : str
        One of `WEIGHTS`.
    threads : int or None
        Compute threads of the process [1]; None for published figures.
    warmup : int or None
        Discarded runs of every cell before its first sample [1]; None for published figures.
    latent_shape : tuple of int or None
        (channels, rows, columns) of the latent that was timed.
    image_shape : tuple of int or None
        (rows, columns, 3) of the picture.
    passes_per_step : int
        Denoiser passes that one timed denoising step holds [1].
    texts : tuple of str
        Source texts of published figures, as they are to be cited; notes of a measured profile.
    factor : float
        Product of all declared stretches [1]; 1 = the times are as they were measured.
    stretches : tuple of str
        One sentence for each declared stretch or correction, oldest first.

    Raises
    ------
    ProfileError
        If anything above is missing or has another type; the message names it and the remedy.
    """

    created: str
    source: str
    hardware: Mapping[str, str | int]
    software: Mapping[str, str]
    precision: str
    method: str
    weights: str
    threads: int | None = None
    warmup: int | None = None
    latent_shape: tuple[int, int, int] | None = None
    image_shape: tuple[int, int, int] | None = None
    passes_per_step: int = 1
    texts: tuple[str, ...] = ()
    factor: float = 1.0
    stretches: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        _check_time(self.created)
        _check_choice("source", self.source, SOURCES)
        _check_choice("weights", self.weights, WEIGHTS)
        for name in ("precision", "method"):
            _check_text(name, getattr(self, name))
        for name in ("latent_shape", "image_shape"):
            _check_shape(name, getattr(self, name))
        _check_count("passes_per_step", self.passes_per_step, least=1)
        if not _is_number(self.factor) or not math.isfinite(self.factor) or self.factor <= 0:
            refuse(
                "provenance.factor",
                self.factor,
                "a finite factor above 0 [1]",
                "Use 1 for times as measured.",
            )
        if self.source == "measured":
            _check_keys("hardware", self.hardware, _HARDWARE_KEYS)
            _check_keys("software", self.software, _SOFTWARE_KEYS)
            _check_count("threads", self.threads, least=1)
            _check_count("warmup", self.warmup, least=0)
        elif not self.texts:
            refuse(
                "provenance.texts",
                self.texts,
                "the source text of every published figure",
                "Cite where the figures stand.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        plain: dict[str, Any] = {}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, tuple):
                value = list(value)
            plain[entry.name] = dict(value) if isinstance(value, Mapping) else value
        return plain

    @classmethod
    def from_dict(cls, data: object) -> Provenance:
        """Build from plain data.

        Raises
        ------
        ProfileError
            If the provenance is missing, or a field of it is missing, unknown or malformed.
        """
        remedy = "Measure again with `calibrate`, or restore the file; a profile without provenance is refused."
        if not isinstance(data, Mapping) or not data:
            refuse("provenance", data, "an object that says when, how and on what the samples were taken", remedy)
        known = {entry.name for entry in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            refuse("provenance", unknown, f"no field but {sorted(known)}", "Remove the unknown fields.")
        required = ("created", "source", "hardware", "software", "precision", "method", "weights")
        for name in required:
            if name not in data:
                refuse(f"provenance.{name}", None, "a value", remedy)
        values = dict(data)
        for name in ("latent_shape", "image_shape", "texts", "stretches"):
            if isinstance(values.get(name), list):
                values[name] = tuple(values[name])
        return cls(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_time(value: object) -> None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        moment = None
    offset = moment.utcoffset() if moment is not None else None
    if offset is None or offset.total_seconds() != 0:
        refuse(
            "provenance.created",
            value,
            "an ISO 8601 time in UTC, such as 2026-01-31T12:00:00+00:00",
            "State when the samples were taken.",
        )


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        refuse(f"provenance.{name}", value, f"one of {allowed}", "State it.")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        refuse(f"provenance.{name}", value, "a text that is not empty", "State it.")


def _check_shape(name: str, value: object) -> None:
    if value is None:
        return
    good = isinstance(value, tuple) and len(value) == 3
    if not good or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in value):  # type: ignore[attr-defined]
        refuse(f"provenance.{name}", value, "three whole numbers above 0", "State the shape that was timed.")


def _check_count(name: str, value: object, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        refuse(f"provenance.{name}", value, f"a whole number of at least {least} [1]", "State it.")


def _check_keys(name: str, value: object, keys: tuple[str, ...]) -> None:
    if not isinstance(value, Mapping):
        refuse(f"provenance.{name}", value, f"an object with {keys}", "State them.")
    for key in keys:
        if value.get(key) in (None, ""):
            refuse(f"provenance.{name}.{key}", value.get(key), "a value", "State it.")
