"""From a scenario to executed pictures, with the bundled model and profile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from megdt_opt import Execution, InvalidInput, Scenario, execute, plan
from megdt_opt.execution import Cluster
from megdt_opt.report import write_report
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import cluster_of
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.trials.raw_check import raw_check

STEPS = 4


def scenario(*mechanisms: str, stretch: float = 6.0, **more: object) -> Scenario:
    return Scenario(
        name="small",
        steps=STEPS,
        objective="max",
        edge={"profile": "twin-cpu", "stretch": 4.0 if stretch > 1 else 1.0},
        channel={"downlink": "100 kHz", "uplink": "100 kHz", "propagation": "2 ms"},
        users=[
            {
                "name": f"u{k}",
                "device": {"profile": "twin-cpu", "stretch": stretch},
                "downlink_efficiency": "4 bit/s/Hz",
                "uplink_efficiency": "4 bit/s/Hz",
                "mechanisms": [mechanism],
                "precisions": ["fp32"],
                "codecs": ["png"],
                "senses": mechanism == "U2E",
                "scene": k,
                "seed": k,
                **more,
            }
            for k, mechanism in enumerate(mechanisms)
        ],
    )


MECHANISMS = ("E2U", "SEU", "SEU-UE-first", "U2E")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The edge and four devices, started once for the file."""
    with cluster_of(OptionTable.build(scenario(*MECHANISMS))) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "codec"), [("int8", "jpeg"), ("int4+coded", "png")])
def test_a_lossy_hand_over_loses_what_the_planned_split_loses_in_one_process(
    cluster: Cluster, precision: str, codec: str
) -> None:
    made = plan(scenario("SEU", "PEU", "U2E", "SEU-UE-first", precisions=[precision], codecs=[codec]))
    done = execute(made, cluster=cluster)
    pictures = judge_pictures(made.table, made.users, done.images)
    assert [p.replayed_db for p in pictures] == [np.inf] * 4
    assert not any(p.identical for p in pictures)
    other = {user: image ^ (image == image.max()) for user, image in done.images.items()}
    assert all(50 < p.replayed_db < np.inf for p in judge_pictures(made.table, made.users, other))
    assert all(p.replayed_db is None for p in judge_pictures(made.table, made.users, other, replay=False))


@pytest.mark.slow
def test_executed_pictures_are_the_unsplit_ones(cluster: Cluster, tmp_path: Path) -> None:
    made = plan(scenario(*MECHANISMS))
    made.save(tmp_path / "plan.json")
    done = execute(str(tmp_path / "plan.json"), cluster=cluster)
    pictures = judge_pictures(made.table, made.users, done.images)
    # fp32 hand-overs change no bit, and PNG loses nothing
    assert all(p.identical for p in pictures)
    assert sum(p.found for p in pictures) >= 0.9 * sum(p.objects for p in pictures)
    frame = done.compare()
    assert len(frame) == sum(len(u.stages) for u in made.users)
    for user in made.users:
        assert done.predicted_s[user.name] == pytest.approx(user.latency_s)
        # paced slots cannot end early; how late they may be depends on the machine and is reported, not asserted
        assert done.measured_s[user.name] >= 0.9 * user.latency_s
    done.save(tmp_path / "run.json")
    again = Execution.load(tmp_path / "run.json")
    assert again.rows == done.rows
    written = write_report(tmp_path / "report", made, done, None, pictures)
    assert all(path.stat().st_size > 0 for path in written.values())


@pytest.mark.slow
def test_raw_check_tells_the_errors_apart(cluster: Cluster) -> None:
    made = plan(scenario("E2U", stretch=1.0), compare=False)
    found = raw_check(made.table, made.users[0], samples=3, cluster=cluster)
    assert min(found.profile_s, found.before_s, found.after_s, found.measured_s) > 0
    together = (1 + found.composition_error) * (1 + found.calibration_error)
    assert found.measured_s == pytest.approx(found.profile_s * together)
    assert np.isfinite(found.drift)


def test_raw_check_refuses_stretches() -> None:
    made = plan(scenario("E2U"), compare=False)
    with pytest.raises(InvalidInput, match="stretch"):
        raw_check(made.table, made.users[0])


def test_execution_is_offered_for_the_twin_only() -> None:
    from megdt_opt.models.requests import request_of

    with pytest.raises(InvalidInput, match="twin"):
        request_of(scenario("E2U").users[0].scene, "sdxl")
