"""What is executed: the program of a user or of a group with its resources, and the options of a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.plain import array_from_plain, array_to_plain, program_from_plain, program_to_plain
from megdt_opt.program.costs import part_of
from megdt_opt.program.groups import GroupProgram, shared_name
from megdt_opt.program.kinds import stage_kind
from megdt_opt.program.schedule import Pace, StageTime
from megdt_opt.program.stages import Compute, Kind, Parallel, Send, Series, Stage, is_edge, leaves

Mode = Literal["paced", "raw", "kernel"]

THREADS = 1
"""Threads with which each process of an execution computes [1]."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A generation: whose request it is, with which seed, and where it begins.

    Parameters
    ----------
    name : str
        Name of the user, or `program.groups.shared_name` of those who share the steps.
    device : str
        Actor that holds the request (and the camera picture) at the start.
    request : mapping of str to array
        The request's tensors, with batch dimension.
    seed : int
        Seed of the generation.
    camera : array, optional
        Picture of the device's camera, uint8 (1, rows, columns, 3), for programs that sense.
    goes_on_from : str
        Chain whose latent it goes on with, "" for none. What that chain has made of the same device's request, it need
        not make again either.

    Raises
    ------
    InvalidInput
        If a value cannot be used; the message names the user and the field.
    """

    name: str
    device: str
    request: Mapping[str, NDArray[Any]]
    seed: int
    camera: NDArray[np.uint8] | None = None
    goes_on_from: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise InvalidInput(f"seed of user {self.name}", self.seed, "0 to 2**63 - 1", "Choose another seed.")

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "name": self.name,
            "device": self.device,
            "request": {k: array_to_plain(v) for k, v in self.request.items()},
            "seed": self.seed,
            "camera": None if self.camera is None else array_to_plain(self.camera),
            "goes_on_from": self.goes_on_from,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Chain:
        """Build from plain data; errors as the data raise them."""
        return cls(
            name=str(data["name"]),
            device=str(data["device"]),
            request={str(k): array_from_plain(v) for k, v in data["request"].items()},
            seed=int(data["seed"]),
            camera=None if data["camera"] is None else array_from_plain(data["camera"]),
            goes_on_from=str(data["goes_on_from"]),
        )


@dataclass(frozen=True, kw_only=True)
class Run:
    """A program, ready to be executed: of one user, or of a group whose members share stages.

    Parameters
    ----------
    name : str
        Name of the user or of the group.
    program : Stage
        The stages.
    chains : tuple of Chain
        The users, and the common steps that they go on from.
    chain : tuple of str
        Name of the chain of each leaf. Each chain has items of its own at every actor.
    pace : tuple of float
        Allocated rate of each send [bit/s], and reserved share of each compute [1]: in (0, 1] at an edge server, 1 on a
        device.
    scheduler : str
        Sampler.
    steps : int
        Denoising steps of a whole chain [1].
    propagation_s : float
        One-way delay of every send [s].
    predicted : tuple of StageTime
        Prediction of each leaf.
    slot_s : tuple of float
        Calibrated compute time of each leaf on its whole actor [s], with the actor's stretch and
        without the edge share; 0 for sends.
    turn : int, optional
        Place of the program's work at an edge server that serves whole chains one after another, from 0 [1]; None where
        it reserves shares.

    Raises
    ------
    InvalidInput
        If a value cannot be used; the message names the user and the field.
    """

    name: str
    program: Stage
    chains: tuple[Chain, ...]
    chain: tuple[str, ...]
    pace: tuple[float, ...]
    scheduler: str
    steps: int
    predicted: tuple[StageTime, ...]
    slot_s: tuple[float, ...]
    propagation_s: float = 0.0
    turn: int | None = None

    @classmethod
    def of_user(cls, user: Chain, program: Stage, pace: Pace, parts: Sequence[float] | None = None, **more: Any) -> Run:
        """The run of one user, with its shares; `more` are the other fields of a run.

        `parts` says which part of its share each leaf has while it runs, where some run at once [1]; default all.
        """
        stages = tuple(leaves(program))
        each = (1.0,) * len(stages) if parts is None else parts
        return cls(
            name=user.name,
            program=program,
            chains=(user,),
            chain=(user.name,) * len(stages),
            pace=tuple(pace.of(leaf) * part for leaf, part in zip(stages, each, strict=True)),
            **more,
        )

    @classmethod
    def of_group(
        cls,
        group: GroupProgram,
        members: Sequence[Chain],
        pace: tuple[float, ...],
        lead: Chain | None = None,
        **more: Any,
    ) -> Run:
        """The run of a group's program; `members` by their devices, `pace` of each leaf, `more` as for `of_user`.

        `lead` is the one whose request the common steps follow, where it is none of the members.
        """
        names = {user.device: user.name for user in members}
        shared = shared_name(names[device] for device in group.riders)
        names[group.shared] = shared
        lead = next((user for user in members if user.device == group.lead), lead)
        if lead is None:
            expected = f"the chain of {group.lead}, whose request the common steps follow"
            raise InvalidInput("lead", None, expected, "Give it, or let it be a member.")
        common = (replace(lead, name=shared),) if group.shared in group.chain else ()
        users = [
            replace(user, goes_on_from=shared) if common and user.device in group.riders else user for user in members
        ]
        return cls(
            name=shared,
            program=group.program,
            chains=(*users, *common),
            chain=tuple(names[name] for name in group.chain),
            pace=pace,
            **more,
        )

    def __post_init__(self) -> None:
        found = tuple(leaves(self.program))
        if not found:
            raise self._bad("program", self.program, "at least one stage", "Name the stages.")
        for name in ("predicted", "slot_s", "chain", "pace"):
            count = len(getattr(self, name))
            if count != len(found):
                raise self._bad(name, count, f"one entry for each of {len(found)} leaves", "Add them.")
        self._check_chains()
        for slot in self.slot_s:
            self._check("slot_s", slot, "s")
        for time in self.predicted:
            self._check("predicted.start_s", time.start_s, "s")
            self._check("predicted.duration_s", time.duration_s, "s")
        self._check("propagation_s", self.propagation_s, "s")
        if self.turn is not None and self.turn < 0:
            raise self._bad("turn", self.turn, "a place from 0 [1]", "Number the turns, first to last.")
        if self.steps < 1:
            raise self._bad("steps", self.steps, "at least 1", "Set the number of denoising steps.")
        for leaf, pace, user in zip(found, self.pace, self.chain, strict=True):
            if isinstance(leaf, Compute):
                self._check_compute(leaf, pace, user)
            elif not (math.isfinite(pace) and pace > 0):
                raise InvalidInput(
                    f"{leaf.direction}_bit_per_s of user {user}",
                    pace,
                    f"a rate above 0 bit/s for '{leaf.label}'",
                    "Allocate a rate or leave the send out.",
                )

    def _check_chains(self) -> None:
        names = [chain.name for chain in self.chains]
        if len(set(names)) != len(names) or set(self.chain) != set(names):
            expected = f"different names, each with stages among those of {sorted(set(self.chain))}"
            raise self._bad("chains", names, expected, "Name each chain once and give it its stages.")
        for chain in self.chains:
            if chain.goes_on_from not in ("", *names) or chain.goes_on_from == chain.name:
                expected = f"another chain out of {names}, or none"
                raise InvalidInput(
                    f"goes_on_from of user {chain.name}", chain.goes_on_from, expected, "Name the common steps."
                )

    def _check_compute(self, leaf: Compute, pace: float, user: str) -> None:
        whole = not is_edge(leaf.at)
        if not 0 < pace <= 1 or (whole and pace != 1):
            expected = f"{'1' if whole else 'in (0, 1]'} for '{leaf.label}'"
            name = "pace" if whole else "edge_share"
            raise InvalidInput(f"{name} of user {user}", pace, expected, "Reserve a share.")
        if leaf.kind is Kind.DENOISE and leaf.first + leaf.amount > self.steps:
            raise self._bad("program", leaf.label, f"steps below {self.steps}", "Move the cut inside the chain.")

    def _check(self, name: str, value: float, unit: str) -> None:
        if not (math.isfinite(value) and value >= 0):
            raise self._bad(name, value, f"finite and at least 0 {unit}", "Take the rate or share of the plan.")

    def _bad(self, name: str, value: object, expected: str, remedy: str) -> InvalidInput:
        return InvalidInput(f"{name} of user {self.name}", value, expected, remedy)

    @property
    def shared(self) -> frozenset[str]:
        """Names of the chains that others go on from: they bring no user a picture."""
        return frozenset(chain.goes_on_from for chain in self.chains) - {""}

    def who(self, index: int) -> str:
        """Whose a leaf is, in words."""
        name = self.chain[index]
        return name if name in self.shared else f"user {name}"

    def stages_of(self, name: str) -> tuple[Compute | Send, ...]:
        """Leaves of a chain, in program order."""
        return tuple(leaf for leaf, of in zip(leaves(self.program), self.chain, strict=True) if of == name)

    def edge_shares(self) -> dict[str, float]:
        """Most of each edge server that is reserved at a time [1]: stages one after another reserve it in turn."""
        pace = iter(self.pace)

        def most(stage: Stage) -> dict[str, float]:
            match stage:
                case Series(stages):
                    return _merged([most(part) for part in stages], max)
                case Parallel(branches):
                    return _merged([most(branch) for branch in branches], sum)
                case _:
                    share = next(pace)
                    return {stage.at: share} if isinstance(stage, Compute) and is_edge(stage.at) else {}

        return most(self.program)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "name": self.name,
            "program": program_to_plain(self.program),
            "chains": [chain.to_dict() for chain in self.chains],
            "chain": list(self.chain),
            "pace": list(self.pace),
            "scheduler": self.scheduler,
            "steps": self.steps,
            "propagation_s": self.propagation_s,
            "predicted": [[t.start_s, t.duration_s] for t in self.predicted],
            "slot_s": list(self.slot_s),
            "turn": self.turn,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Run:
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
                chains=tuple(Chain.from_dict(chain) for chain in data["chains"]),
                chain=tuple(str(name) for name in data["chain"]),
                pace=tuple(float(value) for value in data["pace"]),
                scheduler=str(data["scheduler"]),
                steps=int(data["steps"]),
                propagation_s=float(data["propagation_s"]),
                predicted=tuple(StageTime(start_s=float(a), duration_s=float(b)) for a, b in data["predicted"]),
                slot_s=tuple(float(s) for s in data["slot_s"]),
                turn=None if data["turn"] is None else int(data["turn"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                "run", data, "the fields of Run", f"Write this field as to_dict does: {error}."
            ) from error


def _merged(parts: Sequence[Mapping[str, float]], by: Callable[[list[float]], float]) -> dict[str, float]:
    """What several stages reserve of each edge server, together."""
    return {edge: by([part.get(edge, 0.0) for part in parts]) for edge in frozenset().union(*parts)}


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """How a run is made.

    Parameters
    ----------
    mode : {"paced", "raw", "kernel"}
        "paced": each compute slot lasts its calibrated time divided by the share; "raw": compute as
        fast as the machine goes, padded only for the share. Links are paced in both. "kernel": nothing is paced here,
        links and shares are the world's.
    timeout_s : float
        Deadline of the whole run after its common start [s].
    stretch : mapping of str to float
        Declared stretch factor of each actor's compute [1]; it is already contained in
        `Run.slot_s` and is stated in the record. Must be 1 in raw mode.
    held_parts : mapping of str to tuple of str
        Parts of the model that actors hold ("encode_prompt", "sense", "denoise", "decode"; of other stages their kind);
        an actor that is named here refuses a run in which it needs another. One that is not named holds all.
    chunk_s : float
        Link time of the pieces in which a payload is handed over [s].
    slack_s : float
        A paced slot may end this much late (wake-up jitter) without moving what follows [s]; more is
        an overrun and is counted. The actor's next compute stage of the same chain tries to catch up;
        whatever leaves the actor leaves it late.
    lead_s : float
        Time between the order to start and the common start [s]; streams are opened meanwhile.
    patience_s : float
        An actor that does not answer for this long counts as lost, and its process is ended [s].
    """

    mode: Mode = "paced"
    timeout_s: float = 120.0
    stretch: Mapping[str, float] = field(default_factory=dict)
    held_parts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    chunk_s: float = 0.02
    slack_s: float = 0.002
    lead_s: float = 0.1
    patience_s: float = 10.0

    def __post_init__(self) -> None:
        if self.mode not in ("paced", "raw", "kernel"):
            raise InvalidInput("mode", self.mode, "'paced', 'raw' or 'kernel'", "Choose one of them.")
        for name in ("timeout_s", "chunk_s", "lead_s", "slack_s", "patience_s"):
            value, positive = getattr(self, name), name in ("timeout_s", "chunk_s", "patience_s")
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

    def check_held(self, actor: str, run: Run) -> None:
        """Raise InvalidInput where an actor should compute with a part of the model that it does not hold."""
        held = self.held_parts.get(actor)
        for leaf in leaves(run.program):
            if held is not None and isinstance(leaf, Compute) and leaf.at == actor and part_of(leaf) not in held:
                expected = f"a part that {actor} holds: {', '.join(held) or 'it holds none'}"
                remedy = "Let another edge run the stage, or place the part there."
                raise InvalidInput(f"{run.name}: {leaf.label}", part_of(leaf), expected, remedy)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "mode": self.mode,
            "timeout_s": self.timeout_s,
            "stretch": dict(self.stretch),
            "held_parts": {actor: list(parts) for actor, parts in self.held_parts.items()},
            "chunk_s": self.chunk_s,
            "slack_s": self.slack_s,
            "lead_s": self.lead_s,
            "patience_s": self.patience_s,
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
