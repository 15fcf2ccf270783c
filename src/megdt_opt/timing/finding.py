"""Finding the timing profiles that a scenario names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from megdt_opt.errors import InvalidInput
from megdt_opt.timing.profile import TimingProfile

HERE = "here"
"""Name that scenarios use for the machine at hand: `calibrate` measures it, and whoever plans gives its profile."""


def find_profile(name: str, known: Mapping[str, TimingProfile] | None = None) -> TimingProfile:
    """The profile of this name.

    Parameters
    ----------
    name : str
        A key of `known`, "published: DEVICE / MODEL", the path of a JSON file, or a bundled profile.
    known : mapping of str to TimingProfile, optional
        Profiles at hand, for example those just measured; they go first.

    Raises
    ------
    ProfileError
        If there is none, or it cannot be trusted.
    """
    if known and name in known:
        return known[name]
    if name.startswith("published:"):
        from megdt_opt.timing.published import published_profile

        device, _, model = (part.strip() for part in name.removeprefix("published:").partition("/"))
        if not device or not model:
            raise InvalidInput(
                "profile", name, '"published: DEVICE / MODEL"', "See `megdt-opt show published` for the pairs."
            )
        return published_profile(device, model)
    if name.endswith(".json") or "/" in name:
        return TimingProfile.load(Path(name))
    return TimingProfile.bundled(name)
