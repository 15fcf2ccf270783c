"""Executing plans in a world that the kernel enforces: its calibration, rehearsals, the run, and three predictions.

- "planned": from processor seconds calibrated in the same quotas beforehand;
- "rehearsed": from the processor seconds of runs of the same plan just before, the median of each stage;
- "given": from those of the run itself, which tests the laws of quota, link and composition alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.execution.job import ExecutionOptions, Probe, Run
from megdt_opt.execution.kernel.prediction import SECURE, predicted
from megdt_opt.execution.kernel.settings import CORE_SHARE, PAIR, Settings, paired, settings_of, slowed
from megdt_opt.execution.kernel.world import KernelWorld
from megdt_opt.execution.record import Execution, StageRow
from megdt_opt.models.planned import PlannedModel
from megdt_opt.planning.groups import GroupPlan
from megdt_opt.planning.user_plan import UserPlan
from megdt_opt.program.kinds import DENOISING
from megdt_opt.program.schedule import StageTime
from megdt_opt.program.stages import Compute, actors, is_edge, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.timing.shaped import WireLaw, WorkLaw, burst_byte
from megdt_opt.trials.execute import START_TIMEOUT_S, planned_models, run_options
from megdt_opt.trials.runs import batch_schedule, fallback_runs, user_runs

if TYPE_CHECKING:
    from megdt_opt.execution.cluster import Cluster
    from megdt_opt.execution.graph import Node

SHARES = (0.8, 0.4, 0.2)
"""Shares at which stages are calibrated [1]."""

LEAD_S = 0.5
"""Between the order to start and the start [s]: a slow link refills its bucket after the streams are opened."""

REHEARSALS = 1
"""Runs of a plan just before the one that they predict [1]: of three the median told no more than the last alone
(experiments/execution/results/kernel.md)."""

PROBE_BYTE = 5500
"""Payload of a link's probe [byte]."""

Key = tuple[bool, Probe]
"""Whether at an edge, and what is computed."""


class Planned(Protocol):
    """What is executed: a plan, or a rival of it."""

    @property
    def table(self) -> OptionTable:
        """The options."""

    @property
    def users(self) -> Sequence[UserPlan]:
        """What each user runs."""

    @property
    def groups(self) -> Sequence[GroupPlan]:
        """Users who share steps."""


@dataclass(frozen=True)
class KernelCluster:
    """Processes in a kernel's world."""

    cluster: Cluster
    world: KernelWorld


@contextmanager
def kernel_cluster(
    models: Mapping[str, str | PlannedModel],
    devices: Sequence[str],
    *,
    start_timeout_s: float = START_TIMEOUT_S,
    wait_s: float = 0.0,
) -> Iterator[KernelCluster]:
    """Processes in namespaces and groups of their own; all is taken down at the end.

    Parameters
    ----------
    models : mapping of str to str or PlannedModel
        The actors with their models.
    devices : sequence of str
        Which of them are devices.
    start_timeout_s, wait_s : float
        Time that processes have to come up, and to wait for another such world to end [s].
    """
    world = KernelWorld(devices, wait_s=wait_s)
    try:
        from megdt_opt.execution.cluster import Cluster
    except ImportError as error:
        raise MegdtError(
            f"execution needs the package {error.name}: install it with pip install 'megdt-opt[diffusion]'"
        ) from error
    with Cluster(models, models, start_timeout_s=start_timeout_s, world=world) as cluster:
        yield KernelCluster(cluster, world)


def models_of(*plans: Planned) -> dict[str, PlannedModel]:
    """The actors that plans of the same users need in a kernel's world, with their models."""
    models = planned_models(plans[0].table)
    return {
        actor: models[str(actor).partition(PAIR)[0]]
        for run in (run for plan in plans for run in paired_runs(plan))
        for actor in sorted(actors(run.program) | {chain.device for chain in run.chains})
    }


def probes_of(runs: Sequence[Run]) -> set[Probe]:
    """What has to be calibrated for runs."""
    return {_probe(run, leaf) for run in runs for leaf in leaves(run.program) if isinstance(leaf, Compute)}


def paired_runs(plan: Planned) -> list[Run]:
    """Runs of a plan, the edge's part in processes of their own.

    Raises
    ------
    InvalidInput
        For batches and for groups, which have no quota of their own.
    """
    if batch_schedule(plan.table, plan.users) is not None:
        expected = "reserved shares or turns in kernel mode"
        raise InvalidInput("discipline", "batched", expected, "Execute it in paced mode: a batch has no quota.")
    return [paired(run) for run in user_runs(plan.table, plan.users, plan.groups)]


