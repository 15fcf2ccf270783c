"""Models by name: where a model's spec is, how it is loaded, and what requests of it are made of.

Whatever depends on which model it is stands in `MODELS`, where users register their own; nothing else asks for a
model's name. Only loading a model loads torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.files import JSON, is_path, read_text
from megdt_opt.models.adapters import Adapters, ReadAdapter
from megdt_opt.models.diffusers.architecture import ARCHITECTURES, Architecture
from megdt_opt.models.diffusers.controlnet import spec_with_controlnet
from megdt_opt.models.memory import PRECISION_BYTE, require_memory, require_picture_memory
from megdt_opt.models.specs import PUBLISHED_SPECS, bundled_spec
from megdt_opt.models.split_model import SplitModel
from megdt_opt.models.twin.adapters import TwinAdapters
from megdt_opt.models.twin.reading import twin_features, twin_score
from megdt_opt.models.twin.scene_requests import TwinRequests
from megdt_opt.program.latent_codes import LATENT_CODES
from megdt_opt.program.model_spec import ModelSpec, with_guidance
from megdt_opt.program.registry import LOAD_IT, Registry
from megdt_opt.program.sketches import SKETCH_MECHANISMS

MODEL_PLUGINS = "megdt_opt.models"
"""Group of the entry points whose modules register models."""

DEFAULT_MODEL = "megdt_opt.models.twin.model:TwinModel"
"""Import path of the bundled model, "module:class", as the processes of an execution take it."""

MEASURABLE = ("fp16", "bf16", "int8", *(code.name for code in LATENT_CODES))
"""Precisions of the package whose pictures differ from those of fp32."""

_SPEC_BYTE = 2**24

Request = dict[str, NDArray[Any]]
"""Tensors of one request by name, with a batch dimension of 1."""

Subject = int | str | Mapping[str, Any]
"""What a user asks to be shown, as scenarios state it: a prompt, a scene in full, or a seed to draw either from."""


class Requests(Protocol):
    """Makes the requests of one model, in numpy; with sketches also `sketch(picture)`, a picture's coded one."""

    def request(self, subject: Subject) -> Request:
        """Request that asks for a subject."""
        ...

    def camera(self, subject: Subject) -> NDArray[np.uint8]:
        """Frame of a camera that looks at the subject, uint8 (1, rows, columns, 3)."""
        ...

    def reference(self, request: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8] | None:
        """Picture that a request asks for, uint8 (rows, columns, 3); None where it is not known beforehand."""
        ...


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """What is known of a model by its name.

    Parameters
    ----------
    load : callable
        Makes the model, on a torch device [name] and in a precision ("fp32", "fp16", "bf16").
    spec : callable, optional
        Reads its spec without torch; None where planning has none yet.
    requests : Requests, optional
        Makes requests of it from a scenario; None where what they are made of is not known.
    score : callable, optional
        From a picture and the subject that it should show to how many of its objects are read, and how many it has;
        None where pictures are not read.
    measured : tuple of str
        What else than its own fp32 was measured of its pictures: precisions, "decoder NAME", mechanisms that send a
        sketch.
    decoders : mapping of str to callable
        Other weights of its decoder by name, each of which makes the model with them; being the same network, they
        have the same times and sizes.
    adapters : Adapters, optional
        The adapters of users that it takes; None where it takes none.
    features : callable, optional
        From pictures, uint8 (M, rows, columns, 3), to what a network sees in them, (M, F): the space of the Frechet
        distance.
    """

    load: Callable[[str, str], SplitModel]
    spec: Callable[[], ModelSpec] | None = None
    requests: Requests | None = None
    score: Callable[[NDArray[np.uint8], Subject], tuple[int, int]] | None = None
    measured: tuple[str, ...] = ()
    decoders: Mapping[str, Callable[[str, str], SplitModel]] = field(default_factory=dict)
    adapters: Adapters | None = None
    features: Callable[[NDArray[np.uint8]], NDArray[np.float64]] | None = None


