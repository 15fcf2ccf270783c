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


def makes_requests(model: str) -> bool:
    """Whether it is known what a request of this model is made of."""
    return _known(model) is not None


def request_of(subject: Subject, model: str) -> Request:
    """Request tensors for a subject, with a batch dimension of 1.

    Parameters
    ----------
    subject : int or mapping
        What is to be shown, as scenarios state it.
    model : str
        Name of the model.

    Raises
    ------
    InvalidInput
        For a model whose requests are not known how to make.
    """
    return _requests(model).request(subject)


def camera_of(subject: Subject, model: str) -> NDArray[np.uint8]:
    """Frame of a camera that looks at a subject, uint8 (1, rows, columns, 3); raises as `request_of` does."""
    return _requests(model).camera(subject)


def reference_byte(model: str, request: Mapping[str, NDArray[Any]], codec: str) -> int | None:
    """Length of the file of a request's reference picture [byte].

    The reference of a request to the twin is the drawing of the scene that the request describes. It is known
    before anything is generated, and a busy scene makes a long file both times. None for models whose requests
    have no reference.
    """
    known = _known(model)
    return None if known is None else len(encode(known.reference(request), codec))


def _known(model: str) -> Requests | None:
    known = MODELS.find(model)
    return None if known is None else known.requests


def _requests(model: str) -> Requests:
    found = _known(model)
    if found is None:
        able = ", ".join(repr(name) for name in MODELS.names if makes_requests(name))
        raise InvalidInput("model", model, f"{able}, the bundled model", "Plan for any model, execute with the twin.")
    return found
