"""Tables of options of scenarios that differ in bands, servers, links or weights alone: made once, and varied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from megdt_opt.scenario.links import SIDES, WAYS
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario

_SAME = ("_cells", "allowed", "_possible", "_reference_byte")
"""What a table has worked out that does not depend on what varies."""

_OF_CHANNEL = ("downlink_hz", "uplink_hz")
_OF_USERS = (
    "weight",
    "distance_m",
    *(f"{side}_{WAYS[way]}" for side in SIDES for way in ("efficiency", "rate", "snr")),
)


def varies(parts: Sequence[str]) -> bool:
    """Whether a field, by its parts from the outermost ("users", NAME, ...), changes no option, cost or closing."""
    match parts:
        case ("channel", name):
            return name in _OF_CHANNEL
        case ("edge", "servers"):
            return True
        case ("users", _, name):
            return name in _OF_USERS
    return False


def can_vary(scenario: Scenario) -> bool:
    """Whether the fields of `varies` can take other numbers in this scenario, with nothing else to check or make anew.

    It has one edge of reserved shares, no groups, costs or samples, and no cap that a rate on a smaller band may break.
    """
    if scenario.edge is None or scenario.edge.discipline != "reserved":
        return False
    others = (scenario.groups, scenario.grouping, scenario.costs, scenario.holds)
    return others == (None,) * len(others) and scenario.channel.efficiency_max_bit_per_s_per_hz is None


def set_field(scenario: Scenario, parts: Sequence[str], value: float, every: str) -> Scenario:
    """The scenario with another number, checked before, in a field of `varies`; `every` stands for all users."""
    if parts[0] == "users":
        _, name, field = parts
        users = tuple(
            user.model_copy(update={field: value}) if name in (every, user.name) else user for user in scenario.users
        )
        return scenario.model_copy(update={"users": users})
    holder: Any = getattr(scenario, parts[0])
    return scenario.model_copy(update={parts[0]: holder.model_copy(update={parts[1]: value})})


def read_field(scenario: Scenario, parts: Sequence[str], key: str, value: Any, every: str) -> float:
    """A field of `varies` in SI units, read and checked as a scenario file's is.

    Parameters
    ----------
    scenario : Scenario
        In which the field would stand.
    parts : sequence of str
        The field, as `varies` takes it.
    key : str
        The innermost field as it is written, with or without its unit.
    value : object
        As it is written.
    every : str
        In the place of a user's name: all users.

    Raises
    ------
    InvalidInput
        Where the value does not fit.
    """
    field = parts[-1]
    if parts[0] == "users":
        user = next(user for user in scenario.users if parts[1] in (every, user.name))
        stated = user.model_dump(mode="json", exclude_none=True, exclude={field})
        return float(getattr(type(user)(**{**stated, key: value}), field))
    return float(getattr(type(getattr(scenario, parts[0]))(**{key: value}), field))


def varied(table: OptionTable, scenario: Scenario) -> OptionTable:
    """The table of a scenario that differs from the table's own in fields of `varies` alone.

    Parameters
    ----------
    table : OptionTable
        Of a scenario that `can_vary`.
    scenario : Scenario
    """
    found = replace(table, scenario=scenario)
    for name in _SAME:
        found.__dict__[name] = getattr(table, name)
    return found
