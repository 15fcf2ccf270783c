"""What a column of a table is called on an axis, and in which unit it is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

_UNITS = (
    ("_bit_per_s_per_hz", "bit/s/Hz", ""),
    ("_bit_per_s", "bit/s", "GMk"),
    ("_hz", "Hz", "GMk"),
    ("_byte", "B", "GMk"),
    ("_bit", "bit", "GMk"),
    ("_db", "dB", ""),
    ("_j", "J", "kmu"),
    ("_w", "W", "kmu"),
    ("_m", "m", "k"),
    ("_s", "s", "mun"),
)
"""Endings of names, their unit, and the prefixes that people use with it."""

_PREFIXES = {"G": 1e9, "M": 1e6, "k": 1e3, "": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

_LABELS = {
    "channel.downlink": "downlink band",
    "channel.uplink": "uplink band",
    "channel.carrier": "carrier frequency",
    "channel.propagation": "one-way delay",
    "edge.servers": "edge servers",
    "edge.stretch": "slowdown of the edge server",
    "edge.memory": "edge memory",
    "steps": "denoising steps",
    "users": "users",
    "solve": "solution time",
    "build": "time to build the options",
    "objective": "latency objective",
    "device_compute": "energy of the devices' computing",
    "edge": "edge server time",
    "edge_time": "edge server time",
    "edge_energy": "energy of the edge's computing",
    "device_time": "time of the devices' computing",
    "device_energy": "energy of the devices' computing",
    "device_memory": "weights that the devices hold",
    "device_loading": "time to load the devices' weights",
    "messages": "messages",
    "signalling": "signalling",
    "users.*.deadline": "deadline of every user",
    "users.*.distance": "distance of every user",
    "users.*.energy_max": "energy limit of every user",
    "users.*.private_steps": "private steps of every user",
    "users.*.device.stretch": "slowdown of every device",
}


_OBJECTIVES = {
    "max": "worst weighted latency",
    "sum": "sum of weighted latencies",
    "mixed": "sum and worst of weighted latencies",
    "mean_cvar": "mean latency and that of the worst",
    "missed": "weight of users later than their deadline",
}


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """How a column is drawn.

    Parameters
    ----------
    name : str
        In words.
    unit : str
        With its prefix; "" for a count or a ratio.
    factor : float
        Value of one drawn unit in the column's unit [1].
    """

    name: str
    unit: str
    factor: float

    @property
    def label(self) -> str:
        """For an axis: name and unit."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name

    def text(self, value: float) -> str:
        """A value in the drawn unit, without the unit."""
        return f"{value / self.factor:.4g}"


def objective_quantity(frame: pd.DataFrame, column: str, values: Iterable[float] = ()) -> Quantity:
    """As `quantity`; the column "objective_s" goes by the objective of the rows, which for "missed" has no unit."""
    kinds = set(frame["objective"].tolist()) if column == "objective_s" and "objective" in frame else set()
    if not kinds:
        return quantity(column, values)
    name = _OBJECTIVES.get(next(iter(kinds)), "objective") if len(kinds) == 1 else "objective"
    if "missed" in kinds:
        return Quantity(name=name, unit="", factor=1.0)
    return replace(quantity(column, values), name=name if len(kinds) == 1 else _LABELS["objective"])


def quantity(column: str, values: Iterable[float] = (), *, prefix: bool = True) -> Quantity:
    """Name, unit and prefix of a column; the prefix is the largest that leaves the largest value at least 1.

    Parameters
    ----------
    column : str
        With the unit at its end, for example "channel.downlink_hz".
    values : iterable of float
        What will be drawn, in the column's unit.
    prefix : bool
        False for the plain unit.
    """
    stem, unit, prefixes = column, "", ""
    for ending, symbol, usual in _UNITS:
        if column.endswith(ending) and column != ending[1:]:
            stem, unit, prefixes = column.removesuffix(ending), symbol, usual
            break
    name = _LABELS.get(stem) or stem.replace("users.*.", "every user's ").replace(".", " ").replace("_", " ")
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    chosen = ""
    if prefix and largest > 0:
        offered = sorted(("", *prefixes), key=lambda p: -_PREFIXES[p])
        chosen = next((p for p in offered if largest >= _PREFIXES[p] * (1 - 1e-9)), offered[-1])
    return Quantity(name=name, unit=chosen.replace("u", "µ") + unit, factor=_PREFIXES[chosen])
