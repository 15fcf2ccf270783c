"""The cells of a sweep: every combination of values, with every seed, as scenarios that are valid."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from megdt_opt.errors import InvalidInput, shown
from megdt_opt.scenario.scenario import Scenario, User
from megdt_opt.scenario.varied import can_vary, read_field, set_field, varies
from megdt_opt.sweeping.paths import EVERY, FieldPath, parse_path
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
    kin : tuple
        Equal for cells whose scenarios differ in bands, servers, links and weights alone, so that one table of options
        serves them all.
    """

    parameters: Mapping[str, Any]
    seed: int | None
    scenario: Scenario
    kin: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for cells that do not differ but in their seed."""
        return self.kin, *self.parameters.values(), self.scenario.channel.shadowing_seed

    @property
    def label(self) -> str:
        """The cell in words."""
        return label_of(self.parameters, self.seed)


def label_of(parameters: Mapping[str, Any], seed: int | None) -> str:
    """A cell in words."""
    drawn = {} if seed is None else {"seed": seed}
    return ", ".join(f"{name} = {value}" for name, value in {**parameters, **drawn}.items()) or "the scenario"


class Grid(Sequence[Cell]):
    """All cells of a sweep, the last path and then the seed changing fastest; each is made when it is asked for.

    Parameters
    ----------
    scenario : Scenario
        What all cells start from.
    over : mapping
        As `sweep` takes it.
    seeds : iterable of int or None
        As `sweep` takes it.

    Attributes
    ----------
    kinds : list of Scenario
        The first scenario, and one for every other value of the axes that do more than vary bands and links.

    Raises
    ------
    InvalidInput
        Where a path is unknown, or a value does not fit its field; values that do not go together are refused when
        their cell is asked for, or by `check`.
    """

    def __init__(self, scenario: Scenario, over: Over, seeds: Iterable[int] | None) -> None:
        self.axes = [
            trace_axis(values) if key == ROWS else (_paths(key), list(_values(key, values)))
            for key, values in over.items()
        ]
        rows = [zip(paths, row, strict=True) for paths, values in self.axes for row in values]
        sizes = [value for row in rows for path, value in row if path == USERS]
        for size in sizes:
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                expected = "a whole number of users of at least 1"
                raise InvalidInput(USERS, size, expected, "Give the numbers of users to plan for.")
        names = _names(scenario, max([len(scenario.users), *(int(s) for s in sizes)]))
        edges = [edge.name for edge in scenario.edges or ()]
        self.order = [text for paths, _ in self.axes for text in paths]
        self.fields = {text: parse_path(text, names, edges) for text in self.order if text not in (USERS, ROW)}
        _refuse_overlaps(list(self.fields.values()), self.order)
        self.base = scenario.model_dump(mode="json", exclude_none=True)
        self.draws = _seeds(seeds)
        self.shape = (*(len(values) for _, values in self.axes), len(self.draws))
        # an axis varies where all of its fields do, and none is left out in one of its values
        self._varies = [
            all(text == ROW or (text in self.fields and varies(self.fields[text].parts)) for text in paths)
            and all(value is not None and not isinstance(value, Mapping) for row in values for value in row)
            for paths, values in self.axes
        ]
        self._made: dict[tuple[int, ...], Scenario] = {}
        self._drawn: dict[tuple[int, ...], Scenario] = {}
        self.kinds: list[Scenario] = [self._whole([0] * len(self.axes))]
        self._rows = [self._parameters_of(axis) for axis in range(len(self.axes))]

    @property
    def stated(self) -> list[Any]:
        """Paths and values of the axes, as they were given, as plain data."""
        return [[list(paths), json.loads(json.dumps(values, default=str))] for paths, values in self.axes]

    @property
    def columns(self) -> dict[str, list[Any]]:
        """Columns of the swept fields, with all their values."""
        names = [list(rows[0]) for rows in self._rows]
        return {name: [row[name] for row in rows] for own, rows in zip(names, self._rows, strict=True) for name in own}

    def __len__(self) -> int:
        return math.prod(self.shape)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._cell(tuple(int(i) for i in np.unravel_index(int(index) % len(self), self.shape)))

    def parameters(self, place: Sequence[int]) -> dict[str, Any]:
        """Columns and values of one place of the grid, with numbers of its axes' values and of its seed."""
        found: dict[str, Any] = {}
        for rows, i in zip(self._rows, place[:-1], strict=True):
            found |= rows[i]
        return found

    def check(self) -> None:
        """Make every scenario whose values may not go together; raises InvalidInput where they do not."""
        for place in itertools.product(*(range(1 if v else n) for v, n in zip(self._varies, self.shape, strict=False))):
            if not can_vary(self._whole(place)):
                rest = (range(n) if v else (i,) for v, n, i in zip(self._varies, self.shape, place, strict=False))
                for one in itertools.product(*rest):
                    self._whole(one)

    def _cell(self, place: tuple[int, ...]) -> Cell:
        seed = self.draws[place[-1]]
        stem = tuple(0 if varying else i for varying, i in zip(self._varies, place, strict=False))
        made = self._whole(stem)
        if not can_vary(made):
            made = self._whole(place[:-1])
            scenario = made if seed is None else redrawn(made, seed)
            kin = (*place[:-1], 0 if scenario == made else place[-1])
            return Cell(parameters=self.parameters(place), seed=seed, scenario=scenario, kin=kin)
        kin = (*stem, 0)
        if seed is not None:
            kin = (*stem, place[-1])
            if kin not in self._drawn:
                _keep(self._drawn, kin, redrawn(made, seed))
            drawn = self._drawn[kin]
            kin = (*stem, place[-1] if drawn.users != made.users else 0)  # shadowing alone moves links, not options
            made = drawn
        for (paths, _), varying, rows, i in zip(self.axes, self._varies, self._rows, place, strict=False):
            for text in paths if varying else ():
                if text != ROW:
                    path = self.fields[text]
                    made = set_field(made, path.parts, rows[i][path.column], EVERY)
        return Cell(parameters=self.parameters(place), seed=seed, scenario=made, kin=kin)

    def _whole(self, place: Sequence[int]) -> Scenario:
        """The scenario of numbers of values, read and checked as a file's is."""
        key = tuple(place)
        if key not in self._made:
            chosen = (values[i] for (_, values), i in zip(self.axes, key, strict=True))
            values = dict(zip(self.order, itertools.chain.from_iterable(chosen), strict=True))
            _keep(self._made, key, _made(self.base, values, self.fields))
        return self._made[key]

    def _varying(self, paths: Sequence[str], row: Sequence[Any]) -> dict[str, Any] | None:
        """Columns and values of a value whose fields vary, read without the rest of the scenario; None where the first
        scenario cannot vary, or a value does not fit and the whole says so."""
        first = self._whole([0] * len(self.axes))
        if not can_vary(first):
            return None
        found: dict[str, Any] = {}
        try:
            for text, value in zip(paths, row, strict=True):
                path = self.fields.get(text)
                found[text if path is None else path.column] = (
                    value if path is None else read_field(first, path.parts, path.key, value, EVERY)
                )
        except InvalidInput:
            return None
        return found

    def _parameters_of(self, axis: int) -> list[dict[str, Any]]:
        """Columns and values of each value of an axis, which is checked beside the first values of the others."""
        paths, values = self.axes[axis]
        found: list[dict[str, Any]] = []
        seen = set()
        for i, row in enumerate(values):
            place = [0] * len(self.axes)
            place[axis] = i
            one = self._varying(paths, row) if self._varies[axis] else None
            if one is None:
                made = self._whole(place)
                self.kinds += [made] if i > 0 and not self._varies[axis] else []
                one = {
                    text if text not in self.fields else self.fields[text].column: self.fields[text].read(made)
                    if text in self.fields
                    else len(made.users)
                    if text == USERS
                    else value
                    for text, value in zip(paths, row, strict=True)
                }
            if label_of(one, None) in seen:
                raise InvalidInput("over", label_of(one, None), "every value once", "Remove the second one.")
            seen.add(label_of(one, None))
            found.append(one)
        return found


def cells_of(scenario: Scenario, over: Over, seeds: Iterable[int] | None) -> tuple[Cell, ...]:
    """All cells of a `Grid`, every one of which is checked here; parameters and errors as for it."""
    grid = Grid(scenario, over, seeds)
    grid.check()
    return tuple(grid)


_KEPT = 256
"""Scenarios that a grid keeps at a time [1]."""


def _keep(kept: dict[tuple[int, ...], Scenario], key: tuple[int, ...], scenario: Scenario) -> None:
    if len(kept) >= _KEPT:
        kept.pop(next(iter(kept)))
    kept[key] = scenario


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
