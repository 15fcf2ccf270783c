"""Memory that weights need, said and refused before any is taken."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from megdt_opt.errors import MegdtError

PRECISION_BYTE = {"fp32": 4, "fp16": 2, "bf16": 2}
"""Byte of a value in each precision in which networks compute."""

_REMEDY = "Take a smaller precision, such as bf16, a smaller model, or a larger machine."


def memory_sentence(name: str, byte: Mapping[str, int], precision: str) -> str:
    """What a model will take, in words.

    Parameters
    ----------
    name : str
        Name of the model.
    byte : mapping of str to int
        Memory of each part's weights [byte].
    precision : str
        Precision in which it is.

    Examples
    --------
    >>> memory_sentence("sd15", {"denoise": 3_440_000_000, "decode": 198_000_000}, "fp32")
    'The weights of sd15 need 3.7 GB in fp32: denoise 3.5 GB, decode 0.2 GB.'
    """
    parts = ", ".join(f"{part} {_size(one)}" for part, one in byte.items())
    return f"The weights of {name} need {_size(sum(byte.values()))} in {precision}: {parts}."


def require_memory(name: str, byte: Mapping[str, int], precision: str) -> None:
    """Refuse weights that are larger than what is free on this machine.

    Parameters
    ----------
    name, byte, precision
        As for `memory_sentence`.

    Raises
    ------
    MegdtError
        Says what is needed, part by part, and what is free.
    """
    _require(sum(byte.values()), memory_sentence(name, byte, precision))


def require_picture_memory(name: str, rows: int, columns: int) -> None:
    """Refuse pictures of which one alone, in float32, is larger than what is free; MegdtError names the size."""
    byte = 4 * 3 * rows * columns
    _require(byte, f"A picture of {rows} x {columns} pixel of {name} needs {_size(byte)}.", "Take a smaller size.")


@contextmanager
def memory_of(what: str) -> Iterator[None]:
    """Turn torch's errors of memory that it did not get into one of ours.

    Parameters
    ----------
    what : str
        What is done meanwhile.

    Raises
    ------
    MegdtError
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        told = str(error).lower()
        if not (isinstance(error, MemoryError) or "out of memory" in told or "allocate memory" in told):
            raise
        remedy = "Take a smaller size, precision or batch, or a larger machine."
        raise MegdtError(f"{what}: there is not enough memory. {remedy}") from error


Needed = Mapping[str, tuple[str, Mapping[str, int]]]
"""By each process: the precision of its model, and the memory of each part's weights [byte]."""


def sentence_of_all(needed: Needed) -> str:
    """What the models of several processes will take together, in words."""
    total = sum(sum(byte.values()) for _, byte in needed.values())
    each = ", ".join(f"{name} {_size(sum(byte.values()))} in {precision}" for name, (precision, byte) in needed.items())
    return f"The weights of {len(needed)} processes need {_size(total)}: {each}."


def require_memory_of_all(needed: Needed) -> None:
    """Refuse models of several processes that are together larger than what is free; MegdtError names each."""
    _require(sum(sum(byte.values()) for _, byte in needed.values()), sentence_of_all(needed))


def _require(needed: int, said: str, remedy: str = _REMEDY) -> None:
    free = _free_byte()
    if free is not None and needed > free:
        raise MegdtError(f"{said} This machine has {_size(free)} free. {remedy}")


def _free_byte() -> int | None:
    """Memory that is free, or can be freed without paging, on this machine and in this process's control groups
    [byte]; None where that is not told."""
    told = [byte for byte in (_machine_byte(), *_group_byte()) if byte is not None]
    return min(told, default=None)


_GROUPS = {"": ("memory.max", "memory.current"), "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}
"""Files of a control group's limit and use [byte], of version 2 and of version 1's controller of memory."""


def _group_byte(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> Iterator[int]:
    """What each control group of memory that this process is in, and each around it, leaves free [byte]."""
    try:
        lines = Path(proc).read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        name = "memory" if "memory" in controllers.split(",") else controllers
        if name not in _GROUPS:
            continue
        top = Path(root, name)
        here = top / group.lstrip("/")
        # in a container the path may be that of the host: its own group is the top then
        for folder in (here, *here.parents[: len(here.parts) - len(top.parts)], top):
            limit, used = (_number(folder / file) for file in _GROUPS[name])
            if limit is not None and used is not None:
                yield max(limit - max(used - _inactive_file(folder), 0), 0)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))  # "max": no limit
    except (OSError, ValueError):
        return None


def _inactive_file(folder: Path) -> int:
    """Files that a control group has read and can drop [byte]."""
    try:
        facts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return int(facts.get("total_inactive_file", facts.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


def _machine_byte() -> int | None:
    """Memory of this machine that is free, or can be freed without paging [byte]; None where that is not told."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            facts = dict(line.split(":", 1) for line in file)
        return 1024 * int(facts["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _size(byte: int) -> str:
    """A size for people, rounded up: "1.7 GB"."""
    return f"{math.ceil(byte / 1e8) / 10:.1f} GB" if byte >= 5e7 else f"{math.ceil(byte / 1e5) / 10:.1f} MB"
