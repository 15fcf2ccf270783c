"""Many actors at once: each has its picture, one that is killed is alone without one, and no process is left."""

from __future__ import annotations

import os
import signal

import pytest
from run_builder import STANDIN, make_run
from test_failures import alive, during

from megdt_opt.execution import Cluster, ExecutionOptions, Run
from megdt_opt.program.mechanisms import Option

DEVICES = 19
"""Devices of the test; `experiments/execution/many_actors.py` has 99."""

OPTIONS = ExecutionOptions(timeout_s=120.0, patience_s=20.0)
MECHANISMS = (
    Option(mechanism="E2U", precision="fp32"),
    Option(mechanism="SEU", cut=3, precision="int8"),
    Option(mechanism="centralised", cut=6, codec="jpeg"),
    Option(mechanism="local"),
    Option(mechanism="PEU", share=0.5, precision="fp16"),
)


def runs_of(devices: int) -> list[Run]:
    """A run for each device, which has a small part of the edge; slots grow with the processes that share the cores."""
    return [
        make_run(
            MECHANISMS[k % len(MECHANISMS)], name=f"user {k}", device=f"u{k}", edge_share=1 / devices,
            step_s=1e-4 * devices, rate=4e5, seed=k,
        )
        for k in range(devices)
    ]  # fmt: skip


def started(runs: list[Run], start_timeout_s: float = 300.0) -> Cluster:
    """A cluster of the edge and of every run's device, not started yet."""
    return Cluster(["edge", *(run.chains[0].device for run in runs)], STANDIN, start_timeout_s=start_timeout_s)


@pytest.mark.usefixtures("single_thread")
def test_many_actors_run_at_once_and_a_killed_one_is_alone_without_a_picture():
    runs = runs_of(DEVICES)
    with started(runs) as cluster:
        pids = set(cluster.pids.values())
        assert len(pids) == DEVICES + 1
        done = cluster.run(runs, OPTIONS)
        assert set(done.images) == {run.name for run in runs}
        during(cluster, lambda: os.kill(cluster.pids["u7"], signal.SIGKILL), after_s=0.05)
        struck = cluster.run(runs, OPTIONS, fallbacks={})
        assert set(struck.images) >= {run.name for run in runs} - {"user 7"}
        for name in set(struck.images) - {"user 7"}:
            assert (struck.images[name] == done.images[name]).all()
        pids |= set(cluster.pids.values())
    assert not [pid for pid in pids if alive(pid)]
