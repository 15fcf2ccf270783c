"""Finding the timing profiles that a scenario names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from megdt_opt.errors import InvalidInput
from megdt_opt.timing.profile import TimingProfile

HERE = "here"
"""Name that scenarios use for the machine at hand: `calibrate` measures it, and whoever plans gives its profile."""


Profiles = Mapping[str, TimingProfile | str | Path]
"""Profiles at hand by the name that a scenario uses: themselves, or the paths of their files."""


def check_used(given: Iterable[str], named: Iterable[str]) -> None:
    """Refuse profiles that are given by names that nothing uses; lists those that are used.

    Raises
    ------
    InvalidInput
    """
    names = sorted(set(named))
    for name in given:
        if name not in names:
            raise InvalidInput(
                "profile", name, f"one of the names that the scenario uses, {names}", "Give it by one of them."
            )


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
    remedy = 'Write for example {"here": "here.json"}.'
    if known is not None and not isinstance(known, Mapping):
        raise InvalidInput("profiles", known, "a mapping of names to timing profiles or their files", remedy)
    if known and name in known:
        found = known[name]
        if isinstance(found, str | Path):
            return TimingProfile.load(found)
        if not isinstance(found, TimingProfile):
            raise InvalidInput(f"profiles[{name!r}]", found, "a TimingProfile or the path of its file", remedy)
        return found
    if name.startswith("published:"):
        from megdt_opt.timing.published import published_profile

        device, _, model = (part.strip() for part in name.removeprefix("published:").partition("/"))
        if not device or not model:
            raise InvalidInput(
                "profile", name, '"published: DEVICE / MODEL"', "See `megdt-opt show published` for the pairs."
            )
        return published_profile(device, model)
    if name.lower().endswith(".json") or "/" in name:
        return TimingProfile.load(Path(name))
    return TimingProfile.bundled(name)
