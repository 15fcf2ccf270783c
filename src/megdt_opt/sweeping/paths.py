"""Dotted paths to the fields of a scenario, such as "channel.downlink" or "users.*.deadline"."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from megdt_opt.errors import InvalidInput
from megdt_opt.scenario.edges import NamedEdge
from megdt_opt.scenario.limited_costs import COSTS
from megdt_opt.scenario.quantities import Quantities
from megdt_opt.scenario.scenario import Scenario, User

EVERY = "*"
"""In the place of a name: all users, or all edges."""

_NAMED: dict[str, type[Quantities]] = {"users": User, "edges": NamedEdge}
"""Lists of a scenario, whose entries go by their names."""


_RULES = {"max": "max_si", "weight": "weight_s_per_si"}
"""What is said of a cost, and its full name."""


@dataclass(frozen=True, kw_only=True)
class FieldPath:
    """One field of a scenario, or the same field of all its users or edges.

    Parameters
    ----------
    text : str
        As it was written.
    parts : tuple of str
        Fields from the outermost to the innermost, each with its unit in the name; behind "users" and "edges" stands
        a name or "*".
    key : str
        Innermost field as it was written: "downlink" takes text with a unit, "downlink_hz" a number.
    """

    text: str
    parts: tuple[str, ...]
    key: str

    @property
    def column(self) -> str:
        """Name of its column in a table, with the unit."""
        return ".".join(self.parts)

    def overlaps(self, other: FieldPath) -> bool:
        """Whether setting both would set one field twice."""
        pairs = zip(self.parts, other.parts, strict=False)
        same = [a == b or (i == 1 and EVERY in (a, b)) for i, (a, b) in enumerate(pairs)]
        return all(same)

    def put(self, data: dict[str, Any], value: Any) -> None:
        """Set the field in a scenario's plain data, in place.

        Raises
        ------
        InvalidInput
            Where the user or edge of this path is not in the data.
        """
        for node in self._holders(data):
            node.pop(self.parts[-1], None)
            node[self.key] = value

    def read(self, scenario: Scenario) -> Any:
        """The field's value as a table holds it: a number in SI units, a truth value, text, or None.

        Lists and nested fields become JSON text.
        """
        value: Any = scenario
        for i, part in enumerate(self.parts):
            if i == 1 and self.parts[0] in _NAMED:
                value = next(entry for entry in value if part in (EVERY, entry.name))
            elif isinstance(value, dict):
                value = value.get(part)
            else:
                value = None if value is None else getattr(value, part)
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", exclude_none=True)
        return json.dumps(value) if isinstance(value, dict | list | tuple) else value

    def _holders(self, data: dict[str, Any]) -> Iterable[dict[str, Any]]:
        kind = self.parts[0]
        if kind not in _NAMED:
            return [_down(data, self.parts[:-1])]
        selector = self.parts[1]
        found = [entry for entry in data[kind] if selector in (EVERY, entry["name"])]
        if not found:
            names = [entry["name"] for entry in data[kind]]
            raise InvalidInput(self.text, selector, f"one of the {kind} {names}", f'Use "{EVERY}" for all {kind}.')
        return [_down(entry, self.parts[2:-1]) for entry in found]


def parse_path(text: str, users: Sequence[str], edges: Sequence[str] = ()) -> FieldPath:
    """Find the field that a dotted path names.

    Parameters
    ----------
    text : str
        For example "steps", "channel.downlink", "users.*.device.stretch" or "users.tablet.deadline".
    users, edges : sequence of str
        Names that may stand behind "users" and "edges".

    Raises
    ------
    InvalidInput
        Where there is no such field; names the fields that there are.
    """
    owner: type[Quantities] = Scenario
    parts: list[str] = []
    rest = text
    while True:
        key, dot, rest = rest.partition(".")
        name = _field(owner, key, text)
        parts.append(name)
        if not dot:
            return FieldPath(text=text, parts=tuple(parts), key=key)
        if name == "borrow":
            return FieldPath(text=text, parts=(*parts, rest), key=rest)
        if owner is Scenario and name == "costs":
            cost, field = _cost(rest, text)
            return FieldPath(text=text, parts=(name, cost, _RULES.get(field, field)), key=field)
        if owner is Scenario and name in _NAMED:
            selector, rest = _entry(name, rest, {"users": users, "edges": edges}[name], text)
            parts.append(selector)
            owner = _NAMED[name]
            continue
        inner = owner.model_fields[name].annotation
        below = [kind for kind in (inner, *get_args(inner)) if isinstance(kind, type) and issubclass(kind, Quantities)]
        if not below:
            raise InvalidInput(text, rest, f"nothing below {key!r}, which has no fields", "Shorten the path.")
        owner = below[0]


def _down(node: dict[str, Any], parts: Sequence[str]) -> dict[str, Any]:
    for part in parts:
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
    return node


def _cost(rest: str, text: str) -> tuple[str, str]:
    """Split what follows "costs." into the cost and what is said of it."""
    cost, _, field = rest.partition(".")
    if cost not in COSTS:
        raise InvalidInput(text, cost, f"one of the costs {', '.join(COSTS)}", "Choose one of them.")
    if _RULES.get(field, field) not in _RULES.values():
        raise InvalidInput(text, field, f"one of {', '.join(_RULES)}", f"Write costs.{cost}.max, for example.")
    return cost, field


def _field(owner: type[Quantities], key: str, text: str) -> str:
    """Full name of a field given by its full or its short name."""
    for name in owner.model_fields:
        if key in (name, owner.short_name(name)):
            return name
    known = list(owner.model_fields)
    near = get_close_matches(key, known, n=1, cutoff=0.5)
    remedy = f"Did you mean {near[0]!r}?" if near else "Choose one of them."
    raise InvalidInput(text or "over", key, f"a field of {owner.__name__}: {', '.join(known)}", remedy)


def _entry(kind: str, rest: str, names: Sequence[str], text: str) -> tuple[str, str]:
    """Split what follows "users." or "edges." into name and field; names may contain dots, so the longest wins."""
    for name in sorted({EVERY, *names} if names else (), key=len, reverse=True):
        if rest.startswith(f"{name}.") and len(rest) > len(name) + 1:
            return name, rest[len(name) + 1 :]
    one, field = {"users": ("a user", "deadline"), "edges": ("an edge", "stretch")}[kind]
    raise InvalidInput(
        text,
        rest,
        f"{one} and a field, for example {kind}.{EVERY}.{field}; {kind} are {list(names)}",
        f"Name {one} of the scenario.",
    )
