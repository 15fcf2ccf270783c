"""Costs that a scenario limits in all, or weighs into the objective: `costs: {device_energy: {max: 40 J}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from megdt_opt import units
from megdt_opt.errors import InvalidInput


@dataclass(frozen=True)
class CostKind:
    """A cost that depends on a user's option alone, whatever its shares.

    Parameters
    ----------
    unit : str
        Unit of its totals; "" for a number.
    dimension : str
        As `units.parse` names it; "" for a number.
    words : str
        What it is.
    example : str
        A limit as it is written.
    """

    unit: str
    dimension: str
    words: str
    example: str


COSTS = {
    "edge_time": CostKind("s", "time", "seconds of a whole edge server", "30 s"),
    "edge_energy": CostKind("J", "energy", "energy of the edge's computing", "2 kJ"),
    "device_time": CostKind("s", "time", "seconds that the devices compute", "60 s"),
    "device_energy": CostKind("J", "energy", "energy of the devices' computing", "40 J"),
    "device_memory": CostKind("B", "memory", "weights that the devices hold", "4 GB"),
    "device_loading": CostKind("s", "time", "time to load the devices' weights", "20 s"),
    "messages": CostKind("", "", "payloads sent", "20"),
    "signalling": CostKind("B", "memory", "bytes between the actors that are no payload", "40 kB"),
    "psnr_short": CostKind("dB", "ratio", "PSNR that pictures lack to their users' targets", "6 dB"),
    "psnr_truth_short": CostKind("dB", "ratio", "the same against what should be shown", "6 dB"),
    "ssim_short": CostKind("", "", "SSIM that pictures lack to their users' targets", "0.1"),
    "ssim_truth_short": CostKind("", "", "the same against what should be shown", "0.1"),
    "read_short": CostKind("", "", "share of objects that pictures lack to their users' targets", "0.1"),
    "frechet_over": CostKind("", "", "Frechet distance of pictures above their users' targets", "0.5"),
}
"""Costs by the names that scenarios give them; those of pictures are of users with a `quality_target`. Radio energy
depends on the shares, and what the edge holds is shared by its users: they are limited by `energy_max` and `memory`
instead."""


class CostRule(BaseModel):
    """What a scenario says of one cost; in SI units.

    Parameters
    ----------
    max_si : float, optional
        Limit on the total over the users [J, s, B or 1]; written as `max: 40 J`.
    weight_s_per_si : float, optional
        What one unit of the total adds to the objective [s per unit]; written as `weight: 0.1 s/J`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    max_si: float | None = Field(default=None, ge=0.0)
    weight_s_per_si: float | None = Field(default=None, gt=0.0)


def check_costs(objective: str, edges: int, groups: bool) -> None:
    """Refuse costs where no plan could be proven to keep them."""
    if objective == "missed":
        expected = "an objective in seconds where there are costs"
        raise InvalidInput(
            "objective", objective, expected, 'Choose "max", "sum", "mixed" or "mean_cvar", or remove the costs.'
        )
    if edges > 1 or groups:
        what = "groups" if groups else "edges"
        expected = "one edge server and no groups where there are costs, which no plan of several is proven to keep"
        raise InvalidInput(what, "given", expected, "State one edge and no groups, or remove the costs.")


def read_costs(given: Any) -> dict[str, dict[str, float]]:
    """The rules of a scenario's `costs` as plain numbers in SI units, by the names of the costs.

    Raises
    ------
    InvalidInput
        For a name that is no cost (with the list of those that are), a rule that says nothing, or a quantity without
        its unit.
    """
    if not isinstance(given, Mapping) or not given:
        expected = "a mapping of costs, each with a max or a weight"
        raise InvalidInput("", given, expected, 'Write for example "costs: {device_energy: {max: 40 J}}".')
    return {str(name): _rule(name, rule) for name, rule in given.items()}


def _rule(name: object, rule: Any) -> dict[str, float]:
    if name not in COSTS:
        listed = ", ".join(f"{key} ({kind.words})" for key, kind in COSTS.items())
        raise InvalidInput(str(name), "an unknown cost", f"one of {listed}", "Choose one of them.")
    kind, where = COSTS[str(name)], str(name)
    if isinstance(rule, CostRule):
        rule = rule.model_dump(exclude_none=True)
    if not isinstance(rule, Mapping) or all(value is None for value in rule.values()):
        raise InvalidInput(where, rule, "a max, a weight or both", f'Write for example "{{max: {kind.example}}}".')
    found: dict[str, float] = {}
    for key, value in rule.items():
        if value is None:
            continue
        if key in ("max_si", "weight_s_per_si"):
            found[key] = value
        elif key == "max":
            found["max_si"] = _limit(kind, value, f"{where}.max")
        elif key == "weight":
            found["weight_s_per_si"] = _weight(kind, value, f"{where}.weight")
        else:
            raise InvalidInput(f"{where}.{key}", value, "no field but max and weight", "Remove it.")
    if len(found) < sum(value is not None for value in rule.values()):
        raise InvalidInput(where, dict(rule), "each of max and weight once", "Remove one of the two spellings.")
    return found


def _limit(kind: CostKind, value: Any, where: str) -> float:
    if kind.dimension:
        return _positive(_amount(kind, value, where), value, where, kind.example, zero=True)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InvalidInput(where, value, "a number of at least 0", f'Write for example "{kind.example}".')
    return float(value)


def _weight(kind: CostKind, value: Any, where: str) -> float:
    """Seconds for each unit: "0.1 s/J"; of a number "0.1 s"."""
    example = f"0.1 s/{kind.unit}" if kind.unit else "0.1 s"
    top, slash, below = value.rpartition("/") if isinstance(value, str) else ("", "", "")
    if not kind.unit:
        return _positive(units.parse(value, "time", where), value, where, example)
    if not slash:
        expected = f"seconds for each {kind.unit}"
        raise InvalidInput(where, value, expected, f'Write it with its unit, for example "{example}".')
    try:
        each = _amount(kind, f"1 {below.strip()}", where)
        seconds = units.parse(top, "time", where)
    except InvalidInput:
        expected = f"seconds for each {kind.unit}"
        raise InvalidInput(where, value, expected, f'Write it with its unit, for example "{example}".') from None
    return _positive(seconds / each, value, where, example)


def _amount(kind: CostKind, value: Any, where: str) -> float:
    """A quantity with its unit in SI units; decibels stay decibels."""
    return units.parse_db(value, where) if kind.dimension == "ratio" else units.parse(value, kind.dimension, where)


def _positive(found: float, value: Any, where: str, example: str, *, zero: bool = False) -> float:
    if not (found >= 0 if zero else found > 0) or not math.isfinite(found):
        expected = f"a quantity {'of at least' if zero else 'above'} 0"
        raise InvalidInput(where, value, expected, f'Write for example "{example}".')
    return found
