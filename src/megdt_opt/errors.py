"""Errors of the package: every failure that a caller can cause or must handle is one of these."""

from __future__ import annotations

import reprlib
import unicodedata

_SHOWN = 120
"""Most characters of a value in a message."""


class _Brief(reprlib.Repr):
    """`repr` whose cost does not grow with the value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 40
        self.maxstring = self.maxother = 10 * _SHOWN
        self.maxlong = _SHOWN

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write out numbers of thousands of digits
        return super().repr_int(x, level) if x.bit_length() < 400 else f"a number of {x.bit_length()} bit"


def shown(value: object) -> str:
    """A value as a message shows it: its `repr`, at most 120 characters."""
    text = repr(value[:_SHOWN]) if isinstance(value, str) else _Brief().repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def visible(text: str) -> str:
    """Text with its control characters as escapes, so that a terminal shows them and obeys none.

    Line breaks and tabs stay; what would turn the order of the line round, and what no terminal can be sent, does not.
    """
    return "".join(
        c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else repr(c)[1:-1]
        for c in text
    )


class MegdtError(Exception):
    """Base of all errors that the package raises on purpose."""


class InvalidInput(MegdtError, ValueError):
    """A value that cannot be used.

    The message names the field, the value found, what was expected (with its unit) and the remedy.

    Parameters
    ----------
    field : str
        Name of the field, with the user or option it belongs to where there is one.
    value : object
        What was found.
    expected : str
        What is accepted, with its unit.
    remedy : str
        What to do about it.
    """

    def __init__(self, field: str, value: object, expected: str, remedy: str) -> None:
        super().__init__(f"{field}: found {shown(value)}; expected {expected}. {remedy}")
        self.field = field
        self.value = value
        self.expected = expected
        self.remedy = remedy

    def within(self, place: str) -> InvalidInput:
        """The same error, which also says where the field is: a file, and a line where that is known."""
        return InvalidInput(f"{place}: {self.field}" if self.field else place, self.value, self.expected, self.remedy)

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[str, object, str, str]]:
        return type(self), (self.field, self.value, self.expected, self.remedy)


class NotRepresentable(MegdtError):
    """A stage program that does not fit the core problem; the message names the stage."""


class Infeasible(MegdtError):
    """No allocation keeps every limit.

    Attributes
    ----------
    users : tuple of int
        Users in conflict (row numbers of the problem).
    limits : tuple of str
        The limits that conflict, with their values in SI units.
    """

    def __init__(self, message: str, users: tuple[int, ...] = (), limits: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.users = users
        self.limits = limits

    def __reduce__(self) -> tuple[type[Infeasible], tuple[str, tuple[int, ...], tuple[str, ...]]]:
        return type(self), (str(self), self.users, self.limits)


class SolverFailure(MegdtError):
    """A backend solver ended without a usable answer (crash, numerical trouble, missing package)."""


class ProfileError(MegdtError):
    """A timing profile that cannot be trusted: truncated, without provenance, or lacking a stage."""


class WeightsError(MegdtError):
    """Model weights that are missing, truncated or of another architecture."""


class ExecutionError(MegdtError):
    """The execution of a plan failed."""


class PeerLost(ExecutionError):
    """A process of the execution ended or closed its connection."""


class ExecutionTimeout(ExecutionError):
    """A stage did not end within its deadline."""


class MalformedMessage(ExecutionError):
    """Bytes that are not a payload of the expected stage."""
