"""Executing a plan: the chosen split, by real processes, with the real model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.execution.job import ExecutionOptions, Mode
from megdt_opt.execution.record import Execution, Fault
from megdt_opt.models.memory import PRECISION_BYTE, require_memory_of_all
from megdt_opt.models.planned import PlannedModel
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.user_plan import UserPlan
from megdt_opt.program.costs import part_of
from megdt_opt.program.stages import Compute, leaves
from megdt_opt.scenario.equipment import Device
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.runs import batch_schedule, fallback_runs, user_runs

if TYPE_CHECKING:
    from megdt_opt.execution.cluster import Cluster
    from megdt_opt.execution.world import World


START_TIMEOUT_S = 120.0
"""Time that processes have to come up and to prepare a run, where nothing else is asked for [s]."""


@contextmanager
def cluster_of(
    table: OptionTable,
    running: Cluster | None = None,
    *,
    start_timeout_s: float = START_TIMEOUT_S,
    world: World | None = None,
) -> Iterator[Cluster]:
    """Processes for every edge server and every user's device of a scenario, each with the planned model; they live
    across runs.

    Parameters
    ----------
    table : OptionTable
    running : Cluster, optional
        Processes that run already, to use in place of new ones; they go on running afterwards.
    start_timeout_s : float
        Time that processes have to come up and to prepare a run [s].
    world : World, optional
        Where they live; default beside this process.

    Raises
    ------
    MegdtError
        Where the packages of the extra `diffusion` are missing, or the weights of all processes together need more
        memory than there is.
    """
    if running is not None:
        yield running
        return
    try:
        from megdt_opt.execution.cluster import Cluster
    except ImportError as error:
        raise MegdtError(
            f"execution needs the package {error.name}: install it with pip install 'megdt-opt[diffusion]'"
        ) from error
    models = planned_models(table)
    if world is None:
        require_memory_of_all({name: (model.precision, model.weight_byte) for name, model in models.items()})
    with Cluster(models, models, start_timeout_s=start_timeout_s, world=world) as cluster:
        yield cluster


def world_of(hosts: str | Path) -> World:
    """The world of the actors of a hosts file; raises InvalidInput where a file is missing or makes no sense."""
    from megdt_opt.execution.hosts_world import HostsWorld

    return HostsWorld(hosts)


def planned_models(table: OptionTable) -> dict[str, PlannedModel]:
    """The model of each edge server and device by their names: a pipeline computes in the precision of its profile."""
    machines, spec = table.machines, table.spec
    timed = {str(name): profile for name, profile in machines.edges.items()}
    timed |= {user.name: profile for user, profile in zip(table.scenario.users, machines.devices, strict=True)}
    devices = {user.name: user.device for user in table.scenario.users}
    adapters = {
        user.name: (user.adapter, read.sha256)
        for user, read in zip(table.scenario.users, table.adapters, strict=True)
        if read is not None
    }
    found = {}
    for name, profile in timed.items():
        precision = profile.provenance.precision if spec.source else "fp32"
        if precision not in PRECISION_BYTE:
            expected = f"one of {tuple(PRECISION_BYTE)}, in which models are executed"
            remedy = "Plan with a profile that `megdt-opt calibrate` has measured."
            raise InvalidInput(f"precision of {name}'s profile", precision, expected, remedy)
        own, (adapter, sha256) = devices.get(name, Device()), adapters.get(name, (None, None))
        found[name] = PlannedModel(
            spec=spec, precision=precision, decoder=own.decoder, refiner=own.refiner,
            adapter=adapter, adapter_sha256=sha256,
        )  # fmt: skip
    return found


def run_options(
    table: OptionTable, longest_s: float, mode: Mode = "paced", users: Sequence[UserPlan] = ()
) -> ExecutionOptions:
    """Options of a run: declared stretches, a deadline of ten times what the slowest user should take, and, where parts
    of the model are placed, those that each edge holds for these users."""
    machines = table.machines
    stretch: dict[str, float] = {name: profile.stretch for name, profile in machines.edges.items()}
    stretch |= {u.name: p.stretch for u, p in zip(table.scenario.users, machines.devices, strict=True)}
    computed = [leaf for user in users for leaf in leaves(user.program) if isinstance(leaf, Compute)]
    held = () if table.parts is None or not users else machines.edges
    parts = {edge: tuple(sorted({part_of(leaf) for leaf in computed if leaf.at == edge})) for edge in held}
    return ExecutionOptions(mode=mode, stretch=stretch, held_parts=parts, timeout_s=30.0 + 10.0 * longest_s)


def execute(
    plan: Plan | str | Path,
    *,
    mode: Mode = "paced",
    cluster: Cluster | None = None,
    all_or_nothing: bool = False,
    start_timeout_s: float = START_TIMEOUT_S,
    hosts: str | Path | None = None,
) -> Execution:
    """Execute a plan and measure every stage.

    Parameters
    ----------
    plan : Plan, str or Path
        What to execute, or the path of its file. Its model is found by the plan: the bundled twin, a registered one, or
        the pipeline's folder or cached hub id that was calibrated.
    mode : str
        "paced": each compute slot lasts its calibrated time, which is also how a slower device is emulated;
        "raw": as fast as the machine goes (all stretches must be 1).
    cluster : Cluster, optional
        Processes that run already; default new ones, which end with the call.
    all_or_nothing : bool
        Whether the first failure ends the run for all. By default a process that is lost, or a stage that fails,
        concerns those alone whose stages depend on it: such a user's device makes the whole picture by itself, if it
        is there and can, or the user has none; `Execution.faults` names them with the cause.
    start_timeout_s : float
        Time that new processes have to come up and to prepare the run [s].
    hosts : str or Path, optional
        Hosts file that says where each edge server and device serves (`megdt-opt serve`), with the coordinator's key
        beside it; default processes on this machine.

    Returns
    -------
    Execution
        Predicted and measured, stage by stage; `compare()` joins them.

    Raises
    ------
    PeerLost, ExecutionTimeout, MalformedMessage, ExecutionError
        If the run failed before its start, for everybody, or for one with `all_or_nothing`; nothing is left running.
    InvalidInput
        Where `plan` is neither, or the file is none.

    Examples
    --------
    >>> from megdt_opt import Scenario, execute, plan
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... steps: 2
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 2}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> run = execute(plan(cell))
    >>> run.mode, {row.user for row in run.rows}
    ('paced', {'phone'})
    """
    made = plan if isinstance(plan, Plan) else Plan.load(plan)
    longest_s = max(user.latency_s for user in made.users)
    runs = user_runs(made.table, made.users, made.groups)  # what cannot be asked for is refused before a process starts
    spares = None if all_or_nothing else fallback_runs(made.table)
    options = run_options(made.table, longest_s, mode, made.users)
    alone_s = max((t.start_s + t.duration_s for run in (spares or {}).values() for t in run.predicted), default=0.0)
    world = None if hosts is None else world_of(hosts)
    with cluster_of(made.table, cluster, start_timeout_s=start_timeout_s, world=world) as processes:
        done = processes.run(
            runs,
            replace(options, timeout_s=options.timeout_s + 2 * alone_s),  # who is cut off last is in time alone
            fallbacks=spares,
            batches=batch_schedule(made.table, made.users),
        )
    return replace(done, faults=tuple(_with_reason(made.table, fault) for fault in done.faults))


def _with_reason(table: OptionTable, fault: Fault) -> Fault:
    """Why a user's device did not go on alone, where it could not have."""
    names = [user.name for user in table.scenario.users]
    stages, lacks = table.alone(names.index(fault.user))
    if stages is not None:
        return fault
    return replace(fault, cause=f"{fault.cause}; the device cannot generate alone ({', '.join(lacks)})")
