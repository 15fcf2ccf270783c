"""What a number of a problem may be: one reading of arrays, numbers, options and flags for every class of problem.

A value is taken only where its numbers mean what they say: plain real numbers in the field's unit. A masked entry, a
duration, an imaginary part or a unit that NumPy would drop in silence is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.values import integer, real

Array = NDArray[np.float64]

LARGEST = 1e30
"""Largest number of a problem: products of several of them and their squares stay well within floats."""

SMALLEST = 1 / LARGEST
"""Smallest number of a problem that is not 0."""

NO_DEADLINE_S = LARGEST
"""A deadline of this is none, for a user without one among others [s]."""


def on_time(deadline_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deadlines with room for rounding: the latest a user is on time [s]."""
    return np.minimum(deadline_s * (1 + 1e-12), NO_DEADLINE_S)


NO_SHARE_CAP = LARGEST
"""A cap of this on the share of the edge is none, for a user without one among others [1]."""

NO_AIRTIME_LIMIT_S = 1e9
"""A limit on the uplink airtime of at least this never binds, for an option without one among others [s]."""

_MISSING = ("NoneType", "NAType", "NaTType")
"""Types of what stands for a missing value: of Python, and of packages for tables."""

_FILL = "Fill in what was not measured, or forbid its option by `allowed`."
_NO_TRUTH = "Give numbers, not truth values."

_UNITS_OF_ITS_OWN = ("unit", "units", "magnitude", "dimensionality")
"""Attributes of values that carry a unit, as the packages for quantities name them."""


def plain(name: str, value: Any, expected: str) -> NDArray[Any]:
    """The values as an array of integers or floats, whose type says that they are numbers.

    Parameters
    ----------
    name : str
        Field to name in an error.
    value : array_like
        A number, nested sequences of numbers, or an array or table of numbers without a unit.
    expected : str
        What the field takes, with its unit and shape.

    Returns
    -------
    array of int or float
        Maybe the very array that was given.

    Raises
    ------
    InvalidInput
        For anything else; the message says what was found and what to do.
    """
    if type(value) is np.ndarray or isinstance(value, np.memmap):
        return _numeric(name, value, expected)
    _refuse_hidden(name, value, expected)
    listed, table = _is_sequence(value), hasattr(type(value), "to_numpy")
    if listed:
        _refuse_parts(name, value, expected)
    elif not (isinstance(value, Real) or table or hasattr(type(value), "__dlpack__")):
        raise InvalidInput(name, value, expected, "Give plain numbers in this unit.")
    try:
        array = np.asarray(value)
    except OverflowError:  # an integer that no float holds, beside floats
        array = np.asarray(value, dtype=object)
    except (ValueError, TypeError, RuntimeError):
        remedy = "Give every row the same length." if listed else "Convert it to an array of floats first."
        raise InvalidInput(name, value, expected, remedy) from None
    if array.dtype.kind == "O" and (listed or table or isinstance(value, Real)):
        array = _of_objects(name, array, expected)
    elif array.size == 0 and listed:
        array = array.astype(np.float64)
    return _numeric(name, array, expected)


