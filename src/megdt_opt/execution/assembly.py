"""The record of a run: stamps beside predictions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from megdt_opt.execution.graph import graph
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.plain import array_from_plain
from megdt_opt.execution.record import Execution, StageRow
from megdt_opt.execution.supervision import Supervision
from megdt_opt.machine import cores, environment
from megdt_opt.program.stages import Compute


def execution(
    results: Mapping[str, Mapping[str, Any]],
    supervision: Supervision,
    runs: Sequence[Run],
    spares: Mapping[str, Run],
    options: ExecutionOptions,
    facts: Mapping[str, Mapping[str, Any]],
    world: Mapping[str, Any],
) -> Execution:
    """The record of a run that has ended.

    Parameters
    ----------
    results : mapping
        What each actor gave at the end, as `Actor.results`.
    supervision : Supervision
        What happened.
    runs, spares
        What was executed, and what users would have run alone.
    options : ExecutionOptions
        How.
    facts : mapping
        What each actor said of its process.
    world : mapping
        What was set and counted outside the executor, as `World.evidence`.
    """
    measured = supervision.rows
    rows = [row for run in runs for row in _rows(run, measured)]
    for user, fault in supervision.faults.items():
        if fault.fell_back:
            rows += _rows(spares[user], measured, at_s=fault.at_s, fallback=True)
    found: dict[str, dict[str, Any]] = {"images": {}, "latents": {}}
    for user, name in supervision.served.items():
        for what, arrays in found.items():
            for result in results.values():
                if user in result[what].get(name, {}):
                    arrays[user] = array_from_plain(result[what][name][user])
    first = next(iter(facts.values()))
    return Execution(
        rows=tuple(rows),
        mode=options.mode,
        stretch=dict(options.stretch),
        environment={
            **environment(),
            "cores": cores(),
            "torch_threads": first["threads"],
            "processes": len(facts),
            "slack_s": options.slack_s,
            "load_s": {actor: float(fact["load_s"]) for actor, fact in facts.items()},
            "threads": {actor: int(fact["threads"]) for actor, fact in facts.items()},
            **_clocks(facts),
        },
        cpu_s=supervision.cpu_s,
        images=found["images"],
        latents=found["latents"],
        faults=tuple(supervision.faults.values()),
        programs={actor: dict(fact["programs"]) for actor, fact in facts.items()},
        world=dict(world),
    )


def _clocks(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How far each other host's clock is off the coordinator's, to which all stamps are brought, from and to [s]."""
    found = {actor: fact["clock_offset_s"] for actor, fact in facts.items() if "clock_offset_s" in fact}
    return {"clock_offset_s": {actor: [o.low_s, o.high_s] for actor, o in found.items()}} if found else {}


def _rows(
    run: Run, measured: Mapping[tuple[str, int], Mapping[str, Any]], *, at_s: float = 0.0, fallback: bool = False
) -> Iterator[StageRow]:
    """Rows of the stages that have ended, predictions shifted by `at_s` [s]."""
    for node in graph(run.program):
        if (run.name, node.index) not in measured:
            continue
        stamps = {k: v for k, v in measured[run.name, node.index].items() if k not in ("user", "index")}
        leaf = node.leaf
        yield StageRow(
            user=run.chain[node.index],
            index=node.index,
            shared=run.chain[node.index] in run.shared,
            fallback=fallback,
            label=node.label,
            actor=node.actor,
            kind=str(leaf.kind) if isinstance(leaf, Compute) else f"send {leaf.payload.value}",
            predicted_start_s=at_s + run.predicted[node.index].start_s,
            predicted_duration_s=run.predicted[node.index].duration_s,
            **stamps,
        )
