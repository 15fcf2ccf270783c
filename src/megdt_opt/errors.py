"""Errors of the package: every failure that a caller can cause or must handle is one of these."""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from megdt_opt.si import show

_SHOWN = 120
"""Most characters of a value in a message."""

_NUMBERS = frozenset("biufc")
"""Kinds of NumPy's types that are numbers or truth values."""


class _Brief(reprlib.Repr):
    """`repr` whose cost does not grow with the value."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 40
        self.maxstring = self.maxother = 10 * _SHOWN
        self.maxlong = _SHOWN

    def repr1(self, x: object, level: int) -> str:
        # NumPy's scalars as the numbers that they are
        kind = getattr(getattr(x, "dtype", None), "kind", "")
        return str(x) if getattr(x, "shape", None) == () and kind in _NUMBERS else super().repr1(x, level)

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
    """Base of all errors that the package raises on purpose.

    Examples
    --------
    >>> from megdt_opt import MegdtError, Scenario
    >>> try:
    ...     Scenario.bundled("nowhere")
    ... except MegdtError as error:
    ...     print(str(error).partition(";")[0])
    scenario: found 'nowhere'
    """


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

    Examples
    --------
    >>> from megdt_opt import InvalidInput
    >>> print(InvalidInput("downlink", -1.0, "a band of at least 0 [Hz]", "Raise it."))
    downlink: found -1.0; expected a band of at least 0 [Hz]. Raise it.
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
    """A stage program that no user can have by itself; the message names the stage.

    Examples
    --------
    >>> from megdt_opt import NotRepresentable
    >>> from megdt_opt.program.latency import latency_terms
    >>> from megdt_opt.program.stages import Payload, Send
    >>> send = Send(source="a", to=("b",), payload=Payload.LATENT, tensors=())
    >>> try:
    ...     latency_terms(send, compute_s=lambda leaf: 1.0, send_bit=lambda leaf: 8.0)
    ... except NotRepresentable as error:
    ...     print(error)
    stage 'send latent (fp32) a to b': a d2d link is no part of a user's own program
    """


@dataclass(frozen=True)
class Conflict:
    """One limit that takes part in an infeasibility.

    Parameters
    ----------
    user : int or None
        Whose limit it is (row number of the problem); None for a limit of all, such as a budget.
    limit : str
        What is limited, for example "deadline".
    value : float
        The limit.
    unit : str
        Its unit, for example "s" or "Hz"; "" for a number.
    words : str
        How it is said, with the places {limit}, {value} (which stands with its unit) and {user}; words without {user}
        stand behind the user.

    Examples
    --------
    >>> print(Conflict(0, "deadline", 0.9, "s"))
    user 0: deadline 900 ms
    """

    user: int | None
    limit: str
    value: float
    unit: str
    words: str = "{limit} {value}"

    def text(self, user: str) -> str:
        """The limit in words, for the user in words."""
        return self.words.format(limit=self.limit, value=show(self.value, self.unit).rstrip(), user=user)

    def __str__(self) -> str:
        return Infeasible("", (self,)).limits[0]


class Infeasible(MegdtError):
    """No allocation keeps every limit.

    The message is made of the reason, the conflicts and the hint, each user by its name where names are given.

    Parameters
    ----------
    reason : str
        What cannot be had, naming no user.
    conflicts : sequence of Conflict
        The limits that conflict, with their users.
    users : sequence of int, optional
        Users in conflict (row numbers of the problem); default those of the conflicts.
    names : sequence of str, optional
        Names of all users; default their row numbers.
    hint : str
        A sentence of advice that ends the message.

    Attributes
    ----------
    conflicts : tuple of Conflict
        The limits that conflict, as data.
    users : tuple of int
        Users in conflict, ascending.
    limits : tuple of str
        The limits in words, one text for each user, with their values and units.

    Examples
    --------
    >>> from megdt_opt import AllocationProblem, Infeasible, solve
    >>> problem = AllocationProblem(  # two users: at the edge with a download, or on the device
    ...     fixed_s=[[0.5, 4.0], [0.5, 6.0]], edge_work_s=[[1.0, 0.0], [1.0, 0.0]],
    ...     downlink_bit=[[1e6, 0.0], [1e6, 0.0]], uplink_bit=[[0.0, 0.0], [0.0, 0.0]], downlink_hz=1e6, uplink_hz=0.0,
    ...     downlink_efficiency=[1.0, 2.0], objective="max", deadline_s=[1.0, 0.9],
    ... )
    >>> try:
    ...     solve(problem)
    ... except Infeasible as error:
    ...     print(error.users)
    (0,)
    """

    def __init__(
        self,
        reason: str,
        conflicts: Sequence[Conflict] = (),
        users: Sequence[int] | None = None,
        names: Sequence[str] | None = None,
        hint: str = "",
    ) -> None:
        self.reason = reason
        self.conflicts = tuple(conflicts)
        self.users = tuple(sorted({c.user for c in self.conflicts if c.user is not None} if users is None else users))
        self.names = None if names is None else tuple(names)
        self.hint = hint
        self.limits = tuple(self._limits())
        super().__init__(reason + ": " * bool(self.limits) + "; ".join(self.limits) + (f". {hint}" if hint else ""))

    def _limits(self) -> Iterator[str]:
        for user, own in groupby(self.conflicts, key=lambda conflict: conflict.user):
            who = "" if user is None else f"user {user if self.names is None else self.names[user]}"
            said = [(conflict.text(who), who and "{user}" not in conflict.words) for conflict in own]
            yield f"{who}: " * bool(said[0][1]) + ", ".join(text for text, _ in said)

    def with_names(self, names: Sequence[str]) -> Infeasible:
        """The same error, which says the users' names in place of their row numbers."""
        return type(self)(self.reason, self.conflicts, self.users, names, self.hint)

    def __reduce__(self) -> tuple[type[Infeasible], tuple[object, ...]]:
        return type(self), (self.reason, self.conflicts, self.users, self.names, self.hint)


