"""Files: read with limits, written whole or not at all; every failure is an `InvalidInput` that names the file.

Messages say which file, which line and what was expected, and never quote what a file holds.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput

READ_LIMIT_BYTE = 2**30
"""Largest file that is read [byte], where the caller states none."""

DIGITS = 100
"""Most characters of one number in a file."""

_TRIAL = bytes(2**16)
"""What is written, and removed again, to learn whether a folder takes files."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


# ---- names

SCENARIO = (".yaml", ".yml")
"""How the names of scenario files end."""

JSON = (".json",)
"""How the names of plans and timing profiles end."""


def is_path(name: str | Path, ends: tuple[str, ...], *, folders: bool = True) -> bool:
    """Whether a name is the path of a file, not a name that the package knows: by its end or, where asked, a folder."""
    path = Path(name)
    return path.suffix.lower() in ends or (folders and len(path.parts) > 1)


# ---- reading


def read_bytes(path: str | Path, what: str, *, limit_byte: int = READ_LIMIT_BYTE) -> bytes:
    """Content of a plain file.

    Parameters
    ----------
    path : str or Path
        The file.
    what : str
        What it should be, for messages: "plan file".
    limit_byte : int
        Largest size that is read [byte].

    Raises
    ------
    InvalidInput
        Where the file is missing, is unreadable, is no plain file (a folder, a named pipe, a device), or is larger.
    """
    try:
        kind = os.stat(os.fspath(path)).st_mode
        if not stat.S_ISREG(kind):
            raise InvalidInput(what, str(path), "a plain file", f"This is {_kind(kind)}: give a file's path.")
        with open(path, "rb") as file:
            data = file.read(limit_byte + 1)
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            what, str(path), "a readable file", f"{_reason(error)}, so it cannot be read. Check the path."
        ) from None
    if len(data) > limit_byte:
        raise InvalidInput(what, str(path), f"at most {limit_byte} byte", "Check that it is the right file.")
    return data


def read_text(path: str | Path, what: str, *, limit_byte: int = READ_LIMIT_BYTE) -> str:
    """UTF-8 text of a plain file, a byte order mark left out; raises as `read_bytes` does, and for other bytes."""
    data = read_bytes(path, what, limit_byte=limit_byte)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            what,
            str(path),
            "UTF-8 text",
            f"Line {line} is none, so it cannot be read. Save the file as UTF-8, or check that it is the right one.",
        ) from None


def read_json(
    path: str | Path,
    what: str,
    *,
    fmt: str | None = None,
    remedy: str = "Check that it is the right file.",
    limit_byte: int = READ_LIMIT_BYTE,
    infinite: bool = False,
) -> dict[str, Any]:
    """The object in a JSON file.

    Parameters
    ----------
    path : str or Path
        The file.
    what : str
        What it should be, for messages: "plan file".
    fmt : str, optional
        What its field "format" must say.
    remedy : str
        What to do about a file that is not what it should be.
    limit_byte : int
        Largest size that is read [byte].
    infinite : bool
        Whether numbers may be infinite, as Python's own writer spells them.

    Returns
    -------
    dict
        With text keys; every number is finite, unless they may be infinite.

    Raises
    ------
    InvalidInput
        As `read_text` and `parse_json` raise, and where the file holds no object or one of another format.
    """
    data = parse_json(read_text(path, what, limit_byte=limit_byte), what, str(path), remedy=remedy, infinite=infinite)
    if not isinstance(data, dict):
        raise InvalidInput(what, str(path), "a JSON object", remedy)
    if fmt is not None and data.get("format") != fmt:
        raise InvalidInput(what, str(path), f"a file of format {fmt!r}", remedy)
    return data


