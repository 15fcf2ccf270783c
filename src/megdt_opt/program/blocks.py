"""The stages that mechanisms are made of: what is sent with which tensors, and what is computed where."""

from __future__ import annotations

from collections.abc import Mapping

from megdt_opt.program.option import Setting
from megdt_opt.program.samplers import GENERATOR, state_shapes
from megdt_opt.program.stages import Compute, Kind, Parallel, Payload, Send, Series, Stage, TensorSpec


def _item(item: str, tensors: Mapping[str, tuple[int, ...]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=f"{item}.{name}", shape=(1, *shape), floating=name != GENERATOR)
        for name, shape in tensors.items()
    )


def latent_tensors(
    setting: Setting,
    *,
    item: str = "state",
    rows: tuple[int, int] | None = None,
    history: bool = False,
    done: int | None = None,
    entered: int = 0,
) -> tuple[TensorSpec, ...]:
    """Tensors of a latent, or of some rows of it; with all that its sampler needs where the chain goes on elsewhere.

    Parameters
    ----------
    setting : Setting
        The model and sampler.
    item : str
        What actors call it.
    rows : tuple of int, optional
        Rows [begin, end) of the latent; None = all.
    history : bool
        Whether the chain goes on where it is sent.
    done, entered : int
        Steps of the chain done before, and the step at which it was entered, as for `samplers.state_shapes`.

    Returns
    -------
    tuple of TensorSpec

    Raises
    ------
    InvalidInput
        If the sampler's history depends on `done` and it is missing.
    """
    channels, height, width = setting.spec.latent_shape
    shape = (channels, height if rows is None else rows[1] - rows[0], width)
    if not history:
        return _item(item, {"latent": shape})
    return _item(item, state_shapes(setting.scheduler, shape, done=done, entered=entered))


def conditioning_tensors(setting: Setting) -> tuple[TensorSpec, ...]:
    """Tensors of an encoded prompt."""
    return _item("conditioning", setting.spec.conditioning)


def send_request(setting: Setting) -> Send:
    """The request, from the device to the edge."""
    return Send(
        source=setting.device, to=(setting.edge,), payload=Payload.REQUEST,
        tensors=_item("request", setting.spec.request), precision="fp32",
    )  # fmt: skip


def send_latent(setting: Setting, precision: str, *, history: bool, done: int | None = None) -> Send:
    """The latent, from the edge to the device; `history` where denoising goes on there, after `done` steps."""
    return Send(
        source=setting.edge, to=(setting.device,), payload=Payload.LATENT if history else Payload.SEED,
        tensors=latent_tensors(setting, history=history, done=done), precision=precision,
    )  # fmt: skip


def send_picture(setting: Setting, codec: str) -> tuple[Stage, ...]:
    """The picture, from the edge to the device, coded and decoded again unless the codec is "raw"."""
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


def denoise(at: str, first: int, amount: int, rows: tuple[int, int] | None = None, item: str = "state") -> Compute:
    """Steps first..first + amount - 1 of the chain, on the whole latent or on some rows of it."""
    return Compute(at=at, kind=Kind.DENOISE, first=first, amount=amount, rows=rows, item=item)


def encode_prompt(at: str) -> Compute:
    """Conditioning from the request."""
    return Compute(at=at, kind=Kind.ENCODE_PROMPT, item="conditioning")


def with_adapter(program: Series, device: str) -> Series:
    """The stages of a program whose device loads its user's adapter, once, right before its first denoising step.

    Parameters
    ----------
    program : Series
    device : str
        Actor whose denoising steps use the adapter; those of an edge server do not.

    Returns
    -------
    Series
        The same one where the device denoises nothing.

    Examples
    --------
    >>> from megdt_opt.program.stages import leaves, series
    >>> own = with_adapter(series(encode_prompt("phone"), denoise("phone", 0, 4), denoise("phone", 4, 4)), "phone")
    >>> [str(leaf.kind) for leaf in leaves(own)]
    ['encode_prompt', 'adapt', 'denoise', 'denoise']
    """
    found, _ = _adapted(program, device, loaded=False)
    assert isinstance(found, Series)
    return found


def _adapted(stage: Stage, device: str, *, loaded: bool) -> tuple[Stage, bool]:
    """A stage with what loads the adapter, unless that is loaded; and whether it is loaded behind it."""
    match stage:
        case Series(stages):
            parts: list[Stage] = []
            for part in stages:
                own, after = _adapted(part, device, loaded=loaded)
                parts += own.stages if isinstance(own, Series) and isinstance(part, Compute) else (own,)
                loaded = after
            return Series(tuple(parts)), loaded
        case Parallel(branches):
            ends = [_adapted(branch, device, loaded=loaded) for branch in branches]
            return Parallel(tuple(own for own, _ in ends)), any(after for _, after in ends)
        case Compute(at=at, kind=kind) if at == device and kind == Kind.DENOISE and not loaded:
            return Series((Compute(at=device, kind=Kind.ADAPT, item="adapter"), stage)), True
    return stage, loaded


def decode(at: str) -> Compute:
    """Picture from the latent."""
    return Compute(at=at, kind=Kind.DECODE, item="image")
