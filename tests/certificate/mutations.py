"""What certificates of every class of problems are held to: altered numbers, one at a time, prove no more."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import replace
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


def refuses_raised_bounds(certificate: Certificate, problem: Any, objective_s: float) -> None:
    """A bound above the objective, or none that is a number, is never proven."""
    for factor in (1 + 1e-6, 1.5, 100.0):
        assert not replace(certificate, bound_s=objective_s * factor).verify(problem, exact=True).holds
    for value in (math.nan, math.inf):
        assert not replace(certificate, bound_s=value).verify(problem).holds


def proves_no_more_than_the_truth(certificate: Certificate, problem: Any, objective_s: float) -> None:
    """Whatever number of a saved certificate is altered, what it then proves is true; some are refused."""
    data = json.loads(json.dumps(certificate.to_dict()))
    refused = 0
    for path in places(data):
        value = at(data, path)
        for other in (value * 0.5, value * 1.5, value + 1.0, -value - 1e-9, math.nan):
            changed = altered(data, path, other)
            if other == value or path == ("bound_s",):
                continue
            if holds(changed, problem):
                assert changed["bound_s"] <= objective_s * (1 + 1e-9)
            else:
                refused += 1
    assert refused > 0
