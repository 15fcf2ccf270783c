"""A world of the kernel in which something is not what the plan says: where `mutations.py --mode kernel` executes.

Link and share are wrong in the kernel itself, set after the executor has set and read back what the plan allocates: the
rate of a token bucket is lower, the quotas of the edge are. The plan is altered on its way to the actors; payload and
model are wrong in an actor's process (`mutant.py`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from several import Change, changed

from megdt_opt import Execution, Plan
from megdt_opt.execution.cluster import Cluster
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.kernel.world import KernelWorld
from megdt_opt.program.stages import is_edge
from megdt_opt.trials.kernel import (
    KernelCluster,
    KernelLaws,
    calibrate_work,
    execute_in_kernel,
    held_runs,
    paired_runs,
    probes_of,
)
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.verdict.checking import check_inputs
from megdt_opt.verdict.limits import PROFILE_RUNS
from megdt_opt.verdict.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What is wrong in the world.

    Parameters
    ----------
    kind : str
        "link", "share", "plan"; anything else is wrong elsewhere.
    sender : str
        Whose direction of a link [device or "edge"].
    device : str
        Whose link.
    factor : float
        By which a rate or quota is lower [1].
    change : callable, optional
        What becomes of the first user's leaves.
    """

    kind: str
    sender: str
    device: str
    factor: float
    change: Change | None = None


class MutantWorld(KernelWorld):
    """The kernel's world, spoiled after it was set."""

    wrong: Wrong | None = None

    def fit(self, runs: Sequence[Run], options: ExecutionOptions) -> None:
        """As planned, and then as it is wrong."""
        super().fit(runs, options)
        wrong = self.wrong
        if wrong is not None and wrong.kind == "link":
            direction = "uplink" if wrong.sender == wrong.device else "downlink"
            rate = self._settings.rate_bit_per_s[wrong.device, direction]
            self._links.shape(wrong.device, direction, rate / wrong.factor)
        if wrong is not None and wrong.kind == "share":
            assert self._quotas is not None
            for actor in filter(is_edge, self._settings.share):
                self._quotas.hold(self._group[actor], self._settings.share[actor] / wrong.factor)


class MutantCluster(Cluster):
    """A cluster that hands the actors another program than the planned one, where it is told to."""

    change: Change | None = None

    def run(self, runs: Sequence[Run], options: ExecutionOptions | None = None, **more: Any) -> Execution:
        """As `Cluster.run`, with the first run changed."""
        if self.change is not None:
            program, _, _ = changed(runs[0], self.change)
            runs = [dataclasses.replace(runs[0], program=program), *runs[1:]]
        return super().run(runs, options, **more)


@dataclass
class MutantKernel:
    """Processes of such a world, and the laws that were calibrated while all was right."""

    processes: KernelCluster
    laws: KernelLaws = field(default_factory=lambda: KernelLaws(work={}))

    def calibrate(self, plans: Sequence[Plan]) -> None:
        """Calibrate what is known of no earlier plan."""
        needed = {probe for made in plans for probe in probes_of(paired_runs(made))}
        missing = sorted(needed - {probe for _, probe in self.laws.work}, key=str)
        if missing:
            more = calibrate_work(self.processes, missing)
            self.laws = KernelLaws(work={**self.laws.work, **more.work}, wire=self.laws.wire)

    def judged(self, made: Plan, wrong: Wrong) -> tuple[list[Execution], Verdict]:
        """Execute a plan as often as a verdict takes, and judge it."""
        cluster, world = self.processes.cluster, self.processes.world
        assert isinstance(cluster, MutantCluster)
        assert isinstance(world, MutantWorld)
        world.wrong, cluster.change = wrong, wrong.change
        try:
            done = [execute_in_kernel(made, self.processes, self.laws, rehearsals=0) for _ in range(PROFILE_RUNS)]
        finally:
            world.wrong = cluster.change = None
        pictures = judge_pictures(made.table, made.users, done[0].images)
        world.hold({})
        return done, check_inputs(made, done, cluster, pictures, executed=held_runs(made).runs)


@contextmanager
def mutant_kernel(models: Mapping[str, str], devices: Sequence[str]) -> Iterator[MutantKernel]:
    """Such a world with these actors; all is taken down at the end."""
    world = MutantWorld(devices, wait_s=60.0)
    with MutantCluster(models, models, start_timeout_s=300.0, world=world) as cluster:
        cluster.start()
        yield MutantKernel(KernelCluster(cluster, world))