def numbers(
    name: str,
    value: Any,
    shape: tuple[int, ...],
    unit: str,
    *,
    zero: bool = True,
    axes: Sequence[str] = (),
    copy: bool = False,
) -> Array:
    """Finite numbers of a sign, within the stated range, in an array of one shape.

    Parameters
    ----------
    name : str
        Field to name in an error.
    value : array_like
        What was given.
    shape : tuple of int
        The shape that it must have.
    unit : str
        Unit of the numbers.
    zero : bool
        Whether 0 is allowed.
    axes : sequence of str
        What the axes count, for messages: ("user", "option").
    copy : bool
        True copies; False takes an array of float64 in C order as it is.

    Returns
    -------
    array, `shape`
        In C order.

    Raises
    ------
    InvalidInput
        Names the field, the place of the first wrong number, the unit and the remedy.
    """
    if value is None:
        raise InvalidInput(name, None, f"numbers [{unit}], shape {shape}", "Add the field.")
    found = plain(name, value, f"numbers [{unit}], shape {shape}")
    if found.shape != shape:
        raise InvalidInput(name, found.shape, f"shape {shape} [{unit}]", "Give the array this shape.")
    with np.errstate(over="ignore"):  # wider floats
        array: Array = found.astype(np.float64, order="C", copy=copy)
    good = (array >= SMALLEST) & (array <= LARGEST)
    if zero:
        good |= array == 0
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0]) if shape else ()
        place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, where, strict=False))
        worst = float(array[where])
        expected = f"a finite number {'at least 0' if zero else 'above 0'} [{unit}]"
        if math.isfinite(worst) and worst > 0:
            expected += f", and if it is not 0 between {SMALLEST:g} and {LARGEST:g}"
        closing = " or forbid the option by `allowed`." if "option" in axes else ""
        remedy = f"Give a number in this range{',' if closing else '.'}{closing}"
        raise InvalidInput(f"{name} ({place})" if place else name, worst, expected, remedy)
    return array


def table_shape(name: str, value: Any, unit: str, axes: Sequence[str], more: str = "") -> tuple[int, ...]:
    """The shape of a table that says how many there are of what its axes count; raises InvalidInput where it is none.

    Parameters
    ----------
    name : str
        Field to name in an error.
    value : array_like
        What was given.
    unit : str
        Unit of the numbers.
    axes : sequence of str
        What the axes count, with their letters: ("K users", "O options").
    more : str
        Closes the remedy for a wrong number of axes.
    """
    what = ", ".join(axes)
    shape = plain(name, value, f"numbers [{unit}], shape ({what})").shape
    expected = f"an array ({what}) with at least one of each"
    if len(shape) != len(axes):
        raise InvalidInput(name, shape, expected, f"Give it {len(axes)} axes{more}.")
    if 0 in shape:
        raise InvalidInput(name, shape, expected, f"Give it one of the {axes[shape.index(0)]} at least.")
    return shape


def number(
    name: str, value: Any, unit: str, *, zero: bool = True, finite: bool = True, remedy: str = "Give such a number."
) -> float:
    """One number of at least 0, or above it.

    Parameters
    ----------
    name : str
        Field to name in an error.
    value : float
        What was given.
    unit : str
        Unit of the number.
    zero : bool
        Whether 0 is allowed.
    finite : bool
        Whether infinity is refused.
    remedy : str
        What to do about a wrong one.

    Returns
    -------
    float

    Raises
    ------
    InvalidInput
        Names the field, the value, the unit and the remedy.
    """
    expected = f"a {'finite ' if finite else ''}number {'of at least 0' if zero else 'above 0'} [{unit}]"
    single = value if type(value) is float else _single(name, value, expected, remedy)
    if not (single >= 0 if zero else single > 0) or (finite and math.isinf(single)):
        raise InvalidInput(name, value, expected, remedy)
    return single


def _single(name: str, value: Any, expected: str, remedy: str) -> float:
    """What stands for a number, as a float."""
    found = plain(name, value, expected)
    if found.shape != ():
        raise InvalidInput(name, value, expected, remedy)
    with np.errstate(over="ignore"):
        return float(found)


def count(name: str, value: Any, least: int, remedy: str) -> int:
    """An integer of at least `least`; raises InvalidInput that names the field."""
    found = integer(value)
    if found is None or found < least:
        raise InvalidInput(name, value, f"an integer of at least {least} [1]", remedy)
    return found


def choice(name: str, value: Any, known: Sequence[str], remedy: str = "Choose one of them.", where: str = "") -> None:
    """Refuse what is not one of some words; raises InvalidInput that names the field and the words."""
    if not isinstance(value, str) or value not in known:
        raise InvalidInput(name, value, f"one of {known}{where}", remedy)


