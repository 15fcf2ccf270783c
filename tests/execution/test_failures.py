"""Every failure ends in its own error within the deadline; no process is left, the cluster stays usable."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from run_builder import make_run
from standin_model import FAULTY_SPEC

from megdt_opt.errors import (
    ExecutionError,
    ExecutionTimeout,
    InvalidInput,
    MalformedMessage,
    NotAuthorised,
    PeerLost,
    WeightsError,
)
from megdt_opt.execution import Cluster, ExecutionOptions, Probe
from megdt_opt.execution.credentials import Tokens
from megdt_opt.execution.rpc import Peer
from megdt_opt.program.mechanisms import Option

E2U = Option(mechanism="E2U", cut=6, precision="fp32")
LONG = ExecutionOptions(timeout_s=30)


@pytest.fixture(scope="module")
def faulty():
    """An edge and a device whose model fails on demand."""
    with Cluster(["edge", "u1"], "standin_model:Faulty") as cluster:
        yield cluster


def run_of(scheduler="ddim", **more):
    """An E2U run of about two seconds."""
    return make_run(E2U, scheduler=scheduler, spec=FAULTY_SPEC, **{"step_s": 0.1, **more})


def works(cluster):
    """Whether a short run still succeeds."""
    return cluster.run([run_of(step_s=0.002)]).images["user"].shape == (1, 64, 64, 3)


def during(cluster, action, after_s=0.4):
    """Do something so long after the start of the cluster's next run; returns the thread."""

    def act():
        while cluster.start_s is None:
            time.sleep(0.005)
        time.sleep(max(0.0, cluster.start_s + after_s - time.monotonic()))
        action()

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def alive(pid):
    """Whether a process runs; one that has ended but is not yet collected does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("actor", ["edge", "u1"])
def test_a_killed_process_is_a_lost_peer(faulty, actor):
    faulty.start()
    during(faulty, lambda: os.kill(faulty.pids[actor], signal.SIGKILL))
    begin = time.monotonic()
    with pytest.raises(PeerLost, match=actor):
        faulty.run([run_of()], LONG)
    assert time.monotonic() - begin < 25
    assert works(faulty)


def test_a_peer_killed_while_it_receives_is_lost(faulty):
    faulty.start()
    run = make_run(E2U, scheduler="ddim", spec=FAULTY_SPEC, step_s=0.002, rate=5e3)
    during(faulty, lambda: os.kill(faulty.pids["edge"], signal.SIGKILL), after_s=0.2)
    with pytest.raises(PeerLost, match="edge"):
        faulty.run([run], LONG)
    assert works(faulty)


def test_a_process_that_ends_itself_is_a_lost_peer(faulty):
    with pytest.raises(PeerLost, match=r"edge \(exit code 3\)"):
        faulty.run([run_of("exiting", step_s=0.01)], LONG)
    assert works(faulty)


def test_a_stage_that_sleeps_too_long_is_a_time_out_that_names_it(faulty):
    begin = time.monotonic()
    with pytest.raises(ExecutionTimeout, match=r"user user: denoise 0\.\.5 at edge"):
        faulty.run([run_of("sleeping", step_s=0.01)], ExecutionOptions(timeout_s=1.5))
    assert time.monotonic() - begin < 20
    assert works(faulty)


def test_a_payload_that_cannot_arrive_in_time_is_a_time_out(faulty):
    slow = make_run(E2U, spec=FAULTY_SPEC, step_s=0.002, rate=100.0)
    with pytest.raises(ExecutionTimeout, match="beyond the deadline"):
        faulty.run([slow], ExecutionOptions(timeout_s=2.0))
    assert works(faulty)


def test_a_failing_stage_is_named_with_its_cause(faulty):
    with pytest.raises(ExecutionError, match=r"user user, denoise 0\.\.5 at edge: ValueError: no step like this"):
        faulty.run([run_of("failing", step_s=0.01)], LONG)
    assert works(faulty)


def test_an_undeclared_shape_is_a_malformed_message(faulty):
    with pytest.raises(MalformedMessage, match=r"send seed .*'state.latent'"):
        faulty.run([run_of("misshapen", step_s=0.01)], LONG)
    assert works(faulty)


def inject(cluster, pieces, *, token=None, size=None, **envelope):
    """Send a payload to the device, as its edge would; returns the reply's error or None."""
    identity = cluster.identity("edge") if token is None else Tokens(token, {})
    peer = Peer("u1", cluster.address("u1"), identity)
    data = b"".join(pieces)
    known = {"run": cluster.current_run, "user": "user", "index": 3}
    header = {"size": len(data) if size is None else size, "due_s": time.monotonic()}
    try:
        peer.open({**known, **envelope}, 5.0).send(header, iter(pieces), threading.Event())
    except ExecutionError as error:
        return error
    finally:
        peer.close()
    return None


