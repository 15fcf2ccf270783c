"""The program of stages: what a mechanism does, written once.

A mechanism is a tree of `Series` and `Parallel` whose leaves are `Compute` and `Send`. From that one
object come its latency terms (`megdt_opt.program.latency`), its costs (`megdt_opt.program.costs`) and its execution
(`megdt_opt.execution`), so what is optimised is what is run.

Actors go by their names: an `EdgeServer` is an edge server whatever it is called, any other text is a device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from megdt_opt.errors import InvalidInput
from megdt_opt.program.kinds import DENOISING, stage_kind
from megdt_opt.program.kinds import Kind as Kind
from megdt_opt.program.precisions import CODECS as CODECS
from megdt_opt.program.precisions import PRECISION_REGISTRY
from megdt_opt.program.precisions import PRECISIONS as PRECISIONS
from megdt_opt.text_enum import TextEnum


class Payload(TextEnum):
    """What a send stage carries."""

    REQUEST = "request"
    SEED = "seed"
    FEATURE = "feature"
    LATENT = "latent"
    IMAGE = "image"
    SKETCH = "sketch"


class EdgeServer(str):
    """Name of an actor that is an edge server; a plain text names a device, however it is spelled.

    Names are compared as texts, so an edge server and a device of one program must be called differently.
    """

    __slots__ = ()


EDGE = EdgeServer("edge")
"""The edge server of a scenario."""


def is_edge(actor: str) -> bool:
    """Whether an actor is an edge server."""
    return isinstance(actor, EdgeServer)


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One tensor of a payload: its item, name and shape.

    Parameters
    ----------
    name : str
        "item.tensor", for example "state.latent" or "conditioning.tokens".
    shape : tuple of int
        Shape with the batch dimension; (0,) for coded bytes, whose number is known only at run time.
    floating : bool
        True for float values, which the precision applies to; False for 8-bit integers.
    """

    name: str
    shape: tuple[int, ...]
    floating: bool = True

    @property
    def coded(self) -> bool:
        """Whether the length is known only at run time."""
        return self.shape == (0,)


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Work of one actor.

    Parameters
    ----------
    at : str
        The actor.
    kind : Kind or str
        What is computed; also the name of a stage that a user registered.
    amount : int
        Denoising steps of a stage that makes steps, else 1.
    first : int
        First denoising step of a denoise or sense stage (the sensed latent is noised to that step).
    rows : tuple of int, optional
        Rows [begin, end) of the latent that are worked on; None = all.
    item : str
        Name under which the actor keeps the result.
    codec : str
        Image codec of a compress or decompress stage.
    """

    at: str
    kind: str
    amount: int = 1
    first: int = 0
    rows: tuple[int, int] | None = None
    item: str = "state"
    codec: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", stage_kind(self.kind))
        if self.amount < 1:
            raise InvalidInput("amount", self.amount, "at least 1 step", "Leave an empty stage out.")

    @property
    def denoises(self) -> bool:
        """Whether it makes steps of a chain."""
        return self.kind in DENOISING

    @property
    def label(self) -> str:
        """Short text for reports."""
        if self.denoises:
            region = f" rows {self.rows[0]}-{self.rows[1]}" if self.rows else ""
            return f"{self.kind} {self.first}..{self.first + self.amount - 1}{region} at {self.at}"
        return f"{self.kind} at {self.at}"


@dataclass(frozen=True, kw_only=True)
class Send:
    """Bytes from one actor to one or more others.

    Parameters
    ----------
    source : str
        The sender.
    to : tuple of str
        The receivers; several mean a multicast.
    payload : Payload
        What is carried.
    tensors : tuple of TensorSpec
        The tensors on the air; their names and shapes fix the size (`megdt_opt.program.wire`).
    precision : str
        One of `PRECISIONS` or a registered one, or one of `CODECS` for an image; of a sketch that of what goes with it.
    """

    source: str
    to: tuple[str, ...]
    payload: Payload
    tensors: tuple[TensorSpec, ...]
    precision: str = "fp32"

    def __post_init__(self) -> None:
        field = f"precision of {self.payload}"
        if self.payload is not Payload.IMAGE:
            PRECISION_REGISTRY.require(self.precision, field)
        elif self.precision not in CODECS:
            raise InvalidInput(field, self.precision, f"one of {CODECS}", "Choose one of them.")
        if not self.to or self.source in self.to:
            raise InvalidInput("to", self.to, "at least one actor other than the source", "Name the receivers.")

    @property
    def codec(self) -> str:
        """What codes bytes whose number is known only at run time: an image codec, or "sketch"; "" where none are."""
        if not any(tensor.coded for tensor in self.tensors):
            return ""
        return self.precision if self.payload is Payload.IMAGE else str(self.payload)

    @property
    def direction(self) -> str:
        """'uplink', 'downlink', 'multicast' or 'd2d', from the ends of the link."""
        if is_edge(self.source):
            return "downlink" if len(self.to) == 1 else "multicast"
        return "uplink" if all(is_edge(a) for a in self.to) else "d2d"

    @property
    def label(self) -> str:
        """Short text for reports."""
        return f"send {self.payload} ({self.precision}) {self.source} to {', '.join(self.to)}"


@dataclass(frozen=True)
class Series:
    """Stages one after another."""

    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Parallel:
    """Branches at the same time; the stage ends when all have ended."""

    branches: tuple[Stage, ...]


Stage = Compute | Send | Series | Parallel
"""A stage program is any of these."""


def series(*stages: Stage) -> Series:
    """Stages one after another, as arguments."""
    return Series(stages)


def leaves(program: Stage) -> Iterator[Compute | Send]:
    """The leaf stages, in program order; their position is the stage's number everywhere."""
    match program:
        case Series(stages):
            for stage in stages:
                yield from leaves(stage)
        case Parallel(branches):
            for branch in branches:
                yield from leaves(branch)
        case _:
            yield program


def actors(program: Stage) -> frozenset[str]:
    """All actors that a program names."""
    found: set[str] = set()
    for leaf in leaves(program):
        if isinstance(leaf, Compute):
            found.add(leaf.at)
        else:
            found.update((leaf.source, *leaf.to))
    return frozenset(found)
