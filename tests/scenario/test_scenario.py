"""Scenarios: units, limits, clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.scenario.scenario import Scenario

TEXT = """
channel: {downlink: 60 kHz, uplink: 40 kHz, propagation: 5 ms}
users:
  - {name: a, downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz, deadline: 4 s}
  - {name: b, distance: 120 m, device: {stretch: 4, memory: 1 GB}}
"""


def test_reads_units_into_si() -> None:
    scenario = Scenario.from_yaml(TEXT)
    assert scenario.channel.downlink_hz == 60e3
    assert scenario.channel.propagation_s == 0.005
    assert scenario.users[0].deadline_s == 4.0
    assert scenario.users[1].device.memory_byte == 1e9


def test_python_takes_numbers_in_the_unit_that_the_name_states() -> None:
    scenario = Scenario(
        channel={"downlink_hz": 60e3, "uplink": "40 kHz"},
        users=[{"name": "a", "distance_m": 20.0}],
    )
    assert scenario.channel.uplink_hz == 40e3


def test_dump_reads_back() -> None:
    scenario = Scenario.from_yaml(TEXT)
    assert Scenario(**scenario.model_dump(mode="json", exclude_none=True)) == scenario


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        ("60 kHz", "60", "channel.downlink", "unit"),
        ("60 kHz", ".nan", "channel.downlink", "unit"),
        ("60 kHz", "nan kHz", "channel.downlink", "frequency"),
        ("60 kHz", "-60 kHz", "channel.downlink", "at least 0 [Hz]"),
        ("5 ms", "5", "channel.propagation", "unit"),
        ("deadline: 4 s", "deadline: 4", "users.0.deadline", "60 ms"),
        ("deadline: 4 s", "deadline: 0 s", "users.0.deadline", "above 0 [s]"),
        ("deadline: 4 s", "mechanisms: [E3U]", "users.0.mechanisms", "E2U"),
        ("deadline: 4 s", "precisions: [fp8]", "users.0.precisions", "fp16"),
        ("deadline: 4 s", "private_steps: 21", "private_steps", "20 steps"),
        ("deadline: 4 s", "energy_max: 3 J", "compute_power", "power"),
        ("deadline: 4 s", "weight: 0", "users.0.weight", "above 0"),
        ("deadline: 4 s", "distance: 3 m", "a", "exactly one"),
        ("name: b", "name: a", "users", "unique"),
        ("stretch: 4", "stretch: 0.5", "stretch", "at least 1"),
        ("stretch: 4", "strech: 4", "strech", "fields"),
        ("uplink: 40 kHz, ", "", "channel.uplink", "value"),
        ("120 m", "0.5 m", "distance", "at least 1"),
    ],
)
def test_bad_values_name_field_and_remedy(old: str, new: str, field: str, says: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidInput) as caught:
        Scenario.from_yaml(TEXT.replace(old, new))
    assert field in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "3", "[1, 2]", "users: [", "channel: {downlink: 1 Hz, uplink: 1 Hz}\nusers: []"])
def test_what_is_no_scenario(text: str) -> None:
    with pytest.raises(InvalidInput):
        Scenario.from_yaml(text)


NEAR = """
channel: {downlink: 60 kHz, uplink: 40 kHz}
users:
  - {name: a, downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz}
"""
UNUSED = {
    "carrier without a distance": ("channel.carrier", "uplink: 40 kHz", "carrier: 28 GHz"),
    "exponent without a distance": ("channel.path_loss_exponent", "uplink: 40 kHz", "path_loss_exponent: 2.5"),
    "shadowing without a distance": ("channel.shadowing_std", "uplink: 40 kHz", "shadowing_std: 8 dB"),
    "draw of shadowing without a distance": ("channel.shadowing_seed", "uplink: 40 kHz", "shadowing_seed: 3"),
    "power of the edge without a distance": ("channel.edge_transmit", "uplink: 40 kHz", "edge_transmit: 30 mW"),
    "noise without a distance": ("channel.noise_figure", "uplink: 40 kHz", "noise_figure: 5 dB"),
    "antennas without a distance": ("channel.antenna_gain", "uplink: 40 kHz", "antenna_gain: 6 dB"),
    "power of a radio without a distance": (
        "users.a.device.transmit_power", "uplink_efficiency: 2 bit/s/Hz", "device: {transmit_power: 20 dBm}",
    ),
    "strength without a sensor": ("sense_strength", "{name: a", "sense_strength: 0.4"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSED)
def test_a_field_that_nothing_uses_is_refused_by_name(case: str) -> None:
    field, after, added = UNUSED[case]
    text = f"{added}\n{NEAR}" if after == "{name: a" else NEAR.replace(after, f"{after}, {added}")
    with pytest.raises(InvalidInput, match=rf"scenario.*: {field}: found .*expected nothing without .*Leave it out"):
        Scenario.from_yaml(text)
    far = text.replace("downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz", "distance: 20 m, senses: true")
    if case.startswith("draw"):
        with pytest.raises(InvalidInput, match=f"{field}: .*standard deviation"):
            Scenario.from_yaml(far)
        far = far.replace("shadowing_seed", "shadowing_std: 0 dB, shadowing_seed")  # a level of a sweep
    used = Scenario.from_yaml(far)
    assert Scenario(**used.model_dump(mode="json", exclude_none=True)) == used


def test_what_is_stated_at_its_default_or_used_by_one_user_is_taken() -> None:
    """A scenario that was written out with every field reads back."""
    plain = Scenario.from_yaml(NEAR)
    assert Scenario(**plain.model_dump(mode="json")) == plain
    assert Scenario.from_yaml(TEXT.replace("5 ms", "5 ms, carrier: 28 GHz")).channel.carrier_hz == 28e9
    limited = "device: {transmit_power: 20 dBm, compute_power: 2 W}, energy_max: 3 J, deadline: 4 s"
    assert Scenario.from_yaml(TEXT.replace("deadline: 4 s", limited)).users[0].device.transmit_power_w == 0.1
    dull = "sense_strength: 0.4\n" + NEAR.replace("{name: a", "{name: a, senses: false")  # a level of a sweep
    assert Scenario.from_yaml(dull).sense_strength == 0.4


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"scenario file.*nothing\.yaml"):
        Scenario.load(tmp_path / "nothing.yaml")


def test_shannon_needs_distances() -> None:
    with pytest.raises(InvalidInput, match="distance"):
        Scenario.from_yaml(TEXT.replace("channel: {", "channel: {law: shannon, "))


def test_efficiency_from_distance_is_that_of_the_whole_band() -> None:
    scenario = Scenario.from_yaml(TEXT)
    down, up = scenario.efficiencies()
    g_down, g_up = scenario.snr_products_hz()
    assert down[1] == pytest.approx(np.log2(1 + g_down[1] / 60e3))
    assert up[1] == pytest.approx(np.log2(1 + g_up[1] / 40e3))
    assert np.isnan(g_down[0])


def test_bundled_scenarios_are_valid() -> None:
    assert "demo" in Scenario.bundled_names()
    for name in Scenario.bundled_names():
        assert Scenario.bundled(name).users
    with pytest.raises(InvalidInput, match="demo"):
        Scenario.bundled("nothing")
