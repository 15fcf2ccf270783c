"""What a plan costs besides latency: predicted from the stages, measured from the stamps, shown with units."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from megdt_opt import Execution, InvalidInput, Plan, Scenario, execute, plan, sweep
from megdt_opt.execution.graph import graph
from megdt_opt.execution.record import StageRow
from megdt_opt.execution.signalling import predicted_signalling, told_by
from megdt_opt.program.stages import EDGE, Compute, Kind, Send, leaves, series
from megdt_opt.report import write_report
from megdt_opt.report.cost_grids import cost_grid, measured_cost_grid
from megdt_opt.trials.costs import measured_costs

PHONE: dict[str, Any] = {
    "device": {"stretch": 6, "compute_power": "3 W", "load": "2 MB/s"},
    "downlink_efficiency": "4 bit/s/Hz",
    "uplink_efficiency": "2 bit/s/Hz",
    "mechanisms": ["E2U"],
    "precisions": ["fp16"],
}


def cell(*users: dict[str, Any], **more: Any) -> Scenario:
    named = [{"name": f"u{k}", "scene": k, **PHONE, **user} for k, user in enumerate(users)]
    band = {"downlink": "60 kHz", "uplink": "60 kHz", "propagation": "2 ms"}
    edge = {"stretch": 2, "compute_power": "200 W", "load": "1 MB/s"}
    fields = {"steps": 4, "edge": edge, "channel": band, "users": named, **more}
    return Scenario(**{name: value for name, value in fields.items() if value is not None})


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(cell({}, {"mechanisms": ["local"]}))


def test_hardware_by_the_stages_alone(made: Plan) -> None:
    e2u, local = (user.costs for user in made.users)
    machines, bytes_of = made.table.machines, made.table.spec.weight_byte
    step_s, encode_s = (machines.edges["edge"].stage_s(kind) for kind in ("denoise", "encode_prompt"))
    assert e2u.edge_s == pytest.approx(4 * step_s + encode_s)
    assert e2u.edge_compute_j == pytest.approx(200 * e2u.edge_s)
    assert e2u.device_s == pytest.approx(machines.devices[0].stage_s("decode"))
    assert e2u.device_compute_j == pytest.approx(3 * e2u.device_s)
    request, down = (leaf for leaf in leaves(made.users[0].program) if isinstance(leaf, Send))
    airtime_s = made.table.send_bit(request, 0) / made.users[0].uplink_bit_per_s
    assert e2u.device_radio_j == pytest.approx(made.scenario.users[0].device.transmit_power_w * airtime_s)
    assert down.source == EDGE
    assert e2u.device_load_s == pytest.approx(bytes_of["decode"] / 2e6)
    assert (local.edge_s, local.edge_compute_j, local.device_radio_j, local.messages, local.signalling_byte) == (
        0, 0, 0, 0, 0,
    )  # fmt: skip


def test_weights_that_users_share_are_held_once() -> None:
    both = plan(cell({}, {}), compare=False)
    ((held, load_s),) = both.edge_resident.values()
    assert held == both.users[0].costs.edge_byte == both.users[1].costs.edge_byte
    assert load_s == pytest.approx(held / 1e6)
    assert cost_grid(both).rows[-1][0] == "all"
    column = cost_grid(both).headers.index("edge memory [MB]")
    assert len({row[column] for row in cost_grid(both).rows}) == 1


def test_what_is_not_declared_is_not_told() -> None:
    bare = plan(cell({"device": {"stretch": 6}}, edge={"stretch": 2}), compare=False)
    costs = bare.users[0].costs
    assert (costs.edge_compute_j, costs.device_compute_j, costs.device_radio_j, costs.device_load_s) == (None,) * 4
    assert not any("energy" in header or "loading" in header for header in cost_grid(bare).headers)
    frame = bare.to_frame()
    assert frame["edge_compute_j"].isna().all()
    assert frame["signalling_byte"].tolist() == [costs.signalling_byte]


@pytest.mark.parametrize(
    ("edge", "device", "said"),
    [
        ({"load": "500 MB"}, {}, "load: found '500 MB'.*B/s"),
        ({"load": 5e8}, {}, "load: found"),
        ({"compute_power": "0 W"}, {}, "edge.compute_power: found .0 W."),
        ({}, {"load": "-1 MB/s"}, "device.load: found .-1 MB/s."),
        ({}, {"load": "8 Mbit/s"}, "load: found"),
        ({}, {"transmit_power": "100 mW"}, "transmit_power"),
    ],
)
def test_costs_that_cannot_be_are_refused(edge: dict[str, Any], device: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        cell({"device": {"stretch": 6, **device}}, edge=edge)


def test_a_sweep_adds_up_what_users_cost() -> None:
    frame = sweep(cell({}, {}), {"channel.downlink": ["60 kHz"]}, compare=False)
    both = plan(cell({}, {}), compare=False)
    for name in ("edge_s", "edge_compute_j", "device_compute_j", "device_radio_j", "messages", "signalling_byte"):
        assert frame[name][0] == pytest.approx(sum(getattr(u.costs, name) for u in both.users)), name
    assert frame["edge_byte"][0] == both.edge_resident["edge"][0]


def test_an_actor_that_gets_nothing_is_told() -> None:
    program = series(
        Compute(at="a", kind=Kind.ENCODE_PROMPT, item="conditioning"),
        Compute(at="b", kind=Kind.ENCODE_PROMPT, item="conditioning"),
        Compute(at="b", kind=Kind.DENOISE, amount=2),
    )
    nodes = graph(program)
    assert [told_by(node, nodes) for node in nodes] == [("b",), (), ()]
    found = predicted_signalling(program, "u", lambda leaf: 0.0)
    assert (found.messages, found.signals) == (0, 1)
    signal = {"run": "run-0123456789abcdef", "user": "u", "index": 0, "due_s": 31415.926535897932}
    assert found.byte == len(json.dumps(signal)) + len("{}")


def run_of(made: Plan, busy: float) -> Execution:
    """A run whose stages computed for `busy` of their predicted time."""
    rows = [
        StageRow(
            user=user.name, index=i, label=leaf.label, actor=leaf.at if isinstance(leaf, Compute) else leaf.source,
            kind=str(leaf.kind) if isinstance(leaf, Compute) else f"send {leaf.payload.value}",
            predicted_start_s=time.start_s, predicted_duration_s=time.duration_s, start_s=time.start_s,
            end_s=time.start_s + time.duration_s, busy_s=busy if isinstance(leaf, Compute) else 0.0,
            waiting_s=0.25, signalling_byte=0 if isinstance(leaf, Compute) else 300,
        )
        for user in made.users
        for i, (leaf, time) in enumerate(zip(leaves(user.program), user.stages, strict=True))
    ]  # fmt: skip
    return Execution(rows=tuple(rows), mode="paced", stretch={}, environment={"load_s": {"edge": 0.5}})


def test_joules_are_declared_power_times_busy_seconds(made: Plan) -> None:
    found, local = measured_costs(made, run_of(made, 0.125))
    # two stages at the edge, twice as slow as its profile; one on the device, six times
    assert (found.edge_s, found.device_s) == (0.5, 0.75)
    assert (found.edge_compute_j, found.device_compute_j) == (100.0, 2.25)
    assert found.device_radio_j == pytest.approx(made.users[0].costs.device_radio_j)
    assert (found.messages, found.signals, found.signalling_byte, found.waiting_s) == (2, 0, 600, 5 * 0.25)
    assert (local.edge_s, local.messages) == (0.0, 0)
    grid = measured_cost_grid(made, run_of(made, 0.125))
    assert grid.rows[0][grid.headers.index("edge energy [J]")].startswith("100")
    assert "0.5" in grid.notes[0]
    bare = replace(run_of(made, 0.125), environment={})
    assert "Loading" not in measured_cost_grid(made, bare).notes[0]


def test_under_quotas_processor_seconds_are_stretched(made: Plan) -> None:
    """Stages last as long as the emulated machine takes already, and the edge's part has a process of its own."""
    paced = run_of(made, 0.125)
    rows = tuple(
        replace(row, busy_s=1.0, cpu_s=row.busy_s, actor="edge for u0" if row.actor == EDGE else row.actor)
        for row in paced.rows
    )
    found = measured_costs(made, replace(paced, rows=rows, mode="kernel"))
    assert [(u.edge_s, u.device_s) for u in found] == [(u.edge_s, u.device_s) for u in measured_costs(made, paced)]


