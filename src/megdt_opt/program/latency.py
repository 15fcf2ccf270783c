"""Latency terms of a stage program: one chain beside one device branch where that is its shape, else a graph of tasks.

    L = fixed + max(device_branch, uplink_bit / rate_u + edge_work / f + downlink_bit / rate_d)

Series add and parallel branches take the maximum. A program of another shape (shared resources on several branches, or
in series with a parallel pair) has `tasks`: its latency is the longest path through them, as `ProgramProblem` has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from megdt_opt.errors import NotRepresentable
from megdt_opt.program.stages import Compute, Parallel, Send, Series, Stage, is_edge, leaves


@dataclass(frozen=True, kw_only=True)
class Task:
    """One leaf of a program, with what it takes of each resource.

    Parameters
    ----------
    fixed_s : float
        Seconds that no shared resource shortens: of the device, or of the propagation.
    uplink_bit, downlink_bit : float
        Payload of a send [bit].
    edge_work_s : float
        Seconds on one whole edge server.
    waits_for : frozenset of int
        Leaves that end before this one starts, the last ones alone.
    """

    fixed_s: float = 0.0
    uplink_bit: float = 0.0
    downlink_bit: float = 0.0
    edge_work_s: float = 0.0
    waits_for: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class LatencyTerms:
    """Terms of one option of one user.

    Parameters
    ----------
    fixed_s : float
        Seconds that no shared resource shortens; of a program with `tasks` the longest path without the shared ones.
    device_branch_s : float
        Seconds of the device branch beside the edge branch; 0 = sequential, or a program with `tasks`.
    uplink_bit, downlink_bit : float
        Payloads of the edge branch, or of all tasks together [bit].
    edge_work_s : float
        Seconds of the edge branch, or of all tasks together, on one whole edge server.
    tasks : tuple of Task
        The leaves of a program that is no chain beside one device branch; empty for one that is.
    """

    fixed_s: float = 0.0
    device_branch_s: float = 0.0
    uplink_bit: float = 0.0
    downlink_bit: float = 0.0
    edge_work_s: float = 0.0
    tasks: tuple[Task, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether any shared resource is used."""
        return self.uplink_bit > 0 or self.downlink_bit > 0 or self.edge_work_s > 0


def latency_terms(
    program: Stage,
    *,
    compute_s: Callable[[Compute], float],
    send_bit: Callable[[Send], float],
    propagation_s: float = 0.0,
) -> LatencyTerms:
    """Fold a program into its latency terms.

    Parameters
    ----------
    program : Stage
        The stage program of one user.
    compute_s : callable
        Seconds of a compute stage at its actor's full speed [s].
    send_bit : callable
        Payload of a send stage [bit].
    propagation_s : float
        One-way delay added to each send [s].

    Returns
    -------
    LatencyTerms
        With the five numbers alone where the program has the form above, else with its tasks.

    Raises
    ------
    NotRepresentable
        Where a send is from device to device or to several receivers, which a user's own program has not, or a device
        would compute two stages at once; names them.
    """
    _require_one_at_a_time(program)

    def of(leaf: Compute | Send) -> LatencyTerms:
        if isinstance(leaf, Compute):
            seconds = compute_s(leaf)
            return LatencyTerms(edge_work_s=seconds) if is_edge(leaf.at) else LatencyTerms(fixed_s=seconds)
        bits = send_bit(leaf)
        if leaf.direction == "uplink":
            return LatencyTerms(fixed_s=propagation_s, uplink_bit=bits)
        if leaf.direction == "downlink":
            return LatencyTerms(fixed_s=propagation_s, downlink_bit=bits)
        raise NotRepresentable(f"stage '{leaf.label}': a {leaf.direction} link is no part of a user's own program")

    each = [of(leaf) for leaf in leaves(program)]
    unused = iter(each)

    def fold(stage: Stage) -> LatencyTerms | None:
        match stage:
            case Series(stages):
                return _add([fold(part) for part in stages])
            case Parallel(branches):
                return _widest([fold(branch) for branch in branches])
            case _:
                return next(unused)

    return fold(program) or _of_tasks(program, each)


def _require_one_at_a_time(program: Stage) -> None:
    """Refuse parallel branches in which the same device computes: it does one stage at a time."""
    match program:
        case Series(stages):
            for part in stages:
                _require_one_at_a_time(part)
        case Parallel(branches):
            at: dict[str, Compute] = {}
            for branch in branches:
                _require_one_at_a_time(branch)
                here = {leaf.at: leaf for leaf in leaves(branch) if isinstance(leaf, Compute) and not is_edge(leaf.at)}
                for device in here.keys() & at.keys():
                    both = f"stage '{here[device].label}' beside '{at[device].label}'"
                    raise NotRepresentable(f"{both}: a device computes one stage at a time")
                at |= here
        case _:
            return


def _of_tasks(program: Stage, each: list[LatencyTerms]) -> LatencyTerms:
    """The terms of a program by its leaves', each."""
    waits: list[frozenset[int]] = []

    def walk(stage: Stage, before: frozenset[int]) -> frozenset[int]:
        match stage:
            case Series(stages):
                for part in stages:
                    before = walk(part, before)
                return before
            case Parallel(branches):
                return frozenset().union(*(walk(branch, before) for branch in branches)) if branches else before
            case _:
                waits.append(before)
                return frozenset({len(waits) - 1})

    walk(program, frozenset())
    tasks = tuple(
        Task(fixed_s=t.fixed_s, uplink_bit=t.uplink_bit, downlink_bit=t.downlink_bit, edge_work_s=t.edge_work_s,
             waits_for=before)
        for t, before in zip(each, waits, strict=True)
    )  # fmt: skip
    ends: list[float] = []
    for task in tasks:
        ends.append(task.fixed_s + max((ends[n] for n in task.waits_for), default=0.0))
    total = _sum(each)
    return replace(total, fixed_s=max(ends, default=0.0), tasks=tasks)


def _sum(parts: list[LatencyTerms]) -> LatencyTerms:
    return LatencyTerms(
        fixed_s=sum(t.fixed_s for t in parts),
        device_branch_s=sum(t.device_branch_s for t in parts),
        uplink_bit=sum(t.uplink_bit for t in parts),
        downlink_bit=sum(t.downlink_bit for t in parts),
        edge_work_s=sum(t.edge_work_s for t in parts),
    )


def _add(parts: list[LatencyTerms | None]) -> LatencyTerms | None:
    """Of parts one after another; None where they are no chain beside one branch."""
    found = [terms for terms in parts if terms is not None]
    forked = [terms for terms in found if terms.device_branch_s > 0]
    mixed = bool(forked) and any(t.shared for t in found if t.device_branch_s == 0)
    return None if len(found) < len(parts) or len(forked) > 1 or mixed else _sum(found)


def _widest(parts: list[LatencyTerms | None]) -> LatencyTerms | None:
    """Of a branch f + max(d, e) beside device-only branches of c seconds: f + max(d, c - f, e); None where two branches
    share."""
    found = [terms for terms in parts if terms is not None]
    shared = [terms for terms in found if terms.shared]
    device_s = max((t.fixed_s for t in found if not t.shared), default=0.0)
    if len(found) < len(parts) or len(shared) > 1:
        return None
    if not shared:
        return LatencyTerms(fixed_s=device_s)
    (edge,) = shared
    return LatencyTerms(
        fixed_s=edge.fixed_s,
        device_branch_s=max(edge.device_branch_s, device_s - edge.fixed_s, 0.0),
        uplink_bit=edge.uplink_bit,
        downlink_bit=edge.downlink_bit,
        edge_work_s=edge.edge_work_s,
    )
