"""Control messages as bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from megdt_opt.errors import MalformedMessage


def encode(message: Mapping[str, Any]) -> bytes:
    """A control message as bytes."""
    return json.dumps(message, allow_nan=False).encode("utf-8")


def decode(data: bytes) -> dict[str, Any]:
    """A control message from bytes.

    Raises
    ------
    MalformedMessage
        If the bytes are not a JSON object.
    """
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"not a control message: {error}") from error
    if not isinstance(message, dict):
        raise MalformedMessage("not a control message: a JSON object was due")
    return message