def find_spec(name: str, guidance: float | None = None, controlnet: str | None = None) -> ModelSpec:
    """The spec of a model.

    Parameters
    ----------
    name : str
        A name in `MODELS` that has a spec, the path of a spec's JSON file, a pipeline folder with its weights, or a hub
        id that is cached on this machine.
    guidance : float, optional
        Scale of its guidance [1]; default its own.
    controlnet : str, optional
        Folder of a ControlNet by which a pipeline makes pictures from sketches.

    Raises
    ------
    InvalidInput
        If there is none of these, a configuration of the folder cannot be used, the model has no guidance, or the
        ControlNet does not fit.
    WeightsError
        Where a part of the folder has no weights.
    """
    found = _find_spec(name)
    found = found if guidance is None else with_guidance(found, guidance)
    return found if controlnet is None else spec_with_controlnet(found, controlnet)


def refuse_shared_name(name: str) -> None:
    """Refuse a name that a known model and a pipeline's folder here share."""
    if MODELS.find(name) is not None and (Path(name) / "model_index.json").is_file():
        expected = "the name of a model, or a folder of another name"
        remedy = f"Write ./{name} for the folder; for the model of this name, rename the folder."
        raise InvalidInput("model", name, expected, remedy)


def _find_spec(name: str) -> ModelSpec:
    refuse_shared_name(name)
    known = MODELS.find(name)
    if known is not None and known.spec is not None:
        return known.spec()
    if Path(name).is_dir() or is_hub_id(name):
        return _folder_spec(name)
    if not Path(name).exists():
        planned = tuple(n for n in MODELS.names if MODELS.require(n).spec is not None)
        expected = f"one of {planned}, a pipeline folder, a cached hub id or a spec file"
        raise InvalidInput("model", name, expected, f"Choose one of them, or {LOAD_IT}.")
    return ModelSpec.from_json(read_text(name, "model spec", limit_byte=_SPEC_BYTE), name)


def load_model(  # wide: each is one setting of a model, by keyword
    name: str,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    guidance: float | None = None,
    pixels: int | tuple[int, int] | None = None,
    weights: str = "trained",
    variant: str | None = None,
    decoder: str | None = None,
    controlnet: str | None = None,
) -> SplitModel:
    """The model of this name.

    Parameters
    ----------
    name : str
        A name in `MODELS`, a pipeline folder or a hub id.
    device : str
        Torch device.
    precision : str
        "fp32", "fp16" or "bf16".
    guidance : float, optional
        Scale of the guidance of a pipeline [1]; up to 1 there is one pass in a step. Default the family's.
    pixels : int or tuple of int, optional
        Sides of a pipeline's picture, or (rows, columns) [pixel]; default its native size.
    weights : str
        "trained", or "random" to build a pipeline folder's configurations with random ones.
    variant : str, optional
        Variant of a pipeline's weight files, such as "fp16".
    decoder : str, optional
        Folder of a small autoencoder that decodes in place of a pipeline's own, or the name of a decoder of the model.
    controlnet : str, optional
        Folder of a ControlNet by which a pipeline makes pictures from sketches.

    Raises
    ------
    InvalidInput
        Where it is no such name, and neither a folder nor the form of a hub id, or a setting does not go with it.
    MegdtError
        Where the packages of the extra `diffusion` are missing, the model cannot be loaded, or its weights need
        more memory than there is.
    """
    refuse_shared_name(name)
    known = MODELS.find(name)
    if known is None and "/" not in name and not (name and Path(name).exists()):
        near = get_close_matches(name, MODELS.names, n=1)
        expected = f"one of {MODELS.names}, a pipeline folder, or a hub id of the form OWNER/MODEL"
        remedy = f"Did you mean {near[0]!r}?" if near else f"Choose one of them, or {LOAD_IT}."
        raise InvalidInput("model", name, expected, remedy)
    if weights not in ("trained", "random"):
        raise InvalidInput("weights", weights, "'trained' or 'random'", "Choose one of them.")
    if known is not None and decoder is not None and decoder in known.decoders:
        known, decoder = replace(known, load=known.decoders[decoder]), None
    settings = {"guidance": guidance, "pixels": pixels, "variant": variant, "decoder": decoder}
    settings["controlnet"] = controlnet
    given = {key: value for key, value in settings.items() if value is not None}
    try:
        if known is None:
            return _pipeline(name, device, precision, weights, given)
        if name in ARCHITECTURES and not {"variant", "decoder", "controlnet"} & set(given):
            return _random_weights(name, device, precision, **given)
        for key, value in given.items():
            remedy = "Leave it out, or take a pipeline folder."
            raise InvalidInput(key, value, f"nothing with the model {name!r}, which has its own", remedy)
        return known.load(device, precision)
    except ImportError as error:
        raise MegdtError(
            f"calibration needs the package {error.name}: install it with pip install 'megdt-opt[diffusion]'"
        ) from error


