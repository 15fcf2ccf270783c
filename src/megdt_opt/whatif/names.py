"""What users, options and edge servers are called in answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Names:
    """Names in the order of a problem's rows and columns; where there are none, numbers are said.

    Parameters
    ----------
    users, options, edges : tuple of str
    """

    users: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()

    def user(self, k: int) -> str:
        """One user."""
        return self.users[k] if self.users else f"user {k}"

    def several(self, users: Iterable[int]) -> str:
        """Users in a row, without the word."""
        return ", ".join(self.users[k] if self.users else str(k) for k in users)

    def option(self, o: int) -> str:
        """One option."""
        return f"{self.options[o]!r}" if self.options else f"option {o}"

    def edge(self, e: int) -> str:
        """One edge server."""
        return self.edges[e] if self.edges else f"server {e}"


UNNAMED = Names()
"""Numbers alone."""
