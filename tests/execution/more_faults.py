"""Further faults of the list: cut links, slow and frozen peers, a clock that jumps, losses before and after the run."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from threading import Thread

import numpy as np
from fault_cases import FAULTY_SPEC, OTHERS, STEPS, alone, case, domain, needed_by
from relay import Relay
from run_builder import make_run

from megdt_opt.execution import Cluster
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.stages import Send, leaves

MORE = (
    "link down",
    "link without packets",
    "link half open",
    "slow peer",
    "clock jump",
    "frozen while it prepares",
    "killed while it prepares",
    "killed between runs",
    "device lost after its picture",
    "stage without an end",
)


def more_case(kind, seed):
    """Case number `seed` of a kind, from the runs of the other kinds."""
    made = case("repeated message" if seed % 2 else "failing stage", seed)
    rng = np.random.default_rng([sum(map(ord, kind)), seed])
    group, first, second, local = (replace(run, scheduler="ddim") for run in made.runs)
    target, after_s = str(rng.choice(["edge", "edge-2", *OTHERS])), 0.1 + 0.6 * float(rng.random())
    if kind == "slow peer":
        first = replace(first, scheduler="slow")
    if kind == "clock jump":
        first, group = replace(first, scheduler="jumping"), replace(group, scheduler="jumping")
    if kind == "stage without an end":
        first, target = replace(first, scheduler="sleeping"), sleeper(first)
    if kind == "device lost after its picture":
        end_s = max(t.start_s + t.duration_s for t in first.predicted)
        target, after_s = "u4", end_s + 0.6
        local = make_run(
            Option(mechanism="local"), name="user u6", device="u5", step_s=(end_s + 2.5) / 8, spec=FAULTY_SPEC
        )
    return replace(made, kind=kind, runs=(group, first, second, local), target=target, after_s=after_s)


def sleeper(run):
    """Who makes the fifth step, in which the stand-in sleeps."""
    return next(
        str(leaf.at)
        for leaf in leaves(run.program)
        if not isinstance(leaf, Send) and leaf.kind == "denoise" and leaf.first <= 4 < leaf.first + leaf.amount
    )


def may_fall(made):
    """Users whom a fault of these kinds may cut off."""
    if made.kind.startswith("link"):
        return {
            chain.name
            for run in made.runs
            for chain in run.chains
            if chain.name not in run.shared and made.target in domain(run, chain.name)
        }
    if made.kind == "stage without an end":
        chains = [(run, chain) for run in made.runs for chain in run.chains if chain.name not in run.shared]
        return {chain.name for run, chain in chains if made.target in domain(run, chain.name) | {chain.device}}
    return set()


class Strike:
    """What is done to a cluster before and during its next run."""

    def __init__(self, cluster: Cluster, made) -> None:
        self._cluster, self._made = cluster, made
        self._relay = None

    def before(self) -> None:
        """Before the run."""
        kind, target = self._made.kind, self._made.target
        pid = self._cluster.pids[target]
        if kind.startswith("link"):
            process = self._cluster._processes[target]
            self._relay = Relay(process.address)
            self._own, process.address = process.address, self._relay.address
        elif kind == "frozen while it prepares":
            os.kill(pid, signal.SIGSTOP)
        elif kind == "killed between runs":
            os.kill(pid, signal.SIGKILL)
            while self._cluster._processes[target].alive:
                time.sleep(0.01)
        elif kind == "killed while it prepares":
            Thread(target=lambda: (time.sleep(0.03), os.kill(pid, signal.SIGKILL)), daemon=True).start()

    def during(self) -> None:
        """During the run."""
        kind = self._made.kind
        if self._relay is not None:
            {"link down": self._relay.down, "link half open": self._relay.half_open}.get(kind, self._relay.silence)()
        elif kind == "device lost after its picture":
            os.kill(self._cluster.pids[self._made.target], signal.SIGKILL)

    def after(self) -> None:
        """After the run: links are whole again."""
        if self._relay is not None:
            self._relay.down()
            process = self._cluster._processes[self._made.target]
            if process.address == self._relay.address:
                process.address = self._own


__all__ = ["MORE", "STEPS", "Strike", "alone", "may_fall", "more_case", "needed_by"]
