"""What planning must know of a generative model: shapes and sizes, without the model itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import parse_json


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
        Memory of the weights [byte] of each part: encode_prompt, denoise, decode, sense.
    weight_precision : str
        Precision in which `weight_byte` counts them.
    region_multiple : int
        Rows of a latent region must be a multiple of this [1].
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
            if name not in data and name in ("weight_byte", "weight_precision", "region_multiple"):
                continue
            try:
                found[name] = read(data[name])
            except KeyError:
                raise InvalidInput(f"model spec, field {name!r}", None, "a value", _REMEDY) from None
            except (TypeError, ValueError, AttributeError, OverflowError):
                raise InvalidInput(
                    f"model spec, field {name!r}", data[name], "a value as `ModelSpec` describes it", _REMEDY
                ) from None
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


def _triple(value: Any) -> tuple[int, int, int]:
    a, b, c = (int(n) for n in value)
    return a, b, c


def _shapes(value: Any) -> dict[str, tuple[int, ...]]:
    return {str(name): tuple(int(n) for n in shape) for name, shape in value.items()}


_READERS: dict[str, Callable[[Any], Any]] = {
    "name": str,
    "latent_shape": _triple,
    "image_shape": _triple,
    "conditioning": _shapes,
    "request": _shapes,
    "passes_per_step": int,
    "steps_default": int,
    "schedulers": lambda value: tuple(str(name) for name in value),
    "weight_byte": lambda value: {str(name): int(size) for name, size in value.items()},
    "weight_precision": str,
    "region_multiple": int,
}
