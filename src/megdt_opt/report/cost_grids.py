"""Tables of what a plan costs besides latency, predicted and measured."""

from __future__ import annotations

from collections.abc import Sequence

from megdt_opt.execution.record import Execution
from megdt_opt.planning.costs import held_words
from megdt_opt.planning.plan import Plan
from megdt_opt.report.grids import Grid, from_columns
from megdt_opt.report.lanes import waited_for
from megdt_opt.report.numbers import column, number, words
from megdt_opt.trials.costs import measured_costs

_BYTE_PER_MB = 1e6

_PREDICTED = (
    ("edge time [s]", "edge_s", 1.0),
    ("edge energy [J]", "edge_compute_j", 1.0),
    ("edge memory [MB]", "edge_byte", _BYTE_PER_MB),
    ("device time [s]", "device_s", 1.0),
    ("device energy [J]", "device_compute_j", 1.0),
    ("radio energy [J]", "device_radio_j", 1.0),
    ("device memory [MB]", "device_byte", _BYTE_PER_MB),
    ("device loading [s]", "device_load_s", 1.0),
    ("messages", "messages", 1.0),
    ("signals", "signals", 1.0),
    ("signalling [byte]", "signalling_byte", 1.0),
)
"""Header, name and unit of each predicted cost."""

_MEASURED = (
    *(entry for entry in _PREDICTED if not entry[1].endswith(("_byte", "_load_s"))),
    ("signalling [byte]", "signalling_byte", 1.0),
    ("waiting [s]", "waiting_s", 1.0),
)
"""The same of what a run's stamps tell."""


def cost_grid(plan: Plan) -> Grid:
    """One row per user, and one of all: what the plan costs by its stage programs."""
    users = [user.costs for user in plan.users]
    resident = plan.edge_resident
    found = _columns(_PREDICTED, users)
    if len(users) > 1:
        # weights that users need together are held once
        held = sum(byte for byte, _ in resident.values())
        found["edge memory [MB]"] = column([*(c.edge_byte / _BYTE_PER_MB for c in users), held / _BYTE_PER_MB])
    took = [f"{name} in {number(load_s, 3)} s" for name, (_, load_s) in resident.items() if load_s is not None]
    loading = f" They are loaded at {words(took)}." if took else ""
    return from_columns(
        "Costs, predicted",
        {"user": _names(plan), **found},
        text=("user",),
        notes=(
            "Edge time: seconds of one whole edge server. Energy: declared power times predicted seconds; none was "
            f"metered. Memory: weights held; those that users share are held once at the edge.{loading} Signalling: "
            f"bytes between the actors that are no payload, as they are encoded. {_waiting(plan)}",
            *_parts(plan),
            *_common_steps(plan),
        ),
    )


def _waiting(plan: Plan) -> str:
    """For whom users wait: nobody where shares are reserved."""
    served = {user.name: user.turn or user.batched for user in plan.users}
    waiting = {name: one.waiting_s for name, one in served.items() if one is not None}
    if not waiting:
        return "Waiting for others: none, as shares are reserved."
    longest = max(waiting, key=lambda name: waiting[name])
    total_s, most_s = number(sum(waiting.values()), 3), number(waiting[longest], 3)
    what = "turns" if waited_for(plan) == "turn" else "batches"
    return f"Waiting for {what}: {total_s} s in all, at most {most_s} s ({longest})."


def _parts(plan: Plan) -> tuple[str, ...]:
    """Which edge holds which parts of the model, where they do not hold all."""
    words = held_words(plan.table, plan.edge_parts)
    return (words,) if words else ()


def measured_cost_grid(plan: Plan, execution: Execution) -> Grid:
    """The same of a run, from its stamps."""
    loading = execution.environment.get("load_s", {})
    each = f" Loading the whole model took {number(max(loading.values()), 3)} s at most." if loading else ""
    return from_columns(
        "Costs, measured",
        {"user": _names(plan), **_columns(_MEASURED, measured_costs(plan, execution))},
        text=("user",),
        notes=(
            "Time: busy seconds of real computing, times the declared stretch. Energy: declared power times these "
            "seconds, and declared transmit power times the measured seconds of sends; none was metered. Waiting: "
            f"from when stages were ready to when they started.{each}",
            *_common_steps(plan),
        ),
    )


def _common_steps(plan: Plan) -> tuple[str, ...]:
    return ("Common steps of groups and their multicasts count among no user here.",) if plan.groups else ()


def _names(plan: Plan) -> list[str]:
    names = [user.name for user in plan.users]
    return [*names, "all"] if len(names) > 1 else names


def _columns(entries: Sequence[tuple[str, str, float]], users: Sequence[object]) -> dict[str, list[str]]:
    """Columns with their totals; those of which nothing is known are left out."""
    found: dict[str, list[str]] = {}
    for header, name, unit in entries:
        values = [getattr(user, name) for user in users]
        if all(value is None for value in values):
            continue
        total = None if None in values else sum(values)
        shown = [None if v is None else v / unit for v in (*values, *((total,) if len(values) > 1 else ()))]
        counts = all(v is None or isinstance(v, int) for v in values) and unit == 1
        found[header] = [f"{v:.0f}" for v in shown if v is not None] if counts else column(shown)
    return found
