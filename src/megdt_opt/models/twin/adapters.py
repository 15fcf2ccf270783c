"""Adapters of the twin's denoiser: files of low-rank factors, each of one user's own scenes. Nothing loads torch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse

from megdt_opt.errors import InvalidInput, WeightsError
from megdt_opt.files import is_path, read_bytes, read_json
from megdt_opt.models.twin.scene_requests import scene_of
from megdt_opt.models.twin.scenes import render
from megdt_opt.models.twin.worlds import WORLDS

DOWN, UP, BIAS = ".down", ".up", ".bias"
"""Ends of the names of a layer's factors: its weight W becomes W + up @ down, and "bias" is added to its bias."""

SAFETENSORS = (".safetensors",)
"""How the name of an adapter's file ends."""

LIMIT_BYTE = 2**24
"""Largest file of an adapter that is read [byte]."""

RANK_MAX = 64
"""Largest rank of an adapter [1]."""

_WEIGHTS = Path(__file__).parent / "weights"
_LIST = "adapters.json"
_REMEDY = "Give a file that experiments/twin/export_adapters.py wrote, or the name of a bundled adapter."


@dataclass(frozen=True, kw_only=True)
class AdapterFile:
    """An adapter as its file holds it.

    Parameters
    ----------
    source : str
        Name of a bundled adapter, or path of a file.
    sha256 : str
        Digest of the file.
    rank : int
        Rank of the factors [1].
    factors : mapping of str to array
        By the names of the denoiser's layers and `DOWN`, `UP` or `BIAS`; float32.
    resident_byte : int
        Memory that a device holds for it [byte]: the changed layers in float32, beside the model's own.
    """

    source: str
    sha256: str
    rank: int
    factors: Mapping[str, NDArray[np.float32]]
    resident_byte: int

    def __repr__(self) -> str:
        return f"<AdapterFile: {self.source}, rank {self.rank}>"


Layers = Mapping[str, tuple[tuple[int, ...], bool]]
"""Layers that an adapter changes: shape of the weight, and whether there is a bias."""


@cache
def base_layers() -> tuple[Layers, str]:
    """Layers of the bundled denoiser, and the digest of its weights' file; raises WeightsError where it is damaged."""
    spec = read_json(_WEIGHTS / "spec.json", "spec of the twin")
    with (_WEIGHTS / "denoiser.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    shapes = {name: tuple(facts["shape"]) for name, facts in header.items() if name != "__metadata__"}
    layers = {
        name.removesuffix(".weight"): (shape, name.removesuffix(".weight") + ".bias" in shapes)
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) > 1  # norms have a single dimension and stay
    }
    return layers, str(spec["files"]["denoiser.safetensors"]["sha256"])


