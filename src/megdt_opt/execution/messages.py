"""Control messages as bytes, and the largest that are taken."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from megdt_opt.errors import InvalidInput, MalformedMessage
from megdt_opt.files import parse_json

PICTURE_BYTE = 1024 * 1024 * 3 // 3 * 4
"""A picture of 1024 x 1024 pixels as a control message carries it, in base64 [byte]."""

RUN_BYTE = 64 * PICTURE_BYTE
"""Largest message that carries requests or pictures of a whole run [byte]: 64 such pictures, or 256 MiB. An actor holds
such a message and what it is read from a few times over, about 1 GiB, which any machine that loads a pipeline has."""

CONTROL_BYTE = 2**20
"""Largest of the other control messages [byte]."""

ENVELOPE_BYTE = 2**14
"""Largest envelope or header of a payload [byte]."""

PIECE_BYTE = 2**20
"""Largest piece of a payload [byte]."""

VALUES = 2_000_000
"""Most values in a control message: what they take in memory is many times what they take on the wire."""


def limit_byte(verb: str) -> int:
    """Largest message, or reply, of a verb [byte]."""
    return RUN_BYTE if verb in ("prepare", "results") else CONTROL_BYTE


def encode(message: Mapping[str, Any]) -> bytes:
    """A control message as bytes."""
    return json.dumps(message, allow_nan=False).encode("utf-8")


def decode(data: bytes, most_byte: int = RUN_BYTE) -> dict[str, Any]:
    """A control message from bytes; its size is looked at before it is read.

    Raises
    ------
    MalformedMessage
        If the bytes are no JSON object, or more than `most_byte`.
    """
    if len(data) > most_byte:
        raise MalformedMessage(f"a control message of {len(data)} byte; at most {most_byte} byte are taken here")
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > VALUES:
        raise MalformedMessage(f"a control message of more than {VALUES} values")
    try:
        message = parse_json(data.decode("utf-8"), "message", "call")
    except InvalidInput as error:
        raise MalformedMessage(f"not a control message: {error.expected} was due") from error
    except UnicodeDecodeError as error:
        raise MalformedMessage("not a control message: text in UTF-8 was due") from error
    if not isinstance(message, dict):
        raise MalformedMessage("not a control message: a JSON object was due")
    return message
