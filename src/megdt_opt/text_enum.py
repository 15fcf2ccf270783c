"""Text out of a fixed list."""

from __future__ import annotations

from enum import StrEnum


class TextEnum(StrEnum):
    """Text out of a fixed list, which messages and representations show as the text that it is.

    Examples
    --------
    >>> from megdt_opt.problem.outcome import Status
    >>> Status.OPTIMAL, [Status.FEASIBLE], Status("optimal") == "optimal"
    ('optimal', ['feasible'], True)
    """

    def __repr__(self) -> str:
        return repr(self.value)
