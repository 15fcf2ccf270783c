"""Quantities with units: the only place that converts.

Inside the package everything is SI (second, bit, hertz, watt, joule; byte for memory only). Text with
a unit, such as "20 MHz", "60 ms", "2 Mbit" or "23 dBm", is read here, and a bare number where a unit
is needed is refused.
"""

from __future__ import annotations

import math
import re

from megdt_opt.errors import InvalidInput
from megdt_opt.si import UNDIVIDED
from megdt_opt.si import show as show

_MICRO = "u\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}"
"""The letter u, and two signs that look the same."""

_PREFIX = {"": 1.0, "n": 1e-9, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} | dict.fromkeys(_MICRO, 1e-6)

MAX_DB = 1000
"""Largest ratio [dB]; nothing in a link is beyond it, and its power ratio is still a number."""

_LENGTH = 100
"""Most characters of a quantity."""

_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
_DIMENSION = {
    "time": ("s", "60 ms"),
    "frequency": ("Hz", "20 MHz"),
    "data": ("bit", "2 Mbit"),
    "rate": ("bit/s", "5 Mbit/s"),
    "power": ("W", "200 mW or 23 dBm"),
    "energy": ("J", "3 J"),
    "memory": ("B", "2 GB"),
    "loading": ("B/s", "500 MB/s"),
    "length": ("m", "150 m"),
}
_TEXT = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\s\d].*?)\s*$")


def _match(text: object) -> re.Match[str] | None:
    return _TEXT.match(text) if isinstance(text, str) and len(text) <= _LENGTH else None


def parse(text: object, dimension: str, field: str = "value") -> float:
    """Read a quantity with its unit.

    Parameters
    ----------
    text : str
        For example "20 MHz".
    dimension : str
        "time", "frequency", "data", "rate", "power", "energy", "memory", "loading" or "length".
    field : str
        Name to use in an error.

    Returns
    -------
    float
        The value in SI units (memory in byte).

    Raises
    ------
    InvalidInput
        Where the unit is missing, unknown or of another dimension, or the number is not finite.
    """
    unit, example = _DIMENSION[dimension]
    remedy = f'Write it with its unit, for example "{example}".'
    match = _match(text)
    if match is None:
        raise InvalidInput(field, text, f"a {dimension} with a unit ({unit})", remedy)
    number, symbol = float(match[1]), match[2]
    value = _convert(number, symbol, unit, dimension)
    if value is None or not math.isfinite(value):
        raise InvalidInput(field, text, f"a finite {dimension} in {unit} or a multiple of it", remedy)
    if unit in UNDIVIDED and symbol[0] in ("m", "n", *_MICRO):
        remedy = f'For mega write "{match[1]} M{symbol[1:]}".'
        raise InvalidInput(field, text, f"a {dimension} in {unit} or a multiple of it, not in parts of it", remedy)
    return value


def _convert(number: float, symbol: str, unit: str, dimension: str) -> float | None:
    if dimension == "power" and symbol in ("dBm", "dBW"):
        return float(db_to_linear(number) * (1e-3 if symbol == "dBm" else 1.0))
    if dimension == "time" and symbol in ("min", "h"):
        return number * (60.0 if symbol == "min" else 3600.0)
    if dimension == "energy" and symbol in ("Wh", "mWh"):
        return number * (3600.0 if symbol == "Wh" else 3.6)
    spellings = (unit, "bps") if dimension == "rate" else (unit,)
    for spelling in spellings:
        if symbol.endswith(spelling):
            prefix = symbol[: len(symbol) - len(spelling)]
            if prefix in _PREFIX:
                return number * _PREFIX[prefix]
            if dimension in ("memory", "loading") and prefix in _BINARY:
                return number * _BINARY[prefix]
    return None


def parse_db(text: object, field: str = "value") -> float:
    """Read a ratio in decibel, such as "7 dB"; the value stays in dB.

    Raises
    ------
    InvalidInput
        Where the text is not a finite number of dB.
    """
    match = _match(text)
    if match is None or match[2] not in ("dB", "dBi") or not abs(float(match[1])) <= MAX_DB:
        expected = f"a ratio in dB between -{MAX_DB} and {MAX_DB}"
        raise InvalidInput(field, text, expected, 'Write it with its unit, for example "7 dB".')
    return float(match[1])


def parse_efficiency(text: object, field: str = "value") -> float:
    """Read a spectral efficiency such as "4 bit/s/Hz" [bit/s/Hz].

    Raises
    ------
    InvalidInput
        Where the unit is missing or the value is negative or not finite.
    """
    match = _match(text)
    if match is None or match[2] not in ("bit/s/Hz", "bps/Hz") or not 0 <= float(match[1]) < math.inf:
        raise InvalidInput(
            field,
            text,
            "a spectral efficiency in bit/s/Hz",
            'Write it with its unit, for example "4 bit/s/Hz".',
        )
    return float(match[1])


def parse_density(text: object, field: str = "value") -> float:
    """Read a noise density such as "-174 dBm/Hz" or "4e-21 W/Hz" [W/Hz].

    Raises
    ------
    InvalidInput
        Where the unit is missing, or the value is not finite and above 0 W/Hz.
    """
    match = _match(text)
    symbol = "" if match is None else match[2].removesuffix("/Hz")
    value = _convert(float(match[1]), symbol, "W", "power") if match is not None and symbol != match[2] else None
    if value is None or not 0.0 < value < math.inf:
        expected = "a noise density above 0 in dBm/Hz or W/Hz"
        raise InvalidInput(field, text, expected, 'Write it with its unit, for example "-174 dBm/Hz".')
    return value


def db_to_linear(value_db: float) -> float:
    """Power ratio of a value in dB; infinite where no number is as large."""
    try:
        return float(10.0 ** (value_db / 10.0))
    except OverflowError:
        return math.inf


def linear_to_db(ratio: float) -> float:
    """dB of a power ratio, which must be positive."""
    return 10.0 * math.log10(ratio)
