"""What users ask of a model, as the tensors that it takes, and what is known of the pictures beforehand.

Nothing here loads torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.models.codec import encode
from megdt_opt.models.registry import MODELS, Request, Requests, Subject
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Payload

Model = ModelSpec | str
"""A model by its spec or, where it is registered, by its name."""


def makes_requests(model: Model) -> bool:
    """Whether it is known what a request of this model is made of; a pipeline's folder is not opened for that."""
    return _source(model) != "" or _registered(model) is not None


def request_of(subject: Subject, model: Model) -> Request:
    """Request tensors for a subject, with a batch dimension of 1.

    Parameters
    ----------
    subject : int, str or mapping
        What is to be shown, as scenarios state it.
    model : ModelSpec or str
        The model.

    Raises
    ------
    InvalidInput
        For a model whose requests are not known how to make, and a subject that it cannot show.
    """
    return _requests(model).request(subject)


def camera_of(
    subject: Subject, model: Model, picture: str | None = None, adapter: str | None = None
) -> NDArray[np.uint8]:
    """Picture that a generation starts from, uint8 (1, rows, columns, 3).

    Parameters
    ----------
    subject : int, str or mapping
        What a camera looks at.
    model : ModelSpec or str
        The model.
    picture : str, optional
        File of a picture (PNG, JPEG) in place of the camera's, for models of pipelines.
    adapter : str, optional
        The user's adapter: a camera sees the surroundings that a bundled one was trained on.

    Raises
    ------
    InvalidInput
        As by `request_of`, and for a picture that cannot be used.
    """
    if picture is None:
        known = None if adapter is None or _source(model) else MODELS.find(_name(model))
        seen = None if known is None or known.adapters is None else known.adapters.camera(subject, str(adapter))
        return seen if seen is not None else _requests(model).camera(subject)
    check_starts(model, picture)
    assert isinstance(model, ModelSpec)  # one that has a source
    from megdt_opt.models.diffusers.prompts import picture_of

    return picture_of(picture, model.image_shape)


def check_starts(model: Model, picture: str) -> None:
    """Refuse a picture to start from, for a model that cannot: InvalidInput names it."""
    if not _source(model):
        remedy = "Leave it out, or name a pipeline's folder as the scenario's model."
        raise InvalidInput("picture", picture, "none: only pipelines of a folder start from a picture's file", remedy)


def reference_byte(model: Model, request: Mapping[str, NDArray[Any]], codec: str) -> int | None:
    """Length of the file of a request's reference picture [byte].

    The reference of a request to the twin is the drawing of the scene that the request describes. It is known
    before anything is generated, and a busy scene makes a long file both times; a "sketch" is that of the drawing.
    None for models whose requests have no reference, as those of pipelines.
    """
    known = None if _source(model) else _registered(model)
    reference = None if known is None else known.reference(request)
    if reference is None:
        return None
    if codec != Payload.SKETCH:
        return len(encode(reference, codec))
    sketch = getattr(known, "sketch", None)
    return None if sketch is None else len(sketch(reference))


def _source(model: Model) -> str:
    """Where the pipeline of a model is; "" for other models."""
    return model.source if isinstance(model, ModelSpec) else ""


def _name(model: Model) -> str:
    return model.name if isinstance(model, ModelSpec) else model


def _registered(model: Model) -> Requests | None:
    known = MODELS.find(_name(model))
    return None if known is None else known.requests


def _requests(model: Model) -> Requests:
    if isinstance(model, ModelSpec) and model.source:
        from megdt_opt.models.diffusers.prompts import PipelineRequests

        return PipelineRequests(model.source, model.image_shape)
    found = _registered(model)
    if found is None:
        name = _name(model)
        able = ", ".join(repr(known) for known in MODELS.names if makes_requests(known))
        remedy = "Plan for any model; to execute one, name its pipeline folder as the scenario's model."
        raise InvalidInput("model", name, f"{able}, the bundled model, or a pipeline folder", remedy)
    return found
