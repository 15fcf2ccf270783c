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

Model = ModelSpec | str
"""A model by its spec or, where it is registered, by its name."""


def makes_requests(model: Model) -> bool:
    """Whether it is known what a request of this model is made of."""
    return _known(model) is not None


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


def camera_of(subject: Subject, model: Model, picture: str | None = None) -> NDArray[np.uint8]:
    """Picture that a generation starts from, uint8 (1, rows, columns, 3).

    Parameters
    ----------
    subject : int, str or mapping
        What a camera looks at.
    model : ModelSpec or str
        The model.
    picture : str, optional
        File of a picture (PNG, JPEG) in place of the camera's, for models of pipelines.

    Raises
    ------
    InvalidInput
        As by `request_of`, and for a picture that cannot be used.
    """
    if picture is None:
        return _requests(model).camera(subject)
    if isinstance(model, str) or not model.source:
        remedy = "Leave it out, or take a pipeline."
        raise InvalidInput("picture", picture, "none: the model's camera sees the user's scene", remedy)
    from megdt_opt.models.diffusers.prompts import picture_of

    return picture_of(picture, model.image_shape)


def reference_byte(model: Model, request: Mapping[str, NDArray[Any]], codec: str) -> int | None:
    """Length of the file of a request's reference picture [byte].

    The reference of a request to the twin is the drawing of the scene that the request describes. It is known
    before anything is generated, and a busy scene makes a long file both times. None for models whose requests
    have no reference.
    """
    known = _known(model)
    reference = None if known is None else known.reference(request)
    return None if reference is None else len(encode(reference, codec))


def _known(model: Model) -> Requests | None:
    if isinstance(model, ModelSpec) and model.source:
        from megdt_opt.models.diffusers.prompts import PipelineRequests

        return PipelineRequests(model.source, model.image_shape)
    known = MODELS.find(model.name if isinstance(model, ModelSpec) else model)
    return None if known is None else known.requests


def _requests(model: Model) -> Requests:
    found = _known(model)
    if found is None:
        name = model.name if isinstance(model, ModelSpec) else model
        able = ", ".join(repr(known) for known in MODELS.names if makes_requests(known))
        remedy = "Plan for any model; to execute one, name its pipeline folder as the scenario's model."
        raise InvalidInput("model", name, f"{able}, the bundled model, or a pipeline folder", remedy)
    return found
