"""Quantities with units."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdt_opt import units
from megdt_opt.errors import InvalidInput
from megdt_opt.si import percent


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("20 MHz", "frequency", 20e6),
        ("60ms", "time", 0.06),
        ("1.5 min", "time", 90.0),
        ("2 Mbit", "data", 2e6),
        ("5 Mbit/s", "rate", 5e6),
        ("5 Mbps", "rate", 5e6),
        ("30 dBm", "power", 1.0),
        ("200 mW", "power", 0.2),
        ("2 GB", "memory", 2e9),
        ("2 GiB", "memory", 2.0**31),
        ("3 mWh", "energy", 10.8),
        ("150 m", "length", 150.0),
    ],
)
def test_reads(text: str, dimension: str, value: float) -> None:
    assert units.parse(text, dimension) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", [20, 20.0, "20", "20 Mhz", "MHz", "nan MHz", "1e999 MHz", "20 ms", None, ""])
def test_refuses_what_has_no_proper_unit(text: object) -> None:
    with pytest.raises(InvalidInput, match="bandwidth.*with its unit"):
        units.parse(text, "frequency", "bandwidth")


def test_decibel_and_efficiency() -> None:
    assert units.parse_db("7 dB") == 7.0
    assert units.parse_efficiency("4 bit/s/Hz") == 4.0
    for bad in ("7", "7 Hz", 7):
        with pytest.raises(InvalidInput):
            units.parse_db(bad)
    for bad in ("4", "-1 bit/s/Hz", 4):
        with pytest.raises(InvalidInput):
            units.parse_efficiency(bad)


@given(st.floats(1e-6, 1e9))
def test_shown_values_read_back(value: float) -> None:
    shown = units.show(value, "Hz", digits=9)
    assert units.parse(shown, "frequency") == pytest.approx(value, rel=1e-6)


@given(st.floats(-100, 100))
def test_decibels_invert(value_db: float) -> None:
    assert math.isclose(units.linear_to_db(units.db_to_linear(value_db)), value_db, abs_tol=1e-9)


@pytest.mark.parametrize("mu", ["u", "\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}"])
@pytest.mark.parametrize(("unit", "dimension"), [("s", "time"), ("W", "power"), ("J", "energy"), ("m", "length")])
def test_both_signs_for_micro(mu: str, unit: str, dimension: str) -> None:
    assert units.parse(f"5 {mu}{unit}", dimension) == pytest.approx(5e-6, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "dimension", "remedy"),
    [
        ("20 mHz", "frequency", '"20 MHz"'),
        ("2 mbit", "data", '"2 Mbit"'),
        ("1.5 mbit/s", "rate", '"1.5 Mbit/s"'),
        ("3 mbps", "rate", '"3 Mbps"'),
        ("512 mB", "memory", '"512 MB"'),
        ("1 nHz", "frequency", '"1 MHz"'),
        ("1 \N{MICRO SIGN}Hz", "frequency", '"1 MHz"'),
    ],
)
def test_parts_of_what_has_none_are_slips_for_mega(text: str, dimension: str, remedy: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        units.parse(text, dimension)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("text", ["1e5 dBm", "99999 dBW", "1e400 dBm", "nan dBm"])
def test_powers_beyond_every_number_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="edge_transmit"):
        units.parse(text, "power", "edge_transmit")


def test_what_is_too_large_or_too_long_to_be_a_quantity() -> None:
    for text in ("1e5 dB", "-2000 dB"):
        with pytest.raises(InvalidInput, match="1000"):
            units.parse_db(text)
    with pytest.raises(InvalidInput):
        units.parse_efficiency("1e999 bit/s/Hz")
    with pytest.raises(InvalidInput):
        units.parse("1 x" + " " * 10**6 + "\n y", "time")
    assert units.db_to_linear(1e6) == math.inf


@pytest.mark.parametrize(
    ("value", "decimals", "signed", "text"),
    [
        (99.6, None, False, "100 %"),
        (0.0312, None, False, "0.031 %"),
        (4.25, None, False, "4.2 %"),
        (1.2e9, None, False, "1200000000 %"),
        (0.0, None, False, "0 %"),
        (-0.001, 2, True, "+0.00 %"),
        (12.345, 1, True, "+12.3 %"),
        (12.345, 0, False, "12 %"),
        (math.inf, None, False, "\N{EN DASH}"),
        (math.nan, 2, True, "\N{EN DASH}"),
    ],
)
def test_percentages_have_no_exponent(value: float, decimals: int | None, signed: bool, text: str) -> None:
    assert percent(value, decimals, signed=signed) == text


def test_percentages_are_written_by_one_function() -> None:
    """Neither `{...:%}` nor a number with a percent sign behind it stands in the package."""
    source = Path(__file__).resolve().parents[1] / "src" / "megdt_opt"
    found = [
        f"{path.relative_to(source)}: {line.strip()}"
        for path in sorted(source.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"%\}|:[^{}]*[efg]\} ?%", line) and path.name != "si.py"
    ]
    assert [line for line in found if "self.percent:g" not in line] == []  # what the caller has asked for
