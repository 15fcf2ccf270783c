"""The cells of a sweep: every combination of values, with every seed, as scenarios that are valid."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megdt_opt.errors import InvalidInput, shown
from megdt_opt.scenario.scenario import Scenario, User
from megdt_opt.sweeping.paths import FieldPath, parse_path
from megdt_opt.sweeping.trace_rows import ROW, ROWS, trace_axis

USERS = "users"
"""The key whose values are numbers of users."""

Over = (
    Mapping[str, Iterable[Any]]
    | Mapping[tuple[str, ...], Iterable[Any]]
    | Mapping[str | tuple[str, ...], Iterable[Any]]
)
"""Paths, or tuples of paths that change together, and their values (tuples for tuples); keys of a mapping are
invariant, hence three of them."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One combination of values with one seed.

    Parameters
    ----------
    parameters : mapping of str to object
        Column and value of every swept field, in SI units.
    seed : int or None
        The seed that redrew what is random; None where nothing was redrawn.
    scenario : Scenario
        What to plan for.
    """

    parameters: Mapping[str, Any]
    seed: int | None
    scenario: Scenario

    @property
    def label(self) -> str:
        """The cell in words."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return ", ".join(f"{name} = {value}" for name, value in {**self.parameters, **seed}.items()) or "the scenario"


def cells_of(scenario: Scenario, over: Over, seeds: Iterable[int] | None) -> tuple[Cell, ...]:
    """All cells, the last path and then the seed changing fastest; every scenario is checked here.

    Parameters
    ----------
    scenario : Scenario
        What all cells start from.
    over : mapping
        As `sweep` takes it.
    seeds : iterable of int or None
        As `sweep` takes it.

    Raises
    ------
    InvalidInput
        Where a path is unknown, a value does not fit its field, or values do not go together.
    """
    axes = [
        trace_axis(values) if key == ROWS else (_paths(key), list(_values(key, values))) for key, values in over.items()
    ]
    sizes = [v for paths, values in axes for row in values for p, v in zip(paths, row, strict=True) if p == USERS]
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InvalidInput(
                USERS, size, "a whole number of users of at least 1", "Give the numbers of users to plan for."
            )
    names = _names(scenario, max([len(scenario.users), *(int(s) for s in sizes)]))
    edges = [edge.name for edge in scenario.edges or ()]
    fields = {text: parse_path(text, names, edges) for paths, _ in axes for text in paths if text not in (USERS, ROW)}
    _refuse_overlaps(list(fields.values()), [text for paths, _ in axes for text in paths])
    base = scenario.model_dump(mode="json", exclude_none=True)
    order = [text for paths, _ in axes for text in paths]
    draws = _seeds(seeds)
    cells = []
    for rows in itertools.product(*(values for _, values in axes)):
        values = dict(zip(order, itertools.chain.from_iterable(rows), strict=True))
        made = _made(base, values, fields)
        parameters = {
            fields[text].column if text in fields else text: fields[text].read(made)
            if text in fields
            else len(made.users)
            if text == USERS
            else values[text]
            for text in order
        }
        cells += [
            Cell(parameters=parameters, seed=seed, scenario=made if seed is None else redrawn(made, seed))
            for seed in draws
        ]
    _refuse_twins(cells)
    return tuple(cells)


def resized(users: Sequence[Mapping[str, Any]], count: int) -> list[dict[str, Any]]:
    """As many users as asked for: the first ones, and behind the last one copies of all in turn.

    User number i (from 0) is a copy of user i modulo K, so that a larger number always contains the smaller one's
    users. The second copy of "tablet" is called "tablet-2".
    """
    taken = {str(user["name"]) for user in users}
    found = []
    for i in range(count):
        user = copy.deepcopy(dict(users[i % len(users)]))
        if i >= len(users):
            name = f"{user['name']}-{i // len(users) + 1}"
            while name in taken:
                name += "-copy"
            taken.add(name)
            user["name"] = name
        found.append(user)
    return found


