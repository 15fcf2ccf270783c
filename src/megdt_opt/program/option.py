"""Options of users, what their programs are built for, and what a mechanism declares."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from megdt_opt.errors import InvalidInput
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.registry import MECHANISM_PLUGINS, Registry
from megdt_opt.program.samplers import check_steps, is_offered
from megdt_opt.program.stages import EDGE, EdgeServer, Stage, is_edge

CHOICES = ("cut", "back", "share", "precision", "codec")
"""What the options of a mechanism may differ in."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """Mechanism, protocol and cut: one stage program.

    Parameters
    ----------
    mechanism : str
        One of `MECHANISMS`, or one that a user registered.
    cut : int
        Denoising steps before the hand-over (SEU), or at the edge (the others) [1].
    back : int
        Denoising steps before the second hand-over, back to the device, where there are two [1].
    share : float
        Share of the content made at the edge (PEU) [1].
    precision : str
        Precision of the features sent, "" where none are.
    codec : str
        Codec of the image sent, "" where none is.
    edge : str
        Edge server that takes part, "" where there is one alone, or none takes part.
    """

    mechanism: str
    cut: int = 0
    back: int = 0
    share: float = 0.0
    precision: str = ""
    codec: str = ""
    edge: str = ""

    @property
    def protocol(self) -> str:
        """'seed' where latent features travel, 'sketch', 'image' for a download, 'none' for the local baseline."""
        sent = "seed" if self.precision else ("image" if self.codec else "none")
        return MECHANISM_REGISTRY.require(self.mechanism).protocol or sent

    @property
    def name(self) -> str:
        """Short, unique text, for example "SEU 12 fp16", "PEU 0.50 int8" or "SEU 12 fp16 @hall-2"."""
        choices = MECHANISM_REGISTRY.require(self.mechanism).choices
        parts = [self.mechanism]
        if "cut" in choices:
            parts.append(f"{self.cut}-{self.back}" if "back" in choices else str(self.cut))
        if "share" in choices:
            parts.append(f"{self.share:.2f}")
        at = f"@{self.edge}" if self.edge else ""
        return " ".join([*parts, *(p for p in (self.precision, self.codec, at) if p)])

    def alike(self, other: Option) -> bool:
        """Whether the same steps run at the same places, in whatever precision the features are sent."""
        mine, theirs = (replace(option, precision="", codec="") for option in (self, other))
        return mine == theirs


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a program is built for.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    scheduler : str
        Sampler, one of the model's.
    steps : int
        Denoising steps N [1].
    device : str
        Actor name of the user's device.
    edge : EdgeServer
        The edge server.
    shown_at : str
        "device" or "edge": where the picture is wanted.
    overlap : int
        Latent rows that both sides of a parallel generation make, and blend [1].
    sense_strength : float
        Share of the denoising steps that follow a sensed latent (U2E), in (0, 1] [1].
    adapted : bool
        Whether the device loads an adapter of its user before its denoising steps.
    """

    spec: ModelSpec
    scheduler: str
    steps: int
    device: str
    edge: EdgeServer = EDGE
    shown_at: str = "device"
    overlap: int = 4
    sense_strength: float = 0.6
    adapted: bool = False

    def __post_init__(self) -> None:
        if not is_offered(self.scheduler, self.spec.schedulers):
            raise InvalidInput("scheduler", self.scheduler, f"one of {self.spec.schedulers}", "Choose one of them.")
        check_steps(self.scheduler, self.steps, self.spec.steps_made)
        if self.shown_at not in ("device", "edge"):
            raise InvalidInput("shown_at", self.shown_at, "'device' or 'edge'", "Choose one of them.")
        if not 0 < self.sense_strength <= 1:
            raise InvalidInput(
                "sense_strength",
                self.sense_strength,
                "a share in (0, 1] [1]",
                "Give the share of the steps that follow the sensed latent.",
            )
        if not is_edge(self.edge) or is_edge(self.device) or self.device == self.edge:
            expected = f"a device called otherwise than the edge server, {self.edge!r}"
            raise InvalidInput("device", self.device, expected, "Give the user another name.")


def split_rows(spec: ModelSpec, share: float, overlap: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Latent rows of the edge (top) and of the device (bottom) in a parallel generation.

    Parameters
    ----------
    spec : ModelSpec
        The model; regions are multiples of its `region_multiple`.
    share : float
        Share of the rows made at the edge, before the overlap [1].
    overlap : int
        Rows that both sides make [1].

    Raises
    ------
    InvalidInput
        Where a side would be left without rows of its own, or the model makes no regions.
    """
    rows, unit = spec.latent_shape[1], spec.region_multiple
    if not unit:
        expected = f"no parallel generation: the architecture of {spec.name!r} makes no regions"
        raise InvalidInput("share", share, expected, "Take another mechanism than PEU, or another model.")
    border = round(share * rows / unit) * unit
    units = max(1, round(overlap / unit))
    # an odd unit of overlap is made by the side that has less to do
    above = (units // 2 if border <= rows / 2 else (units + 1) // 2) * unit
    below = units * unit - above
    top, bottom = (0, border + below), (border - above, rows)
    if bottom[0] <= 0 or top[1] >= rows:
        raise InvalidInput(
            "share",
            share,
            f"a share that leaves both sides rows of their own ({rows} rows, overlap {units * unit})",
            "Take a share nearer to 0.5, or a smaller overlap.",
        )
    return top, bottom


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """A mechanism: its stages, and what its options differ in.

    Parameters
    ----------
    name : str
    stages : callable
        From an `Option` and a `Setting` to the stages that really run, one after another.
    choices : tuple of str
        What its options differ in, out of `CHOICES`: hand-over step, share of the content made at the edge, precision
        of the features sent, codec of the picture sent to the device.
    runs_at : str
        "device" or "edge": where the denoising steps run, if the options do not differ in the cut.
    shown_at : tuple of str
        Where its picture can end: "device", "edge".
    senses : bool
        Whether it needs a camera on the device.
    precisions : tuple of str or None
        Precisions that it offers; None = those that the users accept.
    quality : str
        What it does to the pictures, for plans and reports; "" for the package's own.
    grouped : bool
        Whether it needs a group that shares the steps before the cut.
    protocol : str
        What its options send, where that is neither features nor a picture.
    """

    name: str
    stages: Callable[[Option, Setting], Iterable[Stage]]
    choices: tuple[str, ...] = ()
    runs_at: str = "device"
    shown_at: tuple[str, ...] = ("device",)
    senses: bool = False
    precisions: tuple[str, ...] | None = None
    quality: str = ""
    grouped: bool = False
    protocol: str = ""


MECHANISM_REGISTRY: Registry[Mechanism] = Registry("mechanism", MECHANISM_PLUGINS)
