"""Standard output and standard error, such that any text can be sent to any terminal and no work is lost to them."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import unicodedata
from typing import IO, TYPE_CHECKING

from megdt_opt.cli.exit_codes import CLOSED_EARLY
from megdt_opt.errors import visible

if TYPE_CHECKING:
    from rich.console import Console

_NEAREST = "nearest character"
_PLAIN = str.maketrans(
    {
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MINUS SIGN}": "-",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{HORIZONTAL ELLIPSIS}": "~",
        "\N{BULLET}": "*",
    }
)


def nearest(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks: a dash for a dash, the letter without its accent, else "?"."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = ""
    for character in error.object[error.start : error.end].translate(_PLAIN):
        plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
        found += plain[:1] or "?"
    return found, error.end


class _Output(io.FileIO):
    """A descriptor to write to; the first failure is kept, and what comes after it is dropped."""

    failure: OSError | None = None

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return len(data)


class Terminal:
    """Takes over standard output and standard error for the time of a command.

    Raises
    ------
    SystemExit
        With code 2, where standard output is closed: what a command says would be lost.
    """

    def __init__(self) -> None:
        codecs.register_error(_NEAREST, nearest)
        if sys.stderr is None:
            sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (lives as long as the process)
        elif isinstance(sys.stderr, io.TextIOWrapper):
            sys.stderr.reconfigure(errors=_NEAREST)
        if sys.stdout is None:
            say("Standard output is closed: redirect it to a file, or to /dev/null.")
            raise SystemExit(2)
        self.output: _Output | None = None
        try:
            descriptor = sys.stdout.fileno()
        except OSError:
            return  # a notebook's, or a test's, which takes any text
        self.output = _Output(descriptor, "wb", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(self.output),
            encoding=sys.stdout.encoding,
            errors=_NEAREST,
            line_buffering=sys.stdout.isatty(),
        )

    def end(self, code: int) -> int:
        """The exit code: the command's own, or another one where not all of its output could be written."""
        sys.stdout.flush()
        failure = None if self.output is None else self.output.failure
        if failure is None:
            return code
        if failure.errno == errno.EPIPE:
            return code or CLOSED_EARLY
        say(f"Standard output could not be written: {failure.strerror}.")
        return code or 2


def say(text: str, kind: str = "") -> None:
    """One message on standard error, after the kind of the error that it tells."""
    stream: IO[str] = sys.stderr
    coloured = stream.isatty() and "NO_COLOR" not in os.environ
    head = f"{kind}: " if kind else ""
    if head and coloured:
        head = f"\x1b[1;31m{kind}\x1b[0m: "
    stream.write(f"{head}{visible(text)}\n")
    stream.flush()


def console_of() -> Console:
    """The console that commands print on: text is never taken for markup; a log file is not 80 columns wide."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140, markup=False, emoji=False)