def options(
    name: str,
    value: Any,
    shape: tuple[int, ...],
    options: int,
    remedy: str = "Name one option of the problem for each user.",
) -> NDArray[np.int64]:
    """Numbers of options that exist.

    Parameters
    ----------
    name : str
        Field to name in an error.
    value : array_like of int
        What was given.
    shape : tuple of int
        The shape that it must have: one option for each user.
    options : int
        How many options there are.
    remedy : str
        What to do about others.

    Returns
    -------
    array of int, `shape`

    Raises
    ------
    InvalidInput
        Where the shape differs, a number is not an integer, or an option does not exist.
    """
    expected = f"integers from 0 to {options - 1}, shape {shape}"
    found = plain(name, value, expected)
    if found.shape != shape or found.dtype.kind not in "iu" or found.min() < 0 or found.max() >= options:
        raise InvalidInput(name, value, expected, remedy)
    return np.asarray(found, dtype=np.int64)


def prices(name: str, value: Any, unit: str) -> Array:
    """Three finite prices of at least 0; raises InvalidInput that names the field."""
    expected = f"three finite prices of at least 0 [{unit}]"
    found = plain(name, value, expected)
    if found.shape != (3,) or not np.isfinite(found).all() or (found < 0).any():
        raise InvalidInput(name, value, expected, "Give one for each of the three budgets.")
    return np.asarray(found, dtype=np.float64)


def shares(name: str, value: Any, shape: tuple[int, ...], unit: str) -> Array:
    """Shares to be evaluated, whatever their size: what is negative or not a number counts as a violation.

    Raises
    ------
    InvalidInput
        Where they are no plain numbers, or the shape differs.
    """
    found = plain(name, value, f"numbers [{unit}], shape {shape}")
    if found.shape != shape:
        raise InvalidInput(name, found.shape, f"shape {shape} [{unit}]", "Give one share for each user.")
    return np.asarray(found, dtype=np.float64)


def flags(name: str, value: Any, shape: tuple[int, ...], axes: Sequence[str] = ("user", "option")) -> NDArray[np.bool_]:
    """True or false in an array of one shape, from truth values or from zeros and ones.

    Parameters
    ----------
    name : str
        Field to name in an error.
    value : array_like
        What was given.
    shape : tuple of int
        The shape that it must have.
    axes : sequence of str
        What the axes count, for messages.

    Raises
    ------
    InvalidInput
        Where the shape differs, or a value is missing, masked or anything else.
    """
    expected = f"shape {shape}, true or false"
    _refuse_hidden(name, value, expected)
    if _is_sequence(value):
        _refuse_parts(name, value, expected, truth=True)
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise InvalidInput(name, value, expected, "Give every row the same length.") from None
    if array.shape != shape:
        raise InvalidInput(name, array.shape, expected, "Give the array this shape.")
    if array.dtype.kind == "O" and hasattr(type(value), "to_numpy"):
        array = _of_objects(name, array, expected, truth=True)
    if array.dtype != np.bool_:
        expected, remedy = f"true or false for each {', '.join(axes)}", "Give truth values, or 0 and 1."
        if array.dtype.kind not in "iuf":
            raise InvalidInput(name, f"an array of {array.dtype}", expected, remedy)
        wrong = np.argwhere(~np.isin(array, (0, 1)))
        if wrong.size:
            where = tuple(int(i) for i in wrong[0])
            place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, where, strict=False))
            raise InvalidInput(f"{name} ({place})", array[where].item(), expected, remedy)
        array = array.astype(bool)
    return array.copy(order="C")


