"""Precisions in which float tensors travel: how values become bytes and come back.

A precision is a pair of functions of NumPy arrays. What a payload weighs on the air follows from what `encode` yields,
so that sizes, bytes and values cannot disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.program.latent_codes import LATENT_CODES, CodedLength, LatentCode, is_latent
from megdt_opt.program.registry import MECHANISM_PLUGINS, NAME, Registry

Values = NDArray[np.float32]
Parts = Mapping[str, NDArray[np.generic]]
Layout = tuple[tuple[str, str, tuple[int, ...], int], ...]

STORED = {"float32": ("F32", 4), "float16": ("F16", 2), "uint8": ("U8", 1)}
"""NumPy types of the arrays on the air: their names in a safetensors file, and bytes a value [byte]."""

CODECS = ("raw", "png", "jpeg")
"""Codecs of an image payload, which share a field with the precisions of a float payload."""

_TRIED = ((1, 4, 6, 5), (1, 5, 7), (1, 3))
"""Shapes on which a precision is tried when it is registered: a latent, tokens, and one value for each channel."""


@dataclass(frozen=True, kw_only=True)
class Precision:
    """How float tensors travel.

    Parameters
    ----------
    name : str
    encode : callable
        From values, float32 (1, channels, ...), to the arrays on the air: name to float32, float16 or uint8 array; the
        name "" stands for the tensor's own. Their shapes depend on the values' shape alone.
    decode : callable
        From those arrays and the shape, back to float32 values of that shape.
    quality : str
        What it does to the values, for plans and reports; "" for the package's own.
    length : callable
        From the shape to the length of the tensor's own array, uint8 (length,), where that depends on the values; None
        where it does not.
    """

    name: str
    encode: Callable[[Values], Parts]
    decode: Callable[[Parts, tuple[int, ...]], Values]
    quality: str = ""
    length: Callable[[tuple[int, ...]], CodedLength | None] = lambda shape: None

    def stored(self, shape: tuple[int, ...], coded_byte: int | None = None) -> Layout:
        """Arrays on the air for a tensor of this shape: (name, NumPy type, shape, bytes).

        An array whose length depends on the values has `coded_byte` bytes, by default the planned ones.
        """
        if shape not in self._layouts:
            self._layouts[shape] = layout(self.encode(np.zeros(shape, dtype=np.float32)))
        found, length = self._layouts[shape], self.length(shape)
        if length is None:
            return found
        byte = length.planned if coded_byte is None else coded_byte
        return tuple((n, t, s, b) if n else (n, t, (byte,), byte) for n, t, s, b in found)

    @cached_property
    def _layouts(self) -> dict[tuple[int, ...], Layout]:
        return {}


def layout(parts: Parts) -> Layout:
    """Names, NumPy types, shapes and sizes [byte] of the arrays that `encode` yields."""
    return tuple((name, part.dtype.name, part.shape, part.nbytes) for name, part in parts.items())


PRECISION_REGISTRY: Registry[Precision] = Registry("precision", MECHANISM_PLUGINS)


def register_precision(
    name: str,
    encode: Callable[[Values], Parts],
    decode: Callable[[Parts, tuple[int, ...]], Values],
    *,
    quality: str,
    replace: bool = False,
) -> None:
    """Make a precision of your own known, for the latents and features that mechanisms send.

    It is offered to the users who list it among their `precisions`, with every mechanism that sends features.

    Parameters
    ----------
    name : str
        What scenarios, plans and messages call it.
    encode : callable
        From values, a float32 array (1, channels, ...), to a dictionary of the arrays on the air, each float32, float16
        or uint8. Their shapes must depend on the values' shape alone, as the payload's size is an input of planning.
    decode : callable
        From that dictionary and the values' shape, back to float32 values of that shape.
    quality : str
        What it does to the values, in a few words that plans and reports repeat.
    replace : bool
        Take the place of a precision of yours of the same name, as one does in a notebook.

    Returns
    -------
    None

    Raises
    ------
    InvalidInput
        Where the name is taken, or the functions do not fit each other on arrays of a latent's or token's shape.

    Examples
    --------
    >>> import numpy as np
    >>> from megdt_opt import register_precision
    >>> register_precision(
    ...     "sign",
    ...     encode=lambda values: {"positive": (values > 0).astype(np.uint8)},
    ...     decode=lambda parts, shape: np.where(parts["positive"] > 0, 1, -1).astype(np.float32),
    ...     quality="only the sign of every value is kept",
    ... )
    >>> from megdt_opt.program.stages import TensorSpec
    >>> from megdt_opt.program.wire import payload_byte
    >>> payload_byte([TensorSpec(name="state.latent", shape=(1, 4, 16, 16))], "sign")  # bytes of the file
    1120
    """
    if name in CODECS:
        raise InvalidInput("name of the precision", name, "no codec's name", "Choose another name.")
    made = Precision(name=name, encode=encode, decode=decode, quality=quality)
    check_quality(f"precision {name}", quality)
    _try(made)
    PRECISION_REGISTRY.add(name, made, replace=replace)


def check_quality(field: str, quality: str) -> None:
    """Refuse a registration that does not say what it does to the pictures."""
    if not isinstance(quality, str) or not quality.strip():
        expected = "some words on what it does to the pictures, or 'exact'"
        raise InvalidInput(f"quality of {field}", quality, expected, "Plans and reports repeat them.")


def _try(made: Precision) -> None:
    """Refuse a precision whose functions do not do what `register_precision` asks of them."""
    rng = np.random.default_rng(0)

    def bad(value: object, expected: str) -> InvalidInput:
        return InvalidInput(f"precision {made.name}", value, expected, "Correct encode and decode.")

    for shape in _TRIED:
        drawn = [np.zeros(shape, np.float32), rng.standard_normal(shape).astype(np.float32)]
        try:
            encoded = [{str(name): np.asarray(part) for name, part in made.encode(x.copy()).items()} for x in drawn]
        except Exception as error:
            raise bad(f"{type(error).__name__}: {error}", f"arrays by name for values of shape {shape}") from error
        for name, dtype, _, _ in layout(encoded[0]):
            if dtype not in STORED:
                raise bad(f"{name!r} of type {dtype}", f"arrays of the types {', '.join(STORED)}")
            if name and not NAME.fullmatch(name):
                raise bad(name, "names of arrays from letters, digits and _ . + -")
        if not encoded[0] or layout(encoded[0]) != layout(encoded[1]):
            found = [[(name, part.shape) for name, part in parts.items()] for parts in encoded]
            raise bad(found, f"arrays whose types and shapes follow from the shape {shape} alone")
        for parts in encoded:
            try:
                back = made.decode(parts, shape)
            except Exception as error:
                raise bad(f"{type(error).__name__}: {error}", f"values of shape {shape} from decode") from error
            if not isinstance(back, np.ndarray) or back.shape != shape or back.dtype != np.float32:
                came = (getattr(back, "shape", None), str(getattr(back, "dtype", type(back))))
                raise bad(came, f"float32 values of shape {shape} from decode")
            if not np.isfinite(back).all():
                raise bad("NaN or infinity", "finite values from decode")


# --- the package's own ------------------------------------------------------------


def _half(values: Values) -> Parts:
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return {"": values.astype(np.float16)}


def _bytes(values: Values) -> Parts:
    """Codes of 8 bit with a scale and an offset for each channel."""
    flat = values.reshape(*values.shape[:2], math.prod(values.shape[2:]))
    low = flat.min(axis=-1)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too wide gets an infinite scale
        span = flat.max(axis=-1) - low
        scale = np.where(span > 0, span / np.float32(255), np.float32(1))
        codes = np.rint((flat - low[..., None]) / scale[..., None]).clip(0, 255).astype(np.uint8)
    return {"": codes.reshape(values.shape), "offset": low, "scale": scale}


def _from_bytes(parts: Parts, shape: tuple[int, ...]) -> Values:
    each = (*shape[:2], *(1,) * (len(shape) - 2))
    scale, offset = (parts[name].astype(np.float32, copy=False).reshape(each) for name in ("scale", "offset"))
    return parts[""].astype(np.float32) * scale + offset


def _of_latents(code: LatentCode) -> Precision:
    """Latents as `code` writes them, other tensors in half precision: a conditioning bears less than a latent does."""

    def encode(values: Values) -> Parts:
        return code.encode(values) if is_latent(values.shape) else _half(values)

    def decode(parts: Parts, shape: tuple[int, ...]) -> Values:
        return code.decode(parts, shape) if is_latent(shape) else _from_half(parts, shape)

    def length(shape: tuple[int, ...]) -> CodedLength | None:
        return code.length(shape) if is_latent(shape) else None

    return Precision(name=code.name, encode=encode, decode=decode, length=length)


def _from_half(parts: Parts, shape: tuple[int, ...]) -> Values:
    return parts[""].astype(np.float32)


for _made in (
    Precision(
        name="fp32",
        encode=lambda values: {"": values},
        decode=lambda parts, shape: parts[""].astype(np.float32, copy=False),
    ),
    Precision(name="fp16", encode=_half, decode=_from_half),
    Precision(name="int8", encode=_bytes, decode=_from_bytes),
    *map(_of_latents, LATENT_CODES),
):
    PRECISION_REGISTRY.add(_made.name, _made, built_in=True)

PRECISIONS = ("fp32", "fp16", "int8")
"""Precisions that every user accepts who states none; int8 adds one scale and one offset per channel. The package's
others, which merge a latent's cells or code it, are offered to users who list them."""
