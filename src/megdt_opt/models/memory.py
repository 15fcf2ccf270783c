"""Memory that weights need, said and refused before any is taken."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from megdt_opt.errors import MegdtError

PRECISION_BYTE = {"fp32": 4, "fp16": 2, "bf16": 2}
"""Byte of a value in each precision in which networks compute."""


def memory_sentence(name: str, byte: Mapping[str, int], precision: str, processes: int = 1) -> str:
    """What a model will take, in words.

    Parameters
    ----------
    name : str
        Name of the model.
    byte : mapping of str to int
        Memory of each part's weights [byte].
    precision : str
        Precision in which it is.
    processes : int
        Processes that each load it [1].

    Examples
    --------
    >>> memory_sentence("sd15", {"denoise": 3_440_000_000, "decode": 198_000_000}, "fp32")
    'The weights of sd15 need 3.7 GB in fp32: denoise 3.5 GB, decode 0.2 GB.'
    """
    parts = ", ".join(f"{part} {_size(one)}" for part, one in byte.items())
    times = f" in each of {processes} processes" if processes > 1 else ""
    return f"The weights of {name} need {_size(sum(byte.values()))} in {precision}{times}: {parts}."


def require_memory(name: str, byte: Mapping[str, int], precision: str, processes: int = 1) -> None:
    """Refuse weights that are larger than what is free on this machine.

    Parameters
    ----------
    name, byte, precision, processes
        As for `memory_sentence`.

    Raises
    ------
    MegdtError
        Says what is needed, part by part, and what is free.
    """
    free = _free_byte()
    if free is not None and processes * sum(byte.values()) > free:
        remedy = "Take a smaller precision, such as bf16, a smaller model, or a larger machine."
        raise MegdtError(
            f"{memory_sentence(name, byte, precision, processes)} This machine has {_size(free)} free. {remedy}"
        )


def _free_byte() -> int | None:
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
