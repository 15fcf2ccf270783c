"""What a reader must know before trusting a figure of the report."""

from __future__ import annotations

from megdt_opt.execution.record import Execution
from megdt_opt.planning.plan import Plan
from megdt_opt.report.numbers import TIMES, words
from megdt_opt.scenario.disciplines import BATCHED, IN_TURNS, RESERVED
from megdt_opt.timing.profile import TimingProfile

_MODES = {
    "paced": (
        "Paced mode: every compute slot lasts its calibrated time and every link is held to its allocated rate. "
        "The run shows overheads, waiting, contention and overruns; it cannot show an error of the calibration "
        "itself, which raw runs do."
    ),
    "raw": "Raw mode: computing runs as fast as the machine goes, so errors of the calibration are part of the error.",
    "kernel": (
        "Kernel mode: nothing is paced here; the kernel holds each link to its rate and each process to its share of a "
        "core, and latencies are predicted from processor seconds of a rehearsal just before."
    ),
}
_LINKS = {
    "kernel": (
        "Links are shaped by the kernel between network namespaces of one machine, headers and TLS counted; the delay "
        "is kept by the receiver in user space. Fading, retransmissions and a real radio's scheduling are not there."
    ),
}
_PACED_LINKS = (
    "Links are paced on one machine to the allocated rates; fading, retransmissions and the scheduling of "
    "a real radio are not there."
)


_DISCIPLINES = {
    RESERVED: "static shares",
    IN_TURNS: "whole chains one after another, equal parts of the uplink",
    BATCHED: "steps in batches by the fitted law, equal parts of the uplink",
}


def caveats(plan: Plan, execution: Execution | None = None) -> tuple[str, ...]:
    """Sentences on stretches, pacing, energy, weights and the reach of the bound."""
    users = plan.scenario.users
    machines = plan.table.machines
    actors = dict(machines.edges) | {u.name: p for u, p in zip(users, machines.devices, strict=True)}
    found = [
        f"The lower bound holds for the model: these options, {_DISCIPLINES[plan.scenario.discipline]}, and the "
        "calibrated stage times. It says nothing about other ways to share the edge."
    ]
    stretched = [f"{name} {TIMES} {p.stretch:.4g}" for name, p in actors.items() if p.stretch != 1.0]
    if stretched:
        found.append(
            f"Slower actors are emulated by a declared stretch of their compute times: {words(stretched)}. "
            "They are this scenario's assumptions, not measurements of such devices."
        )
    if execution is not None:
        found.append(_MODES[execution.mode])
        found.append(_LINKS.get(execution.mode, _PACED_LINKS))
        factor = float(execution.world.get("factor", 1.0))
        if factor > 1.0:
            found.append(f"All times are stretched by {factor:.4g}, as this machine's cores would not have sufficed.")
    if any(u.device.compute_power_w is not None for u in users):
        found.append(
            "Device energy is declared power times predicted seconds of computing, and limits count transmit power "
            "times airtime on top; no energy was metered."
        )
    held = [*(u.device.memory_byte for u in users), *(site.edge.memory_byte for site in plan.table.sites)]
    if any(memory is not None for memory in held):
        found.append("Memory counts the weights that an actor holds; activations are not counted.")
    found += _sources(actors)
    return tuple(found)


def _sources(actors: dict[str, TimingProfile]) -> list[str]:
    found = []
    random = [name for name, p in actors.items() if p.provenance.weights == "random"]
    if random:
        found.append(
            f"Timed with random weights: {words(random)}. Latency does not depend on the weights; sizes of compressed "
            "pictures do."
        )
    single = [name for name, p in actors.items() if not p.has_intervals]
    if single:
        found.append(
            f"Timings of a single figure for each stage: {words(single)}. They have no variance and count as exact "
            "where survival of the calibration is judged."
        )
    return found
