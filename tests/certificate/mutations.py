"""Altering the numbers of a saved certificate, one at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from megdt_opt import InvalidInput
from megdt_opt.certificate.certificate import Certificate


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the numbers of plain data are."""
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from places(value, (*path, key))
    elif isinstance(data, int | float):
        yield path


def altered(data: dict[str, Any], path: tuple[Any, ...], value: float) -> dict[str, Any]:
    """A copy with another number at one place."""
    changed = copy.deepcopy(data)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def at(data: Any, path: tuple[Any, ...]) -> float:
    """The number at a place."""
    for key in path:
        data = data[key]
    return float(data)


def holds(data: dict[str, Any], problem: Any) -> bool:
    """Whether a certificate of these data is read and proves its bound."""
    try:
        return Certificate.from_dict(data).verify(problem, exact=True).holds
    except InvalidInput:
        return False
