"""Stage programs and arrays as plain JSON data and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.program.stages import (
    Compute,
    EdgeServer,
    Parallel,
    Payload,
    Send,
    Series,
    Stage,
    TensorSpec,
    is_edge,
)

_DTYPES = ("uint8", "float32", "float64", "int64", "int32")


def array_to_plain(array: NDArray[Any]) -> dict[str, Any]:
    """An array as {"dtype", "shape", "base64"}, bit for bit."""
    if array.dtype.name not in _DTYPES:
        raise InvalidInput("array", array.dtype.name, f"one of {_DTYPES}", "Convert it first.")
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "base64": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def array_from_plain(data: Mapping[str, Any]) -> NDArray[Any]:
    """Inverse of `array_to_plain`.

    Raises
    ------
    InvalidInput
        If the data are not an array's.
    """
    try:
        dtype = str(data["dtype"])
        if dtype not in _DTYPES:
            raise ValueError(f"type {dtype}")
        raw = base64.b64decode(data["base64"], validate=True)
        flat = np.frombuffer(raw, dtype=np.dtype(dtype).newbyteorder("<"))
        return flat.reshape([int(n) for n in data["shape"]]).astype(dtype)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise InvalidInput(
            "array", data, "dtype, shape and base64", f"Send what array_to_plain makes: {error}."
        ) from error


def program_to_plain(stage: Stage) -> dict[str, Any]:
    """A stage program as nested dictionaries."""
    match stage:
        case Series(stages):
            return {"series": [program_to_plain(s) for s in stages]}
        case Parallel(branches):
            return {"parallel": [program_to_plain(s) for s in branches]}
        case Compute():
            return {
                "compute": {
                    "at": _actor_to_plain(stage.at),
                    "kind": str(stage.kind),
                    "amount": stage.amount,
                    "first": stage.first,
                    "rows": list(stage.rows) if stage.rows else None,
                    "item": stage.item,
                    "codec": stage.codec,
                }
            }
        case Send():
            return {
                "send": {
                    "source": _actor_to_plain(stage.source),
                    "to": [_actor_to_plain(actor) for actor in stage.to],
                    "payload": stage.payload.value,
                    "precision": stage.precision,
                    "tensors": [[t.name, list(t.shape), t.floating] for t in stage.tensors],
                }
            }


def program_from_plain(data: Mapping[str, Any]) -> Stage:
    """Inverse of `program_to_plain`.

    Raises
    ------
    InvalidInput
        If the data are not a stage program.
    """
    try:
        return _stage(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput("program", data, "a stage program", f"Send what program_to_plain makes: {error}.") from error


def _actor_to_plain(actor: str) -> str | dict[str, str]:
    """A device by its name, an edge server marked as one."""
    return {"edge_server": str(actor)} if is_edge(actor) else actor


def _actor(data: str | Mapping[str, str]) -> str:
    return data if isinstance(data, str) else EdgeServer(str(data["edge_server"]))


def _stage(data: Mapping[str, Any]) -> Stage:
    if "series" in data:
        return Series(tuple(_stage(s) for s in data["series"]))
    if "parallel" in data:
        return Parallel(tuple(_stage(s) for s in data["parallel"]))
    if "compute" in data:
        c = data["compute"]
        return Compute(
            at=_actor(c["at"]),
            kind=str(c["kind"]),
            amount=int(c["amount"]),
            first=int(c["first"]),
            rows=(int(c["rows"][0]), int(c["rows"][1])) if c["rows"] else None,
            item=str(c["item"]),
            codec=str(c["codec"]),
        )
    s = data["send"]
    return Send(
        source=_actor(s["source"]),
        to=tuple(_actor(a) for a in s["to"]),
        payload=Payload(s["payload"]),
        precision=str(s["precision"]),
        tensors=tuple(
            TensorSpec(name=str(name), shape=tuple(int(n) for n in shape), floating=bool(floating))
            for name, shape, floating in s["tensors"]
        ),
    )
