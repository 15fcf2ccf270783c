"""What planning must know of a generative model: shapes and sizes, without the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePath
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import parse_json
from megdt_opt.program.samplers import state_law

ALONE, WITH_PROMPT = "alone", "prompt"
"""What a generator from sketches takes: the sketch alone, or the encoded prompt beside it."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Shapes and sizes of a latent diffusion model; loading it needs no torch.

    Parameters
    ----------
    name : str
        Name of the model, as timing profiles and scenarios call it.
    latent_shape : tuple of int
        (channels, rows, columns) of the latent.
    image_shape : tuple of int
        (rows, columns, 3) of the picture, 8 bit per value.
    conditioning : mapping of str to tuple of int
        Tensors that the prompt encoder yields, name to shape without the batch dimension.
    request : mapping of str to tuple of int
        Tensors of a request, name to shape without the batch dimension.
    passes_per_step : int
        Denoiser passes per denoising step [1]; 2 with classifier-free guidance.
    steps_default : int
        Denoising steps of a generation [1].
    schedulers : tuple of str
        Samplers offered.
    weight_byte : mapping of str to int
        Memory of the weights [byte] of each part: encode_prompt, denoise, decode, sense; read_sketch is what a
        generator from sketches has beside the denoiser.
    weight_precision : str
        Precision in which `weight_byte` counts them.
    region_multiple : int
        Rows of a latent region must be a multiple of this [1]; 0 where the model makes no regions.
    guidance : float
        Scale of classifier-free guidance [1]; 1 without.
    guidance_by : str
        "passes" (a second denoiser pass without the prompt), "embedding" (the scale is an input of the denoiser) or
        "none".
    source : str
        Pipeline folder or hub id that executions load; "" for a model that is registered by its name.
    weights : str
        "trained", or "random" where a pipeline's configurations are built with random ones.
    steps_made : mapping of str to tuple of (int, int)
        Numbers of denoising steps that each sampler can make, name to ranges (first, last) [1]; of those that are not
        listed it is not known.
    sketch : str
        What its generator from sketches takes: "alone" (the sketch), "prompt" (the encoded prompt beside it), or ""
        where it has none.
    controlnet : str
        Folder of the ControlNet by which a pipeline generates from sketches; "" for none.
    """

    name: str
    latent_shape: tuple[int, int, int]
    image_shape: tuple[int, int, int]
    conditioning: Mapping[str, tuple[int, ...]]
    request: Mapping[str, tuple[int, ...]]
    passes_per_step: int
    steps_default: int
    schedulers: tuple[str, ...]
    weight_byte: Mapping[str, int] = field(default_factory=dict)
    weight_precision: str = "fp32"
    region_multiple: int = 1
    guidance: float = 1.0
    guidance_by: str = "none"
    source: str = ""
    weights: str = "trained"
    steps_made: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    sketch: str = ""
    controlnet: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelSpec:
        """Build from plain data.

        Raises
        ------
        InvalidInput
            If a field is missing or of another kind.
        """
        if not isinstance(data, Mapping):
            raise InvalidInput("model spec", type(data).__name__, "an object with the fields of a model spec", _REMEDY)
        found = {}
        for name, read in _READERS.items():
            if name not in data and name in _DEFAULTED:
                continue
            try:
                found[name] = read(data[name])
            except KeyError:
                raise InvalidInput(f"model spec, field {name!r}", None, "a value", _REMEDY) from None
            except (TypeError, ValueError, AttributeError, OverflowError):
                raise InvalidInput(
                    f"model spec, field {name!r}", data[name], "a value as `ModelSpec` describes it", _REMEDY
                ) from None
        if "guidance_by" not in found and found["passes_per_step"] == 2:
            found |= {"guidance": 7.5, "guidance_by": "passes"}  # files from before these fields
        return cls(**found)

    @classmethod
    def from_json(cls, text: str, source: str = "text") -> ModelSpec:
        """Build from JSON text; raises as `from_dict` does, and names `source`."""
        data = parse_json(text, "model spec", source, remedy=_REMEDY)
        try:
            return cls.from_dict(data)
        except InvalidInput as error:
            raise error.within(source) from None


_REMEDY = "Point to the spec of a model."
_MOST = 2**24


def with_decoder(spec: ModelSpec, decoder: str | None) -> ModelSpec:
    """The spec of a pipeline that decodes with another autoencoder: its profiles are of another name.

    Parameters
    ----------
    spec : ModelSpec
    decoder : str or None
        Folder of the autoencoder; None leaves the spec as it is.

    Raises
    ------
    InvalidInput
        Where the model is no pipeline.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from megdt_opt.models.registry import find_spec
    >>> with_decoder(replace(find_spec("sd15"), source="models/own"), "models/taesd").name
    'sd15+taesd'
    """
    if decoder is None:
        return spec
    if not spec.source:
        remedy = "Leave it out, or name a pipeline folder as the scenario's model."
        raise InvalidInput("decoder", decoder, f"none: the model {spec.name!r} has its own", remedy)
    return replace(spec, name=f"{spec.name}+{PurePath(decoder).name}")


def with_refiner(spec: ModelSpec, refiner: str | None, scheduler: str) -> ModelSpec:
    """The spec of a pipeline whose device goes on with a refiner: its profiles are of the refiner's name.

    Parameters
    ----------
    spec : ModelSpec
    refiner : str or None
        Folder of the refiner; None leaves the spec as it is.
    scheduler : str
        Sampler, of which a hand-over to the refiner holds the latent alone, as diffusers' pipelines hand over.

    Raises
    ------
    InvalidInput
        Where the model is no pipeline, or the sampler needs more than the latent.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from megdt_opt.models.registry import find_spec
    >>> with_refiner(replace(find_spec("sdxl"), source="models/xl"), "models/refiner", "euler").name
    'refiner'
    """
    if refiner is None:
        return spec
    if not spec.source:
        remedy = "Leave it out, or name a pipeline folder as the scenario's model."
        raise InvalidInput("refiner", refiner, f"none: the model {spec.name!r} is no pipeline's folder", remedy)
    law = state_law(scheduler)
    if law.random or law.by_step or law.history(1, 0):
        expected = f"none with {scheduler!r}, of which a hand-over is more than a latent"
        raise InvalidInput("refiner", refiner, expected, 'Take a scheduler such as "ddim" or "euler".')
    return replace(spec, name=PurePath(refiner).name)


def with_guidance(spec: ModelSpec, scale: float) -> ModelSpec:
    """The spec of the same model at another scale of the guidance; up to 1 a step has one pass.

    Parameters
    ----------
    spec : ModelSpec
    scale : float
        Scale of the guidance, at least 0 [1].

    Raises
    ------
    InvalidInput
        Where the model has no guidance, or the scale is no such number.

    Examples
    --------
    >>> from megdt_opt.models.registry import find_spec
    >>> turbo = with_guidance(find_spec("sdxl"), 1)
    >>> turbo.passes_per_step, sorted(turbo.conditioning)
    (1, ['pooled', 'tokens'])
    """
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 <= scale <= 1000:
        raise InvalidInput("guidance", scale, "a scale from 0 to 1000 [1]", "Give the scale; 1 is one pass in a step.")
    if spec.guidance_by == "none":
        if scale == spec.guidance:
            return spec
        remedy = "Leave it out, or take a model with guidance."
        raise InvalidInput("guidance", scale, f"none: the model {spec.name!r} has no guidance", remedy)
    if spec.guidance_by == "embedding":
        return replace(spec, guidance=float(scale))
    others = {name: "negative" if name == "tokens" else f"{name}_negative" for name in spec.conditioning}
    first = {name: shape for name, shape in spec.conditioning.items() if "negative" not in name}
    if scale <= 1:
        return replace(spec, guidance=float(scale), passes_per_step=1, conditioning=first)
    both = {name: shape for own, shape in first.items() for name in (own, others[own])}
    return replace(spec, guidance=float(scale), passes_per_step=2, conditioning=both)


def _size(value: Any) -> int:
    found = int(value)
    if not 0 < found <= _MOST:
        raise ValueError
    return found


def _triple(value: Any) -> tuple[int, int, int]:
    a, b, c = (_size(n) for n in value)
    return a, b, c


def _shapes(value: Any) -> dict[str, tuple[int, ...]]:
    return {str(name): tuple(_size(n) for n in shape) for name, shape in value.items()}


def _one_of(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return read


def _scale(value: Any) -> float:
    found = float(value)
    if not 0 <= found <= 1000:
        raise ValueError
    return found


_READERS: dict[str, Callable[[Any], Any]] = {
    "name": str,
    "latent_shape": _triple,
    "image_shape": _triple,
    "conditioning": _shapes,
    "request": _shapes,
    "passes_per_step": _size,
    "steps_default": _size,
    "schedulers": lambda value: tuple(str(name) for name in value),
    "weight_byte": lambda value: {str(name): int(size) for name, size in value.items()},
    "weight_precision": str,
    "region_multiple": int,
    "guidance": _scale,
    "guidance_by": _one_of("passes", "embedding", "none"),
    "source": str,
    "weights": _one_of("trained", "random"),
    "steps_made": lambda value: {
        str(name): tuple((_size(first), _size(last)) for first, last in ranges) for name, ranges in value.items()
    },
    "sketch": _one_of("", ALONE, WITH_PROMPT),
    "controlnet": str,
}
_DEFAULTED = (
    "weight_byte", "weight_precision", "region_multiple", "guidance", "guidance_by", "source", "weights",
    "steps_made", "sketch", "controlnet",
)  # fmt: skip
