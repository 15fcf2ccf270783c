"""Two edge servers, two processes: every picture is the unsplit one, and each stage runs where it was planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from megdt_opt import Execution, Plan, Scenario, execute, plan
from megdt_opt.program.stages import is_edge, leaves
from megdt_opt.report import write_report
from megdt_opt.trials.execute import cluster_of, run_options
from megdt_opt.trials.pictures import judge_pictures

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


def test_every_stage_of_an_edge_is_at_its_own(made: Plan) -> None:
    for user in made.users:
        actors = {leaf.at for leaf in leaves(user.program) if hasattr(leaf, "at") and is_edge(leaf.at)}
        assert actors == {user.edge}
