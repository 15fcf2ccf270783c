"""How far the monotonic clocks of two processes are apart, by four time stamps of each of many exchanges.

The caller's stamps are t1 (sent) and t4 (answered), the other's t2 (taken in) and t3 (sent back): whatever the ways
there and back take, the other clock shows between t3 - t4 and t2 - t1 more than the caller's. The narrowest of many is
kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from megdt_opt.errors import ExecutionError
from megdt_opt.execution.rpc import Peer

EXCHANGES = 20
"""Exchanges of one measurement [1]."""


@dataclass(frozen=True)
class ClockOffset:
    """What another monotonic clock shows more than this one.

    Parameters
    ----------
    low_s, high_s : float
        The interval in which it lies [s]; equal where both are the same clock.
    """

    low_s: float
    high_s: float

    @property
    def offset_s(self) -> float:
        """Middle of the interval [s]."""
        return (self.low_s + self.high_s) / 2

    @property
    def uncertainty_s(self) -> float:
        """Half of the interval [s]."""
        return (self.high_s - self.low_s) / 2

    def joined(self, other: ClockOffset) -> ClockOffset:
        """The interval that holds both: of a clock that drifts from one measurement to the next."""
        return ClockOffset(min(self.low_s, other.low_s), max(self.high_s, other.high_s))


def clock_name() -> str:
    """Name of this process's monotonic clock: processes that give the same have the same; "" where it is not known."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/time')}"
    return ""


def within(exchanges: Iterable[tuple[float, float, float, float]]) -> ClockOffset:
    """The offset that all exchanges (t1, t2, t3, t4) [s] allow.

    Raises
    ------
    ExecutionError
        Where none fits them all: a clock was set while it was measured.
    """
    low_s, high_s = -float("inf"), float("inf")
    for sent_s, taken_s, back_s, answered_s in exchanges:
        if answered_s < sent_s or back_s < taken_s:
            raise ExecutionError("a clock ran backwards while it was compared")
        low_s, high_s = max(low_s, back_s - answered_s), min(high_s, taken_s - sent_s)
    if low_s > high_s + 1e-6:
        raise ExecutionError(f"clocks moved against each other by {low_s - high_s:.3g} s while they were compared")
    return ClockOffset(min(low_s, high_s), max(low_s, high_s))


def compare(peer: Peer, exchanges: int = EXCHANGES) -> ClockOffset:
    """What the clock of another actor shows more than this one.

    Raises
    ------
    ExecutionError
        Where it does not answer, or the clocks cannot be compared.
    """
    if clock_name() and peer.call("ping", {}, 10.0)["clock"] == clock_name():
        return ClockOffset(0.0, 0.0)

    def exchange() -> tuple[float, float, float, float]:
        sent_s = time.monotonic()
        reply = peer.call("clock", {}, 10.0)
        return sent_s, float(reply["taken_s"]), float(reply["back_s"]), time.monotonic()

    return within(exchange() for _ in range(exchanges))
