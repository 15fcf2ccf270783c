"""Two edge servers, two processes: every picture is the unsplit one, and each stage runs where it was planned."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from test_failures import during
from typer.testing import CliRunner

from megdt_opt import Execution, Plan, Scenario, execute, plan
from megdt_opt.cli.app import app
from megdt_opt.errors import ExecutionError, PeerLost
from megdt_opt.execution.record import Fault
from megdt_opt.program.stages import is_edge, leaves
from megdt_opt.report import write_report
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import cluster_of, run_options
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.runs import fallback_runs, user_runs
from megdt_opt.trials.verification import measured_objective_s

SCENARIO = """
name: two halls
steps: 4
channel: {downlink: 100 kHz, uplink: 100 kHz, propagation: 2 ms}
edges:
  - {name: hall-1, profile: twin-cpu, stretch: 4}
  - {name: hall-2, profile: twin-cpu, stretch: 5}
x-near: &near {hall-1: 4 bit/s/Hz, hall-2: 0.4 bit/s/Hz}
x-far: &far {hall-1: 0.4 bit/s/Hz, hall-2: 4 bit/s/Hz}
x-device: &device {profile: twin-cpu, stretch: 8}
users:
  - {name: a, device: *device, downlink_efficiency: *near, uplink_efficiency: *near, mechanisms: [E2U],
     precisions: [fp32], scene: 1, seed: 1}
  - {name: b, device: *device, downlink_efficiency: *far, uplink_efficiency: *far, mechanisms: [SEU],
     precisions: [fp32], scene: 2, seed: 2}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Planned, saved and read again: what another machine would execute."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    plan(Scenario.from_yaml(SCENARIO), compare=False).save(path)
    return Plan.load(path)


def test_the_plan_uses_both_edges(made: Plan) -> None:
    assert [user.edge for user in made.users] == ["hall-1", "hall-2"]
    assert made.status == "optimal"
    stretch = run_options(made.table, 1.0).stretch
    assert stretch == {"hall-1": 4.0, "hall-2": 5.0, "a": 8.0, "b": 8.0}


@pytest.mark.slow
def test_both_edges_run_and_every_picture_is_the_unsplit_one(made: Plan, tmp_path: Path) -> None:
    with cluster_of(made.table) as cluster:
        assert set(cluster.actors) == {"hall-1", "hall-2", "a", "b"}
        done = execute(made, cluster=cluster)
        assert len(set(cluster.pids.values())) == 4
    assert all(picture.identical for picture in judge_pictures(made.table, made.users, done.images))
    for user in made.users:
        rows = [row for row in done.rows if row.user == user.name]
        assert [row.label for row in rows] == [leaf.label for leaf in leaves(user.program)]
        assert {row.actor for row in rows} == {user.name, user.edge}
        # a paced slot cannot end early; how late it may be depends on the machine
        assert done.measured_s[user.name] >= 0.9 * user.latency_s
        planned = [time.duration_s for time in user.stages]
        assert [row.predicted_duration_s for row in rows] == pytest.approx(planned)
    assert all(done.cpu_s[edge] > 0 for edge in ("hall-1", "hall-2"))
    done.save(tmp_path / "run.json")
    assert Execution.load(tmp_path / "run.json").rows == done.rows
    written = write_report(tmp_path / "report", made, done, None, judge_pictures(made.table, made.users, done.images))
    page = written["page"].read_text(encoding="utf-8")
    assert all(leaf.label in page for user in made.users for leaf in leaves(user.program))
    assert "edge server" in page
    timeline = written["timeline_svg"].read_text(encoding="utf-8")
    assert all(f"compute at {edge}" in timeline for edge in ("hall-1", "hall-2"))


@pytest.mark.slow
def test_an_edge_runs_the_parts_alone_that_are_placed_there(tmp_path: Path) -> None:
    data = Scenario.from_yaml(SCENARIO).model_dump(mode="json", exclude_none=True)
    for edge in data["edges"]:
        edge["memory_byte"] = 8.2e6  # the denoiser, and encoder or decoder
    data["users"][1] |= {"mechanisms": ["U2E"], "senses": True}
    plan(Scenario(**data), compare=False).save(tmp_path / "plan.json")
    found = Plan.load(tmp_path / "plan.json")
    assert {name: set(parts) for name, parts in found.edge_parts.items()} == {
        "hall-1": {"encode_prompt", "denoise"},
        "hall-2": {"denoise", "decode"},
    }
    with cluster_of(found.table) as cluster:
        done = execute(found, cluster=cluster, all_or_nothing=True)
        assert set(done.images) == {"a", "b"}
        computed = {(row.actor, row.kind) for row in done.rows}
        assert computed >= {
            ("hall-1", "encode_prompt"),
            ("hall-1", "denoise"),
            ("hall-2", "denoise"),
            ("hall-2", "decode"),
        }
        assert ("hall-1", "decode") not in computed
        assert ("hall-2", "encode_prompt") not in computed
        # what is not placed at an edge is refused there, whoever asks for it
        options = run_options(found.table, 1.0, users=found.users)
        lacks = replace(options, held_parts={**options.held_parts, "hall-1": ("decode",)})
        expected = r"a: encode_prompt at hall-1: found 'encode_prompt'; expected a part that hall-1 holds: decode"
        with pytest.raises(ExecutionError, match=expected):
            cluster.run(user_runs(found.table, found.users), lacks)
    picture = judge_pictures(found.table, found.users, done.images)[0]
    assert picture.identical