@pytest.mark.parametrize(
    ("pieces", "size"), [([b"\xff" * 4096], None), ([bytes(100)], 4152), ([bytes(100)], 50), ([], -1)]
)
def test_garbage_in_a_payload_ends_the_run(faulty, pieces, size):
    answers = []
    thread = during(faulty, lambda: answers.append(inject(faulty, pieces, size=size)), after_s=0.2)
    with pytest.raises(MalformedMessage, match="send seed"):
        faulty.run([run_of()], LONG)
    thread.join(10)
    assert isinstance(answers[0], MalformedMessage)
    assert works(faulty)


def test_strangers_and_strays_are_refused_and_the_run_goes_on(faulty):
    answers = []

    def strays():
        answers.append(inject(faulty, [b"junk"], token="wrong"))
        answers.append(inject(faulty, [b"junk"], run="run-of-yesterday"))
        answers.append(inject(faulty, [b"junk"], user="nobody"))
        answers.append(inject(faulty, [b"junk"], index=0))
        answers.append(inject(faulty, [b"junk"], index="three"))

    thread = during(faulty, strays, after_s=0.1)
    execution = faulty.run([run_of()], LONG)
    thread.join(10)
    assert execution.images["user"].shape == (1, 64, 64, 3)
    assert len(answers) == 5
    assert all(isinstance(a, ExecutionError) for a in answers)
    assert isinstance(answers[0], NotAuthorised)


def test_a_cluster_refuses_what_it_cannot_run(faulty):
    with pytest.raises(InvalidInput, match="at least one user"):
        faulty.run([])
    with pytest.raises(InvalidInput, match="different names"):
        faulty.run([run_of(), run_of()])
    with pytest.raises(InvalidInput, match="u9"):
        faulty.run([run_of(device="u9")])
    with pytest.raises(InvalidInput, match=r"edge_share at edge: found 1\.2"):
        faulty.run([run_of(name="a", edge_share=0.6), run_of(name="b", edge_share=0.6)])
    with pytest.raises(InvalidInput):
        Cluster([])


def test_a_second_run_on_a_cluster_is_told_that_one_is_in_progress(faulty):
    answers = []

    def second():
        try:
            faulty.run([run_of()], LONG)
        except ExecutionError as error:
            answers.append(error)

    thread = during(faulty, second, after_s=0.05)
    assert faulty.run([run_of()], LONG).images
    thread.join(10)
    assert "a run of this cluster is in progress" in str(answers[0])


def test_a_measurement_that_outlives_its_time_is_ended(faulty, monkeypatch):
    before = faulty.pids["u1"]
    with monkeypatch.context() as short:
        short.setattr(faulty, "_start_timeout_s", 0.3)
        with pytest.raises(ExecutionTimeout, match="u1"):
            faulty.measure("u1", Probe(kind="denoise", scheduler="ddim", steps=6), samples=1_000_000)
    assert works(faulty)
    assert faulty.pids["u1"] != before
    assert not alive(before)


def test_unreadable_weights_and_models_end_the_start():
    with pytest.raises(WeightsError, match="truncated"):
        Cluster(["edge"], "standin_model:Broken").start()
    with pytest.raises(ExecutionError, match="no_such_model"):
        Cluster(["edge"], "no_such_model:Model").start()


def test_a_start_that_takes_too_long_leaves_nothing():
    cluster = Cluster(["edge"], "standin_model:StandIn", start_timeout_s=0.01)
    with pytest.raises(ExecutionTimeout):
        cluster.start()
    assert cluster.pids == {}


SCRIPT = """
import os, signal, sys
sys.path[:0] = {path!r}
from megdt_opt.execution import Cluster
cluster = Cluster(["edge", "u1"], "standin_model:StandIn")
cluster.start()
print(*cluster.pids.values(), flush=True)
{end}
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="process states are read from /proc")
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(0)"])
def test_no_orphans_however_the_coordinator_goes(end):
    path = [p for p in sys.path if p]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(path=path, end=end)], capture_output=True, text=True, timeout=90
    )
    pids = [int(p) for p in ended.stdout.split()]
    assert len(pids) == 2, ended.stderr
    limit_s = time.monotonic() + 15
    while any(alive(p) for p in pids) and time.monotonic() < limit_s:
        time.sleep(0.05)
    assert not any(alive(p) for p in pids)


def test_leaving_the_cluster_ends_its_processes():
    with Cluster(["edge"], "standin_model:StandIn") as cluster:
        pids = list(cluster.pids.values())
    assert not any(alive(p) for p in pids)
    with pytest.raises(ExecutionError, match="was closed"):  # rather than start them again, and leave them
        cluster.start()
    assert cluster.pids == {}
