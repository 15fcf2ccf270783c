"""Actors are forks of one process that has only imported: each is a process of its own, and its end is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_builder import STANDIN, make_run

from megdt_opt.execution import Cluster
from megdt_opt.execution.fork_server import IMPORTED, ForkServer, of_this_process
from megdt_opt.program.mechanisms import Option


def until(happened, within_s=10.0):
    """Whether something happens within a time."""
    end_s = time.monotonic() + within_s
    while not happened() and time.monotonic() < end_s:
        time.sleep(0.01)
    return happened()


def status_of(pid):
    """A process's entry of the kernel, "" once it is gone."""
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def runs(cluster):
    """Whether a short run succeeds."""
    run = make_run(Option(mechanism="E2U", cut=6, precision="fp32"), step_s=0.002)
    return cluster.run([run]).images["user"].shape == (1, 64, 64, 3)


@pytest.fixture(scope="module")
def server():
    return of_this_process()


def test_what_is_imported_starts_no_thread_that_a_fork_would_lose():
    code = f"import importlib, os\nfor n in {IMPORTED!r}: importlib.import_module(n)\n" \
        "print(len(os.listdir('/proc/self/task')))"  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    found = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1"]


def test_a_fork_has_the_callers_environment_directory_and_a_group_of_its_own(server, monkeypatch, tmp_path):
    monkeypatch.setenv("MEGDT_SEEN", "by the fork")
    monkeypatch.chdir(tmp_path)
    fork = server.start([])
    assert until(lambda: Path(f"/proc/{fork.pid}/cwd").resolve() == tmp_path)
    assert fork.poll() is None
    assert os.getpgid(fork.pid) == fork.pid != os.getpgid(0)
    fork.stdin.close()  # without a configuration it has nothing to do
    assert fork.wait(20) == 0
    assert fork.stdout.read() == ""
    fork.stdout.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal_that_ends_a_fork_is_told(server, how):
    fork = server.start([])
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.05)
    os.kill(fork.pid, how)
    assert fork.wait(20) == fork.poll() == -how
    fork.kill()  # once more does no harm
    assert not status_of(fork.pid)
    fork.stdin.close()
    fork.stdout.close()


def test_a_server_that_was_killed_is_replaced_and_its_forks_go_on():
    before = of_this_process()
    with Cluster(["edge", "u1"], STANDIN) as cluster:
        before._process.kill()
        before._process.wait()
        assert runs(cluster)
        with Cluster(["edge", "u1"], STANDIN) as other:
            assert of_this_process() is not before
            assert runs(other)


def test_the_server_ends_when_its_caller_does():
    server = ForkServer()
    pid = server._process.pid
    server.end()
    assert not server.alive
    assert not status_of(pid)