@dataclass(frozen=True, kw_only=True)
class Held:
    """A plan as the kernel holds it.

    Parameters
    ----------
    runs : list of Run
        The edge's part in processes of their own, all times stretched by the factor.
    options : ExecutionOptions
    factor : float
        By which all times are stretched, so that the cores suffice [1].
    settings : Settings
        Shares and rates.
    payload_byte : mapping of (str, int) to float
        Payload of every send as planned, by its run and position [byte].
    """

    runs: list[Run]
    options: ExecutionOptions
    factor: float
    settings: Settings
    payload_byte: Mapping[tuple[str, int], float]


def held_runs(plan: Planned, least_factor: float = 1.0) -> Held:
    """What is executed of a plan in a kernel's world, and what that is set to.

    Parameters
    ----------
    plan : Planned
    least_factor : float
        Stretch all times by no less [1].

    Raises
    ------
    InvalidInput
        For what has no quota or link of its own: groups, batches, shares that change, sends between devices.
    """
    runs = paired_runs(plan)
    payload_byte = {
        (run.name, k): (time.duration_s - run.propagation_s) * pace / 8
        for run in runs
        for k, (time, pace) in enumerate(zip(run.predicted, run.pace, strict=True))
    }
    slow, options, factor = slowed(runs, _options(plan, runs), least_factor)
    settings = settings_of(slow, options)
    return Held(runs=slow, options=options, factor=factor, settings=settings, payload_byte=payload_byte)


@dataclass(frozen=True, kw_only=True)
class KernelLaws:
    """Processor seconds of stages by role and share, and the law of the wire.

    Parameters
    ----------
    work : mapping of (bool, Probe) to WorkLaw
        Of one step, or of a whole stage; by whether it runs at an edge.
    wire : WireLaw
        Bytes and time of a message.
    """

    work: Mapping[Key, WorkLaw]
    wire: WireLaw = SECURE

    def work_s(self, run: Run, leaf: Compute, share: float) -> float:
        """Processor seconds of a leaf [s]."""
        return _steps(leaf) * self._law(run, leaf).seconds(share)

    def _law(self, run: Run, leaf: Compute) -> WorkLaw:
        key = is_edge(leaf.at), _probe(run, leaf)
        if key not in self.work:
            expected = "a stage that was calibrated in these quotas"
            raise InvalidInput(f"stage of user {run.name}", leaf.label, expected, "Calibrate for this plan.")
        return self.work[key]


def calibrate_work(
    processes: KernelCluster, probes: Sequence[Probe], *, samples: int = 6, shares: Sequence[float] = SHARES
) -> KernelLaws:
    """Time stages under quotas, as many actors at once on each core as the share allows.

    Parameters
    ----------
    processes : KernelCluster
    probes : sequence of Probe
        What to time, at edges and at devices.
    samples : int
        Of each stage that runs once; of denoising a whole chain of steps [1].
    shares : sequence of float
        From the largest to the smallest and back again, so that a drift falls on all alike.
    """
    cluster, world = processes.cluster, processes.world
    cluster.start()
    edges, devices = world.sides(cluster.actors)
    found: dict[Key, list[tuple[float, float]]] = {}
    for number, share in enumerate((*shares, *reversed(shares))):
        count = max(1, int(CORE_SHARE / share + 1e-9))
        busy = [_some(side, count, number) for side in (edges, devices)]
        names = [name for pair in zip_longest(*busy) for name in pair if name is not None]
        world.hold(dict.fromkeys(names, share))
        for probe in probes:
            many = probe.steps if probe.kind in DENOISING else samples
            middle: Callable[[list[float]], Any] = np.mean if probe.kind in DENOISING else np.median
            for name, taken in cluster.measure_together(names, probe, many).items():
                used_s = float(middle([used for _, used in taken]))
                found.setdefault((name not in devices, probe), []).append((share, used_s))
    work = {key: WorkLaw.fit(*zip(*pairs, strict=True)) for key, pairs in found.items()}
    return KernelLaws(work=work)


def _some(side: Sequence[str], count: int, turn: int) -> list[str]:
    """As many actors of a side, others in each turn."""
    return [side[(turn + k) % len(side)] for k in range(min(count, len(side)))]


def law_times(held: Held, laws: KernelLaws, done: Sequence[Execution] = ()) -> dict[str, tuple[StageTime, ...]]:
    """When every leaf should start and how long it should take, by the run's name.

    From the laws of its work and the plan's payloads, or from the processor seconds and bytes of executions, of each
    leaf the median.
    """
    rows: dict[tuple[str, int], list[StageRow]] = {}
    for row in (row for execution in done for row in execution.rows if not row.fallback):
        rows.setdefault((row.user, row.index), []).append(row)

    def work_s(run: Run, node: Node) -> float:
        known = rows.get((run.name, node.index))
        if known is not None:
            return float(np.median([row.cpu_s for row in known]))
        assert isinstance(node.leaf, Compute)
        return laws.work_s(run, node.leaf, held.settings.share[node.actor])

    def byte(run: Run, node: Node) -> float:
        known = rows.get((run.name, node.index))
        if known is None:
            return held.payload_byte[run.name, node.index]
        return float(np.median([row.payload_byte for row in known]))

    return predicted(held.runs, held.settings, work_s, byte, wire=laws.wire)


