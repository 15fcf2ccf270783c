"""How merged and coded precisions write a latent: merge cells, quantise what is left, code the integers without loss.

A latent's bytes are one array: what was merged with what, and behind it the integers of the cells that are kept. Their
offset and scale in each channel travel beside it. Only latents, (1, channels, rows, columns), are written so.

The lossless coder is deflate (RFC 1951), one integer a byte, with the strategy that is shortest; where that is longer
than the packed integers, these are sent, and a first byte says so. Deflate makes a Huffman table for each latent:
on finished latents of the bundled twin that is shorter than one table for all, on noisy ones a little longer.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import MalformedMessage
from megdt_opt.program.token_merging import index_byte, merge, merged_cells, unmerge

Values = NDArray[np.float32]
Arrays = dict[str, NDArray[np.generic]]

_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY)
_WINDOW = -15  # deflate alone, without header and checksum
_AS_IT_IS, _DEFLATED = 0, 1
_SPREAD = 4.0


@dataclass(frozen=True, kw_only=True)
class CodedLength:
    """Length of an array on the air that depends on the values.

    Parameters
    ----------
    planned : int
        What is planned with: the mean over measured latents of that shape; of shapes that were not measured the most
        that there can be [byte].
    least, most : int
        Between what an honest one lies: four standard deviations of the logarithm about the mean [byte].
    bound : int
        The most that there can be, whatever the values [byte].
    """

    planned: int
    least: int
    most: int
    bound: int


@dataclass(frozen=True, kw_only=True)
class LatentCode:
    """One way to write a latent.

    Parameters
    ----------
    bits : int
        Bits of an integer, 4 or 8 [1].
    ratio : float
        Share of the cells that is merged away [1].
    coded : bool
        Whether the integers are entropy coded.
    """

    bits: int
    ratio: float = 0.0
    coded: bool = False

    @property
    def name(self) -> str:
        """What the precision is called, for example "int4+merge25+coded"; other tensors than latents are fp16."""
        merged = f"+merge{100 * self.ratio:.0f}" if self.ratio else ""
        return f"int{self.bits}{merged}" + ("+coded" if self.coded else "")

    def encode(self, values: Values) -> Arrays:
        """Arrays on the air of a latent (1, channels, rows, columns): its bytes, and offset and scale (2, channels)."""
        kept, indices = merge(values, self.ratio)
        low = kept.min(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):  # what is too wide gets an infinite scale
            span = kept.max(axis=1) - low
            scale = np.where(span > 0, span / np.float32(self._levels), np.float32(1))
            codes = np.rint((kept - low[:, None]) / scale[:, None]).clip(0, self._levels).astype(np.uint8)
        pack = _deflated if self.coded else _packed
        body = pack(codes.ravel(), self.bits)
        return {"": np.concatenate([indices, body]), "range": np.stack([low, scale])}

    def decode(self, parts: Mapping[str, NDArray[np.generic]], shape: tuple[int, ...]) -> Values:
        """The latent of these arrays.

        Raises
        ------
        MalformedMessage
            If they are none of such a latent.
        """
        data, (low, scale) = parts[""].astype(np.uint8, copy=False), parts["range"].astype(np.float32, copy=False)
        count, split = self._count(shape), index_byte(shape[2], shape[3], self.ratio)
        body = data[split:]
        unpack = _inflated if self.coded else _unpacked
        codes = unpack(body, self.bits, count)
        if int(codes.max(initial=0)) > self._levels:
            raise MalformedMessage(f"integers of at most {self._levels} were due, {codes.max()} came")
        kept = codes.reshape(shape[1], -1).astype(np.float32) * scale[:, None] + low[:, None]
        return unmerge(kept, data[:split], shape, self.ratio)

    def length(self, shape: tuple[int, ...]) -> CodedLength | None:
        """Length of a latent's bytes; None where it follows from the shape alone."""
        if not self.coded:
            return None
        bound = index_byte(shape[2], shape[3], self.ratio) + 1 + math.ceil(self._count(shape) * self.bits / 8)
        measured = _measured().get(self.name, {}).get("x".join(map(str, shape[1:])))
        if measured is None:
            return CodedLength(planned=bound, least=0, most=bound, bound=bound)
        mean, spread = measured[0], math.exp(_SPREAD * measured[1])
        most = min(bound, math.ceil(mean * spread))
        return CodedLength(planned=round(mean), least=math.floor(mean / spread), most=most, bound=bound)

    @property
    def _levels(self) -> int:
        return (1 << self.bits) - 1

    def _count(self, shape: tuple[int, ...]) -> int:
        channels, rows, columns = shape[1:]
        return channels * (rows * columns - merged_cells(rows, columns, self.ratio))


LATENT_CODES = (
    LatentCode(bits=8, ratio=0.25),
    LatentCode(bits=8, ratio=0.5),
    *(LatentCode(bits=4, ratio=ratio, coded=coded) for ratio in (0.0, 0.25, 0.5) for coded in (False, True)),
)
"""Those of the package."""


def is_latent(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape is written as a latent."""
    return len(shape) == 4 and shape[0] == 1


@cache
def _measured() -> dict[str, dict[str, tuple[float, float]]]:
    """Mean [byte] and standard deviation of the logarithm [1] of lengths, by precision and shape."""
    file = resources.files("megdt_opt.data.quality") / "twin-lengths.json"
    found: dict[str, dict[str, tuple[float, float]]] = json.loads(file.read_text())["lengths"]
    return found


def _packed(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return codes
    even = np.concatenate([codes, np.zeros(len(codes) % 2, np.uint8)])
    packed: NDArray[np.uint8] = even[0::2] << 4 | even[1::2]
    return packed


def _unpacked(body: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    return body if bits == 8 else np.stack([body >> 4, body & 15], axis=1).ravel()[:count]


def _deflated(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    found = [bytes([_AS_IT_IS]) + _packed(codes, bits).tobytes()]
    for strategy in _STRATEGIES:
        coder = zlib.compressobj(9, zlib.DEFLATED, _WINDOW, 9, strategy)
        found.append(bytes([_DEFLATED]) + coder.compress(codes.tobytes()) + coder.flush())
    return np.frombuffer(min(found, key=len), np.uint8)


def _inflated(body: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """The integers; nothing longer than they are is made, whatever came."""
    how, data = body[:1].tobytes(), body[1:].tobytes()
    if how == bytes([_AS_IT_IS]) and len(data) == math.ceil(count * bits / 8):
        return _unpacked(body[1:], bits, count)
    if how == bytes([_DEFLATED]):
        coder = zlib.decompressobj(_WINDOW)
        try:
            found = coder.decompress(data, count + 1)
        except zlib.error as error:
            raise MalformedMessage(f"not a coded latent: {error}") from error
        if len(found) == count and coder.eof and not coder.unused_data:
            return np.frombuffer(found, np.uint8)
    raise MalformedMessage(f"a coded latent of {count} integers was due, another came")
