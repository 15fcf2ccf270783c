"""Memory that a pipeline's weights need, from its configurations alone, said and refused before any is taken."""

from __future__ import annotations

import os

from megdt_opt.errors import MegdtError
from megdt_opt.models.diffusers.architecture import Architecture
from megdt_opt.models.diffusers.design import PRECISION_BYTE, gigabyte


def needed_byte(design: Architecture, precision: str) -> dict[str, int]:
    """Memory of each part's weights in a precision [byte]; nothing is allocated for it.

    Examples
    --------
    >>> from megdt_opt.models.diffusers.architecture import ARCHITECTURES
    >>> need = needed_byte(ARCHITECTURES["sd15"], "fp32")
    >>> round(need["denoise"] / 1e9, 2), round(sum(need.values()) / 1e9, 2)
    (3.44, 4.26)
    """
    from megdt_opt.models.diffusers.loading import parameters_of

    byte = PRECISION_BYTE.get(precision, 4)
    return {part: byte * count for part, count in parameters_of(design).items()}


def memory_sentence(name: str, byte: dict[str, int], precision: str, processes: int = 1) -> str:
    """What a model will take, in words."""
    parts = ", ".join(f"{part} {gigabyte(size)}" for part, size in byte.items())
    times = f" in each of {processes} processes" if processes > 1 else ""
    return f"The weights of {name} need {gigabyte(sum(byte.values()))} in {precision}{times}: {parts}."


def free_byte() -> int | None:
    """Memory of this machine that is free, or can be freed, without paging [byte]; None where that is not told."""
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


def require_memory(design: Architecture, precision: str, device: str = "cpu") -> None:
    """Refuse a model whose weights alone are larger than what is free, before they are taken.

    Raises
    ------
    MegdtError
        Says what is needed, part by part, and what is free.
    """
    free = free_byte() if device == "cpu" else None
    if free is None:
        return
    byte = needed_byte(design, precision)
    if sum(byte.values()) > free:
        raise MegdtError(
            f"{memory_sentence(design.name, byte, precision)} This machine has {gigabyte(free)} free. Take a smaller "
            "precision (--precision bf16), a smaller model, or a larger machine."
        )
