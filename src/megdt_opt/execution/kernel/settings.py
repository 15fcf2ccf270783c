"""What a kernel's world is set to for given runs: who lives there, shares of cores, rates of links.

An edge's share belongs to a user, so each pair of an edge and a user has a process of its own. Chains that an edge
serves in turns have it whole one after another, so they share one process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.kernel.quotas import LEAST_SHARE
from megdt_opt.program.stages import Compute, EdgeServer, Parallel, Send, Series, Stage, actors, is_edge, leaves

CORE_SHARE = 0.8
"""Most of a core that quotas may add up to [1]; the coordinator, the kernel and others need the rest."""

PAIR = " for "
"""Between the edge and the user in the name of a pair's process."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Shares and rates of a world.

    Parameters
    ----------
    share : mapping of str to float
        Of each actor, in parts of one core [1].
    rate_bit_per_s : mapping of (str, str) to float
        Of "uplink" and "downlink" of each device that sends or receives [bit/s on the wire].
    """

    share: Mapping[str, float]
    rate_bit_per_s: Mapping[tuple[str, str], float]


def edge_actor(edge: str, user: str, turn: int | None) -> EdgeServer:
    """Name of the process that serves a user at an edge."""
    return EdgeServer(edge if turn is not None else f"{edge}{PAIR}{user}")


def paired(run: Run) -> Run:
    """The same run with the edge's part in the process of this pair.

    Raises
    ------
    InvalidInput
        If it is not of one user, or runs at several edges.
    """
    if len(run.chains) != 1:
        raise InvalidInput(
            f"group {run.name}", len(run.chains), "programs of one user each in kernel mode",
            "Plan without shared steps, or execute in paced mode: a shared prefix has no quota of its own.",
        )  # fmt: skip
    user = run.chains[0].name
    edges = sorted(str(actor) for actor in actors(run.program) if is_edge(actor))
    if len(edges) > 1:
        raise InvalidInput(
            f"program of user {user}", f"at {' and '.join(edges)}", "one edge for each user in kernel mode",
            "Execute it in paced mode: a kernel's world has one link between each device and the edges.",
        )  # fmt: skip
    return replace(run, program=_renamed(run.program, user, run.turn))


def _renamed(stage: Stage, user: str, turn: int | None) -> Stage:
    def named(actor: str) -> str:
        return edge_actor(actor, user, turn) if is_edge(actor) else actor

    match stage:
        case Series(stages):
            return Series(tuple(_renamed(s, user, turn) for s in stages))
        case Parallel(branches):
            return Parallel(tuple(_renamed(s, user, turn) for s in branches))
        case Compute():
            return replace(stage, at=named(stage.at))
        case Send():
            return replace(stage, source=named(stage.source), to=tuple(named(actor) for actor in stage.to))


def slowed(
    runs: Sequence[Run], options: ExecutionOptions, least: float = 1.0
) -> tuple[list[Run], ExecutionOptions, float]:
    """Runs and options with all times stretched by one factor, and the factor: the least at which the cores suffice,
    but no less than `least`.

    Quotas and rates are divided by it, the delay is multiplied, so every stage takes the same part of the whole.
    """
    total = _total(_shares(runs, options.stretch))
    factor = max(least, *(part / CORE_SHARE for part in total))
    if factor == 1.0:
        return list(runs), options, 1.0
    stretch = {name: factor * options.stretch.get(name, 1.0) for name in _shares(runs, options.stretch)}
    changed = [
        replace(
            run,
            pace=tuple(
                pace / factor if isinstance(leaf, Send) else pace
                for leaf, pace in zip(leaves(run.program), run.pace, strict=True)
            ),
            propagation_s=run.propagation_s * factor,
        )
        for run in runs
    ]
    return changed, replace(options, stretch=stretch, timeout_s=options.timeout_s * factor), factor


def settings_of(runs: Sequence[Run], options: ExecutionOptions) -> Settings:
    """Shares and rates of runs.

    Raises
    ------
    InvalidInput
        If a share or a rate changes within a run, a share is too small for a quota, or the cores do not suffice; names
        the actor.
    """
    share = _shares(runs, options.stretch)
    for actor, part in share.items():
        if part < LEAST_SHARE:
            expected = f"at least {LEAST_SHARE:g} of a core, which a quota can hold"
            raise InvalidInput(f"share of {actor}", part, expected, "Lower its stretch, or execute in paced mode.")
    for what, part in zip(("edges", "devices"), _total(share), strict=True):
        if part > CORE_SHARE + 1e-9:
            expected = f"at most {CORE_SHARE:g} of a core in all"
            raise InvalidInput(f"shares of the {what}", part, expected, "Stretch the runs.")
    rate: dict[tuple[str, str], float] = {}
    for run in runs:
        for leaf, pace in zip(leaves(run.program), run.pace, strict=True):
            if isinstance(leaf, Send):
                _one_rate(rate, run, leaf, pace)
    return Settings(share=share, rate_bit_per_s=rate)


def _one_rate(rate: dict[tuple[str, str], float], run: Run, leaf: Send, pace: float) -> None:
    ends = {leaf.source, *leaf.to}
    devices = [actor for actor in ends if not is_edge(actor)]
    if len(ends) != 2 or len(devices) != 1:
        raise InvalidInput(
            f"'{leaf.label}' of user {run.name}", " to ".join(sorted(ends)), "a send between a device and an edge",
            "Execute it in paced mode: a kernel's world has one link between each device and the edges.",
        )  # fmt: skip
    key = devices[0], "downlink" if is_edge(leaf.source) else "uplink"
    if abs(rate.setdefault(key, pace) / pace - 1) > 1e-9:
        expected = f"one rate of the {key[1]} for the whole run, {rate[key]:.6g} bit/s"
        raise InvalidInput(f"rate of user {run.name}", pace, expected, "Execute it in paced mode.")


def _shares(runs: Sequence[Run], stretch: Mapping[str, float]) -> dict[str, float]:
    """What each actor needs of a core: an edge what is reserved, a device all, each by its stretch."""
    share: dict[str, float] = {}
    for run in runs:
        for actor in {*actors(run.program), *(chain.device for chain in run.chains)}:
            slow = stretch.get(actor, 1.0)
            if not is_edge(actor):
                share[actor] = 1.0 / slow
                continue
            found = {
                pace / slow
                for leaf, pace in zip(leaves(run.program), run.pace, strict=True)
                if isinstance(leaf, Compute) and leaf.at == actor
            } or {LEAST_SHARE}
            if run.turn is not None:
                found = {1.0 / slow}
            if len(found) > 1:
                expected = "one share of an edge for the whole run"
                raise InvalidInput(
                    f"edge_share of user {run.name}", sorted(found), expected, "Execute it in paced mode."
                )
            share[actor] = found.pop()
    return share


def _total(share: Mapping[str, float]) -> tuple[float, float]:
    edges = sum(part for actor, part in share.items() if is_edge(actor))
    return edges, sum(share.values()) - edges