def factor_shapes(layers: Layers, rank: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the factors of these layers at a rank.

    Examples
    --------
    >>> factor_shapes({"conv": ((8, 4, 3, 3), True)}, 2)
    {'conv.down': (2, 36), 'conv.up': (8, 2), 'conv.bias': (8,)}
    """
    found: dict[str, tuple[int, ...]] = {}
    for name, ((outside, *inside), biased) in layers.items():
        found[name + DOWN] = (rank, math.prod(inside))
        found[name + UP] = (outside, rank)
        if biased:
            found[name + BIAS] = (outside,)
    return found


def bundled_adapters() -> dict[str, dict[str, Any]]:
    """Size [byte] and digest of the file of each adapter that comes with the package, by its name."""
    return dict(read_json(_WEIGHTS / _LIST, "list of adapters"))


def read_adapter(source: str, sha256: str | None = None) -> AdapterFile:
    """An adapter, checked in full.

    Parameters
    ----------
    source : str
        Name of a bundled adapter, or path of a safetensors file.
    sha256 : str, optional
        Digest that the file must have.

    Raises
    ------
    InvalidInput
        For an unknown name, and a file that is missing, too large, damaged, of another digest, of another model's
        denoiser, of other shapes, or holds values that are not finite.
    WeightsError
        Where a bundled file is not the one that was shipped.

    Examples
    --------
    >>> from megdt_opt.models.twin.adapters import read_adapter
    >>> read_adapter("foundry").rank
    4
    """
    if is_path(source, SAFETENSORS, folders=False):
        found = parse_adapter(source, read_bytes(source, "adapter", limit_byte=LIMIT_BYTE))
        if sha256 not in (None, found.sha256):
            expected = f"the file that was planned with, of the SHA-256 digest {str(sha256)[:12]}"
            raise InvalidInput(
                "adapter", f"{source}: digest {found.sha256[:12]}", expected, "Restore it or plan again."
            )
        return found
    known = bundled_adapters()
    if source not in known:
        expected = f"one of {sorted(known)}, or a file that ends in {SAFETENSORS[0]}"
        raise InvalidInput("adapter", source, expected, "Choose one of them, or leave it out.")
    path = _WEIGHTS / f"adapter-{source}.safetensors"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"weights: {path} is missing or unreadable. Reinstall megdt-opt.") from error
    if len(data) != known[source]["byte"] or hashlib.sha256(data).hexdigest() != known[source]["sha256"]:
        raise WeightsError(f"weights: {path} is another file than {_LIST} says. Reinstall megdt-opt.")
    return parse_adapter(source, data)


def parse_adapter(source: str, data: bytes) -> AdapterFile:
    """An adapter from the bytes of its file; raises as `read_adapter` does."""

    def bad(what: str, found: object, expected: str) -> InvalidInput:
        return InvalidInput("adapter", f"{source}: {what} {found}", expected, _REMEDY)

    try:
        factors = parse(data)
        said = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise bad("content", "that is none", "a safetensors file") from error
    layers, digest = base_layers()
    if said.get("denoiser_sha256") != digest:
        other = str(said.get("denoiser_sha256", "none"))[:12]
        raise bad("denoiser", other, f"factors of the twin's denoiser, {digest[:12]}")
    ranks = {value.shape[0] for name, value in factors.items() if name.endswith(DOWN) and value.ndim == 2}
    rank = min(ranks, default=0)
    if len(ranks) != 1 or not 1 <= rank <= RANK_MAX:
        raise bad("rank", sorted(ranks), f"one rank from 1 to {RANK_MAX} of all layers")
    wanted = factor_shapes(layers, rank)
    for name in sorted({*wanted, *factors}):
        found, shape = factors[name].shape if name in factors else None, wanted.get(name)
        if found != shape:
            raise bad(f"tensor {name[:80]}, shape", found, f"shape {shape}")
        if factors[name].dtype not in (np.float16, np.float32) or not np.isfinite(factors[name]).all():
            raise bad(f"tensor {name}", "with values that cannot be used", "finite values in float16 or float32")
    held = sum(4 * (math.prod(shape) + (shape[0] if biased else 0)) for shape, biased in layers.values())
    return AdapterFile(
        source=source,
        sha256=hashlib.sha256(data).hexdigest(),
        rank=rank,
        factors={name: factors[name].astype(np.float32) for name in wanted},
        resident_byte=held,
    )


class TwinAdapters:
    """What planning asks of the twin's adapters."""

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """Those whose pictures were compared with the renders of their users' scenes: the bundled ones."""
        return tuple(bundled_adapters())

    @property
    def example(self) -> str:
        """One to time the loading of."""
        return self.measured[0]

    def read(self, source: str, sha256: str | None = None) -> AdapterFile:
        """An adapter by its name or file; raises as `read_adapter` does."""
        return read_adapter(source, sha256)

    def camera(self, subject: Any, source: str) -> NDArray[np.uint8] | None:
        """The subject as a camera in the cell of a bundled adapter's user sees it, uint8 (1, rows, columns, 3)."""
        return render(scene_of(subject), WORLDS[source].look)[None] if source in WORLDS else None
