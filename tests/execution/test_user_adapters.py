"""Executions with a user's adapter: equal bit for bit to the same split in one process, and nothing of it leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from megdt_opt import ExecutionError, InvalidInput, Plan, Scenario, execute, plan
from megdt_opt.execution import Cluster
from megdt_opt.execution.digest import model_digest
from megdt_opt.execution.remote import RemoteActor
from megdt_opt.models.planned import PlannedModel
from megdt_opt.models.twin.adapters import read_adapter
from megdt_opt.models.twin.worlds import WORLDS
from megdt_opt.program.stages import Send, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import cluster_of, planned_models
from megdt_opt.trials.pictures import judge_pictures, unsplit
from megdt_opt.trials.runs import user_runs

LINK = {"downlink_efficiency": "40 bit/s/Hz", "uplink_efficiency": "40 bit/s/Hz"}
SCENE = WORLDS["night-shift"].draw(np.random.default_rng(1)).to_dict()


def cell(mechanism: str, adapter: str | None = "night-shift", **more: Any) -> Scenario:
    user = {
        "name": "phone", "device": {"profile": "twin-cpu"}, "scene": SCENE, "seed": 7, "mechanisms": (mechanism,),
        "precisions": ("fp32",), "adapter": adapter, **LINK, **more,
    }  # fmt: skip
    return Scenario(
        channel={"downlink": "2 MHz", "uplink": "2 MHz"}, steps=4, cuts=(2,), peu_shares=(0.5,), users=(user,)
    )


@pytest.fixture(scope="module")
def processes() -> Iterator[Cluster]:
    with cluster_of(OptionTable.build(cell("local"))) as started:
        yield started


@pytest.mark.parametrize("mechanism", ["local", "SEU", "SEU-UE-first", "PEU"])
def test_the_picture_is_that_of_the_same_split_in_one_process(processes: Cluster, mechanism: str) -> None:
    made = plan(cell(mechanism))
    done = execute(made, cluster=processes)
    (picture,) = judge_pictures(made.table, made.users, done.images)
    assert picture.identical
    # the base model makes another picture, and so does the adapter in all steps where the edge makes some
    plain = plan(cell(mechanism, adapter=None))
    assert not np.array_equal(picture.executed, unsplit(plain.table, 0, plain.users[0].program))
    whole = plan(cell("local"))
    everywhere = np.array_equal(picture.executed, unsplit(whole.table, 0, whole.users[0].program))
    assert everywhere == (mechanism == "local")
    assert [row.actor for row in done.rows if row.label == "adapt at phone"] == ["phone"]


@pytest.mark.parametrize("mechanism", ["SEU", "SEU-UE-first", "PEU"])
def test_after_a_lossy_hand_over_it_is_what_the_planned_split_makes_in_one_process(
    processes: Cluster, mechanism: str
) -> None:
    made = plan(cell(mechanism, precisions=("int8",)))
    done = execute(made, cluster=processes)
    (picture,) = judge_pictures(made.table, made.users, done.images)
    assert not picture.identical
    assert picture.replayed_db == np.inf


def test_a_run_without_the_adapter_is_not_changed_by_one_before(processes: Cluster) -> None:
    execute(plan(cell("local")), cluster=processes)
    plain = plan(cell("local", adapter=None))
    done = execute(plain, cluster=processes)
    assert judge_pictures(plain.table, plain.users, done.images)[0].identical


def test_nothing_that_leaves_the_device_tells_of_the_adapter() -> None:
    for mechanism in ("SEU", "SEU-UE-first", "PEU"):
        made = plan(cell(mechanism))
        models = planned_models(made.table)
        assert models["phone"].adapter == "night-shift"
        assert models["edge"].adapter is None
        assert models["edge"].adapter_sha256 is None
        digest = read_adapter("night-shift").sha256
        told = json.dumps([run.to_dict() for run in user_runs(made.table, made.users)]) + json.dumps(
            models["edge"].to_dict()
        )
        assert "night-shift" not in told
        assert digest not in told
        plain = plan(cell(mechanism, adapter=None))
        (own,), (theirs,) = (user_runs(p.table, p.users) for p in (made, plain))
        sent, same = ([leaf for leaf in leaves(run.program) if isinstance(leaf, Send)] for run in (own, theirs))
        assert sent == same


def test_an_actor_without_the_adapter_fails_by_name(processes: Cluster) -> None:
    made = plan(cell("SEU"))
    lacking = {name: replace(m, adapter=None, adapter_sha256=None) for name, m in planned_models(made.table).items()}
    with Cluster(lacking, lacking) as others, pytest.raises(ExecutionError, match="adapter"):
        execute(made, cluster=others, all_or_nothing=True)


def test_a_plan_is_read_back_with_its_adapter(tmp_path: Any) -> None:
    made = plan(cell("SEU"))
    made.save(tmp_path / "plan.json")
    again = Plan.load(tmp_path / "plan.json")
    assert again.scenario.users[0].adapter == "night-shift"
    assert again.users[0].program == made.users[0].program
    assert again.notes == made.notes


def test_a_serving_device_must_have_the_planned_adapter(processes: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = planned_models(plan(cell("SEU")).table)["phone"]
    facts = {"pid": 1, "model": "twin", "model_digest": model_digest(planned.spec), "adapter": False}
    found = RemoteActor("phone", planned, processes.identity("phone"), "127.0.0.1:1")
    monkeypatch.setattr(found, "_ping", lambda peer, deadline_s: facts)
    with pytest.raises(InvalidInput, match="adapter that phone serves.*--plan"):
        found.connect(0.0)
    assert isinstance(planned, PlannedModel)
