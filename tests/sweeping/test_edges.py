"""Sweeps over the fields of several edge servers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from megdt_opt import InvalidInput, Scenario
from megdt_opt.sweeping.paths import parse_path
from megdt_opt.sweeping.runner import run_sweep

HALLS = """
steps: 4
cuts: [2]
peu_shares: [0.5]
channel: {downlink: 40 kHz, uplink: 40 kHz}
edges:
  - {name: hall-1, profile: twin-cpu}
  - {name: hall-2, profile: twin-cpu, stretch: 2}
users:
  - name: a
    device: {stretch: 30}
    downlink_efficiency: {hall-1: 4 bit/s/Hz, hall-2: 1 bit/s/Hz}
    uplink_efficiency: {hall-1: 4 bit/s/Hz, hall-2: 1 bit/s/Hz}
  - name: b
    device: {stretch: 30}
    downlink_efficiency: {hall-1: 1 bit/s/Hz, hall-2: 4 bit/s/Hz}
    uplink_efficiency: {hall-1: 1 bit/s/Hz, hall-2: 4 bit/s/Hz}
"""


def test_a_field_of_one_edge_or_of_all_can_be_swept(tmp_path: Path) -> None:
    over = {"edges.hall-2.stretch": [2, 60], ("edges.*.uplink", "edges.*.downlink"): [("40 kHz", "80 kHz")]}
    with pytest.raises(InvalidInput, match="channel"):
        run_sweep(Scenario.from_yaml(HALLS), over, cache=tmp_path)
    own = HALLS.replace("downlink: 40 kHz, uplink: 40 kHz", "propagation: 1 ms")
    own = own.replace("twin-cpu", "twin-cpu, uplink: 1 Hz, downlink: 1 Hz")
    found = run_sweep(Scenario.from_yaml(own), over, cache=tmp_path)
    cells, users = found.cells, found.users
    assert cells["edges.hall-2.stretch"].tolist() == [2, 60]
    assert cells["edges.*.uplink_hz"].tolist() == [40e3, 40e3]
    assert (cells["status"] == "optimal").all()
    # the slower the second edge, the longer it takes, and the first alone is no worse than the second alone
    assert cells["objective_s"].is_monotonic_increasing
    assert (cells["best_edge_s"] >= cells["objective_s"] * (1 - 1e-6)).all()
    assert cells["best_edge"].iloc[1] == "hall-1"
    assert set(users["edge"]) <= {"", "hall-1", "hall-2"}
    # what was kept is found again
    again = run_sweep(Scenario.from_yaml(own), over, cache=tmp_path)
    assert (again.computed, again.remembered) == (0, 2)
    pd.testing.assert_frame_equal(again.cells, cells)


def test_one_edge_has_no_best_edge() -> None:
    one = Scenario.from_yaml(
        "steps: 2\nchannel: {downlink: 1 MHz, uplink: 1 MHz}\n"
        "users: [{name: a, downlink_efficiency: 1 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz}]"
    )
    cells = run_sweep(one, {"steps": [2]}).cells
    assert cells["best_edge"].isna().all()
    assert cells["best_edge_s"].isna().all()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("edges.hall-3.stretch", r"an edge and a field.*hall-1.*Name an edge"),
        ("edges.stretch", r"an edge and a field"),
        ("edges.hall-1.speed", r"a field of NamedEdge"),
        ("edge.hall-1.stretch", r"a field of Edge"),
        ("users.hall-1.stretch", r"a user and a field"),
    ],
)
def test_paths_that_lead_nowhere(path: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        parse_path(path, ["a", "b"], ["hall-1", "hall-2"])


def test_a_path_to_the_only_edge_is_refused_where_there_are_several() -> None:
    with pytest.raises(InvalidInput, match="either edge or edges"):
        run_sweep(Scenario.from_yaml(HALLS), {"edge.stretch": [2]})
    with pytest.raises(InvalidInput, match=r"edges are \[\]"):
        run_sweep(Scenario.bundled("demo"), {"edges.*.stretch": [2]})
