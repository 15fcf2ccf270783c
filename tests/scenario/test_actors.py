"""What an actor is does not depend on what it is called."""

from __future__ import annotations

import copy
import pickle

import pytest

from megdt_opt import InvalidInput, plan
from megdt_opt.execution.plain import program_from_plain, program_to_plain
from megdt_opt.program.mechanisms import Setting, program
from megdt_opt.program.stages import EDGE, EdgeServer, actors, is_edge
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario

TEXT = """
steps: 20
peu_shares: {shares}
cuts: [10]
edge: {{profile: twin-cpu}}
channel: {{downlink: 60 kHz, uplink: 40 kHz}}
users:
  - {{name: "{name}", downlink_efficiency: 1 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz,
     device: {{profile: twin-cpu, stretch: 16, compute_power: 20 W}}, energy_max: {energy}}}
  - {{name: other, downlink_efficiency: 2 bit/s/Hz, uplink_efficiency: 1 bit/s/Hz, device: {{profile: twin-cpu}}}}
"""


def table(name: str, shares: str = "[]", energy: str = "1 kJ") -> OptionTable:
    return OptionTable.build(Scenario.from_yaml(TEXT.format(name=name, shares=shares, energy=energy)))


@pytest.mark.parametrize("name", ["edge-camera", "edgeward", "edge2"])
@pytest.mark.parametrize("shares", ["[]", "[0.5]"])
def test_a_users_name_may_begin_like_an_edge_servers(name: str, shares: str) -> None:
    found, plain = table(name, shares), table("camera", shares)
    for o in range(len(plain.options)):
        assert found.terms(0, o) == plain.terms(0, o)
        assert found.costs(0, o) == plain.costs(0, o)
    # the second plan may come from compiled code, whose last bit differs
    assert plan(found, compare=False).objective_s == pytest.approx(plan(plain, compare=False).objective_s, rel=1e-12)


@pytest.mark.parametrize("name", ["edge-camera", "edgeward", "edge2"])
def test_its_energy_limit_holds(name: str) -> None:
    found = table(name, energy="1 mJ")
    assert "energy" in " ".join(found.closed_by(0, found.index("local")))


@pytest.mark.parametrize("mechanism", ["local", "SEU 10 fp16", "PEU 0.50 fp32"])
def test_a_program_keeps_its_actors_on_the_way_to_them(mechanism: str) -> None:
    found = table("edge-camera", "[0.5]")
    stages = found.program(0, found.index(mechanism))
    for read in (
        program_from_plain(program_to_plain(stages)),
        pickle.loads(pickle.dumps(stages)),
        copy.deepcopy(stages),
    ):
        assert read == stages
        assert {name: is_edge(name) for name in actors(read)} == {name: is_edge(name) for name in actors(stages)}
        assert not any(is_edge(name) for name in actors(read) if name == "edge-camera")


def test_a_user_may_not_be_called_like_the_edge_server() -> None:
    with pytest.raises(InvalidInput, match="users.0.name.*edge server"):
        table("edge")


@pytest.mark.parametrize(("device", "edge"), [("x", EdgeServer("x")), (EdgeServer("x"), EDGE), ("x", "edge")])
def test_a_setting_has_a_device_and_an_edge_server(device: str, edge: EdgeServer) -> None:
    spec = table("camera").spec
    with pytest.raises(InvalidInput, match="device"):
        Setting(spec=spec, scheduler="ddim", steps=2, device=device, edge=edge)


def test_an_edge_server_may_have_any_name() -> None:
    found = table("camera")
    setting = Setting(spec=found.spec, scheduler="ddim", steps=20, device="edge", edge=EdgeServer("phone"))
    option = found.options[found.index("E2U fp16")]
    assert {str(name): is_edge(name) for name in actors(program(option, setting))} == {"edge": False, "phone": True}
