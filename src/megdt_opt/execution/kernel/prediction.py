"""What runs should take in a kernel's world: the closed laws, composed along each program over the quota's phases.

A small event simulation: leaves in the order in which they become ready, one compute at a time in each process, one
message at a time in each direction of a link. The phase of each quota is unknown, so it is drawn; what is given is the
mean over the draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.execution.graph import Node, graph
from megdt_opt.execution.job import Run
from megdt_opt.execution.kernel.quotas import PERIOD_S
from megdt_opt.execution.kernel.settings import Settings
from megdt_opt.program.schedule import StageTime
from megdt_opt.program.stages import Compute, Send, is_edge
from megdt_opt.timing.shaped import QuotaBucket, WireLaw, burst_byte

DRAWS = 64
"""Phases of each quota [1]."""

HEADER_BYTE = 29
"""What the executor puts before a payload [byte]: its size and when it is due."""

PLAIN = WireLaw(fixed_byte=80, per_record_byte=9, constant_s=0.0005)
"""gRPC without TLS: 5 byte around a message, 9 around a frame, and a segment of 75 that ends the stream."""

SECURE = WireLaw(fixed_byte=102, per_record_byte=31, constant_s=0.0005)
"""gRPC over mutual TLS 1.3, one record a frame: 22 byte more around each."""


@dataclass(frozen=True, kw_only=True)
class MessageWork:
    """Processor seconds of a message beside its stages.

    Parameters
    ----------
    send_s, receive_s : float
        Packing and sending, receiving and unpacking [s].
    receive_s_per_byte : float
        What the receiver takes for each byte [s].
    """

    send_s: float = 0.0013
    receive_s: float = 0.0012
    receive_s_per_byte: float = 3e-8


def predicted(
    runs: Sequence[Run],
    settings: Settings,
    work_s: Callable[[Run, Node], float],
    payload_byte: Callable[[Run, Node], float],
    *,
    wire: WireLaw = SECURE,
    message: MessageWork | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, tuple[StageTime, ...]]:
    """Mean start and duration of every leaf of every run, by the run's name.

    Parameters
    ----------
    runs : sequence of Run
        Of one user each, with an edge process of their own or with turns.
    settings : Settings
        Shares and rates as they are set.
    work_s : callable
        Processor seconds of a compute leaf [s].
    payload_byte : callable
        Payload of a send leaf [byte].
    wire, message
        The law of the link, and what messages cost the processors.
    draws, seed
        Of the quotas' phases.
    """
    rng = np.random.default_rng(seed)
    buckets = {
        actor: QuotaBucket(share, PERIOD_S, rng.uniform(-PERIOD_S, 0, draws)) for actor, share in settings.share.items()
    }
    world = _World(settings, buckets, wire, message or MessageWork(), draws)
    todo = [_Progress(run, draws) for run in sorted(runs, key=lambda run: run.turn or 0)]
    for progress in todo:
        while progress.left:
            world.step(progress, progress.next(), work_s, payload_byte)
        world.served(progress)
    return {progress.run.name: progress.times() for progress in todo}


class _Progress:
    """A run under way: when each of its leaves has begun and ended (draws,)."""

    def __init__(self, run: Run, draws: int) -> None:
        self.run = run
        self.nodes = graph(run.program)
        self.left = {node.index for node in self.nodes}
        self.begin: dict[int, NDArray[np.float64]] = {}
        self.end: dict[int, NDArray[np.float64]] = {}
        self._zero = np.zeros(draws)

    def ready(self, node: Node) -> NDArray[np.float64]:
        """When all before a leaf have ended."""
        return np.asarray(np.max([self._zero, *(self.end[i] for i in node.before)], axis=0), dtype=float)

    def next(self) -> Node:
        """Of the leaves whose predecessors have ended, the one that is ready first on average."""
        able = [node for node in self.nodes if node.index in self.left and node.before <= self.end.keys()]
        return min(able, key=lambda node: float(self.ready(node).mean()))

    def times(self) -> tuple[StageTime, ...]:
        """Means over the draws."""
        return tuple(
            StageTime(
                start_s=float(self.begin[k].mean()), duration_s=max(0.0, float((self.end[k] - self.begin[k]).mean()))
            )
            for k in range(len(self.nodes))
        )


class _World:
    """Processes and links, each with the time from which it is free."""

    def __init__(
        self, settings: Settings, buckets: Mapping[str, QuotaBucket], wire: WireLaw, message: MessageWork, draws: int
    ) -> None:
        self._settings, self._buckets, self._wire, self._message = settings, buckets, wire, message
        self._free: dict[object, NDArray[np.float64]] = {}
        self._none = np.zeros(draws)
        self._line: dict[str, NDArray[np.float64]] = {}

    def step(
        self,
        progress: _Progress,
        node: Node,
        work_s: Callable[[Run, Node], float],
        payload_byte: Callable[[Run, Node], float],
    ) -> None:
        """Execute one leaf."""
        run, ready = progress.run, progress.ready(node)
        if isinstance(node.leaf, Compute):
            begin = np.maximum(ready, self._free.get(node.actor, self._none))
            if run.turn is not None and is_edge(node.actor):
                begin = np.maximum(begin, self._line.get(node.actor, self._none))
            end = self._work(node.actor, begin, work_s(run, node))
        else:
            begin, end = self._send(node.leaf, ready, payload_byte(run, node), run.propagation_s)
        progress.begin[node.index], progress.end[node.index] = begin, end
        progress.left.discard(node.index)

    def served(self, progress: _Progress) -> None:
        """After a run's turn the next one may begin at its edge."""
        for node in progress.nodes:
            if progress.run.turn is not None and isinstance(node.leaf, Compute) and is_edge(node.actor):
                before = self._line.get(node.actor, self._none)
                self._line[node.actor] = np.maximum(before, progress.end[node.index])

    def _work(self, actor: str, begin: NDArray[np.float64], work_s: float) -> NDArray[np.float64]:
        end = self._buckets[actor].work(begin, work_s)
        self._free[actor] = end
        return end

    def _send(
        self, leaf: Send, ready: NDArray[np.float64], payload_byte: float, propagation_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        (receiver,) = leaf.to
        device, direction = (receiver, "downlink") if is_edge(leaf.source) else (leaf.source, "uplink")
        rate = self._settings.rate_bit_per_s[device, direction]
        sent = self._work(leaf.source, ready, self._message.send_s)
        key = (device, direction)
        begin = np.maximum(sent, self._free.get(key, self._none))
        passed = begin + self._wire.seconds(payload_byte + HEADER_BYTE, rate, burst_byte(rate))
        self._free[key] = passed
        taken_s = self._message.receive_s + self._message.receive_s_per_byte * payload_byte
        return ready, self._work(receiver, passed, taken_s) + propagation_s
