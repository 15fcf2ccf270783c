"""Groups from a scenario to executed pictures, with the bundled model: steps made once, pictures above their floor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdt_opt import Execution, InvalidInput, Plan, Scenario, execute, plan
from megdt_opt.execution.job import Run
from megdt_opt.models.similarity import prefix_quality
from megdt_opt.planning.planner import solved
from megdt_opt.report import write_report
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import cluster_of
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.runs import user_runs
from megdt_opt.trials.verification import rivals_of

pytest.importorskip("diffusers")

STEPS = 10
SCENE = {
    "objects": [
        {"kind": "robot_arm", "colour": "yellow", "x_px": 20.0, "y_px": 22.0},
        {"kind": "agv", "colour": "blue", "x_px": 46.0, "y_px": 44.0},
    ]
}
TURNED = {"objects": [{**SCENE["objects"][0], "heading_rad": 0.2}, SCENE["objects"][1]]}


def scenario(*, host: bool = False, **group: Any) -> Scenario:
    """Three visitors, of whom one sees something a little turned, at a slow edge or with a quick device among them."""
    users = [
        {
            "name": name,
            "device": {"profile": "twin-cpu", "stretch": 2.0 if host and name == "a" else 20.0}
            | ({"powered": "mains"} if host and name == "a" else {}),
            "downlink_efficiency": "4 bit/s/Hz",
            "uplink_efficiency": "2 bit/s/Hz",
            "precisions": ["fp32"],
            "codecs": ["png"],
            "scene": TURNED if name == "c" else SCENE,
            "seed": 4,
        }
        for name in "abc"
    ]
    more = {"host": "a", "d2d_rate": "2 Mbit/s"} if host else {}
    return Scenario(
        name="visitors",
        steps=STEPS,
        cuts=[],
        peu_shares=[],
        objective="sum",
        edge={"profile": "twin-cpu", "stretch": 40.0 if host else 4.0},
        channel={"downlink": "100 kHz", "uplink": "100 kHz", "propagation": "2 ms"},
        users=users,
        groups=[{"members": ["a", "b", "c"], **more, **group}],
    )


def test_the_floor_limits_each_members_common_steps() -> None:
    shared = OptionTable.build(scenario(psnr_min="30 dB")).shared
    assert shared is not None
    assert shared.similarity[0][0, 1] == 1.0
    alike = float(shared.similarity[0][0, 2])
    most = prefix_quality("twin").most_steps(alike, STEPS, 30.0, equal_seeds=True)
    assert shared.most.tolist() == [STEPS, STEPS, most]
    assert shared.steps == ((most, STEPS),)
    low = OptionTable.build(scenario(psnr_min="30 dB", similarity=0.1)).shared
    assert low is not None
    assert low.most[2] < most


@pytest.mark.slow
@pytest.mark.parametrize("host", [False, True], ids=["edge", "host"])
def test_common_steps_run_once_and_pictures_keep_their_floor(host: bool, tmp_path: Path) -> None:
    solved(OptionTable.build(scenario(host=host, psnr_min="30 dB")), gap=1e-4).save(tmp_path / "plan.json")
    made = Plan.load(tmp_path / "plan.json")
    (group,) = made.groups
    assert group.hosted == host
    assert len(group.riders) >= 2
    with cluster_of(made.table) as cluster:
        done = execute(made, cluster=cluster)
    shared = [row for row in done.rows if row.shared]
    assert [row.label for row in shared] == [label for label, _ in group.shared]
    assert [row.copies for row in shared if row.kind == "send latent"] == [len(group.receivers)] * bool(group.receivers)
    pictures = {p.user: p for p in judge_pictures(made.table, made.users, done.images)}
    for name in "ab":  # equal requests and seeds, sent in fp32: nothing is changed
        assert pictures[name].identical
    assert pictures["c"].psnr_db >= 30.0
    assert pictures["c"].identical == ("c" not in group.riders)
    for user in made.users:
        assert done.predicted_s[user.name] == pytest.approx(user.latency_s)
        assert done.measured_s[user.name] >= 0.9 * user.latency_s
    done.save(tmp_path / "run.json")
    again = Execution.load(tmp_path / "run.json")
    assert again.rows == done.rows
    written = write_report(tmp_path / "report", made, again, None, tuple(pictures.values()))
    assert all(path.stat().st_size > 0 for path in written.values())


@pytest.mark.slow
def test_who_leads_need_not_ride() -> None:
    """The common steps follow the request of one who generates on its own, and every picture is the unsplit one."""
    data = scenario(steps=[5]).model_dump(mode="json", exclude_none=True)
    data["users"][2]["scene"] = SCENE
    data["users"][0]["mechanisms"] = ["local"]
    data["groups"][0]["lead"] = "a"
    made = solved(OptionTable.build(Scenario(**data)), gap=1e-4)
    (group,) = made.groups
    assert (group.lead, group.riders) == ("a", ("b", "c"))
    with cluster_of(made.table) as cluster:
        done = execute(made, cluster=cluster, all_or_nothing=True)
    assert all(picture.identical for picture in judge_pictures(made.table, made.users, done.images))
    assert all(done.measured_s[user.name] >= 0.9 * user.latency_s for user in made.users)
    run = next(run for run in user_runs(made.table, made.users, made.groups) if run.shared)
    riders = [chain for chain in run.chains if chain.goes_on_from]
    with pytest.raises(InvalidInput, match="lead: found None; expected the chain of a, whose request"):
        Run.of_group(group.program, riders, group.pace)


def test_rivals_of_a_group_are_had_without_sharing() -> None:
    made = plan(OptionTable.build(scenario(steps=[5])), gap=1e-4)
    assert made.groups
    names = [rival.name for rival in rivals_of(made)]
    assert names[-1] == "nothing shared"
    assert all(np.isfinite(rival.objective_s) for rival in rivals_of(made))