def redrawn(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with new random draws: the shadowing and every scene that is given by its seed.

    What is not random stays: a scene given in full, and the shadowing seed where nothing is shadowed. User k's
    draws depend on the seed, on k and on the old values only, so they stay when users are added.
    """

    def draw(*entropy: int) -> int:
        masked = [value & 0xFFFFFFFFFFFFFFFF for value in (seed, *entropy)]
        return int(np.random.SeedSequence(masked).generate_state(1)[0])

    def user(k: int, old: User) -> User:
        return old.model_copy(update={"scene": draw(1, k, old.scene)}) if isinstance(old.scene, int) else old

    channel = scenario.channel
    if channel.shadowing_std_db > 0:
        channel = channel.model_copy(update={"shadowing_seed": draw(0, channel.shadowing_seed)})
    users = tuple(user(k, old) for k, old in enumerate(scenario.users))
    return scenario.model_copy(update={"channel": channel, "users": users})


def _paths(key: str | tuple[str, ...]) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key)


def _values(key: str | tuple[str, ...], values: Iterable[Any]) -> Iterable[tuple[Any, ...]]:
    remedy = 'Write for example over={"steps": [10, 20]}.'
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise InvalidInput(str(key), values, "a list of values", remedy)
    found = list(values)
    if not found:
        raise InvalidInput(str(key), found, "at least one value", remedy)
    if isinstance(key, str):
        return [(_python(value),) for value in found]
    for row in found:
        if isinstance(row, str) or not isinstance(row, Sequence) or len(row) != len(key):
            raise InvalidInput(str(key), row, f"{len(key)} values, one for each path", "Give one value a path.")
    return [tuple(_python(value) for value in row) for row in found]


def _python(value: Any) -> Any:
    """Python's number for NumPy's, so that values may come from a range of NumPy."""
    return value.item() if isinstance(value, np.generic) else value


def _seeds(seeds: Iterable[int] | None) -> list[int | None]:
    if seeds is None:
        return [None]
    expected, remedy = "whole numbers of at least 0, each once", "Write for example seeds=range(5)."
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise InvalidInput("seeds", seeds, expected, remedy)
    found = list(seeds)
    whole = all(isinstance(s, int | np.integer) and not isinstance(s, bool) and s >= 0 for s in found)
    if not found or not whole or len(set(found)) != len(found):
        raise InvalidInput("seeds", found, expected, remedy)
    return [int(s) for s in found]


def _names(scenario: Scenario, most: int) -> list[str]:
    users = [{"name": user.name} for user in scenario.users]
    return [str(user["name"]) for user in resized(users, most)]


def _made(base: Mapping[str, Any], values: Mapping[str, Any], fields: Mapping[str, FieldPath]) -> Scenario:
    data = copy.deepcopy(dict(base))
    try:
        if USERS in values:
            data["users"] = resized(data["users"], int(values[USERS]))
        for text, path in fields.items():
            path.put(data, values[text])
        return Scenario(**data)
    except InvalidInput as error:
        here = ", ".join(f"{text} = {shown(value)}" for text, value in values.items())
        remedy = f"{error.remedy} The cell of the sweep: {here}."
        # the path as it was written says more than the field, if it is clear which value was refused
        root = error.field.partition(".")[0]
        refused = [text for text, v in values.items() if v is error.value and text.partition(".")[0] == root]
        raise InvalidInput(
            refused[0] if len(refused) == 1 else error.field, error.value, error.expected, remedy
        ) from None


def _refuse_overlaps(fields: Sequence[FieldPath], order: Sequence[str]) -> None:
    for text in order:
        if order.count(text) > 1:
            raise InvalidInput(text, text, "each path once", "Remove one of them.")
    for one, other in itertools.combinations(fields, 2):
        if one.overlaps(other):
            raise InvalidInput(one.text, other.text, "paths to different fields", "Remove one of the two.")


def _refuse_twins(cells: Sequence[Cell]) -> None:
    seen = set()
    for cell in cells:
        if cell.label in seen:
            raise InvalidInput("over", cell.label, "every value once", "Remove the second one.")
        seen.add(cell.label)
