"""Where a timing profile comes from: without it the figures cannot be trusted, so it is mandatory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from megdt_opt.errors import ProfileError, shown
from megdt_opt.values import entries, integer, real

SOURCES = ("measured", "published", "imported")
"""Kinds of profile: samples that `calibrate` took, figures printed by somebody else, or another program's file."""

WEIGHTS = ("trained", "random", "published")
"""Whose weights were timed. Latency does not depend on them, payload sizes of pictures do."""

_HARDWARE_KEYS = ("kind", "processor", "cores")
_SOFTWARE_KEYS = ("python", "torch", "os")


_CLOCK_BEFORE = datetime(2026, 11, 24, 12, tzinfo=UTC)
"""A clock that shows less is wrong: the bundled profiles are older."""


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
        Compute threads of the process [1]; None where they are not known.
    warmup : int or None
        Discarded runs of every cell before its first sample [1]; None where they are not known.
    latent_shape : tuple of int or None
        (channels, rows, columns) of the latent that was timed.
    image_shape : tuple of int or None
        (rows, columns, 3) of the picture.
    passes_per_step : int
        Denoiser passes that one timed denoising step holds [1].
    texts : tuple of str
        Source texts of published and imported figures, as they are to be cited; notes of a measured profile.
    factor : float
        Product of all declared stretches [1]; 1 = the times are as they were measured.
    stretches : tuple of str
        One sentence for each declared stretch or correction, oldest first.
    idle_share : float
        Least part of its threads' time that other processes left to the calibration [1]; below 1 the machine was
        busy, and intervals reach down to this part of the times.

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
    idle_share: float = 1.0

    def __post_init__(self) -> None:
        _check_time(self.created)
        _check_choice("source", self.source, SOURCES)
        _check_choice("weights", self.weights, WEIGHTS)
        for name in ("precision", "method"):
            _check_text(name, getattr(self, name))
        measured = self.source == "measured"
        factor = real(self.factor)
        if factor is None or not (math.isfinite(factor) and factor > 0):
            expected = "a finite factor above 0 [1]"
            refuse("provenance.factor", self.factor, expected, "Use 1 for times as measured.")
        if factor != 1.0 and not self.stretches:
            expected = "a sentence on each stretch, for the times are scaled"
            refuse("provenance.stretches", self.stretches, expected, f"State why they are scaled by {factor:g}.")
        idle_share = real(self.idle_share)
        if idle_share is None or not 0 < idle_share <= 1:
            refuse("provenance.idle_share", self.idle_share, "a part in (0, 1] [1]", "Use 1 for an idle machine.")
        kept = {
            "factor": factor,
            "idle_share": idle_share,
            "passes_per_step": _count("passes_per_step", self.passes_per_step, least=1),
            "threads": _count("threads", self.threads, least=1, optional=not measured),
            "warmup": _count("warmup", self.warmup, least=0, optional=not measured),
            "hardware": _facts("hardware", self.hardware, _HARDWARE_KEYS if measured else ()),
            "software": _facts("software", self.software, _SOFTWARE_KEYS if measured else ()),
            **{name: _shape(name, getattr(self, name)) for name in ("latent_shape", "image_shape")},
            **{name: _texts(name, getattr(self, name)) for name in ("texts", "stretches")},
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)
        if not measured and not self.texts:
            expected = "the source text of every figure"
            refuse("provenance.texts", self.texts, expected, "Cite where the figures stand.")

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
        return cls(**data)


def _check_time(value: object) -> None:
    try:
        offset = datetime.fromisoformat(value).utcoffset() if isinstance(value, str) else None
    except ValueError:
        offset = None
    if offset is None or offset.total_seconds() != 0:
        refuse(
            "provenance.created",
            value,
            "an ISO 8601 time in UTC, such as '2026-01-31T12:00:00+00:00'",
            "State as text when the samples were taken (the isoformat of a moment in UTC).",
        )

    if datetime.fromisoformat(str(value)) > max(datetime.now(UTC), _CLOCK_BEFORE) + timedelta(days=1):
        expected = "a time that is not in the future"
        refuse("provenance.created", value, expected, "Set the clock, and state when the samples were taken.")


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        refuse(f"provenance.{name}", value, f"one of {allowed}", "State it.")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        refuse(f"provenance.{name}", value, "a text that is not empty", "State it.")


def _shape(name: str, value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    found = [integer(n) for n in entries(value) or ()]
    known = tuple(n for n in found if n is not None and n >= 1)
    if len(found) != 3 or len(known) != 3:
        refuse(f"provenance.{name}", value, "three integers above 0", "State the shape that was timed.")
    return known


def _count(name: str, value: object, *, least: int, optional: bool = False) -> int | None:
    if value is None and optional:
        return None
    found = integer(value)
    if found is None or found < least:
        refuse(f"provenance.{name}", value, f"an integer of at least {least} [1]", "State it.")
    return found


def _texts(name: str, value: object) -> tuple[str, ...]:
    found = entries(value)
    known = tuple(text for text in found or () if isinstance(text, str))
    if found is None or len(known) != len(found):
        refuse(f"provenance.{name}", value, "a list of texts", "Write one text for each source or stretch.")
    return known


def _facts(name: str, value: object, keys: tuple[str, ...]) -> dict[str, str | int]:
    """Texts and integers by name, those of `keys` among them."""
    if not isinstance(value, Mapping):
        refuse(f"provenance.{name}", value, f"an object with {keys}", "State them.")
    facts: dict[str, str | int] = {}
    for key, fact in value.items():
        number = integer(fact)
        if not isinstance(fact, str) and number is None:
            refuse(f"provenance.{name}.{key}", fact, "a text or an integer", "State it as one of them.")
        facts[str(key)] = str(fact) if number is None else number
    for key in keys:
        if facts.get(key, "") == "":
            refuse(f"provenance.{name}.{key}", value.get(key), "a value", "State it.")
    return facts
