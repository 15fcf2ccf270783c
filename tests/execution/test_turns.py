"""Turns at an edge: whole chains one after another in the order of the plan, whoever comes first."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
from run_builder import make_run

from megdt_opt import Scenario, execute, plan
from megdt_opt.errors import InvalidInput
from megdt_opt.execution import ExecutionOptions, Run
from megdt_opt.execution.cluster import Cluster
from megdt_opt.execution.graph import graph
from megdt_opt.execution.line import Line
from megdt_opt.execution.run_state import Walk
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.stages import Compute, is_edge, leaves
from megdt_opt.program.turns import TWICE
from megdt_opt.report import write_report
from megdt_opt.trials.pictures import judge_pictures

OPTIONS = (
    Option(mechanism="SEU-UE-first", cut=3, precision="fp32"),
    Option(mechanism="E2U", cut=6, precision="fp32"),
    Option(mechanism=TWICE, cut=1, back=4, precision="fp32"),
)


def runs(places: tuple[int, ...]) -> list[Run]:
    """One run on each of three devices, with these places."""
    how = {"edge_share": 1.0, "rate": 1e8, "step_s": 0.02}
    each = zip(OPTIONS, places, strict=True)
    return [make_run(o, name=f"u{n + 1}", device=f"u{n + 1}", turn=turn, **how) for n, (o, turn) in enumerate(each)]


def at_edge(done, run):
    """Start of the first stage of a run at the edge and end of the last [s], and the waiting before the first [s]."""
    wanted = [n for n, leaf in enumerate(leaves(run.program)) if isinstance(leaf, Compute) and is_edge(leaf.at)]
    rows = [row for row in done.rows if row.user == run.name and row.index in wanted]
    return rows[0].start_s, rows[-1].end_s, rows[0].waiting_s


@pytest.mark.parametrize("mode", ["paced", "raw"])
@pytest.mark.parametrize("places", [(0, 1, 2), (2, 0, 1)])
def test_the_edge_serves_in_the_order_of_the_plan(cluster, mode, places):
    made = runs(places)
    done = cluster.run(made, ExecutionOptions(mode=mode, timeout_s=60))
    served = sorted(made, key=lambda run: run.turn)
    times = [at_edge(done, run) for run in served]
    for (_, ended_s, _), (began_s, _, _) in itertools.pairwise(times):
        assert began_s >= ended_s - 0.003
    # E2U is ready at once: where it is not the first, it waits for those before it
    start_s, _, waiting_s = at_edge(done, made[1])
    assert waiting_s <= start_s + 1e-3
    if places[1] > 0:
        assert waiting_s >= 0.8 * at_edge(done, served[places[1] - 1])[1] - 0.02


def test_pictures_are_those_of_the_same_runs_without_turns(cluster, single_thread):
    made = runs((1, 2, 0))
    mine = cluster.run(made, ExecutionOptions(timeout_s=60))
    for run in made:
        alone = cluster.run([replace(run, turn=None)], ExecutionOptions(timeout_s=60))
        assert np.array_equal(mine.images[run.name], alone.images[run.name])
        assert np.array_equal(mine.latents[run.name], alone.latents[run.name])


def test_who_is_lost_before_its_turn_keeps_nobody_waiting(cluster):
    first = make_run(OPTIONS[0], name="u1", device="u1", turn=0, edge_share=1.0, rate=1e8, step_s=0.4)
    second = make_run(OPTIONS[1], name="u2", device="u2", turn=1, edge_share=1.0, rate=1e8)
    cluster.start()
    pid = cluster.pids["u1"]
    thread = threading.Timer(0.6, os.kill, (pid, signal.SIGKILL))
    thread.start()
    done = cluster.run([first, second], ExecutionOptions(timeout_s=60), fallbacks={})
    thread.join()
    assert done.lost == ("u1",)
    assert done.users == ("u2",)


def test_places_at_an_edge_are_different_and_nothing_is_reserved_beside_them(cluster):
    with pytest.raises(
        InvalidInput, match="turn of user u2: found 0; expected another place at edge than that of user u1"
    ):
        cluster.run(runs((0, 0, 1)))
    mixed = [*runs((0, 1, 2))[:2], make_run(OPTIONS[2], name="u3", device="u3", edge_share=0.5)]
    with pytest.raises(InvalidInput, match="edge_share at edge: found 0.5; expected no reserved shares beside turns"):
        cluster.run(mixed)
    with pytest.raises(InvalidInput, match="turn of user u1: found -1"):
        replace(runs((0, 1, 2))[0], turn=-1)


def test_a_run_comes_back_from_plain_data_with_its_turn():
    (first, *_) = runs((2, 0, 1))
    assert Run.from_dict(first.to_dict()).turn == 2


def test_a_line_lets_in_one_after_another_and_passes_over_who_is_given_up():
    walks = [Walk(run, graph(run.program), {}, {}) for run in runs((1, 0, 2))]
    line = Line("edge", walks)
    assert line.order == ("u2", "u1", "u3")
    first = {
        w.run.name: next(n.index for n in w.nodes if n.actor == "edge" and isinstance(n.leaf, Compute)) for w in walks
    }
    last = {
        w.run.name: max(n.index for n in w.nodes if n.actor == "edge" and isinstance(n.leaf, Compute)) for w in walks
    }
    entered: list[tuple[str, float]] = []

    def go(walk):
        entered.append((walk.run.name, line.enter(walk, first[walk.run.name], 1.0)))

    waiting = [threading.Thread(target=go, args=(walks[n],)) for n in (0, 2)]
    for thread in waiting:
        thread.start()
    go(walks[1])
    assert entered == [("u2", 1.0)]
    line.leave(walks[1], last["u2"], 7.0)
    waiting[0].join(5)
    assert entered == [("u2", 1.0), ("u1", 7.0)]
    # of a leaf before the turn nothing follows; of one in it the next goes on
    line.give_up(walks[0], [last["u1"]])
    waiting[1].join(5)
    assert [name for name, _ in entered] == ["u2", "u1", "u3"]


SMALL = """
name: small turns
steps: 4
objective: max
edge: {profile: twin-cpu, stretch: 20, discipline: in_turns}
channel: {downlink: 200 kHz, uplink: 300 kHz, propagation: 2 ms}
x-user: &user
  device: {profile: twin-cpu, stretch: 60}
  downlink_efficiency: 4 bit/s/Hz
  uplink_efficiency: 4 bit/s/Hz
  precisions: [fp32]
