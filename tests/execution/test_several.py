"""The list of executions of shared steps, hosts and several edges: a part of it run here, and its committed results."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "experiments" / "execution"))

import formed_groups
import several
import verify_several

from megdt_opt.execution import Cluster
from megdt_opt.program.stages import leaves
from megdt_opt.trials.execute import execute, run_options
from megdt_opt.trials.pictures import judge_pictures

COUNT, FORMED = 25, 6
DATA = json.loads((several.RESULTS / "several.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def cluster():
    """Both edges and all devices of the list, with the bundled model."""
    with Cluster(several.ACTORS, start_timeout_s=600) as started:
        yield started


@pytest.mark.slow
@pytest.mark.long_list
@pytest.mark.parametrize("number", range(COUNT))
def test_a_plan_of_the_list_runs_as_predicted(cluster, number):
    made = several.planned(number)
    done = execute(made, cluster=cluster, all_or_nothing=True)
    assert set(done.images) == {user.name for user in made.users}
    for user in made.users:
        assert done.predicted_s[user.name] == pytest.approx(user.latency_s)
        # paced slots cannot end early; how late they may be depends on the machine
        assert done.measured_s[user.name] >= 0.9 * user.latency_s
    pictures = {p.user: p for p in judge_pictures(made.table, made.users, done.images)}
    exact = {"fp32", ""}
    for user in made.users:
        sent = {leaf.precision for leaf in leaves(user.program) if leaf.label.startswith("send")}
        shared = {group.precision for group in made.groups if user.name in group.receivers}
        if sent | shared <= exact | {"raw", "png"} and user.option.mechanism != "PEU":
            assert pictures[user.name].identical  # members ask for the same with the same seed


@pytest.mark.long_list(of=5)
@pytest.mark.parametrize("name", several.SPOILS)
def test_a_spoiled_run_is_predicted_to_be_off(name):
    """By the schedule of what is run: nothing is measured here."""
    _, made, runs = several.spoiled(name, COUNT)
    latency_s = {user: s for run in runs for user, s in several.spoiled_latency_s(run).items()}
    assert several.worst_percent(made, latency_s) > several.SPOILED_PERCENT


@pytest.mark.slow
def test_a_spoiled_run_is_found_out(cluster):
    name = "prefix run twice"
    _, made, runs = several.spoiled(name, COUNT)
    longest_s = max(max(several.spoiled_latency_s(run).values()) for run in runs)
    done = cluster.run(runs, run_options(made.table, longest_s))
    # a paced slot cannot end early
    assert several.worst_percent(made, done.measured_s) > several.SPOILED_PERCENT


def test_the_committed_list_is_whole_and_within_its_bounds():
    rows, wrong = DATA["rows"], DATA["spoiled"]
    assert [row["run"] for row in rows] == list(range(COUNT))
    assert {row["kind"] for row in rows} == set(several.KINDS)
    assert {row["spoiled"] for row in wrong} == set(several.SPOILS)
    assert DATA["summary"] == several.summary_of(rows, wrong)
    errors = np.abs([e for row in rows for e in row["error_percent"].values()])
    assert np.median(errors) <= 1.0
    assert np.percentile(errors, 95) <= 3.0
    assert DATA["summary"]["spoiled_found"] >= 9
    assert several.page(DATA) == (several.RESULTS / "several.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", range(0, COUNT, 6))
def test_the_committed_rows_are_of_these_plans(number):
    made, row = several.planned(number), DATA["rows"][number]
    assert row["options"] == [user.option.name for user in made.users]
    then_s, now_s = list(row["predicted_s"].values()), sorted_like(row, made)
    if made.scenario.objective == "max":  # it leaves open what those share who are not the last
        then_s, now_s = [made.scenario.objective_of(then_s)], [made.scenario.objective_of(now_s)]
    assert then_s == pytest.approx(now_s, rel=1e-3)


def sorted_like(row, made):
    """Planned latencies in the order of a row's users."""
    of = {user.name: user.latency_s for user in made.users}
    return [of[name] for name in row["predicted_s"]]


def test_the_decisions_of_the_list_were_verified_and_counted():
    data = json.loads((several.RESULTS / "several_decisions.json").read_text(encoding="utf-8"))
    rows = data["rows"]
    assert {(row["kind"], row["run"]) for row in rows} == {
        *((several.KINDS[n % len(several.KINDS)], n) for n in range(COUNT)),
        *(("formed", n) for n in range(FORMED)),
    }
    assert data["summary"] == verify_several.summary_of(rows)
    assert all(len(one["measured_s"]) == data["repeats"] for row in rows for one in row["sets"])
    names = [{one["name"] for one in row["sets"]} for row in rows]
    assert all(
        "nothing shared" in found if row["kind"] != "edges" else any(name.startswith("only ") for name in found)
        for row, found in zip(rows, names, strict=True)
    )
    assert sum("other groups" in found for found in names) >= FORMED - 1
    assert data["summary"]["rank_correlation_median"] >= 0.9
    assert data["summary"]["plan_fastest"] >= 0.9 * len(rows)


def test_the_committed_executions_of_formed_groups_are_of_these_plans():
    data = json.loads((several.RESULTS / "formed_groups.json").read_text(encoding="utf-8"))
    assert data["summary"] == formed_groups.summary_of(data["rows"])
    assert [row["run"] for row in data["rows"]] == list(range(FORMED))
    assert all(row["riders"] > 1 and row["proof_holds"] for row in data["rows"])
    made = several.planned_formed(1)
    assert data["rows"][1]["options"] == [user.option.name for user in made.users]
    errors = np.abs([e for row in data["rows"] for e in row["error_percent"].values()])
    assert np.median(errors) <= 1.0
