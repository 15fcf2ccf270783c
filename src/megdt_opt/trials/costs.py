"""What an execution cost, from its stamps: busy seconds, joules, messages, signalling, waiting for others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from megdt_opt.execution.kernel.settings import edge_actor
from megdt_opt.execution.record import Execution, StageRow
from megdt_opt.planning.plan import Plan


@dataclass(frozen=True, kw_only=True)
class MeasuredCosts:
    """What one user of a run cost.

    Parameters
    ----------
    user : str
    edge_s, device_s : float
        Busy seconds of real computing, times the stretch that the scenario declares of the machine [s].
    edge_compute_j, device_compute_j : float or None
        Declared power times these seconds [J]; None where the power is not declared.
    device_radio_j : float or None
        Declared transmit power times the measured seconds of the device's sends [J].
    messages, signals : int
        Payloads, each copy counted, and signals [1].
    signalling_byte : int
        Bytes between the actors that are no payload [byte].
    waiting_s : float
        From when stages were ready to when they started, with the waiting for the processor [s].
    """

    user: str
    edge_s: float
    device_s: float
    edge_compute_j: float | None
    device_compute_j: float | None
    device_radio_j: float | None
    messages: int
    signals: int
    signalling_byte: int
    waiting_s: float


def measured_costs(plan: Plan, execution: Execution) -> tuple[MeasuredCosts, ...]:
    """Costs of each user, in the order of the plan; stages that users share count among none of them."""
    # under a quota a stage lasts as long as the emulated machine takes: its processor seconds are what is stretched
    busy_s = _processor_s if execution.mode == "kernel" else _computing_s
    return tuple(
        _of(plan, k, [r for r in execution.rows if r.user == u.name], busy_s) for k, u in enumerate(plan.users)
    )


def _of(plan: Plan, k: int, rows: list[StageRow], busy_s: Callable[[Iterable[StageRow]], float]) -> MeasuredCosts:
    scenario, machines = plan.scenario, plan.table.machines
    device, name = scenario.users[k].device, plan.users[k].name
    at_edge = {
        site: machines.edges[site.name].stretch
        * busy_s(row for row in rows if row.actor in (site.name, edge_actor(site.name, name, None)))
        for site in plan.table.sites
    }
    powers_w = [site.edge.compute_power_w for site, spent_s in at_edge.items() if spent_s or len(at_edge) == 1]
    edge_j = [site.edge.compute_power_w * s for site, s in at_edge.items() if site.edge.compute_power_w is not None]
    device_s = machines.devices[k].stretch * busy_s(row for row in rows if row.actor == name)
    sends = [row for row in rows if row.kind.startswith("send ")]
    airtime_s = sum(row.end_s - row.start_s - scenario.channel.propagation_s for row in sends if row.actor == name)
    return MeasuredCosts(
        user=name,
        edge_s=sum(at_edge.values()),
        device_s=device_s,
        edge_compute_j=None if None in powers_w else sum(edge_j, start=0.0),
        device_compute_j=None if device.compute_power_w is None else device.compute_power_w * device_s,
        device_radio_j=None if device.compute_power_w is None else device.transmit_power_w * airtime_s,
        messages=sum(row.copies for row in sends),
        signals=sum(row.signals for row in rows),
        signalling_byte=sum(row.signalling_byte for row in rows),
        waiting_s=sum(row.waiting_s for row in rows),
    )


def _computing_s(rows: Iterable[StageRow]) -> float:
    return sum(row.busy_s for row in rows)


def _processor_s(rows: Iterable[StageRow]) -> float:
    return sum(row.cpu_s for row in rows)
