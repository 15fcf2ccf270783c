"""Latency terms of a stage program: the form that the core problem understands.

    L = fixed + max(device_branch, uplink_bit / rate_u + edge_work / f + downlink_bit / rate_d)

Series add and parallel branches take the maximum. A program whose shape does not fit (shared resources
on both branches, or in series with a parallel pair) raises `NotRepresentable` and names the stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from megdt_opt.errors import NotRepresentable
from megdt_opt.program.stages import Compute, Parallel, Send, Series, Stage, is_edge, leaves


@dataclass(frozen=True, kw_only=True)
class LatencyTerms:
    """Terms of one option of one user.

    Parameters
    ----------
    fixed_s : float
        Seconds that no shared resource shortens.
    device_branch_s : float
        Seconds of the device branch beside the edge branch; 0 = sequential.
    uplink_bit, downlink_bit : float
        Payloads of the edge branch [bit].
    edge_work_s : float
        Seconds of the edge branch on one whole edge server.
    """

    fixed_s: float = 0.0
    device_branch_s: float = 0.0
    uplink_bit: float = 0.0
    downlink_bit: float = 0.0
    edge_work_s: float = 0.0

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

    Raises
    ------
    NotRepresentable
        Where the program does not have the form above; the message names the stage.
    """

    def fold(stage: Stage) -> LatencyTerms:
        match stage:
            case Compute():
                seconds = compute_s(stage)
                return LatencyTerms(edge_work_s=seconds) if is_edge(stage.at) else LatencyTerms(fixed_s=seconds)
            case Send():
                bits = send_bit(stage)
                if stage.direction == "uplink":
                    return LatencyTerms(fixed_s=propagation_s, uplink_bit=bits)
                if stage.direction == "downlink":
                    return LatencyTerms(fixed_s=propagation_s, downlink_bit=bits)
                raise NotRepresentable(
                    f"stage '{stage.label}': a {stage.direction} link is not part of the core problem"
                )
            case Series(stages):
                return _add([(s, fold(s)) for s in stages])
            case Parallel(branches):
                return _widest([(b, fold(b)) for b in branches])

    return fold(program)


def _add(parts: list[tuple[Stage, LatencyTerms]]) -> LatencyTerms:
    forked = [stage for stage, terms in parts if terms.device_branch_s > 0]
    if len(forked) > 1 or (forked and any(t.shared for _, t in parts if t.device_branch_s == 0)):
        raise NotRepresentable(f"stage '{_name(forked[-1])}': a parallel pair in series with other shared resources")
    return LatencyTerms(
        fixed_s=sum(t.fixed_s for _, t in parts),
        device_branch_s=sum(t.device_branch_s for _, t in parts),
        uplink_bit=sum(t.uplink_bit for _, t in parts),
        downlink_bit=sum(t.downlink_bit for _, t in parts),
        edge_work_s=sum(t.edge_work_s for _, t in parts),
    )


def _widest(parts: list[tuple[Stage, LatencyTerms]]) -> LatencyTerms:
    """Of a branch f + max(d, e) beside device-only branches of c seconds: f + max(d, c - f, e)."""
    shared = [(stage, terms) for stage, terms in parts if terms.shared]
    device_s = max((t.fixed_s for _, t in parts if not t.shared), default=0.0)
    if not shared:
        return LatencyTerms(fixed_s=device_s)
    if len(shared) > 1:
        raise NotRepresentable(f"stage '{_name(shared[1][0])}': shared resources on two parallel branches")
    edge = shared[0][1]
    return LatencyTerms(
        fixed_s=edge.fixed_s,
        device_branch_s=max(edge.device_branch_s, device_s - edge.fixed_s, 0.0),
        uplink_bit=edge.uplink_bit,
        downlink_bit=edge.downlink_bit,
        edge_work_s=edge.edge_work_s,
    )


def _name(stage: Stage) -> str:
    return next(leaves(stage)).label
