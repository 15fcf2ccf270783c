"""What a plan file states: each field is of its kind, and what follows from the others is held against them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import StrEnum
from numbers import Real
from typing import Any, TypeVar, get_args, get_type_hints

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.errors import InvalidInput, shown
from megdt_opt.problem.outcome import BoundSource, Method
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.scenario.problems import Problem
from megdt_opt.solving import solve
from megdt_opt.solving.door import methods
from megdt_opt.tolerances import EXACT, SOLVER

REMEDY = "Make the plan again with `megdt-opt plan`."

PATIENCE_S = 60.0
"""Limit on proving a bound that comes without a certificate [s]."""

Kind = TypeVar("Kind", bound=StrEnum)


def refused(name: str, value: object, expected: str) -> InvalidInput:
    """The error for a field of a plan file."""
    return InvalidInput(name, value, expected, REMEDY)


def fields(value: object, names: Iterable[str], where: str = "plan") -> Mapping[str, Any]:
    """An object with just these fields; the first that is missing or unknown is refused by its name."""
    if not isinstance(value, Mapping):
        raise refused(where, type(value).__name__, "an object with fields")
    known = tuple(names)
    for name in known:
        if name not in value:
            raise refused(f"{where}.{name}", None, "a value")
    for name in value:
        if name not in known:
            raise refused(f"{where}.{name}", "an unknown field", f"no field but {', '.join(known)}")
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    """A list of sentences."""
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise refused(name, value, "a list of sentences, or nothing")
    return tuple(value)


def read_fields(kind: type[Any], value: object, where: str) -> dict[str, Any]:
    """The fields of a dataclass of numbers, truth values, texts and tuples of them or of tuples, from plain data."""
    hints, found = get_type_hints(kind), {}
    for name, given in fields(value, hints, where).items():
        of = get_args(hints[name])
        if of and not isinstance(given, list):
            raise refused(f"{where}.{name}", given, "a list")
        read = [_plain(f"{where}.{name}", each, of[0] if of else hints[name]) for each in (given if of else [given])]
        found[name] = tuple(read) if of else read[0]
    return found


def _plain(name: str, value: object, kind: type) -> Any:
    if kind is float:
        return number(name, value)
    if get_args(kind):
        if not isinstance(value, list):
            raise refused(name, value, "a list")
        return tuple(_plain(f"{name}[{i}]", each, get_args(kind)[0]) for i, each in enumerate(value))
    if type(value) is not kind:
        raise refused(name, value, f"a value of the kind {kind.__name__}")
    return value


def known(given: object, made: object, where: str = "plan") -> None:
    """Refuse the first field, at any depth, of which what was built from the file knows nothing."""
    if isinstance(given, Mapping) and isinstance(made, Mapping):
        for name, value in given.items():
            if name not in made:
                raise refused(f"{where}.{name}", "an unknown field", f"no field but {', '.join(map(str, made))}")
            known(value, made[name], f"{where}.{name}")
    elif isinstance(given, list) and isinstance(made, list | tuple):
        for i, (value, own) in enumerate(zip(given, made, strict=False)):
            known(value, own, f"{where}[{i}]")


def number(name: str, value: object, least: float = 0.0) -> float:
    """A finite number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or value < least:
        raise refused(name, value, f"a finite number of at least {least:g}")
    return float(value)


def numbers(name: str, value: object, count: int) -> list[float]:
    """A list of finite numbers of at least 0, one for each user."""
    if not isinstance(value, list) or len(value) != count:
        raise refused(name, value, f"a list of {count} values, one per user")
    return [number(f"{name}[{i}]", v) for i, v in enumerate(value)]


def one_of(name: str, value: object, kind: type[Kind]) -> Kind:
    """A member of an enum, by its value."""
    try:
        return kind(str(value))
    except ValueError:
        raise refused(name, value, f"one of {list(kind)}") from None


def agrees(name: str, stated: object, found: float, scale: float | None = None) -> None:
    """Refuse a figure that differs from the recomputed one; None stands for one that is not finite.

    Parameters
    ----------
    name : str
        The field.
    stated : object
        What the file says.
    found : float
        What its other fields give.
    scale : float, optional
        What the difference is relative to; default the recomputed figure.
    """
    expected = f"{shown(found)}, which the other fields give"
    if not math.isfinite(found):
        if stated is not None:
            raise refused(name, stated, "null: no bound was found")
        return
    if stated is None or abs(number(name, stated) - found) > EXACT * (abs(found) if scale is None else scale):
        raise refused(name, stated, expected)


def finite(value: float) -> float | None:
    """A number as JSON can hold it: None where it is not finite."""
    return value if math.isfinite(value) else None


def proven_bound(
    data: Mapping[str, Any], problem: Problem, objective_s: float
) -> tuple[float, BoundSource, Certificate | None]:
    """The bound that a plan file states, with its source and certificate, after both were checked.

    A certificate is verified and gives the bound, unless it stands beside an enumeration of turns. A bound without one
    is compared with a bound that is found now by the same source: one that it does not reach is refused.
    """
    source = one_of("bound_source", data["bound_source"], BoundSource)
    beside = source is BoundSource.ENUMERATION and isinstance(problem, SequencedEdgeProblem)
    certificate = None
    if source is BoundSource.CERTIFICATE or data["certificate"] is not None:
        if source is not BoundSource.CERTIFICATE and not beside:
            raise refused("bound_source", source.value, "'certificate', as there is one")
        certificate = Certificate.from_dict(data["certificate"])
        verdict = certificate.verify(problem)
        if not verdict.holds:
            raise refused(
                "certificate", certificate.bound_s, f"a proof of its bound for this problem ({verdict.reason})"
            )
        if not beside:
            return min(certificate.bound_s, objective_s), source, certificate
    if source is BoundSource.NONE:
        return -math.inf, source, None
    stated = number("lower_bound_s", data["lower_bound_s"])
    proof = _found_again(problem, source)
    if stated > min(objective_s, proof.lower_bound_s + SOLVER * objective_s):
        raise refused("lower_bound_s", stated, f"a bound that can be proven, which {shown(proof.lower_bound_s)} is")
    return stated, source, certificate


def _found_again(problem: Problem, source: BoundSource) -> Any:
    """An answer whose bound has the given source, or a better one than a solver's word; refused where none has."""
    routes = {BoundSource.SOLVER: Method.AUTO, BoundSource.ENUMERATION: Method.ENUMERATE}
    expected = "a source that bounds of this problem have without a certificate"
    if routes.get(source) not in methods(type(problem).__name__):
        raise refused("bound_source", source.value, expected)
    try:
        found: Any = solve(problem, method=routes[source], gap=SOLVER / 10, time_limit_s=PATIENCE_S)
    except InvalidInput as error:
        raise refused("bound_source", source.value, f"{expected} ({error})") from None
    if source.proves and found.bound_source is not source:
        raise refused("bound_source", source.value, f"{found.bound_source.value!r}, which the proof has")
    return found
