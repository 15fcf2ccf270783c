"""What is executed: one user's program with its resources, and the options of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.plain import array_from_plain, array_to_plain, program_from_plain, program_to_plain
from megdt_opt.program.kinds import stage_kind
from megdt_opt.program.schedule import StageTime
from megdt_opt.program.stages import Compute, Kind, Send, Stage, is_edge, leaves

Mode = Literal["paced", "raw"]

THREADS = 1
"""Threads with which each process of an execution computes [1]."""


@dataclass(frozen=True, kw_only=True)
class UserRun:
    """One user's program, ready to be executed.

    Parameters
    ----------
    name : str
        Name of the user.
    program : Stage
        The stages.
    device : str
        Actor that owns the user: it holds the request (and the camera picture) at the start.
    request : mapping of str to array
        The request's tensors, with batch dimension.
    camera : array, optional
        Picture of the device's camera, uint8 (1, rows, columns, 3), for programs that sense.
    seed : int
        Seed of the generation.
    scheduler : str
        Sampler.
    steps : int
        Denoising steps of the whole chain [1].
    uplink_bit_per_s, downlink_bit_per_s : float
        Allocated rates [bit/s]; may be 0 where nothing is sent.
    edge_share : float
        Reserved share of an edge server [1], in (0, 1] where the edge computes.
    propagation_s : float
        One-way delay of every send [s].
    predicted : tuple of StageTime
        Prediction of each leaf.
    slot_s : tuple of float
        Calibrated compute time of each leaf on its whole actor [s], with the actor's stretch and
        without the edge share; 0 for sends.

    Raises
    ------
    InvalidInput
        If a value cannot be used; the message names the user and the field.
    """

    name: str
    program: Stage
    device: str
    request: Mapping[str, NDArray[Any]]
    seed: int
    scheduler: str
    steps: int
    predicted: tuple[StageTime, ...]
    slot_s: tuple[float, ...]
    uplink_bit_per_s: float = 0.0
    downlink_bit_per_s: float = 0.0
    edge_share: float = 0.0
    propagation_s: float = 0.0
    camera: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        found = tuple(leaves(self.program))
        if not found:
            raise self._bad("program", self.program, "at least one stage", "Name the stages.")
        for name, value in (("predicted", self.predicted), ("slot_s", self.slot_s)):
            if len(value) != len(found):
                raise self._bad(name, len(value), f"one entry for each of {len(found)} leaves", "Add them.")
        for slot in self.slot_s:
            self._check("slot_s", slot, "s")
        for time in self.predicted:
            self._check("predicted.start_s", time.start_s, "s")
            self._check("predicted.duration_s", time.duration_s, "s")
        self._check("propagation_s", self.propagation_s, "s")
        if self.steps < 1:
            raise self._bad("steps", self.steps, "at least 1", "Set the number of denoising steps.")
        if not 0 <= self.seed < 2**63:
            raise self._bad("seed", self.seed, "0 to 2**63 - 1", "Choose another seed.")
        for leaf in found:
            if isinstance(leaf, Compute):
                self._check_compute(leaf)
            else:
                rate = self.rate_bit_per_s(leaf)
                if not (math.isfinite(rate) and rate > 0):
                    raise self._bad(
                        f"{leaf.direction}_bit_per_s",
                        rate,
                        f"a rate above 0 bit/s for '{leaf.label}'",
                        "Allocate a rate or leave the send out.",
                    )

    def _check_compute(self, leaf: Compute) -> None:
        if is_edge(leaf.at) and not 0 < self.edge_share <= 1:
            raise self._bad("edge_share", self.edge_share, f"in (0, 1] for '{leaf.label}'", "Reserve a share.")
        if leaf.kind is Kind.DENOISE and leaf.first + leaf.amount > self.steps:
            raise self._bad("program", leaf.label, f"steps below {self.steps}", "Move the cut inside the chain.")

    def _check(self, name: str, value: float, unit: str) -> None:
        if not (math.isfinite(value) and value >= 0):
            raise self._bad(name, value, f"finite and at least 0 {unit}", "Take the rate or share of the plan.")

    def _bad(self, name: str, value: object, expected: str, remedy: str) -> InvalidInput:
        return InvalidInput(f"{name} of user {self.name}", value, expected, remedy)

    def rate_bit_per_s(self, leaf: Send) -> float:
        """Allocated rate of a send [bit/s]; device-to-device sends use the uplink's."""
        return self.downlink_bit_per_s if is_edge(leaf.source) else self.uplink_bit_per_s

    def share(self, actor: str) -> float:
        """Share of an actor that this user's compute gets [1]: 1 on a device."""
        return self.edge_share if is_edge(actor) else 1.0

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "name": self.name,
            "program": program_to_plain(self.program),
            "device": self.device,
            "request": {k: array_to_plain(v) for k, v in self.request.items()},
            "camera": None if self.camera is None else array_to_plain(self.camera),
            "seed": self.seed,
            "scheduler": self.scheduler,
            "steps": self.steps,
            "uplink_bit_per_s": self.uplink_bit_per_s,
            "downlink_bit_per_s": self.downlink_bit_per_s,
            "edge_share": self.edge_share,
            "propagation_s": self.propagation_s,
            "predicted": [[t.start_s, t.duration_s] for t in self.predicted],
            "slot_s": list(self.slot_s),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UserRun:
        """Build from plain data.

        Raises
        ------
        InvalidInput
            If a field is missing or of another kind.
        """
        try:
            return cls(
                name=str(data["name"]),
                program=program_from_plain(data["program"]),
                device=str(data["device"]),
                request={str(k): array_from_plain(v) for k, v in data["request"].items()},
                camera=None if data["camera"] is None else array_from_plain(data["camera"]),
                seed=int(data["seed"]),
                scheduler=str(data["scheduler"]),
                steps=int(data["steps"]),
                uplink_bit_per_s=float(data["uplink_bit_per_s"]),
                downlink_bit_per_s=float(data["downlink_bit_per_s"]),
                edge_share=float(data["edge_share"]),
                propagation_s=float(data["propagation_s"]),
                predicted=tuple(StageTime(start_s=float(a), duration_s=float(b)) for a, b in data["predicted"]),
                slot_s=tuple(float(s) for s in data["slot_s"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                "user run", data, "the fields of UserRun", f"Write this field as to_dict does: {error}."
            ) from error


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """How a run is made.

    Parameters
    ----------
    mode : {"paced", "raw"}
        "paced": each compute slot lasts its calibrated time divided by the share; "raw": compute as
        fast as the machine goes, padded only for the share. Links are paced in both.
    timeout_s : float
        Deadline of the whole run after its common start [s].
    stretch : mapping of str to float
        Declared stretch factor of each actor's compute [1]; it is already contained in
        `UserRun.slot_s` and is stated in the record. Must be 1 in raw mode.
    chunk_s : float
        Link time of the pieces in which a payload is handed over [s].
    slack_s : float
        A paced slot may end this much late (wake-up jitter) without moving what follows [s]; more is
        an overrun and is counted. The actor's next compute stage of the same chain tries to catch up;
        whatever leaves the actor leaves it late.
    lead_s : float
        Time between the order to start and the common start [s]; streams are opened meanwhile.
    """

    mode: Mode = "paced"
    timeout_s: float = 120.0
    stretch: Mapping[str, float] = field(default_factory=dict)
    chunk_s: float = 0.02
    slack_s: float = 0.002
    lead_s: float = 0.1

    def __post_init__(self) -> None:
        if self.mode not in ("paced", "raw"):
            raise InvalidInput("mode", self.mode, "'paced' or 'raw'", "Choose one of them.")
        for name in ("timeout_s", "chunk_s", "lead_s", "slack_s"):
            value, positive = getattr(self, name), name in ("timeout_s", "chunk_s")
            if not (math.isfinite(value) and value >= 0) or (positive and value == 0):
                lowest = "above 0 s" if positive else "at least 0 s"
                raise InvalidInput(name, value, f"finite and {lowest}", "Use the default.")
        for actor, factor in self.stretch.items():
            if not (math.isfinite(factor) and factor > 0):
                raise InvalidInput(
                    f"stretch of {actor}", factor, "finite and above 0 [1]", "Give 1 for a machine as it was timed."
                )
            if self.mode == "raw" and factor != 1:
                raise InvalidInput(
                    f"stretch of {actor}",
                    factor,
                    "1 in raw mode",
                    "Only paced mode can emulate a slower device.",
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "mode": self.mode,
            "timeout_s": self.timeout_s,
            "stretch": dict(self.stretch),
            "chunk_s": self.chunk_s,
            "slack_s": self.slack_s,
            "lead_s": self.lead_s,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExecutionOptions:
        """Build from plain data.

        Raises
        ------
        InvalidInput
            If a field is unknown or cannot be used.
        """
        try:
            return cls(**data)
        except TypeError as error:
            raise InvalidInput(
                "options", data, "the fields of ExecutionOptions", f"Write it as to_dict does: {error}."
            ) from error


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A compute stage to be timed by itself inside a worker.

    Parameters
    ----------
    kind : Kind or str
        What is computed; denoising is timed step by step.
    rows : tuple of int, optional
        Region of the latent; None = all.
    scheduler : str
        Sampler, for denoising.
    steps : int
        Steps of the chain, for denoising [1].
    codec : str
        Image codec of a compress or decompress stage.
    gap_s : float
        Rest before each sample [s]. In a run a stage often follows a wait, and a processor that has
        rested computes more slowly at first: samples taken back to back would be too short.
    """

    kind: str
    rows: tuple[int, int] | None = None
    scheduler: str = ""
    steps: int = 1
    codec: str = "png"
    gap_s: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", stage_kind(self.kind))
        if not (math.isfinite(self.gap_s) and self.gap_s >= 0):
            raise InvalidInput("gap_s", self.gap_s, "finite and at least 0 s", "Leave it out for no rest.")
