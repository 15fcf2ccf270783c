"""Accuracy of the paced link at given sizes and rates, by sending alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.cluster import Cluster
from megdt_opt.execution.job import Chain, ExecutionOptions, Run
from megdt_opt.program.schedule import Pace, StageTime
from megdt_opt.program.stages import Payload, Send, TensorSpec
from megdt_opt.program.wire import payload_byte


@dataclass(frozen=True, kw_only=True)
class LinkCheck:
    """Measured times of one size at one rate.

    Parameters
    ----------
    size_byte : int
        Payload, headers included [byte].
    rate_bit_per_s : float
        Rate that was asked [bit/s].
    expected_s : float
        8 * size / rate, plus the propagation delay [s].
    measured_s : tuple of float
        From the start of the serialisation to the arrival, checked and unpacked [s].
    """

    size_byte: int
    rate_bit_per_s: float
    expected_s: float
    measured_s: tuple[float, ...]

    @property
    def error_percent(self) -> tuple[float, ...]:
        """Each sample's error [%]."""
        return tuple(100 * (m / self.expected_s - 1) for m in self.measured_s)


def check_link(
    cluster: Cluster,
    source: str,
    to: str,
    cases: Sequence[tuple[int, float]],
    *,
    samples: int = 3,
    propagation_s: float = 0.0,
) -> list[LinkCheck]:
    """Send payloads and time them.

    Parameters
    ----------
    cluster : Cluster
        Processes of the two actors.
    source, to : str
        Sender and receiver.
    cases : sequence of (int, float)
        Payload sizes [byte], headers included and at least 128, with the rates [bit/s].
    samples : int
        Repetitions of each case.
    propagation_s : float
        One-way delay [s].

    Raises
    ------
    InvalidInput
        If a size is too small for a payload's header.
    """
    return [_check(cluster, source, to, int(b), float(r), samples, propagation_s) for b, r in cases]


def _check(
    cluster: Cluster, source: str, to: str, size: int, rate: float, samples: int, propagation_s: float
) -> LinkCheck:
    blob = _blob(size)
    stage = Send(source=source, to=(to,), payload=Payload.REQUEST, tensors=(blob,))
    true_size = payload_byte((blob,), "fp32")
    expected_s = 8 * true_size / rate + propagation_s
    run = Run.of_user(
        Chain(name="link", device=source, request={"blob": np.zeros(blob.shape, np.uint8)}, seed=0),
        stage,
        Pace(uplink_bit_per_s=rate, downlink_bit_per_s=rate),
        scheduler="",
        steps=1,
        predicted=(StageTime(start_s=0.0, duration_s=expected_s),),
        slot_s=(0.0,),
        propagation_s=propagation_s,
    )
    options = ExecutionOptions(mode="raw", timeout_s=2 * expected_s + 30)
    measured = tuple(cluster.run([run], options).measured_s["link"] for _ in range(samples))
    return LinkCheck(size_byte=true_size, rate_bit_per_s=rate, expected_s=expected_s, measured_s=measured)


def _blob(size: int) -> TensorSpec:
    """A tensor whose payload has that size; headers are padded to 8 bytes, so a few bytes may be missing."""
    length = size
    for _ in range(4):
        blob = TensorSpec(name="request.blob", shape=(length,), floating=False)
        length -= payload_byte((blob,), "fp32") - size
        if length < 1:
            raise InvalidInput("size", size, "at least 128 byte", "Smaller payloads are all header.")
    return TensorSpec(name="request.blob", shape=(length,), floating=False)
