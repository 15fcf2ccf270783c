"""Finding the timing profiles that a scenario names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import JSON, is_path
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.profile_file import bundled_names

HERE = "here"
"""Name that scenarios use for the machine at hand: `calibrate` measures it, and whoever plans gives its profile."""

PUBLISHED = "published:"
"""With what a name begins that asks for the published timings of a device and a model."""

Profiles = Mapping[str, TimingProfile | str | Path]
"""Profiles at hand by the name that a scenario uses: themselves, the paths of their files, or what `find_profile`
knows by name (bundled and published ones)."""


_PASSES = re.compile(r"([1-9][0-9]{0,2}) pass(?:es)?")
_EXAMPLE = 'Write for example {"here": "here.json"}.'


def check_used(known: Profiles | None, named: Iterable[str]) -> None:
    """Refuse profiles at hand by names that nothing uses.

    Raises
    ------
    InvalidInput
        Lists the names that are used; also where `known` is no mapping.
    """
    if known is not None and not isinstance(known, Mapping):
        raise InvalidInput("profiles", known, "a mapping of names to timing profiles or their files", _EXAMPLE)
    names = sorted(set(named))
    for name in known or ():
        if name not in names:
            expected = f"names that the scenario uses, which are {names}"
            raise InvalidInput("profiles", name, expected, "Give the profile by one of them, or leave it out.")


def named_or_read(source: str | Path, *, lends: bool = False) -> TimingProfile:
    """A published or bundled profile by its name, any other from its file."""
    if str(source).startswith(PUBLISHED) or source in bundled_names():
        return find_profile(str(source), lends=lends)
    return TimingProfile.load(source)


def find_profile(name: str, known: Profiles | None = None, *, lends: bool = False) -> TimingProfile:
    """The profile of this name.

    Parameters
    ----------
    name : str
        A key of `known`, "published: DEVICE / MODEL", the path of a JSON file, or a bundled profile. Where several
        precisions, sizes or numbers of passes were published, they are named behind: "published: NVIDIA A10 / SD1.4 /
        fp16", "published: RTX 4090 / SDXL / 1024", "published: H100 / SDXL-LCM / 1 pass".
    known : mapping of str to TimingProfile, path or name, optional
        Profiles at hand, for example those just measured, their files, or names of bundled and published ones; they go
        first.
    lends : bool
        Whether it only lends stages to another one; then published figures need no denoising time.

    Raises
    ------
    ProfileError
        If there is none, or it cannot be trusted.
    InvalidInput
        If `known` maps names to something else.
    """
    if known and name in known:
        found = known[name]
        if isinstance(found, str | Path):
            return named_or_read(found, lends=lends)
        if not isinstance(found, TimingProfile):
            raise InvalidInput(f"profiles[{name!r}]", found, "a TimingProfile or the path of its file", _EXAMPLE)
        return found
    if name.startswith(PUBLISHED):
        from megdt_opt.timing.published import published_profile

        return published_profile(**_published(name), lends=lends)
    if is_path(name, JSON):
        return TimingProfile.load(Path(name))
    return TimingProfile.bundled(name)


def _published(name: str) -> dict[str, Any]:
    """Device, model and what stands behind them in "published: DEVICE / MODEL / PRECISION / PIXELS / N passes"."""
    parts = [part.strip() for part in name.removeprefix(PUBLISHED).split("/")]
    if len(parts) < 2 or "" in parts:
        expected = f'"{PUBLISHED} DEVICE / MODEL", where needed with / PRECISION, / PIXELS and / N passes'
        raise InvalidInput("profile", name, expected, "See `megdt-opt show published` for the pairs.")
    found: dict[str, Any] = {"device": parts[0], "model": parts[1]}
    for part in parts[2:]:
        passes = _PASSES.fullmatch(part)
        if passes is not None:
            key, value = "passes_per_step", int(passes[1])
        else:
            key, value = ("resolution", int(part)) if part.isdecimal() else ("precision", part)  # type: ignore[assignment]
        if key in found:
            raise InvalidInput("profile", name, f"one {key.replace('_', ' ')}", "Remove one of the two.")
        found[key] = value
    return found
