"""Scenarios with several edge servers: what they say, what is refused, and the problem that they become."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from megdt_opt import AllocationProblem, Infeasible, InvalidInput, PlacementProblem, Scenario
from megdt_opt.program.stages import EdgeServer, actors, is_edge
from megdt_opt.scenario.options import OptionTable

TEXT = """
steps: 4
cuts: [2]
peu_shares: [0.5]
channel: {downlink: 60 kHz, uplink: 40 kHz}
edges:
  - {name: hall-1, profile: twin-cpu}
  - {name: hall-2, profile: twin-cpu, stretch: 2, uplink: 80 kHz, servers: 0.5, memory: 1 GB}
users:
  - {name: a, downlink_efficiency: 4 bit/s/Hz, uplink_efficiency: 2 bit/s/Hz}
  - name: b
    downlink_efficiency: {hall-1: 4 bit/s/Hz, hall-2: 1 bit/s/Hz}
    uplink_efficiency: {hall-1: 2 bit/s/Hz, hall-2: 0.5 bit/s/Hz}
    mechanisms: [E2U, SEU, local]
  - {name: c, distance: {hall-2: 50 m}}
"""


def test_figures_differ_by_edge_where_they_are_given_by_name() -> None:
    scenario = Scenario.from_yaml(TEXT)
    down, up = scenario.efficiencies()
    assert down[:2].tolist() == [[4.0, 4.0], [4.0, 1.0]]
    assert up[:2].tolist() == [[2.0, 2.0], [2.0, 0.5]]
    # an edge that is left out does not reach the user
    assert down[2, 0] == up[2, 0] == 0.0
    alone = Scenario.from_yaml(
        "channel: {downlink: 60 kHz, uplink: 80 kHz}\nusers: [{name: c, distance: 50 m}]"
    ).efficiencies()
    assert (down[2, 1], up[2, 1]) == (alone[0][0], alone[1][0])


def test_bands_are_an_edges_own_or_those_of_the_channel() -> None:
    sites = Scenario.from_yaml(TEXT).sites
    assert [(str(s.name), s.downlink_hz, s.uplink_hz) for s in sites] == [("hall-1", 6e4, 4e4), ("hall-2", 6e4, 8e4)]
    assert all(is_edge(site.name) for site in sites)


def test_dump_reads_back() -> None:
    scenario = Scenario.from_yaml(TEXT)
    assert Scenario(**scenario.model_dump(mode="json", exclude_none=True)) == scenario
    assert Scenario(**scenario.model_dump(mode="json")) == scenario


def test_shadowing_is_drawn_for_each_edge_and_stays_when_users_are_added() -> None:
    users = "\nusers: [{name: a, distance: 50 m}, {name: b, distance: 50 m}]"
    head = "channel: {downlink: 1 MHz, uplink: 1 MHz, shadowing_std: 8 dB}\nedges: [{name: x}, {name: y}]"
    down, _ = Scenario.from_yaml(head + users).snr_products_hz()
    assert len(set(down.ravel().tolist())) == 4
    fewer, _ = Scenario.from_yaml(head + users.partition(", {name: b")[0] + "]").snr_products_hz()
    assert (fewer == down[:1]).all()


@pytest.mark.parametrize(
    ("old", "new", "field", "says"),
    [
        pytest.param("edges:", "edge: {profile: twin-cpu}\nedges:", "edges", "Remove one", id="both"),
        pytest.param("name: hall-2", "name: hall-1", "edges", "unique", id="duplicate"),
        pytest.param("name: hall-2", "name: a", "users.0.name", "Rename the user", id="user-called-as-an-edge"),
        pytest.param("name: hall-2", "name: -", "edges.1.name", "edge a shorter or plainer", id="no-name"),
        pytest.param(
            "downlink_efficiency: {hall-1: 4 bit/s/Hz, hall-2",
            "downlink_efficiency: {hall-1: 4 bit/s/Hz, hall-3",
            "users.1.downlink_efficiency.hall-3",
            "hall-2",
            id="unknown-edge",
        ),
        pytest.param("{hall-2: 50 m}", "{hall-9: 50 m}", "users.2.distance.hall-9", "hall-2", id="unknown-at-distance"),
        pytest.param("{hall-2: 50 m}", "{}", "users.2.distance", "at least one edge", id="no-edge"),
        pytest.param("{hall-2: 50 m}", "{hall-2: 50}", "users.2.distance.hall-2", "unit", id="no-unit"),
        pytest.param("{hall-2: 50 m}", "{hall-2: 0 m}", "users.2.distance.hall-2", "at least 1", id="too-near"),
        pytest.param(", hall-2: 0.5 bit/s/Hz", "", "users.1.uplink_efficiency", "same edges", id="one-way-alone"),
        pytest.param("hall-2: 0.5 bit", "hall-2: -1 bit", "users.1.uplink_efficiency.hall-2", "spectral", id="below-0"),
        pytest.param("downlink: 60 kHz, ", "", "edges.0.downlink", "band", id="no-band"),
        pytest.param(
            "{name: hall-1, ", "{name: hall-1, uplink: 1 kHz, ", "channel.uplink_hz", "Remove it", id="unused-band"
        ),
        pytest.param("stretch: 2, ", "stretch: 0.5, ", "edges.1.stretch", "at least 1", id="faster-than-measured"),
        pytest.param("memory: 1 GB", "memory: 1", "edges.1.memory", "unit", id="memory-without-unit"),
        pytest.param("steps: 4", "model: sd15\nsteps: 4", "users.0.device.profile", "sd15", id="profile-of-the-model"),
        pytest.param("steps: 4", "steps: 4\nedge: null", "", "", id="edge-null-beside-edges"),
    ],
)
def test_bad_values_name_field_and_remedy(old: str, new: str, field: str, says: str) -> None:
    assert old in TEXT
    changed = TEXT.replace(old, new)
    if not field:
        assert Scenario.from_yaml(changed) == Scenario.from_yaml(TEXT)
        return
    with pytest.raises(InvalidInput) as caught:
        Scenario.from_yaml(changed)
    assert field in str(caught.value)
    assert says in str(caught.value)


def test_no_edge_is_no_scenario() -> None:
    before, _, after = TEXT.partition("edges:")
    users = "users:" + after.partition("users:")[2]
    with pytest.raises(InvalidInput, match=r"edges.*at least one edge server"):
        Scenario.from_yaml(f"{before}edges: []\n{users}")
    with pytest.raises(InvalidInput, match=r"edge: .*an edge server"):
        Scenario.from_yaml(f"{before}edge: null\n{users}")


def test_every_option_with_an_edge_stands_once_for_each() -> None:
    table = OptionTable.build(Scenario.from_yaml(TEXT))
    names = [option.name for option in table.options]
    assert len(set(names)) == len(names)
    assert [name for name in names if "@" not in name] == ["local"]
    assert {"SEU 2 fp16 @hall-1", "SEU 2 fp16 @hall-2"} <= set(names)
    for option in ("SEU 2 fp16 @hall-1", "centralised png @hall-2", "local"):
        edges = [actor for actor in actors(table.program(0, table.index(option))) if is_edge(actor)]
        assert edges == ([EdgeServer(option.partition("@")[2])] if "@" in option else [])


def test_several_edges_make_a_placement_problem() -> None:
    table = OptionTable.build(Scenario.from_yaml(TEXT))
    problem = table.problem()
    assert isinstance(problem, PlacementProblem)
    one, two, local = (table.index(name) for name in ("E2U fp32 @hall-1", "E2U fp32 @hall-2", "local"))
    assert problem.option_server[0, [one, two, local]].tolist() == [0, 1, -1]
    assert problem.downlink_hz.tolist() == [6e4, 6e4]
    assert problem.uplink_hz.tolist() == [4e4, 8e4]
    assert problem.capacities.tolist() == [1.0, 0.5]
    # hall-2 is stretched to twice the time; what is sent is the same
    assert problem.edge_work_s[0, two] == pytest.approx(2 * problem.edge_work_s[0, one])
    assert problem.downlink_bit[0, two] == problem.downlink_bit[0, one]
    # the third user is out of reach of hall-1, and the table says so
    assert problem.allowed_mask[2, [one, two, local]].tolist() == [False, True, True]
    assert table.closed_by(2, one) == ("reach of hall-1: a link that the option needs carries nothing",)


def test_one_edge_in_a_list_is_the_edge_by_another_name() -> None:
    lines = [line for line in TEXT.splitlines(keepends=True) if "name: hall-2" not in line]
    listed = "".join(lines).replace(", hall-2: 1 bit/s/Hz", "").replace(", hall-2: 0.5 bit/s/Hz", "")
    listed = listed.replace("hall-2", "hall-1")
    single = listed.replace("edges:\n  - {name: hall-1, profile", "edge: {profile").replace("hall-1", "edge")
    one, other = (OptionTable.build(Scenario.from_yaml(found)) for found in (listed, single))
    mine, theirs = one.problem(), other.problem()
    assert isinstance(mine, AllocationProblem)
    assert isinstance(theirs, AllocationProblem)
    assert one.options == other.options
    for name in ("fixed_s", "edge_work_s", "downlink_bit", "downlink_efficiency", "uplink_efficiency", "allowed"):
        assert np.array_equal(getattr(mine, name), getattr(theirs, name)), name
    assert {actor for actor in actors(one.program(0, 1)) if is_edge(actor)} == {"hall-1"}


def build(**more: Any) -> OptionTable:
    scenario = Scenario.from_yaml(TEXT).model_dump(mode="json", exclude_none=True)
    for path, value in more.items():
        kind, _, field = path.partition("__")
        number, _, field = field.partition("__")
        scenario[kind][int(number)][field] = value
    return OptionTable.build(Scenario(**scenario))


def test_a_user_whom_no_edge_reaches_and_who_may_not_stay_local() -> None:
    zero = {"hall-1": 0.0, "hall-2": 0.0}
    far = {"users__1__downlink_efficiency_bit_per_s_per_hz": zero, "users__1__uplink_efficiency_bit_per_s_per_hz": zero}
    assert build(**far).problem().allowed_mask[1].sum() == 1  # local
    with pytest.raises(InvalidInput, match=r"users\.b\.downlink_efficiency.*hall-1.*an edge that reaches.*'local'"):
        build(**far, users__1__mechanisms=["E2U"]).problem()
    with pytest.raises(InvalidInput, match=r"users\.b\.downlink_efficiency"):
        build(**far, users__1__shown_at="edge", users__1__mechanisms=None).problem()
    # a band of nothing reaches nobody
    with pytest.raises(InvalidInput, match=r"users\.c\.distance.*hall-2"):
        build(edges__1__uplink_hz=0.0, edges__1__downlink_hz=0.0, users__2__mechanisms=["E2U", "SEU"]).problem()


def test_other_limits_are_said_as_with_one_edge() -> None:
    with pytest.raises(Infeasible, match=r"user b: .*privacy: the request"):
        build(users__1__private_steps=4, users__1__mechanisms=["E2U"]).problem()


def test_a_memory_closes_options_at_its_edge_alone() -> None:
    weights = build().spec.weight_byte
    small = float(weights["encode_prompt"] + weights["denoise"])
    table = build(edges__1__memory_byte=small, users__0__mechanisms=["E2U", "centralised"])
    heavy, light = "centralised raw @hall-2", "E2U fp16 @hall-2"
    costs = table.costs(0, table.index(heavy))
    assert costs is not None
    assert costs.edge_byte == small + weights["decode"]
    assert any("memory of hall-2" in reason for reason in table.closed_by(0, table.index(heavy)))
    assert not table.closed_by(0, table.index(light))
    assert not table.closed_by(0, table.index(heavy.replace("2", "1")))


def test_a_memory_that_holds_no_option_is_refused_and_parts_are_placed_where_one_holds_not_all() -> None:
    with pytest.raises(
        InvalidInput, match=r"edges\.hall-2\.memory.*1\.0.*at least \d+ B, the least weights.*leave the"
    ):
        build(edges__1__memory_byte=1.0).problem()
    weights = build().spec.weight_byte
    # U2E decodes at the edge and E2U encodes there: each fits, both do not
    most = float(weights["denoise"] + max(weights["encode_prompt"], weights["decode"]))
    senses, draws = ["U2E", "local"], ["E2U", "local"]
    apart = {"users__0__mechanisms": senses, "users__0__senses": True, "edges__1__memory_byte": most}
    table = build(**apart, users__1__mechanisms=draws, users__2__mechanisms=draws)
    problem = table.problem()
    assert isinstance(problem, PlacementProblem)
    assert table.parts is not None
    assert set(table.parts.names) == {"encode_prompt fp32", "denoise fp32", "decode fp32"}
    assert problem.option_model is not None
    needs = {o: problem.option_model[:, o].any(axis=0).sum() for o in range(problem.options)}
    assert all(needs[o] == 0 for o, option in enumerate(table.options) if not option.edge)
    # it is refused to hold more than fits: users at hall-2 who need both encoder and decoder
    at = {option.mechanism: o for o, option in enumerate(table.options) if option.edge == "hall-2"}
    both = [at["U2E"], at["E2U"], at["E2U"]]
    placed = problem.needed(np.array(both))
    assert placed is not None
    shares = {"downlink_hz": [1.0, 1.0, 1.0], "uplink_hz": [1.0, 1.0, 1.0], "edge_share": [0.1, 0.1, 0.1]}
    assert problem.evaluate(SimpleNamespace(option=both, placed=placed, **shares)).violation > 0
    alone = build(**apart, users__1__mechanisms=["local"], users__2__mechanisms=["local"])
    assert alone.parts is None
    assert isinstance(alone.problem(), PlacementProblem)


def test_deadlines_and_limits_on_energy_are_those_of_the_problem() -> None:
    free = build().problem()
    assert (free.deadline_s, free.uplink_airtime_max_s) == (None, None)
    late = build(users__0__deadline_s=5.0).problem()
    assert isinstance(late, PlacementProblem)
    assert late.hard_deadline_s.tolist() == [5.0, np.inf, np.inf]
    device = {"profile": "twin-cpu", "compute_power_w": 1.0, "transmit_power_w": 0.5}
    limits = {"users__1__energy_max_j": 100.0, "users__1__device": device}
    table = build(**limits)
    first = table.scenario.model_dump(mode="json", exclude_none=True)
    first["edges"] = first["edges"][:1]
    first["users"] = first["users"][1:2]
    for side in ("downlink", "uplink"):
        name = f"{side}_efficiency_bit_per_s_per_hz"
        first["users"][0][name] = first["users"][0][name]["hall-1"]
    alone = OptionTable.build(Scenario(**first), table.profiles, spec=table.spec)
    there, here = table.problem().uplink_airtime_max_s, alone.problem().uplink_airtime_max_s
    assert there is not None
    assert here is not None
    found = 0
    for o, option in enumerate(alone.options):
        if np.isfinite(here[0, o]) and here[0, o] < 1e20:
            same = next(n for n, other in enumerate(table.options) if replace(other, edge=option.edge) == option)
            assert there[1, same] == pytest.approx(here[0, o], rel=1e-12)
            found += 1
    assert found >= 2
