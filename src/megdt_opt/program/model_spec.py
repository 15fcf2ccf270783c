"""What planning must know of a generative model: shapes and sizes, without the model itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from megdt_opt.errors import InvalidInput


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
        try:
            return cls(
                name=str(data["name"]),
                latent_shape=_triple(data["latent_shape"]),
                image_shape=_triple(data["image_shape"]),
                conditioning={k: tuple(int(n) for n in v) for k, v in data["conditioning"].items()},
                request={k: tuple(int(n) for n in v) for k, v in data["request"].items()},
                passes_per_step=int(data["passes_per_step"]),
                steps_default=int(data["steps_default"]),
                schedulers=tuple(str(s) for s in data["schedulers"]),
                weight_byte={k: int(v) for k, v in data.get("weight_byte", {}).items()},
                region_multiple=int(data.get("region_multiple", 1)),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                "model spec",
                dict(data) if isinstance(data, Mapping) else data,
                "the fields of ModelSpec",
                f"Mend this field: {error}.",
            ) from error

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Build from JSON text; raises as `from_dict` does."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidInput("model spec", text, "JSON", f"{error}.") from None
        return cls.from_dict(data)


def _triple(value: Any) -> tuple[int, int, int]:
    a, b, c = (int(n) for n in value)
    return a, b, c