@pytest.mark.slow
def test_the_user_of_an_edge_that_is_lost_generates_locally(made: Plan, tmp_path: Path) -> None:
    with cluster_of(made.table) as cluster:
        cluster.start()
        thread = during(cluster, lambda: os.kill(cluster.pids["hall-2"], signal.SIGKILL), after_s=0.02)
        done = execute(made, cluster=cluster)
        thread.join(10)
        (fault,) = done.faults
        assert (fault.user, fault.fell_back) == ("b", True)
        assert "hall-2 (exit code -9)" in fault.cause
        assert {row.actor for row in done.rows if row.fallback} == {"b"}
        during(cluster, lambda: os.kill(cluster.pids["hall-2"], signal.SIGKILL), after_s=0.02)
        with pytest.raises(PeerLost, match="hall-2"):
            execute(made, cluster=cluster, all_or_nothing=True)
        # a picture that is shown at the edge cannot be made elsewhere
        changed = plan(Scenario(**_with_second(made.scenario, {"shown_at": "edge", "mechanisms": ["SEU-UE-first"]})))
        during(cluster, lambda: os.kill(cluster.pids["hall-2"], signal.SIGKILL), after_s=0.02)
        without = execute(changed, cluster=cluster)
        assert without.users == ("a",)
        assert without.lost == ("b",)
        assert "the device cannot generate alone (the picture is shown at the edge)" in without.faults[0].words
    assert [p.user for p in judge_pictures(made.table, made.users, without.images, without.faults)] == ["a"]
    pictures = judge_pictures(made.table, made.users, done.images, done.faults)
    assert [p.option.partition(",")[0] for p in pictures] == [made.users[0].option.name, "local"]
    assert all(picture.identical for picture in pictures)
    written = write_report(tmp_path / "report", made, done, None, pictures)
    page = written["page"].read_text(encoding="utf-8")
    assert "b cut off and generated locally" in page
    assert "its device made the whole picture by itself" in page
    assert "s (locally, " in written["timeline_svg"].read_text(encoding="utf-8")
    found = json.loads(written["result"].read_text(encoding="utf-8"))["execution"]
    assert [(f["user"], f["fell_back"]) for f in found["faults"]] == [("b", True)]
    # one without a picture is late beyond all measure, and the report can be made all the same
    lost = replace(done, faults=(replace(fault, fell_back=False),))
    assert measured_objective_s(made, lost) == float("inf")
    written = write_report(tmp_path / "report", made, lost, None, pictures[:1])
    assert "no picture for b" in written["page"].read_text(encoding="utf-8")
    assert json.loads(written["result"].read_text(encoding="utf-8"))["execution"]["objective_measured_s"] is None


def test_a_command_says_who_was_cut_off(made: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fault = Fault(user="b", cause="the process of hall-2 ended", at_s=0.5, fell_back=True)
    done = Execution(rows=(), mode="paced", stretch={}, environment={}, faults=(fault,))
    monkeypatch.setattr("megdt_opt.cli.demo.run_plan", lambda *a, **k: done)
    made.save(tmp_path / "plan.json")
    found = CliRunner().invoke(app, ["execute", str(tmp_path / "plan.json")])
    assert found.exit_code == 3
    assert "b was cut off after 0.5 s, and its device made the whole picture by itself" in found.output


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"device": {"memory": "1 kB"}}, "do not fit"),
        ({"device": {"compute_power": "5 W"}, "energy_max": "1 mJ"}, "the device's computing exceeds it"),
        ({"shown_at": "edge", "mechanisms": ["SEU-UE-first"]}, "shown at the edge"),
    ],
    ids=["memory", "energy", "edge"],
)
def test_a_device_that_cannot_make_the_picture_has_nothing_to_fall_back_on(change: dict, reason: str) -> None:
    table = OptionTable.build(Scenario(**_with_second(Scenario.from_yaml(SCENARIO), change)))
    assert table.alone(0)[0] is not None
    stages, lacks = table.alone(1)
    assert stages is None
    assert reason in lacks[0]
    assert set(fallback_runs(table)) == {"a"}


def _with_second(scenario: Scenario, change: dict) -> dict:
    """The scenario as plain data, its second user changed."""
    data = scenario.model_dump(mode="json", exclude_none=True)
    first, user = data["users"]
    changed = {**user, **change, "device": {**user["device"], **change.get("device", {})}}
    return {**data, "users": [first, changed]}


def test_every_stage_of_an_edge_is_at_its_own(made: Plan) -> None:
    for user in made.users:
        actors = {leaf.at for leaf in leaves(user.program) if hasattr(leaf, "at") and is_edge(leaf.at)}
        assert actors == {user.edge}
