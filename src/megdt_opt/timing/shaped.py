"""Closed laws of a world that the kernel enforces: bytes on the wire, a token bucket's time, a quota's wall time, and
what a stage costs in processor seconds at a share.

Each is tested against what the executor does in such a world; `megdt_opt.execution.kernel.prediction` composes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput

SMALL_BURST_BYTE = 1600
"""Bucket of a slow link [byte]: one segment, so that what passes at once is small."""

LARGE_BURST_BYTE = 10_000
"""Bucket of a fast one [byte]: with a smaller one the link loses some per cent of its rate."""

FAST_BIT_PER_S = 1e7
"""From this rate on a link counts as fast [bit/s]."""

SEGMENT_BYTE = 1448
"""Payload of a TCP segment on Ethernet, with time stamps [byte]."""

HEADER_BYTE = 66
"""Headers of a segment [byte]: Ethernet 14, IP 20, TCP 32."""

RECORD_BYTE = 16384
"""Largest piece of a message that TLS protects at once, and largest frame of HTTP/2 [byte]."""


def burst_byte(rate_bit_per_s: float) -> int:
    """Bucket that a shaped link of a rate gets [byte].

    Examples
    --------
    >>> burst_byte(3e5), burst_byte(5e7), burst_byte(1e9)
    (1600, 10000, 125000)
    """
    if rate_bit_per_s <= FAST_BIT_PER_S:
        return SMALL_BURST_BYTE
    return max(LARGE_BURST_BYTE, round(rate_bit_per_s / 8 * 1e-3))


@dataclass(frozen=True, kw_only=True)
class WireLaw:
    """Bytes on the wire of one message of n bytes on a standing connection, and their time on a shaped link:

        records  = ceil(n / 16384)
        segments = ceil((n + fixed + per_record records) / 1448)
        wire(n)  = n + fixed + per_record records + 66 segments
        time(n)  = max(0, 8 (wire - burst)) / rate + constant

    Parameters
    ----------
    fixed_byte : int
        What goes around a message once [byte].
    per_record_byte : int
        What goes around each record [byte].
    constant_s : float
        Thread changes on both sides, beside the processor seconds that are counted there [s].

    Examples
    --------
    >>> law = WireLaw(fixed_byte=31, per_record_byte=31)
    >>> law.byte(5500), round(law.seconds(5500, 3e5, 1600), 4)
    (5826, 0.1127)
    """

    fixed_byte: int
    per_record_byte: int
    constant_s: float = 0.0

    def byte(self, message_byte: float) -> int:
        """Bytes on the wire [byte]."""
        around = self.fixed_byte + self.per_record_byte * math.ceil(message_byte / RECORD_BYTE)
        return round(message_byte) + around + HEADER_BYTE * math.ceil((message_byte + around) / SEGMENT_BYTE)

    def seconds(self, message_byte: float, rate_bit_per_s: float, burst: float) -> float:
        """From the first byte's departure to the last one's arrival [s]; the bucket is full at the start."""
        return max(0.0, 8 * (self.byte(message_byte) - burst)) / rate_bit_per_s + self.constant_s


def quota_wall_s(work_s: float, share: float, period_s: float) -> float:
    """Expected wall time of processor seconds under a quota, after idling and at an unknown phase [s].

    A quota is a token bucket over periods: q = share * period seconds are given anew each period, not added up, at full
    speed. Work W up to q never waits. For more, with r in (0, 1] the part of q that the last period uses, the mean over
    a uniform phase is

        wall(W) = W / share - period (1 - share) + period (1 - share)^2 (1/2 - r).

    Raises
    ------
    InvalidInput
        If the share is not in (0, 1].

    Examples
    --------
    >>> round(quota_wall_s(0.2, 0.4, 0.02), 6)  # 25 periods of 8 ms: r = 1
    0.4844
    """
    _check(share)
    quotas = work_s / (share * period_s)
    if quotas <= 1:
        return work_s
    rest = quotas - (math.ceil(quotas - 1e-9) - 1)
    return work_s / share - period_s * (1 - share) + period_s * (1 - share) ** 2 * (0.5 - rest)


class QuotaBucket:
    """The quota of one actor in several draws of its phase, worked through in order of time.

    Parameters
    ----------
    share : float
        Share of a core [1].
    period_s : float
        Period of the quota [s].
    phase_s : array (draws,)
        When the first period begins in each draw [s].

    Examples
    --------
    >>> import numpy as np
    >>> bucket = QuotaBucket(0.5, 0.02, np.zeros(1))
    >>> bucket.work(np.array([0.0]), 0.025).round(6).tolist()  # 10 ms, a rest of 10 ms, 10 ms, a rest, 5 ms
    [0.045]
    """

    def __init__(self, share: float, period_s: float, phase_s: NDArray[np.float64]) -> None:
        _check(share)
        self._quota_s, self._period_s, self._phase_s = share * period_s, period_s, phase_s
        self._left_s = np.full(len(phase_s), self._quota_s)
        self._at = np.full(len(phase_s), -np.inf)
        """Number of the period in which `_left_s` is left."""

    def work(self, ready_s: NDArray[np.float64], work_s: float) -> NDArray[np.float64]:
        """When work ends that is ready at these times (draws,) [s]; each call goes on from the one before."""
        period, quota = self._period_s, self._quota_s
        number = np.floor((ready_s - self._phase_s) / period)
        left = np.where(number > self._at, quota, self._left_s)
        until = self._phase_s + (number + 1) * period
        first = np.minimum(np.minimum(left, until - ready_s), work_s)
        rest = work_s - first
        more = rest > 1e-12
        whole = np.where(more, np.ceil(rest / quota - 1e-9) - 1, 0)
        last = rest - whole * quota
        end = np.where(more, until + whole * period + last, ready_s + first)
        self._at = np.where(more, number + 1 + whole, number)
        self._left_s = np.where(more, quota - last, left - first)
        return np.asarray(end)


@dataclass(frozen=True, kw_only=True)
class WorkLaw:
    """Processor seconds of a stage at a share: w(share) = a + b / share.

    A stage costs more seconds at a smaller share, because what rests loses its lines in the caches.

    Parameters
    ----------
    a_s, b_s : float
        The law's two parameters [s].
    least_share, most_share : float
        Shares at which it was measured [1].

    Examples
    --------
    >>> law = WorkLaw.fit([0.6, 0.4, 0.2], [0.0085, 0.009, 0.0105])
    >>> round(law.seconds(0.3), 5)
    0.0095
    """

    a_s: float
    b_s: float
    least_share: float
    most_share: float

    @classmethod
    def fit(cls, share: Sequence[float], work_s: Sequence[float]) -> WorkLaw:
        """Least relative squares through samples; a constant, where the shares do not differ."""
        shares, works = np.asarray(share, float), np.asarray(work_s, float)
        columns = np.stack([1 / works, 1 / (shares * works)], axis=1)
        if np.ptp(shares) < 1e-9:
            a, b = float(np.median(works)), 0.0
        else:
            a, b = (float(x) for x in np.linalg.lstsq(columns, np.ones(len(works)), rcond=None)[0])
        return cls(a_s=a, b_s=b, least_share=float(shares.min()), most_share=float(shares.max()))

    def seconds(self, share: float) -> float:
        """Processor seconds at a share [s]."""
        return max(0.0, self.a_s + self.b_s / share)


def _check(share: float) -> None:
    if not 0 < share <= 1:
        raise InvalidInput("share", share, "in (0, 1]", "Give the part of a core.")
