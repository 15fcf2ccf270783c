"""What a link carries: rate and round-trip time, measured by bytes that the receiver stamps and drops.

The rate counts payload bytes from the arrival of the first piece to that of the last, by the receiver's clock alone; so
it is what a payload/rate law of transfer times needs, headers of TLS, HTTP/2 and TCP/IP not counted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from megdt_opt.errors import ExecutionError, InvalidInput
from megdt_opt.execution.messages import PIECE_BYTE
from megdt_opt.execution.rpc import Peer

ROUND_TRIPS = 20
"""Round trips of which the shortest counts [1]."""

REPEATS = 5
"""Transfers of which the median rate counts [1]."""

LONG_S = 0.25
"""A transfer is long enough when its pieces arrive over at least this time [s]."""

MOST_BYTE = 2**25
"""Largest transfer [byte]."""

SPREAD = 3.0
"""Most that the fastest repeated transfer may be above the slowest [1]."""

ROUNDS = 4
"""Times that transfers are repeated while they differ more: what else used the link may have ended [1]."""

FASTEST_BIT_PER_S = 1e12
LONGEST_RTT_S = 60.0


@dataclass(frozen=True)
class LinkMeasured:
    """One direction of a link.

    Parameters
    ----------
    rate_bit_per_s : float
        Payload bits in a second: the median of the transfers [bit/s].
    slowest_bit_per_s, fastest_bit_per_s : float
        The slowest and the fastest of them [bit/s].
    round_trip_s : float
        The shortest round trip of a small message and its answer [s].
    byte : int
        Payload of each transfer [byte].

    Raises
    ------
    InvalidInput
        Where the figures are none of a link, or transfers differ more than a link that nothing else uses lets them.
    """

    rate_bit_per_s: float
    slowest_bit_per_s: float
    fastest_bit_per_s: float
    round_trip_s: float
    byte: int

    def __post_init__(self) -> None:
        for name in ("rate_bit_per_s", "slowest_bit_per_s", "fastest_bit_per_s"):
            rate = getattr(self, name)
            if not (math.isfinite(rate) and 0 < rate <= FASTEST_BIT_PER_S):
                expected = f"above 0 and at most {FASTEST_BIT_PER_S:g} bit/s"
                raise InvalidInput(name, rate, expected, "Probe again when nothing else uses the link.")
        if not (math.isfinite(self.round_trip_s) and 0 < self.round_trip_s <= LONGEST_RTT_S):
            expected = f"above 0 and at most {LONGEST_RTT_S:g} s"
            raise InvalidInput("round_trip_s", self.round_trip_s, expected, "Probe again when the hosts are idle.")
        if not self.slowest_bit_per_s <= self.rate_bit_per_s <= self.fastest_bit_per_s:
            expected = "between the slowest and the fastest transfer [bit/s]"
            raise InvalidInput("rate_bit_per_s", self.rate_bit_per_s, expected, "Probe again.")
        if self.fastest_bit_per_s > SPREAD * self.slowest_bit_per_s:
            found = (self.slowest_bit_per_s, self.fastest_bit_per_s)
            expected = f"repeated transfers within a factor {SPREAD:g} of each other [bit/s]"
            raise InvalidInput("rate", found, expected, "Probe again when nothing else uses the link or the hosts.")

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LinkMeasured:
        """Build from plain data; raises InvalidInput where it is none."""
        try:
            rate, slowest, fastest = (float(data[f"{name}_bit_per_s"]) for name in ("rate", "slowest", "fastest"))
            return cls(rate, slowest, fastest, float(data["round_trip_s"]), int(data["byte"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput("probe", str(error), "the figures of a link", "Probe again.") from error


def probe_link(peer: Peer, most_s: float = 20.0) -> LinkMeasured:
    """Measure the link to another actor.

    Parameters
    ----------
    peer : Peer
        The other end.
    most_s : float
        Longest transfer [s].

    Raises
    ------
    InvalidInput
        Where what was measured makes no sense, or transfers differ too much in each of `ROUNDS` tries.
    ExecutionError
        Where the other end does not take part, or a transfer takes longer.
    """
    if not 0.1 <= most_s <= 60:
        raise InvalidInput("most_s", most_s, "0.1 to 60 s", "Take 20 s.")
    round_trips = []
    for _ in range(ROUND_TRIPS):
        begin_s = time.monotonic()
        peer.echo(iter((b"-",)), most_s)
        round_trips.append(time.monotonic() - begin_s)
    size, found = 2**13, 0.0
    while True:
        rate, took_s = _transfer(peer, size, most_s)
        if took_s >= LONG_S or size >= MOST_BYTE:
            break
        size = min(MOST_BYTE, size * (4 if took_s < LONG_S / 4 else 2))
        if found and 8 * size / rate > most_s:
            break
        found = rate
    for _ in range(ROUNDS):
        rates = [_transfer(peer, size, most_s)[0] for _ in range(REPEATS)]
        if max(rates) <= SPREAD * min(rates):
            break
    return LinkMeasured(median(rates), min(rates), max(rates), min(round_trips), size)


def _transfer(peer: Peer, size: int, most_s: float) -> tuple[float, float]:
    """Rate [bit/s], and time from the first to the last piece [s]."""
    piece = max(512, min(PIECE_BYTE // 16, size // 16))

    def pieces() -> Iterator[bytes]:
        yield b"-" * piece  # the first goes ahead: what the link has saved up, and the call's own header, go with it
        for _ in range(size // piece):
            yield b"-" * piece

    reply = peer.echo(pieces(), most_s + 5)
    counted, took_s = int(reply["byte"]) - int(reply["first_byte"]), float(reply["end_s"]) - float(reply["begin_s"])
    if counted != size // piece * piece or took_s <= 0:
        raise ExecutionError(f"{peer.name} counted {counted} byte in {took_s:.3g} s of {size} byte sent")
    return 8 * counted / took_s, took_s
