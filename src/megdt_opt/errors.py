"""Errors of the package: every failure that a caller can cause or must handle is one of these."""

from __future__ import annotations


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
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{field}: found {shown}; expected {expected}. {remedy}")
        self.field = field
        self.value = value
        self.expected = expected
        self.remedy = remedy

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
