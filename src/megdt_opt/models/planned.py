"""Models as they were planned: what an actor's process is told to load, and loading it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.models.diffusers.controlnet import bare_name
from megdt_opt.models.memory import PRECISION_BYTE
from megdt_opt.models.registry import adapters_of, load_model, read_adapter
from megdt_opt.models.split_model import AdaptableModel, SplitModel
from megdt_opt.program.model_spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A model as an actor's process is told to load it.

    Parameters
    ----------
    spec : ModelSpec
    precision : str
        "fp32", "fp16" or "bf16".
    decoder : str, optional
        Folder of a small autoencoder that decodes in place of a pipeline's own, or the name of a decoder of the model.
    refiner : str, optional
        Folder of the refiner that this process has in place of the pipeline.
    adapter : str, optional
        Adapter of the user whose device this process is, by its name or file.
    adapter_sha256 : str, optional
        Digest of that adapter's file when it was planned with.
    """

    spec: ModelSpec
    precision: str = "fp32"
    decoder: str | None = None
    refiner: str | None = None
    adapter: str | None = None
    adapter_sha256: str | None = None

    @property
    def weight_byte(self) -> dict[str, int]:
        """Memory of each part's weights in this precision [byte]."""
        ratio = PRECISION_BYTE.get(self.precision, 4) / PRECISION_BYTE.get(self.spec.weight_precision, 4)
        return {part: round(ratio * size) for part, size in self.spec.weight_byte.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {
            "spec": self.spec.to_dict(),
            "precision": self.precision,
            "decoder": self.decoder,
            "refiner": self.refiner,
            "adapter": self.adapter,
            "adapter_sha256": self.adapter_sha256,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PlannedModel:
        """Build from plain data; raises InvalidInput as `ModelSpec.from_dict` does."""
        return cls(
            spec=ModelSpec.from_dict(data["spec"]),
            precision=str(data["precision"]),
            decoder=data.get("decoder"),
            refiner=data.get("refiner"),
            adapter=data.get("adapter"),
            adapter_sha256=data.get("adapter_sha256"),
        )

    def load(self) -> SplitModel:
        """The model, on the processor; raises as `load_planned` does."""
        found = load_planned(self.spec, precision=self.precision, decoder=self.decoder, refiner=self.refiner)
        return found if self.adapter is None else with_adapter(found, self.adapter, self.adapter_sha256)


def load_planned(
    spec: ModelSpec,
    *,
    precision: str = "fp32",
    device: str = "cpu",
    decoder: str | None = None,
    refiner: str | None = None,
) -> SplitModel:
    """The model that a spec says: what an execution runs. Nothing that a spec names is downloaded or imported.

    Parameters
    ----------
    spec : ModelSpec
        As a plan holds it.
    precision : str
        "fp32", "fp16" or "bf16".
    device : str
        Torch device.
    decoder : str, optional
        Folder of a small autoencoder that decodes in place of a pipeline's own, or the name of a decoder of the model.
    refiner : str, optional
        Folder of a refiner, which is loaded in place of the pipeline, for the same latents, pictures and requests.

    Raises
    ------
    InvalidInput
        Where the model has another shape than the spec says.
    MegdtError
        As by `load_model`.
    """
    if spec.source:
        from megdt_opt.models.diffusers.model import DiffusersModel

        guidance = None if spec.guidance_by == "none" else spec.guidance
        rows, columns, _ = spec.image_shape
        how: dict[str, Any] = {
            "device": device,
            "precision": precision,
            "guidance": guidance,
            "pixels": (rows, columns),
        }
        source = refiner or spec.source
        if spec.weights == "random":
            found: SplitModel = DiffusersModel.from_config(source, **how)
        else:
            found = DiffusersModel.from_pretrained(
                source, name=bare_name(spec), decoder=decoder, local_files_only=True,
                controlnet=None if refiner else spec.controlnet or None, **how,
            )  # fmt: skip
    else:
        found = load_model(spec.name, device=device, precision=precision, decoder=decoder)
    for name in ("latent_shape", "image_shape", "request", "passes_per_step", *(() if refiner else ("conditioning",))):
        mine, theirs = getattr(spec, name), getattr(found.spec, name)
        if mine != theirs:
            remedy = "Calibrate and plan the model again."
            raise InvalidInput(f"model {spec.name}, {name}", theirs, f"{mine}, as it was planned", remedy)
    return found


def with_adapter(model: SplitModel, adapter: str, sha256: str | None = None) -> AdaptableModel:
    """The same model, told which adapter `adapted` loads.

    Parameters
    ----------
    model : SplitModel
    adapter : str
        Name of a bundled adapter, or path of its file.
    sha256 : str, optional
        Digest that the file must have.

    Raises
    ------
    InvalidInput
        Where the model takes none, or the file cannot be used or is another one.
    """
    found = read_adapter(model.spec, adapter, sha256)
    own = copy.copy(model)
    if not isinstance(own, AdaptableModel):
        expected = "one with `adapted` (megdt_opt.models.split_model.AdaptableModel)"
        raise InvalidInput("model", type(model).__name__, expected, "Add it, or leave the adapter out.")
    own.adapter, own.adapter_sha256 = adapter, found.sha256
    return own


def example_adapted(model: SplitModel) -> AdaptableModel:
    """A model with the adapter that it has, or else with one to time the loading of; the given one stays as it is.

    Raises
    ------
    InvalidInput
        Where the model takes none.
    """
    if isinstance(model, AdaptableModel) and model.adapter is not None:
        return model
    found = adapters_of(model.spec)
    return with_adapter(model, "" if found is None else found.example)