def latencies_s(times: Mapping[str, Sequence[StageTime]]) -> dict[str, float]:
    """End of the last leaf of each run [s]."""
    return {name: max(t.start_s + t.duration_s for t in leaf) for name, leaf in times.items()}


def execute_in_kernel(
    plan: Planned,
    processes: KernelCluster,
    laws: KernelLaws,
    *,
    rehearsals: int = REHEARSALS,
    all_or_nothing: bool = False,
    probe_links: bool = True,
    least_factor: float = 1.0,
) -> Execution:
    """Execute a plan in a kernel's world after `rehearsals` runs of it, and predict it three times.

    The rows carry the rehearsed prediction, or the planned one without a rehearsal; `Execution.world` has all, with the
    factor by which all times are stretched: what the cores need, and no less than `least_factor`. Its "rehearsal" has
    the latencies of the last one, and of each those that it predicts alone.

    Raises
    ------
    InvalidInput
        For what has no quota or link of its own: groups, batches, shares that change, sends between devices.
    """
    held = held_runs(plan, least_factor)
    spares = None if all_or_nothing else fallback_runs(plan.table)
    found = {"planned": law_times(held, laws)}
    rehearsed = [processes.cluster.run(held.runs, held.options) for _ in range(rehearsals)]
    if rehearsed:
        found["rehearsed"] = law_times(held, laws, rehearsed)
    known = found["rehearsed" if rehearsed else "planned"]
    runs = [replace(run, predicted=known[run.name]) for run in held.runs]
    done = processes.cluster.run(runs, held.options, fallbacks=spares)
    found["given"] = law_times(held, laws, [done])
    world = dict(done.world) | {"factor": held.factor}
    if rehearsed:
        each = [_rehearsed(held, laws, execution) for execution in rehearsed]
        world["rehearsal"] = {"measured_s": rehearsed[-1].measured_s, "each": each}
    world["prediction"] = {kind: latencies_s(times) for kind, times in found.items()}
    world["links"] = [
        link | _probed(processes, runs, laws.wire, link) if probe_links else link for link in world["links"]
    ]
    return replace(done, rows=tuple(_named(row) for row in done.rows), world=world)


def _rehearsed(held: Held, laws: KernelLaws, done: Execution) -> dict[str, Any]:
    """What a rehearsal took and predicts alone [s], with the processor seconds of each row."""
    return {
        "measured_s": done.measured_s,
        "prediction_s": latencies_s(law_times(held, laws, [done])),
        "cpu_s": [[row.user, row.index, row.cpu_s] for row in done.rows],
    }


def _options(plan: Planned, runs: Sequence[Run]) -> ExecutionOptions:
    """Options with stretches and parts of the model by process."""
    longest_s = max(user.latency_s for user in plan.users)
    options = run_options(plan.table, longest_s, "kernel", plan.users)
    stretch, held = dict(options.stretch), dict(options.held_parts)
    for run in runs:
        for actor in actors(run.program):
            edge = str(actor).partition(PAIR)[0]
            stretch[actor] = options.stretch.get(edge, 1.0)
            if edge in options.held_parts:
                held[actor] = options.held_parts[edge]
    return replace(options, stretch=stretch, held_parts=held, lead_s=LEAD_S)


def _named(row: StageRow) -> StageRow:
    """A row whose label has the edge's own name; its actor is the process."""
    return replace(row, label=row.label.replace(f"{PAIR}{row.user}", ""))


def _probed(processes: KernelCluster, runs: Sequence[Run], wire: WireLaw, link: Mapping[str, Any]) -> dict[str, Any]:
    """A direction of a link while nothing computes: the better of two probes, beside the law."""
    device, rate = link["device"], link["rate_bit_per_s"]
    run = next(run for run in runs if run.chains[0].device == device)
    (edge,) = (actor for actor in actors(run.program) if is_edge(actor))
    source, to = (device, str(edge)) if link["direction"] == "uplink" else (str(edge), device)
    measured_s = min(processes.cluster.transfer(source, to, PROBE_BYTE) for _ in range(2))
    expected_s = wire.seconds(PROBE_BYTE, rate, burst_byte(rate))
    return {"source": source, "to": to, "byte": PROBE_BYTE, "measured_s": measured_s, "expected_s": expected_s}


def _steps(leaf: Compute) -> int:
    return leaf.amount if leaf.denoises else 1


def _probe(run: Run, leaf: Compute) -> Probe:
    """How a leaf is calibrated: a chain's steps with its sampler, others after a short rest."""
    if leaf.denoises:
        return Probe(kind=leaf.kind, rows=leaf.rows, scheduler=run.scheduler, steps=run.steps)
    return Probe(kind=leaf.kind, rows=leaf.rows, codec=leaf.codec or "png", gap_s=0.02)