class SolverFailure(MegdtError):
    """A backend solver ended without a usable answer (crash, numerical trouble, missing package).

    Examples
    --------
    >>> from megdt_opt import MegdtError, SolverFailure
    >>> issubclass(SolverFailure, MegdtError)
    True
    """


class ProfileError(MegdtError):
    """A timing profile that cannot be trusted: truncated, without provenance, or lacking a stage.

    Examples
    --------
    >>> from megdt_opt import ProfileError, TimingProfile
    >>> try:
    ...     TimingProfile.bundled("nowhere")
    ... except ProfileError as error:
    ...     print(str(error).partition(";")[0])
    bundled profile: found 'nowhere'
    """


class WeightsError(MegdtError):
    """Model weights that are missing, truncated or of another architecture.

    Examples
    --------
    >>> from megdt_opt import MegdtError, WeightsError
    >>> issubclass(WeightsError, MegdtError)
    True
    """


class ExecutionError(MegdtError):
    """The execution of a plan failed.

    Examples
    --------
    >>> from megdt_opt import ExecutionError
    >>> from megdt_opt.errors import ExecutionTimeout, MalformedMessage, NotAuthorised, PeerLost
    >>> kinds = (ExecutionTimeout, MalformedMessage, NotAuthorised, PeerLost)
    >>> all(issubclass(kind, ExecutionError) for kind in kinds)
    True
    """


class PeerLost(ExecutionError):
    """A process of the execution ended or closed its connection."""


class ExecutionTimeout(ExecutionError):
    """A stage did not end within its deadline."""


class MalformedMessage(ExecutionError):
    """Bytes that are not a payload of the expected stage."""


class NotAuthorised(ExecutionError):
    """A caller without valid credentials, or whose role does not include what it asked for; the message names both."""