def parse_json(
    text: str | bytes,
    what: str,
    source: str,
    *,
    remedy: str = "Check that it is the right file.",
    infinite: bool = False,
) -> Any:
    """Strict JSON: every key once, every number finite and of at most `DIGITS` characters, text that UTF-8 can hold.

    Parameters
    ----------
    text : str or bytes
        The document.
    what, source : str
        What it should be and where it comes from, for messages.
    remedy : str
        What to do about text that is not JSON.
    infinite : bool
        Whether numbers may be infinite, as Python's own writer spells them.

    Raises
    ------
    InvalidInput
        Where it is anything else, or nested too deeply.
    """

    def refuse(expected: str, more: str = "") -> InvalidInput:
        return InvalidInput(what, source, expected, f"{more}{remedy}")

    def integer(digits: str) -> int:
        if len(digits) > DIGITS:
            raise refuse(f"numbers of at most {DIGITS} digits")
        return int(digits)

    def finite(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value) or len(digits) > DIGITS:
            raise refuse(f"finite numbers of at most {DIGITS} digits")
        return value

    def constant(name: str) -> float:
        if infinite and name != "NaN":
            return float(name)
        raise refuse("finite numbers", f"Found {name}. ")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise refuse("every field once", f"Found {twice[:60]!r} twice. ")
        return found

    try:
        data = json.loads(text, parse_int=integer, parse_float=finite, parse_constant=constant, object_pairs_hook=once)
        if isinstance(text, str) and _SURROGATE.search(text):
            json.dumps(data, ensure_ascii=False).encode("utf-8")
    except InvalidInput:
        raise
    except json.JSONDecodeError as error:
        raise refuse("whole JSON", f"Line {error.lineno}: {error.msg}, so it is truncated or no JSON. ") from None
    except RecursionError:
        raise refuse("JSON that is not nested so deeply") from None
    except UnicodeError:
        raise refuse("text in UTF-8") from None
    return data


# ---- writing


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all: to a draft beside it, which then takes its name.

    A symbolic link is followed. An existing file keeps its mode, a new one gets the umask's. What is no plain file
    (a named pipe, a device) is written through.

    Raises
    ------
    InvalidInput
        Where the file cannot be written; what was there is left.
    """
    try:
        if _passes_through(path):
            with open(path, "ab") as file:
                file.write(data)
            return
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_draft(target, data)
    except (OSError, ValueError, TypeError) as error:
        raise _refused(path, error) from None


def write_text(path: str | Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode("utf-8"))


def try_file(path: str | Path) -> None:
    """Find out whether `write_bytes` can write here, before the work whose result it is; leaves nothing behind.

    Raises
    ------
    InvalidInput
        Where it cannot: a folder, no permission, a full disk.
    """
    try:
        if not _passes_through(path):
            _try_folder(_target(path).parent)
        elif not os.access(path, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except (OSError, ValueError, TypeError) as error:
        raise _refused(path, error) from None


def try_folder(path: str | Path, field: str = "output") -> None:
    """Find out whether files can be written into this folder, made if it is not there; as `try_file` does."""
    try:
        _try_folder(Path(path))
    except (OSError, ValueError, TypeError) as error:
        raise _refused(path, error, field) from None


def _passes_through(path: str | Path) -> bool:
    """Whether this is a named pipe or a device, or a name such as /dev/stdout for what is open already."""
    if os.path.abspath(path).startswith(("/dev/", "/proc/")) and os.path.lexists(path) and not os.path.isdir(path):
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _target(path: str | Path) -> Path:
    """The file that a path leads to, which may be written."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(21, "Is a folder")
    if target.is_file() and not os.access(target, os.W_OK):
        raise PermissionError(13, "Permission denied")
    return target


def _write_draft(target: Path, data: bytes) -> None:
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    draft = target.parent / f".draft-{os.urandom(8).hex()}"
    # nobody else reads the draft of a file that others may not read
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if mode is not None:
            os.chmod(draft, mode)
        os.replace(draft, target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _try_folder(folder: Path) -> None:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(20, f"{there} is no folder")
    draft = there / f".draft-{os.urandom(8).hex()}"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_TRIAL)
    finally:
        draft.unlink(missing_ok=True)


def _refused(path: str | Path, error: Exception, field: str = "output") -> InvalidInput:
    return InvalidInput(
        field, str(path), "a place that can be written", f"{_reason(error)}. Free it, or give another path."
    )


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else str(error)) or type(error).__name__
    return text[:1].upper() + text[1:]


def _kind(mode: int) -> str:
    names = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a named pipe",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
    }
    return next((name for test, name in names.items() if test(mode)), "something else")