def adapters_of(spec: ModelSpec) -> Adapters | None:
    """The adapters that a model takes; None where it takes none."""
    known = None if spec.source else MODELS.find(spec.name)
    return None if known is None else known.adapters


def read_adapter(spec: ModelSpec, source: str, sha256: str | None = None) -> ReadAdapter:
    """An adapter of a model, checked; raises InvalidInput where the model takes none, and as `Adapters.read` does."""
    found = adapters_of(spec)
    if found is None:
        able = ", ".join(repr(name) for name in MODELS.names if MODELS.require(name).adapters is not None)
        remedy = f"Leave it out, or plan with a model that takes adapters: {able}."
        if spec.source:
            remedy += (
                " LoRA files of pipelines need the package peft, which is not used here: merge the file beforehand."
            )
        raise InvalidInput("adapter", source, f"none: the model {spec.name!r} takes no adapters", remedy)
    return found.read(source, sha256)


def _twin(device: str, precision: str, decoder: str | None = None) -> SplitModel:
    from megdt_opt.models.twin.model import TwinModel

    for name, asked, own in (("precision", precision, TwinModel.precision), ("device", device, TwinModel.device)):
        if asked != own:
            raise InvalidInput(
                name, asked, f"{own!r}, the only one of the twin", "Leave it out, or take another model."
            )
    return TwinModel.load(decoder=decoder)


def _random_weights(name: str, device: str, precision: str, **settings: Any) -> SplitModel:
    from megdt_opt.models.diffusers.model import DiffusersModel

    _require_memory(ARCHITECTURES[name], precision, device, settings.get("pixels"))
    return DiffusersModel.from_config(name, device=device, precision=precision, **settings)


def _pipeline(name: str, device: str, precision: str, weights: str, settings: dict[str, Any]) -> SplitModel:
    from megdt_opt.models.diffusers.location import folder_of
    from megdt_opt.models.diffusers.model import DiffusersModel

    variant = settings.get("variant")
    design = Architecture.read(folder_of(name, variant=variant))
    _require_memory(design, precision, device, settings.get("pixels"))
    if weights == "trained":
        return DiffusersModel.from_pretrained(name, device=device, precision=precision, **settings)
    for key in ("variant", "decoder", "controlnet"):
        if settings.get(key) is not None:
            raise InvalidInput(key, settings[key], "none with random weights", "Leave one of the two out.")
    return DiffusersModel.from_config(folder_of(name), device=device, precision=precision, **settings)


def _require_memory(design: Architecture, precision: str, device: str, pixels: int | tuple[int, int] | None) -> None:
    from megdt_opt.models.diffusers.loading import needed_byte

    if device == "cpu" and precision in PRECISION_BYTE:
        require_memory(design.name, needed_byte(design, precision), precision)
        if pixels is not None:
            require_picture_memory(design.name, *((pixels, pixels) if isinstance(pixels, int) else pixels))