users:
  - {<<: *user, name: u0, mechanisms: [SEU-UE-first], scene: 0}
  - {<<: *user, name: u1, mechanisms: [SEU], scene: 1}
  - {<<: *user, name: u2, mechanisms: [SEU-twice], scene: 2}
"""


@pytest.mark.slow
def test_a_plan_in_turns_is_executed_in_its_order_with_the_unsplit_pictures(tmp_path):
    made = plan(Scenario.from_yaml(SMALL))
    with Cluster(["edge", "u0", "u1", "u2"], start_timeout_s=300) as started:
        done = execute(made, cluster=started, all_or_nothing=True)
    pictures = judge_pictures(made.table, made.users, done.images)
    assert all(p.identical for p in pictures)
    served = sorted((u for u in made.users if u.turn is not None), key=lambda u: u.turn.place)
    assert len(served) == 3
    begun = [min(r.start_s for r in done.rows if r.user == u.name and r.actor == "edge" and "send" not in r.kind)
             for u in served]  # fmt: skip
    assert begun == sorted(begun)
    for user in made.users:
        assert done.predicted_s[user.name] == pytest.approx(user.latency_s)
        assert done.measured_s[user.name] >= 0.9 * user.latency_s
    written = write_report(tmp_path / "report", made, done, None, pictures)
    assert all(path.stat().st_size > 0 for path in written.values())
