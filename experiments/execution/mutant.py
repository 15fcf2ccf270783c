"""The twin in an actor's process that does not do as it is told: what `mutations.py` puts into the world.

The executor's own code runs; around it an input is made wrong, as a file says whose path is in MEGDT_MUTATION:
{"kind": "link" | "share" | "payload" | "model", "actor": NAME, "factor": F}. An empty file or none: an honest actor.
Of a model F is the standard deviation of what is added to a latent.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from typing import Any

import torch

from megdt_opt.execution import session, transfer
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.program.stages import Kind

_here = threading.local()
_run_send, _run_compute, _pack, _unpack = session.run_send, session.run_compute, transfer.pack, transfer.unpack
_most_byte, _Link = transfer.most_byte, transfer.Link


def _wrong(kind: str, actor: str) -> float | None:
    """The factor by which an input of this kind is wrong at an actor now; None where it is right."""
    try:
        with open(os.environ["MEGDT_MUTATION"], encoding="utf-8") as file:
            said = json.loads(file.read() or "{}")
    except (KeyError, OSError):
        return None
    return float(said["factor"]) if said.get("kind") == kind and said.get("actor") == actor else None


def send(state: Any, *args: Any) -> Any:
    """A send whose link or payload may be wrong."""
    _here.link, _here.payload = _wrong("link", state.actor), _wrong("payload", state.actor)
    return _run_send(state, *args)


def link(rate_bit_per_s: float, **more: Any) -> Any:
    """A link that may be slower than allocated."""
    return _Link(rate_bit_per_s=rate_bit_per_s / (getattr(_here, "link", None) or 1.0), **more)


def pack(*args: Any) -> bytes:
    """A payload that may be larger than stated."""
    data, factor = _pack(*args), getattr(_here, "payload", None)
    return data if factor is None else data + bytes(round((factor - 1) * len(data)))


def unpack(data: bytes, *args: Any) -> Any:
    """A payload without what was added to it."""
    head = int.from_bytes(data[:8], "little")
    ends = [tensor["data_offsets"][1] for tensor in json.loads(data[8 : 8 + head]).values()]
    return _unpack(data[: 8 + head + max(ends)], *args)


def most_byte(*args: Any) -> int:
    """Receivers take what is larger than stated, so that it is the verdict that notices."""
    return 2 * _most_byte(*args)


def compute(state: Any, walk: Any, leaf: Any, index: int, ready_s: float) -> Any:
    """A stage whose share or result may be wrong."""
    factor = _wrong("share", state.actor)
    given = walk.run
    if factor is not None:
        walk.run = replace(given, pace=tuple(p / factor if n == index else p for n, p in enumerate(given.pace)))
    try:
        done = _run_compute(state, walk, leaf, index, ready_s)
    finally:
        walk.run = given
    deviation = _wrong("model", state.actor)
    if leaf.kind is Kind.DENOISE and deviation is not None:
        item = walk.store(index)[leaf.item]
        noise = torch.randn(item["latent"].shape, generator=torch.Generator().manual_seed(1))
        item["latent"] = item["latent"] + deviation * noise
    return done


session.run_send, session.run_compute = send, compute
transfer.Link, transfer.pack, transfer.unpack, transfer.most_byte = link, pack, unpack, most_byte  # type: ignore[assignment]


class Mutant(TwinModel):
    """The twin; importing this module is what changes its process."""