def known_measured(spec: ModelSpec) -> tuple[str, ...]:
    """What is known to be good enough of a model's pictures without a table: fp32, and what it says was measured."""
    known = None if spec.source else MODELS.find(spec.name)
    return ("fp32", *(() if known is None else known.measured))


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a hub id, and is no path of a file."""
    return name.count("/") == 1 and not name.startswith(("/", ".", "~")) and not is_path(name, JSON, folders=False)


def _folder_spec(name: str) -> ModelSpec:
    from megdt_opt.models.diffusers.design import folder_weights, latent_size, spec_of
    from megdt_opt.models.diffusers.folder import PipelineFolder
    from megdt_opt.models.diffusers.location import folder_of

    local = Path(name).is_dir()
    if local and not any((Path(name) / part).exists() for part in ("model_index.json", "unet", "transformer")):
        remedy = "This is a folder without model_index.json: point to one that diffusers' save_pretrained wrote."
        raise InvalidInput("model spec", name, "a spec's file, or the folder of a pipeline", remedy)
    folder = PipelineFolder.open(folder_of(name, local_files_only=True))
    design = Architecture.read(folder, name.rstrip("/").rsplit("/", 1)[-1])
    byte = folder_weights(folder, "fp32")
    from megdt_opt.models.diffusers.samplers import (
        samplers_of,  # its names follow from the scheduler's file, which torch reads
    )

    return spec_of(
        design,
        weight_byte=byte,
        precision="fp32",
        samplers=samplers_of(design, latent_size(design, None)),
        source=str(Path(name).resolve()) if local else name,
    )


def _published_spec(name: str) -> Callable[[], ModelSpec] | None:
    return partial(PUBLISHED_SPECS.__getitem__, name) if name in PUBLISHED_SPECS else None


MODELS: Registry[KnownModel] = Registry("model", MODEL_PLUGINS)
"""Models known by name: the bundled twin, the published architectures with random weights, and those of users."""

MODELS.add(
    "twin",
    KnownModel(
        load=_twin,
        spec=bundled_spec,
        requests=TwinRequests(),
        score=twin_score,
        features=twin_features,
        # experiments/twin: quality.md, seeds.md (with the decoder), sketch.md
        measured=("fp16", "int8", *(code.name for code in LATENT_CODES), "decoder noisy", *SKETCH_MECHANISMS),
        decoders={"noisy": partial(_twin, decoder="noisy")},
        adapters=TwinAdapters(),
    ),
    built_in=True,
)
for _name in ARCHITECTURES:
    MODELS.add(_name, KnownModel(load=partial(_random_weights, _name), spec=_published_spec(_name)), built_in=True)


def register_model(
    name: str,
    load: Callable[[str, str], SplitModel],
    spec: ModelSpec,
    *,
    requests: Requests | None = None,
    measured: Sequence[str] = (),
    replace: bool = False,
) -> None:
    """Make a model of your own known by name, to be calibrated, planned with and executed.

    Parameters
    ----------
    name : str
        What scenarios and profiles call it; the spec's own name.
    load : callable
        Makes the model, on a torch device [name] and in a precision ("fp32", "fp16", "bf16").
    spec : ModelSpec
        Its shapes and sizes.
    requests : Requests, optional
        Makes requests of it from a scenario; without them it is planned with and not executed, and sizes of coded
        pictures come from the profile alone.
    measured : sequence of str
        Precisions other than fp32 whose pictures you have compared with those of fp32. The others are closed where a
        scenario does not say "unmeasured_quality: accept".
    replace : bool
        Take the place of a model of yours of the same name, as one does in a notebook.

    Returns
    -------
    None

    Raises
    ------
    InvalidInput
        Where the name is taken, or is not the spec's, or a precision is none of the package's.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from megdt_opt import register_model
    >>> from megdt_opt.models.registry import find_spec
    >>> small = replace(find_spec("sd15"), name="small", latent_shape=(4, 32, 32), image_shape=(256, 256, 3))
    >>> def load(device, precision):
    ...     raise NotImplementedError("planned with, and not run here")
    >>> register_model("small", load, small)
    >>> find_spec("small").latent_shape
    (4, 32, 32)
    """
    if not isinstance(spec, ModelSpec) or spec.name != name:
        found = getattr(spec, "name", type(spec).__name__)
        expected = f"a ModelSpec of the name {name!r}"
        raise InvalidInput(f"spec of the model {name}", found, expected, "Give both the same name.")
    if not callable(load):
        raise InvalidInput(f"load of the model {name}", load, "a function of device and precision", "Pass it.")
    for precision in measured:
        if precision not in MEASURABLE:
            raise InvalidInput(f"measured of the model {name}", precision, f"some of {MEASURABLE}", "Leave it out.")
    made = KnownModel(load=load, spec=lambda: spec, requests=requests, measured=tuple(measured))
    MODELS.add(name, made, replace=replace)
