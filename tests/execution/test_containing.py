"""A fault in a run of several users concerns those alone who depend on it: the others finish, nobody hangs, and each of
the others falls back on its own device or is told why it has no picture."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import pytest
from fault_cases import (
    ACTORS,
    KINDS,
    case,
    domain,
    may_be_cut_off,
    must_be_cut_off,
    picture,
    planned_picture,
    strike,
    waiting_for,
)
from more_faults import MORE, Strike, may_fall, more_case
from test_failures import alive, during

from megdt_opt.errors import InvalidInput, PeerLost
from megdt_opt.execution import Cluster, Execution, ExecutionOptions
from megdt_opt.execution.graph import graph
from megdt_opt.execution.reach import Known, Reach

OPTIONS = ExecutionOptions(timeout_s=60, patience_s=4.0)

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def hit():
    """Two edges and five devices to be hit; at the end no process is left of all that ever ran."""
    pids: set[int] = set()
    with Cluster(ACTORS, "standin_model:Faulty") as started:
        yield started, pids
        pids |= set(started.pids.values())
    assert not [pid for pid in pids if alive(pid)]


@pytest.mark.long_list("kind")
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_concerns_those_alone_who_depend_on_it(hit, kind, seed):
    cluster, pids = hit
    made = case(kind, seed)
    cluster.start()
    before = dict(cluster.pids)
    pids |= set(before.values())
    answers = []
    thread = during(cluster, lambda: answers.extend(strike(cluster, made)), after_s=made.after_s)
    begin = time.monotonic()
    done = cluster.run(made.runs, OPTIONS, fallbacks=made.fallbacks)
    assert time.monotonic() - begin < OPTIONS.timeout_s + 30
    thread.join(20)

    concerned, faults = may_be_cut_off(made), {fault.user: fault for fault in done.faults}
    if kind == "truncated message":
        assert re.search("were announced|delivered before", str(answers[0]))
        assert all("byte" in fault.cause for fault in done.faults)
        # where the message itself has come before the failure was dealt with, nobody is cut off
        assert faults.keys() <= waiting_for(made)
    elif kind == "repeated message":
        assert "delivered before" in str(answers[1])
        assert not faults
    else:
        assert must_be_cut_off(made) <= faults.keys() <= concerned
        if made.target:
            assert not alive(before[made.target])
            assert all(made.target in fault.cause for fault in done.faults)
    for run in made.runs:
        for user in run.chains:
            if user.name in run.shared:
                continue
            fault = faults.get(user.name)
            if fault is None:
                assert np.array_equal(done.images[user.name], planned_picture(run, user)), user.name
            elif fault.fell_back:
                assert user.device != made.target
                assert np.array_equal(done.images[user.name], picture(user)), user.name
            else:
                assert user.device == made.target
                assert user.name not in done.images
    assert set(done.images) == set(done.users) == {u.name for u in made.users} - set(done.lost)
    assert done.measured_s.keys() == done.predicted_s.keys() == set(done.users)
    assert all(alive(pid) for actor, pid in before.items() if actor != made.target)
    again = Execution.from_dict(done.to_dict())
    assert (again.faults, again.rows, again.lost) == (done.faults, done.rows, done.lost)


@pytest.mark.long_list("kind")
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", MORE)
def test_whatever_else_happens_the_others_finish_and_nothing_hangs(hit, kind, seed):
    cluster, pids = hit
    made = more_case(kind, seed)
    cluster.start()
    before = dict(cluster.pids)
    pids |= set(before.values())
    strike = Strike(cluster, made)
    options = replace(OPTIONS, timeout_s=12.0) if kind == "stage without an end" else OPTIONS
    begin = time.monotonic()
    strike.before()
    thread = during(cluster, strike.during, after_s=made.after_s)
    try:
        done = cluster.run(made.runs, options, fallbacks=made.fallbacks)
    finally:
        strike.after()
    assert time.monotonic() - begin < options.timeout_s + 30
    thread.join(20)
    pids |= set(cluster.pids.values())

    faults = {fault.user: fault for fault in done.faults}
    assert faults.keys() <= may_fall(made), done.faults
    if kind == "stage without an end":
        assert "user u4" in faults
    if "prepares" in kind or kind == "killed between runs":
        assert not alive(before[made.target])
    for run in made.runs:
        for user in run.chains:
            if user.name in run.shared:
                continue
            fault = faults.get(user.name)
            if fault is None:
                assert np.array_equal(done.images[user.name], planned_picture(run, user)), user.name
            elif fault.fell_back:
                assert np.array_equal(done.images[user.name], picture(user)), user.name
            else:  # nobody is lost but a user whose own device is stuck in its stage
                assert kind == "stage without an end"
                assert user.device == made.target
    assert set(done.images) == {u.name for u in made.users} - set(done.lost)


@pytest.mark.parametrize("kind", KINDS)
def test_what_nobody_has_ended_is_lost_with_any_actor_of_its_domain(kind):
    for run in (run for seed in range(4) for run in case(kind, seed).runs):
        nodes = graph(run.program)
        for user in {chain.name for chain in run.chains} - run.shared:
            for actor in ACTORS:
                cause = Reach(nodes, run.chain, Known(), {actor}).cause(user)
                assert cause == (actor if actor in domain(run, user) else None)
            whole = Known(stamped={node.index for node in nodes})
            assert Reach(nodes, run.chain, whole, set()).finished(user)
            assert not Reach(nodes, run.chain, whole, set()).needed([user])


def test_without_a_program_of_its_own_who_is_cut_off_is_told_so(hit):
    cluster, _ = hit
    made = case("killed edge", 0)
    cluster.start()
    during(cluster, lambda: strike(cluster, made), after_s=0.2)
    done = cluster.run(made.runs, OPTIONS, fallbacks={})
    assert done.lost
    assert all("edge (exit code -9)" in fault.cause and not fault.fell_back for fault in done.faults)
    assert "user u6" in done.images


def test_where_nobody_is_left_the_run_fails_with_the_cause(hit):
    cluster, _ = hit
    made = case("killed edge", 1)
    cluster.start()
    during(cluster, lambda: strike(cluster, made), after_s=0.15)
    with pytest.raises(PeerLost, match=r"edge \(exit code -9\)"):
        cluster.run([made.runs[1]], OPTIONS, fallbacks={})


def test_who_is_late_is_told_so_and_the_others_have_their_pictures(hit):
    cluster, _ = hit
    made = case("failing stage", 1)
    _, stuck, other, local = made.runs
    stuck = replace(stuck, scheduler="sleeping")
    done = cluster.run([stuck, other, local], ExecutionOptions(timeout_s=4.0), fallbacks=made.fallbacks)
    assert done.lost == ("user u4",)
    assert "did not end within 4 s" in done.faults[0].cause
    assert "user user u4: denoise" in done.faults[0].cause
    assert set(done.images) == {"user u5", "user u6"}
    # the process that sleeps in its stage is not left behind
    assert set(cluster.run([other], OPTIONS).images) == {"user u5"}


def test_a_fallback_is_a_program_of_the_user_alone(hit):
    cluster, _ = hit
    made = case("killed edge", 2)
    with pytest.raises(InvalidInput, match="fallback of user user u4"):
        cluster.run(made.runs, OPTIONS, fallbacks={"user u4": made.runs[2]})
