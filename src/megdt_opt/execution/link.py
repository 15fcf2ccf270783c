"""A link of a given rate, paced in user space by an absolute schedule.

Each piece of a payload is handed to the socket when the pieces before it have left the emulated
link, that is at start + (bits before it)/rate; the receiver holds the last one until its own bits
have passed too, plus the propagation delay. So the time that the real hop takes is hidden inside the
emulated one and errors do not add up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from megdt_opt.execution.clock import wait_until
from megdt_opt.execution.messages import PIECE_BYTE

LEAST_BYTE = 1024
"""Smallest piece worth a message of its own [byte]."""

LARGEST_BYTE = PIECE_BYTE // 2
"""Largest piece [byte]: with its header it is within what a receiver takes."""


@dataclass(frozen=True, kw_only=True)
class Link:
    """One direction between two actors.

    Parameters
    ----------
    rate_bit_per_s : float
        Rate [bit/s].
    propagation_s : float
        One-way delay [s].
    chunk_s : float
        Time that one piece takes on the link [s]; no piece is shorter than `LEAST_BYTE`.
    """

    rate_bit_per_s: float
    propagation_s: float = 0.0
    chunk_s: float = 0.02

    def duration_s(self, size_byte: int) -> float:
        """Time from the start of a payload's transmission to its arrival [s]."""
        return 8 * size_byte / self.rate_bit_per_s + self.propagation_s

    def schedule(self, size_byte: int) -> list[tuple[float, int, int]]:
        """Pieces as (departure after the start [s], first byte, end byte)."""
        largest = min(LARGEST_BYTE, max(LEAST_BYTE, int(self.rate_bit_per_s * self.chunk_s / 8)))
        count = -(-size_byte // largest)
        # pieces of one size: a short last one would leave the real hop no time to hide in
        ends = [round(size_byte * n / count) for n in range(count + 1)] if count else []
        return [(8 * begin / self.rate_bit_per_s, begin, end) for begin, end in pairwise(ends)]

    def pieces(self, data: bytes, start_s: float, stop: threading.Event) -> Iterator[bytes]:
        """Yield the payload piece by piece, each at its departure after `start_s` (monotonic clock) [s].

        Raises
        ------
        Stopped
            If `stop` is set meanwhile.
        """
        for after_s, begin, end in self.schedule(len(data)):
            wait_until(start_s + after_s, stop)
            yield data[begin:end]
