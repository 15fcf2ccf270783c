"""Single-user generation mechanisms as stage programs (Xu et al., arXiv 2407.02804).

Each mechanism is one function from a `Setting` (who, which model, which sampler) and an `Option` (the
cut, the precision) to the stages that really run. `catalogue` lists the options of a setting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from megdt_opt.errors import InvalidInput
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import (
    CODECS,
    EDGE,
    PRECISIONS,
    Compute,
    EdgeServer,
    Kind,
    Parallel,
    Payload,
    Send,
    Series,
    Stage,
    TensorSpec,
    is_edge,
    series,
)

MECHANISMS = ("centralised", "local", "E2U", "U2E", "SEU", "SEU-UE-first", "PEU")
"""Names of the mechanisms. SEU hands over from the edge to the device, SEU-UE-first the other way."""

MULTISTEP = frozenset({"dpmpp"})
"""Samplers whose history (one more tensor of the latent's shape) travels with an interior hand-over."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """Mechanism, protocol and cut: one stage program.

    Parameters
    ----------
    mechanism : str
        One of `MECHANISMS`.
    cut : int
        Denoising steps before the hand-over (SEU), or at the edge (the others) [1].
    share : float
        Share of the content made at the edge (PEU) [1].
    precision : str
        Precision of the features sent, "" where none are.
    codec : str
        Codec of the image sent, "" where none is.
    """

    mechanism: str
    cut: int = 0
    share: float = 0.0
    precision: str = ""
    codec: str = ""

    @property
    def protocol(self) -> str:
        """'seed' where latent features travel, 'image' for a download, 'none' for the local baseline."""
        return "seed" if self.precision else ("image" if self.codec else "none")

    @property
    def name(self) -> str:
        """Short, unique text, for example "SEU 12 fp16" or "PEU 0.50 int8"."""
        parts = [self.mechanism]
        if self.mechanism in ("SEU", "SEU-UE-first"):
            parts.append(str(self.cut))
        if self.mechanism == "PEU":
            parts.append(f"{self.share:.2f}")
        return " ".join([*parts, *(p for p in (self.precision, self.codec) if p)])


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
    """

    spec: ModelSpec
    scheduler: str
    steps: int
    device: str
    edge: EdgeServer = EDGE
    shown_at: str = "device"
    overlap: int = 4
    sense_strength: float = 0.6

    def __post_init__(self) -> None:
        if self.scheduler not in self.spec.schedulers:
            raise InvalidInput("scheduler", self.scheduler, f"one of {self.spec.schedulers}", "Choose one of them.")
        if self.steps < 1:
            raise InvalidInput("steps", self.steps, "at least 1 denoising step", "Raise it.")
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
        Where a side would be left without rows of its own.
    """
    rows, unit = spec.latent_shape[1], spec.region_multiple
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


def program(option: Option, setting: Setting) -> Series:
    """The stages of an option.

    Raises
    ------
    InvalidInput
        For an unknown mechanism, or a cut or share outside its range.
    """
    builder = _BUILDERS.get(option.mechanism)
    if builder is None:
        raise InvalidInput("mechanism", option.mechanism, f"one of {MECHANISMS}", "Choose one of them.")
    return series(*builder(option, setting))


def catalogue(
    setting: Setting,
    *,
    precisions: Sequence[str] = PRECISIONS,
    codecs: Sequence[str] = CODECS,
    cuts: Sequence[int] | None = None,
    shares: Sequence[float] = (0.25, 0.5, 0.75),
) -> tuple[Option, ...]:
    """All options of a setting, baselines first.

    Parameters
    ----------
    setting : Setting
        The model and sampler.
    precisions, codecs : sequence of str
        Those to offer for features and for images.
    cuts : sequence of int, optional
        Steps before the hand-over of SEU, each in 1..N-1; default all.
    shares : sequence of float
        Shares of the content made at the edge in a parallel generation; those that leave a side
        without rows of its own are left out.
    """
    steps = setting.steps
    inner = range(1, steps) if cuts is None else cuts
    for cut in inner:
        if not 0 < cut < steps:
            raise InvalidInput("cuts", cut, f"1..{steps - 1} denoising steps before the hand-over", "Leave it out.")
    # a picture goes down as an image only where the device shows it
    downloads = tuple(codecs) if setting.shown_at == "device" else ("",)
    found = [Option(mechanism="local", cut=0)]
    found += [Option(mechanism="centralised", cut=steps, codec=c) for c in downloads]
    for precision in precisions:
        found.append(Option(mechanism="E2U", cut=steps, precision=precision))
        found += [Option(mechanism="SEU", cut=n, precision=precision) for n in inner]
        found += [Option(mechanism="SEU-UE-first", cut=n, precision=precision) for n in inner]
        found += [Option(mechanism="PEU", share=s, precision=precision) for s in _valid_shares(setting, shares)]
        found += [Option(mechanism="U2E", cut=steps, precision=precision, codec=c) for c in downloads]
    return tuple(found)


def _valid_shares(setting: Setting, shares: Sequence[float]) -> Iterator[float]:
    seen = set()
    for share in shares:
        try:
            rows = split_rows(setting.spec, share, setting.overlap)
        except InvalidInput:
            continue
        if rows not in seen:
            seen.add(rows)
            yield share


# --- payloads ------------------------------------------------------------


def _item(item: str, tensors: Mapping[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=f"{item}.{name}", shape=(1, *shape)) for name, shape in tensors.items())


def _latent(
    setting: Setting, *, item: str = "state", rows: tuple[int, int] | None = None, history: bool = False
) -> tuple[TensorSpec, ...]:
    channels, height, width = setting.spec.latent_shape
    shape = (channels, height if rows is None else rows[1] - rows[0], width)
    tensors = {"latent": shape}
    if history and setting.scheduler in MULTISTEP:
        tensors["previous_x0"] = shape
    return _item(item, tensors)


def _conditioning(setting: Setting) -> tuple[TensorSpec, ...]:
    return _item("conditioning", setting.spec.conditioning)


def _request_up(setting: Setting) -> Send:
    return Send(
        source=setting.device, to=(setting.edge,), payload=Payload.REQUEST,
        tensors=_item("request", setting.spec.request), precision="fp32",
    )  # fmt: skip


def _image_down(setting: Setting, codec: str) -> tuple[Stage, ...]:
    rows, columns, colours = setting.spec.image_shape
    coded = codec != "raw"
    picture = TensorSpec(name="image.pixels", shape=(1, rows, columns, colours), floating=False)
    if coded:  # the length of a coded picture is known only at run time; shape (0,) says so
        picture = TensorSpec(name="image.bytes", shape=(0,), floating=False)
    send = Send(source=setting.edge, to=(setting.device,), payload=Payload.IMAGE, tensors=(picture,), precision=codec)
    if not coded:
        return (send,)
    return (
        Compute(at=setting.edge, kind=Kind.COMPRESS, codec=codec, item="image"),
        send,
        Compute(at=setting.device, kind=Kind.DECOMPRESS, codec=codec, item="image"),
    )


def _denoise(at: str, first: int, amount: int, rows: tuple[int, int] | None = None, item: str = "state") -> Compute:
    return Compute(at=at, kind=Kind.DENOISE, first=first, amount=amount, rows=rows, item=item)


def _encode(at: str) -> Compute:
    return Compute(at=at, kind=Kind.ENCODE_PROMPT, item="conditioning")


def _decode(at: str) -> Compute:
    return Compute(at=at, kind=Kind.DECODE, item="image")


# --- mechanisms ------------------------------------------------------------


def _centralised(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (
        _request_up(s),
        _encode(s.edge),
        _denoise(s.edge, 0, s.steps),
        _decode(s.edge),
        *(_image_down(s, option.codec) if s.shown_at == "device" else ()),
    )


def _local(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (_encode(s.device), _denoise(s.device, 0, s.steps), _decode(s.device))


def _seed_down(s: Setting, precision: str, *, history: bool) -> Send:
    return Send(
        source=s.edge, to=(s.device,), payload=Payload.LATENT if history else Payload.SEED,
        tensors=_latent(s, history=history), precision=precision,
    )  # fmt: skip


def _e2u(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (
        _request_up(s),
        _encode(s.edge),
        _denoise(s.edge, 0, s.steps),
        _seed_down(s, option.precision, history=False),
        _decode(s.device),
    )


def _check_cut(option: Option, s: Setting) -> None:
    if not 0 < option.cut < s.steps:
        raise InvalidInput(
            "cut",
            option.cut,
            f"1..{s.steps - 1} denoising steps before the hand-over",
            "Move the cut inside the chain.",
        )


def _seu(option: Option, s: Setting) -> tuple[Stage, ...]:
    _check_cut(option, s)
    return (
        # the device has the request and makes its own conditioning: cheaper than sending it
        _encode(s.device),
        _request_up(s),
        _encode(s.edge),
        _denoise(s.edge, 0, option.cut),
        _seed_down(s, option.precision, history=True),
        _denoise(s.device, option.cut, s.steps - option.cut),
        _decode(s.device),
    )


def _seu_ue_first(option: Option, s: Setting) -> tuple[Stage, ...]:
    _check_cut(option, s)
    # the request itself never leaves the device: the edge gets the latent and the encoded conditioning
    up = Send(
        source=s.device, to=(s.edge,), payload=Payload.LATENT,
        tensors=(*_latent(s, history=True), *_conditioning(s)), precision=option.precision,
    )  # fmt: skip
    ends: tuple[Stage, ...] = (
        (_seed_down(s, option.precision, history=False), _decode(s.device))
        if s.shown_at == "device"
        else (_decode(s.edge),)
    )
    return (
        _encode(s.device),
        _denoise(s.device, 0, option.cut),
        up,
        _denoise(s.edge, option.cut, s.steps - option.cut),
        *ends,
    )


def _u2e(option: Option, s: Setting) -> tuple[Stage, ...]:
    first = s.steps - max(1, round(s.sense_strength * s.steps))
    up = Send(
        source=s.device, to=(s.edge,), payload=Payload.FEATURE,
        tensors=(*_latent(s, item="sensed"), *_conditioning(s)), precision=option.precision,
    )  # fmt: skip
    return (
        _encode(s.device),
        Compute(at=s.device, kind=Kind.SENSE, item="sensed"),
        up,
        _denoise(s.edge, first, s.steps - first),
        _decode(s.edge),
        *(_image_down(s, option.codec) if s.shown_at == "device" else ()),
    )


def _peu(option: Option, s: Setting) -> tuple[Stage, ...]:
    top, bottom = split_rows(s.spec, option.share, s.overlap)
    part = Send(
        source=s.edge, to=(s.device,), payload=Payload.FEATURE,
        tensors=_latent(s, item="part_a", rows=top), precision=option.precision,
    )  # fmt: skip
    at_edge = series(_request_up(s), _encode(s.edge), _denoise(s.edge, 0, s.steps, rows=top, item="part_a"), part)
    at_device = series(_encode(s.device), _denoise(s.device, 0, s.steps, rows=bottom, item="part_b"))
    return (
        Parallel((at_edge, at_device)),
        Compute(at=s.device, kind=Kind.FUSE, item="state"),
        _decode(s.device),
    )


_BUILDERS = {
    "centralised": _centralised,
    "local": _local,
    "E2U": _e2u,
    "U2E": _u2e,
    "SEU": _seu,
    "SEU-UE-first": _seu_ue_first,
    "PEU": _peu,
}
