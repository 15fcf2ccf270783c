"""Models by name: where a model's spec is, how it is loaded, and what requests of it are made of.

Whatever depends on which model it is stands in `MODELS`, where users register their own; nothing else asks for a
model's name. Only loading a model loads torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.files import read_text
from megdt_opt.models.diffusers.architecture import ARCHITECTURES
from megdt_opt.models.specs import PUBLISHED_SPECS, bundled_spec
from megdt_opt.models.split_model import SplitModel
from megdt_opt.models.twin.scene_requests import TwinRequests
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.registry import LOAD_IT, Registry

MODEL_PLUGINS = "megdt_opt.models"
"""Group of the entry points whose modules register models."""

DEFAULT_MODEL = "megdt_opt.models.twin.model:TwinModel"
"""Import path of the bundled model, "module:class", as the processes of an execution take it."""

Request = dict[str, NDArray[Any]]
"""Tensors of one request by name, with a batch dimension of 1."""

Subject = int | Mapping[str, Any]
"""What a user asks to be shown, as scenarios state it: in full, or a seed to draw it from."""


class Requests(Protocol):
    """Makes the requests of one model, in numpy."""

    def request(self, subject: Subject) -> Request:
        """Request that asks for a subject."""
        ...

    def camera(self, subject: Subject) -> NDArray[np.uint8]:
        """Frame of a camera that looks at the subject, uint8 (1, rows, columns, 3)."""
        ...

    def reference(self, request: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
        """Picture that a request asks for, known before anything is generated, uint8 (rows, columns, 3)."""
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
    """

    load: Callable[[str, str], SplitModel]
    spec: Callable[[], ModelSpec] | None = None
    requests: Requests | None = None


def find_spec(name: str) -> ModelSpec:
    """The spec of a model.

    Parameters
    ----------
    name : str
        A name in `MODELS` that has a spec, or the path of a spec's JSON file.

    Raises
    ------
    InvalidInput
        If there is neither.
    """
    known = MODELS.find(name)
    if known is not None and known.spec is not None:
        return known.spec()
    if not Path(name).exists():
        planned = tuple(n for n in MODELS.names if MODELS.require(n).spec is not None)
        raise InvalidInput("model", name, f"one of {planned} or a spec file", f"Choose one of them, or {LOAD_IT}.")
    return ModelSpec.from_json(read_text(name, "model spec"), name)


def load_model(name: str, *, device: str = "cpu", precision: str = "fp32") -> SplitModel:
    """The model of this name.

    Parameters
    ----------
    name : str
        A name in `MODELS`, a pipeline folder or a hub id.
    device : str
        Torch device.
    precision : str
        "fp32", "fp16" or "bf16".

    Raises
    ------
    InvalidInput
        Where it is no such name, and neither a folder nor the form of a hub id.
    MegdtError
        Where the packages of the extra `diffusion` are missing, or the model cannot be loaded.
    """
    known = MODELS.find(name)
    if known is None and "/" not in name and not (name and Path(name).is_dir()):
        near = get_close_matches(name, MODELS.names, n=1)
        expected = f"one of {MODELS.names}, a pipeline folder, or a hub id of the form OWNER/MODEL"
        remedy = f"Did you mean {near[0]!r}?" if near else f"Choose one of them, or {LOAD_IT}."
        raise InvalidInput("model", name, expected, remedy)
    load = partial(_pretrained, name) if known is None else known.load
    try:
        return load(device, precision)
    except ImportError as error:
        raise MegdtError(
            f"calibration needs the package {error.name}: install it with pip install 'megdt-opt[diffusion]'"
        ) from error


def _twin(device: str, precision: str) -> SplitModel:
    from megdt_opt.models.twin.model import TwinModel

    for name, asked, own in (("precision", precision, TwinModel.precision), ("device", device, TwinModel.device)):
        if asked != own:
            raise InvalidInput(
                name, asked, f"{own!r}, the only one of the twin", "Leave it out, or take another model."
            )
    return TwinModel.load()


def _random_weights(name: str, device: str, precision: str) -> SplitModel:
    from megdt_opt.models.diffusers.model import DiffusersModel

    return DiffusersModel.from_config(name, device=device, precision=precision)


def _pretrained(name: str, device: str, precision: str) -> SplitModel:
    from megdt_opt.models.diffusers.model import DiffusersModel

    return DiffusersModel.from_pretrained(name, device=device, precision=precision)


def _published_spec(name: str) -> Callable[[], ModelSpec] | None:
    return partial(PUBLISHED_SPECS.__getitem__, name) if name in PUBLISHED_SPECS else None


MODELS: Registry[KnownModel] = Registry("model", MODEL_PLUGINS)
"""Models known by name: the bundled twin, the published architectures with random weights, and those of users."""

MODELS.add("twin", KnownModel(load=_twin, spec=bundled_spec, requests=TwinRequests()), built_in=True)
for _name in ARCHITECTURES:
    MODELS.add(_name, KnownModel(load=partial(_random_weights, _name), spec=_published_spec(_name)), built_in=True)


def register_model(
    name: str,
    load: Callable[[str, str], SplitModel],
    spec: ModelSpec,
    *,
    requests: Requests | None = None,
    replace: bool = False,
) -> None:
    """Make a model of your own known by name, to be calibrated and planned with.

    Parameters
    ----------
    name : str
        What scenarios and profiles call it; the spec's own name.
    load : callable
        Makes the model, on a torch device [name] and in a precision ("fp32", "fp16", "bf16").
    spec : ModelSpec
        Its shapes and sizes.
    requests : Requests, optional
        Makes requests of it from a scenario; without them, sizes of coded pictures come from the profile alone.
    replace : bool
        Take the place of a model of yours of the same name, as one does in a notebook.

    Returns
    -------
    None

    Raises
    ------
    InvalidInput
        Where the name is taken, or is not the spec's.

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
    MODELS.add(name, KnownModel(load=load, spec=lambda: spec, requests=requests), replace=replace)