def decisions(answer: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The attributes of an answer by which it is evaluated; raises InvalidInput where one is missing."""
    for name in names:
        if getattr(answer, name, None) is None:
            raise InvalidInput(name, None, f"an answer with {', '.join(names)}", "Give the answer this attribute.")
    return tuple(getattr(answer, name) for name in names)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written through."""
    view = array.view()
    view.setflags(write=False)
    return view


# ---- what is no plain number


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def _numeric(name: str, array: NDArray[Any], expected: str) -> NDArray[Any]:
    kind = array.dtype.kind
    if kind in "iuf":
        return array
    remedy = {
        "m": "Divide by the unit, as in `value / np.timedelta64(1, 's')`.",
        "M": "Give a duration in seconds, not a date.",
        "c": "Give real numbers.",
        "b": _NO_TRUTH,
    }.get(kind, "Convert it to an array of floats first.")
    raise InvalidInput(name, f"an array of {array.dtype}", expected, remedy)


def _of_objects(name: str, array: NDArray[Any], expected: str, *, truth: bool = False) -> NDArray[Any]:
    """Integers beyond 64 bit, fractions, and the columns of a table that may lack values, as floats or integers."""
    found = [float(x) if truth and isinstance(x, bool | np.bool_) else real(x) for x in array.flat]
    if None in found:
        where = np.unravel_index(found.index(None), array.shape)
        raise _no_number(name, array[where], tuple(int(i) for i in where), expected)
    whole = [integer(x) for x in array.flat]
    if whole and all(n is not None and abs(n) < 2**63 for n in whole):
        return np.array(whole, dtype=np.int64).reshape(array.shape)
    return np.array(found, dtype=np.float64).reshape(array.shape)


def _no_number(name: str, part: Any, where: tuple[int, ...], expected: str) -> InvalidInput:
    """The error about one entry of an array, by the place where it stands."""
    if type(part).__name__ in _MISSING:
        return InvalidInput(name, f"a missing value at {where}", expected, _FILL)
    truth = isinstance(part, bool | np.bool_)
    return InvalidInput(name, part, expected, _NO_TRUTH if truth else "Give plain numbers in this unit.")


def _refuse_hidden(name: str, value: Any, expected: str) -> None:
    """Refuse what NumPy would turn into plain numbers by dropping a mask, a unit or a key."""
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            where = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(value))[0])
            raise InvalidInput(name, f"a masked entry at {where}", expected, _FILL)
        return
    if isinstance(value, Mapping | set | frozenset):
        raise InvalidInput(name, type(value).__name__, expected, "Give an array or a list in the order of the users.")
    own, notes = getattr(value, "__dict__", {}), getattr(value, "attrs", None)
    noted = notes if isinstance(notes, Mapping) else {}
    if any(hasattr(type(value), word) or word in own or word in noted for word in _UNITS_OF_ITS_OWN):
        raise InvalidInput(
            name,
            f"{type(value).__name__} with a unit",
            expected,
            "Convert it to plain numbers in this unit.",
        )
    if isinstance(value, np.ndarray) and not isinstance(value, np.memmap) and type(value) is not np.ndarray:
        raise InvalidInput(name, type(value).__name__, expected, "Convert it to a plain array in this unit.")


def _refuse_parts(
    name: str, parts: Sequence[Any], expected: str, *, truth: bool = False, where: tuple[int, ...] = ()
) -> None:
    """Refuse a list with an entry, at any depth, that is no plain number, nor, with `truth`, a truth value."""
    for i, part in enumerate(parts):
        if type(part) in (float, int) or (truth and isinstance(part, bool | np.bool_)):
            continue
        _refuse_hidden(name, part, expected)
        if _is_sequence(part):
            _refuse_parts(name, part, expected, truth=truth, where=(*where, i))
        elif hasattr(part, "__array__") and not isinstance(part, np.generic):
            found = np.asarray(part)
            if found.dtype.kind == "O" and hasattr(type(part), "to_numpy"):
                found = _of_objects(name, found, expected, truth=truth)
            if not (truth and found.dtype == np.bool_):
                _numeric(name, found, expected)
        elif real(part) is None:
            raise _no_number(name, part, (*where, i), expected)
