"""Testing the calibration itself: runs as fast as the machine goes, between two short re-calibrations.

The error of a raw run has three parts, which are reported apart here:

- calibration error: the stages as the machine runs them now, against the profile;
- drift: the re-calibration after the run against the one before it;
- composition error: the run against the sum of its stages as re-calibrated around it (overheads, waiting,
  serialisation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.job import Probe
from megdt_opt.planning.user_plan import UserPlan
from megdt_opt.program.schedule import predict
from megdt_opt.program.stages import Compute, Send, is_edge, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import cluster_of, run_options
from megdt_opt.trials.runs import user_runs

if TYPE_CHECKING:
    from megdt_opt.execution.cluster import Cluster

REST_S = 0.05
"""Rest before each sample of a stage that runs once [s]."""

_Key = tuple[str, str, tuple[int, int] | None]


@dataclass(frozen=True, kw_only=True)
class RawCheck:
    """Raw runs of one user, each between two re-calibrations.

    Parameters
    ----------
    user, option : str
        Who ran what.
    profile_s : float
        End-to-end prediction from the profile [s].
    before_s, after_s : float
        The same from the re-calibrations before and after each run, mean over the runs [s].
    measured_s : float
        Measured end to end, mean over the runs [s].
    runs_s : tuple of float
        Each run's measured time [s].
    """

    user: str
    option: str
    profile_s: float
    before_s: float
    after_s: float
    measured_s: float
    runs_s: tuple[float, ...] = ()

    @property
    def around_s(self) -> float:
        """Prediction from both re-calibrations together [s]."""
        return (self.before_s + self.after_s) / 2

    @property
    def calibration_error(self) -> float:
        """Re-calibrated against profile [1]."""
        return self.around_s / self.profile_s - 1

    @property
    def drift(self) -> float:
        """After against before [1]."""
        return self.after_s / self.before_s - 1

    @property
    def composition_error(self) -> float:
        """Measured against re-calibrated [1]."""
        return self.measured_s / self.around_s - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the three errors included."""
        return asdict(self) | {
            "calibration_error": self.calibration_error,
            "drift": self.drift,
            "composition_error": self.composition_error,
        }


def raw_check(
    table: OptionTable, user: UserPlan, *, samples: int = 10, runs: int = 1, cluster: Cluster | None = None
) -> RawCheck:
    """Execute one user's program in raw mode, with a re-calibration before and after each run.

    Parameters
    ----------
    table : OptionTable
        Of a scenario with one user and no stretch.
    user : UserPlan
        What that user runs.
    samples : int
        Samples of each stage in each re-calibration [1].
    runs : int
        How often the program is run; one run's time moves with the machine by some per cent [1].
    cluster : Cluster, optional
        Processes that run already.

    Raises
    ------
    InvalidInput
        Where the scenario has several users or a stretch: raw runs have the machine to themselves.
    """
    machines = table.machines
    if len(table.scenario.users) != 1:
        raise InvalidInput("users", len(table.scenario.users), "one user in a raw check", "Check them one at a time.")
    stretched = [p.stretch for p in (*machines.edges.values(), *machines.devices) if p.stretch != 1]
    if stretched:
        raise InvalidInput("stretch", stretched[0], "1 in a raw check", "A raw run cannot emulate slowness.")
    measured_s = []
    with cluster_of(table, cluster) as processes:
        around_s = [_end_s(table, user, _recalibrate(table, user, processes, samples))]
        for _ in range(runs):
            done = processes.run(user_runs(table, [user]), run_options(table, user.latency_s, "raw"))
            measured_s.append(done.measured_s[user.name])
            around_s.append(_end_s(table, user, _recalibrate(table, user, processes, samples)))
    return RawCheck(
        user=user.name,
        option=user.option.name,
        profile_s=user.latency_s,
        before_s=float(np.mean(around_s[:-1])),
        after_s=float(np.mean(around_s[1:])),
        measured_s=float(np.mean(measured_s)),
        runs_s=tuple(measured_s),
    )


def _key(leaf: Compute) -> _Key:
    return (leaf.at, str(leaf.kind), leaf.rows)


def _recalibrate(table: OptionTable, user: UserPlan, cluster: Cluster, samples: int) -> dict[_Key, float]:
    scenario = table.scenario
    found: dict[_Key, float] = {}
    for leaf in leaves(user.program):
        if not isinstance(leaf, Compute) or _key(leaf) in found:
            continue
        if leaf.denoises:
            # a whole chain: a sum of steps follows their mean
            probe = Probe(kind=leaf.kind, rows=leaf.rows, scheduler=scenario.scheduler, steps=scenario.steps)
            found[_key(leaf)] = float(np.mean(cluster.measure(leaf.at, probe, scenario.steps)))
        else:
            # a single shot comes after a rest, which costs it caches and clock
            probe = Probe(kind=leaf.kind, rows=leaf.rows, codec=leaf.codec or "png", gap_s=REST_S)
            found[_key(leaf)] = float(np.median(cluster.measure(leaf.at, probe, samples)))
    return found


def _end_s(table: OptionTable, user: UserPlan, stage_s: Mapping[_Key, float]) -> float:
    times = iter(user.stages)
    planned = {id(leaf): next(times) for leaf in leaves(user.program)}

    def duration_s(leaf: Compute | Send) -> float:
        if isinstance(leaf, Send):
            return planned[id(leaf)].duration_s
        return leaf.amount * stage_s[_key(leaf)] / (user.edge_share if is_edge(leaf.at) else 1.0)

    return max(t.start_s + t.duration_s for t in predict(user.program, duration_s))
