"""Finding the timing profiles that a scenario names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from megdt_opt.errors import InvalidInput
from megdt_opt.files import JSON, is_path
from megdt_opt.timing.profile import TimingProfile

HERE = "here"
"""Name that scenarios use for the machine at hand: `calibrate` measures it, and whoever plans gives its profile."""

PUBLISHED = "published:"
"""With what a name begins that asks for the published timings of a device and a model."""

Profiles = Mapping[str, TimingProfile | str | Path]
"""Profiles at hand by the name that a scenario uses: themselves, or the paths of their files."""


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


def find_profile(name: str, known: Profiles | None = None) -> TimingProfile:
    """The profile of this name.

    Parameters
    ----------
    name : str
        A key of `known`, "published: DEVICE / MODEL", the path of a JSON file, or a bundled profile.
    known : mapping of str to TimingProfile or path, optional
        Profiles at hand, for example those just measured, or their files; they go first.

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
            return TimingProfile.load(found)
        if not isinstance(found, TimingProfile):
            raise InvalidInput(f"profiles[{name!r}]", found, "a TimingProfile or the path of its file", _EXAMPLE)
        return found
    if name.startswith(PUBLISHED):
        from megdt_opt.timing.published import published_profile

        device, _, model = (part.strip() for part in name.removeprefix(PUBLISHED).partition("/"))
        if not device or not model:
            raise InvalidInput(
                "profile", name, '"published: DEVICE / MODEL"', "See `megdt-opt show published` for the pairs."
            )
        return published_profile(device, model)
    if is_path(name, JSON):
        return TimingProfile.load(Path(name))
    return TimingProfile.bundled(name)
