"""Names of actors: users with their devices, and edge servers."""

from __future__ import annotations

import unicodedata

from megdt_opt.errors import InvalidInput

NAME_LENGTH = 60
"""Most characters of the name of a user or an edge: it becomes part of files' names, and a label in figures."""


def actor_name(text: str, who: str) -> str:
    """A name in composed form: letters and digits of any script, spaces and `_ . - # + @ & ( ) '`.

    Raises
    ------
    InvalidInput
        Where it is none; `who` says whose.
    """
    name = unicodedata.normalize("NFC", text)
    first_is_letter = bool(name) and name[0].isalnum()
    fits = first_is_letter and all(c.isalnum() or c in " _.-#+@&()'" or unicodedata.category(c)[0] == "M" for c in name)
    if not fits or name != name.strip() or len(name) > NAME_LENGTH:
        raise InvalidInput(
            "",
            text,
            f"a letter or digit, then letters, digits, spaces and _ . - # + @ & ( ) ', at most {NAME_LENGTH} in all",
            f"Give the {who} a shorter or plainer name.",
        )
    return name