@pytest.mark.slow
def test_a_run_costs_what_its_plan_says(made: Plan, tmp_path: Path) -> None:
    """Messages and signals as predicted, signalling within a twentieth; joules and waiting are the machine's."""
    done = execute(made)
    for user, found in zip(made.users, measured_costs(made, done), strict=True):
        assert (found.messages, found.signals) == (user.costs.messages, user.costs.signals)
        assert found.signalling_byte == pytest.approx(user.costs.signalling_byte, rel=0.05)
        assert (found.device_radio_j > 0) == (user.costs.device_radio_j > 0)
        assert found.device_s > 0
        assert found.waiting_s >= 0
    assert set(done.environment["load_s"]) == {"edge", "u0", "u1"}
    assert min(done.environment["load_s"].values()) > 0
    written = write_report(tmp_path, made, done)
    data = json.loads(written["result"].read_text())
    assert data["execution"]["costs"][0]["signalling_byte"] > 0
    assert data["edge_resident_byte"] == {"edge": made.edge_resident["edge"][0]}
    page = written["page"].read_text()
    assert "Costs, predicted" in page
    assert "Costs, measured" in page


def test_each_edge_has_its_power_memory_and_loading() -> None:
    scenario = cell(
        {"downlink_efficiency": {"near": "4 bit/s/Hz"}, "uplink_efficiency": {"near": "2 bit/s/Hz"}},
        {"downlink_efficiency": {"far": "4 bit/s/Hz"}, "uplink_efficiency": {"far": "2 bit/s/Hz"}},
        edge=None,
        edges=[
            {"name": "near", "stretch": 2, "compute_power": "200 W", "load": "1 MB/s"},
            {"name": "far", "stretch": 3, "compute_power": "50 W"},
        ],
    )
    both = plan(scenario, compare=False)
    near, far = (user.costs for user in both.users)
    assert near.edge_compute_j == pytest.approx(200 * near.edge_s)
    assert far.edge_compute_j == pytest.approx(50 * far.edge_s)
    assert far.edge_s == pytest.approx(1.5 * near.edge_s)
    resident = both.edge_resident
    assert resident["near"][0] == resident["far"][0] == near.edge_byte
    assert (resident["near"][1], resident["far"][1]) == (pytest.approx(near.edge_byte / 1e6), None)
    measured = measured_costs(both, run_of(both, 0.125))
    assert [(m.edge_s, m.edge_compute_j) for m in measured] == [(0.5, 100.0), (0.75, 37.5)]
    assert "They are loaded at near in" in cost_grid(both).notes[0]
